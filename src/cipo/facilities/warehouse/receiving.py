"""The dock's actions: a shipment arrives, its pieces are scanned, it is completed; and what follows from that.

A scan is one transaction: verdict, asset with its claims, counts, ``DockScan`` and fact. A device that got no answer sends the same uuid
again and gets the same verdict. The reconciler measures each asset's way from dock to stock.
"""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from cipo.facilities.shapes import maker_key, normal_serial
from cipo.facilities.warehouse.asset import TAG_PATTERN, Asset, LastSeen, Location, Purchase, Received, Transit
from cipo.facilities.warehouse.asset_model import AssetModel
from cipo.facilities.warehouse.bin import Bin, Warehouse
from cipo.facilities.warehouse.inbound import DISCREPANCY, DOCK_TO_STOCK, SCAN, unit
from cipo.facilities.warehouse.scan import BadPayload, Reading, read
from cipo.facilities.warehouse.shipment import TIME, Discrepancy, DockScan, DockScanStatus, Shipment
from cipo.facilities.warehouse.verdict import Ask, Judgement, Known, Line, Owner, Word, judge
from cipo.kernel import Ctx, Done, Model, Ref, field
from cipo.kernel.errors import InvalidTransition

TAG_TRIES = 1000
ON_THE_WAY = ("Ordered", "InTransit", "Received", "Lost")
UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def fresh_uuid() -> str:
    """For a scan that was typed, not sent by a device that may repeat it."""
    return str(uuid4())


class Arrival(Model):
    """What the driver hands over."""

    dock: Ref[Bin] | None = field(None, help="Where it stands.")
    seal: str = field("", length=64, help="Number of the seal, as found.")


class DockScanInput(Model):
    """One scan."""

    payload: str = field(length=4096, help="What the scanner read, as it is.")
    uuid: str = field(
        fresh_uuid, pattern=UUID, help="Made by the device for this scan; the same again gives the same verdict. Left out: a new one."
    )
    bin: Ref[Bin] | None = field(None, help="Where the thing is put down.")
    tag: str = field("", pattern=rf"(^$)|({TAG_PATTERN})", help="Our pre-printed label on the thing; absent: the next free number.")
    line: int | None = field(None, min=1, help="The line it belongs to, if the verdict asked.")
    serial: str = field("", length=128, help="Which reading is right, if the verdict asked.")
    reason: str = field("", length=500, help="Why a thing that was not announced is accepted.")
    symbology: str = field("", pattern=r"^(\][A-Za-z][0-9A-Za-z])?$", help="ISO 15424 identifier, if the scanner gives it apart.")
    client_at: str | None = field(None, pattern=TIME, help="When the device scanned it.")


class Choice(Model):
    """A reading of the code."""

    what: str = field(help="Serial, part, GTIN …")
    value: str = field(help="Its value.")
    why: str = field(help="Why it may be that.")


class LineLeft(Model):
    """What a line still lacks."""

    line: int = field(help="The line.")
    model: str = field(help="The model.")
    quantity: int = field(help="Announced.")
    received: int = field(help="Accepted.")


class Verdict(Model):
    """The answer to a scan."""

    verdict: Word = field(help="In one word.")
    accepted: bool = field(help="Whether a thing was received.")
    message: str = field(help="In a sentence.")
    repeated: bool = field(False, help="Whether this scan had been judged before.")
    asset: str = field("", help="The asset that was received or is in the way.")
    tag: str = field("", help="The label that goes on the thing, or that was scanned.")
    serial: str = field("", help="The serial number.")
    line: int | None = field(None, help="The line.")
    bin: str = field("", help="The bin that was scanned.")
    choices: list[Choice] = field(list, help="Readings to choose from.")
    remaining: list[LineLeft] = field(list, help="What is still to come.")


@unit.action(Shipment, phase="Announced", input=Arrival)
async def arrive(shipment: Shipment, arrival: Arrival, ctx: Ctx) -> None:
    """It is at the dock: the clock from dock to stock starts."""
    status = shipment.status
    status.phase, status.arrived_at, status.dock, status.seal = "Arrived", ctx.now_iso(), arrival.dock, arrival.seal


