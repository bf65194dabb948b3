"""From slices to a verdict: met, missed or unknown, and why; with the budget and what it means.

Pure: ``gather`` reads the store into ``Inputs``, ``judge`` says what they mean. Unknown is never green: no facts, too few, too little of
what should have been looked at, or facts that stopped arriving. No number leaves here that is not one: 0/0 is None with a reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from cipo.kernel.slo import budget as budgets
from cipo.kernel.slo.buckets import Bucket, bucket_of, percentile
from cipo.kernel.slo.budget import Alert, Budget, BudgetState, Count
from cipo.kernel.slo.durability import nines
from cipo.kernel.slo.objective import Indicator, Objective
from cipo.kernel.slo.proof import bounds
from cipo.kernel.slo.slices import Totals
from cipo.kernel.slo.windows import FINE, MINUTE, Rolling, Span, floor, words

State = Literal["met", "missed", "unknown"]
DAYS_A_YEAR = 365.25
NOTHING = Count(0, 0)


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a verdict rests on. ``of_slices``: (good, total) of the budget's slices; ``counts``: bad and all of each look-back window.

    ``others``: facts of the name that the conditions leave out, counted when nothing passes them. ``no_hours``: why the business calendar cannot
    say how long something took, when it cannot.
    """

    window: Span
    totals: Totals | None
    histogram: Counter[Bucket] = field(default_factory=Counter)
    open_ages: tuple[float, ...] = ()
    since: datetime | None = None
    subjects: tuple[int, int] | None = None
    of_slices: tuple[tuple[float, float], ...] = ()
    counts: Mapping[timedelta, Count] = field(default_factory=dict)
    expected_total: float | None = None
    held: Count = NOTHING
    others: int = 0
    no_hours: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: the number (None without facts), the state, the reason in words, how many facts, their coverage (0-1), the budget."""

    value: float | None
    state: State
    reason: str
    n: int
    coverage: float | None = None
    window: Span | None = None
    weight: int = 0
    good: int = 0
    budget: Budget | None = None


def number(
    indicator: Indicator, totals: Totals | None, histogram: Counter[Bucket], span: timedelta, extra: Sequence[float] = ()
) -> float | None:
    """The indicator's number over totals and histogram; ``extra``: values that are not in them (what is open and late already)."""
    if indicator.average:
        whole = (totals.total if totals else 0) + sum(Decimal(value) for value in extra)
        weight = (totals.weight if totals else 0) + len(extra)
        return float(whole / weight) if weight else None
    if indicator.method in ("percentile", "duration"):
        low = min([*([totals.low] if totals else []), *extra], default=0.0)
        high = max([*([totals.high] if totals else []), *extra], default=0.0)
        counted = histogram + Counter(bucket_of(value) for value in extra) if extra else histogram
        return percentile(counted, indicator.p if indicator.p is not None else 95.0, low, high)
    return ANSWERS[indicator.method](totals, indicator, span) if totals is not None and totals.weight else None


# A durability fact's value is how many objects were lost, its weight the object-days they were at risk.
ANSWERS: Mapping[str, Callable[[Totals, Indicator, timedelta], float | None]] = {
    "ratio": lambda totals, _, __: totals.good / totals.weight,
    "mean": lambda totals, _, __: float(totals.total / totals.weight),
    "sum": lambda totals, _, __: float(totals.total),
    "count": lambda totals, _, __: float(totals.weight),
    "rate": lambda totals, indicator, span: totals.weight / (span / (indicator.per or span)),
    "min": lambda totals, _, __: totals.low,
    "max": lambda totals, _, __: totals.high,
    "last": lambda totals, _, __: totals.last,
    "durability": lambda totals, _, __: nines(int(totals.total), totals.weight / DAYS_A_YEAR),
}


def judge(
    objective: Objective, inputs: Inputs, now: datetime, *, state_before: BudgetState = "Unknown", alerts_before: Iterable[Alert] = ()
) -> Verdict:
    """The verdict on what was found."""
    totals, (start, end) = inputs.totals, inputs.window
    late = tuple(age for age in inputs.open_ages if not objective.limit.keeps(age))
    n = (totals.n if totals else 0) + len(late)
    totals = _with_missing(objective, inputs, now)
    bad_of = _budget_count(objective, inputs, totals)
    value = _sliced(objective, bad_of)
    if value is None:
        value = number(objective.indicator, totals, inputs.histogram, _elapsed(objective, inputs.window, now), late)
    coverage = _coverage(objective, inputs, now)
    state, reason = _state(objective, inputs, now, n, value, coverage)
    if inputs.no_hours:
        value, state, reason = None, "unknown", inputs.no_hours
    known = state != "unknown"
    spent = budgets.spend(
        objective,
        bad_of,
        inputs.counts,
        now=now,
        expected_total=inputs.expected_total,
        state_before=state_before,
        alerts_before=alerts_before,
        known=known,
    )
    return Verdict(value, state, reason, n, coverage, (start, end), totals.weight if totals else 0, totals.good if totals else 0, spent)


