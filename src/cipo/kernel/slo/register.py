"""Series: what is sliced. An indicator's definition, registered once, with the number under which its slices are kept.

Indicators with one definition share a series. A new series is filled from the facts that are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString

from cipo.kernel.slo.objective import NEEDS_BUCKETS, Indicator, Objective, Term, Test, where
from cipo.kernel.slo.windows import MINUTE, Rolling
from cipo.kernel.store.db import Conn, Database

KEEP_MINUTES = timedelta(days=8)
"""How long minutes are kept: longer than any page or ticket tier looks back, with a margin for late facts."""
LOCK: LiteralString = "select pg_advisory_xact_lock(hashtext('cipo.roll'), hashtext(%s))"


@dataclass(frozen=True, slots=True)
class Series:
    """A registered definition: its number, and what its facts are selected by."""

    id: int
    fact: str
    end: str | None
    where: tuple[Term, ...]
    good: Test
    calendar: str
    unit: str
    buckets: bool
    keep: timedelta


async def ensure(db: Database, objectives: Iterable[Objective]) -> dict[str, int]:
    """Register what the objectives measure; the series of each by the objective's name. A new one is filled from facts that are there."""
    wished = list(objectives)
    found = await _known(db, wished)
    for objective in wished:
        if objective.name in found:
            continue
        indicator = objective.indicator
        async with db.transaction() as conn:
            for name in sorted(indicator.facts):
                await conn.execute(LOCK, (name,))
            found[objective.name] = await _register(conn, indicator, _keep(objective))
    return found


async def _known(db: Database, objectives: Sequence[Objective]) -> dict[str, int]:
    """Those that are registered and hold what is needed: the usual case, without a lock."""
    rows = await db.fetch(
        "select definition, id, buckets, keep from cipo.series where definition = any(%s)",
        ([_definition(one.indicator) for one in objectives],),
    )
    held = {definition: (id, buckets, keep) for definition, id, buckets, keep in rows}
    found = {}
    for one in objectives:
        id, buckets, keep = held.get(_definition(one.indicator), (0, False, timedelta(0)))
        if id and (buckets or one.indicator.method not in NEEDS_BUCKETS) and keep >= _keep(one):
            found[one.name] = id
    return found


def _keep(objective: Objective) -> timedelta:
    """Minutes are needed as long as the window when it is cut finer than quarters."""
    if objective.finest != MINUTE:
        return KEEP_MINUTES
    span = objective.window.span if isinstance(objective.window, Rolling) else timedelta(days=366)
    return max(KEEP_MINUTES, span + KEEP_MINUTES if objective.budgeting.slice else KEEP_MINUTES)


async def _register(conn: Conn, indicator: Indicator, keep: timedelta) -> int:
    buckets = indicator.method in NEEDS_BUCKETS
    definition = _definition(indicator)
    row = await (await conn.execute("select id, buckets, keep from cipo.series where definition = %s", (definition,))).fetchone()
    if row is not None and (row[1] or not buckets) and row[2] >= keep:
        return int(row[0])
    made = await (
        await conn.execute(
            "insert into cipo.series (definition, fact, end_fact, buckets, keep) values (%s, %s, %s, %s, %s) on conflict (definition)"
            " do update set buckets = cipo.series.buckets or excluded.buckets, keep = greatest(cipo.series.keep, excluded.keep) returning id",
            (definition, indicator.fact, indicator.end, buckets, keep),
        )
    ).fetchone()
    assert made is not None
    await conn.execute(
        "insert into cipo.fact_dirty (name, at) select distinct name, date_bin('1 minute', ts, 'epoch') from cipo.fact where name = any(%s)",
        (list(indicator.facts),),
    )
    return int(made[0])


def _definition(indicator: Indicator) -> str:
    """The definition, with the unit where it shapes the values."""
    if indicator.end is None:
        return indicator.definition
    return json.dumps({**json.loads(indicator.definition), "unit": indicator.unit}, sort_keys=True, separators=(",", ":"))


async def read(db: Database, id: int) -> Series:
    """A registered series."""
    rows = await db.fetch("select id, definition, fact, end_fact, buckets, keep from cipo.series where id = %s", (id,))
    return _series(*rows[0])


async def of_fact(conn: Conn, name: str) -> list[Series]:
    """The series that read a fact, as what is measured or as its end."""
    rows = await (
        await conn.execute(
            "select id, definition, fact, end_fact, buckets, keep from cipo.series where fact = %s or end_fact = %s order by id",
            (name, name),
        )
    ).fetchall()
    return [_series(*row) for row in rows]


def _series(id: int, definition: str, fact: str, end: str | None, buckets: bool, keep: timedelta) -> Series:
    parts = json.loads(definition)
    return Series(
        id,
        fact,
        end,
        where(parts.get("where")),
        Test.parse(parts["good"]) if "good" in parts else Test(),
        parts.get("calendar", ""),
        parts.get("unit", "s"),
        buckets,
        keep,
    )
