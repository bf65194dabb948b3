"""Shipment: what a carrier brings, received piece by piece by scan. The first good scan of a serial makes the asset.

Who: the dock worker at the receiving page, offline too: each scan carries a uuid and is done once. Every scan becomes a ``DockScan`` with
its verdict (``verdict``), whatever it was. Facts: ``inbound.scan``, ``inbound.dock_to_stock``, ``inbound.discrepancy``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from cipo.facilities.shapes import bad_serial, check_digit, normal_serial
from cipo.facilities.warehouse.asset_model import AssetModel
from cipo.facilities.warehouse.bin import Bin, Warehouse
from cipo.facilities.warehouse.inbound import unit
from cipo.facilities.warehouse.verdict import Word
from cipo.kernel import Claim, Column, Kind, Model, Ref, Status, field

Phase = Literal["Announced", "Arrived", "Receiving", "Received", "Discrepant"]
TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$"


class ShipmentLine(Model):
    """Pieces of one model."""

    line: int = field(min=1, max=100_000, help="Number, once per shipment.")
    model: Ref[AssetModel] = field(help="What it is.")
    quantity: int = field(min=1, max=100_000, help="How many.")
    serials: list[str] = field(list, each=10_000, help="Serial numbers, if the sender announced them.")
    order_line: int | None = field(None, min=1, max=100_000, help="Line of the purchase order.")


class Package(Model):
    """A pallet or carton."""

    sscc: str = field("", pattern=r"^([0-9]{18})?$", help="Serial shipping container code, if it has one.")
    lines: list[ShipmentLine] = field(list, key="line", each=200, help="What is in it.")


class ShipmentSpec(Model):
    """What was announced."""

    warehouse: Ref[Warehouse] = field(help="Where it goes.")
    purchase_order: str = field("", length=64, help="Order that it answers.")
    carrier: str = field("", length=120, help="Who brings it.")
    tracking: str = field("", length=120, help="The carrier's number.")
    source: Literal["asn", "manual"] = field("manual", help="Whether the sender announced it or we typed it.")
    eta: str | None = field(None, pattern=TIME, help="When it should arrive.")
    packages: list[Package] = field(list, each=500, help="What is in it.")

    @property
    def lines(self) -> list[ShipmentLine]:
        """The lines of all packages."""
        return [line for package in self.packages for line in package.lines]


class LineCount(Model):
    """How far a line is."""

    line: int = field(help="The line.")
    received: int = field(0, help="Accepted pieces.")


class Discrepancy(Model):
    """What a completed shipment lacks."""

    line: int = field(help="The line.")
    kind: Literal["short", "notScanned"] = field(help="Too few pieces, or announced serials that were never scanned.")
    quantity: int = field(help="How many.")
    serials: list[str] = field(list, each=10_000, help="Which, if they were announced by serial.")


class ShipmentStatus(Status):
    """What the dock has done."""

    phase: Phase = field("Announced", help="Where it is.")
    arrived_at: str | None = field(None, help="When it came to the dock (UTC).")
    dock: Ref[Bin] | None = field(None, help="Where it stands.")
    seal: str = field("", length=64, help="Number of the seal, as found.")
    scans: int = field(0, help="Scans so far, refused ones too.")
    accepted: int = field(0, help="Pieces received.")
    expected: int = field(0, help="Pieces announced.")
    lines: list[LineCount] = field(list, key="line", each=1000, help="How far each line is.")
    seen: list[str] = field(list, each=10_000, help="Announced serials that were received.")
    completed_at: str | None = field(None, help="When it was closed (UTC).")
    discrepancies: list[Discrepancy] = field(list, each=2000, help="What it lacks.")
    stocked: list[str] = field(list, each=10_000, help="Assets whose way from dock to stock has been measured.")


@unit.kind(
    short="sh",
    plural="shipments",
    columns=[
        Column("Warehouse", "spec.warehouse"),
        Column("Order", "spec.purchaseOrder"),
        Column("Phase", "status.phase"),
        Column("Received", "status.accepted", type="integer"),
        Column("Expected", "status.expected", type="integer"),
        Column("Carrier", "spec.carrier", wide=True),
        Column("ETA", "spec.eta", type="date", wide=True),
    ],
    select=["spec.warehouse", "spec.purchaseOrder", "status.phase"],
    lifecycle=["Announced", "Arrived", "Receiving", "Received"],
)
class Shipment(Kind[ShipmentSpec, ShipmentStatus]):
    """A delivery with its packages and lines, received by scan."""

    def default(self) -> None:
        """How many pieces were announced follows from the lines."""
        if self.status.phase == "Announced":
            self.status.expected = sum(line.quantity for line in self.spec.lines)

    def claims(self) -> Iterable[Claim]:
        """A package is on one shipment."""
        for package in self.spec.packages:
            if package.sscc:
                yield Claim("sscc", package.sscc, path="spec.packages")

    def validate_change(self, old: Shipment | None, ctx: object) -> Iterable[tuple[str, str]]:
        """Lines are numbered once, serials announced once, package codes have the right check digit; closed lines stay."""
        if old and old.status.phase != "Announced" and [p.wire() for p in old.spec.packages] != [p.wire() for p in self.spec.packages]:
            yield "spec.packages", f"cannot change while the shipment is {old.status.phase}; make another shipment for what is new"
        numbers: set[int] = set()
        serials: set[str] = set()
        codes: set[str] = set()
        for p, package in enumerate(self.spec.packages):
            if package.sscc in codes:
                yield f"spec.packages[{p}].sscc", f"{package.sscc} is there twice"
            codes |= {package.sscc} - {""}
            if package.sscc and check_digit(package.sscc[:-1]) != package.sscc[-1]:
                yield f"spec.packages[{p}].sscc", f"{package.sscc} should end in {check_digit(package.sscc[:-1])}; one digit is mistyped"
            for n, line in enumerate(package.lines):
                yield from _line_faults(f"spec.packages[{p}].lines[{n}]", line, numbers, serials)
        if not numbers:
            yield "spec.packages", "name at least one line with a model and a quantity"

    def received(self, line: int) -> int:
        """Accepted pieces of a line."""
        return next((count.received for count in self.status.lines if count.line == line), 0)

    def count(self, line: int) -> None:
        """One more piece of a line."""
        counts = {entry.line: entry.received for entry in self.status.lines}
        counts[line] = counts.get(line, 0) + 1
        self.status.lines = [LineCount(line=number, received=counts[number]) for number in sorted(counts)]


class DockScanSpec(Model):
    """What was scanned, and what the person gave with it."""

    shipment: Ref[Shipment] = field(immutable=True, help="The delivery.")
    payload: str = field("", length=4096, immutable=True, help="The code, as far as it can be printed.")
    client_at: str | None = field(
        None, pattern=TIME, immutable=True, help="When the device scanned it; later is when the server heard of it."
    )
    reason: str = field("", length=500, immutable=True, help="Why it was accepted although it was not announced.")
    by: str = field("", length=253, immutable=True, help="Who scanned it.")


class DockScanStatus(Status):
    """What the dock was told. Empty for an object that no scan made."""

    verdict: Word | None = field(None, help="In one word.")
    message: str = field("", length=2000, help="In a sentence.")
    asset: str = field("", length=253, help="The asset that was received or is in the way.")
    line: int | None = field(None, help="The line it was taken for.")
    serial: str = field("", length=128, help="The serial number that was read.")
    at: str | None = field(None, help="When the server judged it (UTC).")


@unit.kind(
    short="ds",
    plural="dockscans",
    columns=[
        Column("Shipment", "spec.shipment"),
        Column("Payload", "spec.payload"),
        Column("Verdict", "status.verdict"),
        Column("Asset", "status.asset"),
        Column("Scanned", "spec.clientAt", type="date", wide=True),
    ],
    select=["spec.shipment", "status.verdict", "status.asset"],
    phase="status.verdict",
    cascade=["spec.shipment"],
)
class DockScan(Kind[DockScanSpec, DockScanStatus]):
    """One scan at the dock with its verdict; named by the uuid that the scanning device gave, so that it is judged once."""


def _line_faults(path: str, line: ShipmentLine, numbers: set[int], serials: set[str]) -> Iterable[tuple[str, str]]:
    if line.line in numbers:
        yield f"{path}.line", f"line {line.line} is there twice; number the lines through all packages"
    numbers.add(line.line)
    if len(line.serials) > line.quantity:
        yield f"{path}.serials", f"{len(line.serials)} serials for {line.quantity} pieces; raise the quantity or drop the extra ones"
    for index, printed in enumerate(line.serials):
        serial = normal_serial(printed)
        if fault := bad_serial(printed):
            yield f"{path}.serials[{index}]", fault
        elif serial in serials:
            yield f"{path}.serials[{index}]", f"{serial} is announced twice"
        serials.add(serial)
