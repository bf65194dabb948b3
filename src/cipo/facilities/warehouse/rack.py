"""Rack and RackModel: where machines stand. A rack's free units, weight and power are computed from the assets in it (``rack_load``).

Positions follow the field's convention: a device's ``unit`` is the lowest number it takes, in steps of a half, whichever way the rack
counts (``descUnits``). Who takes which half unit of which face is a range claim of the *asset*, so two writers can never share one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from cipo.facilities.shapes import maker_key, units_text
from cipo.facilities.warehouse.cmdb import unit
from cipo.facilities.warehouse.site import Site
from cipo.kernel import Claim, Column, Kind, Model, Ref, Status, field

DERATE = 0.8  # NEC 210.20(A): continuous load at most 80 % of the breaker

Face = Literal["front", "rear", "left", "right"]


class Source(Model):
    """Where a figure comes from."""

    name: str = field(length=200, help="E.g. NetBox community device-type library, or the maker's data sheet.")
    path: str = field("", length=500, help="File or page within it.")
    licence: str = field("", length=64, help="Licence of the data, e.g. CC0-1.0.")


class RackModelSpec(Model):
    """Dimensions of a rack type."""

    manufacturer: str = field(length=120, help="Who makes it.")
    model: str = field(length=120, help="As the maker calls it.")
    description: str = field("", length=500, help="In a sentence.")
    form_factor: str = field("", length=64, help="E.g. 4-post-cabinet.")
    u_height: int = field(min=1, max=100, help="Rack units inside.")
    starting_unit: int = field(1, min=0, max=1000, help="Number of the first unit.")
    desc_units: bool = field(False, help="Whether numbers run from top to bottom.")
    width_in: int = field(19, min=10, max=23, help="Rail width in inches.")
    outer_width_mm: float | None = field(None, min=0, max=5000, help="Outer width.")
    outer_height_mm: float | None = field(None, min=0, max=10_000, help="Outer height.")
    outer_depth_mm: float | None = field(None, min=0, max=5000, help="Outer depth.")
    mounting_depth_mm: float | None = field(None, min=0, max=5000, help="Depth between the rails, as the source gives it.")
    weight_kg: float | None = field(None, min=0, max=10_000, help="Empty.")
    max_weight_kg: float | None = field(None, min=0, max=100_000, help="Load it bears.")
    source: Source | None = field(None, help="Where these figures come from.")


class RackModelStatus(Status):
    """Nothing of a model is observed."""


@unit.kind(
    short="rm",
    plural="rackmodels",
    columns=[
        Column("Manufacturer", "spec.manufacturer"),
        Column("Model", "spec.model"),
        Column("Units", "spec.uHeight", type="integer"),
        Column("Depth mm", "spec.mountingDepthMm", type="number", wide=True),
        Column("Load kg", "spec.maxWeightKg", type="number"),
    ],
    select=["spec.manufacturer"],
)
class RackModel(Kind[RackModelSpec, RackModelStatus]):
    """A rack as its maker sells it."""

    def claims(self) -> Iterable[Claim]:
        """A maker's model is described once."""
        yield Claim("rack-model", f"{maker_key(self.spec.manufacturer)}/{self.spec.model}", path="spec.model")


class Feed(Model):
    """A power feed of a rack."""

    name: str = field(length=16, help="A or B.")
    volts: float = field(min=1, max=1000, help="Volts, phase to neutral.")
    amps: float = field(min=0.1, max=1000, help="Breaker, a phase.")
    phases: Literal[1, 3] = field(1, help="One or three.")
    derate: float = field(DERATE, min=0.1, max=1, help="Share of the breaker that may be used for long.")

    @property
    def watts(self) -> float:
        """What it may carry."""
        return self.volts * self.amps * self.phases * self.derate


