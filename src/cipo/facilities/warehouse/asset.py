"""Asset: one physical thing from order to disposal, with one identity and one place at a time.

Who: the dock makes it by scan, technicians place it, the asset manager counts and retires it. What it holds alone is claimed with every
write: its serial number (per maker), tag, EPC, MAC addresses, bay, and each half rack unit of each face it takes. Its moves are in
``asset_actions``. KPI: inventory accuracy (its place is what a blind count checks).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from cipo.facilities.shapes import SERIAL_MAX, Money, bad_serial, half_units, junk_serial, maker_key, normal_mac, normal_serial, units_text
from cipo.facilities.warehouse.asset_model import AssetModel
from cipo.facilities.warehouse.bin import Bin
from cipo.facilities.warehouse.cmdb import unit
from cipo.facilities.warehouse.lifecycle import USUAL, Lifecycle
from cipo.facilities.warehouse.rack import Face, Rack
from cipo.kernel import Claim, Column, Kind, Model, RangeClaim, Ref, Status, field

TRAIL_MAX = 20
TAG_PATTERN = r"^CIPO-[0-9]{6,9}$"


class Purchase(Model):
    """Where it was bought."""

    po: str = field("", length=64, help="Purchase order.")
    line: int | None = field(None, min=1, max=100_000, help="Line of the order.")
    cost: Money | None = field(None, help="Price of this one.")
    date: str | None = field(None, pattern=r"^\d{4}-\d{2}-\d{2}$", help="Day of the invoice.")


class AssetSpec(Model):
    """What it is and what identifies it."""

    model: Ref[AssetModel] = field(help="The product.")
    manufacturer: str = field("", length=120, help="Its maker: a serial number is unique with its maker only.")
    serial: str = field(
        "", length=128, help="Serial number as it is claimed: upper case, no blanks. Follows serialPrinted where that is given."
    )
    serial_printed: str = field("", length=128, help="As printed on the thing, e.g. 7XK2 9P3.")
    tag: str = field("", pattern=rf"(^$)|({TAG_PATTERN})", help="Our label, e.g. CIPO-000421; held by one asset.")
    epc: str = field("", pattern=r"^([0-9A-F]{16,64})?$", help="RFID tag's EPC in hexadecimal.")
    macs: list[str] = field(list, each=64, help="MAC addresses of its ports, BMC included.")
    ownership: Literal["owned", "leased", "consigned"] = field("owned", help="Whose it is.")
    purchase: Purchase | None = field(None, help="Where it was bought.")
    cost_centre: str = field("", length=64, help="Who pays for it.")


class RackPosition(Model):
    """A place in a rack.

    Height and depth are copied from the model when the asset is placed: a claim is computed from the asset alone, and what was screwed
    in keeps its size even if the model's data sheet is corrected later.
    """

    rack: Ref[Rack] = field(help="The rack.")
    unit: float = field(min=0, max=2000, help="Lowest unit it takes, in steps of 0.5; beside the rails: slot number.")
    face: Face = field("front", help="Side it is mounted from; left and right are beside the rails.")
    height: float = field(min=0, max=100, help="Rack units it takes; 0 beside the rails.")
    full_depth: bool = field(True, help="Whether it takes the other face too.")

    def faces(self) -> tuple[str, ...]:
        """The faces whose units it takes."""
        return ("front", "rear") if self.full_depth else (self.face,)

    def claims(self) -> Iterator[Claim | RangeClaim]:
        """The half units of each face it takes, or its slot beside the rails."""
        path = "status.location.rackPosition"
        if self.height == 0:
            yield Claim(f"rack/{self.rack.name}/{self.face}", units_text(self.unit), path=path)
            return
        lo = half_units(self.unit)
        for face in self.faces():
            label = f"U{units_text(self.unit)} {face}" + (f" ({units_text(self.height)}U)" if self.height != 1 else "")
            yield RangeClaim(f"rack/{self.rack.name}/{face}", lo, lo + half_units(self.height), path=path, label=label)


class Parent(Model):
    """A bay of another asset."""

    asset: Ref[Asset] = field(help="The asset it is built into.")
    bay: str = field(length=64, help="The bay.")


class Transit(Model):
    """Arrived or on its way, not yet put away."""

    shipment: str = field(length=253, help="The shipment it came with.")


class Location(Model):
    """Where it is: exactly one of bin, rackPosition, parent, transit; none while it is ordered or lost."""

    bin: Ref[Bin] | None = field(None, help="The bin it lies in.")
    rack_position: RackPosition | None = field(None, help="Its units in a rack.")
    parent: Parent | None = field(None, help="The asset it is built into.")
    transit: Transit | None = field(None, help="The shipment it came with.")
    since: str | None = field(None, length=40, help="When it came there (UTC).")

    def places(self) -> list[str]:
        """Which of the alternatives are given."""
        return [name for name in ("bin", "rack_position", "parent", "transit") if getattr(self, name) is not None]

    def text(self) -> str:
        """In words, for messages: ``bin fra1.a-03``, ``rack r12 U10 front``."""
        if self.bin:
            return f"bin {self.bin.name}"
        if self.rack_position:
            position = self.rack_position
            where = (
                f"U{units_text(position.unit)} {position.face}" if position.height else f"{position.face} slot {units_text(position.unit)}"
            )
            return f"rack {position.rack.name} {where}"
        if self.parent:
            return f"{self.parent.asset.name} bay {self.parent.bay}"
        if self.transit:
            return f"shipment {self.transit.shipment}"
        return "nowhere"

    def key(self) -> tuple[str, str]:
        """The place and the unit in it, as a count compares them: ``("rack/r12", "10")``; empty when it is nowhere."""
        if self.bin:
            return f"bin/{self.bin.name}", ""
        if self.rack_position:
            return f"rack/{self.rack_position.rack.name}", units_text(self.rack_position.unit)
        if self.parent:
            return f"asset/{self.parent.asset.name}", self.parent.bay
        return (f"shipment/{self.transit.shipment}", "") if self.transit else ("", "")


class Stay(Model):
    """A place it came to."""

    place: str = field("", length=300, help="bin/…, rack/…, asset/… or shipment/…; empty: nowhere.")
    unit: str = field("", length=64, help="Rack unit or bay.")
    since: str = field(length=40, help="When it came there (UTC).")


class LastSeen(Model):
    """The latest independent sighting."""

    source: str = field(length=64, help="What saw it, e.g. dock or count.")
    at: str = field(length=40, help="When (UTC).")
    place: str = field("", length=300, help="Where, if the source could tell.")


class Received(Model):
    """How it came into the building."""

    shipment: str = field("", length=253, help="The shipment.")
    at: str = field(length=40, help="When it was scanned (UTC).")


class AssetStatus(Status):
    """What its unit's actions have recorded."""

    lifecycle: Lifecycle = field("Ordered", help="Where it is in its life.")
    location: Location = field(Location, help="Where it is in the building.")
    trail: list[Stay] = field(list, each=TRAIL_MAX, help="Its latest places, oldest first: the ledger that a count is compared with.")
    received: Received | None = field(None, help="How it came in.")
    last_seen: LastSeen | None = field(None, help="The latest independent sighting.")
    last_known: str = field("", length=300, help="Where it was before it was lost.")
    reason: str = field("", length=500, help="Why it was retired or lost.")


