"""Published figures: what a closed period came to, kept for ever, with a revision when facts came late.

A calendar window is published period by period; a rolling one at each month's end, as the window stood there. A period closes when the
facts' allowed lateness is over. Later facts mark it (the roller does), and the next look adds a revision beside the old figure with the
facts that caused it; nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from cipo.kernel.slo.gather import gather
from cipo.kernel.slo.measure import Inputs, Verdict, judge
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.windows import MONTH, Calendar, Rolling, Span
from cipo.kernel.store.db import Database

CATCH_UP = 24
"""How many past periods one look publishes at most."""
CAUSES = 20
LATEST: LiteralString = (
    'select distinct on (start) start, "end", revision, value, state, n, coverage, objective, digest, reason, causes, at from cipo.kpi_period'
    " where kpi = %s order by start desc, revision desc limit %s"
)
INSERT: LiteralString = (
    'insert into cipo.kpi_period (kpi, start, "end", revision, series, from_at, value, state, n, weight, good, coverage, objective, digest, reason, causes)'
    " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing"
)


@dataclass(frozen=True, slots=True)
class Published:
    """A figure as it was published: revision 1 at the close, higher ones with what caused them."""

    start: datetime
    end: datetime
    revision: int
    value: float | None
    state: str
    n: int
    coverage: float | None
    objective: str
    digest: bytes
    reason: str
    causes: list[dict[str, Any]]
    at: datetime


async def publish(db: Database, objective: Objective, series: int, now: datetime) -> list[Published]:
    """Publish what has closed, revise what was reopened; the revisions of the last periods, newest first."""
    since = (await db.fetch("select since from cipo.series where id = %s", (series,)))[0][0]
    if since is None:
        return []
    known = {one.start: one for one in await latest(db, objective.name, CATCH_UP)}
    changed = False
    for span in _closed(objective, now, since):
        if span[0] not in known and (row := await _figure_of(db, objective, series, span, None)):
            changed |= bool(await db.execute(INSERT, row))
    for (start,) in await db.fetch("select start from cipo.kpi_reopened where kpi = %s order by start", (objective.name,)):
        changed |= await _revise(db, objective, series, start, known.get(start))
    return await latest(db, objective.name, CATCH_UP) if changed else sorted(known.values(), key=lambda one: one.start, reverse=True)


async def _revise(db: Database, objective: Objective, series: int, start: datetime, known: Published | None) -> bool:
    """Take the note that a period was touched, and count it again: whoever touches it meanwhile leaves another note when we are done."""
    before = known or next(iter(await revisions(db, objective.name, start)), None)
    async with db.transaction() as conn:
        await conn.execute("delete from cipo.kpi_reopened where kpi = %s and start = %s", (objective.name, start))
        row = await _figure_of(db, objective, series, (start, before.end), before) if before is not None else None
        return bool(row) and bool((await conn.execute(INSERT, row)).rowcount)


def _closed(objective: Objective, now: datetime, since: datetime | None) -> list[Span]:
    """Periods that are over and may still lack a figure, oldest first; none before the first fact."""
    if since is None:
        return []
    cycle = objective.window if isinstance(objective.window, Calendar) else MONTH
    found: list[Span] = []
    span = cycle.before(now - objective.data.allowed_lateness)
    while len(found) < CATCH_UP and span[1] > since:
        found.append(span)
        span = cycle.before(span[0])
    return found[::-1]


async def _figure_of(db: Database, objective: Objective, series: int, span: Span, before: Published | None) -> tuple[Any, ...] | None:
    """A row to publish; None when the inputs are those of the revision before."""
    start, end = span
    from_at = end - objective.window.span if isinstance(objective.window, Rolling) else start
    inputs = await gather(db, objective, series, end, (from_at, end))
    verdict = judge(objective, inputs, end)
    digest = digest_of(objective, inputs)
    if before is not None and before.digest == digest:
        return None
    causes = await _causes(db, objective, from_at, end, before.at) if before is not None else []
    reason = verdict.reason if before is None else _why(before, verdict, causes)
    return (
        objective.name, start, end, before.revision + 1 if before else 1, series, from_at, verdict.value, verdict.state, verdict.n,
        verdict.weight, verdict.good, verdict.coverage, str(objective.limit), digest, reason, json.dumps(causes),
    )  # fmt: skip


def digest_of(objective: Objective, inputs: Inputs) -> bytes:
    """SHA-256 of what a figure rests on: equal inputs, equal digest."""
    totals = inputs.totals
    parts: list[Any] = [str(objective.limit), str(objective.window)]
    if totals is not None:
        parts += [totals.n, totals.weight, totals.good, str(totals.total.normalize()), totals.low, totals.high, totals.last, totals.filled]
    parts.append(sorted([*bucket, n] for bucket, n in inputs.histogram.items()))
    parts.append(sorted(round(age, 6) for age in inputs.open_ages))
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _why(before: Published, verdict: Verdict, causes: list[dict[str, Any]]) -> str:
    """A sentence for the list of revisions."""
    came = f"{len(causes)}{' or more' if len(causes) == CAUSES else ''} late or corrected facts" if causes else "facts that were removed"
    return f"{_figure(before.value, before.state)} became {_figure(verdict.value, verdict.state)} by {came}"


def _figure(value: float | None, state: str) -> str:
    return "unknown" if value is None else f"{value:.6g} ({state})"


async def _causes(db: Database, objective: Objective, start: datetime, end: datetime, since: datetime) -> list[dict[str, Any]]:
    rows = await db.fetch(
        "select id::text, ts, recorded_at, gk, object, value, seq, supersedes::text from cipo.fact where name = any(%s) and ts >= %s and ts < %s"
        " and recorded_at > %s order by recorded_at limit %s",
        (list(objective.indicator.facts), start, end, since, CAUSES),
    )
    names = ("id", "at", "recordedAt", "gk", "name", "value", "seq", "supersedes")
    return [
        {key: value.isoformat() if isinstance(value, datetime) else value for key, value in zip(names, row, strict=True)} for row in rows
    ]


async def latest(db: Database, name: str, limit: int = CATCH_UP) -> list[Published]:
    """The newest revision of the last periods, newest first."""
    return [Published(*row) for row in await db.fetch(LATEST, (name, limit))]


async def revisions(db: Database, name: str, start: datetime | None = None) -> list[Published]:
    """Every revision of a period (or of all), newest first."""
    rows = await db.fetch(
        'select start, "end", revision, value, state, n, coverage, objective, digest, reason, causes, at from cipo.kpi_period'
        " where kpi = %s and (%s::timestamptz is null or start = %s) order by start desc, revision desc limit 500",
        (name, start, start),
    )
    return [Published(*row) for row in rows]


async def ended(db: Database, start: datetime, end: datetime) -> dict[str, list[Published]]:
    """Of every KPI the last period that ended in ``(start, end]``: its revisions, newest first."""
    rows = await db.fetch(
        'select p.kpi, p.start, p."end", p.revision, p.value, p.state, p.n, p.coverage, p.objective, p.digest, p.reason, p.causes, p.at from cipo.kpi_period p'
        ' join (select kpi, max("end") as "end" from cipo.kpi_period where "end" > %s and "end" <= %s group by kpi) as newest'
        ' on newest.kpi = p.kpi and newest."end" = p."end" order by p.kpi, p.revision desc',
        (start, end),
    )
    found: dict[str, list[Published]] = {}
    for kpi, *columns in rows:
        found.setdefault(kpi, []).append(Published(*columns))
    return found


async def first_end(db: Database) -> datetime | None:
    """When the first published period ended."""
    found: datetime | None = (await db.fetch('select min("end") from cipo.kpi_period'))[0][0]
    return found