class RackSpec(Model):
    """Where it stands and what fits."""

    site: Ref[Site] = field(help="The building.")
    room: str = field("", length=64, help="A room of the site.")
    row: str = field("", length=32, help="Row in the room.")
    position: str = field("", length=32, help="Place in the row.")
    model: Ref[RackModel] | None = field(None, help="The type, for its data sheet; the figures below are this rack's own.")
    u_height: int = field(42, min=1, max=100, help="Rack units inside.")
    starting_unit: int = field(1, min=0, max=1000, help="Number of the first unit.")
    desc_units: bool = field(False, help="Whether numbers run from top to bottom.")
    width_in: int = field(19, min=10, max=23, help="Rail width in inches.")
    mounting_depth_mm: float | None = field(None, min=0, max=5000, help="Largest depth that fits between the rails; absent: not known.")
    max_weight_kg: float | None = field(None, min=0, max=100_000, help="Load it bears; absent: not known.")
    feeds: list[Feed] = field(list, key="name", each=8, help="Power feeds.")

    @property
    def end_unit(self) -> int:
        """The number after the last unit."""
        return self.starting_unit + self.u_height


class RackDevice(Model):
    """What stands where, as last computed."""

    asset: str = field(length=253, help="The asset.")
    unit: float = field(help="Lowest unit it takes.")
    height: float = field(help="Rack units; 0 beside the rails.")
    face: Face = field(help="Side it is mounted from.")


class FreeRange(Model):
    """A gap that a full-depth device fits in."""

    unit: float = field(help="Lowest unit.")
    height: float = field(help="Rack units.")


class PowerSum(Model):
    """What the machines in a rack may draw together, and how much of that is known."""

    typical_w: float = field(0, help="Sum of typical draws, or the maximum where only that is known.")
    maximum_w: float = field(0, help="Sum of maximum draws.")
    known: int = field(0, help="Devices whose draw is known.")
    unknown: int = field(0, help="Powered devices whose draw nobody has stated; they are not counted as zero.")
    smallest_feed_w: float | None = field(None, help="What the weakest feed carries when it must carry all.")


class RackStatus(Status):
    """Computed from the assets in the rack."""

    devices: list[RackDevice] = field(list, key="asset", each=400, help="What stands in it, from the top.")
    used_u: float = field(0, help="Units that are taken on any face.")
    free_u: float | None = field(None, help="Units that are free on both faces.")
    free: list[FreeRange] = field(list, each=200, help="Gaps, free on both faces.")
    weight_kg: float = field(0, help="Sum of the known weights.")
    weight_unknown: int = field(0, help="Devices whose model gives no weight.")
    power: PowerSum = field(PowerSum, help="Draw of the devices.")


@unit.kind(
    short="rk",
    plural="racks",
    columns=[
        Column("Site", "spec.site"),
        Column("Room", "spec.room"),
        Column("Row", "spec.row", wide=True),
        Column("Units", "spec.uHeight", type="integer"),
        Column("Used U", "status.usedU", type="number"),
        Column("Free U", "status.freeU", type="number"),
        Column("Weight kg", "status.weightKg", type="number"),
        Column("Typical W", "status.power.typicalW", type="number"),
        Column("Unknown W", "status.power.unknown", type="integer", wide=True, help="Devices of unknown draw."),
    ],
    select=["spec.site", "spec.room", "spec.row"],
)
class Rack(Kind[RackSpec, RackStatus]):
    """A rack with numbered units on two faces, power feeds and a load limit."""

    def validate_change(self, old: Rack | None, ctx: object) -> Iterable[tuple[str, str]]:
        """A rack cannot shrink below what stands in it, and a feed has one name."""
        names = [feed.name for feed in self.spec.feeds]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield f"spec.feeds[{index}].name", f'"{name}" is there twice; name the feeds A, B, …'
        outside = [
            device
            for device in self.status.devices
            if device.height > 0 and not (self.spec.starting_unit <= device.unit and device.unit + device.height <= self.spec.end_unit)
        ]
        if old and outside:
            told = ", ".join(f"{device.asset} at U{units_text(device.unit)}" for device in outside[:5])
            more = f" and {len(outside) - 5} more" if len(outside) > 5 else ""
            last = self.spec.end_unit - 1
            yield "spec.uHeight", f"units {self.spec.starting_unit} to {last} leave out {told}{more}; take them out of the rack first"
