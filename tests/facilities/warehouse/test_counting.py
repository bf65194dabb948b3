"""The blind count: it tells nothing before its close, and after it each thing of expected ∪ found has a fact."""

from __future__ import annotations

import uuid

import pytest

from cipo.facilities.kinds import Asset, StockCount
from cipo.testing.plane import path

pytestmark = pytest.mark.anyio


async def close(house, name):
    await house.do(StockCount, name, "close")
    return await house.status(StockCount, name)


async def test_ten_things_and_one_in_the_wrong_bin(house):
    names = [await house.server() for _ in range(8)] + [await house.server(in_bin="wh.a-02") for _ in range(2)]
    await house.counting("c1", {"bins": ["wh.a-01", "wh.a-02"]})
    for name in names[:7]:
        await house.count("c1", "BIN/wh.a-01", name.upper())
    for name in names[7:]:
        await house.count("c1", "BIN/wh.a-02", name.upper())
    status = await close(house, "c1")
    assert (status["correct"], status["total"], status["accuracy"]) == (9, 10, 0.9)
    assert status["discrepancies"] == [
        {"asset": names[7], "kind": "wrongPlace", "expected": "bin/wh.a-01", "found": "bin/wh.a-02", "code": "", "decidedBy": ""}
    ]
    facts = await house.facts("cmdb.count")
    assert sorted(value for value, _, _ in facts) == [0.0] + [1.0] * 9
    wrong = next((subject, attrs) for value, subject, attrs in facts if value == 0)
    assert wrong == (names[7], {"count": "c1", "outcome": "wrongPlace", "place": "bin/wh.a-02"})
    assert {subject for _, subject, _ in facts} == set(names)


async def test_a_blind_count_never_tells_what_is_expected(house):
    expected = await house.server()
    other = await house.server(in_bin="wh.a-02")
    await house.counting("c1", {"bins": ["wh.a-01"]})
    body = await house.cipo.get(StockCount.info, "c1")
    assert expected not in str(body)
    assert body["status"]["places"] == ["bin/wh.a-01"]
    assert len(body["status"]["hash"]) == 64
    right = await house.count("c1", "BIN/wh.a-01", expected.upper())
    wrong = await house.count("c1", "BIN/wh.a-01", other.upper())
    assert {key: value for key, value in right.items() if key not in ("asset", "message", "scans")} == {
        key: value for key, value in wrong.items() if key not in ("asset", "message", "scans")
    }
    assert right["message"].replace(expected, "x") == wrong["message"].replace(other, "x")


