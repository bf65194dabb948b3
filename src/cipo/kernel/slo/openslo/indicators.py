"""The indicator of an SLI: where its numbers come from, and what of them is good.

``cipo-facts`` reads cipo's own facts, ``Prometheus`` (and what speaks its language) two queries with ``$window`` in their brackets. Any
other source is imported and says that it cannot be read here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from cipo.kernel.slo.document import Queries
from cipo.kernel.slo.objective import ALWAYS, METHODS, Indicator, Limit, Term, Test, rest
from cipo.kernel.slo.objective import where as conditions
from cipo.kernel.slo.openslo.part import Part
from cipo.kernel.slo.windows import duration, shorthand

FACTS: Final = "cipo-facts"
PROMETHEUS: Final = ("Prometheus", "Thanos", "Cortex")
EXACT: Final = 2.0**53  # whole numbers up to here are themselves as a double
OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class Resolved(Protocol):
    """A document that a reference names."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def part(self) -> Part:
        """Itself."""


Resolve = Callable[[Part, str, str], Resolved | None]


@dataclass(frozen=True, slots=True)
class Source:
    """An indicator as read. ``threshold``: whether its objectives compare a value; ``failures``: a raw ratio of bad events."""

    indicator: Indicator
    threshold: bool = False
    failures: bool = False
    queries: Queries | None = None
    unsupported: str = ""
    written: str = ""

    def promised(self, op: str, value: float | None, target: float) -> tuple[Indicator, Limit, float | None]:
        """(indicator, limit, target) of an objective over it."""
        if self.threshold and value is not None:
            if self.indicator.method == "ratio":
                test = Test(op, value)  # type: ignore[arg-type]  # one of the signs
                return replace(self.indicator, good=test), Limit(">=", target), None
            limit = Limit(op, value)  # type: ignore[arg-type]  # one of the signs
            return self.indicator, limit, target if target < 1 else None
        if self.failures:
            return self.indicator, Limit("<=", rest(target)), None
        return self.indicator, Limit(">=", target), None


@dataclass(frozen=True, slots=True)
class Metric:
    """A ``metricSource``: its type, its connection if it names one, and its own fields."""

    type: str
    connection: str
    spec: Part


def indicator_of(spec: Part, resolve: Resolve) -> Source | None:
    """The indicator of an SLI's spec, or None with the reasons noted."""
    spec.text("description")
    ratio, threshold = spec.part("ratioMetric"), spec.part("thresholdMetric")
    if (ratio is None) == (threshold is None):
        spec.wrong("", None, "needs exactly one of ratioMetric and thresholdMetric")
        return None
    written = json.dumps({key: spec.given[key] for key in ("ratioMetric", "thresholdMetric") if spec.has(key)}, sort_keys=True)
    if threshold is not None:
        return _threshold(threshold, resolve, written)
    assert ratio is not None
    return _raw(ratio, resolve, written) if ratio.has("raw") else _ratio(ratio, resolve, written)


def source_spec(indicator: Indicator) -> dict[str, Any]:
    """The fields of a ``cipo-facts`` source."""
    spec: dict[str, Any] = {"fact": indicator.fact}
    if indicator.where:
        spec["where"] = {term.attr: _plain(term.plain()) for term in indicator.where}
    if indicator.method != "ratio":
        spec["method"] = indicator.method
    if indicator.p is not None:
        spec["p"] = plain(indicator.p)
    if indicator.per is not None:
        spec["per"] = shorthand(indicator.per)
    if indicator.end is not None:
        spec["end"] = indicator.end
    if indicator.average:
        spec["average"] = True
    if indicator.calendar != ALWAYS:
        spec["calendar"] = indicator.calendar
    if indicator.unit != "1":
        spec["unit"] = indicator.unit
    return spec


def plain(value: float) -> float:
    """A whole number without its point."""
    return int(value) if value.is_integer() and abs(value) < EXACT else value


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return plain(value) if isinstance(value, float) else value


def _threshold(part: Part, resolve: Resolve, written: str) -> Source | None:
    metric = _metric(part, resolve)
    part.close()
    if metric is None:
        return None
    if metric.type == FACTS:
        indicator = _of_facts(metric.spec)
        return Source(indicator, threshold=True) if indicator else None
    why = "a threshold over Prometheus has no counts; write a ratio of good and total with <bool in the query of good"
    return _unsupported(metric.type, written, why if metric.type in PROMETHEUS else "", threshold=True)


