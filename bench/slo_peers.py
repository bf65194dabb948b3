"""The engine beside Prometheus' recording rules over the same samples, with DuckDB over raw facts as the limit.

Thirty days, a sample a minute: ratio promises (events with weights, about 1 in 1,000 bad) and quantile promises (request times). Prometheus
evaluates the rules that ``cipo slo rules`` writes, and ``histogram_quantile`` over buckets; its five-minute sums of the past are put in
place first, as they would be after thirty days of running. The engine judges from its slices on PostgreSQL. DuckDB reads the facts
themselves from Parquet, one question a promise: no windows but the period, so it is a floor for scanning, not a competitor.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import duckdb
import psycopg
from tests.kernel.slo import servers

from bench import machine
from bench.place import Postgres
from cipo.kernel.slo import gather, prometheus, register, roll, rules
from cipo.kernel.slo.lake import Lake
from cipo.kernel.slo.objective import Indicator, Limit, Objective
from cipo.kernel.slo.windows import Rolling, floor
from cipo.kernel.store import migrate
from cipo.kernel.store.db import Database

DAYS, RATIOS, QUANTILES, ROUNDS = 30, 4, 1, 5
A_MINUTE, BASE = timedelta(minutes=1), timedelta(minutes=5)
PER_MINUTE, TIMES_A_MINUTE = 1000, 4
BOUNDS_MS = (10, 25, 50, 75, 100, 150, 250, 400, 600, 1000, 2500)
MIB = 1024 * 1024


@dataclass(frozen=True)
class Ratio:
    """A promise of good events: bad ones of each minute."""

    objective: Objective
    bad: list[int]


@dataclass(frozen=True)
class Quantile:
    """A promise of request times: those of each minute."""

    objective: Objective
    times: list[tuple[float, ...]]


def compare(postgres: Postgres, *, days: int = DAYS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Everything in one run."""
    missing = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    if missing:
        raise RuntimeError(f"not installed: {', '.join(missing)} (Debian: apt-get install prometheus)")
    now = floor(datetime.now(UTC), 1)
    start = now - timedelta(days=days)
    ratios, quantiles = _made(days)
    load = [machine.load()]
    with tempfile.TemporaryDirectory(prefix="cipo-slo-peers-") as scratch:
        home = Path(scratch)
        facts = home / "facts.csv"
        count = _write_facts(facts, start, ratios, quantiles)
        own = _own(postgres, facts, [*(one.objective for one in ratios), *(one.objective for one in quantiles)], now, rounds)
        load.append(machine.load())
        limit = _limit(home, facts, ratios, quantiles, start, now, rounds)
        load.append(machine.load())
        peer = _peer(home, ratios, quantiles, start, rounds)
        load.append(machine.load())
    differences = {name: abs(own["values"][name] - value) / value for name, value in peer.pop("values").items() if value}
    return {
        "facts": count, "days": days, "ratios": RATIOS, "quantiles": QUANTILES, "rounds": rounds, "load": load,
        "cipo": own, "prometheus": peer, "duckdb": limit,
        "ratio_difference": max(value for name, value in differences.items() if name.startswith("ratio")),
        "quantile_difference": max(value for name, value in differences.items() if name.startswith("quantile")),
    }  # fmt: skip


def _made(days: int) -> tuple[list[Ratio], list[Quantile]]:
    chance = random.Random(20260302)
    minutes, window = days * 1440, Rolling(timedelta(days=days))
    ratios = [
        Ratio(
            Objective(f"ratio-{n}", Indicator("ratio", f"bench.ratio{n}"), Limit(">=", 0.999), window),
            [min(PER_MINUTE, int(chance.expovariate(1.0))) for _ in range(minutes)],
        )
        for n in range(RATIOS)
    ]
    quantiles = [
        Quantile(
            Objective(f"quantile-{n}", Indicator("percentile", f"bench.quantile{n}", p=95.0, unit="ms"), Limit("<=", 400), window),
            [tuple(round(chance.lognormvariate(4.2, 0.7), 3) for _ in range(TIMES_A_MINUTE)) for _ in range(minutes)],
        )
        for n in range(QUANTILES)
    ]
    return ratios, quantiles


