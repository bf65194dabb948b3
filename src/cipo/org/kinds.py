"""The chart as resources: Department, Squad, Unit and Kpi of ``org.cipo/v1``, so that kubectl, the console and watches read them like anything else.

They are public to read and kept by the system: ``sync`` makes them what the chart says at each start. A ``Kpi``'s status is measured by
its reconciler, from facts alone; it looks when a fact it reads is written, and by a timer because windows move.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from cipo.kernel import Again, Column, Ctx, Kind, Model, Status, field
from cipo.kernel import Unit as Declared
from cipo.kernel.principal import SYSTEM
from cipo.kernel.slo import course, period
from cipo.kernel.slo import look as looking
from cipo.kernel.slo.objective import (
    ALWAYS,
    METHODS,
    Alerting,
    Budgeting,
    Coverage,
    Data,
    Indicator,
    Limit,
    Missing,
    Objective,
    Test,
    where,
)
from cipo.kernel.slo.standing import BudgetStanding, Standing, alike, news, standing
from cipo.kernel.slo.windows import Rolling, Window, calendar, duration
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Registry, slug
from cipo.org import chart as charts
from cipo.org import model

GROUP = "org.cipo"
REST_S = 60.0
PERIODS = 6
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

    method: Literal[METHODS] = field(help="How the facts are put together.")  # type: ignore[valid-type]  # the engine's own list
    fact: str = field(length=80, help="The fact it reads.")
    where: dict[str, Any] = field(dict, help="Attributes the facts must have: a value, a list, a glob, or a comparison.")
    good: str = field("value == 1", length=40, help="Which facts a share counts.")
    p: float | None = field(None, min=0, max=100, help="Which percentile.")
    per: str = field("", length=16, help="Unit of time of a rate.")
    end: str = field("", length=80, help="The fact that ends a duration.")
    average: bool = field(False, help="Whether a duration is the mean instead of a percentile.")
    calendar: str = field(ALWAYS, length=63, help="Whose open hours count in a duration.")
    unit: str = field(length=16, help="Unit of measure of the number.")


class KpiObjective(Model):
    """What is promised."""

    min: float | None = field(None, help="At least.")
    max: float | None = field(None, help="At most.")
    exclusive: bool = field(False, help="Whether the limit itself no longer counts.")
    target: float | None = field(None, min=0, max=1, help="Promised share of good slices, when the number itself is no share.")
    text: str = field("", length=40, help="The same in signs.")


class KpiWindow(Model):
    """Over which time: rolling, or by the calendar of a place."""

    rolling: str = field("", length=16, help="The last so long, such as 90d.")
    calendar: str = field("", length=16, help="The calendar period, such as 1Q.")
    start: str = field("", length=32, help="When the first period began, by the clock of the zone.")
    time_zone: str = field("UTC", length=64, help="Whose calendar.")


class KpiBudgeting(Model):
    """How badness is counted."""

    method: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = field("Occurrences", help="By events, or by slices of time.")
    slice: str = field("", length=16, help="How long a slice is.")
    target: float | None = field(None, min=0, max=1, help="The share that makes a slice good.")


class KpiCoverage(Model):
    """How much must have been looked at."""

    kind: str = field(length=80, help="Of which kind.")
    min: float = field(min=0, max=1, help="Which share.")


class KpiData(Model):
    """How complete the facts must be."""

    every: str = field("", length=16, help="The cadence at which facts come; empty when they come with the work.")
    missing: str = field("ignore", length=16, help="What a minute without facts counts as: ignore, bad, good or hold.")
    min_coverage: float = field(0.95, min=0, max=1, help="Which share of the minutes must have facts.")
    absent_after: str = field("", length=16, help="After how long a silence the number is unknown.")
    lateness: str = field("1h", length=16, help="How late facts may come before a period is published.")
    min_samples: int = field(1, min=1, help="How many facts it needs.")
    confidence: float | None = field(None, min=0.5, max=1, help="How sure a share must be before it is met.")
    coverage: KpiCoverage | None = field(None, help="How many of a kind must have been looked at before it says anything.")


class KpiAlerting(Model):
    """Who is told when the budget burns."""

    policy: str = field("", length=63, help="The tiers; empty for those that fit the window.")
    min_bad_events: int = field(3, min=1, help="How many bad events it takes.")
    absolute: int | None = field(None, help="This many bad events in 6 hours always warn.")


class KpiSpec(Model):
    """A promise of the chart."""

    owner: str = field(length=40, help=OWNER)
    text: str = field(length=400, help="The promise in the chart's words.")
    squad: str = field(length=40, help="The squad that promised.")
    unit: str = field(length=40, help="The unit whose facts measure it.")
    formula: str = field(length=400, help="How it is measured, in words.")
    honest: str = field("", length=400, help="Why that is an honest measure of the promise.")
    indicator: KpiIndicator = field(help="How facts become the number.")
    objective: KpiObjective = field(help="What is promised.")
    window: KpiWindow = field(help="Over which time.")
    budgeting: KpiBudgeting = field(KpiBudgeting, help="How badness is counted.")
    data: KpiData = field(KpiData, help="How complete the facts must be.")
    alerting: KpiAlerting = field(KpiAlerting, help="Who is told when the budget burns.")
    origin: Literal["seed", "derived"] = field(help="Whether the chart itself says so.")


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
    spec = kpi.spec
    data, indicator, objective = spec.data, spec.indicator, spec.objective
    least = objective.min is not None
    policy, _, hold = data.missing.partition(" ")
    return Objective(
        name=kpi.name,
        indicator=Indicator(
            indicator.method,
            indicator.fact,
            where(indicator.where),
            Test.parse(indicator.good),
            indicator.p,
            _span(indicator.per),
            indicator.end or None,
            indicator.calendar,
            indicator.unit,
            indicator.average,
        ),
        limit=Limit(
            (">" if objective.exclusive else ">=") if least else ("<" if objective.exclusive else "<="),
            float(objective.min if objective.min is not None else objective.max or 0.0),
        ),
        window=_window(spec.window),
        target=objective.target,
        budgeting=Budgeting(spec.budgeting.method, _span(spec.budgeting.slice), spec.budgeting.target),
        data=Data(
            allowed_lateness=duration(data.lateness),
            every=_span(data.every),
            missing=Missing(policy, duration(hold) if hold else timedelta(0)),  # type: ignore[arg-type]  # the chart's pattern
            min_coverage=data.min_coverage,
            min_events=data.min_samples,
            absent_after=_span(data.absent_after),
            coverage=Coverage(data.coverage.kind, data.coverage.min) if data.coverage else None,
            confidence=data.confidence,
        ),
        alerting=Alerting(spec.alerting.policy or None, spec.alerting.min_bad_events, spec.alerting.absolute),
        owner=spec.unit,
        text=spec.text,
        staffed=spec.unit in registry.units,
    )


def _span(text: str) -> timedelta | None:
    return duration(text) if text else None


def _window(window: KpiWindow) -> Window:
    if window.rolling:
        return Rolling(duration(window.rolling))
    return calendar(window.calendar, datetime.fromisoformat(window.start), window.time_zone)


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
                specs["kpis"][kpi.name] = _kpi(kpi)
    return specs


def _kpi(kpi: model.Kpi) -> dict[str, Any]:
    """A KPI of the chart as the spec of its resource."""
    read, window = kpi.indicator.measure, kpi.window
    indicator = {
        "method": kpi.indicator.method,
        "fact": read.fact,
        "where": {name: list(value) if isinstance(value, tuple) else value for name, value in (read.where or {}).items()},
        "good": read.good,
        "p": read.p,
        "per": read.per,
        "end": read.end,
        "average": read.average or None,
        "calendar": read.calendar,
        "unit": kpi.indicator.unit,
    }
    objective = {
        "min": kpi.objective.min,
        "max": kpi.objective.max,
        "exclusive": kpi.objective.exclusive,
        "target": kpi.target,
        "text": str(kpi.objective),
    }
    data = {
        "every": kpi.every,
        "missing": kpi.missing,
        "minCoverage": kpi.min_coverage,
        "absentAfter": kpi.absent_after,
        "lateness": kpi.lateness,
        "minSamples": kpi.min_samples,
        "confidence": kpi.confidence,
        "coverage": {"kind": kpi.coverage.kind, "min": kpi.coverage.min} if kpi.coverage else None,
    }
    cut = kpi.budgeting
    spec: dict[str, Any] = {
        "owner": kpi.unit,
        "text": kpi.text,
        "squad": kpi.squad,
        "unit": kpi.unit,
        "formula": kpi.formula,
        "honest": kpi.honest,
        "window": {"rolling": window}
        if isinstance(window, str)
        else {"calendar": window.calendar, "start": window.start.isoformat(), "timeZone": window.time_zone},
        "indicator": _given(indicator),
        "objective": _given(objective),
        "data": _given(data),
        "alerting": _given({"policy": kpi.alerting.policy, "minBadEvents": kpi.alerting.min_bad_events, "absolute": kpi.alerting.absolute}),
        "origin": kpi.origin,
    }
    if cut is not None:
        spec["budgeting"] = _given({"method": cut.method, "slice": cut.slice, "target": cut.target})
    return spec


def _given(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value is not None}


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
