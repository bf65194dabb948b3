"""U-W3 RMA: a defective asset goes back to its maker, and somebody watches the clock until the replacement is there.

Who: the warehouse opens it, scans the part out, and scans the replacement in. KPI: RMA turnaround <= 5 days (org/chart/1A.yaml), the time
between two facts: the first says when the RMA was opened, the second is left by ``receive``. One that hangs counts though nobody touches it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from cipo.facilities.kinds import Asset
from cipo.kernel import Again, Blocked, Claim, Column, Ctx, Done, Kind, Model, Ref, Status, Unit, field

unit = Unit("1A/U-W3")
OPENED = unit.fact("rma.opened", unit="1", help="An asset began to wait for its replacement.")
CLOSED = unit.fact("rma.closed", unit="1", attrs={"replacement": str}, help="The replacement is here.")


class RmaSpec(Model):
    """What goes back, and why."""

    asset: Ref[Asset] = field(immutable=True, help="The defective asset; it keeps its history.")
    fault: str = field(length=2000, help="What is wrong, with the test that showed it.")
    days: float = field(5, min=0, max=90, help="Days the maker has by its warranty terms.")


class RmaStatus(Status):
    """How far it is."""

    phase: Literal["Open", "Shipped", "Closed"] = field("Open", help="Where it is.")
    timed: bool = field(False, help="Whether the clock of the turnaround runs.")
    waybill: str = field("", length=64, help="The parcel it left with.")
    replacement: str = field("", length=128, help="Serial number of what came back.")


@unit.kind(
    short="rma",
    plural="rmas",
    columns=[Column("Asset", "spec.asset"), Column("Phase", "status.phase"), Column("Waybill", "status.waybill", wide=True)],
    select=["spec.asset", "status.phase"],
    lifecycle=["Open", "Shipped", "Closed"],
)
class Rma(Kind[RmaSpec, RmaStatus]):
    """A defective part on its way to its maker and back."""

    def claims(self) -> Iterable[Claim]:
        """One open RMA an asset."""
        if self.status.phase != "Closed":
            yield Claim("rma/asset", self.spec.asset.name, path="spec.asset")

    def validate_change(self, old: Rma | None, ctx: object) -> Iterable[tuple[str, str]]:
        """A fault is described in words that the maker can act on."""
        if len(self.spec.fault.split()) < 3:
            yield "spec.fault", "is too short for the maker; say what fails and which test showed it"


class Waybill(Model):
    """The label on the parcel."""

    waybill: str = field(length=64, pattern=r"\S", help="The carrier's number.")


class Arrival(Model):
    """The replacement, scanned."""

    serial: str = field(length=128, pattern=r"\S", help="Serial number on the thing.")


@unit.action(Rma, phase="Open", input=Waybill)
async def ship(rma: Rma, parcel: Waybill, ctx: Ctx) -> None:
    """The part leaves the building."""
    rma.status.phase, rma.status.waybill = "Shipped", parcel.waybill


@unit.action(Rma, phase="Shipped", input=Arrival, leaves=[OPENED, CLOSED])
async def receive(rma: Rma, arrival: Arrival, ctx: Ctx) -> None:
    """The replacement is here: stop the clock."""
    defective = await ctx.get(rma.spec.asset)
    if arrival.serial == defective.spec.serial:
        raise ctx.refuse("serial", arrival.serial, f"is the defective {defective.name} itself; scan what the maker sent instead")
    rma.status.phase, rma.status.replacement = "Closed", arrival.serial
    start_the_clock(rma, ctx)
    ctx.fact(CLOSED, 1, subject=rma, replacement=arrival.serial)


@unit.reconcile(Rma)
async def watch_the_clock(rma: Rma, ctx: Ctx) -> Done | Again:
    """Wait as long as the maker has, then ask a person."""
    start_the_clock(rma, ctx)
    if rma.status.phase == "Closed":
        return Done()
    left = rma.spec.days - ctx.days_since(rma.metadata.creation_timestamp or ctx.now_iso())
    if left <= 0:
        raise Blocked(f"{rma.name} is open for more than {rma.spec.days:g} days", todo=f"ask the maker where {rma.spec.asset.name} is")
    return Again(after=timedelta(days=left), reason="the maker has it")


def start_the_clock(rma: Rma, ctx: Ctx) -> None:
    """Leave the fact of the opening, once: it is about the moment in which the RMA was made, whenever it is written."""
    if not rma.status.timed:
        made = rma.metadata.creation_timestamp
        ctx.fact(OPENED, 1, subject=rma, at=datetime.fromisoformat(made) if made else None)
        rma.status.timed = True
