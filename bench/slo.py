"""The KPI engine at size: ten million facts in the chart's KPIs, rolled, and every scorecard evaluated from the slices.

Facts are spread over a year, a few KPIs (probes, latencies) having most of them, as in a real organisation. What is asked for: every
scorecard under a second, at least 50,000 facts rolled a second on one core, and an evaluation whose cost does not grow with history.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import time
import uuid
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import psycopg

from bench.place import Postgres
from cipo.kernel.slo import gather, register, roll
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.slices import totals
from cipo.kernel.store import migrate
from cipo.kernel.store.admission import typed
from cipo.kernel.store.db import Database
from cipo.org import chart as charts
from cipo.org import kinds
from cipo.plane import registry

YEAR = timedelta(days=365)
OPEN = 20  # pieces of work of one sort that are open at a time
PROBES = 0.8  # share of the facts that probes and latencies have


def measure(postgres: Postgres, *, facts: int = 10_000_000) -> dict[str, Any]:
    """Fill, roll, evaluate; figures by name."""
    dsn = postgres.url(fresh(postgres))
    promised = objectives()
    now = datetime.now(UTC)
    poured = pour(dsn, promised, facts, now)
    return {"facts": facts, "pour_s": poured, **asyncio.run(_measured(dsn, promised, facts, now))}


def fresh(postgres: Postgres) -> str:
    """An empty, migrated database."""
    name = "cipo_bench_slo"
    with psycopg.connect(postgres.dsn.admin, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    migrate.migrate(postgres.url(name))
    return name


def objectives() -> list[Objective]:
    """All KPIs of the packaged chart."""
    chart, declared = charts.load(), registry()
    specs = kinds.wished(chart, declared)["kpis"]
    return [
        kinds.promise(typed(kinds.Kpi.info, {"metadata": {"name": name}, "spec": spec}), declared)  # type: ignore[arg-type]
        for name, spec in specs.items()
    ]


def pour(dsn: str, promised: list[Objective], facts: int, now: datetime) -> float:
    """Write the facts by COPY, oldest first; how long it took."""
    started = time.perf_counter()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select cipo.make_fact_partitions(%s, %s)", (now - YEAR, now))
        connection.execute("alter table cipo.fact disable trigger fact_written")  # marked once, below: pouring is not what is measured
        with connection.cursor() as cursor, cursor.copy("copy cipo.fact (ts, name, unit, value, attrs, seq, subject) from stdin") as copy:
            for row in rows(promised, facts, now):
                copy.write_row(row)
        connection.execute("alter table cipo.fact enable trigger fact_written")
        connection.execute("analyze cipo.fact")
    return time.perf_counter() - started


def rows(promised: list[Objective], facts: int, now: datetime) -> Iterator[tuple[Any, ...]]:
    """Facts of a year in the order of time."""
    chance = random.Random(1)
    busy = [one for one in promised if one.indicator.method in ("ratio", "percentile")][:12]
    step = YEAR / facts
    began: dict[str, deque[str]] = {}
    for n in range(facts):
        one = chance.choice(busy) if chance.random() < PROBES else chance.choice(promised)
        method = one.indicator.method
        value = float(chance.random() < 0.999) if method == "ratio" else chance.lognormvariate(1, 1)
        attrs = {term.attr: term.values[0] for term in one.indicator.where if term.op == "in"}
        name, subject = one.indicator.fact, None
        if one.indicator.end:  # work that begins and, twenty later, ends
            waiting = began.setdefault(one.name, deque())
            if len(waiting) < OPEN:
                waiting.append(subject := str(uuid.UUID(int=chance.getrandbits(128))))
            else:
                name, subject = one.indicator.end, waiting.popleft()
        yield now - YEAR + n * step, name, "1A/U-W2", value, json.dumps(attrs), 1, subject


async def _measured(dsn: str, promised: list[Objective], facts: int, now: datetime) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with Database(dsn, max_size=2, name="bench-slo") as db:
        series = await register.ensure(db, promised)
        started = time.perf_counter()
        minutes = await roll.roll(db)
        found["roll_s"] = time.perf_counter() - started
        found["roll_facts_a_second"] = facts / found["roll_s"]
        found["roll_minutes"] = minutes
        found["slices"] = (await db.fetch("select count(*) from cipo.slice"))[0][0]
        found["size_facts_mb"], found["size_slices_mb"] = (
            await db.fetch(
                "select (select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'cipo.fact'::regclass)::float8 / 1e6,"
                " pg_total_relation_size('cipo.slice')::float8 / 1e6"
            )
        )[0]
        await db.execute("vacuum analyze cipo.slice")
        found["scorecards_s"] = median([await _all(db, promised, series, now) for _ in range(5)])
        found["half_history_s"] = median([await _all(db, promised, series, now - YEAR / 2) for _ in range(5)])
        found["increment"] = await _increment(dsn, db, promised)
        found["raw_full_scan_s"] = await _raw(db, promised[0], now)
        found["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        await totals(db, series[promised[0].name], now - timedelta(days=1), now)
    found["load"] = os.getloadavg()[0]
    return found


async def _all(db: Database, promised: list[Objective], series: dict[str, int], now: datetime) -> float:
    """Evaluate every KPI once, one after another."""
    started = time.perf_counter()
    for one in promised:
        await gather.evaluate(db, one, series[one.name], now)
    return time.perf_counter() - started


async def _increment(dsn: str, db: Database, promised: list[Objective]) -> dict[str, float]:
    """Facts of the last minutes arrive in bulk: how fast they become slices."""
    batch, now = 500_000, datetime.now(UTC)
    fact = next(one for one in promised if one.indicator.method == "percentile").indicator.fact
    chance = random.Random(2)
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        started = time.perf_counter()
        with cursor.copy("copy cipo.fact (ts, name, unit, value, attrs, seq) from stdin") as copy:
            for n in range(batch):
                copy.write_row((now - timedelta(seconds=600 * n / batch), fact, "1A/U-W2", chance.lognormvariate(1, 1), "{}", 1))
        written = time.perf_counter() - started
    started = time.perf_counter()
    await roll.roll(db, [fact])
    rolled = time.perf_counter() - started
    return {"facts": batch, "copy_facts_a_second": batch / written, "roll_facts_a_second": batch / rolled}


async def _raw(db: Database, one: Objective, now: datetime) -> float:
    """What the same 30 days cost over facts, for comparison."""
    started = time.perf_counter()
    await db.fetch("select count(*), avg(value) from cipo.fact where name = %s and ts > %s", (one.indicator.fact, now - timedelta(days=30)))
    return time.perf_counter() - started
