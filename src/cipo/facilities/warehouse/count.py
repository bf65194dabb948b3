"""StockCount: a blind count of bins and racks, the measurement behind the KPI "100 % inventory accuracy".

Who: the asset manager starts and closes it; counters scan what they see and are told only whether the code was read, never what is
expected. At the start the expected set is frozen: ``status.hash`` is its SHA-256, ``status.sealed`` the set itself, packed so that no
page or table shows it (that is discretion, not secrecy: the hash proves afterwards that nobody changed it).
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Literal

import orjson

from cipo.facilities.warehouse.accuracy import Spot
from cipo.facilities.warehouse.asset_model import AssetModel
from cipo.facilities.warehouse.bin import Bin
from cipo.facilities.warehouse.cmdb import unit
from cipo.facilities.warehouse.rack import Rack
from cipo.facilities.warehouse.shipment import TIME
from cipo.kernel import Again, Claim, Column, Condition, Ctx, Done, Kind, Model, Ref, Status, field

EXPECTED_MAX = 20_000
SEALED_MAX = 1_500_000

Kindred = Literal["missing", "unexpected", "wrongPlace", "wrongSerial", "unreadable"]
Decision = Literal["accept-found", "mark-lost", "ignore"]


class RandomScope(Model):
    """A sample drawn by a seed, so that it can be drawn again by whoever doubts it."""

    n: int = field(
        min=1, max=5000, help="How many assets are drawn; the bins and racks they are in are counted whole, so the list names no asset."
    )
    seed: int = field(min=0, max=2**53, help="Seed of the draw.")


class Scope(Model):
    """What is counted: bins and racks, or every place that has one of some models, or a random sample of places."""

    bins: list[Ref[Bin]] = field(list, each=2000, help="These bins.")
    racks: list[Ref[Rack]] = field(list, each=2000, help="These racks.")
    models: list[Ref[AssetModel]] = field(list, each=200, help="Only assets of these models, wherever they are.")
    random: RandomScope | None = field(None, help="Or a random sample.")


class StockCountSpec(Model):
    """What is counted, how, and until when."""

    scope: Scope = field(help="What is counted.")
    blind: bool = field(True, help="Whether counters are kept from knowing what is expected.")
    counters: list[str] = field(list, each=100, help="Who counts; for the record.")
    deadline: str | None = field(None, pattern=TIME, help="After this no scan is taken.")


class CountDiscrepancy(Model):
    """Something that was not as the record says."""

    asset: str = field("", length=253, help="The asset; empty for a code that nobody knows.")
    kind: Kindred = field(help="What is wrong.")
    expected: str = field("", length=300, help="Where the record had it at that moment.")
    found: str = field("", length=300, help="Where it was scanned.")
    code: str = field("", length=300, help="The code, if no asset has it.")
    decision: Decision | None = field(None, help="What was done about it.")
    decided_by: str = field("", length=253, help="Who decided.")
    decided_at: str | None = field(None, help="When (UTC).")


class StockCountStatus(Status):
    """How far the count is, and after its close what it found."""

    phase: Literal["Draft", "Counting", "Closed"] = field("Draft", help="Where it is.")
    started_at: str | None = field(None, help="When the expected set was frozen (UTC).")
    places: list[str] = field(list, each=5000, help="Bins and racks to be counted.")
    hash: str = field("", length=64, help="SHA-256 of the frozen expected set.")
    sealed: str = field("", length=SEALED_MAX, help="The frozen expected set: JSON, deflated, base64.")
    sheet: list[str] = field(list, each=EXPECTED_MAX, help="The expected set in words, for a count that is not blind.")
    scans: int = field(0, help="Scans so far.")
    closed_at: str | None = field(None, help="When it was closed (UTC).")
    total: int | None = field(None, help="Things that were expected or found.")
    correct: int | None = field(None, help="Of these, right at first scan.")
    netted: int | None = field(None, help="Expected things that the record moved during the count; they are left out.")
    accuracy: float | None = field(None, help="Correct ÷ total.")
    discrepancies: list[CountDiscrepancy] = field(list, each=EXPECTED_MAX, help="What was not right, with what was done about it.")


@unit.kind(
    short="sc",
    plural="stockcounts",
    columns=[
        Column("Phase", "status.phase"),
        Column("Blind", "spec.blind", type="boolean"),
        Column("Scans", "status.scans", type="integer"),
        Column("Correct", "status.correct", type="integer"),
        Column("Total", "status.total", type="integer"),
        Column("Accuracy", "status.accuracy", type="number"),
        Column("Deadline", "spec.deadline", type="date", wide=True),
    ],
    select=["status.phase", "spec.blind"],
    lifecycle=["Draft", "Counting", "Closed"],
)
class StockCount(Kind[StockCountSpec, StockCountStatus]):
    """A count of what lies in some places, compared with the record; its result is a fact for each thing."""

    def validate_change(self, old: StockCount | None, ctx: object) -> Iterable[tuple[str, str]]:
        """One way to choose, and no change once counting has begun."""
        scope = self.spec.scope
        ways = [
            name
            for name, given in (("bins or racks", scope.bins or scope.racks), ("models", scope.models), ("random", scope.random))
            if given
        ]
        if not ways:
            yield "spec.scope", "is empty; name bins, racks or models, or ask for a random sample"
        if len(ways) > 1:
            yield "spec.scope", f"gives {' and '.join(ways)}; choose one way, or make two counts"
        if old and old.status.phase != "Draft":
            for name in ("scope", "blind"):
                if getattr(old.spec, name) != getattr(self.spec, name):
                    yield f"spec.{name}", f"cannot change while the count is {old.status.phase}; make another count"


class CountScanSpec(Model):
    """What was scanned, and where."""

    count: Ref[StockCount] = field(immutable=True, help="The count.")
    payload: str = field("", length=4096, immutable=True, help="The code, as far as it can be printed.")
    place: str = field(length=300, immutable=True, help="The bin or rack where it was, bin/… or rack/….")
    unit: str = field("", length=16, immutable=True, help="Rack unit, if the counter gave it.")
    client_at: str | None = field(None, pattern=TIME, immutable=True, help="When the device scanned it.")
    by: str = field("", length=253, immutable=True, help="Who scanned it.")


class CountScanStatus(Status):
    """What the counter was told. Empty for an object that no scan made."""

    verdict: Literal["counted", "duplicate", "unknownCode", "unreadable", "outOfScope"] | None = field(None, help="In one word.")
    asset: str = field("", length=253, help="The asset that was read.")
    serial_differs: bool = field(False, help="Whether the serial on the thing was another than the record's.")
    at: str | None = field(None, help="When the server took it (UTC).")


@unit.kind(
    short="cs",
    plural="countscans",
    columns=[
        Column("Count", "spec.count"),
        Column("Place", "spec.place"),
        Column("Verdict", "status.verdict"),
        Column("Asset", "status.asset"),
        Column("By", "spec.by", wide=True),
    ],
    select=["spec.count", "spec.place", "status.verdict", "status.asset"],
    phase="status.verdict",
    cascade=["spec.count"],
)
class CountScan(Kind[CountScanSpec, CountScanStatus]):
    """One scan of a count; named by the uuid that the scanning device gave, so that it is taken once."""

    def claims(self) -> Iterable[Claim]:
        """A thing counts once, at its first scan."""
        count = self.spec.count.name
        if self.status.verdict == "counted":
            yield Claim(f"count/{count}/asset", self.status.asset, path="spec.payload")
        elif self.status.verdict == "unknownCode":
            yield Claim(f"count/{count}/code", code_key(self.spec.payload), path="spec.payload")


def code_key(payload: str) -> str:
    """An unknown code as a claim: the same code is one unknown thing."""
    return hashlib.sha256(payload.encode()).hexdigest()


def seal(expected: dict[str, Spot]) -> tuple[str, str]:
    """(hash, packed set) of what is expected."""
    plain = orjson.dumps({asset: [spot.place, spot.unit] for asset, spot in expected.items()}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(plain).hexdigest(), base64.b64encode(zlib.compress(plain, 9)).decode()


def unseal(count: StockCount) -> dict[str, Spot]:
    """The expected set as it was frozen. ValueError if it is not what was hashed."""
    opened = zlib.decompressobj().decompress(base64.b64decode(count.status.sealed), 64 * EXPECTED_MAX * 8)
    if hashlib.sha256(opened).hexdigest() != count.status.hash:
        raise ValueError(f"the expected set of {count.name} is not the one that was frozen at its start")
    return {asset: Spot(place, unit_) for asset, (place, unit_) in orjson.loads(opened).items()}


@unit.reconcile(StockCount)
async def watch_deadline(count: StockCount, ctx: Ctx) -> Done | Again:
    """Say when a count is over its time; closing it stays a person's decision."""
    status, deadline = count.status, count.spec.deadline
    if status.phase != "Counting" or deadline is None:
        status.conditions = [condition for condition in status.conditions if condition.type != "Overdue"]
        return Done()
    left = -ctx.since(deadline)
    if left > 0:
        return Again(after=timedelta(seconds=left))
    if not any(condition.type == "Overdue" for condition in status.conditions):
        told = "the deadline has passed and no more scans are taken; close the count, or move spec.deadline"
        status.conditions = [
            *status.conditions,
            Condition(type="Overdue", status="True", reason="DeadlinePassed", message=told, last_transition_time=ctx.now_iso()),
        ]
    return Done()
