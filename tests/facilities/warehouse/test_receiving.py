"""The dock: what arrived is what was ordered, by scan; each scan is judged once, and the first good one makes the asset."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from cipo.facilities.kinds import Asset, Bin, Shipment, Warehouse
from cipo.facilities.warehouse.shipment import DockScan
from cipo.testing.plane import path
from tests.facilities.conftest import output

pytestmark = pytest.mark.anyio

R650 = {"line": 1, "model": "r650", "quantity": 2, "serials": ["7XK2 9P3", "7XK2 9P4"]}


async def test_the_first_good_scan_of_a_serial_makes_the_asset(house):
    await house.shipment("s1", R650, purchaseOrder="po-42")
    verdict = await house.scan("s1", "S7XK29P3", bin="wh.dock")
    assert (verdict["verdict"], verdict["accepted"], verdict["tag"]) == ("ok", True, "CIPO-000001")
    assert verdict["remaining"] == [{"line": 1, "model": "Dell PowerEdge R650", "quantity": 2, "received": 1}]
    asset = await house.asset("cipo-000001")
    assert asset["metadata"]["labels"] == {"class": "server"}
    assert (asset["spec"]["serial"], asset["spec"]["manufacturer"], asset["spec"]["purchase"]["po"]) == ("7XK29P3", "Dell", "po-42")
    assert (asset["status"]["lifecycle"], asset["status"]["location"]["bin"]) == ("Received", "wh.dock")
    assert asset["status"]["received"]["shipment"] == "s1"
    assert [(value, attrs["verdict"]) for value, _, attrs in await house.facts("inbound.scan")] == [(1.0, "ok")]


async def test_every_scan_is_kept_with_its_verdict(house):
    await house.shipment("s1", R650)
    words = [
        (await house.scan("s1", payload))["verdict"]
        for payload in ("7XK29P3", "7XK29P3", "NEW1234", "ST0LEN1", "BIN/wh.a-01", "]C10106141411234528")
    ]
    assert words == ["ok", "duplicate", "notAnnounced", "hold", "place", "badCode"]
    scans = (await house.cipo.call("GET", path(DockScan.info))).json()["items"]
    assert sorted(scan["status"]["verdict"] for scan in scans) == sorted(words)
    assert all(scan["spec"]["by"] for scan in scans)
    status = await house.status(Shipment, "s1")
    assert (status["phase"], status["scans"], status["accepted"], status["expected"]) == ("Receiving", 6, 1, 2)


async def test_a_repeated_uuid_gets_the_same_verdict_and_does_nothing(house):
    await house.shipment("s1", R650)
    same = str(uuid.uuid4())
    first = await house.scan("s1", "7XK29P3", scan_uuid=same)
    again = await house.scan("s1", "7XK29P3", scan_uuid=same)
    assert (again["verdict"], again["repeated"], again["asset"], again["tag"]) == ("ok", True, first["asset"], first["tag"])
    assert (await house.status(Shipment, "s1"))["scans"] == 1
    await house.dock.act(Shipment.info, "s1", "complete")
    assert (await house.scan("s1", "7XK29P3", scan_uuid=same))["verdict"] == "ok"


async def test_offline_scans_sent_twice_are_done_once(house):
    await house.shipment("s1", {"line": 1, "model": "r650", "quantity": 60})
    scans = [(str(uuid.uuid4()), f"XKV{number:05d}") for number in range(60)]
    for scan_uuid, payload in [*scans, *scans]:
        await house.scan("s1", payload, scan_uuid=scan_uuid, clientAt="2026-11-23T08:00:00Z")
    status = await house.status(Shipment, "s1")
    assert (status["scans"], status["accepted"]) == (60, 60)
    assert len((await house.cipo.call("GET", path(Asset.info))).json()["items"]) == 60


async def test_concurrent_scans_never_share_a_tag_nor_lose_a_piece(house):
    for name in ("s1", "s2"):
        await house.shipment(name, {"line": 1, "model": "r650", "quantity": 12})

    async def until_answered(number):
        """As the page does: the same uuid again until there is a verdict."""
        given = {"payload": f"XKV{number:05d}", "uuid": str(uuid.uuid4())}
        for _ in range(30):
            answer = await house.dock.act(Shipment.info, f"s{number % 2 + 1}", "scan", given)
            if answer.status_code not in (409, 503):
                return output(answer)
        raise AssertionError(answer.text)

    verdicts = await asyncio.gather(*(until_answered(number) for number in range(16)))
    assert [verdict["verdict"] for verdict in verdicts] == ["ok"] * 16
    assert len({verdict["tag"] for verdict in verdicts}) == 16
    assert [(await house.status(Shipment, name))["accepted"] for name in ("s1", "s2")] == [8, 8]


async def test_a_pre_printed_label_is_bound_to_the_serial(house):
    await house.shipment("s1", R650)
    free = await house.scan("s1", "CIPO-004711")
    assert (free["verdict"], free["tag"]) == ("incomplete", "CIPO-004711")
    assert (await house.scan("s1", "7XK29P3", tag="CIPO-004711"))["asset"] == "cipo-004711"
    taken = await house.scan("s1", "7XK29P4", tag="CIPO-004711")
    assert taken["verdict"] == "alreadyOwned"
    assert "cipo-004711" in taken["message"]


async def test_the_counter_skips_labels_that_are_in_use(house):
    await house.shipment("s1", R650)
    await house.scan("s1", "7XK29P3", tag="CIPO-000001")
    assert (await house.scan("s1", "7XK29P4"))["tag"] == "CIPO-000002"


async def test_a_gtin_finds_the_model_and_its_serial_the_piece(house):
    await house.shipment("s1", {"line": 1, "model": "r650", "quantity": 1}, {"line": 2, "model": "panel", "quantity": 1})
    assert (await house.scan("s1", "]C10106141411234524"))["verdict"] == "incomplete"
    verdict = await house.scan("s1", "]C1010614141123452421SN12345")
    assert (verdict["verdict"], verdict["line"]) == ("ok", 1)


async def test_what_the_dock_must_ask_is_asked(house):
    await house.shipment("s1", {"line": 1, "model": "r650", "quantity": 1}, {"line": 2, "model": "panel", "quantity": 1})
    asked = await house.scan("s1", "SN12345")
    assert asked["verdict"] == "ambiguous"
    assert {choice["value"] for choice in asked["choices"]} == {"N12345", "SN12345"}
    assert (await house.scan("s1", "SN12345", serial="SN12345", line=2))["line"] == 2


async def test_a_serial_that_is_elsewhere_is_named_with_its_place(house):
    name = await house.server()
    serial = (await house.asset(name))["spec"]["serial"]
    await house.shipment("s1", {"line": 1, "model": "r650", "quantity": 1})
    verdict = await house.scan("s1", serial)
    assert (verdict["verdict"], verdict["asset"]) == ("alreadyOwned", name)
    assert "bin wh.a-01" in verdict["message"]


async def test_an_ordered_asset_is_received_and_not_made_again(house):
    await house.made(Asset, "ordered-1", {"model": "r650", "manufacturer": "Dell", "serialPrinted": "7XK29P3"})
    await house.shipment("s1", R650)
    verdict = await house.scan("s1", "7XK29P3")
    assert (verdict["verdict"], verdict["asset"]) == ("ok", "ordered-1")
    assert (await house.asset("ordered-1"))["status"]["lifecycle"] == "Received"


async def test_control_characters_and_megabytes_are_refused(house):
    await house.shipment("s1", R650)
    for payload, code in (("AB\x00CD", 400), ("\x1b[2J", 422), ("AB\x07CD", 422), ("x" * 4097, 422)):
        refused = await house.dock.act(Shipment.info, "s1", "scan", {"payload": payload, "uuid": str(uuid.uuid4())})
        assert refused.status_code == code, refused.text
        assert "\x1b" not in refused.text
    assert (await house.status(Shipment, "s1")).get("scans", 0) == 0


async def test_a_complete_shipment_is_received_and_a_short_one_names_what_lacks(house):
    await house.shipment("s1", R650)
    await house.scan("s1", "7XK29P3")
    await house.dock.act(Shipment.info, "s1", "complete")
    status = await house.status(Shipment, "s1")
    assert status["phase"] == "Discrepant"
    assert status["discrepancies"] == [{"line": 1, "kind": "short", "quantity": 1, "serials": ["7XK29P4"]}]
    assert [(value, attrs["kind"]) for value, _, attrs in await house.facts("inbound.discrepancy")] == [(1.0, "short")]
    late = await house.dock.act(Shipment.info, "s1", "scan", {"payload": "7XK29P4", "uuid": str(uuid.uuid4())})
    assert (late.status_code, late.json()["reason"]) == (409, "InvalidTransition")
    await house.shipment("s2", {"line": 1, "model": "panel", "quantity": 1})
    await house.scan("s2", "PNL00001")
    await house.dock.act(Shipment.info, "s2", "complete")
    assert (await house.status(Shipment, "s2"))["phase"] == "Received"


async def test_a_substitute_with_a_reason_is_told_apart_from_the_announced_piece(house):
    await house.shipment("s1", R650)
    await house.scan("s1", "7XK29P3")
    assert (await house.scan("s1", "SUB12345", line=1, serial="SUB12345", reason="the vendor sent a substitute"))["verdict"] == "ok"
    await house.dock.act(Shipment.info, "s1", "complete")
    assert (await house.status(Shipment, "s1"))["discrepancies"] == [
        {"line": 1, "kind": "notScanned", "quantity": 1, "serials": ["7XK29P4"]}
    ]


async def test_lines_stay_once_receiving_has_begun(house):
    await house.shipment("s1", R650)
    patch = {"spec": {"packages": [{"lines": [{**R650, "quantity": 9}]}]}}
    refused = await house.dock.call(
        "PATCH", path(Shipment.info, "s1"), json=patch, headers={"Content-Type": "application/merge-patch+json"}
    )
    assert refused.status_code == 422
    assert "make another shipment" in refused.text


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        ([], "at least one line"),
        ([{"lines": [R650, R650]}], "line 1 is there twice"),
        ([{"lines": [{**R650, "quantity": 1}]}], "2 serials for 1 pieces"),
        ([{"lines": [{**R650, "serials": ["AB 123", "ab123"]}]}], "AB123 is announced twice"),
        ([{"sscc": "340123450000000018", "lines": [R650]}], "should end in 7"),
    ],
)
async def test_a_shipment_that_makes_no_sense_is_refused(house, packages, told):
    refused = await house.dock.create(Shipment.info, "bad", {"warehouse": "wh", "packages": packages})
    assert refused.status_code == 422
    assert told in refused.text


async def test_a_package_is_on_one_shipment(house):
    await house.made(Shipment, "s1", {"warehouse": "wh", "packages": [{"sscc": "340123450000000017", "lines": [R650]}]})
    again = await house.dock.create(Shipment.info, "s2", {"warehouse": "wh", "packages": [{"sscc": "340123450000000017", "lines": [R650]}]})
    assert again.status_code == 409
    assert "s1" in again.text


async def test_dock_to_stock_is_measured_once_an_asset(house):
    await house.shipment("s1", R650)
    name = (await house.scan("s1", "7XK29P3"))["asset"]
    await house.cipo.reconcile()
    assert await house.facts("inbound.dock_to_stock") == []
    await house.do(Asset, name, "putaway", bin="wh.a-01")
    await house.cipo.reconcile()
    await house.do(Asset, name, "putaway", bin="wh.a-02")
    await house.cipo.reconcile()
    facts = await house.facts("inbound.dock_to_stock")
    assert [(name_, attrs) for _, name_, attrs in facts] == [(name, {"shipment": "s1", "model": "r650"})]
    assert 0 <= facts[0][0] < 5


async def test_bins_and_warehouses_count_what_they_hold(house):
    await house.server()
    await house.cipo.reconcile()
    assert (await house.status(Bin, "wh.a-01"))["count"] == 1
    assert (await house.status(Warehouse, "wh"))["bins"] == 4
    name = await house.server()
    await house.do(Asset, name, "putaway", bin="wh.a-02")
    await house.cipo.reconcile()
    assert (await house.status(Bin, "wh.a-01"))["count"] == 1


async def test_a_hand_made_scan_says_nothing(house):
    await house.shipment("s1", R650)
    forged = {"shipment": "s1", "payload": "7XK29P3"}
    made = await house.dock.create(DockScan.info, "4d3f1a52-0000-4000-8000-000000000001", forged)
    assert made.status_code == 201
    refused = await house.dock.act(Shipment.info, "s1", "scan", {"payload": "7XK29P3", "uuid": "4d3f1a52-0000-4000-8000-000000000001"})
    assert refused.status_code == 422
    assert "make a new uuid" in refused.text
