"""What a promise records in Prometheus: bad and all events (or slices of time) per window, the period, and what is left of the budget.

Sums are recorded, never ratios: shares of windows cannot be added up, and an average of them would give a quiet night the weight of a busy
day. ``prometheus`` puts these rules and the alerts together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from promql_parser import Expr

from cipo.kernel.slo.budget import LOOK_BACK, Tier, tiers_of
from cipo.kernel.slo.document import Queries
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.promql import decimal, exact, filled, parsed, read, selector
from cipo.kernel.slo.rules import Rule
from cipo.kernel.slo.windows import Rolling, shorthand

BASE = timedelta(minutes=5)
"""The window that periods are summed up from."""
NOMINAL_DAYS = {"d": 1, "w": 7, "M": 30, "Q": 91, "Y": 365}


@dataclass(frozen=True, slots=True)
class Promise:
    """One objective with its queries and the labels that all its series carry."""

    objective: Objective
    queries: Queries
    target: float
    labels: Mapping[str, str]

    @property
    def own(self) -> Mapping[str, str]:
        """What selects its recorded series."""
        return {"slo": self.objective.name}

    @property
    def slice(self) -> timedelta | None:
        """How long the slices are that its budget counts; None when it counts events."""
        return self.objective.budgeting.slice

    @property
    def period(self) -> timedelta:
        """The window of the promise; of a calendar one its usual length, because Prometheus only looks back."""
        window = self.objective.window
        if isinstance(window, Rolling):
            return window.span
        return timedelta(days=window.count * NOMINAL_DAYS[window.unit])

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The tiers that can fire and whose windows hold a whole slice."""
        return tuple(tier for tier in tiers_of(self.objective) if self.slice is None or tier.short >= self.slice)

    @property
    def windows(self) -> tuple[timedelta, ...]:
        """The windows to record, shortest first."""
        wanted = {*LOOK_BACK, *(one for tier in self.tiers for one in (tier.long, tier.short))}
        return tuple(sorted(one for one in wanted if self.slice is None or one >= self.slice))


def recordings(promise: Promise) -> Iterator[Rule]:
    """All recorded series, each after those that it reads."""
    yield from _of_slices(promise)
    yield from _of_windows(promise)
    yield from _of_period(promise)
    yield from _of_budget(promise)


def _of_slices(promise: Promise) -> Iterator[Rule]:
    if promise.slice is not None:
        yield _record(promise, slice_name(promise.slice), _badness(promise, promise.slice))


def _of_windows(promise: Promise) -> Iterator[Rule]:
    for window in promise.windows:
        yield _record(promise, bad_name(window), bad_in(promise, window))
        yield _record(promise, total_name(window), total_in(promise, window))


def _of_period(promise: Promise) -> Iterator[Rule]:
    period = promise.period
    if period in promise.windows:
        return
    if promise.slice is not None or period < BASE:
        yield _record(promise, bad_name(period), bad_in(promise, period))
        yield _record(promise, total_name(period), total_in(promise, period))
        return
    for name in (bad_name, total_name):
        over = f"sum_over_time(hole[{shorthand(period)}:{shorthand(BASE)}])"
        yield _record(promise, name(period), filled(over, hole=selector(name(BASE), promise.own)))


def _of_budget(promise: Promise) -> Iterator[Rule]:
    yield _record(promise, "cipo:slo_objective:ratio", parsed(f"vector({decimal(promise.target)})"))
    yield _record(
        promise, "cipo:slo_error_budget_remaining:ratio", filled(f"1 - share / {allowed(promise)}", share=share_of(promise, promise.period))
    )


def share_of(promise: Promise, window: timedelta) -> Expr:
    """The recorded bad share; no series when nothing happened."""
    return filled("bad / (total > 0)", bad=selector(bad_name(window), promise.own), total=selector(total_name(window), promise.own))


def bad_name(window: timedelta) -> str:
    """The recorded bad events of a window."""
    return f"cipo:sli_bad:increase{shorthand(window)}"


def total_name(window: timedelta) -> str:
    """All recorded events of a window."""
    return f"cipo:sli_total:increase{shorthand(window)}"


def slice_name(slice: timedelta) -> str:
    """The recorded badness of a slice of time."""
    return f"cipo:sli_slice_bad:ratio{shorthand(slice)}"


def allowed(promise: Promise) -> str:
    """The share that may be bad."""
    return decimal(1 - exact(promise.target))


def _record(promise: Promise, name: str, expr: Expr) -> Rule:
    return Rule(expr, record=name, labels=promise.labels)


# -- what is counted in a window


def bad_in(promise: Promise, window: timedelta, *, inline: bool = False) -> Expr:
    """Bad events, or the badness of slices, in a window."""
    if promise.slice is None:
        return bad_events(promise.queries, window)
    return filled(f"sum_over_time(hole{_cut(promise, window)})", hole=_slices(promise, inline))


def total_in(promise: Promise, window: timedelta, *, inline: bool = False) -> Expr:
    """All events, or all slices that saw any, in a window."""
    if promise.slice is None:
        return read(promise.queries.total, window)
    return filled(f"count_over_time(hole{_cut(promise, window)})", hole=_slices(promise, inline))


def _cut(promise: Promise, window: timedelta) -> str:
    assert promise.slice is not None
    return f"[{shorthand(window)}:{shorthand(promise.slice)}]"


def _slices(promise: Promise, inline: bool) -> Expr:
    assert promise.slice is not None
    return _badness(promise, promise.slice) if inline else selector(slice_name(promise.slice), promise.own)


def bad_events(queries: Queries, window: timedelta) -> Expr:
    """Bad events in a window: 0 while there are events and none is bad, absent while there are none."""
    total = read(queries.total, window)
    if queries.bad is not None:
        return filled("bad or total * 0", bad=read(queries.bad, window), total=total)
    assert queries.good is not None
    # Good and all are extrapolated apart, so their difference can fall a little below nothing.
    return filled("clamp_min(total - (good or total * 0), 0)", good=read(queries.good, window), total=total)


def _badness(promise: Promise, slice: timedelta) -> Expr:
    """How bad one slice was: its bad share, or 1 when it fell short of its target; no value when it saw nothing."""
    share = filled("bad / (total > 0)", bad=bad_events(promise.queries, slice), total=read(promise.queries.total, slice))
    if promise.objective.budgeting.method == "RatioTimeslices":
        return share
    tolerated = decimal(1 - exact(promise.objective.budgeting.slice_target or 0.0))
    return filled(f"share > bool {tolerated}", share=share)


def counted(promise: Promise, window: timedelta, *, inline: bool = False) -> tuple[Expr, Expr]:
    """Bad and all of a window: the recorded series, or what they record."""
    if inline:
        return bad_in(promise, window, inline=True), total_in(promise, window, inline=True)
    return selector(bad_name(window), promise.own), selector(total_name(window), promise.own)
