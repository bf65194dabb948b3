"""The roller killed over and over while facts come in: the slices are those of a clean run, byte for byte."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import psycopg

from cipo.kernel.slo import register, roll
from cipo.kernel.slo.objective import Indicator, Limit, Objective
from cipo.kernel.slo.windows import Rolling
from cipo.kernel.store.db import Database
from tests.crash.stage import ROOT

FACTS = int(os.environ.get("CIPO_TEST_FACTS") or 100_000)
KILLS = int(os.environ.get("CIPO_TEST_KILLS") or 12)
CHUNKS = 40
START = datetime.now(UTC) - timedelta(days=9)  # partly of long ago, whose minutes are not kept
# The age from which minutes are kept moves on between the two runs.
SLICES = "select * from cipo.slice where size > 1 or at > now() - interval '7 days 20 hours' order by series, size, at"
OBJECTIVES = [
    Objective("ratio", Indicator("ratio", "crash.probe"), Limit(">=", 0.99), Rolling(timedelta(days=30))),
    Objective("p99", Indicator("percentile", "crash.latency", p=99), Limit("<", 50), Rolling(timedelta(days=30))),
]


def pour(dsn: str, ended: threading.Event) -> None:
    """Facts of a week in random order, in chunks: most of them are late."""
    chance = random.Random(7)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select cipo.make_fact_partitions(%s, %s)", (START, START + timedelta(days=8)))
        for _ in range(CHUNKS):
            with connection.cursor() as cursor, cursor.copy("copy cipo.fact (ts, name, unit, value, attrs, seq) from stdin") as copy:
                for n in range(FACTS // CHUNKS):
                    at = START + timedelta(seconds=chance.random() * 7 * 86_400)
                    probe = n % 2 == 0
                    value = float(chance.random() < 0.995) if probe else chance.lognormvariate(2, 1)
                    copy.write_row((at, "crash.probe" if probe else "crash.latency", "1A/U-W2", value, "{}", 1))
    ended.set()


def test_a_roller_that_is_killed_loses_and_doubles_nothing(stage, fault):
    dsn = stage.dsn
    asyncio.run(registered(dsn))
    ended = threading.Event()
    pouring = threading.Thread(target=pour, args=(dsn, ended))
    pouring.start()
    chance, kills = random.Random(11), 0
    while not ended.is_set() or kills < KILLS:
        roller = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.roller", dsn],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert roller.stdout is not None
        roller.stdout.readline()  # it has rolled at least once, so the kill falls into real work
        try:
            roller.wait(timeout=chance.random() * 0.3)
        except subprocess.TimeoutExpired:
            roller.kill()
        roller.wait()
        roller.stdout.close()
        kills += 1
        if kills > 20 * KILLS:
            break
    pouring.join()
    rows = asyncio.run(rolled(dsn))
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert connection.execute("select count(*) from cipo.fact_dirty").fetchone() == (0,)
        facts = connection.execute("select count(*) from cipo.fact").fetchone()[0]
        after = connection.execute(SLICES).fetchall()
        connection.execute("truncate cipo.slice")
        connection.execute("insert into cipo.fact_dirty (name, at) select distinct name, date_bin('1 minute', ts, 'epoch') from cipo.fact")
    asyncio.run(rolled(dsn))
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert connection.execute(SLICES).fetchall() == after
        assert connection.execute("select sum(n) from cipo.slice where size = 1440").fetchone()[0] == facts
    fault(
        f"roller killed {kills} times while {facts:,} facts came in any order: {len(after):,} slices equal a clean run ({rows} minutes were left)"
    )


async def registered(dsn: str) -> None:
    async with Database(dsn) as db:
        await register.ensure(db, OBJECTIVES)


async def rolled(dsn: str) -> int:
    async with Database(dsn) as db:
        return await roll.roll(db)
