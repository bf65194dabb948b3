"""A database with facts in it, and objectives over them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

import pytest

from cipo.kernel.slo import gather, register, roll
from cipo.kernel.slo.buckets import bucket_of
from cipo.kernel.slo.objective import Indicator, Limit, Objective
from cipo.kernel.slo.slices import Totals
from cipo.kernel.slo.windows import Rolling
from cipo.kernel.store.db import Database

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
_numbers = itertools.count()


@dataclass(frozen=True)
class Told:
    """A fact as a test writes it."""

    at: datetime
    value: float
    weight: int = 1
    attrs: dict = field(default_factory=dict)
    subject: str | None = None
    id: str | None = None
    supersedes: str | None = None


class Ground:
    """The engine on a real database."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.keep = "10 years"  # tests look at times long ago by the minute

    def name(self) -> str:
        """A fact name that no other example uses."""
        return f"test.fact{next(_numbers)}"

    async def tell(self, name: str, facts: list[Told]) -> None:
        rows = [
            {
                "ts": one.at.isoformat(), "value": one.value, "weight": one.weight, "attrs": one.attrs, "subject": one.subject, "id": one.id,
                "supersedes": one.supersedes,
            }
            for one in facts
        ]  # fmt: skip
        async with self.db.transaction() as conn:
            await conn.execute(
                "insert into cipo.fact (id, ts, name, unit, value, weight, subject, attrs, supersedes, seq)"
                " select coalesce(id, gen_random_uuid()), ts, %s, '1A/U-W2', value, weight, subject, attrs, supersedes, 1 from json_to_recordset(%s::json)"
                " as f(id uuid, ts timestamptz, value float8, weight bigint, subject uuid, attrs jsonb, supersedes uuid)",
                (name, json.dumps(rows)),
            )
            await conn.execute(
                "insert into cipo.fact_superseded (id, by, name, ts) select o.id, f.id, o.name, o.ts from cipo.fact f join cipo.fact o on o.id = f.supersedes"
                " where f.name = %s on conflict do nothing",
                (name,),
            )

    async def series(self, objective: Objective) -> int:
        series = (await register.ensure(self.db, [objective]))[objective.name]
        await self.db.execute("update cipo.series set keep = %s::text::interval", (self.keep,))
        await roll.roll(self.db, objective.indicator.facts)
        return series

    async def verdict(self, objective: Objective, now: datetime):
        return await gather.evaluate(self.db, objective, await self.series(objective), now)


@pytest.fixture
async def ground(pg_dsn):
    async with Database(pg_dsn) as db:
        yield Ground(db)


def objective(fact: str, method: str = "ratio", *, limit: Limit | None = None, window: timedelta = timedelta(days=30), **more) -> Objective:
    indicator = {key: more.pop(key) for key in list(more) if key in ("where", "good", "p", "per", "end", "calendar", "unit", "average")}
    return Objective(f"{fact}-{method}", Indicator(method, fact, **indicator), limit or Limit(">=", 0.99), Rolling(window), **more)


def totals_of(facts: list[Told], passes=lambda value: value == 1) -> Totals | None:
    """What adds up, by pencil: the reference for every engine."""
    if not facts:
        return None
    newest = max(one.at for one in facts)
    cent = Decimal("1e-12")
    return Totals(
        len(facts),
        sum(one.weight for one in facts),
        sum(one.weight for one in facts if passes(one.value)),
        sum((Decimal(f"{one.value * one.weight:.15g}").quantize(cent, ROUND_HALF_UP) for one in facts), Decimal(0)),
        min(one.value for one in facts),
        max(one.value for one in facts),
        max(one.value for one in facts if one.at == newest),
        newest,
        len({one.at.replace(second=0, microsecond=0) for one in facts}),
    )


def histogram_of(facts: list[Told]) -> Counter:
    found: Counter = Counter()
    for one in facts:
        found[bucket_of(one.value)] += one.weight
    return found
