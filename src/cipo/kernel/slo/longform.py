"""The long form of an SLO: what ``ServiceLevelObjective`` has as its spec, and a test file beside its facts.

``document`` makes the one internal form of it, ``spec`` is the way back; everything that is wrong comes with the field of the long form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as made
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from cipo.kernel.slo.budget import POLICIES, policy, unreachable
from cipo.kernel.slo.document import Document, Goal, Queries
from cipo.kernel.slo.longform_spec import (
    AlertingSpec,
    BudgetingSpec,
    CoverageSpec,
    DataSpec,
    IndicatorSpec,
    LongForm,
    ObjectiveSpec,
    SourceSpec,
    WindowSpec,
)
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
    rest,
    where,
)
from cipo.kernel.slo.openslo.said import span, span_text
from cipo.kernel.slo.windows import Calendar, Rolling, Window, calendar, duration, shorthand

T = TypeVar("T")
SIGNS: Mapping[str, Literal[">=", ">", "<=", "<"]] = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
WORDS = {sign: word for word, sign in SIGNS.items()}
Problem = tuple[str, str]


class NoForm(ValueError):
    """A document that the long form cannot say."""


@dataclass
class Reader:
    """Collects problems while fields are read."""

    told: list[Problem] = made(default_factory=list)

    def value(self, at: str, parse: Callable[[], T], default: T) -> T:
        """What ``parse`` gives; its ValueError becomes a problem of the field."""
        try:
            return parse()
        except ValueError as error:
            self.told.append((at, str(error)))
            return default


def document(
    name: str, given: LongForm, declared: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None
) -> tuple[Document, list[Problem]]:
    """The SLO, with everything that is wrong as (field, why). ``declared``: unit of measure of each declared fact, where known."""
    reader = Reader()
    promises = [given.objective] if given.objective is not None else list(given.objectives)
    at = ["objective"] if given.objective is not None else [f"objectives[{n}]" for n in range(len(promises))]
    if (given.objective is None) == (not given.objectives):
        reader.told.append(("objective", "write exactly one of objective and objectives"))
    indicator = _indicator(given, reader)
    window, data = _window(given.window, reader), _data(given.data, reader)
    alerting = Alerting(given.alerting.policy, given.alerting.min_bad_events, given.alerting.absolute)
    if alerting.policy is not None and alerting.policy not in POLICIES:
        reader.told.append(("alerting.policy", f"there is no alert policy {alerting.policy!r}; those are {', '.join(POLICIES)}"))
        alerting = Alerting(None, alerting.min_bad_events, alerting.absolute)
    goals = []
    for number, promise in enumerate(promises):
        own = promise.name or (name if len(promises) == 1 else f"{name}-{number + 1}")
        objective = _objective(own, given, promise, indicator, window, data, alerting, reader, at[number])
        goals.append(Goal(Objective(**objective, labels=dict(labels or {})), promise.title, promise.weight))
        reader.told += _against(goals[-1].objective, at[number], given, declared)
    queries, unsupported = _source(given, reader)
    if queries is not None:
        reader.told += _of_prometheus(goals, at)
    found = Document(
        name, given.service, tuple(goals), queries, given.title, given.description, given.indicator.name, given.indicator.title,
        tuple(given.alert_policies), unsupported, given.indicator.source.written, dict(labels or {}),
    )  # fmt: skip
    return found, list(dict.fromkeys(reader.told))


def _of_prometheus(goals: list[Goal], at: list[str]) -> list[Problem]:
    """What Prometheus does not answer: its counts are of good and all, and a gap in them is no minute without facts."""
    told: list[Problem] = [
        (f"{where}.op", "a share that Prometheus counts is promised with gte or gt; turn good and bad around")
        for goal, where in zip(goals, at, strict=True)
        if not goal.objective.limit.least
    ]
    if goals[0].objective.data.every is not None:
        told.append(("data.every", "facts have a cadence, a Prometheus has its scrape interval; leave it out"))
    return told


def spec(document: Document) -> LongForm:
    """The long form of an SLO; NoForm where its objectives have nothing in common but the service."""
    first = document.goals[0].objective
    for goal in document.goals[1:]:
        one = goal.objective
        if (one.indicator.definition.split('"good"')[0], one.indicator.method, one.window, one.data, one.alerting, one.owner) != (
            first.indicator.definition.split('"good"')[0], first.indicator.method, first.window, first.data, first.alerting, first.owner,
        ):  # fmt: skip
            raise NoForm(f"the objectives of {document.name} differ in more than what they promise; write an SLO for each")
    promises = [_promise(document, goal) for goal in document.goals]
    budgeting = first.budgeting
    return LongForm(
        service=document.service,
        owner=first.owner,
        description=document.description,
        title=document.display_name,
        indicator=_indicator_spec(document),
        budgeting=BudgetingSpec(method=budgeting.method, slice=_text(budgeting.slice), target=budgeting.slice_target),
        objective=promises[0] if len(promises) == 1 else None,
        objectives=promises if len(promises) > 1 else [],
        window=_window_spec(first.window),
        data=_data_spec(first.data),
        alerting=AlertingSpec(policy=first.alerting.policy, min_bad_events=first.alerting.min_bad_events, absolute=first.alerting.absolute),
        alert_policies=list(document.alert_policies),
    )


# Long form in ---------------------------------------------------------------------------------------------------


def _indicator(given: LongForm, reader: Reader) -> Indicator:
    one = given.indicator
    return Indicator(
        one.type,
        one.source.facts,
        reader.value("indicator.where", lambda: where(one.where), ()),
        reader.value("indicator.good", lambda: Test.parse(one.good), Test()),
        one.p,
        reader.value("indicator.per", lambda: span(str(one.per)), None) if one.per else None,
        one.end,
        one.calendar,
        one.unit,
        one.average,
    )


def _objective(
    name: str, given: LongForm, promise: ObjectiveSpec, indicator: Indicator, window: Window, data: Data, alerting: Alerting,
    reader: Reader, at: str,
) -> dict[str, Any]:  # fmt: skip
    ratio = indicator.method == "ratio"
    if promise.good is not None:
        good = promise.good
        test = reader.value(f"{at}.good", lambda: Test.parse(good), indicator.good)
        indicator = replace(indicator, good=test)
    if ratio and promise.value is not None:
        reader.told.append((f"{at}.value", "a ratio promises a share; write it as target"))
    if not ratio and promise.value is None:
        reader.told.append((f"{at}.value", f"is missing; of a {indicator.method} the number itself is promised"))
    if promise.unit is not None and promise.unit != indicator.unit:
        reader.told.append((f"{at}.unit", f"the indicator is in {indicator.unit}, the objective in {promise.unit}; use the same unit"))
    if not 0 < promise.target < 1 and not (not ratio and promise.target == 1):
        reader.told.append((f"{at}.target", f"{promise.target:g} must lie between 0 and 1, such as 0.999"))
    if promise.weight <= 0:
        reader.told.append((f"{at}.weight", "must be above 0"))
    sign = SIGNS[promise.op]
    limit = Limit(sign, promise.target if sign in (">=", ">") else rest(promise.target)) if ratio else Limit(sign, promise.value or 0.0)
    size = promise.slice or given.budgeting.slice
    target = promise.slice_target if promise.slice_target is not None else given.budgeting.target
    cut = reader.value("budgeting.slice", lambda: span(size), None) if size else None
    return {
        "name": name,
        "indicator": indicator,
        "limit": limit,
        "window": window,
        "target": promise.target if 0 < promise.target < 1 and (not ratio or sign not in (">=", ">")) else None,
        "budgeting": Budgeting(given.budgeting.method, cut, target),
        "data": data,
        "alerting": alerting,
        "owner": given.owner,
        "text": promise.text,
    }


def _window(given: WindowSpec, reader: Reader) -> Window:
    fallback: Window = Rolling(timedelta(days=30))
    if (given.rolling is None) == (given.calendar is None):
        reader.told.append(("window", "write exactly one of rolling and calendar"))
        return fallback
    if given.rolling is not None:
        rolling = given.rolling
        return reader.value("window.rolling", lambda: Rolling(duration(rolling)), fallback)
    text, start = given.calendar or "", given.start or "2020-01-01"
    return reader.value("window.calendar", lambda: calendar(text, datetime.fromisoformat(start), given.time_zone), fallback)


def _data(given: DataSpec, reader: Reader) -> Data:
    def time(name: str, text: str | None) -> timedelta | None:
        return reader.value(f"data.{name}", lambda: span(text), None) if text else None

    if (given.missing == "hold") != (given.hold is not None):
        reader.told.append(("data.hold", "hold needs for how long, and the other policies take no time"))
    return Data(
        time("allowedLateness", given.allowed_lateness) or timedelta(0),
        time("every", given.every),
        Missing(given.missing, time("hold", given.hold) or timedelta(0)),
        given.min_coverage,
        given.min_events,
        time("absentAfter", given.absent_after),
        Coverage(given.coverage.kind, given.coverage.share) if given.coverage else None,
        given.confidence,
    )


def _source(given: LongForm, reader: Reader) -> tuple[Queries | None, str]:
    source = given.indicator.source
    queries = bool(source.total or source.good or source.bad)
    if source.unsupported:
        return None, source.unsupported
    if bool(source.facts) == (queries or bool(source.prometheus)):
        reader.told.append(("indicator.source", "write exactly one of facts and prometheus, the latter with total and good or bad"))
        return None, ""
    if source.facts:
        return None, ""
    if bool(source.good) == bool(source.bad) or not source.total:
        reader.told.append(("indicator.source", "a Prometheus source needs total and exactly one of good and bad"))
    if given.indicator.type != "ratio":
        reader.told.append(("indicator.type", "only a ratio can be read from a Prometheus; write good and total"))
    if source.total and source.total in (source.good, source.bad):
        reader.told.append(("indicator.source.total", "is the query of good or bad too; one of them must count all events"))
    for side in ("good", "bad", "total"):
        query = getattr(source, side)
        if query and not _windowed(query):
            reader.told.append((f"indicator.source.{side}", "holds no $window in its brackets, such as increase(x[$window])"))
    return Queries(source.total, source.good or None, source.bad or None, source.prometheus), ""


def _windowed(query: str) -> bool:
    """Whether ``$window`` stands in brackets, and nowhere else."""
    inside = query.split("[")
    return "$window" in query and all("$window" not in part.partition("]")[2] for part in inside[1:]) and "$window" not in inside[0]


PLACES = {"objective": "{at}", "objective.target": "{at}.target", "indicator.fact": "indicator.source.facts"}


def _against(objective: Objective, at: str, given: LongForm, declared: Mapping[str, str] | None) -> list[Problem]:
    """What the engine has against an objective; a source that is not facts has none of them to be checked."""
    facts = bool(given.indicator.source.facts)
    told = [(PLACES.get(place, place).format(at=at), why) for place, why in problems(objective, declared if facts else None)]
    told = [problem for problem in told if problem[0] != at or "no share" not in problem[1]]  # told as the target already
    target = objective.budget_target
    if target is not None and objective.alerting.policy is not None:
        told += [(f"{at}.target", why) for tier in policy(objective.alerting.policy) if (why := unreachable(tier, target))]
    return told


# Long form out --------------------------------------------------------------------------------------------------


def _indicator_spec(document: Document) -> IndicatorSpec:
    one, queries = document.goals[0].objective.indicator, document.queries
    source = SourceSpec(facts=one.fact, unsupported=document.unsupported, written=document.source)
    if queries is not None:
        source = SourceSpec(prometheus=queries.connection, good=queries.good or "", bad=queries.bad or "", total=queries.total)
    return IndicatorSpec(
        source=source,
        where={term.attr: term.plain() for term in one.where},
        type=one.method,
        good=str(one.good),
        p=one.p,
        per=_text(one.per),
        end=one.end,
        average=one.average,
        calendar=one.calendar,
        unit=one.unit,
        name=document.indicator_name,
        title=document.indicator_title,
    )


def _promise(document: Document, goal: Goal) -> ObjectiveSpec:
    objective, first = goal.objective, document.goals[0].objective
    ratio = objective.indicator.method == "ratio"
    default = document.name if len(document.goals) == 1 else f"{document.name}-{document.goals.index(goal) + 1}"
    share = objective.limit.value if objective.limit.least else rest(objective.limit.value)
    target = objective.target if objective.target is not None else share if ratio else 1.0
    budgeting = objective.budgeting
    return ObjectiveSpec(
        op=WORDS[objective.limit.op],
        value=None if ratio else objective.limit.value,
        target=target,
        good=str(objective.indicator.good) if objective.indicator.good != first.indicator.good else None,
        name=objective.name if objective.name != default else "",
        title=goal.display_name,
        text=objective.text,
        weight=goal.weight,
        slice=_text(budgeting.slice) if budgeting.slice != first.budgeting.slice else None,
        slice_target=budgeting.slice_target if budgeting.slice_target != first.budgeting.slice_target else None,
    )


def _window_spec(window: Window) -> WindowSpec:
    if isinstance(window, Calendar):
        return WindowSpec(calendar=f"{window.count}{window.unit}", start=window.start.isoformat(), time_zone=window.zone)
    return WindowSpec(rolling=shorthand(window.span))


def _data_spec(data: Data) -> DataSpec:
    return DataSpec(
        allowed_lateness=span_text(data.allowed_lateness),
        every=_text(data.every),
        missing=data.missing.policy,
        hold=_text(data.missing.hold) if data.missing.policy == "hold" else None,
        min_coverage=data.min_coverage,
        min_events=data.min_events,
        absent_after=_text(data.absent_after),
        coverage=CoverageSpec(kind=data.coverage.kind, share=data.coverage.share) if data.coverage else None,
        confidence=data.confidence,
    )


def _text(value: timedelta | None) -> str | None:
    return None if value is None else span_text(value)
