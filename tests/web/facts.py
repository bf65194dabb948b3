"""Facts as four months of work would have left them, for every promise of the chart that somebody keeps: probes, percentiles, rare events,
gaps, an incident, a drift, and facts that come late so that a published figure is revised.

``fill`` writes them as units would (``cipo.fact`` by SQL), ``measure`` looks at every KPI with its own reconciler, ``late`` adds what came
late. ``python -m tests.web.facts <database url>`` fills the database of a running plane, whose worker then does the measuring;
``again`` after it adds one fact to what is there.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import NAMESPACE_OID, uuid5

from cipo import plane
from cipo.kernel import Ctx
from cipo.kernel.principal import SYSTEM
from cipo.kernel.slo import course, register, roll, selecting
from cipo.kernel.slo.windows import duration
from cipo.kernel.store.admission import typed
from cipo.kernel.store.db import Database
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Registry
from cipo.org import kinds as org_kinds
from cipo.org.authz import ChartAuthorizer
from cipo.org.chart import Chart, load
from cipo.org.model import Kpi, Squad

DAY = timedelta(days=1)
PROBE, BATCH, FINE = 24, timedelta(days=1), timedelta(hours=30)
COLUMNS = "ts, recorded_at, name, unit, value, subject, gk, object, attrs, simulated, seq"
Row = tuple[datetime, datetime, str, str, float, str | None, str | None, str | None, str, bool, int]


@dataclass(frozen=True, slots=True)
class Story:
    """How a promise went. ``level``: the share of good facts, or the usual value as a share of what is promised."""

    per_day: float
    level: float
    spread: float = 0.35
    drift: float = 0.0
    """By how much the level has moved at the end."""
    incident: tuple[float, float, float] = (0, 0, 0)
    """Days ago, hours, and the level meanwhile."""
    gap: tuple[int, int] = (0, 0)
    """Days ago from, to: nothing was written."""
    since: int = 120
    """Days ago of the first fact."""
    workdays: bool = False


# Promises that are not named here have no facts: their units are not staffed.
STORIES: dict[str, Story] = {
    "cost-savings": Story(0.6, 1.25, 0.5, workdays=True),
    "purchase-lead-time": Story(0.8, 0.5, 0.3, workdays=True),
    "inventory-accuracy": Story(3, 0.995, workdays=True),
    "rma-turnaround": Story(1.2, 0.55, 0.32, incident=(24, 60, 1.5), workdays=True),
    "doa-rate": Story(14, 0.9985, workdays=True),
    "installation-time": Story(1.5, 0.5, 0.25, gap=(38, 30)),
    "api-uptime": Story(144, 0.99975, gap=(62, 58)),
    "storage-latency-p95": Story(72, 0.55, 0.24, drift=0.14, incident=(9, 20, 1.35)),
    "packet-loss": Story(72, 0.9, 0.6, incident=(12, 30, 9)),
    "firmware-lag": Story(4, 0.5, 0.0),
    "ltfc": Story(16, 0.48, 0.4, drift=-0.15, workdays=True),
    "catalog-coverage": Story(60, 0.985),
    "deploys-per-day": Story(34, 1.0, 0.0, workdays=True),
    "failed-pipelines": Story(60, 0.984, incident=(5, 30, 0.85), workdays=True),
    "mesh-p99": Story(96, 0.3, 0.42),
    "dev-bootstrap": Story(6, 0.97, since=40, workdays=True),
    "dev-api-uptime": Story(96, 0.9975, incident=(41, 5, 0.3)),
    "rollback-time": Story(0.7, 0.5, 0.3),
    "on-time-release": Story(0.4, 0.95, workdays=True),
    "namenode-uptime": Story(144, 0.99985, incident=(2, 2.2, 0.95)),
    "job-fail": Story(80, 0.9935, incident=(6, 10, 0.9)),
    "cve-mttp": Story(1.4, 0.7, 0.5),
    "sso-p95": Story(96, 0.42, 0.3, incident=(33, 9, 2.2)),
    "audit-pass": Story(3, 1.0, workdays=True),
    "thanos-availability": Story(288, 0.99996, incident=(0.035, 0.8, 0.05)),
    "cardinality-error": Story(48, 0.4, 0.8),
    "mttd": Story(0.5, 0.6, 0.4),
    "mttr": Story(0.16, 1.3, 0.3),
    "toil-per-shift": Story(3, 0.85, 0.3),
    "allocated-cost": Story(1, 1.022, 0.01),
    "cost-freshness": Story(4, 0.6, 0.25),
    "forecast-wape": Story(1, 0.8, 0.35, drift=0.3),
    "commitment-utilisation": Story(24, 1.035, 0.02),
}
LATE = {"api-uptime": 3, "rma-turnaround": 6, "namenode-uptime": 4}
"""How many bad facts of the last month come late."""


def rows(kpi: Kpi, story: Story, now: datetime, days: int, subjects: list[tuple[str, str, str, int]]) -> Iterator[Row]:
    """One promise's facts, oldest first, the same for the same day."""
    chance = random.Random(f"{kpi.name} {now:%Y-%m-%d}")
    cadence = max(duration(kpi.every), timedelta(minutes=1)) if kpi.every else None
    for at in moments(story, now - min(days, story.since) * DAY, now, chance, cadence):
        ago = (now - at) / DAY - 1e-3
        if story.gap[0] >= ago > story.gap[1] or (story.workdays and at.weekday() >= 5 and chance.random() < 0.9):
            continue
        began, hours, during = story.incident
        level = during if began > ago > began - hours / 24 else story.level + story.drift * (1 - ago / days)
        yield from facts(kpi, at, value(kpi, story, level, at, chance), at, chance.choice(subjects) if subjects else None)


