"""The sample world of 1A: Tramline's buildings, what suppliers deliver, and the people who receive, place and count it.

Called by the lab (``cipo.lab.tramline``) through four functions: ``seed`` brings the organisation to its first day, ``sources`` names the
emulators it needs, ``actors`` keeps its people at work, ``faults`` says what goes wrong by itself and how often. Everything happens by
HTTP as a person; this module imports no kind. What is physically so comes from ``sample/physical.py``, and the KPI of inventory
accuracy is whatever the blind count then finds.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import anyio

from cipo.facilities.sample.layout import expand, racks, read
from cipo.facilities.sample.physical import Place, Thing, sscc, things
from cipo.kernel.world import Api, Fault, Json, Person, RefusedByApi, World

MANAGER = Person("mila", ("1A/U-W2",), "Asset manager of Tramline: keeps the record, starts and closes counts. Simulated.")
COUNTER = Person("omar", ("1A/U-W2",), "Counts blind: scans what is there and is not told what should be. Simulated.")
DOCK = {
    "ams1-wh": Person("sanne", ("1A/U-W1",), "Dock worker in Amsterdam. Simulated."),
    "fra1-wh": Person("jonas", ("1A/U-W1",), "Dock worker in Frankfurt. Simulated."),
}
TECHNICIAN = {
    "ams1-wh": Person("pieter", ("1A/U-W2",), "Technician for Amsterdam and London: puts machines into racks and bins. Simulated."),
    "fra1-wh": Person("lena", ("1A/U-W2",), "Technician for Frankfurt and Madrid: puts machines into racks and bins. Simulated."),
}
HANDS = 6  # requests under way at once
T = TypeVar("T")


def sources() -> tuple[str, ...]:
    """Nothing: people with hand scanners need no emulator, and these units have no other system to speak to yet."""
    return ()


def faults(world: World) -> tuple[Fault, ...]:
    """What goes wrong by itself."""
    return tuple(Fault(**fault) for fault in read("layout.yaml")["faults"])


async def seed(world: World) -> None:
    """Describe the buildings, receive every machine by scan, put it where it belongs, and count once, blind."""
    await _describe(world)
    await _announce(world)
    await _receive(world)
    await _put(world)
    await _count(world)


async def actors(world: World) -> None:
    """The counter walks whenever somebody starts a count with ``omar`` among its counters, and scans what is physically there."""
    api, walked = await world.person(COUNTER), set[str]()
    async for count in world.changes(COUNTER, "StockCount.facilities.cipo"):
        mine = count["status"].get("phase") == "Counting" and COUNTER.name in count["spec"].get("counters", [])
        if mine and count["metadata"]["uid"] not in walked:
            walked.add(count["metadata"]["uid"])
            try:
                await _walk(api, count, things(world.seed))
            except RefusedByApi as why:
                world.say(f"{COUNTER.name} stopped counting {count['metadata']['name']}: {why}")


async def _describe(world: World) -> None:
    """Sites, racks and models by the asset manager; stores and bins by the dock."""
    layout, models = read("layout.yaml"), read("models.yaml")
    api = await world.person(MANAGER)
    sites = [("Site", site["name"], _without(site, "name")) for site in layout["sites"]]
    rack_models = [("RackModel", model["name"], _without(model, "name")) for model in models["rackModels"]]
    asset_models = [("AssetModel", model["name"], asset_model(model)) for model in models["models"]]
    await _all(_ensure(api), [*sites, *rack_models, *asset_models])
    keep = ("model", "room", "row", "uHeight", "maxWeightKg", "feeds")
    await _all(
        _ensure(api),
        [("Rack", rack.name, {"site": rack.site, **{key: group[key] for key in keep}}) for rack, group in racks()],
    )
    for store in layout["warehouses"]:
        dock = await world.person(DOCK[store["name"]])
        await dock.ensure("Warehouse", store["name"], {"site": store["site"], "title": store["title"]})
        bins = [
            ("Bin", f"{store['name']}-{code.lower()}", {"warehouse": store["name"], "code": code, **_without(entry, "code")})
            for entry in layout["bins"]
            for code in expand(entry["code"])
        ]
        await _all(_ensure(dock), bins)
    world.say(f"  described: {len(sites)} sites, {len(racks())} racks, {len(asset_models)} models, {len(layout['warehouses'])} stores")


async def _announce(world: World) -> None:
    """One shipment a maker and store, with the serial numbers that the supplier names."""
    layout, number = read("layout.yaml"), 0
    for name, contents in _shipments(world).items():
        number += 1
        store, maker = contents[0].warehouse, contents[0].maker
        by_model = _grouped(contents, lambda thing: thing.model)
        lines = [
            {"line": line, "model": model, "quantity": len(group), "serials": [thing.announced for thing in group]}
            for line, (model, group) in enumerate(by_model.items(), 1)
        ]
        spec = {
            "warehouse": store,
            "purchaseOrder": f"po-first-{maker.lower()}",
            "carrier": layout["makers"][maker]["carrier"],
            "source": "asn",
            "packages": [{"sscc": sscc(number), "lines": lines}],
        }
        await (await world.person(DOCK[store])).ensure("Shipment", name, spec)
    world.say(f"  announced: {number} shipments with {len(things(world.seed))} machines")


async def _receive(world: World) -> None:
    """The dock scans every machine of every shipment and closes the shipment."""
    accepted = await _all(lambda item: _unload(world, *item), _shipments(world).items())
    world.say(f"  received: {sum(accepted)} machines by scan")


async def _unload(world: World, name: str, contents: list[Thing]) -> int:
    api = await world.person(DOCK[contents[0].warehouse])
    shipment = await api.find("Shipment", name)
    assert shipment is not None, name
    lines = {line["model"]: line["line"] for package in shipment["spec"]["packages"] for line in package["lines"]}
    phase, dock = shipment["status"]["phase"], f"{contents[0].warehouse}-dock-1"
    if phase == "Announced":
        await api.act("Shipment", name, "arrive", {"dock": dock})
    if phase not in ("Received", "Discrepant"):
        for thing in contents:
            await _scan(api, world.seed, name, dock, thing, lines[thing.model])
        await api.act("Shipment", name, "complete", {})
    return len(contents)


async def _scan(api: Api, seed: int, shipment: str, dock: str, thing: Thing, line: int) -> None:
    """Stick a label on, scan the maker's serial. If the notice named another serial, look at the machine and accept it with the reason."""
    given: Json = {"payload": thing.serial, "uuid": _uuid(seed, shipment, thing.serial, 1), "bin": dock, "tag": thing.label}
    verdict = await api.act("Shipment", shipment, "scan", given)
    if verdict["verdict"] in ("notAnnounced", "ambiguous"):
        reason = "The notice names another serial; this is what is printed on the machine."
        again = {"uuid": _uuid(seed, shipment, thing.serial, 2), "line": line, "serial": thing.serial, "reason": reason}
        verdict = await api.act("Shipment", shipment, "scan", given | again)
    if not verdict["accepted"] and not (verdict["verdict"] == "duplicate" and verdict["asset"] == thing.label.lower()):
        raise RuntimeError(f"{shipment}: the dock could not receive {thing.serial}: {verdict['verdict']}: {verdict['message']}")


