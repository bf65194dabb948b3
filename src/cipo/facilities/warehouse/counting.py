"""The actions of a stock count: start, count, close, adjust.

``start`` freezes what the record expects; ``count`` takes one scan; ``close`` compares (``accuracy``) and leaves one fact ``cmdb.count``
for each thing of expected ∪ found, before anything is corrected; ``adjust`` corrects the record, one decision a discrepancy.
"""

from __future__ import annotations

import random
import zlib
from datetime import datetime

from cipo.facilities.shapes import RackUnits, normal_serial, units_text
from cipo.facilities.warehouse.accuracy import Line, Sighting, Spot, Stay, compare
from cipo.facilities.warehouse.asset import Asset, Location
from cipo.facilities.warehouse.asset_actions import find, lose, saw
from cipo.facilities.warehouse.bin import Bin
from cipo.facilities.warehouse.cmdb import COUNT, SEEN, TRANSITION, unit
from cipo.facilities.warehouse.count import (
    EXPECTED_MAX,
    CountDiscrepancy,
    CountScan,
    CountScanStatus,
    Decision,
    StockCount,
    code_key,
    seal,
    unseal,
)
from cipo.facilities.warehouse.lifecycle import GONE
from cipo.facilities.warehouse.rack import Rack
from cipo.facilities.warehouse.receiving import UUID, fresh_uuid
from cipo.facilities.warehouse.scan import BadPayload, Reading, read
from cipo.facilities.warehouse.shipment import TIME
from cipo.kernel import Ctx, Model, Ref, field


class CountInput(Model):
    """One scan of a counter."""

    uuid: str = field(
        fresh_uuid, pattern=UUID, help="Made by the device for this scan; the same again changes nothing. Left out: a new one."
    )
    place: str = field(length=300, help="Where the counter stands: the code of the bin or rack, BIN/… or RACK/….")
    payload: str = field("", length=4096, help="What the scanner read.")
    serial: str = field("", length=128, help="Serial number on the thing, if its label and its serial are both scanned.")
    unit: RackUnits | None = field(None, min=0, max=2000, help="Rack unit, if it is read off too.")
    unreadable: bool = field(False, help="There is a thing, but no code on it can be read.")
    client_at: str | None = field(None, pattern=TIME, help="When the device scanned it.")


class Counted(Model):
    """The answer to a scan. Blind: it says what was read, never what was expected."""

    verdict: str = field(help="counted, duplicate, unknownCode, unreadable or outOfScope.")
    message: str = field(help="In a sentence.")
    asset: str = field("", help="The asset that was read.")
    repeated: bool = field(False, help="Whether this scan had been taken before.")
    scans: int = field(help="Scans of this count so far.")


class Adjust(Model):
    """A decision about one discrepancy."""

    asset: str = field(length=253, pattern=r"\S", help="The asset.")
    decision: Decision = field(
        help="accept-found: the record follows the count; mark-lost: it is lost; ignore: nothing changes, with a reason."
    )
    bin: Ref[Bin] | None = field(None, help="accept-found of a thing that was lost or found in a rack: the bin it is put into.")
    reason: str = field("", length=500, help="Why.")


@unit.action(StockCount, phase="Draft")
async def start(count: StockCount, ctx: Ctx) -> None:
    """Freeze and hash what the record expects; counting may begin."""
    places, expected = await _expected(count, ctx)
    if not places:
        raise ctx.refuse("spec.scope", "", "no place has such an asset; choose another scope")
    if len(expected) > EXPECTED_MAX:
        raise ctx.refuse("spec.scope", len(expected), f"a count takes at most {EXPECTED_MAX} assets; split it by rooms")
    status = count.status
    status.places = places
    status.hash, status.sealed = seal(expected)
    status.sheet = [] if count.spec.blind else [f"{asset}: {spot.text()}" for asset, spot in sorted(expected.items())]
    status.started_at, status.phase = ctx.now_iso(), "Counting"


