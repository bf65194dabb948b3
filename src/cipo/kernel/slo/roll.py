"""The roller: minutes whose facts changed become slices again, whole, whoever wrote late, twice or corrected.

A batch is one transaction: it takes marks, recomputes the marked minutes from their facts, then the quarters and days above them, and
notes which published periods are to be looked at again. Killed anywhere, the marks are still there and the next run does the same work
to the same end. One roller at a time per fact, by an advisory lock taken before anything is read: a recomputation can never overwrite a
newer one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

from cipo.kernel.slo.objective import NEEDS_BUCKETS, Indicator, Objective, Term, Test, where
from cipo.kernel.slo.slices import expression, plan_for_many
from cipo.kernel.slo.windows import DAY, MINUTE, QUARTER, SIZES, Rolling, floor
from cipo.kernel.store.db import Conn, Database

BATCH_MINUTES = 1500
KEEP_MINUTES = timedelta(days=8)
"""How long minutes are kept: longer than any page or ticket tier looks back, with a margin for late facts."""
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}

LOCK: LiteralString = "select pg_advisory_xact_lock(hashtext('cipo.roll'), hashtext(%s))"
WAITING: LiteralString = """
with recursive names as (
  (select name from cipo.fact_dirty order by name limit 1)
  union all
  select (select d.name from cipo.fact_dirty d where d.name > names.name order by d.name limit 1) from names where names.name is not null
) select name from names where name is not null
"""
MARKS: LiteralString = "select ctid::text, at from cipo.fact_dirty where name = %s and at in (select distinct at from cipo.fact_dirty where name = %s order by at limit %s)"
DONE: LiteralString = "delete from cipo.fact_dirty where name = %s and ctid = any(%s::tid[])"
# ``offset 0`` keeps the look-up by index: a table filled a moment ago has no statistics, and a join would be guessed over all of it.
RUNS: LiteralString = """
from unnest(%(lows)s::timestamptz[], %(highs)s::timestamptz[]) as run(low, high)
cross join lateral (select * from cipo.fact where name = %({name})s and ts >= run.low and ts < run.high offset 0) as f
"""
FACTS: LiteralString = (
    """
select date_bin(%(bin)s, f.ts, 'epoch') at time zone 'UTC' as slice, f.ts at time zone 'UTC' as at, f.value, f.weight,
  case when f.value {op} {limit} then 1 else 0 end as hit
"""
    + RUNS.replace("{name}", "fact")
    + "where not exists (select 1 from cipo.fact_superseded s where s.id = f.id){where}"
)
# A duration ends with the end's fact and belongs to its minute; it began with the subject's last start before that.
DURATIONS: LiteralString = (
    """
select date_bin(%(bin)s, f.ts, 'epoch') at time zone 'UTC' as slice, f.ts at time zone 'UTC' as at,
  cipo.business_seconds(%(calendar)s, began.ts, f.ts) / %(unit_s)s as value, f.weight, 1 as hit
"""
    + RUNS.replace("{name}", "end")
    + """
cross join lateral (
  select b.ts from cipo.fact b where b.name = %(fact)s and b.subject = f.subject and b.ts <= f.ts
    and not exists (select 1 from cipo.fact_superseded s where s.id = b.id) order by b.ts desc limit 1) as began
where not exists (select 1 from cipo.fact_superseded s where s.id = f.id){where}
"""
)
ENDS: LiteralString = """
select distinct date_bin('1 minute', e.ts, 'epoch') from unnest(%(minutes)s::timestamptz[]) as marked(minute)
cross join lateral (
  select * from cipo.fact where name = %(fact)s and ts >= marked.minute and ts < marked.minute + interval '1 minute' offset 0) as b
cross join lateral (select ts from cipo.fact where name = %(end)s and subject = b.subject and ts >= b.ts offset 0) as e(ts)
"""
# What was found takes the place of what was there. A transaction's number is taken at its first write, which is after all the counting:
# the change feed, which waits for older transactions, hardly notices a long roll.
SUBJECTS: LiteralString = """
select distinct f.subject from unnest(%(lows)s::timestamptz[], %(highs)s::timestamptz[]) as run(low, high)
cross join lateral (select subject from cipo.fact where name = %(name)s and ts >= run.low and ts < run.high offset 0) as f where f.subject is not null
"""
STARTED: LiteralString = """
insert into cipo.fact_open (series, id, ts, subject)
select %(series)s, f.id, f.ts, f.subject from {starts}
where not exists (select 1 from cipo.fact_superseded s where s.id = f.id)
  and (select e.id from cipo.fact e where e.subject = f.subject and e.name = %(end)s and e.ts >= f.ts
    and not exists (select 1 from cipo.fact_superseded s where s.id = e.id) limit 1) is null{where}
