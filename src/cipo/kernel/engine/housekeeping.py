"""The kernel's own routines: partitions ahead, old feed bodies and answered requests away. Each is idempotent."""

from __future__ import annotations

from datetime import timedelta

from cipo.kernel.ctx import Ctx
from cipo.kernel.engine import routine
from cipo.kernel.slo import roll, unfinished

unit = routine.unit
KEEP_ANSWERS = timedelta(days=1)


@unit.routine("partitions", every=timedelta(hours=6))
async def partitions(ctx: Ctx) -> str:
    """Makes the tables of the coming months and days, and drops change-feed bodies older than a day (events stay)."""
    made = (await ctx.db.fetch("select cipo.make_partitions()"))[0][0]
    dropped = (await ctx.db.fetch("select cipo.drop_old_bodies()"))[0][0]
    return f"{made} partitions made, {dropped} dropped"


@unit.routine("answers", every=timedelta(hours=1))
async def answers(ctx: Ctx) -> str:
    """Forgets the answers kept for repeated requests after a day, and tokens that ended."""
    gone = await ctx.db.execute("delete from cipo.idempotency where at < now() - %s", (KEEP_ANSWERS,))
    dead = await ctx.db.execute("delete from cipo.token where expires_at < now() - interval '1 day'")
    return f"{gone} answers and {dead} tokens forgotten"


@unit.routine("kpi-rollup", every=timedelta(seconds=30))
async def rollup(ctx: Ctx) -> str:
    """Makes slices of the minutes whose facts changed, and lets their KPIs look; a unit's own facts do not wait for it."""
    names = await roll.waiting(ctx.db)
    minutes = await roll.roll(ctx.db, names)
    return f"{minutes} minutes rolled, {await ctx.nudge(names)} KPIs to look"


@unit.routine("kpi-minutes", every=timedelta(hours=6))
async def minutes(ctx: Ctx) -> str:
    """Drops slices of minutes that no alert looks back to any more; quarters of an hour and days stay. Counts anew what is open."""
    return f"{await roll.forget(ctx.db)} minutes dropped, {await unfinished.note_all(ctx.db)} durations open"