@unit.action(StockCount, phase=("Counting", "Closed"), input=CountInput, leaves=[SEEN])
async def count(count: StockCount, given: CountInput, ctx: Ctx) -> Counted:
    """A counter scanned a thing at a place."""
    earlier = await ctx.find(CountScan, given.uuid)
    if earlier is not None:
        return _again(count, earlier, ctx)
    if count.status.phase != "Counting":
        raise ctx.refuse("uuid", given.uuid, "the count is closed; a late scan cannot change its result, start another count")
    if count.spec.deadline and ctx.since(count.spec.deadline) > 0:
        raise ctx.refuse("place", given.place, f"the deadline {count.spec.deadline} has passed; close the count, or move spec.deadline")
    place = await _place(count, given.place, ctx)
    entry = CountScan.new(
        given.uuid,
        count=count.name,
        payload=_printable(given.payload),
        place=place,
        unit=units_text(given.unit) if given.unit is not None else "",
        client_at=given.client_at,
        by=ctx.who[:253],
    )
    entry.status, message = await _taken(count, given, place, entry.spec.payload, ctx)
    entry.status.at = ctx.now_iso()
    await ctx.create(entry)
    count.status.scans += 1
    ctx.note = f"{entry.status.verdict} at {place}"
    return Counted(verdict=str(entry.status.verdict), message=message, asset=entry.status.asset, scans=count.status.scans)


@unit.action(StockCount, phase="Counting", danger="The result is final and becomes facts of the KPI.", leaves=[COUNT])
async def close(count: StockCount, ctx: Ctx) -> None:
    """Compare what was found with what was expected, and leave a fact for each thing."""
    try:
        expected = unseal(count)
    except (ValueError, zlib.error) as error:
        raise ctx.refuse("status.sealed", count.status.hash, f"{error}; delete this count and make another") from error
    entries = await ctx.list(CountScan, fields={"spec.count": count.name})
    if expected and not any(entry.status.verdict for entry in entries):
        raise ctx.refuse("", count.name, "nothing was scanned, so nothing was counted; scan, or delete the count")
    assets = await _assets(count, set(expected) | {entry.status.asset for entry in entries if entry.status.verdict == "counted"}, ctx)
    started = datetime.fromisoformat(count.status.started_at or ctx.now_iso())
    sightings = {
        entry.status.asset: Sighting(
            entry.status.asset,
            Spot(entry.spec.place, entry.spec.unit),
            datetime.fromisoformat(entry.status.at or ctx.now_iso()),
            entry.status.serial_differs,
        )
        for entry in entries
        if entry.status.verdict == "counted" and entry.status.asset in assets
    }
    still = {name: spot for name, spot in expected.items() if name in assets}
    moves = {
        name: [Stay(datetime.fromisoformat(stay.since), Spot(stay.place, stay.unit)) for stay in asset.status.trail]
        for name, asset in assets.items()
    }
    result = compare(started, still, sightings, moves)
    strangers = [entry for entry in entries if entry.status.verdict in ("unknownCode", "unreadable")]
    _facts(count, result.lines, strangers, assets, ctx)
    status = count.status
    status.correct, status.total = result.correct, len(result.lines) + len(strangers)
    status.netted = len(result.netted) + len(expected) - len(still)
    status.accuracy = status.correct / status.total if status.total else None
    status.discrepancies = [
        *(
            CountDiscrepancy(asset=line.asset, kind=line.outcome, expected=line.expected, found=line.found)
            for line in result.lines
            if line.outcome != "correct"
        ),
        *(
            CountDiscrepancy(
                kind="unreadable" if entry.status.verdict == "unreadable" else "unexpected",
                found=entry.spec.place,
                code=entry.spec.payload[:300],
            )
            for entry in strangers
        ),
    ]
    status.closed_at, status.phase = ctx.now_iso(), "Closed"
    ctx.note = f"{status.correct} of {status.total} right"


@unit.action(StockCount, phase="Closed", input=Adjust, leaves=[TRANSITION])
async def adjust(count: StockCount, given: Adjust, ctx: Ctx) -> None:
    """Correct the record for one discrepancy. The count's result stays as it was measured."""
    found = next((entry for entry in count.status.discrepancies if entry.asset == given.asset and entry.asset), None)
    if found is None:
        open_ = [entry.asset for entry in count.status.discrepancies if entry.asset and entry.decision is None]
        raise ctx.refuse("asset", given.asset, f"it has no discrepancy in this count; open are {', '.join(open_[:10]) or 'none'}")
    if found.decision is not None:
        raise ctx.refuse("asset", given.asset, f"{found.decided_by} decided it already: {found.decision}")
    match given.decision:
        case "accept-found":
            await _accept(found, given, ctx)
        case "mark-lost":
            await _mark_lost(count, found, given, ctx)
        case "ignore":
            if not given.reason.strip():
                raise ctx.refuse("reason", given.reason, "say why nothing changes, for the record")
    decided = found.model_copy(update={"decision": given.decision, "decided_by": ctx.who[:253], "decided_at": ctx.now_iso()})
    count.status.discrepancies = [decided if entry is found else entry for entry in count.status.discrepancies]
    ctx.note = f"{given.asset}: {given.decision} {given.reason}".strip()