def _write_facts(file: Path, start: datetime, ratios: list[Ratio], quantiles: list[Quantile]) -> int:
    """As the plane would hold them: a fact of weight for the good and one for the bad of a minute; one for each time."""
    count = 0
    with file.open("w", encoding="utf-8") as out:
        for name, minute, value, weight in _facts(ratios, quantiles):
            out.write(f"{(start + minute * A_MINUTE + timedelta(seconds=30)).isoformat()},{name},{value},{weight}\n")
            count += 1
    return count


def _facts(ratios: list[Ratio], quantiles: list[Quantile]) -> Iterator[tuple[str, int, float, int]]:
    for ratio in ratios:
        for minute, bad in enumerate(ratio.bad):
            yield ratio.objective.indicator.fact, minute, 1.0, PER_MINUTE - bad
            if bad:
                yield ratio.objective.indicator.fact, minute, 0.0, bad
    for quantile in quantiles:
        for minute, times in enumerate(quantile.times):
            for value in times:
                yield quantile.objective.indicator.fact, minute, value, 1


# -- cipo


def _own(postgres: Postgres, facts: Path, objectives: list[Objective], now: datetime, rounds: int) -> dict[str, Any]:
    with postgres.scratch("slo_peers") as url:
        migrate.migrate(url)
        with psycopg.connect(url, autocommit=True) as db:
            db.execute("select cipo.make_fact_partitions(%s, %s)", (now - timedelta(days=DAYS), now + timedelta(days=1)))
            db.execute("create temporary table told (ts timestamptz, name text, value float8, weight bigint)")
            with db.cursor().copy("copy told from stdin (format csv)") as copy:
                copy.write(facts.read_bytes())
            started = time.perf_counter()
            db.execute(
                "insert into cipo.fact (ts, name, unit, value, weight, attrs, seq) select ts, name, '1F/U-PC2', value, weight, '{}', 1 from told"
            )
            written_s = time.perf_counter() - started
            db.execute("analyze cipo.fact")  # as autovacuum does on a plane that has run for a while
            db.execute("analyze cipo.fact_dirty")
        return {"written_s": written_s} | asyncio.run(_judged(url, objectives, now, rounds, postgres))


async def _judged(url: str, objectives: list[Objective], now: datetime, rounds: int, postgres: Postgres) -> dict[str, Any]:
    async with Database(url) as db:
        started = time.perf_counter()
        series = await register.ensure(db, objectives)
        for objective in objectives:
            await roll.roll(db, objective.indicator.facts)
        rolled_s = time.perf_counter() - started
        await db.execute("analyze cipo.slice")
        spent: dict[str, list[float]] = {"evaluate": [], "roll": [], "ratio": [], "quantile": []}
        values: dict[str, float] = {}
        for number in range(rounds):
            await _one_more_minute(db, objectives, now - (number + 1) * A_MINUTE)
            begun = time.perf_counter()
            for objective in objectives:
                await roll.roll(db, objective.indicator.facts)
            spent["roll"].append(time.perf_counter() - begun)
            for objective in objectives:
                begun = time.perf_counter()
                verdict = await gather.evaluate(db, objective, series[objective.name], now)
                spent[objective.name.partition("-")[0]].append(time.perf_counter() - begun)
                assert verdict.value is not None
                values[objective.name] = 1 - verdict.value if objective.indicator.method == "ratio" else verdict.value
            spent["evaluate"].append(sum(spent["ratio"][-RATIOS:]) + sum(spent["quantile"][-QUANTILES:]))
        server = int((postgres.place.data / "postmaster.pid").read_text().split()[0])
        return {
            "rolled_s": rolled_s,
            "evaluate_ms": statistics.median(spent["evaluate"]) * 1000,
            "roll_ms": statistics.median(spent["roll"]) * 1000,
            "ratio_ms": statistics.median(spent["ratio"]) * 1000,
            "quantile_ms": statistics.median(spent["quantile"]) * 1000,
            "python_mib": machine.memory(os.getpid())[1] / MIB,
            "postgres_mib": sum(machine.memory(pid)[0] for pid in machine.family((server,))) / MIB,
            "values": values,
        }


async def _one_more_minute(db: Database, objectives: list[Objective], at: datetime) -> None:
    """A minute of facts of every promise: what Prometheus evaluates anew each time, the roller has to add."""
    for objective in objectives:
        await db.execute(
            "insert into cipo.fact (ts, name, unit, value, weight, attrs, seq) values (%s, %s, '1F/U-PC2', %s, 1, '{}', 1)",
            (at + timedelta(seconds=1), objective.indicator.fact, 1.0 if objective.indicator.method == "ratio" else 66.0),
        )


