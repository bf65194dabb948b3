"""Recurring work as resources: kind ``Routine``, run by the same engine, so there is one place to look for what ran when and what failed."""

from __future__ import annotations

from datetime import timedelta

from cipo.kernel.ctx import Ctx
from cipo.kernel.engine.outcome import Again
from cipo.kernel.models import Column, Kind, Model, Status, field
from cipo.kernel.principal import SYSTEM
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Unit

unit = Unit("kernel/routines")


class RoutineSpec(Model):
    """Recurring work of a unit."""

    unit: str = field(length=40, help="The unit whose code runs.")
    every_s: float = field(min=1, help="Seconds between two runs.")
    description: str = field("", length=1000, help="What it does.")


class RoutineStatus(Status):
    """How the last run went."""

    last_run: str | None = field(None, help="When it last ran (UTC).")
    result: str = field("", length=2000, help="What the last run did, in words.")
    runs: int = field(0, help="How often it ran.")


@unit.kind(
    short="rt",
    plural="routines",
    columns=[
        Column("Unit", "spec.unit"),
        Column("Every s", "spec.everyS", "number"),
        Column("Last run", "status.lastRun", "date"),
        Column("Result", "status.result", wide=True),
    ],
    public=True,
    readonly=True,
)
class Routine(Kind[RoutineSpec, RoutineStatus]):
    """Recurring work: what runs, how often, when it last ran and what came of it."""


@unit.reconcile(Routine)
async def run(routine: Routine, ctx: Ctx) -> Again:
    """Run it when its time has come; a change of the resource alone does not run it early."""
    info = ctx.registry.routines.get(routine.name)
    every = timedelta(seconds=routine.spec.every_s)
    if info is None:
        return Again(every, reason="its unit is not staffed in this installation")
    if routine.status.last_run and (left := routine.spec.every_s - ctx.since(routine.status.last_run)) > 0.5:
        return Again(timedelta(seconds=left))
    routine.status.result = (await info.fn(ctx.acting(info.unit)))[:2000]
    routine.status.last_run = ctx.now_iso()
    routine.status.runs += 1
    return Again(every)


async def sync(resources: Resources) -> None:
    """Make the Routine resources what the registry declares; called at start, idempotent."""
    have = {item.name: item for item in (await resources.reader.list(Routine.info)).items}
    for info in resources.registry.routines.values():
        wished = {"unit": info.unit, "everyS": info.every.total_seconds(), "description": info.help}
        if info.name not in have:
            await resources.create(SYSTEM, Routine.info, {"metadata": {"name": info.name}, "spec": wished})
        else:
            await resources.patch(SYSTEM, Routine.info, info.name, {"spec": wished}, "merge")
    for name in have.keys() - resources.registry.routines.keys():
        await resources.delete(SYSTEM, Routine.info, name)