@unit.kind(
    short="as",
    plural="assets",
    columns=[
        Column("Model", "spec.model"),
        Column("Tag", "spec.tag", wide=True),
        Column("Serial", "spec.serial"),
        Column("Lifecycle", "status.lifecycle"),
        Column("Bin", "status.location.bin"),
        Column("Rack", "status.location.rackPosition.rack"),
        Column("Unit", "status.location.rackPosition.unit", type="number"),
        Column("Parent", "status.location.parent.asset", wide=True),
        Column("Seen", "status.lastSeen.at", type="date", wide=True),
    ],
    select=[
        "spec.model",
        "spec.serial",
        "spec.tag",
        "status.lifecycle",
        "status.location.bin",
        "status.location.rackPosition.rack",
        "status.location.parent.asset",
        "status.received.shipment",
    ],
    phase="status.lifecycle",
    lifecycle=USUAL,
)
class Asset(Kind[AssetSpec, AssetStatus]):
    """A physical thing: a server, switch, PDU, panel, disk or cable, with its identity, its place and its history."""

    def default(self) -> None:
        """The claimed form of the serial follows from what is printed, where that is known."""
        spec = self.spec
        spec.serial = normal_serial(spec.serial_printed or spec.serial)[:SERIAL_MAX]
        spec.macs = [normal_mac(mac) or mac for mac in spec.macs]

    def claims(self) -> Iterable[Claim | RangeClaim]:
        """Its identities, its bay, its units in a rack."""
        spec, location = self.spec, self.status.location
        if spec.serial and junk_serial(spec.serial) is None:
            yield Claim(f"asset/serial/{maker_key(spec.manufacturer)}", spec.serial, path="spec.serial")
        if spec.tag:
            yield Claim("asset/tag", spec.tag, path="spec.tag")
        if spec.epc:
            yield Claim("asset/epc", spec.epc, path="spec.epc")
        for mac in dict.fromkeys(spec.macs):
            yield Claim("asset/mac", mac, path="spec.macs")
        if location.parent:
            yield Claim(f"asset/bay/{location.parent.asset.name}", location.parent.bay, path="status.location.parent")
        if location.rack_position:
            yield from location.rack_position.claims()

    def validate_change(self, old: Asset | None, ctx: object) -> Iterable[tuple[str, str]]:
        """Something must identify it, and it is in one place."""
        spec = self.spec
        yield from _serial_faults(spec)
        for index, mac in enumerate(spec.macs):
            if normal_mac(mac) is None:
                yield f"spec.macs[{index}]", f'"{mac[:40]}" is not a MAC address; write six pairs of hexadecimal digits'
        if not spec.tag and (not spec.serial or junk_serial(spec.serial)):
            why = f'the serial "{spec.serial}" cannot ({junk_serial(spec.serial)})' if spec.serial else "there is no serial"
            yield "spec.tag", f"something must identify it, and {why}; give it a tag, e.g. CIPO-000421"
        places = self.status.location.places()
        if len(places) > 1:
            yield "status.location", f"is {' and '.join(places)} at once; an asset is in one place"

    def settle(self, location: Location, now: str) -> None:
        """It is there from now on."""
        location.since = now if location.places() else None
        place, unit_ = location.key()
        self.status.location = location
        self.status.trail = [*self.status.trail, Stay(place=place, unit=unit_, since=now)][-TRAIL_MAX:]

    @property
    def usable_serial(self) -> str:
        """The serial if it identifies, else empty."""
        return "" if junk_serial(self.spec.serial) else self.spec.serial


def _serial_faults(spec: AssetSpec) -> Iterable[tuple[str, str]]:
    for path, text in (("spec.serialPrinted", spec.serial_printed), ("spec.serial", spec.serial)):
        fault = bad_serial(text)
        if fault:
            yield path, fault
    if spec.serial and not junk_serial(spec.serial) and not maker_key(spec.manufacturer):
        yield "spec.manufacturer", "say who made it: a serial number is unique with its maker only"


for _model in (Parent, Location, AssetStatus, Asset):
    _model.model_rebuild()  # Parent refers to Asset, which is complete only now
