"""What people do with an asset: receive, put away, place, take out, build in, retire, lose and find it.

Who: technicians and the asset manager, by API, page or phone; the dock's own way in is ``shipment``. Each action is one transaction: the
move, its claims, the fact ``asset.transition`` and the event. An action that an asset's phase does not allow is refused with 409
``InvalidTransition`` by the kernel, from the table in ``lifecycle``.
"""

from __future__ import annotations

from typing import Any

from cipo.facilities.shapes import RackUnits, normal_serial, units_text
from cipo.facilities.warehouse.asset import Asset, LastSeen, Location, Parent, RackPosition, Received
from cipo.facilities.warehouse.asset_model import AssetModel
from cipo.facilities.warehouse.bin import Bin
from cipo.facilities.warehouse.cmdb import SEEN, TRANSITION, unit
from cipo.facilities.warehouse.lifecycle import Lifecycle, after, phases
from cipo.facilities.warehouse.rack import Face, Rack
from cipo.facilities.warehouse.scan import BadPayload, read
from cipo.kernel import Ctx, Model, Ref, field

DEPTH_MAX = 8  # a DIMM in a blade in a chassis is three; deeper is a mistake


class Place(Model):
    """Where it is screwed in."""

    rack: Ref[Rack] = field(help="The rack.")
    unit: RackUnits = field(min=0, max=2000, help="Lowest unit it takes, in steps of 0.5; beside the rails: slot number.")
    face: Face = field("front", help="Side it is mounted from; left or right for what has no height, e.g. a vertical PDU.")


class IntoBin(Model):
    """Where it lies."""

    bin: Ref[Bin] = field(help="The bin.")


class IntoBay(Model):
    """Where it is built in."""

    parent: Ref[Asset] = field(help="The asset that takes it.")
    bay: str = field(length=64, help="The bay, as the parent's model names it.")


class Why(Model):
    """A reason."""

    reason: str = field(length=500, pattern=r"\S", help="In a sentence, for the record.")


class Reception(Model):
    """What the dock has in hand."""

    scan: str = field(length=4096, help="Its serial number or tag as scanned.")
    bin: Ref[Bin] | None = field(None, help="Where it is put down.")


@unit.action(Asset, phase=phases("receive"), input=Reception, leaves=[TRANSITION, SEEN])
async def receive(asset: Asset, seen: Reception, ctx: Ctx) -> None:
    """A thing that was ordered without a shipment list is here: its serial number or tag is scanned."""
    if not _is(asset, seen.scan):
        raise ctx.refuse(
            "scan",
            seen.scan,
            f"this asset has serial {asset.spec.serial or 'none'} and tag {asset.spec.tag or 'none'}; is it another thing?",
        )
    if seen.bin:
        await _bin(seen.bin, asset, ctx)
        asset.settle(Location(bin=seen.bin), ctx.now_iso())
    asset.status.received = Received(at=ctx.now_iso())
    saw(asset, "dock", ctx)
    moved(asset, "receive", ctx)


@unit.action(Asset, phase=("Received", "InStock"), input=IntoBin, leaves=[TRANSITION])
async def putaway(asset: Asset, into: IntoBin, ctx: Ctx) -> None:
    """It lies in a bin now."""
    _loose(asset, ctx)
    await _bin(into.bin, asset, ctx)
    asset.settle(Location(bin=into.bin), ctx.now_iso())
    if asset.status.lifecycle != "InStock":
        moved(asset, "putaway", ctx)


@unit.action(Asset, phase=phases("place"), input=Place, leaves=[TRANSITION])
async def place(asset: Asset, place: Place, ctx: Ctx) -> None:
    """It is screwed into a rack. Its half units are claimed on each face it takes; a taken one is refused with who is there."""
    _loose(asset, ctx)
    rack, model = await ctx.get(place.rack), await ctx.get(asset.spec.model)
    asset.settle(Location(rack_position=position(rack, model, place, ctx)), ctx.now_iso())
    moved(asset, "place", ctx)


