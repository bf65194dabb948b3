"""Which machine stands where: a pure plan from ``layout.yaml`` and ``models.yaml``, within units, weight and power of each rack.

The sample world's technicians follow it, as people follow a design. Racks keep three rules of the trade: heavy machines low, switches at
the top, and never more power planned than one feed carries, so that losing the other feed loses nothing. What does not fit is said,
and stays on the shelf.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

HERE = Path(__file__).parent
HALF = 0.5
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
Face = Literal["front", "rear", "left", "right"]


@dataclass(frozen=True, slots=True)
class Product:
    """What the plan must know of a model."""

    name: str
    height: float
    full_depth: bool
    weight_kg: float
    draw_w: float


@dataclass(frozen=True, slots=True)
class RackPlan:
    """An empty rack and its limits."""

    name: str
    site: str
    height: int
    limit_w: float
    max_weight_kg: float


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the plan, before it has a serial number: ``key`` tells it from its equals."""

    key: str
    product: Product
    role: str
    site: str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a rack; beside the rails ``unit`` is a slot number."""

    rack: str
    unit: float
    face: Face = "front"


@dataclass(slots=True)
class Load:
    """What a rack already holds while the plan grows."""

    rack: RackPlan
    taken: set[tuple[str, float]] = field(default_factory=set)
    draw_w: float = 0.0
    weight_kg: float = 0.0

    def fits(self, product: Product) -> bool:
        """Whether power and weight allow one more."""
        return self.draw_w + product.draw_w <= self.rack.limit_w and self.weight_kg + product.weight_kg <= self.rack.max_weight_kg

    def lowest(self, product: Product) -> float | None:
        """Lowest unit with room for it, from U1 up; None if there is none."""
        units = (number * HALF + 1 for number in range(int((self.rack.height - product.height) / HALF) + 1))
        whole = (unit for unit in units if product.height % 1 or unit == int(unit))
        return next((unit for unit in whole if not self.taken & set(cells(product, unit, "front"))), None)

    def take(self, product: Product, unit: float, face: Face) -> None:
        """Put it there."""
        self.taken |= set(cells(product, unit, face))
        self.draw_w += product.draw_w
        self.weight_kg += product.weight_kg


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything goes: positions by machine, and what stays on the shelf with the reason."""

    machines: tuple[Machine, ...]
    positions: Mapping[str, Position]
    shelf: Mapping[str, str]
    loads: Mapping[str, Load]


def cells(product: Product, unit: float, face: Face) -> Iterator[tuple[str, float]]:
    """The half units of each face that it takes; beside the rails, its slot."""
    if product.height == 0:
        yield face, unit
        return
    faces = ("front", "rear") if product.full_depth else (face,)
    for step in range(int(product.height / HALF)):
        for side in faces:
            yield side, unit + step * HALF


def place(racks: Iterable[RackPlan], fixed: Iterable[tuple[Machine, Position]], fleet: Iterable[Machine]) -> Plan:
    """Fixed machines first, then the fleet: each to the rack of its site with the most power left, at its lowest free unit."""
    loads = {rack.name: Load(rack) for rack in racks}
    machines: list[Machine] = []
    positions: dict[str, Position] = {}
    shelf: dict[str, str] = {}
    for machine, position in fixed:
        load = loads[position.rack]
        overlap = load.taken & set(cells(machine.product, position.unit, position.face))
        if overlap or not load.fits(machine.product):
            raise ValueError(f"{machine.key} does not fit at {position}: {'taken' if overlap else 'too much power or weight'}")
        load.take(machine.product, position.unit, position.face)
        machines.append(machine)
        positions[machine.key] = position
    for machine in sorted(fleet, key=lambda one: -one.product.weight_kg):
        machines.append(machine)
        found = _best(loads.values(), machine)
        if found is None:
            shelf[machine.key] = f"no rack of {machine.site} has {machine.product.height:g} units and {machine.product.draw_w:g} W left"
            continue
        load, unit = found
        load.take(machine.product, unit, "front")
        positions[machine.key] = Position(load.rack.name, unit)
    return Plan(tuple(machines), positions, shelf, loads)


def _best(loads: Iterable[Load], machine: Machine) -> tuple[Load, float] | None:
    rooms = [load for load in loads if load.rack.site == machine.site and load.fits(machine.product)]
    for load in sorted(rooms, key=lambda one: (one.draw_w - one.rack.limit_w, one.rack.name)):
        unit = load.lowest(machine.product)
        if unit is not None:
            return load, unit
    return None


def expand(pattern: str) -> list[str]:
    """``A-{01..02}-{1..2}`` -> A-01-1, A-01-2, A-02-1, A-02-2. Zeros in front are kept."""
    parts = RANGE.split(pattern)
    choices = [
        [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
        for first, last in zip(parts[1::3], parts[2::3], strict=True)
    ]
    texts = parts[0::3]
    return [
        texts[0] + "".join(itertools.chain.from_iterable(zip(chosen, texts[1:], strict=True))) for chosen in itertools.product(*choices)
    ]


@cache
def read(name: str) -> dict[str, Any]:
    """One of the sample's YAML files."""
    value = yaml.safe_load((HERE / name).read_text())
    assert isinstance(value, dict)
    return value


def racks() -> list[tuple[RackPlan, dict[str, Any]]]:
    """Every rack with what its group says about it."""
    return [
        (RackPlan(name, site, group["uHeight"], group["limitW"], group["maxWeightKg"]), group)
        for group in read("layout.yaml")["racks"]
        for site in group["sites"]
        for name in expand(group["names"].replace("{site}", site))
    ]


@cache
def products() -> dict[str, Product]:
    """Models as the plan sees them. A draw that no source states is planned with the allowance that the layout assumes."""
    allowance = read("layout.yaml")["allowanceW"]
    found = {}
    for model in read("models.yaml")["models"]:
        form, power = model["formFactor"], model.get("power", {})
        draw = 0.0 if power.get("powered") is False else power.get("maxW", allowance.get(model["name"]))
        if draw is None:
            raise ValueError(f"{model['name']}: no source states its draw; give an allowance in layout.yaml")
        found[model["name"]] = Product(model["name"], form["uHeight"], form["fullDepth"], form.get("weightKg", 0.0), draw)
    return found


@cache
def tramline() -> Plan:
    """The plan of the sample organisation."""
    layout, known = read("layout.yaml"), products()
    all_racks = [rack for rack, _ in racks()]
    fixed: list[tuple[Machine, Position]] = []
    for entry in layout["fixed"]:
        for rack in all_racks:
            if any(fnmatch(rack.name, pattern) for pattern in entry["racks"]):
                unit, face = entry.get("unit", entry.get("slot")), entry.get("face", "front")
                key = f"{rack.name}/{face}/{unit}"
                role = entry.get("role", "power")
                fixed.append((Machine(key, known[entry["model"]], role, rack.site), Position(rack.name, unit, face)))
    fleet, spares = [], {}
    for entry in layout["fleet"]:
        for number in range(1, entry["count"] + 1):
            machine = Machine(f"{entry['site']}/{entry['model']}/{number}", known[entry["model"]], entry["role"], entry["site"])
            if number > entry["count"] - entry["spare"]:
                spares[machine.key] = machine
            else:
                fleet.append(machine)
    plan = place(all_racks, fixed, fleet)
    shelf = {**plan.shelf, **dict.fromkeys(spares, "cold spare")}
    return Plan((*plan.machines, *spares.values()), plan.positions, shelf, plan.loads)