@unit.action(Shipment, phase=("Arrived", "Receiving", "Received", "Discrepant"), input=DockScanInput, leaves=[SCAN])
async def scan(shipment: Shipment, given: DockScanInput, ctx: Ctx) -> Verdict:
    """A code was scanned: the verdict comes at once, and the first good scan of a serial makes the asset."""
    earlier = await ctx.find(DockScan, given.uuid)
    if earlier is not None:
        return await _again(shipment, earlier, ctx)
    if shipment.status.phase in (
        "Received",
        "Discrepant",
    ):  # a repeated scan is answered even then, so the kernel's phase check is too early
        raise InvalidTransition(
            f'Shipment "{shipment.name}" is {shipment.status.phase}; nothing more is received on it. Scan it under its own shipment'
        )
    try:
        reading = read(given.payload, given.symbology)
    except BadPayload as bad:
        raise ctx.refuse("payload", _printable(given.payload)[:40], str(bad)) from bad
    lines, models = await _order(shipment, ctx)
    if given.line is not None and given.line not in {line.number for line in lines}:
        raise ctx.refuse("line", given.line, f"the shipment has the lines {', '.join(str(line.number) for line in lines[:20])}")
    known = await _known(shipment, reading, given, models, ctx)
    verdict = judge(reading, Ask(given.line, given.serial, given.tag, given.reason), lines, known)
    asset = await _receive(shipment, verdict, given, models, ctx) if verdict.accepted else None
    _record(shipment, verdict, ctx)
    await ctx.create(_entry(shipment, given, verdict, asset, ctx))
    ctx.fact(SCAN, 1 if verdict.accepted else 0, subject=shipment, verdict=verdict.word, shipment=shipment.name)
    ctx.note = f"{verdict.word}: {verdict.message}"[:500]
    return _answer(shipment, verdict, asset, reading, lines)


@unit.action(Shipment, phase=("Arrived", "Receiving"), leaves=[DISCREPANCY])
async def complete(shipment: Shipment, ctx: Ctx) -> None:
    """Nothing more comes: the shipment is Received, or Discrepant with what it lacks."""
    found = discrepancies(shipment)
    shipment.status.discrepancies = found
    shipment.status.phase = "Discrepant" if found else "Received"
    shipment.status.completed_at = ctx.now_iso()
    for lack in found:
        ctx.fact(DISCREPANCY, lack.quantity, subject=shipment, kind=lack.kind, shipment=shipment.name)


def discrepancies(shipment: Shipment) -> list[Discrepancy]:
    """What the shipment lacks, line by line. Pure."""
    seen = set(shipment.status.seen)
    found = []
    for line in shipment.spec.lines:
        short = line.quantity - shipment.received(line.line)
        missing = sorted({normal_serial(serial) for serial in line.serials} - seen)
        if short > 0:
            found.append(Discrepancy(line=line.line, kind="short", quantity=short, serials=missing[:short]))
        elif missing:
            found.append(Discrepancy(line=line.line, kind="notScanned", quantity=len(missing), serials=missing))
    return found


def _shipments(asset: Asset) -> list[str]:
    return [asset.status.received.shipment] if asset.status.received and asset.status.received.shipment else []


def _bins(asset: Asset) -> list[str]:
    return [asset.status.location.bin.name] if asset.status.location.bin else []


@unit.reconcile(Shipment, watches={"Asset.facilities.cipo": _shipments})
async def measure(shipment: Shipment, ctx: Ctx) -> Done:
    """Leave one fact for each asset that came into stock, from the arrival of its shipment."""
    status = shipment.status
    if status.arrived_at is None:
        return Done()
    known = set(status.stocked)
    for asset in await ctx.list(Asset, fields={"status.received.shipment": shipment.name}):
        since = asset.status.location.since
        if asset.name in known or asset.status.lifecycle in ON_THE_WAY or since is None:
            continue
        minutes = (datetime.fromisoformat(since) - datetime.fromisoformat(status.arrived_at)).total_seconds() / 60
        ctx.fact(DOCK_TO_STOCK, max(0.0, minutes), subject=asset, shipment=shipment.name, model=asset.spec.model.name)
        status.stocked = [*status.stocked, asset.name]
    return Done()


