"""Warehouse and Bin: where things lie that are not in a rack. A bin's label says ``BIN/<name>``; the dock scans it, then the thing.

The warehouse also keeps the list of serial numbers that its dock must stop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from cipo.facilities.shapes import maker_key, normal_serial
from cipo.facilities.warehouse.inbound import unit
from cipo.facilities.warehouse.site import Site
from cipo.kernel import Claim, Column, Kind, Model, Ref, Status, field


class Hold(Model):
    """A serial number that must not go into stock: stolen, or called back by its maker."""

    serial: str = field(length=128, help="Serial number, in any spelling.")
    manufacturer: str = field("", length=120, help="Its maker; empty matches any.")
    reason: str = field(length=500, help="Shown to the person who scans it, e.g. 'recalled: battery, call the buyer'.")


class WarehouseSpec(Model):
    """Where it is, and what its dock must stop."""

    site: Ref[Site] = field(help="The building.")
    title: str = field("", length=120, help="Name for people.")
    hold: list[Hold] = field(list, each=1000, help="Serials that the dock must stop.")


class WarehouseStatus(Status):
    """What the record says about it."""

    bins: int = field(0, help="Bins that stand in it.")


@unit.kind(
    short="wh",
    plural="warehouses",
    columns=[
        Column("Site", "spec.site"),
        Column("Title", "spec.title"),
        Column("Bins", "status.bins", type="integer"),
    ],
    select=["spec.site"],
)
class Warehouse(Kind[WarehouseSpec, WarehouseStatus]):
    """A store of a site, with bins and a dock."""

    def held(self, serial: str, manufacturer: str) -> str | None:
        """Why this serial is on the hold list, or None."""
        wanted = normal_serial(serial)
        for entry in self.spec.hold:
            if normal_serial(entry.serial) == wanted and maker_key(entry.manufacturer) in ("", maker_key(manufacturer)):
                return entry.reason
        return None


class BinSpec(Model):
    """Which place it is."""

    warehouse: Ref[Warehouse] = field(immutable=True, help="The store it stands in.")
    code: str = field(length=32, pattern=r"^[A-Z0-9][A-Z0-9._-]*$", help="As on the shelf, e.g. A-03-2; once per warehouse.")
    type: Literal["dock", "shelf", "quarantine", "rma", "ewaste", "cage"] = field("shelf", help="What may lie here.")
    capacity: int | None = field(None, min=1, max=100_000, help="How many assets fit; absent: not limited.")


class BinStatus(Status):
    """How full it is."""

    count: int = field(0, help="Assets that lie here by the record.")


@unit.kind(
    short="bin",
    plural="bins",
    columns=[
        Column("Warehouse", "spec.warehouse"),
        Column("Code", "spec.code"),
        Column("Type", "spec.type"),
        Column("Assets", "status.count", type="integer"),
        Column("Capacity", "spec.capacity", type="integer", wide=True),
    ],
    select=["spec.warehouse", "spec.code", "spec.type"],
)
class Bin(Kind[BinSpec, BinStatus]):
    """A shelf, cage or dock place of a warehouse; assets lie in it."""

    def claims(self) -> Iterable[Claim]:
        """A code is one bin's within its warehouse."""
        yield Claim(f"bin/{self.spec.warehouse.name}", self.spec.code, path="spec.code")
