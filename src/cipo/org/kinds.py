"""The chart as resources: Department, Squad, Unit and Kpi of ``org.cipo/v1``, so that kubectl, the console and watches read them like anything else.

They are public to read and kept by the system: ``sync`` makes them what the chart says at each start. A ``Kpi``'s status is measured by
its reconciler, from facts alone; it looks when a fact it reads is written, and by a timer because windows move.
"""

from __future__ import annotations

from typing import Any, Literal

from cipo.kernel import Again, Column, Ctx, Kind, Model, Status, field
from cipo.kernel import Unit as Declared
from cipo.kernel.principal import SYSTEM
from cipo.kernel.slo import course, period
from cipo.kernel.slo import look as looking
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.standing import BudgetStanding, Standing, alike, news, standing
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Registry, slug
from cipo.org import chart as charts
from cipo.org.kpi_spec import OWNER, KpiSpec, objective_of, spec_of

GROUP = "org.cipo"
REST_S = 60.0
PERIODS = 6
unit = Declared("kernel/org", group=GROUP)


class DepartmentSpec(Model):
    """A department of the chart."""

    owner: str = field(length=40, help=OWNER)
    title: str = field(length=400, help="Its title in the chart.")
    group: str = field(length=80, help="API group of its kinds.")
    origin: Literal["seed", "derived"] = field(help="Whether the chart itself says so.")


@unit.kind(
    short="dept", plural="departments", columns=[Column("Id", "spec.owner"), Column("Title", "spec.title")], public=True, readonly=True
)
class Department(Kind[DepartmentSpec, Status]):
    """A department of the org chart."""


class SquadSpec(Model):
    """A squad of the chart."""

    owner: str = field(length=40, help=OWNER)
    title: str = field(length=400, help="Its title in the chart.")
    department: str = field(length=40, help="Its department.")
    responsibilities: list[str] = field(list, help="What it answers for, in the chart's words.")
    stack: list[str] = field(list, help="The tools the chart names.")
    dependencies: list[str] = field(list, help="Whom the chart says it depends on.")
    origin: Literal["seed", "derived"] = field(help="Whether the chart itself says so.")


@unit.kind(
    short="sq",
    plural="squads",
    columns=[Column("Id", "spec.owner"), Column("Title", "spec.title"), Column("Responsibilities", "spec.responsibilities", wide=True)],
    public=True,
    readonly=True,
)
class Squad(Kind[SquadSpec, Status]):
    """A squad of the org chart."""


class UnitSpec(Model):
    """A unit of the chart."""

    owner: str = field(length=40, help=OWNER)
    title: str = field(length=400, help="Its title in the chart.")
    squad: str = field(length=40, help="Its squad.")
    job: str = field(length=400, help="What it does.")
    staffed: bool = field(help="Whether its code is part of this installation.")
    kinds: list[str] = field(list, help="Kinds it owns.")
    origin: Literal["seed", "derived"] = field(help="Whether the chart itself says so.")


@unit.kind(
    short="un",
    plural="units",
    columns=[
        Column("Id", "spec.owner"),
        Column("Title", "spec.title"),
        Column("Staffed", "spec.staffed", "boolean"),
        Column("Job", "spec.job", wide=True),
    ],
    select=["spec.staffed"],
    public=True,
    readonly=True,
)
class Unit(Kind[UnitSpec, Status]):
    """A unit of the org chart."""


class KpiPeriod(Model):
    """A closed period as it was published last."""

    start: str = field(length=32, help="Its beginning.")
    end: str = field(length=32, help="Its end.")
    revision: int = field(help="1 at the close; more when facts came late.")
    value: float | None = field(None, help="The number.")
    state: Literal["met", "missed", "unknown"] = field(help="Whether the promise was kept.")
    reason: str = field("", length=400, help="Why it is unknown, or what made the revision.")


class KpiStatus(Status):
    """What the facts say."""

    state: Literal["met", "missed", "unknown"] = field("unknown", help="Whether the promise is kept.")
    value: float | None = field(None, help="The number; absent without facts.")
    reason: str = field("not measured yet", length=400, help="Why it is unknown.")
    n: int = field(0, help="How many facts it stands on.")
    coverage: float | None = field(None, help="Which share was looked at (0-1).")
    budget: BudgetStanding | None = field(None, help="The error budget, when the promise allows badness.")
    periods: list[KpiPeriod] = field(list, key="start", help="The last closed periods, newest first.")
    measured_at: str | None = field(None, help="As of when (UTC).")
    changed_at: str | None = field(None, help="When state or value last changed (UTC).")


@unit.kind(
    short="kp",
    plural="kpis",
    columns=[
        Column("Promise", "spec.text"),
        Column("Unit", "spec.unit"),
        Column("State", "status.state"),
        Column("Value", "status.value", "number"),
        Column("Budget", "status.budget.state"),
        Column("Facts", "status.n", "integer"),
        Column("Why", "status.reason", wide=True),
    ],
    select=["status.state", "spec.squad", "spec.unit"],
    phase="status.state",
    public=True,
    readonly=True,
)
class Kpi(Kind[KpiSpec, KpiStatus]):
    """A promise of the chart, measured from the facts that the work leaves behind."""


