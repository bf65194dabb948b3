"""From facts to a verdict: met, missed or unknown, and why.

Pure where it can be: ``compile`` turns a question into SQL with parameters, ``judge`` turns what came back into a verdict; only
``evaluate`` touches the database. Unknown is never green: no facts, too few, or too little of what should have been looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, LiteralString

import orjson

from cipo.kernel.store.db import Database

State = Literal["met", "missed", "unknown"]

AGGREGATES: dict[str, LiteralString] = {
    "ratio": "avg(value)",
    "mean": "avg(value)",
    "sum": "sum(value)",
    "min": "min(value)",
    "max": "max(value)",
    "count": "count(*)::float8",
    "count_per_day": "count(*)::float8 / greatest(extract(epoch from %(window)s::interval) / 86400, 1e-9)",
    "percentile": "percentile_cont(%(p)s) within group (order by value)",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a KPI asks of its facts. ``p`` is 0-100; ``coverage`` names a kind and the share of it that must appear as subject."""

    name: str
    method: str
    fact: str
    window: timedelta
    min: float | None = None
    max: float | None = None
    exclusive: bool = False
    p: float | None = None
    where: dict[str, Any] = field(default_factory=dict)
    coverage_kind: str | None = None
    coverage_min: float = 0.0
    min_samples: int = 1
    staffed: bool = True
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: the number (None without facts), the state, the reason in words, how many facts, and their coverage (0-1)."""

    value: float | None
    state: State
    reason: str
    n: int
    coverage: float | None = None


def compile(question: Question) -> tuple[LiteralString, dict[str, Any]]:
    """The SQL that answers a question: the number of facts, the value, the subjects seen and the subjects there are."""
    params: dict[str, Any] = {"fact": question.fact, "window": question.window, "kind": question.coverage_kind}
    where: LiteralString = "name = %(fact)s and ts > now() - %(window)s::interval"
    if question.where:
        where += " and attrs @> %(where)s::jsonb"
        params["where"] = orjson.dumps(question.where).decode()
    if question.method == "percentile":
        params["p"] = (question.p or 0) / 100
    seen: LiteralString = "null::bigint, null::bigint"
    if question.coverage_kind:
        seen = (
            "count(distinct subject) filter (where subject in (select uid from cipo.resource where gk = %(kind)s)),"
            " (select count(*) from cipo.resource where gk = %(kind)s)"
        )
    return "select count(*), " + AGGREGATES[question.method] + ", " + seen + " from cipo.fact where " + where, params


def judge(question: Question, n: int, value: float | None, seen: int | None = None, total: int | None = None) -> Verdict:
    """The verdict on what was found."""
    coverage = None if not question.coverage_kind else 1.0 if not total else min(1.0, (seen or 0) / total)
    if not n or value is None:
        why = f"no facts in the last {words(question.window)}" if question.staffed else f"no facts yet: {question.unit} is not staffed"
        return Verdict(None, "unknown", why, n, coverage)
    if n < question.min_samples:
        return Verdict(value, "unknown", f"measuring ({n} of {question.min_samples} facts)", n, coverage)
    met = keeps(question, value)
    if coverage is not None and coverage < question.coverage_min and (met or not _missed_anyway(question, value, coverage)):
        return Verdict(value, "unknown", f"only {coverage:.1%} was looked at; {question.coverage_min:.0%} is needed to say", n, coverage)
    return Verdict(value, "met" if met else "missed", "", n, coverage)


def keeps(question: Question, value: float) -> bool:
    """Whether a value keeps the promise."""
    if question.min is not None:
        return value > question.min if question.exclusive else value >= question.min
    limit = question.max if question.max is not None else float("inf")
    return value < limit if question.exclusive else value <= limit


def _missed_anyway(question: Question, value: float, coverage: float) -> bool:
    """A share is missed for sure when it would be even if all that nobody looked at were good."""
    return question.method == "ratio" and question.min is not None and not keeps(question, value * coverage + (1 - coverage))


async def evaluate(db: Database, question: Question) -> Verdict:
    """Ask the facts."""
    sql, params = compile(question)
    n, value, seen, total = (await db.fetch(sql, params))[0]
    return judge(question, n, None if value is None else float(value), seen, total)


def words(span: timedelta) -> str:
    """``90 days``, ``36 hours``."""
    hours = span.total_seconds() / 3600
    return f"{hours / 24:g} days" if hours % 24 == 0 else f"{hours:g} hours"


async def record(db: Database, name: str, verdict: Verdict) -> None:
    """Keep the point for the history plot: when the verdict changed, or an hour after the last."""
    await db.execute(
        "insert into cipo.kpi_point (kpi, at, value, state, n) select %(k)s, date_trunc('milliseconds', clock_timestamp()), %(v)s, %(s)s, %(n)s"
        " where not exists (select 1 from (select * from cipo.kpi_point where kpi = %(k)s order by at desc limit 1) p"
        "   where p.at > now() - interval '1 hour' and p.state = %(s)s and p.value is not distinct from %(v)s::float8)"
        " on conflict do nothing",
        {"k": name, "v": verdict.value, "s": verdict.state, "n": verdict.n},
    )


async def history(db: Database, name: str, days: int = 90) -> list[dict[str, Any]]:
    """Points of the last ``days``: ``{at, value, state, n}``."""
    rows = await db.fetch(
        "select at, value, state, n from cipo.kpi_point where kpi = %s and at > now() - %s * interval '1 day' order by at", (name, days)
    )
    return [dict(zip(("at", "value", "state", "n"), row, strict=True)) for row in rows]


async def sparklines(db: Database, days: int = 90) -> dict[str, list[tuple[float | None, str]]]:
    """The last point of each day, per KPI, for the small plots."""
    rows = await db.fetch(
        "select distinct on (kpi, at::date) kpi, value, state from cipo.kpi_point where at > now() - %s * interval '1 day' order by kpi, at::date, at desc",
        (days,),
    )
    lines: dict[str, list[tuple[float | None, str]]] = {}
    for kpi, value, state in rows:
        lines.setdefault(kpi, []).append((value, state))
    return lines


async def facts(db: Database, question: Question, *, limit: int = 50, worst: bool = True) -> list[dict[str, Any]]:
    """The facts behind a number, the ones that hurt it most first (or the newest): each names its subject and its event."""
    where: LiteralString = "name = %(fact)s and ts > now() - %(window)s::interval" + (
        " and attrs @> %(where)s::jsonb" if question.where else ""
    )
    order: LiteralString = ("value asc, " if question.min is not None else "value desc, ") if worst else ""
    rows = await db.fetch(
        "select ts, value, gk, object, subject::text, attrs, unit, simulated, seq from cipo.fact where "
        + where
        + " order by "
        + order
        + "ts desc limit %(limit)s",
        {"fact": question.fact, "window": question.window, "where": orjson.dumps(question.where).decode(), "limit": limit},
    )
    return [dict(zip(("at", "value", "gk", "name", "uid", "attrs", "unit", "simulated", "seq"), row, strict=True)) for row in rows]
