"""AssetModel: what a maker sells, with its dimensions, ports, bays and power. Assets are of a model.

Read in from the community device-type library (``device_types``) or written by hand from a data sheet; ``spec.source`` says which.
Ports are part of the model, not rows of their own: an asset has the ports of its model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from cipo.facilities.shapes import RackUnits, check_digit, maker_key
from cipo.facilities.warehouse.cmdb import unit
from cipo.facilities.warehouse.rack import Source
from cipo.kernel import Claim, Column, Kind, Model, Status, field

AssetClass = Literal["server", "switch", "pdu", "panel", "disk", "dimm", "psu", "nic", "optic", "gpu", "cable", "other"]
PortKind = Literal["interface", "console", "console-server", "power", "outlet", "front", "rear"]
BayKind = Literal["device", "module", "inventory"]


class FormFactor(Model):
    """How much room it takes."""

    u_height: RackUnits = field(0, min=0, max=100, help="Rack units in steps of 0.5; 0: beside the rails, or not mounted.")
    full_depth: bool = field(True, help="Whether it takes the front and the rear of its units.")
    width_mm: float | None = field(None, min=0, max=5000, help="Width.")
    depth_mm: float | None = field(None, min=0, max=5000, help="Depth.")
    weight_kg: float | None = field(None, min=0, max=10_000, help="Weight; absent: not known.")
    airflow: str = field("", length=32, help="E.g. front-to-rear, passive.")


class PortMapping(Model):
    """How a position of a front port reaches a rear port."""

    rear: str = field(length=64, help="Name of the rear port.")
    rear_position: int = field(1, min=1, max=1024, help="Position on the rear port.")
    position: int = field(1, min=1, max=1024, help="Position on this front port.")


class Port(Model):
    """A socket of the model."""

    name: str = field(length=64, help="As printed or as the system names it; once per kind of port.")
    kind: PortKind = field(help="What it is for.")
    type: str = field("", length=64, help="Connector or speed, in the library's words, e.g. 25gbase-x-sfp28.")
    label: str = field("", length=64, help="Printed label, if it differs.")
    description: str = field("", length=200, help="More about it.")
    management: bool = field(False, help="Whether it only carries management traffic.")
    positions: int = field(1, min=1, max=1024, help="Positions of a front or rear port.")
    maps: list[PortMapping] = field(list, each=1024, help="Front port: the rear ports behind it.")
    maximum_w: float | None = field(None, min=0, max=1_000_000, help="Power port: most it draws.")
    allocated_w: float | None = field(None, min=0, max=1_000_000, help="Power port: what to plan with.")
    feed_leg: str = field("", length=8, help="Outlet: A, B or C.")
    power_port: str = field("", length=64, help="Outlet: the power port that feeds it.")


class Bay(Model):
    """A place for a component."""

    name: str = field(length=64, help="Once per model.")
    kind: BayKind = field("module", help="What goes in.")
    position: str = field("", length=64, help="Number or letter as printed.")
    label: str = field("", length=64, help="Printed label.")
    description: str = field("", length=200, help="More about it.")


class Power(Model):
    """What it draws, as the maker states it."""

    max_w: float | None = field(None, min=0, max=1_000_000, help="Most it draws; absent: not known.")
    typical_w: float | None = field(None, min=0, max=1_000_000, help="Usual draw; absent: not known.")
    powered: bool = field(True, help="Whether it draws power at all.")


class Weee(Model):
    """For disposal (directive 2012/19/EU)."""

    category: int = field(min=1, max=6, help="Category 1 to 6.")
    weight_kg: float | None = field(None, min=0, max=10_000, help="Weight that is reported.")


class ModelLifecycle(Model):
    """The maker's dates."""

    end_of_sale: str | None = field(None, pattern=r"^\d{4}-\d{2}-\d{2}$", help="Last day it is sold.")
    end_of_support: str | None = field(None, pattern=r"^\d{4}-\d{2}-\d{2}$", help="Last day it is supported.")


class AssetModelSpec(Model):
    """The data sheet."""

    manufacturer: str = field(length=120, help="Who makes it.")
    model: str = field(length=120, help="As the maker calls it, e.g. PowerEdge R650.")
    part_numbers: list[str] = field(list, each=50, help="The maker's order numbers; scanned at the dock.")
    gtins: list[str] = field(list, each=50, help="GTIN-14 of the pack, with check digit; scanned at the dock.")
    asset_class: AssetClass = field("other", help="What sort of thing it is.")
    form_factor: FormFactor = field(FormFactor, help="How much room it takes.")
    ports: list[Port] = field(list, each=2000, help="Sockets.")
    bays: list[Bay] = field(list, each=1000, help="Places for components.")
    power: Power = field(Power, help="What it draws.")
    data_bearing: bool = field(False, help="Whether it keeps data that must be wiped before it leaves.")
    weee: Weee | None = field(None, help="How it is disposed of.")
    lifecycle: ModelLifecycle | None = field(None, help="The maker's dates.")
    comments: str = field("", length=4096, help="What the source says in words.")
    source: Source | None = field(None, help="Where these figures come from.")


class AssetModelStatus(Status):
    """Nothing of a model is observed."""


