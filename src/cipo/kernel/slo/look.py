"""One look at an objective: register it, roll what its facts left to do, judge. For every resource that holds a promise."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from cipo.kernel.ctx import Ctx
from cipo.kernel.slo import budget, gather, register, roll
from cipo.kernel.slo.budget import Alert, BudgetState
from cipo.kernel.slo.measure import Verdict
from cipo.kernel.slo.objective import Objective

PAGE_EVERY = timedelta(seconds=30)
SCORE_EVERY = timedelta(minutes=5)


async def look(
    ctx: Ctx, objective: Objective, *, state_before: BudgetState = "Unknown", alerts_before: Iterable[Alert] = ()
) -> tuple[Verdict, int]:
    """The verdict as of now, and the number of the series it was read from."""
    series = (await register.ensure(ctx.db, [objective]))[objective.name]
    await roll.roll(ctx.db, objective.indicator.facts)
    verdict = await gather.evaluate(ctx.db, objective, series, ctx.now, state_before=state_before, alerts_before=alerts_before)
    return verdict, series


def again(objective: Objective, verdict: Verdict) -> timedelta:
    """When to look next though nothing was written: soon where somebody may have to be woken, else because windows move."""
    wakes = any(tier.severity == "page" for tier in budget.tiers_of(objective))
    return PAGE_EVERY if wakes and verdict.n else SCORE_EVERY
