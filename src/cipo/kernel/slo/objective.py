"""What is promised and how it is measured: the one form that a KPI of the chart, a ``ServiceLevelObjective`` and an OpenSLO document become.

Frozen and free of any store: parsers make it, the engine reads it. ``problems`` says everything that is wrong with one, at once. A
document's field paths are its parser's business; here a problem names the field of the long form (``indicator.where``, ``window`` …).
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, Literal

from cipo.kernel.slo.windows import FINE, MINUTE, QUARTER, Rolling, Window, shorthand

Method = Literal["ratio", "percentile", "mean", "min", "max", "sum", "count", "last", "rate", "duration", "durability"]
METHODS: Final[tuple[Method, ...]] = (
    "ratio", "percentile", "mean", "min", "max", "sum", "count", "last", "rate", "duration", "durability",
)  # fmt: skip
NEEDS_BUCKETS: Final = ("percentile", "duration")
Scalar = str | bool | float
Compare = Literal["==", "!=", "<", "<=", ">", ">="]
OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ALWAYS = "24x7"
"""The calendar that is always open: the default, and named on every scorecard."""
_TEST = re.compile(r"^\s*value\s*(==|!=|<=|>=|<|>)\s*(-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*$")
_ANY = datetime(2026, 1, 15, tzinfo=UTC)  # a calendar window's length, give or take
_COMPARED = re.compile(r"^(<=|>=|<|>)\s*(-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)$")


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of a fact's value: ``value == 1``."""

    op: Compare = "=="
    value: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Test:
        """From ``value <= 300``; ValueError with the remedy."""
        found = _TEST.match(text)
        if not found:
            raise ValueError(f"{text!r} is no comparison of the value; write one such as `value == 1` or `value <= 300`")
        return cls(found[1], float(found[2]))  # type: ignore[arg-type]  # the pattern allows these operators only

    def holds(self, value: float) -> bool:
        """Whether a value passes."""
        return OPERATORS[self.op](value, self.value)

    def __str__(self) -> str:
        return f"value {self.op} {short(self.value)}"


@dataclass(frozen=True, slots=True)
class Term:
    """A condition on an attribute: equal to one of ``values``, like a glob, or compared with a number."""

    attr: str
    op: Literal["in", "glob", "<", "<=", ">", ">="]
    values: tuple[Scalar, ...]

    @classmethod
    def parse(cls, attr: str, given: Any) -> Term:
        """From a YAML value: a scalar, a list, a text with ``*`` or ``?``, or a text such as ``>= 3``."""
        if isinstance(given, list | tuple):
            if not given or not all(isinstance(one, str | bool | int | float) for one in given):
                raise ValueError(f"{attr}: a list of texts, numbers or booleans, not {given!r}")
            return cls(attr, "in", tuple(_scalar(one) for one in given))
        if isinstance(given, str) and (found := _COMPARED.match(given)):
            return cls(attr, found[1], (float(found[2]),))  # type: ignore[arg-type]  # the pattern allows these operators only
        if isinstance(given, str) and set(given) & set("*?"):
            return cls(attr, "glob", (given,))
        if isinstance(given, str | bool | int | float):
            return cls(attr, "in", (_scalar(given),))
        raise ValueError(f"{attr}: write a value, a list of values, a glob or a comparison such as `>= 3`, not {given!r}")

    def plain(self) -> Any:
        """As it is written in YAML."""
        if self.op == "in":
            alone = len(self.values) == 1 and Term.parse(self.attr, self.values[0]) == self
            return self.values[0] if alone else list(self.values)
        return self.values[0] if self.op == "glob" else f"{self.op} {short(float(self.values[0]))}"


def where(given: Mapping[str, Any] | None) -> tuple[Term, ...]:
    """The conditions of a mapping, in the order of the attributes' names."""
    return tuple(Term.parse(attr, value) for attr, value in sorted((given or {}).items()))


def short(value: float) -> str:
    """A number in the shortest text that is read back as the same number."""
    text = f"{value:g}"
    return text if float(text) == value else repr(value)


def _scalar(value: Any) -> Scalar:
    return value if isinstance(value, str | bool) else float(value)


