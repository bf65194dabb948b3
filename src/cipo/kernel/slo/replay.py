"""The engine without a store: facts in a list, verdicts at any instant. For tests of an SLO before it is written, and of the engine itself.

It finds the same ``Inputs`` as ``gather`` does on PostgreSQL and leaves the rest to ``judge``. What other resources say (how many of a
kind there are) and durations between two facts are not replayed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import accumulate, groupby
from typing import Any

from cipo.kernel.slo import budget as budgets
from cipo.kernel.slo.buckets import bucket_of
from cipo.kernel.slo.budget import LOOK_BACK, Alert, BudgetState, Count
from cipo.kernel.slo.measure import NOTHING, Inputs, Verdict, count, held_over, judge, look_back
from cipo.kernel.slo.objective import NEEDS_BUCKETS, OPERATORS, Objective, Term
from cipo.kernel.slo.slices import Totals
from cipo.kernel.slo.windows import DAY, MINUTE, QUARTER, Calendar, Rolling, Span, floor

A_MINUTE, A_DAY = timedelta(minutes=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Told:
    """A fact: when, what, for how many events, with which attributes."""

    at: datetime
    value: float
    weight: int = 1
    attrs: Mapping[str, Any] = field(default_factory=dict)


class NotReplayed(ValueError):
    """The objective needs more than a list of facts."""


class Replay:
    """An objective over facts. Sums are kept up to each fact, so an instant costs the same however long the window is."""

    def __init__(self, objective: Objective, facts: Iterable[Told]) -> None:
        if objective.indicator.method == "duration" or objective.data.coverage is not None:
            raise NotReplayed(f"{objective.name}: durations and shares of a kind need more than one list of facts; test them on a plane")
        self.objective = objective
        test = objective.indicator.good
        told = list(facts)
        self._told = sorted(one.at for one in told)
        wanted = (one for one in told if all(matches(term, one.attrs) for term in objective.indicator.where))
        self.facts = sorted(wanted, key=lambda one: (one.at, one.value))
        self._at = [one.at for one in self.facts]
        self._weight = [0, *accumulate(one.weight for one in self.facts)]
        self._good = [0, *accumulate(one.weight if test.holds(one.value) else 0 for one in self.facts)]
        self._total = [Decimal(0), *accumulate(Decimal(repr(one.value)) * one.weight for one in self.facts)]
        minutes = [floor(at, MINUTE) for at in self._at]
        self._filled = [0, *accumulate(int(not n or minutes[n] != minutes[n - 1]) for n in range(len(minutes)))]

    def course(self, instants: Iterable[datetime]) -> Iterator[tuple[datetime, Verdict]]:
        """The verdicts at instants, oldest first, each beginning where the one before left its budget and alerts."""
        state: BudgetState = "Unknown"
        alerts: tuple[Alert, ...] = ()
        for now in instants:
            verdict = self.at(now, state_before=state, alerts_before=alerts)
            if verdict.budget is not None:
                state, alerts = verdict.budget.state, verdict.budget.alerts
            yield now, verdict

    def at(self, now: datetime, *, state_before: BudgetState = "Unknown", alerts_before: Iterable[Alert] = ()) -> Verdict:
        """The verdict at an instant; what was told later is not known yet."""
        return judge(self.objective, self.inputs(now), now, state_before=state_before, alerts_before=alerts_before)

    def inputs(self, now: datetime) -> Inputs:
        """All that the verdict rests on."""
        objective = self.objective
        start, end = objective.window.bounds(now)
        lo, hi = self._between(start, end, now)
        budgeted = objective.budget_target is not None and lo < hi
        return Inputs(
            (start, end),
            self._totals(lo, hi),
            self._histogram(lo, hi) if objective.indicator.method in NEEDS_BUCKETS else Counter(),
            since=floor(self._at[0], MINUTE) if self._at and self._at[0] <= now else None,
            of_slices=self._of_slices(start, lo, hi) if budgeted else (),
            counts=self._look_back(now) if budgeted else {},
            expected_total=self._expected(now, (start, end)) if budgeted else None,
            held=self._held(lo, hi, min(end, now)),
            others=self._others(start, end, now) if lo >= hi and objective.indicator.where else 0,
        )

    def _others(self, start: datetime, end: datetime, now: datetime) -> int:
        """Facts that the conditions leave out, up to a thousand."""
        upper = min(bisect_left(self._told, end), bisect_right(self._told, now))
        return min(1000, max(0, upper - bisect_left(self._told, start)))

    def _between(self, start: datetime, end: datetime, now: datetime) -> tuple[int, int]:
        return bisect_left(self._at, start), min(bisect_left(self._at, end), bisect_right(self._at, now))

    def _totals(self, lo: int, hi: int) -> Totals | None:
        if lo >= hi:
            return None
        low = high = last = self.facts[hi - 1].value  # at one instant the largest is the last: facts are in that order
        # Bounds cost a look at each fact, so they are found only where they count.
        if self.objective.indicator.method in ("min", "max", "percentile"):
            values = [one.value for one in self.facts[lo:hi]]
            low, high = min(values), max(values)
        weight, good, total = (sums[hi] - sums[lo] for sums in (self._weight, self._good, self._total))
        # The first minute of the range may have begun before it; it counts as filled all the same.
        filled = self._filled[hi] - self._filled[lo + 1] + 1
        return Totals(hi - lo, int(weight), int(good), Decimal(total), low, high, last, self._at[hi - 1], filled)

    def _histogram(self, lo: int, hi: int) -> Counter[tuple[int, int]]:
        found: Counter[tuple[int, int]] = Counter()
        for one in self.facts[lo:hi]:
            found[bucket_of(one.value)] += one.weight
        return found

    def _count(self, lo: int, hi: int) -> Count:
        return count(self.objective, self._good[hi] - self._good[lo], self._weight[hi] - self._weight[lo]) if lo < hi else Count(0, 0)

    def _of_slices(self, start: datetime, lo: int, hi: int) -> tuple[tuple[float, float], ...]:
        size = self.objective.budgeting.slice
        if size is None:
            return ()
        found = []
        for _, group in groupby(range(lo, hi), key=lambda n: (self._at[n] - start) // size):
            members = list(group)
            one = self._count(members[0], members[-1] + 1)
            found.append((one.total - one.bad, one.total))
        return tuple(found)

    def _look_back(self, now: datetime) -> dict[timedelta, Count]:
        if self.objective.budgeting.method == "Occurrences":
            return {span: self._count(*self._between(*Rolling(span).bounds(now), now)) for span in LOOK_BACK}
        longest = self._between(*Rolling(max(LOOK_BACK)).bounds(now), now)
        return look_back(self.objective, self._cut(*longest, MINUTE), self._cut(*longest, QUARTER), now)

    def _cut(self, lo: int, hi: int, size: int) -> list[tuple[datetime, int, int]]:
        """(at, matched, weight) of the slices of a size that have facts."""
        found = []
        for at, group in groupby(range(lo, hi), key=lambda n: floor(self._at[n], size)):
            members = list(group)
            first, last = members[0], members[-1] + 1
            found.append((at, self._good[last] - self._good[first], self._weight[last] - self._weight[first]))
        return found

    def _held(self, lo: int, hi: int, end: datetime) -> Count:
        if self.objective.data.missing.policy != "hold" or self.objective.data.every is None:
            return NOTHING
        return held_over(self.objective, self._cut(lo, hi, MINUTE), end)

    def _expected(self, now: datetime, window: Span) -> float | None:
        """What an open calendar period will have seen at its end, by the weekdays of the last two."""
        period = self.objective.window
        lo, hi = self._between(*window, now)
        if not isinstance(period, Calendar) or lo >= hi or now >= window[1]:
            return None
        before = period.before(window[0])
        first = period.before(before[0])
        by_weekday: dict[int, list[float]] = {}
        day, until = floor(first[0], DAY), floor(before[1], DAY)
        while day < until:
            seen = self._count(*self._between(day, day + A_DAY, now)).total
            if seen:
                by_weekday.setdefault(day.weekday(), []).append(seen)
            day += A_DAY
        today = floor(now, DAY) + A_DAY
        left = [(today + n * A_DAY).weekday() for n in range(max(0, (window[1] - today).days))]
        usual = {weekday: sum(values) / len(values) for weekday, values in by_weekday.items()}
        return budgets.expected_total(self._count(lo, hi).total, left, usual, (now - window[0]) / (window[1] - window[0]))


def matches(term: Term, attrs: Mapping[str, Any]) -> bool:
    """Whether attributes meet a condition, by the rules of the store: a text is no number, and what is absent meets none."""
    if term.attr not in attrs:
        return False
    given = attrs[term.attr]
    number = isinstance(given, int | float) and not isinstance(given, bool)
    match term.op:
        case "in":
            return any(given == one and isinstance(given, str | bool) == isinstance(one, str | bool) for one in term.values)
        case "glob":
            return fnmatchcase(given if isinstance(given, str) else str(given).lower(), str(term.values[0]).replace("[", "[[]"))
        case _:
            return number and OPERATORS[term.op](given, term.values[0])
