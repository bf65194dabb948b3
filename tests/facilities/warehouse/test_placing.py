"""Racks: the right machine in the right unit, never two in one half unit, and what the rack carries."""

from __future__ import annotations

import asyncio
import random

import pytest

from cipo.facilities.kinds import Asset, AssetModel, Bin, Rack
from cipo.facilities.warehouse.lifecycle import LIFECYCLE, MOVES
from cipo.testing.plane import path

pytestmark = pytest.mark.anyio
MERGE = {"Content-Type": "application/merge-patch+json"}


async def test_a_placed_server_is_installed_and_the_move_is_a_fact(house):
    name = await house.server()
    await house.do(Asset, name, "place", rack="r1", unit=10)
    status = (await house.asset(name))["status"]
    assert status["lifecycle"] == "Installed"
    position = status["location"]["rackPosition"]
    assert position == {"rack": "r1", "unit": 10, "face": "front", "height": 1, "fullDepth": True}
    assert [stay["place"] for stay in status["trail"]] == ["shipment/" + status["received"]["shipment"], "bin/wh.a-01", "rack/r1"]
    facts = [attrs for _, subject, attrs in await house.facts("asset.transition") if subject == name]
    assert facts[-1] == {"from": "InStock", "to": "Installed", "action": "place"}


async def test_a_taken_unit_is_refused_with_who_is_there(house):
    first, second = await house.server(), await house.server()
    await house.do(Asset, first, "place", rack="r1", unit=10)
    refused = await house.refused(Asset, second, "place", rack="r1", unit=10, face="rear")
    assert (refused["code"], refused["reason"]) == (409, "Conflict")
    assert first in refused["message"]
    assert (await house.asset(second))["status"]["lifecycle"] == "InStock"


async def test_half_depth_panels_share_a_unit_from_both_sides_and_half_units_stack(house):
    a, b, c = [await house.server(model="panel") for _ in range(3)]
    await house.do(Asset, a, "place", rack="r1", unit=5)
    await house.do(Asset, b, "place", rack="r1", unit=5, face="rear")
    await house.do(Asset, c, "place", rack="r1", unit=5.5)
    server = await house.server()
    assert (await house.refused(Asset, server, "place", rack="r1", unit=5))["code"] == 409


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"unit": 43}, "rack r1 has the units 1 to 42"),
        ({"unit": 42.5}, "so choose 1 to 42"),
        ({"unit": 0.5}, "rack r1 has the units 1 to 42"),
        ({"unit": 10.3}, "multiple of 0.5"),
        ({"unit": 10, "face": "left"}, "mount it from the front or the rear"),
        ({"unit": 10, "face": "top"}, "face"),
        ({"unit": 10, "rack": "nowhere"}, "nowhere"),
    ],
)
async def test_a_place_that_is_none_is_refused_with_a_remedy(house, given, told):
    name = await house.server()
    refused = await house.refused(Asset, name, "place", **{"rack": "r1", **given})
    assert refused["code"] in (404, 422)
    assert told in refused["message"]


async def test_a_vertical_pdu_goes_beside_the_rails(house):
    name, other = await house.server(model="pdu"), await house.server(model="pdu")
    assert "left or right" in (await house.refused(Asset, name, "place", rack="r1", unit=1))["message"]
    await house.do(Asset, name, "place", rack="r1", unit=1, face="left")
    assert (await house.refused(Asset, other, "place", rack="r1", unit=1, face="left"))["code"] == 409
    await house.do(Asset, other, "place", rack="r1", unit=1, face="right")


async def test_an_illegal_move_names_the_legal_ones(house):
    name = await house.server()
    refused = await house.refused(Asset, name, "unplace", bin="wh.a-01")
    assert (refused["code"], refused["reason"]) == (409, "InvalidTransition")
    assert "is InStock; unplace needs it to be Installed" in refused["message"]
    assert "place" in refused["message"]


async def test_taking_it_out_frees_its_units(house):
    first, second = await house.server(), await house.server()
    await house.do(Asset, first, "place", rack="r1", unit=10)
    await house.do(Asset, first, "unplace", bin="wh.a-01")
    await house.do(Asset, second, "place", rack="r1", unit=10)


async def test_sixty_four_writers_want_one_unit_and_one_gets_it(house):
    names = [await house.server() for _ in range(16)]
    answers = await asyncio.gather(*(house.cmdb.act(Asset.info, name, "place", {"rack": "r1", "unit": 7}) for name in names * 4))
    codes = [answer.status_code for answer in answers]
    assert sum(code < 300 for code in codes) == 1
    assert set(codes) - {200, 201} == {409}


