"""A KPI of the chart as the engine's objective, and what is wrong with it, by the path in its file.

``linking`` asks when the chart is loaded, ``check`` when facts are known too. The resource of a KPI is read by ``kinds.promise``; a test holds
the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cipo.kernel.slo import budget
from cipo.kernel.slo.objective import (
    Alerting,
    Budgeting,
    Coverage,
    Data,
    Indicator,
    Limit,
    Missing,
    Objective,
    Test,
    problems,
    where,
)
from cipo.kernel.slo.windows import Rolling, Window, calendar, duration
from cipo.org.model import Department, Kpi

# The engine names a field of its long form; here is where the chart's file has it. ``{}`` is the indicator's method.
PLACES: Mapping[str, str] = {
    "indicator.fact": "indicator.{}.fact",
    "indicator.unit": "indicator.unit",
    "indicator.p": "indicator.{}.p",
    "indicator.per": "indicator.{}.per",
    "indicator.end": "indicator.{}.end",
    "indicator.average": "indicator.{}.average",
    "objective.target": "target",
    "data.missing": "missing",
    "data.every": "every",
    "data.minCoverage": "min_coverage",
    "data.confidence": "confidence",
}


def objective_of(kpi: Kpi, *, staffed: bool = True) -> Objective:
    """The promise as the engine reads it."""
    measure, objective, cut = kpi.indicator.measure, kpi.objective, kpi.budgeting
    policy, _, hold = kpi.missing.partition(" ")
    indicator = Indicator(
        kpi.indicator.method,  # type: ignore[arg-type]  # the model has these methods only
        measure.fact,
        where(measure.where),
        Test.parse(measure.good) if measure.good else Test(),
        measure.p,
        duration(measure.per) if measure.per else None,
        measure.end,
        measure.calendar,
        kpi.indicator.unit,
        measure.average,
    )
    data = Data(
        allowed_lateness=duration(kpi.lateness),
        every=duration(kpi.every) if kpi.every else None,
        missing=Missing(policy, *([duration(hold)] if hold else [])),  # type: ignore[arg-type]  # the model's pattern
        min_coverage=kpi.min_coverage,
        min_events=kpi.min_samples,
        absent_after=duration(kpi.absent_after) if kpi.absent_after else None,
        coverage=Coverage(kpi.coverage.kind, kpi.coverage.min) if kpi.coverage else None,
        confidence=kpi.confidence,
    )
    return Objective(
        kpi.name,
        indicator,
        Limit(
            (">" if objective.exclusive else ">=") if objective.min is not None else ("<" if objective.exclusive else "<="), objective.limit
        ),
        _window(kpi),
        target=kpi.target,
        budgeting=Budgeting(cut.method, duration(cut.slice), cut.target) if cut else Budgeting(),
        data=data,
        alerting=Alerting(kpi.alerting.policy, kpi.alerting.min_bad_events, kpi.alerting.absolute),
        owner=kpi.unit,
        text=kpi.text,
        staffed=staffed,
    )


def _window(kpi: Kpi) -> Window:
    window = kpi.window
    return Rolling(duration(window)) if isinstance(window, str) else calendar(window.calendar, window.start, window.time_zone)


def places(department: Department) -> Iterator[tuple[Kpi, str]]:
    """Each KPI of a department with its path in the department's file."""
    for s, squad in enumerate(department.squads):
        for k, kpi in enumerate(squad.kpis):
            yield kpi, f"squads[{s}].kpis[{k}]"


def wrong(kpi: Kpi, declared: Mapping[str, str] | None = None) -> Iterator[tuple[str, str, str]]:
    """(path below the KPI, value, why and what would be right). ``declared``: unit of measure of each fact, where facts are known."""
    for field, why in problems(objective_of(kpi), declared):
        path = PLACES.get(field, field).format(kpi.indicator.method)
        yield path, _value(kpi, path), why
    policy = kpi.alerting.policy
    if policy is not None and policy not in budget.POLICIES:
        yield "alerting.policy", policy, f"is no alert policy; those are {', '.join(budget.POLICIES)}"


def mute(kpi: Kpi) -> Iterator[str]:
    """Tiers of a policy that the KPI names and that can never fire at its target."""
    objective = objective_of(kpi)
    target, policy = objective.budget_target, kpi.alerting.policy
    if policy in budget.POLICIES and target is None:
        yield f"names the alert policy {policy}, but promises no share, so nothing burns"
    elif policy in budget.POLICIES and target is not None:
        yield from (why for tier in budget.policy(policy) if (why := budget.unreachable(tier, target)))


def _value(kpi: Kpi, path: str) -> str:
    """What stands at a path, for the message."""
    found: object = kpi
    for part in path.split("."):
        found = getattr(found, part, None)
    return str(found) if found is not None else ""
