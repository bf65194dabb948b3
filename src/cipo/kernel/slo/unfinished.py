"""What has begun and not ended, of each series of durations: kept by the roller, so that asking costs what is open and not what ever was."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, LiteralString

from cipo.kernel.slo.register import LOCK, Series, read
from cipo.kernel.slo.selecting import condition, runs
from cipo.kernel.slo.slices import plan_for_many
from cipo.kernel.store.db import Conn, Database

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


async def note(conn: Conn, series: Series, name: str, minutes: list[datetime]) -> None:
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


async def _start(conn: Conn, series: Series, starts: LiteralString, more: dict[str, Any]) -> None:
    terms, params = condition(series.where)
    given = {**params, **more, "series": series.id, "fact": series.fact, "end": series.end}
    await conn.execute(STARTED.replace("{starts}", starts).replace("{where}", terms), given)


async def note_all(db: Database) -> int:
    """What is open, from the facts of two years anew: for ends that somebody deleted, which leave no subject behind. How many there are."""
    for id, fact in await db.fetch("select id, fact from cipo.series where end_fact is not null"):
        series = await read(db, id)
        async with db.transaction() as conn:
            await conn.execute(LOCK, (fact,))
            await plan_for_many(conn)
            await conn.execute("delete from cipo.fact_open where series = %s", (id,))
            await _start(conn, series, OF_ALL, {})
    return int((await db.fetch("select count(*) from cipo.fact_open"))[0][0])