@unit.kind(
    short="am",
    plural="assetmodels",
    columns=[
        Column("Manufacturer", "spec.manufacturer"),
        Column("Model", "spec.model"),
        Column("Class", "spec.assetClass"),
        Column("Units", "spec.formFactor.uHeight", type="number"),
        Column("Weight kg", "spec.formFactor.weightKg", type="number", wide=True),
        Column("Max W", "spec.power.maxW", type="number", wide=True),
        Column("Source", "spec.source.name", wide=True),
    ],
    select=["spec.manufacturer", "spec.assetClass"],
)
class AssetModel(Kind[AssetModelSpec, AssetModelStatus]):
    """A product as its maker sells it: dimensions, ports, bays, power."""

    def claims(self) -> Iterable[Claim]:
        """A maker's model, part number and a GTIN each name one model."""
        maker = maker_key(self.spec.manufacturer)
        yield Claim("asset-model/name", f"{maker}/{self.spec.model}", path="spec.model")
        for part in dict.fromkeys(self.spec.part_numbers):
            yield Claim(f"asset-model/part/{maker}", part.upper(), path="spec.partNumbers")
        for gtin in dict.fromkeys(self.spec.gtins):
            yield Claim("asset-model/gtin", gtin.zfill(14), path="spec.gtins")

    def validate_change(self, old: AssetModel | None, ctx: object) -> Iterable[tuple[str, str]]:
        """Port and bay names are addresses, mappings point at ports that exist, GTINs have the right check digit."""
        yield from _twice("spec.ports", [f"{port.kind} port {port.name}" for port in self.spec.ports])
        yield from _twice("spec.bays", [f"{bay.kind} bay {bay.name}" for bay in self.spec.bays])
        rears = {port.name: port.positions for port in self.spec.ports if port.kind == "rear"}
        powers = {port.name for port in self.spec.ports if port.kind == "power"}
        for index, port in enumerate(self.spec.ports):
            if port.power_port and port.power_port not in powers:
                yield f"spec.ports[{index}].powerPort", f'there is no power port "{port.power_port}"; the model has {_listed(powers)}'
            yield from _mappings(f"spec.ports[{index}]", port, rears)
        for index, gtin in enumerate(self.spec.gtins):
            wrong = bad_gtin(gtin)
            if wrong:
                yield f"spec.gtins[{index}]", wrong

    def ports_of(self, kind: PortKind) -> list[Port]:
        """The ports of one kind."""
        return [port for port in self.spec.ports if port.kind == kind]

    def draw(self) -> tuple[float | None, float | None]:
        """(typical, maximum) watts; None where nobody states it.

        The ladder: what the model states, then its power ports. Redundant supplies share the load, so of n power ports the larger
        half is summed, never all of them. A PDU passes power on and draws none of its own.
        """
        if not self.spec.power.powered or self.spec.asset_class == "pdu":
            return 0.0, 0.0
        ports = self.ports_of("power")
        typical = self.spec.power.typical_w if self.spec.power.typical_w is not None else _shared([port.allocated_w for port in ports])
        maximum = self.spec.power.max_w if self.spec.power.max_w is not None else _shared([port.maximum_w for port in ports])
        return typical, maximum


def _shared(figures: list[float | None]) -> float | None:
    known = sorted((figure for figure in figures if figure), reverse=True)
    return sum(known[: (len(known) + 1) // 2]) if known else None


def bad_gtin(gtin: str) -> str | None:
    """What is wrong with a GTIN, with the right check digit; None if nothing is."""
    if not (gtin.isascii() and gtin.isdigit()) or len(gtin) not in (8, 12, 13, 14):
        return f'"{gtin}" is not a GTIN: it has 8, 12, 13 or 14 digits'
    right = check_digit(gtin[:-1])
    if gtin[-1] != right:
        return f"{gtin} has the check digit {gtin[-1]}, which should be {right}; one digit is misread or mistyped"
    return None


def _twice(path: str, names: list[str]) -> Iterable[tuple[str, str]]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield f"{path}[{index}].name", f"{name} is there twice; names are addresses, so each once"
        seen.add(name)


def _mappings(path: str, port: Port, rears: dict[str, int]) -> Iterable[tuple[str, str]]:
    if port.maps and port.kind != "front":
        yield f"{path}.maps", f"only a front port maps to rear ports, and {port.name} is a {port.kind} port; leave maps out"
        return
    for index, mapping in enumerate(port.maps):
        where = f"{path}.maps[{index}]"
        if mapping.rear not in rears:
            yield f"{where}.rear", f'there is no rear port "{mapping.rear}"; the model has {_listed(set(rears))}'
        elif mapping.rear_position > rears[mapping.rear]:
            yield f"{where}.rearPosition", f"{mapping.rear} has {rears[mapping.rear]} positions, so no position {mapping.rear_position}"
        if mapping.position > port.positions:
            yield f"{where}.position", f"{port.name} has {port.positions} positions, so no position {mapping.position}"


def _listed(names: set[str]) -> str:
    if not names:
        return "none"
    told = ", ".join(sorted(names)[:8])
    return told if len(names) <= 8 else f"{told} and {len(names) - 8} more"
