"""What adds up: the totals of slices, and how the engine reads them for any window.

A window is tiled with the fewest slices (``windows.cover``) and merged by the committed expression, so reading costs what the window is
long, not how many facts it holds. ``Totals`` adds in Python by the same rules, for sliding over days.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString

from cipo.kernel.slo.buckets import Bucket
from cipo.kernel.slo.windows import DAY, MINUTE, SIZES, Tile, cover, floor
from cipo.kernel.store.db import Conn, Database


@cache
def expression(name: str, engine: str = "postgres") -> LiteralString:
    """A compiled question of ``expression`` (our own committed text)."""
    return files("cipo.kernel.slo").joinpath("sql", engine, f"{name}.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Totals:
    """What adds up over time: facts, their weight, the weight that passed the test, the exact sum, bounds, the newest value."""

    n: int
    weight: int
    good: int
    total: Decimal
    low: float
    high: float
    last: float
    last_at: datetime
    filled: int

    def __add__(self, other: Totals) -> Totals:
        newest = max((self, other), key=lambda one: (one.last_at, one.last))
        return Totals(
            self.n + other.n,
            self.weight + other.weight,
            self.good + other.good,
            self.total + other.total,
            min(self.low, other.low),
            max(self.high, other.high),
            newest.last,
            newest.last_at,
            self.filled + other.filled,
        )


def added(parts: Iterable[Totals]) -> Totals | None:
    """All of them, or None of none."""
    whole: Totals | None = None
    for one in parts:
        whole = one if whole is None else whole + one
    return whole


COLUMNS: LiteralString = "n, weight, good, total, low, high, last, last_at, filled"
_TILES: LiteralString = "(size = %s and at >= %s and at < %s)"
_SLICES: LiteralString = (
    "with slices as (select {slice} as slice, n, weight, good, total, low, high, last, last_at at time zone 'UTC' as last_at, filled"
    " from cipo.slice where series = %s and ({tiles})) select slice, n, weight, good, total, low, high, last, last_at, filled from ({body}) as merged"
)
_BUCKETS: LiteralString = (
    "with buckets as (select {slice} as slice, sign(u.key)::smallint as sign, case when u.key = 0 then 0 else abs(u.key) - 40000 end as bucket, u.n"
    " from cipo.slice cross join lateral unnest(keys, counts) as u(key, n) where series = %s and ({tiles}))"
    " select slice, sign, bucket, n from ({body}) as merged"
)
_ONE: LiteralString = "'epoch'::timestamp"


def totals_row(row: Sequence[Any]) -> Totals:
    """From the columns of ``COLUMNS``."""
    n, weight, good, total, low, high, last, last_at, filled = row
    return Totals(int(n), int(weight), int(good), Decimal(total), low, high, last, last_at.replace(tzinfo=UTC), int(filled))


async def totals(db: Database, series: int, start: datetime, end: datetime, finest: int = MINUTE) -> Totals | None:
    """The totals of ``[start, end)``; None without facts."""
    rows = await _merged(db, _SLICES, "merged_slices", _ONE, [], series, cover(start, end, finest))
    return totals_row(rows[0][1:]) if rows else None


async def histogram(db: Database, series: int, start: datetime, end: datetime, finest: int = MINUTE) -> Counter[Bucket]:
    """The histogram of ``[start, end)``."""
    rows = await _merged(db, _BUCKETS, "merged_buckets", _ONE, [], series, cover(start, end, finest))
    return Counter({(sign, bucket): int(n) for _, sign, bucket, n in rows})


async def by_slice(db: Database, series: int, start: datetime, end: datetime, size: timedelta) -> list[tuple[datetime, Totals]]:
    """The totals of each slice of ``size`` that has facts, oldest first; slices count from ``start``."""
    binned: LiteralString = "date_bin(%s, at, %s) at time zone 'UTC'"
    rows = await _merged(db, _SLICES, "merged_slices", binned, [size, start], series, [Tile(base(size, start), start, end)])
    return sorted((row[0].replace(tzinfo=UTC), totals_row(row[1:])) for row in rows)


async def histograms(db: Database, series: int, start: datetime, end: datetime, size: timedelta) -> list[tuple[datetime, Counter[Bucket]]]:
    """The histogram of each slice of ``size`` that has facts, oldest first."""
    binned: LiteralString = "date_bin(%s, at, %s) at time zone 'UTC'"
    found: dict[datetime, Counter[Bucket]] = {}
    for at, sign, bucket, n in await _merged(
        db, _BUCKETS, "merged_buckets", binned, [size, start], series, [Tile(base(size, start), start, end)]
    ):
        found.setdefault(at.replace(tzinfo=UTC), Counter())[sign, bucket] = int(n)
    return sorted(found.items())


def base(size: timedelta, start: datetime) -> int:
    """The largest stored slice that tiles runs of ``size`` from ``start``."""
    minutes = int(size.total_seconds() // 60)
    return max(one for one in SIZES if minutes % one == 0 and floor(start, one) == start)


async def _merged(
    db: Database, sql: LiteralString, question: str, slice: LiteralString, given: list[Any], series: int, tiles: Iterable[Tile]
) -> list[tuple[Any, ...]]:
    runs = list(tiles)
    if not runs:
        return []
    text = sql.replace("{slice}", slice).replace("{body}", expression(question)).replace("{tiles}", " or ".join([_TILES] * len(runs)))
    params = [*given, series]
    for tile in runs:
        params += [tile.size, tile.start, tile.end]
    return await db.fetch(text, params)


async def plan_for_many(conn: Conn) -> None:
    """Inside a transaction: hash what was found; the connections are set up for single objects. Facts themselves stay read by index: a
    table that was filled a moment ago has no statistics, and a guess would scan all of it for each minute."""
    await conn.execute("set local plan_cache_mode = force_custom_plan; set local enable_hashjoin = on; set local enable_nestloop = off")


def days(end: datetime, count: int) -> tuple[datetime, datetime]:
    """The last ``count`` days (UTC) up to and with the one ``end`` falls into."""
    size = timedelta(minutes=DAY)
    edge = datetime.fromtimestamp((end.timestamp() // size.total_seconds() + 1) * size.total_seconds(), UTC)
    return edge - count * size, edge