# -- the limit


def _limit(
    home: Path, facts: Path, ratios: list[Ratio], quantiles: list[Quantile], start: datetime, now: datetime, rounds: int
) -> dict[str, Any]:
    parquet = home / "facts.parquet"
    columns = "{'ts': 'TIMESTAMPTZ', 'name': 'VARCHAR', 'value': 'DOUBLE', 'weight': 'BIGINT'}"
    duckdb.sql("set timezone = 'UTC'")
    duckdb.sql(
        f"copy (select uuid() as id, name, ts::timestamp as ts, value, weight, '{{}}' as attrs, null::uuid as supersedes"
        f" from read_csv('{facts}', header = false, columns = {columns})) to '{parquet}' (format parquet)"
    )
    lake = Lake([parquet])
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        for ratio in ratios:
            assert lake.totals(ratio.objective.indicator, start, now) is not None
        for quantile in quantiles:
            assert lake.histogram(quantile.objective.indicator, start, now)
        taken.append(time.perf_counter() - begun)
    return {"evaluate_ms": statistics.median(taken) * 1000, "parquet_mib": parquet.stat().st_size / MIB}


# -- Prometheus


def _peer(home: Path, ratios: list[Ratio], quantiles: list[Quantile], start: datetime, rounds: int) -> dict[str, Any]:
    samples = home / "samples.txt"
    with samples.open("w", encoding="utf-8") as out:
        count = _counters(out, ratios, start) + _histograms(out, quantiles, start) + _five_minutes(out, ratios, start)
        out.write("# EOF\n")
    begun = time.perf_counter()
    # Blocks as large as a running Prometheus has compacted them to.
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=72h", str(samples), str(home / "data")]
    subprocess.run(words, check=True, capture_output=True, timeout=900)
    filled_s = time.perf_counter() - begun
    with servers.prometheus(home, _rules(ratios, quantiles), every="5s") as server:
        evaluations = _evaluations(server, rounds)
        values = {
            one.objective.name: _value(server, f'sum_over_time(cipo:sli_bad:increase5m{{slo="{one.objective.name}"}}[30d:5m])'
                                               f' / sum_over_time(cipo:sli_total:increase5m{{slo="{one.objective.name}"}}[30d:5m])')
            for one in ratios
        }  # fmt: skip
        values |= {one.objective.name: _value(server, f"bench:{one.objective.name.replace('-', '_')}:p95") for one in quantiles}
        rss = server.rss_bytes / MIB
    by_group = {name: statistics.median(taken) * 1000 for name, taken in evaluations.items()}
    of_ratios = [taken for name, taken in by_group.items() if name.startswith("cipo-slo-")]
    of_quantiles = [taken for name, taken in by_group.items() if not name.startswith("cipo-slo-")]
    return {
        "samples": count,
        "filled_s": filled_s,
        "evaluate_ms": sum(by_group.values()),
        "ratio_ms": statistics.median(of_ratios),
        "quantile_ms": statistics.median(of_quantiles),
        "rss_mib": rss,
        "values": values,
    }


def _counters(out: TextIO, ratios: list[Ratio], start: datetime) -> int:
    out.write("# TYPE cipo_sli_events counter\n")
    for ratio in ratios:
        for outcome in ("good", "bad"):
            total = 0
            for minute, bad in enumerate(ratio.bad):
                total += bad if outcome == "bad" else PER_MINUTE - bad
                labels = f'objective="{ratio.objective.name}",outcome="{outcome}"'
                out.write(f"cipo_sli_events_total{{{labels}}} {total} {(start + (minute + 1) * A_MINUTE).timestamp():.0f}\n")
    return sum(2 * len(ratio.bad) for ratio in ratios)