def promise(kpi: Kpi, registry: Registry) -> Objective:
    """A KPI as the engine's objective."""
    return objective_of(kpi.name, kpi.spec, staffed=kpi.spec.unit in registry.units)


@unit.reconcile(Kpi)
async def look(kpi: Kpi, ctx: Ctx) -> Again:
    """Measure it again: a fact was written, or the window moved."""
    objective, before = promise(kpi, ctx.registry), kpi.status.model_copy(deep=True)
    held = _standing(kpi.name, before)
    verdict, series = await looking.look(ctx, objective, state_before=held.budget_state, alerts_before=held.alerts)
    periods = await period.publish(ctx.db, objective, series, ctx.now) if objective.staffed or verdict.n else []
    status = kpi.status
    now = standing(kpi.name, verdict)
    status.state, status.value, status.reason, status.n, status.coverage = now.state, now.value, now.reason, now.n, now.coverage
    status.budget = now.budget
    status.periods = [_period(one) for one in periods[:PERIODS]]
    status.measured_at = ctx.now_iso()
    if (before.state, before.value) != (status.state, status.value):
        status.changed_at = ctx.now_iso()
    ctx.reason, ctx.note = _news(before, status, news(held, now))
    rested = before.measured_at is not None and ctx.since(before.measured_at) >= REST_S
    if not ctx.reason and not rested and before.measured_at and alike(held, now) and before.periods == status.periods:
        kpi.status = before  # only figures that move with every look: once a minute is enough for the record
    else:
        await course.record(ctx.db, kpi.name, verdict)
    return Again(looking.again(objective, verdict))


def _standing(name: str, status: KpiStatus) -> Standing:
    """How it stood at the last look."""
    return Standing(
        name=name,
        state=status.state,
        value=status.value,
        reason=status.reason,
        n=status.n,
        coverage=status.coverage,
        budget=status.budget,
    )


def _news(before: KpiStatus, after: KpiStatus, changed: str) -> tuple[str, str]:
    """The event's word and sentence when something happened that somebody wants to hear of."""
    revised = {one.start: one for one in before.periods}
    for one in after.periods:
        old = revised.get(one.start)
        if old is not None and one.revision > old.revision:
            return "KPIRestated", f"{one.start[:10]} to {one.end[:10]}, revision {one.revision}: {one.reason}"
    return ("KPIChanged", changed) if changed else ("", "")


def _period(one: period.Published) -> KpiPeriod:
    return KpiPeriod(
        start=one.start.isoformat(),
        end=one.end.isoformat(),
        revision=one.revision,
        value=one.value,
        state=one.state,
        reason=one.reason[:400],
    )


def wished(chart: charts.Chart, registry: Registry) -> dict[str, dict[str, dict[str, Any]]]:
    """What the chart says, as specs by plural and name."""
    specs: dict[str, dict[str, dict[str, Any]]] = {"departments": {}, "squads": {}, "units": {}, "kpis": {}}
    for department in chart.departments:
        owner = department.id
        specs["departments"][slug(owner)] = {
            "owner": owner,
            "title": department.title,
            "group": department.group,
            "origin": department.origin,
        }
        for squad in department.squads:
            specs["squads"][slug(squad.id)] = {
                "owner": squad.id,
                "title": squad.title,
                "department": owner,
                "responsibilities": list(squad.responsibilities),
                "stack": list(squad.stack),
                "dependencies": list(squad.dependencies),
                "origin": squad.origin,
            }
            for one in squad.units:
                specs["units"][slug(one.id)] = {
                    "owner": one.id,
                    "title": one.title,
                    "squad": squad.id,
                    "job": one.job,
                    "staffed": one.id in registry.units,
                    "kinds": list(one.kinds),
                    "origin": one.origin,
                }
            for kpi in squad.kpis:
                specs["kpis"][kpi.name] = spec_of(kpi)
    return specs


async def sync(resources: Resources, chart: charts.Chart) -> None:
    """Make the resources what the chart says; called at start, idempotent, safe with several processes at once."""
    watch(resources, chart)
    for plural, specs in wished(chart, resources.registry).items():
        kind = resources.registry.by_plural[GROUP, plural]
        have = {item.name: item.object()["spec"] for item in (await resources.reader.list(kind)).items}
        missing = [{"metadata": {"name": name}, "spec": spec} for name, spec in specs.items() if name not in have]
        if missing:
            await resources.create_many(SYSTEM, kind, missing)
        for name, spec in specs.items():
            if name in have and have[name] != kind.spec_cls.model_validate(spec).wire():
                old = (await resources.get(SYSTEM, kind, name)).object()
                await resources.replace(SYSTEM, kind, name, {"metadata": {"name": name}, "spec": spec, "status": old["status"]})
        for name in have.keys() - specs.keys():
            await resources.delete(SYSTEM, kind, name)


def watch(resources: Resources, chart: charts.Chart) -> None:
    """Tell the store which KPIs look when a fact is written."""
    resources.core.fact_watchers = {}
    for kpi in chart.kpis:
        read = kpi.indicator.measure
        for name in filter(None, (read.fact, read.end)):
            resources.core.fact_watchers.setdefault(name, []).append((Kpi.info.gk, kpi.name))
