"""What a verdict rests on, read from the slices: cost by the window's length, never by how many facts it holds.

Two things are read from facts themselves, because they do not add up over time: which subjects were seen (distinct) and what is still
open. Both are bounded by the window and concern the work of people, not probes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import LiteralString

from cipo.kernel.slo import budget as budgets
from cipo.kernel.slo import slices
from cipo.kernel.slo.budget import Alert, BudgetState, Count
from cipo.kernel.slo.measure import NOTHING, Inputs, Verdict, count, held_over, judge, look_back
from cipo.kernel.slo.objective import ALWAYS, NEEDS_BUCKETS, Indicator, Objective
from cipo.kernel.slo.selecting import UNIT_SECONDS, condition
from cipo.kernel.slo.slices import Totals
from cipo.kernel.slo.windows import DAY, FINE, MINUTE, QUARTER, Calendar, Rolling, Span, floor
from cipo.kernel.store.db import Database

OPEN_NOW: LiteralString = (
    "select cipo.business_seconds(%(calendar)s, o.ts, %(now)s) from cipo.fact_open o where o.series = %(series)s and o.ts <= %(now)s"
)
OPEN_AGES: LiteralString = """
select cipo.business_seconds(%(calendar)s, f.ts, %(now)s) from cipo.fact f
where f.name = %(fact)s and f.ts > %(now)s - interval '2 years' and f.ts <= %(now)s
  and not exists (select 1 from cipo.fact_superseded s where s.id = f.id)
  and not exists (select 1 from cipo.fact e where e.name = %(end)s and e.subject = f.subject and e.ts >= f.ts and e.ts <= %(now)s
    and not exists (select 1 from cipo.fact_superseded s where s.id = e.id)){where}