@unit.reconcile(Bin, watches={"Asset.facilities.cipo": _bins})
async def count_bin(bin_: Bin, ctx: Ctx) -> Done:
    """How many assets lie in it."""
    bin_.status.count = len(await ctx.list(Asset, fields={"status.location.bin": bin_.name}))
    return Done()


@unit.reconcile(Warehouse, watches={"Bin.facilities.cipo": lambda bin_: [bin_.spec.warehouse.name]})
async def count_warehouse(warehouse: Warehouse, ctx: Ctx) -> Done:
    """How many bins stand in it."""
    warehouse.status.bins = len(await ctx.list(Bin, fields={"spec.warehouse": warehouse.name}))
    return Done()


async def _order(shipment: Shipment, ctx: Ctx) -> tuple[tuple[Line, ...], dict[str, AssetModel]]:
    models: dict[str, AssetModel] = {}
    lines = []
    for line in shipment.spec.lines:
        name = line.model.name
        if name not in models:
            models[name] = await ctx.get(line.model)
        title = f"{models[name].spec.manufacturer} {models[name].spec.model}"
        serials = frozenset(normal_serial(serial) for serial in line.serials)
        lines.append(Line(line.line, name, title, line.quantity, shipment.received(line.line), serials))
    return tuple(lines), models


async def _known(shipment: Shipment, reading: Reading, given: DockScanInput, models: dict[str, AssetModel], ctx: Ctx) -> Known:
    """Look up what the records say about each value of the reading."""
    makers = {maker_key(model.spec.manufacturer): model.spec.manufacturer for model in models.values()}
    warehouse = await ctx.get(shipment.spec.warehouse)
    by_serial: dict[str, Owner] = {}
    holds: dict[str, str] = {}
    for serial in dict.fromkeys(normal_serial(value) for value in reading.values("serial")):
        for asset in await ctx.list(Asset, fields={"spec.serial": serial}, limit=20):
            if maker_key(asset.spec.manufacturer) in makers:
                by_serial[serial] = _owner(asset, shipment)
        for maker in makers.values():
            reason = warehouse.held(serial, maker)
            if reason:
                holds[serial] = reason
    by_tag: dict[str, Owner] = {}
    for tag in dict.fromkeys([*reading.values("tag"), *([given.tag] if given.tag else [])]):
        holder = await ctx.holder("asset/tag", tag)
        if holder:
            by_tag[tag] = _owner(await ctx.get(Asset, holder[1]), shipment)
    packages = {
        package.sscc: ", ".join(f"{line.quantity} × {line.model.name}" for line in package.lines[:5]) or "empty"
        for package in shipment.spec.packages
        if package.sscc
    }
    return Known(by_serial, by_tag, await _models_of(reading, models, makers, ctx), packages, holds)


async def _models_of(reading: Reading, models: dict[str, AssetModel], makers: dict[str, str], ctx: Ctx) -> dict[str, str]:
    found: dict[str, str] = {}
    for gtin in reading.values("gtin"):
        holder = await ctx.holder("asset-model/gtin", gtin)
        if holder:
            found[gtin] = holder[1]
    for part in reading.values("part"):
        for maker in makers:
            holder = await ctx.holder(f"asset-model/part/{maker}", part.upper())
            if holder and (part not in found or holder[1] in models):
                found[part] = holder[1]
    return found


def _owner(asset: Asset, shipment: Shipment) -> Owner:
    status = asset.status
    here = status.received is not None and status.received.shipment == shipment.name
    return Owner(
        asset.name,
        asset.spec.model.name,
        here=here,
        expected=status.lifecycle in ("Ordered", "InTransit"),
        where=f"{status.lifecycle}, {status.location.text()}",
        when=status.received.at if status.received else "",
        parent=status.location.parent.asset.name if status.location.parent else "",
    )


