"""The chart as resources: Department, Squad, Unit and Kpi of ``org.cipo/v1``, so that kubectl, the console and watches read them like anything else.

They are public to read and kept by the system: ``sync`` makes them what the chart says at each start. A ``Kpi``'s status is measured by
its reconciler, from facts alone; it looks when a fact it reads is written, and by a timer because windows move.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from cipo.kernel import Again, Column, Ctx, Kind, Model, Status, field
from cipo.kernel import Unit as Declared
from cipo.kernel.principal import SYSTEM
from cipo.kernel.slo import measure
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Registry, slug
from cipo.org import chart as charts
from cipo.org import model

GROUP = "org.cipo"
LOOK_EVERY = timedelta(minutes=5)
unit = Declared("kernel/org", group=GROUP)
OWNER = "Part of the chart whose row this is."


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


class KpiIndicator(Model):
    """How facts become the number."""

    method: Literal["ratio", "percentile", "mean", "count", "count_per_day", "sum", "min", "max"] = field(
        help="How the facts are put together."
    )
    fact: str = field(length=80, help="The fact it reads.")
    p: float | None = field(None, min=0, max=100, help="Which percentile.")
    where: dict[str, Any] = field(dict, help="Attributes the facts must have.")
    unit: str = field(length=16, help="Unit of measure of the number.")


class KpiObjective(Model):
    """What is promised."""

    min: float | None = field(None, help="At least.")
    max: float | None = field(None, help="At most.")
    exclusive: bool = field(False, help="Whether the limit itself no longer counts.")
    text: str = field("", length=40, help="The same in signs.")


class KpiCoverage(Model):
    """How much must have been looked at."""

    kind: str = field(length=80, help="Of which kind.")
    min: float = field(min=0, max=1, help="Which share.")


class KpiSpec(Model):
    """A promise of the chart."""

    owner: str = field(length=40, help=OWNER)
    text: str = field(length=400, help="The promise in the chart's words.")
    squad: str = field(length=40, help="The squad that promised.")
    unit: str = field(length=40, help="The unit whose facts measure it.")
    formula: str = field(length=400, help="How it is measured, in words.")
    window_s: float = field(min=1, help="The rolling window in seconds.")
    window: str = field(length=16, help="The rolling window as the chart writes it.")
    indicator: KpiIndicator = field(help="How facts become the number.")
    objective: KpiObjective = field(help="What is promised.")
    coverage: KpiCoverage | None = field(None, help="How much must have been looked at before it says anything.")
    min_samples: int = field(1, min=1, help="How many facts it needs.")
    origin: Literal["seed", "derived"] = field(help="Whether the chart itself says so.")


class KpiStatus(Status):
    """What the facts say."""

    state: Literal["met", "missed", "unknown"] = field("unknown", help="Whether the promise is kept.")
    value: float | None = field(None, help="The number; absent without facts.")
    reason: str = field("not measured yet", length=400, help="Why it is unknown.")
    n: int = field(0, help="How many facts it stands on.")
    coverage: float | None = field(None, help="Which share was looked at (0-1).")
    changed_at: str | None = field(None, help="When state or value last changed (UTC).")


@unit.kind(
    short="kp",
    plural="kpis",
    columns=[
        Column("Promise", "spec.text"),
        Column("Unit", "spec.unit"),
        Column("State", "status.state"),
        Column("Value", "status.value", "number"),
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


def question(kpi: Kpi, registry: Registry) -> measure.Question:
    """What a KPI asks of its facts."""
    spec = kpi.spec
    return measure.Question(
        name=kpi.name,
        method=spec.indicator.method,
        fact=spec.indicator.fact,
        window=timedelta(seconds=spec.window_s),
        min=spec.objective.min,
        max=spec.objective.max,
        exclusive=spec.objective.exclusive,
        p=spec.indicator.p,
        where=spec.indicator.where,
        coverage_kind=spec.coverage.kind if spec.coverage else None,
        coverage_min=spec.coverage.min if spec.coverage else 0.0,
        min_samples=spec.min_samples,
        staffed=spec.unit in registry.units,
        unit=spec.unit,
    )


@unit.reconcile(Kpi)
async def look(kpi: Kpi, ctx: Ctx) -> Again:
    """Measure it again: a fact was written, or the window moved."""
    verdict = await measure.evaluate(ctx.db, question(kpi, ctx.registry))
    status = kpi.status
    before = (status.state, status.value)
    status.state, status.value, status.reason = verdict.state, verdict.value, verdict.reason
    status.n, status.coverage = verdict.n, verdict.coverage
    if before != (status.state, status.value):
        status.changed_at = ctx.now_iso()
    await measure.record(ctx.db, kpi.name, verdict)
    return Again(LOOK_EVERY)


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
                specs["kpis"][kpi.name] = _kpi(kpi)
    return specs


def _kpi(kpi: model.Kpi) -> dict[str, Any]:
    measured = kpi.indicator.measure
    spec: dict[str, Any] = {
        "owner": kpi.unit,
        "text": kpi.text,
        "squad": kpi.squad,
        "unit": kpi.unit,
        "formula": kpi.formula,
        "window": kpi.window,
        "windowS": kpi.span.total_seconds(),
        "indicator": {
            "method": kpi.indicator.method,
            "fact": kpi.indicator.fact,
            "where": dict(measured.where or {}),
            "unit": kpi.indicator.unit,
        },
        "objective": {"exclusive": kpi.objective.exclusive, "text": str(kpi.objective)},
        "minSamples": kpi.min_samples,
        "origin": kpi.origin,
    }
    for side in ("min", "max"):
        if getattr(kpi.objective, side) is not None:
            spec["objective"][side] = getattr(kpi.objective, side)
    if measured.p is not None:
        spec["indicator"]["p"] = measured.p
    if kpi.coverage:
        spec["coverage"] = {"kind": kpi.coverage.kind, "min": kpi.coverage.min}
    return spec


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
        resources.core.fact_watchers.setdefault(kpi.indicator.fact, []).append((Kpi.info.gk, kpi.name))
