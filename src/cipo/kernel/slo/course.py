"""How a promise went: the figures as they were seen at the time, and the course of each day as the facts have it now.

Seen points are kept when they are made and never rewritten; the daily course is read from slices, so a late fact moves it. The KPI's page
shows the second and marks where the published first differs (``period``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from cipo.kernel.slo import slices
from cipo.kernel.slo.buckets import Bucket, merged
from cipo.kernel.slo.measure import NOTHING, Inputs, State, Verdict, count, judge, number, of_slices
from cipo.kernel.slo.objective import NEEDS_BUCKETS, Objective
from cipo.kernel.slo.selecting import condition
from cipo.kernel.slo.slices import Totals, added
from cipo.kernel.slo.windows import DAY, Rolling, floor
from cipo.kernel.store.db import Database

A_DAY = timedelta(days=1)
WORST = 10


@dataclass(frozen=True, slots=True)
class Day:
    """One day (UTC): its own figure, the figure of the window that ended with it, and what was left of the budget then."""

    at: datetime
    n: int
    own: float | None
    value: float | None
    state: State
    bad: float
    total: float
    remaining: float | None


@dataclass(frozen=True, slots=True)
class Worst:
    """A slice of time that hurt: how much, and what it did."""

    start: datetime
    end: datetime
    n: int
    value: float | None
    bad: float
    share: float
    """Of all the badness in the window (0-1)."""


async def daily(db: Database, objective: Objective, series: int, now: datetime, days: int = 90) -> list[Day]:
    """The last ``days`` days, oldest first; the last is today so far. A window shorter than a day counts as a day."""
    start, end = slices.days(now, days)
    reach = start - _reach(objective)
    found = dict(await slices.by_slice(db, series, reach, end, A_DAY))
    histograms: dict[datetime, Counter[Bucket]] = {}
    if objective.indicator.method in NEEDS_BUCKETS:
        histograms = dict(await slices.histograms(db, series, reach, end, A_DAY))
    parts = await _parts(db, objective, series, reach, end)
    since = (await db.fetch("select since from cipo.series where id = %s", (series,)))[0][0]
    return [_day(objective, start + n * A_DAY, now, since, found, histograms, parts) for n in range(days)]


def _reach(objective: Objective) -> timedelta:
    """How far before a day its window begins, at most."""
    window = objective.window
    if isinstance(window, Rolling):
        return max(timedelta(0), timedelta(days=-(-window.span // A_DAY)) - A_DAY)
    return timedelta(days=window.count * {"d": 1, "w": 7, "M": 31, "Q": 92, "Y": 366}[window.unit])


Parts = dict[datetime, list[tuple[float, float]]]


async def _parts(db: Database, objective: Objective, series: int, start: datetime, end: datetime) -> Parts:
    """(good, total) of each day's slices, where the budget is counted in slices."""
    size, by_day = objective.budgeting.slice, Parts()
    if size is None or objective.budget_target is None:
        return by_day
    for at, one in await slices.by_slice(db, series, start, end, size):
        part = count(objective, one.good, one.weight)
        by_day.setdefault(floor(at, DAY), []).append((part.total - part.bad, part.total))
    return by_day