async def _receive(shipment: Shipment, verdict: Judgement, given: DockScanInput, models: dict[str, AssetModel], ctx: Ctx) -> Asset:
    """The asset of an accepted scan: one that was on its way, or a new one."""
    now = ctx.now_iso()
    location = Location(bin=given.bin) if given.bin else Location(transit=Transit(shipment=shipment.name))
    if verdict.asset:
        asset = await ctx.get(Asset, verdict.asset)
    else:
        line = next(line for line in shipment.spec.lines if line.line == verdict.line)
        model = models[line.model.name].spec
        tag = given.tag or await _next_tag(ctx)
        asset = Asset.new(
            tag.lower(),
            labels={"class": model.asset_class},
            model=line.model.name,
            manufacturer=model.manufacturer,
            serial_printed=verdict.serial,
            tag=tag,
        )
        if shipment.spec.purchase_order:
            asset.spec.purchase = Purchase(po=shipment.spec.purchase_order, line=line.order_line)
    asset.status.lifecycle = "Received"
    asset.settle(location, now)
    asset.status.received = Received(shipment=shipment.name, at=now)
    asset.status.last_seen = LastSeen(source="dock", at=now, place=location.text())
    return await (ctx.update(asset) if verdict.asset else ctx.create(asset))


async def _next_tag(ctx: Ctx) -> str:
    """The next tag that no asset has. The counter is race-free; pre-printed labels that are in use are skipped."""
    for _ in range(TAG_TRIES):
        tag = f"CIPO-{await ctx.next_number('tag'):06d}"
        if await ctx.holder("asset/tag", tag) is None and await ctx.find(Asset, tag.lower()) is None:
            return tag
    raise ctx.refuse("tag", "", f"the next {TAG_TRIES} tag numbers are all in use; scan a pre-printed label first")


def _record(shipment: Shipment, verdict: Judgement, ctx: Ctx) -> None:
    status = shipment.status
    status.phase = "Receiving"
    status.scans += 1
    if not verdict.accepted or verdict.line is None:
        return
    status.accepted += 1
    shipment.count(verdict.line)
    announced = {normal_serial(serial) for line in shipment.spec.lines for serial in line.serials}
    if verdict.serial in announced:
        status.seen = sorted({*status.seen, verdict.serial})


def _entry(shipment: Shipment, given: DockScanInput, verdict: Judgement, asset: Asset | None, ctx: Ctx) -> DockScan:
    entry = DockScan.new(
        given.uuid,
        shipment=shipment.name,
        payload=_printable(given.payload),
        client_at=given.client_at,
        reason=given.reason,
        by=ctx.who[:253],
    )
    entry.status = DockScanStatus(
        verdict=verdict.word,
        message=verdict.message[:2000],
        asset=asset.name if asset else verdict.asset,
        line=verdict.line,
        serial=verdict.serial[:128],
        at=ctx.now_iso(),
    )
    return entry


def _answer(shipment: Shipment, verdict: Judgement, asset: Asset | None, reading: Reading, lines: tuple[Line, ...]) -> Verdict:
    choices = (
        [Choice(what=one.what, value=one.value, why=one.why) for one in reading.candidates[:20]] if verdict.word == "ambiguous" else []
    )
    return Verdict(
        verdict=verdict.word,
        accepted=verdict.accepted,
        message=verdict.message,
        asset=asset.name if asset else verdict.asset,
        tag=asset.spec.tag if asset else verdict.tag,
        serial=verdict.serial,
        line=verdict.line,
        bin=verdict.place,
        choices=choices,
        remaining=[
            LineLeft(line=line.number, model=line.title, quantity=line.quantity, received=shipment.received(line.number)) for line in lines
        ],
    )


async def _again(shipment: Shipment, earlier: DockScan, ctx: Ctx) -> Verdict:
    """The verdict that this scan got when it first came."""
    if earlier.spec.shipment.name != shipment.name or earlier.status.verdict is None:
        raise ctx.refuse(
            "uuid", earlier.name, f"it was used for another scan (shipment {earlier.spec.shipment.name}); make a new uuid for each scan"
        )
    asset = await ctx.find(Asset, earlier.status.asset) if earlier.status.asset else None
    lines, _ = await _order(shipment, ctx)
    return Verdict(
        verdict=earlier.status.verdict,
        accepted=earlier.status.verdict == "ok",
        message=earlier.status.message,
        repeated=True,
        asset=earlier.status.asset,
        tag=asset.spec.tag if asset else "",
        serial=earlier.status.serial,
        line=earlier.status.line,
        remaining=[LineLeft(line=line.number, model=line.title, quantity=line.quantity, received=line.received) for line in lines],
    )


def _printable(payload: str) -> str:
    return "".join(char if char.isprintable() else "·" for char in payload)
