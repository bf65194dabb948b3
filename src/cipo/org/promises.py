"""What is wrong with a promise of the chart, by the path in its file: ``linking`` asks when the chart is loaded, ``check`` when facts are
known too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cipo.kernel.slo import budget
from cipo.kernel.slo.objective import Objective, problems
from cipo.org.kpi_spec import KpiSpec, objective_of, spec_of
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


def promised(kpi: Kpi) -> Objective:
    """The promise as the engine reads it."""
    return objective_of(kpi.name, KpiSpec.model_validate(spec_of(kpi)))


def places(department: Department) -> Iterator[tuple[Kpi, str]]:
    """Each KPI of a department with its path in the department's file."""
    for s, squad in enumerate(department.squads):
        for k, kpi in enumerate(squad.kpis):
            yield kpi, f"squads[{s}].kpis[{k}]"


def wrong(kpi: Kpi, declared: Mapping[str, str] | None = None) -> Iterator[tuple[str, str, str]]:
    """(path below the KPI, value, why and what would be right). ``declared``: unit of measure of each fact, where facts are known."""
    for field, why in problems(promised(kpi), declared):
        path = PLACES.get(field, field).format(kpi.indicator.method)
        yield path, _value(kpi, path), why
    policy = kpi.alerting.policy
    if policy is not None and policy not in budget.POLICIES:
        yield "alerting.policy", policy, f"is no alert policy; those are {', '.join(budget.POLICIES)}"


def mute(kpi: Kpi) -> Iterator[str]:
    """Tiers of a policy that the KPI names and that can never fire at its target."""
    objective = promised(kpi)
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