def _raw(part: Part, resolve: Resolve, written: str) -> Source | None:
    kind = part.text("rawType", needed=True, among=("success", "failure"))
    inner = part.part("raw", needed=True)
    part.flag("counter")
    part.close()
    metric = _metric(inner, resolve) if inner is not None else None
    if inner is not None:
        inner.close()
    if metric is None or not kind:
        return None
    if metric.type == FACTS:
        indicator = _of_facts(metric.spec)
        return Source(replace(indicator, method="mean"), failures=kind == "failure") if indicator else None
    why = "a raw ratio over Prometheus has no counts; write good and total"
    return _unsupported(metric.type, written, why if metric.type in PROMETHEUS else "")


def _ratio(part: Part, resolve: Resolve, written: str) -> Source | None:
    good, bad, whole = part.part("good", needed=not part.has("bad")), part.part("bad"), part.part("total", needed=True)
    part.flag("counter")
    part.close()
    side, inner = ("good", good) if bad is None else ("bad", bad)
    if good is not None and bad is not None:
        part.wrong("bad", None, "stands beside good; keep one")
        inner = None
    if inner is None or whole is None:
        return None
    counted, total = _metric(inner, resolve), _metric(whole, resolve)
    for one in (inner, whole):
        one.close()
    if counted is None or total is None:
        return None
    if counted.type != total.type or counted.connection != total.connection:
        part.wrong("total", total.type, f"has another source than {side} ({counted.type}); both come from one")
        return None
    if counted.type == FACTS:
        return _ratio_of_facts(side, counted, total)
    if counted.type not in PROMETHEUS:
        return _unsupported(counted.type, written)
    return _ratio_of_queries(side, counted, total)


def _ratio_of_facts(side: str, counted: Metric, total: Metric) -> Source | None:
    test = counted.spec.parsed(side, Test.parse) or Test()
    if side == "bad":
        test = Test(OPPOSITE[test.op], test.value) if counted.spec.has(side) else Test("!=", 1.0)  # type: ignore[arg-type]
    mine, all_ = _of_facts(counted.spec), _of_facts(total.spec)
    if mine is None or all_ is None:
        return None
    if mine != all_:
        why = f"must read the same facts as {side}; say which of them are {side} with `{side}: value == 1` there"
        total.spec.wrong("", None, why)
        return None
    return Source(replace(mine, good=test))


def _ratio_of_queries(side: str, counted: Metric, total: Metric) -> Source | None:
    query, whole = (metric.spec.text("query", needed=True) for metric in (counted, total))
    for metric in (counted, total):
        metric.spec.close()
    if not query or not whole:
        return None
    if query == whole:
        total.spec.wrong("query", whole, f"is the query of {side} too; one of them must count all events, the other the {side} ones")
        return None
    queries = Queries(whole, **{side: query}, connection=counted.connection)
    return Source(Indicator("ratio", ""), queries=queries)


def _metric(part: Part, resolve: Resolve) -> Metric | None:
    source = part.part("metricSource", needed=True)
    if source is None:
        return None
    kind, connection = source.text("type"), ""
    found = resolve(source, "metricSourceRef", "DataSource")
    if found is not None:
        body = Part(found.part.given.get("spec"), "spec", found.part.document, found.part.told)
        declared = body.text("type")
        if kind and declared and kind != declared:
            source.wrong("type", kind, f"the DataSource {found.name} is of type {declared}; keep one")
        kind = declared or kind
        url = (body.given.get("connectionDetails") or {}).get("url")
        connection = url if isinstance(url, str) else found.name
    spec = source.part("spec", needed=True)
    source.close()
    if not kind and not source.has("metricSourceRef"):
        source.wrong("type", None, f"is missing; write {FACTS}, {', '.join(PROMETHEUS)}, or name a DataSource in metricSourceRef")
    return Metric(kind, connection, spec) if kind and spec is not None else None


def _of_facts(spec: Part) -> Indicator | None:
    before = len(spec.told)
    method = spec.text("method", among=METHODS) or "ratio"
    terms: tuple[Term, ...] = ()
    given = spec.plain("where")
    try:
        terms = conditions(given)
    except ValueError as error:
        spec.wrong("where", None, str(error))
    found = Indicator(
        method,  # type: ignore[arg-type]  # one of METHODS
        spec.text("fact", needed=True),
        terms,
        p=spec.number("p"),
        per=spec.parsed("per", duration),
        end=spec.text("end") or None,
        calendar=spec.text("calendar") or ALWAYS,
        unit=spec.text("unit") or "1",
        average=spec.flag("average"),
    )
    spec.close()
    return found if len(spec.told) == before else None


def _unsupported(kind: str, written: str, why: str = "", *, threshold: bool = False) -> Source:
    readable = f"those are {FACTS}, {', '.join(PROMETHEUS)}"
    told = f"SourceUnsupported: {why}" if why else f"SourceUnsupported: a source of type {kind} cannot be read here; {readable}"
    return Source(Indicator("ratio", ""), threshold=threshold, unsupported=told, written=written)