def _histograms(out: TextIO, quantiles: list[Quantile], start: datetime) -> int:
    """One gauge a bucket, so that each bucket's samples stand together."""
    count = 0
    out.write("# TYPE bench_request_ms_bucket gauge\n")
    for quantile in quantiles:
        for bound in (*BOUNDS_MS, math.inf):
            total = 0
            le = "+Inf" if math.isinf(bound) else f"{bound}.0"
            for minute, times in enumerate(quantile.times):
                total += sum(value <= bound for value in times)
                at = (start + (minute + 1) * A_MINUTE).timestamp()
                out.write(f'bench_request_ms_bucket{{job="{quantile.objective.name}",le="{le}"}} {total} {at:.0f}\n')
                count += 1
    return count


def _five_minutes(out: TextIO, ratios: list[Ratio], start: datetime) -> int:
    """What the rules would have recorded at whole five minutes."""
    count = 0
    for what in ("bad", "total"):
        out.write(f"# TYPE cipo:sli_{what}:increase5m gauge\n")
        for ratio in ratios:
            for number in range(5, len(ratio.bad), 5):
                at = (start + number * A_MINUTE).timestamp()
                at -= at % BASE.total_seconds()
                value = sum(ratio.bad[number - 5 : number]) if what == "bad" else 5 * PER_MINUTE
                out.write(f'cipo:sli_{what}:increase5m{{slo="{ratio.objective.name}"}} {value} {at:.0f}\n')
                count += 1
    return count


def _rules(ratios: list[Ratio], quantiles: list[Quantile]) -> str:
    plain = rules.rule_file(prometheus.groups(prometheus.of_facts(one.objective) for one in ratios))
    for one in quantiles:
        name = one.objective.name
        expr = f'histogram_quantile(0.95, sum by (le) (increase(bench_request_ms_bucket{{job="{name}"}}[{DAYS}d])))'
        plain["groups"].append({"name": name, "rules": [{"record": f"bench:{name.replace('-', '_')}:p95", "expr": expr}]})
    return rules.to_yaml(plain)


def _evaluations(server: servers.Server, rounds: int) -> dict[str, list[float]]:
    """Evaluation times of each group, as Prometheus reports them, of as many evaluations."""
    seen: dict[str, dict[str, float]] = {}

    def enough() -> bool:
        for group in server.get("/api/v1/rules")["data"]["groups"]:
            if not group["lastEvaluation"].startswith("0001"):
                seen.setdefault(group["name"], {})[group["lastEvaluation"]] = group["evaluationTime"]
        return len(seen) == RATIOS + QUANTILES and all(len(taken) >= rounds for taken in seen.values())

    servers.until(enough, f"{rounds} evaluations", 300)
    return {name: list(taken.values()) for name, taken in seen.items()}


def _value(server: servers.Server, query: str) -> float:
    found = server.get("/api/v1/query", query=query)["data"]["result"]
    return float(found[0]["value"][1])


def report(result: dict[str, Any]) -> str:
    """The table for docs/measured/slo.md."""
    own, peer, limit = result["cipo"], result["prometheus"], result["duckdb"]
    rows = [
        ("one ratio promise, all windows, budget, tiers", own["ratio_ms"], peer["ratio_ms"]),
        ("one quantile promise (p95)", own["quantile_ms"], peer["quantile_ms"]),
        (f"all {result['ratios']} + {result['quantiles']}", own["evaluate_ms"], peer["evaluate_ms"]),
        ("the same with the new minute rolled", own["evaluate_ms"] + own["roll_ms"], peer["evaluate_ms"]),
    ]
    lines = ["| evaluation, median | cipo | Prometheus | ratio |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {ours:.1f} ms | {theirs:.1f} ms | {int(theirs / ours * 10) / 10}× |" for name, ours, theirs in rows]
    held = f" + {own['postgres_mib']:.0f} MiB PostgreSQL (PSS)"
    lines += [
        "",
        f"Memory: Prometheus {peer['rss_mib']:.0f} MiB RSS; this Python {own['python_mib']:.0f} MiB RSS{held}.",
        f"Limit: DuckDB over {result['facts']:,} raw facts, the period only: {limit['evaluate_ms']:.0f} ms for all.",
        f"First filling: {own['written_s']:.1f} s written and {own['rolled_s']:.1f} s rolled; {peer['filled_s']:.1f} s of blocks ({peer['samples']:,} samples).",
        f"Largest difference of a figure: ratio {result['ratio_difference']:.2%}, quantile {result['quantile_difference']:.2%}.",
        f"Load of the last minute, before and after each part: {', '.join(map(str, result['load']))}.",
    ]
    return "\n".join(lines)