async def _expected(count: StockCount, ctx: Ctx) -> tuple[list[str], dict[str, Spot]]:
    """The places to be counted, and what the record has in them. Components are counted with what they are built into."""
    scope = count.spec.scope
    models = {ref.name for ref in scope.models}
    if scope.bins or scope.racks:
        places = [*(f"bin/{ref.name}" for ref in scope.bins), *(f"rack/{ref.name}" for ref in scope.racks)]
    else:
        located = {asset.name: asset.status.location.key()[0] for asset in await _with_place(ctx)}
        if scope.random:
            names = sorted(located)
            drawn = random.Random(scope.random.seed).sample(names, min(scope.random.n, len(names)))  # noqa: S311 - a draw that can be repeated
            places = [located[name] for name in drawn]
        else:
            places = [
                located[asset.name]
                for model in sorted(models)
                for asset in await ctx.list(Asset, fields={"spec.model": model})
                if asset.name in located
            ]
    places = sorted(set(places))
    expected = {}
    for place in places:
        for asset in await _at(place, ctx):
            if not models or asset.spec.model.name in models:
                expected[asset.name] = Spot(*asset.status.location.key())
    return places, expected


async def _with_place(ctx: Ctx) -> list[Asset]:
    return [
        asset
        for asset in await ctx.list(Asset)
        if asset.status.location.key()[0].startswith(("bin/", "rack/")) and asset.status.lifecycle not in GONE
    ]


async def _at(place: str, ctx: Ctx) -> list[Asset]:
    kind, _, name = place.partition("/")
    path = "status.location.bin" if kind == "bin" else "status.location.rackPosition.rack"
    return [asset for asset in await ctx.list(Asset, fields={path: name}) if asset.status.lifecycle not in GONE]


async def _assets(count: StockCount, names: set[str], ctx: Ctx) -> dict[str, Asset]:
    """The assets as they are now; most are still in the counted places, so these are listed and only the rest is looked up."""
    assets: dict[str, Asset] = {}
    for place in count.status.places:
        assets |= {asset.name: asset for asset in await _at(place, ctx) if asset.name in names}
    for name in sorted(names - assets.keys()):
        asset = await ctx.find(Asset, name)
        if asset is not None:
            assets[name] = asset
    return assets


async def _place(count: StockCount, code: str, ctx: Ctx) -> str:
    try:
        reading = read(code)
    except BadPayload as bad:
        raise ctx.refuse("place", code[:40], str(bad)) from bad
    kind = "bin" if reading.first("bin") else "rack"
    name = reading.first("bin") or reading.first("rack")
    if reading.form != "place":
        raise ctx.refuse("place", code[:80], "scan the label of the bin or rack (BIN/… or RACK/…) before the things in it")
    if (await ctx.find(Bin, name) if kind == "bin" else await ctx.find(Rack, name)) is None:
        raise ctx.refuse("place", code[:80], f"there is no {kind} {name}; is the label an old one?")
    place = f"{kind}/{name}"
    if place not in count.status.places:
        raise ctx.refuse("place", code[:80], f"this count is about {', '.join(count.status.places[:10])}; choose one of these")
    return place


async def _taken(count: StockCount, given: CountInput, place: str, printable: str, ctx: Ctx) -> tuple[CountScanStatus, str]:
    """The verdict on one scan."""
    if given.unreadable:
        return CountScanStatus(verdict="unreadable"), "noted: a thing that cannot be read"
    try:
        reading = read(given.payload)
    except BadPayload as bad:
        raise ctx.refuse("payload", printable[:40], str(bad)) from bad
    asset = await _read_asset(reading, given, ctx)
    if asset is None:
        again = await ctx.holder(f"count/{count.name}/code", code_key(printable))
        if again:
            return CountScanStatus(verdict="duplicate"), "this unknown code was scanned before"
        return CountScanStatus(verdict="unknownCode"), "no asset has this code; it is noted. Is there another label?"
    models = {ref.name for ref in count.spec.scope.models}
    if models and asset.spec.model.name not in models:
        return CountScanStatus(
            verdict="outOfScope", asset=asset.name
        ), f"{asset.name} is a {asset.spec.model.name}, which this count is not about"
    held = await ctx.holder(f"count/{count.name}/asset", asset.name)
    if held:
        first = await ctx.get(CountScan, held[1])
        return CountScanStatus(
            verdict="duplicate", asset=asset.name
        ), f"{asset.name} was scanned before, at {first.spec.place}; the first scan counts"
    differs = bool(given.serial) and normal_serial(given.serial) != asset.usable_serial
    saw(asset, "count", ctx, place)
    await ctx.update(asset)
    return CountScanStatus(verdict="counted", asset=asset.name, serial_differs=differs), f"{asset.name} counted"


