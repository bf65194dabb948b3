"""The roller: minutes whose facts changed become slices again, whole, whoever wrote late, twice or corrected.

A batch is one transaction: it takes marks, recomputes the marked minutes from their facts, then the quarters and days above them, and
notes which published periods are to be looked at again. Killed anywhere, the marks are still there and the next run does the same work
to the same end. One roller at a time per fact, by an advisory lock taken before anything is read: a recomputation can never overwrite a
newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

from cipo.kernel.slo import register, unfinished
from cipo.kernel.slo.register import LOCK, Series
from cipo.kernel.slo.selecting import facts_of, runs
from cipo.kernel.slo.slices import expression, plan_for_many
from cipo.kernel.slo.windows import DAY, MINUTE, QUARTER, SIZES, floor
from cipo.kernel.store.db import Conn, Database

BATCH_MINUTES = 1500

WAITING: LiteralString = """
with recursive names as (
  (select name from cipo.fact_dirty order by name limit 1)
  union all
  select (select d.name from cipo.fact_dirty d where d.name > names.name order by d.name limit 1) from names where names.name is not null
) select name from names where name is not null
"""
MARKS: LiteralString = "select ctid::text, at from cipo.fact_dirty where name = %s and at in (select distinct at from cipo.fact_dirty where name = %s order by at limit %s)"
DONE: LiteralString = "delete from cipo.fact_dirty where name = %s and ctid = any(%s::tid[])"
ENDS: LiteralString = """
select distinct date_bin('1 minute', e.ts, 'epoch') from unnest(%(minutes)s::timestamptz[]) as marked(minute)
cross join lateral (
  select * from cipo.fact where name = %(fact)s and ts >= marked.minute and ts < marked.minute + interval '1 minute' offset 0) as b
cross join lateral (select ts from cipo.fact where name = %(end)s and subject = b.subject and ts >= b.ts offset 0) as e(ts)
"""

# What was found takes the place of what was there. A transaction's number is taken at its first write, which is after all the counting:
# the change feed, which waits for older transactions, hardly notices a long roll.
INTO: LiteralString = """
, found as materialized (
  select f.slice at time zone 'UTC' as at, f.n, f.weight, f.good, f.total, f.low, f.high, f.last, f.last_at at time zone 'UTC' as last_at, {filled} as filled, {keys}
  from ({adding}) as f{joins}
), gone as (
  delete from cipo.slice s where s.series = %(series)s and s.size = %(size)s and s.at = any(%(edges)s) and not exists (select 1 from found where found.at = s.at)
)
insert into cipo.slice as s (series, size, at, n, weight, good, total, low, high, last, last_at, filled, keys, counts)
select %(series)s, %(size)s, at, n, weight, good, total, low, high, last, last_at, filled, keys, counts from found
on conflict (series, size, at) do update set n = excluded.n, weight = excluded.weight, good = excluded.good, total = excluded.total, low = excluded.low,
  high = excluded.high, last = excluded.last, last_at = excluded.last_at, filled = excluded.filled, keys = excluded.keys, counts = excluded.counts
where (s.n, s.weight, s.good, s.total, s.low, s.high, s.last, s.last_at, s.filled, s.keys, s.counts) is distinct from (excluded.n, excluded.weight,
  excluded.good, excluded.total, excluded.low, excluded.high, excluded.last, excluded.last_at, excluded.filled, excluded.keys, excluded.counts)
"""
COUNTED: LiteralString = """
, counted as materialized (
  select slice, array_agg(key order by key) as keys, array_agg(n order by key) as counts
  from (select slice, sign * (bucket + 40000) as key, n from ({counting}) as c) as k group by slice
)"""
MINUTES: LiteralString = (
    ", minutes as materialized (select slice, count(distinct date_trunc('minute', at)) as filled from facts group by slice)"
)
FINER: LiteralString = """
from unnest(%(edges)s::timestamptz[]) as marked(edge) cross join lateral (
  select * from cipo.slice where series = %(series)s and size = %(finer)s and at >= marked.edge and at < marked.edge + %(length)s offset 0) as p