def _day(
    objective: Objective,
    at: datetime,
    now: datetime,
    since: datetime | None,
    found: dict[datetime, Totals],
    histograms: dict[datetime, Counter[Bucket]],
    parts: Parts,
) -> Day:
    """Judged as it would have been at the day's end, by the same rules as now; what was open then is not known any more."""
    begin = at - _reach(objective) if isinstance(objective.window, Rolling) else floor(objective.window.bounds(at)[0], DAY)
    window = [begin + n * A_DAY for n in range((at - begin) // A_DAY + 1)]
    inputs = Inputs(
        (begin, at + A_DAY),
        added(found[day] for day in window if day in found),
        merged(histograms[day] for day in window if day in histograms),
        since=since,
        of_slices=tuple(part for day in window for part in parts.get(day, ())),
    )
    verdict = judge(objective, inputs, min(at + A_DAY - timedelta(microseconds=1), now))
    today = found.get(at)
    own = of_slices(objective, parts[at]) if at in parts else count(objective, today.good, today.weight) if today else NOTHING
    spent = verdict.budget
    return Day(
        at,
        today.n if today else 0,
        number(objective.indicator, today, histograms.get(at, Counter()), A_DAY),
        verdict.value,
        verdict.state,
        own.bad,
        own.total,
        spent.remaining if spent is not None and spent.total else None,
    )


async def worst(db: Database, objective: Objective, series: int, now: datetime, limit: int = WORST) -> list[Worst]:
    """The slices of the window that hurt the number most, the worst first: by bad events, or by how far their own figure is off."""
    start, end = objective.window.bounds(now)
    span = end - start
    size = timedelta(minutes=15) if span <= 2 * A_DAY else timedelta(hours=1) if span <= timedelta(days=14) else A_DAY
    begin = floor(start, int(size / timedelta(minutes=1)) if size < A_DAY else DAY)
    found = await slices.by_slice(db, series, begin, end, size)
    histograms = dict(await slices.histograms(db, series, begin, end, size)) if objective.indicator.method in NEEDS_BUCKETS else {}
    rows = []
    for at, one in found:
        own = number(objective.indicator, one, histograms.get(at, Counter()), size)
        bad = count(objective, one.good, one.weight).bad if objective.indicator.method == "ratio" else _off(objective, own)
        if bad > 0:
            rows.append((at, one, own, bad))
    whole = sum(bad for _, _, _, bad in rows) or 1.0
    rows.sort(key=lambda row: (-row[3], row[0]))
    return [Worst(at, at + size, one.n, own, bad, bad / whole) for at, one, own, bad in rows[:limit]]


def _off(objective: Objective, own: float | None) -> float:
    """By how much a slice's own figure misses the promise; 0 when it keeps it."""
    return 0.0 if own is None or objective.limit.keeps(own) else abs(own - objective.limit.value) or 1.0


# -- as it was seen at the time


async def record(db: Database, name: str, verdict: Verdict) -> None:
    """Keep the point: when the verdict changed by more than a probe's flicker, or an hour after the last."""
    await db.execute(
        "insert into cipo.kpi_point (kpi, at, value, state, n) select %(k)s, date_trunc('milliseconds', clock_timestamp()), %(v)s, %(s)s, %(n)s"
        " where not exists (select 1 from (select * from cipo.kpi_point where kpi = %(k)s order by at desc limit 1) p"
        "   where p.at > now() - interval '1 hour' and p.state = %(s)s"
        "   and (p.value is not distinct from %(v)s::float8 or abs(p.value - %(v)s::float8) <= 1e-4 * abs(%(v)s::float8)))"
        " on conflict do nothing",
        {"k": name, "v": verdict.value, "s": verdict.state, "n": verdict.n},
    )


async def seen(db: Database, name: str, days: int = 90) -> list[tuple[datetime, float | None, str]]:
    """Points of the last ``days``, oldest first: when, the value, the state."""
    rows = await db.fetch(
        "select at, value, state from cipo.kpi_point where kpi = %s and at > now() - %s * interval '1 day' order by at", (name, days)
    )
    return [(at, value, state) for at, value, state in rows]


LAST_OF_DAYS: LiteralString = """
select k.name, d.day at time zone 'UTC', p.value, p.state from unnest(%(names)s::text[]) as k(name)
cross join generate_series(date_trunc('day', now() at time zone 'UTC') - (%(days)s - 1) * interval '1 day', now() at time zone 'UTC', '1 day') as d(day)
cross join lateral (
  select value, state from cipo.kpi_point where kpi = k.name and at >= d.day at time zone 'UTC' and at < (d.day + interval '1 day') at time zone 'UTC'
  order by at desc limit 1) as p
order by 1, 2
"""


async def seen_last(db: Database, names: Sequence[str], days: int = 90) -> dict[str, list[tuple[datetime, float | None, str]]]:
    """The last point of each day (UTC) as it was seen then, per KPI, oldest first: one probe of the index a day, however many points there are."""
    lines: dict[str, list[tuple[datetime, float | None, str]]] = {}
    for kpi, day, value, state in await db.fetch(LAST_OF_DAYS, {"names": list(names), "days": days}):
        lines.setdefault(kpi, []).append((day.replace(tzinfo=UTC), value, state))
    return lines


# -- the facts behind it


FACT_COLUMNS: LiteralString = (
    "f.ts, f.value, f.gk, f.object, f.subject::text, f.attrs, f.unit, f.simulated, f.seq, f.weight, f.id::text, f.recorded_at"
)
FACT_NAMES: Sequence[str] = (
    "at", "value", "gk", "name", "uid", "attrs", "unit", "simulated", "seq", "weight", "id", "recorded_at",
)  # fmt: skip


async def facts(
    db: Database, objective: Objective, start: datetime, end: datetime, *, limit: int = 50, worst_first: bool = True
) -> list[dict[str, Any]]:
    """The facts of a stretch of time, the ones that hurt most first (or the newest): each names its subject and its event."""
    terms, params = condition(objective.indicator.where)
    order: LiteralString = ""
    if worst_first:
        order = "f.value asc, " if objective.limit.least else "f.value desc, "
    rows = await db.fetch(
        "select "
        + FACT_COLUMNS
        + " from cipo.fact f where f.name = any(%(facts)s) and f.ts >= %(start)s and f.ts < %(end)s"
        + " and not exists (select 1 from cipo.fact_superseded s where s.id = f.id)"
        + terms
        + " order by "
        + order
        + "f.ts desc limit %(limit)s",
        {**params, "facts": list(objective.indicator.facts), "start": start, "end": end, "limit": limit},
    )
    return [dict(zip(FACT_NAMES, row, strict=True)) for row in rows]