async def _read_asset(reading: Reading, given: CountInput, ctx: Ctx) -> Asset | None:
    for tag in reading.values("tag"):
        holder = await ctx.holder("asset/tag", tag)
        if holder:
            return await ctx.get(Asset, holder[1])
    found: dict[str, Asset] = {}
    for serial in dict.fromkeys(normal_serial(value) for value in reading.values("serial")):
        found |= {asset.name: asset for asset in await ctx.list(Asset, fields={"spec.serial": serial}, limit=20) if asset.usable_serial}
    if len(found) > 1:
        raise ctx.refuse(
            "payload",
            _printable(given.payload)[:40],
            f"several assets have this number ({', '.join(sorted(found)[:5])}); scan our label instead",
        )
    return next(iter(found.values()), None)


def _facts(count: StockCount, lines: tuple[Line, ...], strangers: list[CountScan], assets: dict[str, Asset], ctx: Ctx) -> None:
    for line in lines:
        right = line.outcome == "correct"
        ctx.fact(
            COUNT, 1 if right else 0, subject=assets[line.asset], count=count.name, outcome=line.outcome, place=line.found or line.expected
        )
    for entry in strangers:
        outcome = "unreadable" if entry.status.verdict == "unreadable" else "unexpected"
        ctx.fact(COUNT, 0, subject=count, count=count.name, outcome=outcome, place=entry.spec.place)


async def _accept(found: CountDiscrepancy, given: Adjust, ctx: Ctx) -> None:
    """The record follows the count."""
    if not found.found:
        raise ctx.refuse("decision", given.decision, f"{found.asset} was not found; mark it lost, or ignore it with a reason")
    asset = await ctx.get(Asset, found.asset)
    kind, _, name = found.found.partition("/")
    bin_ = given.bin or (Ref[Bin](name, target=Bin) if kind == "bin" else None)
    if bin_ is None:
        raise ctx.refuse(
            "bin",
            "",
            f"it was found in {found.found}; name a bin it is put into, or place it in the rack with its unit and adjust with ignore",
        )
    if asset.status.lifecycle == "Lost":
        find(asset, bin_, ctx)
    elif asset.status.lifecycle in ("Received", "InStock", "Ready", "Retired", "Faulty"):
        asset.settle(Location(bin=bin_), ctx.now_iso())
    else:
        raise ctx.refuse(
            "asset",
            asset.name,
            f"it is {asset.status.lifecycle} at {asset.status.location.text()}; take it out there first (unplace or remove-component)",
        )
    await ctx.update(asset)


async def _mark_lost(count: StockCount, found: CountDiscrepancy, given: Adjust, ctx: Ctx) -> None:
    if found.kind != "missing":
        raise ctx.refuse("decision", given.decision, f"{found.asset} was found at {found.found}; accept-found corrects the record")
    asset = await ctx.get(Asset, found.asset)
    if asset.status.lifecycle == "Lost":
        raise ctx.refuse("asset", asset.name, "it is lost already; ignore the discrepancy with a reason")
    lose(asset, given.reason or f"missing in count {count.name}", ctx)
    await ctx.update(asset)


def _again(count: StockCount, earlier: CountScan, ctx: Ctx) -> Counted:
    if earlier.spec.count.name != count.name or earlier.status.verdict is None:
        raise ctx.refuse(
            "uuid", earlier.name, f"it was used for another scan (count {earlier.spec.count.name}); make a new uuid for each scan"
        )
    return Counted(
        verdict=earlier.status.verdict, message="taken before", asset=earlier.status.asset, repeated=True, scans=count.status.scans
    )


def _printable(payload: str) -> str:
    return "".join(char if char.isprintable() else "·" for char in payload)