"""
FINER_SLICES: LiteralString = (
    "with slices as materialized (select marked.edge at time zone 'UTC' as slice, p.n, p.weight, p.good, p.total, p.low, p.high, p.last,"
    " p.last_at at time zone 'UTC' as last_at, p.filled, p.keys, p.counts" + FINER + ")"
)
# A key tells its sign and bucket; the slices' own histograms become rows again.
UNPACKED: LiteralString = (
    ", buckets as (select slice, sign(u.key)::smallint as sign, case when u.key = 0 then 0 else abs(u.key) - 40000 end as bucket, u.n"
    " from slices cross join lateral unnest(slices.keys, slices.counts) as u(key, n))"
)
REOPEN: LiteralString = (
    "insert into cipo.kpi_reopened (kpi, start) select distinct p.kpi, p.start from cipo.kpi_period p"
    ' join unnest(%s::timestamptz[]) as marked(minute) on marked.minute >= p.from_at and marked.minute < p."end" where p.series = %s on conflict do nothing'
)


async def waiting(db: Database) -> list[str]:
    """Facts with marked minutes, found by walking the index from name to name: there may be a million marks."""
    return [name for (name,) in await db.fetch(WAITING)]


async def roll(db: Database, names: Sequence[str] | None = None, *, batch: int = BATCH_MINUTES) -> int:
    """Recompute what is marked, of some facts or of all; the number of minutes done."""
    done, marked = 0, await waiting(db)
    for name in marked if names is None else [name for name in names if name in marked]:
        while taken := await roll_batch(db, name, batch):
            done += taken
    return done


async def roll_batch(db: Database, name: str, limit: int = BATCH_MINUTES) -> int:
    """One transaction's worth of one fact's marks; how many minutes it took."""
    async with db.transaction() as conn:
        await conn.execute(LOCK, (name,))
        marks = await (await conn.execute(MARKS, (name, name, limit))).fetchall()
        if not marks:
            return 0
        minutes = sorted({at for _, at in marks})
        await plan_for_many(conn)
        now = (await (await conn.execute("select now()")).fetchall())[0][0]
        for series in await register.of_fact(conn, name):
            await _recompute(conn, series, await _belonging(conn, series, name, minutes), now)
            if series.end is not None:
                await unfinished.note(conn, series, name, minutes)
                await conn.execute(REOPEN, (minutes, series.id))  # what began late was open at a period's end, though no end came
        await conn.execute(DONE, (name, [ctid for ctid, _ in marks]))  # a mark that came meanwhile is another row
        return len(minutes)


async def _belonging(conn: Conn, series: Series, name: str, minutes: list[datetime]) -> list[datetime]:
    """The minutes of the series that these marks concern: a start that changed concerns the minutes of the ends after it."""
    if series.end is None or name == series.end:
        return minutes
    found = await conn.execute(ENDS, {"minutes": minutes, "fact": series.fact, "end": series.end})
    return sorted(at for (at,) in await found.fetchall())


async def _recompute(conn: Conn, series: Series, minutes: list[datetime], now: datetime) -> None:
    if not minutes:
        return
    # Of long ago no minutes are kept: their quarters are built from the facts at once.
    kept_from = floor(now - series.keep, QUARTER)
    quarters = sorted({floor(minute, QUARTER) for minute in minutes})
    fine, old = [minute for minute in minutes if minute >= kept_from], [quarter for quarter in quarters if quarter < kept_from]
    await _from_facts(conn, series, MINUTE, fine)
    await _from_facts(conn, series, QUARTER, old)
    await _from_finer(conn, series, QUARTER, [quarter for quarter in quarters if quarter >= kept_from])
    await _from_finer(conn, series, DAY, sorted({floor(quarter, DAY) for quarter in quarters}))
    await conn.execute(
        "update cipo.series set since = least(since, (select min(at) from cipo.slice where series = %(s)s"
        "  and ((size = 1 and at = any(%(fine)s)) or (size = 15 and at = any(%(old)s)))))"
        " where id = %(s)s and (since is null or since > %(first)s)",
        {"s": series.id, "fine": fine, "old": old, "first": quarters[0]},
    )
    await conn.execute(REOPEN, (minutes, series.id))


async def _from_facts(conn: Conn, series: Series, size: int, edges: list[datetime]) -> None:
    """Slices of minutes, or of quarters whose minutes are not kept, straight from the facts."""
    if not edges:
        return
    facts, params = facts_of(series)
    text: LiteralString = "with facts as materialized (" + facts + ")"
    filled: LiteralString = "1"
    joins: LiteralString = ""
    if size != MINUTE:
        text, filled, joins = text + MINUTES, "m.filled", " left join minutes m on m.slice = f.slice"
    if series.buckets:
        text += COUNTED.replace("{counting}", expression("buckets"))
    await _put(conn, series, size, edges, text, "slices", filled, joins, {**params, **runs(edges, size), "bin": timedelta(minutes=size)})


async def _from_finer(conn: Conn, series: Series, size: int, edges: list[datetime]) -> None:
    """Slices from the next finer ones."""
    if not edges:
        return
    text: LiteralString = FINER_SLICES
    if series.buckets:
        text += UNPACKED + COUNTED.replace("{counting}", expression("merged_buckets"))
    given = {"finer": SIZES[SIZES.index(size) - 1], "length": timedelta(minutes=size)}
    await _put(conn, series, size, edges, text, "merged_slices", "f.filled", "", given)


async def _put(
    conn: Conn,
    series: Series,
    size: int,
    edges: list[datetime],
    text: LiteralString,
    adding: str,
    filled: LiteralString,
    joins: LiteralString,
    params: dict[str, Any],
) -> None:
    keys: LiteralString = "null::int[] as keys, null::bigint[] as counts"
    if series.buckets:
        keys, joins = "c.keys, c.counts", joins + " left join counted c on c.slice = f.slice"
    into = INTO.replace("{filled}", filled).replace("{keys}", keys).replace("{joins}", joins).replace("{adding}", expression(adding))
    await conn.execute(text + into, {**params, "series": series.id, "size": size, "edges": edges})


async def forget(db: Database) -> int:
    """Drop minutes that no tier or late fact needs any more; quarters and days stay. The number of slices dropped."""
    gone = 0
    for id, keep, now in await db.fetch("select id, keep, now() from cipo.series"):
        edge = floor(now - keep, DAY)
        gone += await db.execute("delete from cipo.slice where series = %s and size = 1 and at < %s", (id, edge))
    return gone
