"""Clocks that jump by an hour: due times, leases, facts and events go by the database's clock, whatever a process believes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.crash import labour
from tests.crash.stage import ASSETS, asset, furnish, until
from tests.crash.test_worker import hire, post, steps, with_tables

HOUR_S = 3600


@pytest.fixture(scope="module")
def faked():
    """The environment of a process whose clock is wrong by ``seconds``: Debian's libfaketime, wall clock only, as a real jump is."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")

    def wrong(seconds: int, jumps: Path) -> dict[str, str]:
        jumps.write_text(f"{seconds:+d}")
        return {"LD_PRELOAD": str(found[0]), "FAKETIME_TIMESTAMP_FILE": str(jumps), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}

    return wrong


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
def test_a_worker_with_a_wrong_clock_keeps_the_databases_time(stage, fault, faked, seconds):
    with_tables(stage)
    asyncio.run(post(stage.dsn, ["later"], wait_s=1800))
    asyncio.run(post(stage.dsn, ["held"], pause_ms=2500))
    hire(stage, "right")  # holds "held" and has waited for "later" once
    until(lambda: stage.look("select count(*) from public.run")[0][0] == 2, 20, "the right worker has begun both")
    until(lambda: steps(stage)["later"] == 1, 20, "the one that waits has its first step")
    hire(stage, "wrong", **faked(seconds, stage.home / "jump"))
    asyncio.run(post(stage.dsn, ["now"], pause_ms=10))
    until(lambda: steps(stage)["now"] == labour.STEPS, 30, "what is due now is done by either")
    until(lambda: steps(stage)["held"] == labour.STEPS, 30, "what was held is finished")
    assert steps(stage)["later"] == 1, "half an hour has not passed"
    assert stage.look("select count(*) from public.run where overlap") == [(0,)]
    stage.kill("right")
    asyncio.run(post(stage.dsn, ["alone"], pause_ms=10))
    until(lambda: steps(stage)["alone"] == labour.STEPS, 30, "the wrong one works alone")
    assert steps(stage)["later"] == 1
    by = stage.look("select (body::jsonb #>> '{status,by}')::int, body::jsonb #>> '{status,at}' from cipo.resource where name = 'alone'")
    assert by[0][0] == stage.processes["wrong"].pid
    now = stage.look("select clock_timestamp()")[0][0]
    assert abs((now - datetime.fromisoformat(by[0][1])).total_seconds()) < 120, "a reconciler's ctx.now is the database's"
    for table, column in (("fact", "ts"), ("event", "at"), ("resource", "created_at")):
        assert stage.look(f"select count(*) from cipo.{table} where abs(extract(epoch from {column} - now())) > 120") == [(0,)], table
    due = stage.look("select extract(epoch from due - now()) from cipo.work join cipo.resource using (uid) where name = 'later'")[0][0]
    assert 1500 < due < 1801
    fault(
        f"worker's clock {seconds // 3600:+d} h: nothing early, nothing late, no lease taken over, facts and events by the database's clock"
    )


def test_an_api_whose_clock_jumps_keeps_the_databases_time(stage, fault, faked):
    jump = stage.home / "jump"
    stage.start_api(**faked(0, jump))
    asking = stage.caller()
    furnish(asking)
    names = []
    for seconds in (0, HOUR_S, -HOUR_S, 0):
        jump.write_text(f"{seconds:+d}")
        for _ in range(5):
            names.append(f"box{seconds:+d}-{len(names)}".replace("+", "p").replace("--", "-m"))
            made = asking.must("POST", ASSETS, asset(names[-1], f"SERIAL{len(names)}"))
            acted = asking.must("POST", f"{ASSETS}/{names[-1]}/receive", {"scan": f"SERIAL{len(names)}"}, Idempotency_Key=names[-1])
            assert acted["status"]["lifecycle"] == "Received"
            created = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
            assert abs((created - datetime.now(UTC)).total_seconds()) < 60
            times = [entry["time"] for entry in acted["metadata"]["managedFields"]]
            assert all(abs((datetime.fromisoformat(time) - datetime.now(UTC)).total_seconds()) < 60 for time in times)
    order = [row[0] for row in stage.look("select name from cipo.event where type = 'ADDED' and gk = 'Asset.facilities.cipo' order by seq")]
    assert order == names
    ordered = [
        row[0] for row in stage.look("select name from cipo.event where type = 'ADDED' and gk = 'Asset.facilities.cipo' order by at")
    ]
    assert ordered == names
    by_uid = [
        row[0]
        for row in stage.look("select name from cipo.resource where gk = 'Asset.facilities.cipo' order by substr(uid::text, 1, 13), rv")
    ]
    assert by_uid == names
    for table, column in (("fact", "ts"), ("event", "at")):
        assert stage.look(f"select count(*) from cipo.{table} where abs(extract(epoch from {column} - now())) > 120") == [(0,)], table
    fault("API's clock jumps +1 h, -1 h and back: order, creation times, uids, facts and events by the database's clock")