async def _put(world: World) -> None:
    """Technicians carry every machine from the dock to its rack or bin and record the place that was planned."""
    assets = {asset["spec"]["tag"]: asset for asset in await (await world.person(MANAGER)).list("Asset")}
    moved = await _all(lambda thing: _carry(world, thing, assets[thing.label]), things(world.seed))
    world.say(f"  placed: {sum(moved)} machines into racks and bins, {len(things(world.seed)) - sum(moved)} were there already")


async def _carry(world: World, thing: Thing, asset: Json) -> bool:
    if asset["status"]["lifecycle"] != "Received":
        return False
    api, name, place = await world.person(TECHNICIAN[thing.warehouse]), asset["metadata"]["name"], thing.planned
    if place.kind == "bin":
        await api.act("Asset", name, "putaway", {"bin": place.name}, key=f"seed-{world.seed}-{name}")
    else:
        await api.act("Asset", name, "place", {"rack": place.name, "unit": place.unit, "face": place.face}, key=f"seed-{world.seed}-{name}")
    return True


async def _count(world: World) -> None:
    """The first count, one a site: the manager starts and closes it, the counter scans what is there."""
    layout = read("layout.yaml")
    manager, counter = await world.person(MANAGER), await world.person(COUNTER)
    stores = {store["site"]: store["name"] for store in layout["warehouses"]}

    async def site(name: str) -> Json:
        count = f"first-{name}"
        bins = [f"{stores[name]}-{code.lower()}" for entry in layout["bins"] for code in (expand(entry["code"]) if name in stores else [])]
        scope = {"bins": bins, "racks": [rack.name for rack, _ in racks() if rack.site == name]}
        await manager.ensure("StockCount", count, {"scope": scope, "blind": True, "counters": [COUNTER.name]})
        now = await manager.find("StockCount", count)
        if now and now["status"]["phase"] == "Draft":
            await manager.act("StockCount", count, "start", {})
            now = await manager.find("StockCount", count)
        if now and now["status"]["phase"] == "Counting":
            await _walk(counter, now, things(world.seed))
            await manager.act("StockCount", count, "close", {})
            now = await manager.find("StockCount", count)
        assert now is not None, count
        return now

    counts = await _all(site, [entry["name"] for entry in layout["sites"]])
    right, total = (sum(count["status"][key] for count in counts) for key in ("correct", "total"))
    world.say(f"  counted blind: {right} of {total} machines are where the record says")