@dataclass(frozen=True, slots=True)
class Indicator:
    """Facts put together to one number.

    ``p`` is 0-100; ``per`` the unit of time of a rate; ``end`` the fact that ends a duration, of which ``average`` takes the mean.
    """

    method: Method
    fact: str
    where: tuple[Term, ...] = ()
    good: Test = Test()
    p: float | None = None
    per: timedelta | None = None
    end: str | None = None
    calendar: str = ALWAYS
    unit: str = "1"
    average: bool = False

    @property
    def facts(self) -> tuple[str, ...]:
        """Names of all facts it reads."""
        return (self.fact, self.end) if self.end else (self.fact,)

    @property
    def definition(self) -> str:
        """What its slices depend on, as canonical JSON: indicators with the same definition share their slices."""
        parts: dict[str, Any] = {"fact": self.fact}
        if self.where:
            parts["where"] = {term.attr: term.plain() for term in self.where}
        if self.good != Test():
            parts["good"] = str(self.good)
        if self.end:
            parts |= {"end": self.end, "calendar": self.calendar}
        return json.dumps(parts, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Limit:
    """What is promised of the number: at least, at most, and whether the limit itself still counts."""

    op: Literal[">=", ">", "<=", "<"]
    value: float

    def keeps(self, value: float) -> bool:
        """Whether a value keeps the promise."""
        return OPERATORS[self.op](value, self.value)

    @property
    def least(self) -> bool:
        """Whether more is better."""
        return self.op in (">=", ">")

    def __str__(self) -> str:
        return f"{ {'>=': '≥', '<=': '≤'}.get(self.op, self.op) } {self.value:g}"


@dataclass(frozen=True, slots=True)
class Budgeting:
    """How badness is counted: by events, by slices of time that fall short of ``slice_target``, or by the mean of slices' ratios."""

    method: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = "Occurrences"
    slice: timedelta | None = None
    slice_target: float | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """What a slice without facts counts as, where facts are expected at a cadence."""

    policy: Literal["ignore", "bad", "good", "hold"] = "ignore"
    hold: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which share of a kind's resources must have been a subject of the facts."""

    kind: str
    share: float


@dataclass(frozen=True, slots=True)
class Data:
    """How complete the facts must be. ``every``: the cadence at which they come; None: whenever work is done.

    ``confidence``: a share is met only when the bound of its interval at this level (Clopper-Pearson) keeps the promise too.
    """

    allowed_lateness: timedelta = timedelta(hours=1)
    every: timedelta | None = None
    missing: Missing = Missing()
    min_coverage: float = 0.95
    min_events: int = 1
    absent_after: timedelta | None = None
    coverage: Coverage | None = None
    confidence: float | None = None

    @property
    def silence(self) -> timedelta | None:
        """How long nothing may come before the number is unknown; None: for ever (work that is seldom done)."""
        if self.absent_after is not None:
            return self.absent_after
        return max(3 * self.every, timedelta(minutes=5)) if self.every else None


@dataclass(frozen=True, slots=True)
class Alerting:
    """Which tiers warn (``tiers/<policy>.yaml``), and how many bad events it takes; ``absolute``: this many in 6 hours always warn."""

    policy: str | None = None
    min_bad_events: int = 3
    absolute: int | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise, complete. ``target``: the share of good events or slices that is promised, when there is a budget."""

    name: str
    indicator: Indicator
    limit: Limit
    window: Window
    target: float | None = None
    budgeting: Budgeting = Budgeting()
    data: Data = Data()
    alerting: Alerting = Alerting()
    owner: str = ""
    text: str = ""
    staffed: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def budget_target(self) -> float | None:
        """The share that must be good (0-1, exclusive), or None when nothing may be bad or badness is not counted."""
        target = self.target
        if target is None and self.indicator.method == "ratio":
            target = self.limit.value if self.limit.least else rest(self.limit.value)
        return target if target is not None and 0 < target < 1 else None

    @property
    def matched_is_good(self) -> bool:
        """Whether facts that pass the test are the good ones: not so for ``Failed Pipelines < 2%``."""
        return self.limit.least

    @property
    def finest(self) -> int:
        """Minutes of the finest slices that a window's evaluation needs."""
        if isinstance(self.window, Rolling) and self.window.step == MINUTE:
            return MINUTE
        short = self.budgeting.slice is not None and self.budgeting.slice < timedelta(minutes=QUARTER)
        return MINUTE if short or self.data.missing.policy == "hold" else QUARTER


def rest(share: float) -> float:
    """1 − share in decimals: what 99.9 % leaves is 0.1 % and not a little more, so a budget is used up at its last event."""
    return float(1 - Decimal(str(share)))


def problems(objective: Objective, declared: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """Every (field, why) that is wrong. ``declared``: unit of measure of each declared fact; None where facts cannot be checked yet."""
    yield from _of_indicator(objective, declared)
    yield from _of_budget(objective)
    yield from _of_data(objective)


def _of_indicator(objective: Objective, declared: Mapping[str, str] | None) -> Iterator[tuple[str, str]]:
    indicator = objective.indicator
    if (indicator.method == "percentile") != (indicator.p is not None) and indicator.method != "duration":
        yield "indicator.p", "percentile needs p, and of the others only duration takes it"
    if indicator.p is not None and not 0 < indicator.p <= 100:
        yield "indicator.p", f"{indicator.p:g} must be above 0 and at most 100"
    if (indicator.method == "rate") != (indicator.per is not None):
        yield "indicator.per", "a rate needs its unit of time, such as 1d, and no other method takes one"
    if (indicator.method == "duration") != (indicator.end is not None):
        yield "indicator.end", "a duration needs the fact that ends it, and no other method takes one"
    if indicator.average and (indicator.method != "duration" or indicator.p is not None):
        yield "indicator.average", "is for a duration without p"
    if indicator.end == indicator.fact:
        yield "indicator.end", f"begins and ends with the same fact {indicator.fact!r}"
    if not math.isfinite(objective.limit.value):
        yield "objective", "the limit must be a finite number"
    if declared is None:
        return
    for name in indicator.facts:
        if name not in declared:
            yield "indicator.fact", f"no unit declares a fact {name!r}{_near(name, declared)}"
        elif indicator.method in ("percentile", "mean", "min", "max", "last") and declared[name] != indicator.unit:
            yield "indicator.unit", f"the fact {name} is in {declared[name]}, the objective in {indicator.unit}; use the same unit"


def _of_budget(objective: Objective) -> Iterator[tuple[str, str]]:
    budgeting, window, target = objective.budgeting, objective.window, objective.target
    if target is not None and not 0 < target < 1:
        yield "objective.target", f"{target:g} must lie between 0 and 1, such as 0.999"
    if objective.indicator.method == "ratio" and not 0 <= objective.limit.value <= 1:
        yield "objective", f"{objective.limit.value:g} is no share; it must lie between 0 and 1"
    if (budgeting.method == "Occurrences") != (budgeting.slice is None):
        yield "budgeting.slice", "Timeslices and RatioTimeslices need a slice, Occurrences has none"
    if (budgeting.method == "Timeslices") != (budgeting.slice_target is not None):
        yield "budgeting.target", "Timeslices needs the share that makes a slice good, and no other method takes one"
    if budgeting.slice_target is not None and not 0 < budgeting.slice_target <= 1:
        yield "budgeting.target", f"{budgeting.slice_target:g} must lie above 0 and be at most 1"
    if budgeting.slice is not None:
        seconds = budgeting.slice.total_seconds()
        if seconds % 60 or (seconds > 60 * QUARTER and seconds % (60 * QUARTER)):
            yield "budgeting.slice", "must be whole minutes, and above a quarter of an hour whole quarters"
        span = window.span if isinstance(window, Rolling) else window.bounds(_ANY)[1] - window.bounds(_ANY)[0]
        if budgeting.slice > span / 10:
            yield "budgeting.slice", f"{shorthand(budgeting.slice)} is more than a tenth of the window {window}; use a shorter slice"


def _of_data(objective: Objective) -> Iterator[tuple[str, str]]:
    window, data = objective.window, objective.data
    if isinstance(window, Rolling):
        seconds = window.span.total_seconds()
        if seconds < 60 or seconds % 60 or (window.span > FINE and seconds % (60 * QUARTER)):
            yield "window", "must be whole minutes, and above 6 hours whole quarters of an hour"
        if data.missing.policy == "hold" and window.span > timedelta(days=8):
            yield "data.missing", "hold needs the minutes, which are kept for 8 days; use ignore, bad or good with a longer window"
    if data.missing.policy != "ignore" and data.every is None:
        yield "data.missing", f"{data.missing.policy} needs the cadence of the facts in data.every"
    if data.confidence is not None and not 0.5 < data.confidence < 1:
        yield "data.confidence", f"{data.confidence:g} must lie between 0.5 and 1, such as 0.95"
    if data.confidence is not None and objective.indicator.method != "ratio":
        yield "data.confidence", "is about a share; only a ratio has one"
    if data.every is not None and data.every <= timedelta(0):
        yield "data.every", "must be longer than nothing"
    if not 0 <= data.min_coverage <= 1:
        yield "data.minCoverage", f"{data.min_coverage:g} must lie between 0 and 1"


def _near(name: str, declared: Mapping[str, str]) -> str:
    near = get_close_matches(name, list(declared), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""