"""
SUBJECTS: LiteralString = (
    "select count(distinct f.subject) filter (where f.subject in (select uid from cipo.resource where gk = %(kind)s)),"
    " (select count(*) from cipo.resource where gk = %(kind)s) from cipo.fact f where f.name = %(fact)s and f.ts >= %(start)s and f.ts < %(end)s{where}"
)
HOURS: LiteralString = "select min(lo), max(hi) from cipo.open_hours where calendar = %s"
GAP = timedelta(days=31)
"""A calendar may be closed this long at an edge of what is known of it."""
PLAIN: LiteralString = "select at, good, weight from cipo.slice where series = %s and size = %s and at >= %s and at < %s order by at"


async def evaluate(
    db: Database,
    objective: Objective,
    series: int,
    now: datetime,
    *,
    state_before: BudgetState = "Unknown",
    alerts_before: Iterable[Alert] = (),
) -> Verdict:
    """Gather and judge."""
    inputs = await gather(db, objective, series, now)
    return judge(objective, inputs, now, state_before=state_before, alerts_before=alerts_before)


async def gather(db: Database, objective: Objective, series: int, now: datetime, window: Span | None = None) -> Inputs:
    """All that the verdict rests on, for the window at ``now`` or a given one."""
    start, end = window or objective.window.bounds(now)
    indicator, finest = objective.indicator, objective.finest
    if window is not None and floor(start, QUARTER) == start and objective.data.missing.policy != "hold":
        finest = QUARTER  # of a period long ago no minutes are kept
    totals = await slices.totals(db, series, start, end, finest)
    rows = await db.fetch("select since from cipo.series where id = %s", (series,))
    found = Inputs(
        (start, end),
        totals,
        open_ages=await _open_ages(db, indicator, now, None if window else series) if indicator.end else (),
        since=rows[0][0] if rows else None,
        no_hours=await _no_hours(db, indicator, start, min(end, now)),
    )
    if totals is None:  # most promises of a young organisation
        return replace(found, others=await _others(db, objective, start, end) if indicator.where else 0)
    budgeted = objective.budget_target is not None
    return replace(
        found,
        histogram=await slices.histogram(db, series, start, end, finest) if indicator.method in NEEDS_BUCKETS else Counter(),
        subjects=await _subjects(db, objective, start, end),
        of_slices=await _of_slices(db, objective, series, start, min(end, floor(now, MINUTE) + timedelta(minutes=1))),
        counts=await _look_back(db, objective, series, now) if budgeted else {},
        expected_total=await _expected_total(db, objective, series, totals, (start, end), now),
        held=await _held(db, objective, series, start, min(end, now)),
    )


async def _no_hours(db: Database, indicator: Indicator, start: datetime, end: datetime) -> str:
    """Why the calendar of a duration cannot say how long something took, or nothing."""
    if indicator.end is None or indicator.calendar == ALWAYS:
        return ""
    lo, hi = (await db.fetch(HOURS, (indicator.calendar,)))[0]
    if lo is not None and lo - GAP <= start and end <= hi + GAP:
        return ""
    return f"calendar {indicator.calendar} has no hours for {start:%Y-%m-%d} to {end:%Y-%m-%d}; the CIPO makes or mends it"


async def _open_ages(db: Database, indicator: Indicator, now: datetime, series: int | None) -> tuple[float, ...]:
    """Ages of what has begun and not ended: now, as the roller keeps it for a series; of a time past from the facts, once a period."""
    terms, params = condition(indicator.where)
    given = {**params, "calendar": indicator.calendar, "fact": indicator.fact, "end": indicator.end, "now": now, "series": series}
    rows = await db.fetch(OPEN_AGES.replace("{where}", terms) if series is None else OPEN_NOW, given)
    unit = UNIT_SECONDS.get(indicator.unit, 1.0)
    return tuple(seconds / unit for (seconds,) in rows)


async def _subjects(db: Database, objective: Objective, start: datetime, end: datetime) -> tuple[int, int] | None:
    coverage = objective.data.coverage
    if coverage is None:
        return None
    terms, params = condition(objective.indicator.where)
    given = {**params, "kind": coverage.kind, "fact": objective.indicator.fact, "start": start, "end": end}
    rows = await db.fetch(SUBJECTS.replace("{where}", terms), given)
    return int(rows[0][0]), int(rows[0][1])


async def _others(db: Database, objective: Objective, start: datetime, end: datetime) -> int:
    """Facts of the name whatever their attributes, up to a thousand: enough to say that a condition is wrong."""
    rows = await db.fetch(
        "select count(*) from (select 1 from cipo.fact where name = %s and ts >= %s and ts < %s limit 1000) as found",
        (objective.indicator.fact, start, end),
    )
    return int(rows[0][0])


async def _of_slices(db: Database, objective: Objective, series: int, start: datetime, end: datetime) -> tuple[tuple[float, float], ...]:
    size = objective.budgeting.slice
    if size is None or objective.budget_target is None:
        return ()
    found = []
    for _, totals in await slices.by_slice(db, series, start, end, size):
        one = count(objective, totals.good, totals.weight)
        found.append((one.total - one.bad, one.total))
    return tuple(found)


async def _look_back(db: Database, objective: Objective, series: int, now: datetime) -> dict[timedelta, Count]:
    fine, coarse = Rolling(FINE).bounds(now), Rolling(max(budgets.LOOK_BACK)).bounds(now)
    minutes = await db.fetch(PLAIN, (series, MINUTE, *fine))
    quarters = await db.fetch(PLAIN, (series, QUARTER, *coarse))
    return look_back(objective, minutes, quarters, now)


async def _held(db: Database, objective: Objective, series: int, start: datetime, end: datetime) -> Count:
    if objective.data.missing.policy != "hold" or objective.data.every is None:
        return NOTHING
    return held_over(objective, await db.fetch(PLAIN, (series, MINUTE, start, end)), end)


async def _expected_total(
    db: Database, objective: Objective, series: int, totals: Totals | None, window: Span, now: datetime
) -> float | None:
    """Of a calendar period that is still open: what it will have seen, by the weekdays of the last two periods."""
    if not isinstance(objective.window, Calendar) or totals is None or objective.budget_target is None or now >= window[1]:
        return None
    before = objective.window.before(window[0])
    first = objective.window.before(before[0])
    by_weekday: dict[int, list[float]] = {}
    for at, one in await slices.by_slice(db, series, floor(first[0], DAY), floor(before[1], DAY), timedelta(days=1)):
        by_weekday.setdefault(at.weekday(), []).append(count(objective, one.good, one.weight).total)
    today = floor(now, DAY) + timedelta(days=1)
    left = [(today + timedelta(days=n)).weekday() for n in range(max(0, (window[1] - today).days))]
    usual = {day: sum(values) / len(values) for day, values in by_weekday.items()}
    observed = count(objective, totals.good, totals.weight).total
    return budgets.expected_total(observed, left, usual, (now - window[0]) / (window[1] - window[0]))
