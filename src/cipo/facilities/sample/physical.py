"""What is physically so in the sample world: every machine with the serial on its label, where it was meant to go and where it stands.

Pure: everything follows from the plan and the seed. The organisation never sees this page; its people learn of a machine only by scanning
it, so whether the records are right is measured by a count and not decided here. Serial numbers are invented in the makers' habit.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from cipo.facilities.sample.layout import Machine, Position, expand, read, tramline

ALPHABET = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
# GS1 prefix 952 is reserved for demonstrations (GS1 General Specifications, company prefixes).
GS1_PREFIX = "9521234"
FIRST_LABEL = 1


@dataclass(frozen=True, slots=True)
class Place:
    """A bin or a rack; ``unit`` is the lowest rack unit, or the slot beside the rails."""

    kind: str
    name: str
    unit: float | None = None
    face: str = ""

    @property
    def label(self) -> str:
        """The code on the place's own label."""
        return f"{self.kind.upper()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Thing:
    """One machine: what is printed on it, what its supplier announced, where it should be and where it is."""

    key: str
    model: str
    maker: str
    warehouse: str
    serial: str
    announced: str
    label: str
    planned: Place
    actual: Place

    @property
    def shipment(self) -> str:
        """The delivery it comes with."""
        return f"{self.warehouse}-{self.maker.lower()}-1"


@cache
def things(seed: int) -> tuple[Thing, ...]:
    """All machines of the sample world, in the order in which they were labelled."""
    plan, layout = tramline(), read("layout.yaml")
    makers = {model["name"]: model["manufacturer"] for model in read("models.yaml")["models"]}
    stores = {site: store["name"] for store in layout["warehouses"] for site in store["serves"]}
    rates = {fault["name"]: fault["rate"] for fault in layout["faults"]}
    bins = shelves(plan.shelf, [machine for machine in plan.machines if machine.key in plan.shelf], stores)
    made, taken = [], set[str]()
    for number, machine in enumerate(plan.machines, FIRST_LABEL):
        chance = random.Random(f"{seed}/{machine.key}")  # noqa: S311 - repeatable, not secret
        maker = makers[machine.product.name]
        serial = invented(layout["makers"][maker]["serial"], chance, taken)
        announced = misread(serial, chance) if chance.random() < rates["wrong-serial-announced"] else serial
        planned = _planned(machine, plan.positions, bins)
        label = f"CIPO-{number:06d}"
        made.append(Thing(machine.key, machine.product.name, maker, stores[machine.site], serial, announced, label, planned, planned))
    return tuple(misplaced(made, seed, rates["misplaced"]))


def misplaced(made: list[Thing], seed: int, rate: float) -> list[Thing]:
    """Some machines end up in the neighbouring place: in the next bin, or exchanged with one that looks the same in another rack."""
    now = {thing.key: thing for thing in made}
    for thing in made:
        chance = random.Random(f"{seed}/misplaced/{thing.key}")  # noqa: S311
        if chance.random() >= rate or now[thing.key].actual != thing.planned:
            continue
        if thing.planned.kind == "bin":
            next_bin = neighbour(thing.planned.name)
            now[thing.key] = replace(thing, actual=Place("bin", next_bin))
            continue
        twins = [one for one in made if _twin(thing, one) and now[one.key].actual == one.planned]
        if twins:
            other = chance.choice(twins)
            now[thing.key], now[other.key] = replace(thing, actual=other.planned), replace(other, actual=thing.planned)
    return list(now.values())


def _twin(thing: Thing, other: Thing) -> bool:
    """Whether two machines could be exchanged by mistake: same model and site, different racks."""
    return (
        thing.model == other.model
        and other.planned.kind == "rack"
        and other.planned.name != thing.planned.name
        and other.planned.name.split("-")[0] == thing.planned.name.split("-")[0]
    )


def invented(form: dict[str, Any], chance: random.Random, taken: set[str]) -> str:
    """A serial number that nobody has yet, in a maker's form: digits and capitals without I and O."""
    while True:
        tail = "".join(chance.choice(ALPHABET) for _ in range(form["length"] - len(form["prefix"])))
        serial = str(form["prefix"]) + tail
        if serial not in taken and not serial.isdigit():
            taken.add(serial)
            return serial


def misread(serial: str, chance: random.Random) -> str:
    """The serial with two neighbouring characters exchanged, as typing does; the first pair that differs after a random place."""
    places = [at for at in range(1, len(serial) - 1) if serial[at] != serial[at + 1]]
    at = chance.choice(places)
    return serial[:at] + serial[at + 1] + serial[at] + serial[at + 2 :]


def shelves(shelf: Any, machines: list[Machine], stores: dict[str, str]) -> dict[str, str]:
    """A shelf bin for each machine that is not racked: bins of its store in turn, never above capacity."""
    rooms = {
        f"{store['name']}-{code.lower()}": entry.get("capacity", 1)
        for store in read("layout.yaml")["warehouses"]
        for entry in read("layout.yaml")["bins"]
        if entry["type"] == "shelf"
        for code in expand(entry["code"])
    }
    used: dict[str, int] = defaultdict(int)
    chosen = {}
    for machine in machines:
        own = [name for name in rooms if name.startswith(f"{stores[machine.site]}-") and used[name] < rooms[name]]
        name = min(own, key=lambda one: (used[one], one))
        used[name] += 1
        chosen[machine.key] = name
    return chosen


def neighbour(bin_name: str) -> str:
    """The bin beside it: the next level, or the one below the top."""
    stem, _, level = bin_name.rpartition("-")
    return f"{stem}-{int(level) + 1 if int(level) < 3 else int(level) - 1}"


def sscc(number: int) -> str:
    """A serial shipping container code with its check digit (GS1 General Specifications 7.9)."""
    digits = f"0{GS1_PREFIX}{number:09d}"
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(digits))
    return digits + str(-total % 10)


def _planned(machine: Machine, positions: Any, bins: dict[str, str]) -> Place:
    position: Position | None = positions.get(machine.key)
    if position is None:
        return Place("bin", bins[machine.key])
    return Place("rack", position.rack, position.unit, position.face)