@unit.action(Asset, phase=phases("unplace"), input=IntoBin, leaves=[TRANSITION])
async def unplace(asset: Asset, into: IntoBin, ctx: Ctx) -> None:
    """It is taken out of its rack and lies in a bin; its units are free."""
    if asset.status.location.rack_position is None:
        raise ctx.refuse("bin", into.bin, f"{asset.name} is not in a rack but {asset.status.location.text()}; use remove-component")
    await _bin(into.bin, asset, ctx)
    asset.settle(Location(bin=into.bin), ctx.now_iso())
    moved(asset, "unplace", ctx)


@unit.action(Asset, phase=phases("install-component"), input=IntoBay, leaves=[TRANSITION])
async def install_component(asset: Asset, into: IntoBay, ctx: Ctx) -> None:
    """It is built into another asset and moves with it from now on."""
    parent = await ctx.get(into.parent)
    await _no_loop(asset, parent, ctx)
    bays = [bay.name for bay in (await ctx.get(parent.spec.model)).spec.bays]
    if bays and into.bay not in bays:
        raise ctx.refuse("bay", into.bay, f"{parent.spec.model.name} has the bays {', '.join(bays[:12])}{' …' if len(bays) > 12 else ''}")
    asset.settle(Location(parent=Parent(asset=into.parent, bay=into.bay)), ctx.now_iso())
    moved(asset, "install-component", ctx)


@unit.action(Asset, phase=phases("remove-component"), input=IntoBin, leaves=[TRANSITION])
async def remove_component(asset: Asset, into: IntoBin, ctx: Ctx) -> None:
    """It is taken out of its bay and lies in a bin."""
    if asset.status.location.parent is None:
        raise ctx.refuse("bin", into.bin, f"{asset.name} is not built into anything but {asset.status.location.text()}; use unplace")
    await _bin(into.bin, asset, ctx)
    asset.settle(Location(bin=into.bin), ctx.now_iso())
    moved(asset, "remove-component", ctx)


@unit.action(Asset, phase=phases("retire"), input=Why, danger="It cannot come back into service.", leaves=[TRANSITION])
async def retire(asset: Asset, why: Why, ctx: Ctx) -> None:
    """It will not be used any more; it waits where it is for wiping and disposal."""
    asset.status.reason = why.reason
    moved(asset, "retire", ctx)


@unit.action(Asset, phase=phases("lost"), input=Why, danger="Its place, bay and rack units are free for others.", leaves=[TRANSITION])
async def lost(asset: Asset, why: Why, ctx: Ctx) -> None:
    """Nobody can find it."""
    lose(asset, why.reason, ctx)


@unit.action(Asset, phase=phases("found"), input=IntoBin, leaves=[TRANSITION])
async def found(asset: Asset, into: IntoBin, ctx: Ctx) -> None:
    """It is there again, in a bin."""
    await _bin(into.bin, asset, ctx)
    find(asset, into.bin, ctx)


def position(rack: Rack, model: AssetModel, place: Place, ctx: Ctx) -> RackPosition:
    """The rack position that this placement means; refused when it cannot fit."""
    height, spec = model.spec.form_factor.u_height, rack.spec
    beside = place.face in ("left", "right")
    if height == 0 and not beside:
        raise ctx.refuse(
            "face", place.face, f"{model.name} takes no rack units; mount it left or right of the rails, with a slot number as unit"
        )
    if beside:
        if height > 0:
            raise ctx.refuse("face", place.face, f"{model.name} is {units_text(height)}U high; mount it from the front or the rear")
        return RackPosition(rack=place.rack, unit=place.unit, face=place.face, height=0, full_depth=False)
    if place.unit < spec.starting_unit or place.unit + height > spec.end_unit:
        last = spec.end_unit - height
        raise ctx.refuse(
            "unit",
            units_text(place.unit),
            f"rack {rack.name} has the units {spec.starting_unit} to {spec.end_unit - 1}; {model.name} is {units_text(height)}U high, "
            f"so choose {spec.starting_unit} to {units_text(last)}"
            if last >= spec.starting_unit
            else f"rack {rack.name} has {spec.u_height} units, fewer than the {units_text(height)} of {model.name}",
        )
    weight = model.spec.form_factor.weight_kg
    if weight and spec.max_weight_kg and rack.status.weight_kg + weight > spec.max_weight_kg:
        carried = f"{rack.status.weight_kg:g} kg + {weight:g} kg is over its {spec.max_weight_kg:g} kg"
        raise ctx.refuse("rack", rack.name, f"{carried}; choose another rack or take something out")
    depth = model.spec.form_factor.depth_mm
    if depth and spec.mounting_depth_mm and depth > spec.mounting_depth_mm:
        raise ctx.refuse(
            "rack", rack.name, f"{model.name} is {depth:g} mm deep and the rack takes {spec.mounting_depth_mm:g} mm; choose a deeper rack"
        )
    return RackPosition(rack=place.rack, unit=place.unit, face=place.face, height=height, full_depth=model.spec.form_factor.full_depth)