on conflict do nothing
"""
OF_SUBJECTS: LiteralString = (
    "unnest(%(subjects)s::uuid[]) as wanted(subject) cross join lateral"
    " (select * from cipo.fact where subject = wanted.subject and name = %(fact)s offset 0) as f"
)
OF_ALL: LiteralString = "(select * from cipo.fact where name = %(fact)s and subject is not null and ts > now() - interval '2 years') as f"
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


def statement(series: Series) -> tuple[LiteralString, dict[str, Any]]:
    """The statement by which facts become slices, for whoever wants to see it, with its parameters but for the runs of minutes."""
    facts, params = selection(series)
    return "with facts as (" + facts.strip() + ") " + expression("buckets" if series.buckets else "slices"), params


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
        for series in await _series_of(conn, name):
            await _recompute(conn, series, await _belonging(conn, series, name, minutes), now)
            await _note_open(conn, series, name, minutes)
        await conn.execute(DONE, (name, [ctid for ctid, _ in marks]))  # a mark that came meanwhile is another row
        return len(minutes)


async def _series_of(conn: Conn, name: str) -> list[Series]:
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


async def _belonging(conn: Conn, series: Series, name: str, minutes: list[datetime]) -> list[datetime]:
    """The minutes of the series that these marks concern: a start that changed concerns the minutes of the ends after it."""
    if series.end is None or name == series.end:
        return minutes
    found = await conn.execute(ENDS, {"minutes": minutes, "fact": series.fact, "end": series.end})
    return sorted(at for (at,) in await found.fetchall())


async def _note_open(conn: Conn, series: Series, name: str, minutes: list[datetime]) -> None:
    """Which of the subjects that these minutes speak of have begun and not ended."""
    if series.end is None:
        return
    spoken = await conn.execute(SUBJECTS, {**runs(minutes), "name": name})
    subjects = [subject for (subject,) in await spoken.fetchall()]
    await conn.execute("delete from cipo.fact_open where series = %s and subject = any(%s)", (series.id, subjects))
    await conn.execute(
        "delete from cipo.fact_open o where o.series = %s and o.ts >= %s and o.ts < %s and not exists (select 1 from cipo.fact f where f.id = o.id)",
        (series.id, minutes[0], minutes[-1] + timedelta(minutes=1)),
    )
    await _start(conn, series, OF_SUBJECTS, {"subjects": subjects})
    await conn.execute(REOPEN, (minutes, series.id))  # what began late was open at a period's end, though no end came


async def _start(conn: Conn, series: Series, starts: LiteralString, more: dict[str, Any]) -> None:
    terms, params = condition(series.where)
    given = {**params, **more, "series": series.id, "fact": series.fact, "end": series.end}
    await conn.execute(STARTED.replace("{starts}", starts).replace("{where}", terms), given)


async def note_all_open(db: Database) -> int:
    """What is open, from the facts of two years anew: for ends that somebody deleted, which leave no subject behind. How many there are."""
    for id, fact in await db.fetch("select id, fact from cipo.series where end_fact is not null"):
        async with db.transaction() as conn:
            await conn.execute(LOCK, (fact,))
            await plan_for_many(conn)
            rows = await (
                await conn.execute("select id, definition, fact, end_fact, buckets, keep from cipo.series where id = %s", (id,))
            ).fetchall()
            await conn.execute("delete from cipo.fact_open where series = %s", (id,))
            await _start(conn, _series(*rows[0]), OF_ALL, {})
    return int((await db.fetch("select count(*) from cipo.fact_open"))[0][0])


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
    facts, params = selection(series)
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


def runs(edges: list[datetime], size: int = MINUTE) -> dict[str, list[datetime]]:
    """Sorted edges of slices as runs of neighbours: one look at the index for each run."""
    lows: list[datetime] = []
    highs: list[datetime] = []
    for edge in edges:
        after = edge + timedelta(minutes=size)
        if highs and highs[-1] == edge:
            highs[-1] = after
        else:
            lows.append(edge)
            highs.append(after)
    return {"lows": lows, "highs": highs}


def selection(series: Series) -> tuple[LiteralString, dict[str, Any]]:
    """The series' facts of the runs ``%(lows)s`` to ``%(highs)s`` as SQL with parameters: slice, at, value, weight, hit."""
    terms, params = condition(series.where)
    if series.end is not None:
        params |= {"fact": series.fact, "end": series.end, "calendar": series.calendar, "unit_s": UNIT_SECONDS.get(series.unit, 1.0)}
        return DURATIONS.replace("{where}", terms), params
    op: LiteralString = SQL_TESTS[series.good.op]
    params |= {"fact": series.fact, "limit": series.good.value}
    return FACTS.replace("{op}", op).replace("{limit}", "%(limit)s").replace("{where}", terms), params


SQL_TESTS: dict[str, LiteralString] = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def condition(terms: Sequence[Term]) -> tuple[LiteralString, dict[str, Any]]:
    """Terms as SQL over ``f.attrs``, every value a parameter."""
    text: LiteralString = ""
    params: dict[str, Any] = {}
    for number, term in enumerate(terms):
        key: LiteralString = TERM_NAMES[number]
        params[f"{key}_attr"] = term.attr
        if term.op == "in":
            text += (" and f.attrs->%({k}_attr)s = any(%({k})s::jsonb[])").replace("{k}", key)
            params[key] = [json.dumps(value) for value in term.values]
        elif term.op == "glob":
            text += (" and f.attrs->>%({k}_attr)s like %({k})s").replace("{k}", key)
            params[key] = _like(str(term.values[0]))
        else:
            op: LiteralString = SQL_TESTS[term.op]
            text += (
                (
                    " and case when jsonb_typeof(f.attrs->%({k}_attr)s) = 'number' then (f.attrs->>%({k}_attr)s)::float8 {op} %({k})s else false end"
                )
                .replace("{k}", key)
                .replace("{op}", op)
            )
            params[key] = term.values[0]
    return text, params


TERM_NAMES: tuple[LiteralString, ...] = ("t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7")


def _like(glob: str) -> str:
    """A glob as a pattern of LIKE."""
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


async def forget(db: Database) -> int:
    """Drop minutes that no tier or late fact needs any more; quarters and days stay. The number of slices dropped."""
    gone = 0
    for id, keep, now in await db.fetch("select id, keep, now() from cipo.series"):
        edge = floor(now - keep, DAY)
        gone += await db.execute("delete from cipo.slice where series = %s and size = 1 and at < %s", (id, edge))
    return gone