def _sliced(objective: Objective, found: Count) -> float | None:
    """A share that is promised of slices of time is a share of slices, not of events; None where events are counted."""
    ratio = found.ratio()
    if objective.budgeting.method == "Occurrences" or objective.indicator.method != "ratio" or ratio is None:
        return None
    return 1 - ratio if objective.matched_is_good else ratio


def _state(objective: Objective, inputs: Inputs, now: datetime, n: int, value: float | None, coverage: float | None) -> tuple[State, str]:
    data = objective.data
    if not n or value is None:
        return "unknown", _nothing(objective, inputs)
    silence, last = data.silence, inputs.totals.last_at if inputs.totals else None
    if silence is not None and last is not None and now - last > silence:
        return "unknown", f"no facts since {last:%Y-%m-%d %H:%M} UTC; {_cadence(objective)}"
    if n < data.min_events:
        return "unknown", f"measuring ({n:,} of {data.min_events:,} facts)"
    met = objective.limit.keeps(value)
    floor_of = data.coverage.share if data.coverage else data.min_coverage
    if coverage is not None and coverage < floor_of and (met or not _missed_anyway(objective, value, coverage)):
        return "unknown", f"only {coverage:.1%} was looked at; {floor_of:.0%} is needed to say"
    doubt = _doubt(objective, inputs.totals) if met else ""
    return ("unknown", doubt) if doubt else (("met" if met else "missed"), "")


def _doubt(objective: Objective, totals: Totals | None) -> str:
    """Why a share that keeps the promise is not proven to, when it must be."""
    confidence = objective.data.confidence
    if confidence is None or totals is None:
        return ""
    bound = bounds(totals.good, totals.weight, confidence)[0 if objective.limit.least else 1]
    kept = objective.limit.keeps(bound)
    return "" if kept else f"not proven: {totals.weight:,} facts allow {bound:.3%} ({confidence:.0%} confidence)"


def _nothing(objective: Objective, inputs: Inputs) -> str:
    """Why there is no number: nothing was measured, or the conditions let nothing pass."""
    if inputs.others:
        asked = ", ".join(f"{term.attr} {term.plain()}" for term in objective.indicator.where)
        return f"no facts with {asked} in {_window_words(objective)}, but {inputs.others:,} with other attributes; check the conditions"
    return f"no facts in {_window_words(objective)}" if objective.staffed else f"no facts yet: {objective.owner} not staffed"


def _window_words(objective: Objective) -> str:
    window = objective.window
    return f"the last {words(window.span)}" if isinstance(window, Rolling) else f"this period of {window}"


def _cadence(objective: Objective) -> str:
    every = objective.data.every
    seconds = every.total_seconds() if every else 0
    return (
        f"one is expected every {seconds:g} s"
        if 0 < seconds < 60
        else f"one is expected every {words(every)}"
        if every
        else "they stopped arriving"
    )


def _missed_anyway(objective: Objective, value: float, coverage: float) -> bool:
    """A share is missed for sure when it would be even if all that nobody looked at were good."""
    if objective.indicator.method != "ratio":
        return False
    best = value * coverage + (1 - coverage) * (1 if objective.limit.least else 0)
    return not objective.limit.keeps(best)


def _elapsed(objective: Objective, window: Span, now: datetime) -> timedelta:
    """How long the window has run: a rolling one always wholly, a calendar period up to now."""
    start, end = window
    return end - start if isinstance(objective.window, Rolling) else min(end, floor(now, MINUTE) + timedelta(minutes=1)) - start


def _expected_minutes(objective: Objective, inputs: Inputs, now: datetime) -> int:
    """Minutes in which a fact was due, from the first one ever."""
    start, end = inputs.window
    begin = max(start, floor(inputs.since, MINUTE)) if inputs.since else start
    until = min(end, floor(now, MINUTE) + timedelta(minutes=1))
    every = objective.data.every or timedelta(minutes=1)
    return int(max(until - begin, timedelta(0)) / max(every, timedelta(minutes=1)))