async def test_a_count_that_is_not_blind_shows_its_sheet(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01"]}, blind=False)
    assert (await house.status(StockCount, "c1"))["sheet"] == [f"{name}: bin/wh.a-01"]


async def test_duplicates_are_named_and_count_once(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01", "wh.a-02"]})
    assert (await house.count("c1", "BIN/wh.a-01", name.upper()))["verdict"] == "counted"
    again = await house.count("c1", "BIN/wh.a-02", name.upper())
    assert again["verdict"] == "duplicate"
    assert "bin/wh.a-01" in again["message"]
    assert (await close(house, "c1"))["accuracy"] == 1.0


async def test_a_repeated_uuid_is_taken_once(house):
    name, same = await house.server(), str(uuid.uuid4())
    await house.counting("c1", {"bins": ["wh.a-01"]})
    await house.count("c1", "BIN/wh.a-01", name.upper(), scan_uuid=same)
    again = await house.count("c1", "BIN/wh.a-01", name.upper(), scan_uuid=same)
    assert (again["repeated"], again["scans"]) == (True, 1)
    await close(house, "c1")
    assert (await house.count("c1", "BIN/wh.a-01", name.upper(), scan_uuid=same))["repeated"]


async def test_unknown_codes_and_unreadable_things_are_wrong_and_have_the_count_as_subject(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01"]})
    await house.count("c1", "BIN/wh.a-01", name.upper())
    assert (await house.count("c1", "BIN/wh.a-01", "STRANGE1"))["verdict"] == "unknownCode"
    assert (await house.count("c1", "BIN/wh.a-01", "STRANGE1"))["verdict"] == "duplicate"
    assert (await house.count("c1", "BIN/wh.a-01", "", unreadable=True))["verdict"] == "unreadable"
    status = await close(house, "c1")
    assert (status["correct"], status["total"]) == (1, 3)
    facts = await house.facts("cmdb.count")
    assert sorted((value, subject, attrs["outcome"]) for value, subject, attrs in facts) == [
        (0.0, "c1", "unexpected"),
        (0.0, "c1", "unreadable"),
        (1.0, name, "correct"),
    ]


async def test_what_is_missing_is_missing_and_can_be_marked_lost(house):
    here, gone = await house.server(), await house.server()
    await house.counting("c1", {"bins": ["wh.a-01"]})
    await house.count("c1", "BIN/wh.a-01", here.upper())
    status = await close(house, "c1")
    assert [(entry["asset"], entry["kind"]) for entry in status["discrepancies"]] == [(gone, "missing")]
    assert "was not found" in (await house.refused(StockCount, "c1", "adjust", asset=gone, decision="accept-found"))["message"]
    await house.do(StockCount, "c1", "adjust", asset=gone, decision="mark-lost")
    assert (await house.asset(gone))["status"]["lifecycle"] == "Lost"
    status = await house.status(StockCount, "c1")
    assert status["discrepancies"][0]["decision"] == "mark-lost"
    assert status["accuracy"] == 0.5
    assert "decided it already" in (await house.refused(StockCount, "c1", "adjust", asset=gone, decision="ignore", reason="x"))["message"]


async def test_accepting_what_was_found_moves_the_record(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01", "wh.a-02"]})
    await house.count("c1", "BIN/wh.a-02", name.upper())
    await close(house, "c1")
    await house.do(StockCount, "c1", "adjust", asset=name, decision="accept-found")
    assert (await house.asset(name))["status"]["location"]["bin"] == "wh.a-02"


async def test_ignoring_needs_a_reason(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01", "wh.a-02"]})
    await house.count("c1", "BIN/wh.a-02", name.upper())
    await close(house, "c1")
    assert "say why" in (await house.refused(StockCount, "c1", "adjust", asset=name, decision="ignore"))["message"]
    await house.do(StockCount, "c1", "adjust", asset=name, decision="ignore", reason="it was carried past")


async def test_a_swapped_serial_is_found_when_both_are_scanned(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01"]})
    await house.count("c1", "BIN/wh.a-01", name.upper(), serial="OTHER123")
    assert [entry["kind"] for entry in (await close(house, "c1"))["discrepancies"]] == ["wrongSerial"]


async def test_moves_through_the_record_are_netted_out(house):
    moved, unseen, stays = await house.server(), await house.server(), await house.server()
    await house.counting("c1", {"bins": ["wh.a-01", "wh.a-02"]})
    await house.do(Asset, moved, "putaway", bin="wh.a-02")
    await house.do(Asset, unseen, "place", rack="r1", unit=9)
    await house.count("c1", "BIN/wh.a-02", moved.upper())
    await house.count("c1", "BIN/wh.a-01", stays.upper())
    status = await close(house, "c1")
    assert (status["correct"], status["total"], status["netted"]) == (2, 2, 1)


async def test_putting_it_right_during_the_count_does_not_hide_it(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01", "wh.a-02"]})
    await house.count("c1", "BIN/wh.a-02", name.upper())
    await house.do(Asset, name, "putaway", bin="wh.a-02")
    assert (await close(house, "c1"))["accuracy"] == 0


async def test_machines_in_racks_are_counted_with_their_unit_if_it_is_read(house):
    first, second = await house.server(), await house.server()
    await house.do(Asset, first, "place", rack="r1", unit=9)
    await house.do(Asset, second, "place", rack="r1", unit=10)
    await house.counting("c1", {"racks": ["r1"]})
    await house.count("c1", "RACK/r1", first.upper())
    await house.count("c1", "RACK/r1", second.upper(), unit=12)
    status = await close(house, "c1")
    assert [(entry["asset"], entry["expected"], entry["found"]) for entry in status["discrepancies"]] == [
        (second, "rack/r1 U10", "rack/r1 U12")
    ]


async def test_a_count_by_model_leaves_other_models_alone(house):
    server, panel = await house.server(), await house.server(model="panel")
    await house.counting("c1", {"models": ["r650"]})
    assert (await house.count("c1", "BIN/wh.a-01", panel.upper()))["verdict"] == "outOfScope"
    await house.count("c1", "BIN/wh.a-01", server.upper())
    assert (await close(house, "c1"))["total"] == 1


async def test_a_random_sample_is_drawn_the_same_again(house):
    for code in ("wh.a-01", "wh.a-02", "wh.b-01"):
        await house.server(in_bin=code)
    for name in ("c1", "c2"):
        await house.counting(name, {"random": {"n": 1, "seed": 5}})
    first, second = (await house.status(StockCount, "c1")), (await house.status(StockCount, "c2"))
    assert (first["places"], first["hash"]) == (second["places"], second["hash"])
    assert len(first["places"]) == 1


async def test_nothing_scanned_is_nothing_counted(house):
    await house.server()
    await house.counting("c1", {"bins": ["wh.a-01"]})
    assert "nothing was scanned" in (await house.refused(StockCount, "c1", "close"))["message"]


async def test_an_empty_bin_that_is_empty_has_nothing_to_be_wrong_about(house):
    await house.counting("c1", {"bins": ["wh.b-01"]})
    status = await close(house, "c1")
    assert status["total"] == 0
    assert "accuracy" not in status


async def test_after_the_deadline_no_scan_is_taken_and_the_count_says_so(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01"]}, deadline="2020-01-01T00:00:00Z")
    assert (
        "deadline"
        in (await house.refused(StockCount, "c1", "count", place="BIN/wh.a-01", payload=name.upper(), uuid=str(uuid.uuid4())))["message"]
    )
    await house.cipo.reconcile()
    assert "Overdue" in [condition["type"] for condition in (await house.status(StockCount, "c1"))["conditions"]]


async def test_a_place_outside_of_the_count_is_refused(house):
    await house.counting("c1", {"bins": ["wh.a-01"]})
    for place, told in (
        ("BIN/wh.a-02", "this count is about bin/wh.a-01"),
        ("BIN/nowhere", "there is no bin"),
        ("7XK29P3", "scan the label of the bin"),
    ):
        refused = await house.refused(StockCount, "c1", "count", place=place, payload="X1234", uuid=str(uuid.uuid4()))
        assert told in refused["message"]


async def test_the_scope_stays_once_counting_has_begun(house):
    await house.counting("c1", {"bins": ["wh.a-01"]})
    patch = {"spec": {"scope": {"bins": ["wh.a-02"]}}}
    refused = await house.cmdb.call(
        "PATCH", path(StockCount.info, "c1"), json=patch, headers={"Content-Type": "application/merge-patch+json"}
    )
    assert "make another count" in refused.text


async def test_a_sealed_set_that_was_changed_is_noticed(house):
    await house.server()
    await house.counting("c1", {"bins": ["wh.a-01"]})
    await house.count("c1", "BIN/wh.a-01", "STRANGE1")
    body = await house.cipo.get(StockCount.info, "c1")
    body["status"]["hash"] = "0" * 64
    forged = await house.cmdb.call("PUT", path(StockCount.info, "c1", "status"), json=body)
    assert forged.status_code == 200, forged.text
    assert "not the one that was frozen" in (await house.refused(StockCount, "c1", "close"))["message"]


async def test_every_counted_asset_was_seen(house):
    name = await house.server()
    await house.counting("c1", {"bins": ["wh.a-01"]})
    await house.count("c1", "BIN/wh.a-01", name.upper())
    assert [(subject, attrs) for _, subject, attrs in await house.facts("cmdb.seen")] == [
        (name, {"source": "count", "place": "bin/wh.a-01"})
    ]
    assert (await house.asset(name))["status"]["lastSeen"]["source"] == "count"


async def test_the_promise_of_the_chart_follows_the_counts(house):
    names = [await house.server() for _ in range(3)]
    await house.counting("c1", {"bins": ["wh.a-01", "wh.a-02"]})
    for name in names[:2]:
        await house.count("c1", "BIN/wh.a-01", name.upper())
    await house.count("c1", "BIN/wh.a-02", names[2].upper())
    await close(house, "c1")
    rows = await house.cipo.plane.db.fetch("select sum(value), count(*), count(distinct subject) from cipo.fact where name = 'cmdb.count'")
    assert rows == [(2.0, 3, 3)]