async def test_random_placements_agree_with_a_grid(house):
    draw = random.Random(7)
    models = {"r650": (1, True), "panel": (0.5, False)}
    fleet = [(await house.server(model=model), model) for model in ["r650", "panel"] * 8]
    grid: dict[tuple[str, int], str] = {}
    for _ in range(60):
        name, model = draw.choice(fleet)
        height, full = models[model]
        unit, face = draw.randint(2, 12) / 2, draw.choice(["front", "rear"])
        cells = {(side, int(unit * 2) + step) for side in (["front", "rear"] if full else [face]) for step in range(int(height * 2))}
        placed = name in grid.values()
        answer = await house.cmdb.act(Asset.info, name, "place", {"rack": "r1", "unit": unit, "face": face})
        fits = not placed and unit >= 1 and not cells & grid.keys()
        assert (answer.status_code < 300) == fits, answer.text
        if fits:
            grid |= dict.fromkeys(cells, name)
        elif placed and draw.random() < 0.5:
            await house.do(Asset, name, "unplace", bin="wh.a-01")
            grid = {cell: owner for cell, owner in grid.items() if owner != name}


async def test_the_rack_says_what_it_carries(house):
    servers = [await house.server() for _ in range(5)]
    panel = await house.server(model="panel")
    for unit, name in enumerate(servers, start=1):
        await house.do(Asset, name, "place", rack="r1", unit=unit)
    await house.do(Asset, panel, "place", rack="r1", unit=42)
    await house.cipo.reconcile()
    status = await house.status(Rack, "r1")
    assert (status["usedU"], status["freeU"], status["weightKg"], status["weightUnknown"]) == (5.5, 36.5, 105, 1)
    assert status["free"] == [{"unit": 6, "height": 36}, {"unit": 42.5, "height": 0.5}]
    assert status["power"] == {"typicalW": 4000, "maximumW": 4000, "known": 5, "unknown": 1, "smallestFeedW": 2944}
    overloaded = next(condition for condition in status["conditions"] if condition["type"] == "Overloaded")
    assert "4000 W on the weakest feed's 2944 W" in overloaded["message"]
    for name in servers[:3]:
        await house.do(Asset, name, "unplace", bin="wh.a-01")
    await house.cipo.reconcile()
    status = await house.status(Rack, "r1")
    assert status["usedU"] == 2.5
    assert "Overloaded" not in [condition["type"] for condition in status["conditions"]]


async def test_a_rack_does_not_shrink_below_what_stands_in_it(house):
    name = await house.server()
    await house.do(Asset, name, "place", rack="r1", unit=40)
    await house.cipo.reconcile()
    refused = await house.cmdb.call("PATCH", path(Rack.info, "r1"), json={"spec": {"uHeight": 24}}, headers=MERGE)
    assert refused.status_code == 422
    assert f"{name} at U40" in refused.text


async def test_weight_and_depth_are_kept_to(house):
    await house.made(Rack, "small", {"site": "fra1", "uHeight": 10, "maxWeightKg": 30, "mountingDepthMm": 500})
    await house.made(AssetModel, "deep", {"manufacturer": "X", "model": "Deep", "formFactor": {"uHeight": 1, "depthMm": 800}})
    first, second, deep = await house.server(), await house.server(), await house.server(model="deep")
    await house.do(Asset, first, "place", rack="small", unit=1)
    await house.cipo.reconcile()
    assert "21 kg + 21 kg is over its 30 kg" in (await house.refused(Asset, second, "place", rack="small", unit=2))["message"]
    assert "800 mm deep" in (await house.refused(Asset, deep, "place", rack="small", unit=3))["message"]


async def test_a_component_goes_into_a_bay_and_moves_with_its_parent(house):
    server, disk, other = await house.server(), await house.server(model="disk"), await house.server(model="disk")
    await house.do(Asset, disk, "install-component", parent=server, bay="disk-1")
    assert (await house.refused(Asset, other, "install-component", parent=server, bay="disk-1"))["code"] == 409
    assert "disk-1, disk-2" in (await house.refused(Asset, other, "install-component", parent=server, bay="disk-9"))["message"]
    await house.do(Asset, server, "place", rack="r1", unit=3)
    assert (await house.asset(disk))["status"]["location"]["parent"] == {"asset": server, "bay": "disk-1"}
    await house.do(Asset, disk, "remove-component", bin="wh.a-01")
    assert (await house.asset(disk))["status"]["lifecycle"] == "InStock"


async def test_nothing_is_part_of_itself(house):
    a, b = await house.server(), await house.server()
    assert "part of itself" in (await house.refused(Asset, a, "install-component", parent=a, bay="disk-1"))["message"]
    await house.do(Asset, a, "install-component", parent=b, bay="disk-1")
    assert "part of itself" in (await house.refused(Asset, b, "install-component", parent=a, bay="disk-1"))["message"]