def facts(kpi: Kpi, at: datetime, value: float, recorded: datetime, subject: tuple[str, str, str, int] | None) -> Iterator[Row]:
    """One measurement; a duration is two facts about something of its own."""
    measure = kpi.indicator.measure
    if measure.end is None:
        yield _row(kpi, measure.fact, at, value, recorded, subject)
        return
    _, gk, name, seq = subject or (None, None, None, 1)
    about = (str(uuid5(NAMESPACE_OID, f"{kpi.name} {at.isoformat()} {value}")), gk, name, seq)
    began = at - timedelta(seconds=value * selecting.UNIT_SECONDS[kpi.indicator.unit])
    yield _row(kpi, measure.fact, began, 1.0, recorded, about)
    yield _row(kpi, measure.end, at, 1.0, recorded, about)


def thinned(chart: Chart) -> Chart:
    """The chart with probes that are not held to their cadence: the stage's come in batches."""

    def squad(one: Squad) -> Squad:
        kept = [kpi.model_copy(update={"every": None, "missing": "ignore", "absent_after": None}) for kpi in one.kpis]
        return one.model_copy(update={"kpis": tuple(kept)})

    whole = [one.model_copy(update={"squads": tuple(squad(team) for team in one.squads)}) for one in chart.departments]
    return Chart(whole, chart.source)


def moments(story: Story, begin: datetime, now: datetime, chance: random.Random, cadence: timedelta | None) -> Iterator[datetime]:
    """When facts came. Probes of long ago share the minute of their batch, once a day, so that rolling them is quick; with a cadence they keep to it for a month."""
    step, at = DAY / story.per_day, begin
    if story.per_day < PROBE and not cadence:
        while (at := at + step * chance.expovariate(1)) < now:
            yield at
        return
    edge = now - (31 * DAY if cadence else FINE)
    while at < edge:
        yield from (at + timedelta(seconds=n % 50) for n in range(max(1, round(BATCH / step))))
        at += BATCH
    while at < now:
        yield at
        at += cadence or step


def value(kpi: Kpi, story: Story, level: float, at: datetime, chance: random.Random) -> float:
    """One measurement."""
    method, limit = kpi.indicator.method, kpi.objective.limit
    if method == "ratio":
        return float((chance.random() < level) == (kpi.objective.min is not None))
    if method == "rate":
        return 1.0
    rhythm = 1 + 0.08 * math.sin(at.hour / 24 * 2 * math.pi)
    found = limit * level * rhythm * math.exp(story.spread * chance.gauss(0, 1) - story.spread**2 / 2)
    return min(found, 1.0) if kpi.objective.min is not None and kpi.indicator.unit == "1" else round(found, 6)


def _row(
    kpi: Kpi, fact: str, at: datetime, value: float, recorded: datetime, subject: tuple[str, str | None, str | None, int] | None
) -> Row:
    where = {name: one[0] if isinstance(one, list | tuple) else one for name, one in (kpi.indicator.measure.where or {}).items()}
    uid, gk, name, seq = subject or (None, None, None, 1)
    return at, recorded, fact, kpi.unit, value, uid, gk, name, json.dumps(where), False, seq