def moved(asset: Asset, action: str, ctx: Ctx) -> None:
    """Follow the arrow of this action and leave the fact. Only U-W2's own code may: the fact is its."""
    before: Lifecycle = asset.status.lifecycle
    asset.status.lifecycle = after(action, before)
    attrs: dict[str, Any] = {"from": before, "to": asset.status.lifecycle, "action": action}
    ctx.fact(TRANSITION, 1, subject=asset, **attrs)


def saw(asset: Asset, source: str, ctx: Ctx, place: str = "") -> None:
    """An independent sighting, now."""
    asset.status.last_seen = LastSeen(source=source, at=ctx.now_iso(), place=place[:300])
    ctx.fact(SEEN, 1, subject=asset, source=source, place=place[:300])


def lose(asset: Asset, reason: str, ctx: Ctx) -> None:
    """It is lost: its place is free, the last known one is kept in words."""
    asset.status.last_known = asset.status.location.text()
    asset.settle(Location(), ctx.now_iso())
    asset.status.reason = reason
    moved(asset, "lost", ctx)


def find(asset: Asset, bin_: Ref[Bin], ctx: Ctx) -> None:
    """It is found again, in a bin."""
    asset.settle(Location(bin=bin_), ctx.now_iso())
    asset.status.last_known = asset.status.reason = ""
    moved(asset, "found", ctx)


def _is(asset: Asset, payload: str) -> bool:
    try:
        reading = read(payload)
    except BadPayload:
        return False
    if asset.spec.tag and asset.spec.tag in reading.values("tag"):
        return True
    return bool(asset.usable_serial) and asset.usable_serial in {normal_serial(serial) for serial in reading.values("serial")}


def _loose(asset: Asset, ctx: Ctx) -> None:
    parent = asset.status.location.parent
    if parent:
        raise ctx.refuse("", asset.name, f"it is built into {parent.asset.name} bay {parent.bay}; remove-component first")


async def _bin(ref: Ref[Bin], asset: Asset, ctx: Ctx) -> None:
    """Refuse a bin that is full."""
    capacity = (await ctx.get(ref)).spec.capacity
    if capacity is None:
        return
    there = [
        other for other in await ctx.list(Asset, fields={"status.location.bin": ref.name}, limit=capacity + 1) if other.name != asset.name
    ]
    if len(there) >= capacity:
        raise ctx.refuse("bin", ref.name, f"it is full: {capacity} of {capacity} places are taken; choose another bin")


async def _no_loop(asset: Asset, parent: Asset, ctx: Ctx) -> None:
    """An asset must not become its own ancestor."""
    chain, above = [parent.name], parent
    while above.name != asset.name and above.status.location.parent and len(chain) <= DEPTH_MAX:
        above = await ctx.get(above.status.location.parent.asset)
        chain.append(above.name)
    if asset.name in chain:
        raise ctx.refuse("parent", parent.name, f"{asset.name} would be part of itself ({' in '.join(chain)}); choose another parent")
    if len(chain) > DEPTH_MAX:
        raise ctx.refuse("parent", parent.name, f"it is already {DEPTH_MAX} levels deep ({' in '.join(chain[:4])} …)")