async def test_lost_and_found(house):
    name = await house.server()
    await house.do(Asset, name, "place", rack="r1", unit=3)
    await house.do(Asset, name, "lost", reason="nobody has seen it since the move")
    status = (await house.asset(name))["status"]
    assert (status["lifecycle"], status.get("location", {}), status["lastKnown"]) == ("Lost", {}, "rack r1 U3 front")
    await house.do(Asset, name, "found", bin="wh.b-01")
    assert (await house.asset(name))["status"]["lifecycle"] == "InStock"


async def test_retiring_needs_a_reason_and_ends_its_use(house):
    name = await house.server()
    assert (await house.refused(Asset, name, "retire", reason=" "))["code"] == 422
    await house.do(Asset, name, "retire", reason="five years old")
    assert (await house.refused(Asset, name, "place", rack="r1", unit=3))["reason"] == "InvalidTransition"


async def test_a_full_bin_is_refused(house):
    await house.made(Bin, "wh.c-01", {"warehouse": "wh", "code": "C-01", "capacity": 1})
    first, second = await house.server(), await house.server()
    await house.do(Asset, first, "putaway", bin="wh.c-01")
    assert "it is full" in (await house.refused(Asset, second, "putaway", bin="wh.c-01"))["message"]


async def test_receive_needs_the_thing_itself_in_hand(house):
    await house.made(Asset, "typed", {"model": "r650", "manufacturer": "Dell", "serialPrinted": "7XK2 9P3"})
    assert "has serial 7XK29P3" in (await house.refused(Asset, "typed", "receive", scan="OTHER1"))["message"]
    await house.do(Asset, "typed", "receive", scan="S7XK29P3", bin="wh.dock")
    status = (await house.asset("typed"))["status"]
    assert (status["lifecycle"], status["lastSeen"]["source"]) == ("Received", "dock")


async def test_one_serial_one_holder_among_a_thousand_creations(house):
    spec = {"model": "r650", "manufacturer": "Dell"}
    writes = [house.cmdb.create(Asset.info, f"a{number}", {**spec, "serialPrinted": f"DUP{number % 25:04d}"}) for number in range(100)]
    codes = [answer.status_code for answer in await asyncio.gather(*writes)]
    assert codes.count(201) == 25
    assert codes.count(409) == 75


async def test_a_model_in_use_stays(house):
    await house.server()
    refused = await house.cipo.call("DELETE", path(AssetModel.info, "r650"))
    assert refused.status_code == 409


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"formFactor": {"uHeight": 0.3}}, "spec.formFactor.uHeight"),
        ({"formFactor": {"weightKg": -1}}, "spec.formFactor.weightKg"),
        ({"ports": [{"name": "p", "kind": "power"}, {"name": "p", "kind": "power"}]}, "power port p is there twice"),
        ({"gtins": ["06141411234528"]}, "should be 4"),
        ({"ports": [{"name": "F1", "kind": "front", "maps": [{"rear": "R9"}]}]}, 'no rear port \\"R9\\"'),
    ],
)
async def test_a_data_sheet_that_cannot_be_is_refused_with_its_field(house, spec, told):
    refused = await house.cmdb.create(AssetModel.info, "bad", {"manufacturer": "X", "model": "Y", **spec})
    assert refused.status_code == 422
    assert told in refused.text


async def test_any_sequence_of_actions_keeps_one_place_the_ledger_and_the_arrows(house):
    draw = random.Random(11)
    names = [await house.server() for _ in range(2)] + [await house.server(model="disk")]
    arrows = {(move.before, move.after) for move in MOVES} | {(word, word) for word in LIFECYCLE}
    before = {name: (await house.asset(name))["status"]["lifecycle"] for name in names}
    for _ in range(70):
        name = draw.choice(names)
        action = draw.choice(["putaway", "place", "unplace", "install-component", "remove-component", "lost", "found"])
        given: dict[str, object] = {
            "place": {"rack": "r1", "unit": draw.randint(1, 4)},
            "install-component": {"parent": draw.choice(names), "bay": "disk-1"},
            "lost": {"reason": "gone"},
        }.get(action, {"bin": draw.choice(["wh.a-01", "wh.a-02"])})
        await house.cmdb.act(Asset.info, name, action, given)
        status = (await house.asset(name))["status"]
        location = status.get("location", {})
        places = [key for key in location if key != "since"]
        assert len(places) <= 1
        assert (status["lifecycle"] == "Lost") == (places == [])
        told = {"bin": "bin", "rackPosition": "rack", "parent": "asset", "transit": "shipment"}
        assert status["trail"][-1]["place"].split("/")[0] == (told[places[0]] if places else "")
        assert (before[name], status["lifecycle"]) in arrows
        before[name] = status["lifecycle"]