async def fill(db: Database, chart: Chart, now: datetime, days: int = 120) -> int:
    """Write them all; how many."""
    await db.execute("select cipo.make_fact_partitions(%s, %s)", (now - (days + 200) * DAY, now + DAY))
    seen = await db.fetch(
        "select r.uid::text, r.gk, r.name, min(e.seq) from cipo.resource r join cipo.event e on e.uid = r.uid"
        " where r.gk = 'Asset.facilities.cipo' group by 1, 2, 3 order by 3"
    )
    assets = [(uid, gk, name, seq) for uid, gk, name, seq in seen]
    made = [
        row
        for kpi in chart.kpis
        if kpi.name in STORIES
        for row in rows(kpi, STORIES[kpi.name], now, days, assets if kpi.department == "1A" else [])
    ]
    await copy(db, made)
    counted = chart.kpi("inventory-accuracy")
    await copy(db, [_row(counted, "cmdb.count", now - timedelta(hours=2 + n), 1.0, now, asset) for n, asset in enumerate(assets)])
    return len(made)


async def copy(db: Database, made: list[Row]) -> None:
    """Append facts."""
    async with db.transaction() as conn, conn.cursor().copy(f"copy cipo.fact ({COLUMNS}) from stdin") as target:
        for row in made:
            await target.write_row(row)


async def late(db: Database, chart: Chart, now: datetime) -> None:
    """Bad facts of the last month that are recorded only now."""
    end = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for name, many in LATE.items():
        kpi = chart.kpi(name)
        bad = 0.0 if kpi.objective.min is not None else kpi.objective.limit * 2.5
        await copy(db, [row for n in range(many) for row in facts(kpi, end - timedelta(hours=30 + n), bad, datetime.now(UTC), None)])


async def measure(resources: Resources, chart: Chart, *, remember: int = 0) -> None:
    """Look at every KPI as the worker would. ``remember``: for how many days back the figures were seen at the time."""
    kind, db = resources.registry.by_gk["Kpi.org.cipo"], resources.db
    now = (await db.fetch("select clock_timestamp()"))[0][0].astimezone(UTC)
    for kpi in chart.kpis:
        found = typed(kind, (await resources.get(SYSTEM, kind, kpi.name)).object())
        ctx = SimpleNamespace(registry=resources.registry, db=db, now=now, reason="", note="")
        ctx.now_iso = lambda: now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        ctx.since = lambda moment: (now - datetime.fromisoformat(moment)).total_seconds()
        await org_kinds.look(cast(Any, found), cast(Ctx, ctx))
        status = cast(Any, found).status.wire()
        await resources.patch(SYSTEM, kind, kpi.name, {"status": status}, "merge", subresource="status")
        if remember and kpi.name in STORIES:
            await _remember(db, cast(Any, found), resources.registry, now, remember)


async def _remember(db: Database, kpi: Any, registry: Registry, now: datetime, days: int) -> None:
    objective = org_kinds.promise(kpi, registry)
    series = (await register.ensure(db, [objective]))[objective.name]
    for day in (await course.daily(db, objective, series, now, days))[:-1]:
        await db.execute(
            "insert into cipo.kpi_point (kpi, at, value, state, n) values (%s, %s, %s, %s, %s) on conflict do nothing",
            (objective.name, day.at + timedelta(hours=23, minutes=50), day.value, day.state, day.n),
        )


async def _main(url: str) -> None:
    chart, registry = load(), plane.registry()
    async with Database(url) as db:
        now = datetime.now(UTC)
        print(await fill(db, chart, now), "facts written")
        await roll.roll(db)
        for _ in range(600):
            if (await db.fetch("select count(distinct kpi) from cipo.kpi_period"))[0][0] >= len(STORIES) - 2:
                break
            await db.execute("update cipo.work set due = now() where gk = 'Kpi.org.cipo'")
            await asyncio.sleep(1)
        print("published; now what was seen at the time, and what came late")
        for name, body in await db.fetch("select name, body from cipo.resource where gk = 'Kpi.org.cipo'"):
            if name in STORIES:
                found = typed(registry.by_gk["Kpi.org.cipo"], json.loads(body) if isinstance(body, str | bytes) else body)
                await _remember(db, found, registry, now, 92)
        await late(db, chart, now)
        await db.execute("update cipo.work set due = now() where gk = 'Kpi.org.cipo'")


async def _again(url: str) -> None:
    """One more fact, and one more look, as a worker's: for whoever waits for a page to move."""
    chart = thinned(load())
    async with Database(url) as db:
        resources = Resources(db, plane.registry(), ChartAuthorizer(chart), key=b"k" * 32)
        kpi = chart.kpi("doa-rate")
        await copy(db, [row for _ in range(3) for row in facts(kpi, datetime.now(UTC), 1.0, datetime.now(UTC), None)])
        await measure(resources, chart)


if __name__ == "__main__":
    asyncio.run((_again if sys.argv[2:] == ["again"] else _main)(sys.argv[1]))