def _coverage(objective: Objective, inputs: Inputs, now: datetime) -> float | None:
    if inputs.subjects is not None:
        seen, there = inputs.subjects
        return 1.0 if not there else min(1.0, seen / there)
    if objective.data.every is None:
        return None
    expected = _expected_minutes(objective, inputs, now)
    filled = inputs.totals.filled if inputs.totals else 0
    return min(1.0, filled / expected) if expected else None


def _with_missing(objective: Objective, inputs: Inputs, now: datetime) -> Totals | None:
    """The totals with what the missing minutes count as. Only weight and good change: nobody saw a value there."""
    totals, data = inputs.totals, objective.data
    if totals is None or data.every is None or data.missing.policy == "ignore" or objective.indicator.method != "ratio":
        return totals
    missing = max(0, _expected_minutes(objective, inputs, now) - totals.filled)
    each = max(1, round(timedelta(minutes=1) / data.every))
    policy = data.missing.policy
    if policy == "hold":
        return _plus(totals, int(inputs.held.total), int(inputs.held.total - inputs.held.bad))
    matched = (policy == "good") == objective.matched_is_good
    return _plus(totals, missing * each, missing * each if matched else 0)


def _plus(totals: Totals, weight: int, good: int) -> Totals:
    return Totals(
        totals.n,
        totals.weight + weight,
        totals.good + good,
        totals.total,
        totals.low,
        totals.high,
        totals.last,
        totals.last_at,
        totals.filled,
    )


def _budget_count(objective: Objective, inputs: Inputs, totals: Totals | None) -> Count:
    if objective.budgeting.method != "Occurrences":
        return of_slices(objective, inputs.of_slices)
    return NOTHING if totals is None else count(objective, totals.good, totals.weight)


def of_slices(objective: Objective, parts: Iterable[tuple[float, float]]) -> Count:
    """Bad and all of (good, total) slices, by the objective's way of counting them."""
    if objective.budgeting.method == "Timeslices":
        return budgets.timeslices(parts, objective.budgeting.slice_target or 0.0)
    return budgets.ratio_timeslices(parts)


def count(objective: Objective, matched: int, weight: int) -> Count:
    """Bad and all of events; what passes the test is bad where less is better (``Failed Pipelines < 2%``)."""
    return Count(weight - matched if objective.matched_is_good else matched, weight)


def look_back(
    objective: Objective, minutes: Iterable[tuple[datetime, int, int]], quarters: Iterable[tuple[datetime, int, int]], now: datetime
) -> dict[timedelta, Count]:
    """Bad and all of each look-back window from (at, matched, weight): up to 6 h by the minute, longer ones by the quarter."""
    fine, coarse = list(minutes), list(quarters)
    found = {}
    for span in budgets.LOOK_BACK:
        start, end = Rolling(span).bounds(now)
        parts = fine if span <= FINE else coarse
        found[span] = _counted(objective, [(at, good, weight) for at, good, weight in parts if start <= at < end], start)
    return found


def _counted(objective: Objective, parts: list[tuple[datetime, int, int]], start: datetime) -> Count:
    budgeting = objective.budgeting
    if budgeting.method == "Occurrences" or budgeting.slice is None:
        return count(objective, sum(good for _, good, _ in parts), sum(weight for _, _, weight in parts))
    cut: dict[int, tuple[float, float]] = {}
    for at, matched, weight in parts:
        one = count(objective, matched, weight)
        key = int((at - start) / budgeting.slice)
        good, total = cut.get(key, (0.0, 0.0))
        cut[key] = (good + one.total - one.bad, total + one.total)
    return of_slices(objective, cut.values())


def held_over(objective: Objective, filled: Sequence[tuple[datetime, int, int]], end: datetime) -> Count:
    """What the missing minutes after each filled one count as when its ratio is held for a while."""
    longest = int(objective.data.missing.hold / timedelta(minutes=1))
    each = max(1, round(timedelta(minutes=1) / objective.data.every)) if objective.data.every else 1
    bad = total = 0.0
    for (at, matched, weight), (next_at, _, _) in zip(filled, [*filled[1:], (end, 0, 0)], strict=True):
        gap = int((next_at - at) / timedelta(minutes=1)) - 1
        minutes = min(max(gap, 0), longest)
        if minutes and weight:
            bad += minutes * each * (1 - matched / weight)
            total += minutes * each
    return Count(round(bad), round(total))
