"""The long form of a KPI: what its resource says, made of the chart's row, and read as the engine's objective.

The chart's file is short on purpose; this is the one place that knows both shapes. The kinds, the checks of the chart and the console all
come here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from cipo.kernel.models import Model, field
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
from cipo.kernel.slo.windows import Rolling, Window, calendar, duration
from cipo.org.model import Kpi

OWNER = "Part of the chart whose row this is."


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


def spec_of(kpi: Kpi) -> dict[str, Any]:
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


def objective_of(name: str, spec: KpiSpec, *, staffed: bool = True) -> Objective:
    """A KPI as the engine's objective."""
    data, indicator, objective = spec.data, spec.indicator, spec.objective
    least = objective.min is not None
    policy, _, hold = data.missing.partition(" ")
    return Objective(
        name=name,
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
        staffed=staffed,
    )


def _span(text: str) -> timedelta | None:
    return duration(text) if text else None


def _window(window: KpiWindow) -> Window:
    if window.rolling:
        return Rolling(duration(window.rolling))
    return calendar(window.calendar, datetime.fromisoformat(window.start), window.time_zone)