async def _walk(api: Api, count: Json, physical: Iterable[Thing]) -> None:
    """Go from place to place and scan every label there. Scans carry a uuid each, so walking twice changes nothing."""
    name, uid = count["metadata"]["name"], count["metadata"]["uid"]
    by_place = _grouped(physical, lambda thing: f"{thing.actual.kind}/{thing.actual.name}")
    for place in count["status"]["places"]:
        for thing in sorted(by_place.get(place, []), key=lambda one: (-(one.actual.unit or 0), one.label)):
            given: Json = {"uuid": str(uuid.uuid5(uuid.UUID(uid), thing.label)), "place": thing.actual.label, "payload": thing.label}
            await api.act("StockCount", name, "count", given | _unit(thing.actual))


def _unit(place: Place) -> Json:
    return {"unit": place.unit} if place.kind == "rack" else {}


def asset_model(entry: Json) -> Json:
    """An entry of ``models.yaml`` as the API takes it: ranges of ports and bays are written out."""
    spec = _without(entry, "name")
    for part in ("ports", "bays"):
        spec[part] = [{**one, "name": name} for one in entry.get(part, []) for name in expand(one["name"])]
    return spec


def _shipments(world: World) -> dict[str, list[Thing]]:
    return _grouped(things(world.seed), lambda thing: thing.shipment)


def _grouped(items: Iterable[Thing], key: Callable[[Thing], str]) -> dict[str, list[Thing]]:
    groups: dict[str, list[Thing]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def _without(entry: Json, *keys: str) -> Json:
    return {key: value for key, value in entry.items() if key not in keys}


def _uuid(seed: int, *words: Any) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://cipo.invalid/tramline/{seed}/" + "/".join(map(str, words))))


def _ensure(api: Api) -> Callable[[tuple[str, str, Json]], Awaitable[bool]]:
    async def one(item: tuple[str, str, Json]) -> bool:
        return await api.ensure(*item)

    return one


async def _all(work: Callable[[Any], Awaitable[T]], items: Iterable[Any]) -> list[T]:
    """Do it for every item, a few at once; the results in the order of the items."""
    todo = list(items)
    results: dict[int, T] = {}
    hands = anyio.CapacityLimiter(HANDS)

    async def one(index: int, item: Any) -> None:
        async with hands:
            results[index] = await work(item)

    async with anyio.create_task_group() as group:
        for index, item in enumerate(todo):
            group.start_soon(one, index, item)
    return [results[index] for index in range(len(todo))]
