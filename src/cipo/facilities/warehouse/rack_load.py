"""Computes what a rack carries from the assets in it: units, gaps, weight, power. Unknown figures are counted as unknown, never as zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cipo.facilities.shapes import half_units
from cipo.facilities.warehouse.asset import Asset, RackPosition
from cipo.facilities.warehouse.asset_model import AssetModel
from cipo.facilities.warehouse.cmdb import unit
from cipo.facilities.warehouse.rack import FreeRange, PowerSum, Rack, RackDevice, RackSpec
from cipo.kernel import Condition, Ctx, Done


@dataclass(frozen=True, slots=True)
class Mounted:
    """An asset in the rack with the figures of its model."""

    asset: str
    position: RackPosition
    weight_kg: float | None = None
    typical_w: float | None = None
    maximum_w: float | None = None


def gaps(spec: RackSpec, mounted: Iterable[Mounted]) -> list[FreeRange]:
    """The ranges that are free on both faces, from the lowest number. Pure."""
    start, end = half_units(spec.starting_unit), half_units(spec.end_unit)
    taken = [False] * (end - start)
    for device in mounted:
        if device.position.height:
            lo = half_units(device.position.unit) - start
            for half in range(max(0, lo), min(len(taken), lo + half_units(device.position.height))):
                taken[half] = True
    found: list[FreeRange] = []
    half = 0
    while half < len(taken):
        if taken[half]:
            half += 1
            continue
        lo = half
        while half < len(taken) and not taken[half]:
            half += 1
        found.append(FreeRange(unit=(start + lo) / 2, height=(half - lo) / 2))
    return found


def power(spec: RackSpec, mounted: Iterable[Mounted]) -> PowerSum:
    """The sum of the known draws, with how many are unknown; an unknown typical draw counts as the maximum. Pure."""
    typical = maximum = 0.0
    known = unknown = 0
    for device in mounted:
        most = device.maximum_w if device.maximum_w is not None else device.typical_w
        if most is None:
            unknown += 1
            continue
        if most == 0:
            continue
        known += 1
        maximum += most
        typical += device.typical_w if device.typical_w is not None else most
    weakest = min((feed.watts for feed in spec.feeds), default=None)
    return PowerSum(typical_w=round(typical, 1), maximum_w=round(maximum, 1), known=known, unknown=unknown, smallest_feed_w=weakest)


async def mounted_in(rack: Rack, ctx: Ctx) -> list[tuple[Asset, AssetModel, Mounted]]:
    """The assets in a rack with their models, from the top number down."""
    models: dict[str, AssetModel] = {}
    found = []
    for asset in await ctx.list(Asset, fields={"status.location.rackPosition.rack": rack.name}):
        position = asset.status.location.rack_position
        if position is None:
            continue
        name = asset.spec.model.name
        if name not in models:
            models[name] = await ctx.get(asset.spec.model)
        typical, maximum = models[name].draw()
        found.append((asset, models[name], Mounted(asset.name, position, models[name].spec.form_factor.weight_kg, typical, maximum)))
    return sorted(found, key=lambda entry: (-entry[2].position.unit, entry[0].name))


def _racks(asset: Asset) -> list[str]:
    position = asset.status.location.rack_position
    return [position.rack.name] if position else []


@unit.reconcile(Rack, watches={"Asset.facilities.cipo": _racks})
async def load(rack: Rack, ctx: Ctx) -> Done:
    """Bring the rack's figures up to date with what stands in it."""
    mounted = [entry[2] for entry in await mounted_in(rack, ctx)]
    status = rack.status
    status.devices = [
        RackDevice(asset=device.asset, unit=device.position.unit, height=device.position.height, face=device.position.face)
        for device in mounted
    ]
    status.free = gaps(rack.spec, mounted)
    status.free_u = sum(gap.height for gap in status.free)
    status.used_u = rack.spec.u_height - status.free_u
    status.weight_kg = round(sum(device.weight_kg or 0 for device in mounted), 2)
    status.weight_unknown = sum(device.weight_kg is None for device in mounted)
    status.power = power(rack.spec, mounted)
    _say(rack, "Overloaded", _overload(rack), ctx)
    return Done()


def _overload(rack: Rack) -> str:
    """What the rack carries too much of, or empty."""
    told = []
    if rack.spec.max_weight_kg and rack.status.weight_kg > rack.spec.max_weight_kg:
        told.append(f"{rack.status.weight_kg:g} kg of {rack.spec.max_weight_kg:g} kg")
    feed = rack.status.power.smallest_feed_w
    if feed and rack.status.power.typical_w > feed:
        told.append(f"{rack.status.power.typical_w:g} W on the weakest feed's {feed:g} W if it must carry all")
    return f"{' and '.join(told)}; move something out" if told else ""


def _say(rack: Rack, type_: str, message: str, ctx: Ctx) -> None:
    """Keep one condition: there while it holds, with the time it began."""
    others = [condition for condition in rack.status.conditions if condition.type != type_]
    before = next((condition for condition in rack.status.conditions if condition.type == type_), None)
    if message:
        since = before.last_transition_time if before else ctx.now_iso()
        others.append(Condition(type=type_, status="True", reason="OverLimit", message=message, last_transition_time=since))
    rack.status.conditions = others
