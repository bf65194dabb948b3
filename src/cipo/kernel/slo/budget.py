"""The error budget: how much badness the promise allows, how fast it burns, who is told, and what state that is. Pure functions.

Burn rate over a window = its bad share ÷ (1 − target): 1 uses the budget up exactly at the period's end. A tier fires when both its long
and its short window burn faster than its factor, ``budget · period / long`` (The Site Reliability Workbook, chapter 5). Figures of the
tiers are data (``tiers/*.yaml``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml

from cipo.kernel.slo.objective import Objective, rest
from cipo.kernel.slo.windows import Calendar, Rolling, duration, shorthand

Severity = Literal["page", "ticket"]
BudgetState = Literal["Healthy", "Warning", "AtRisk", "Exhausted", "Unknown"]
POLICIES = ("google-7d", "google-28d", "google-30d")
LOOK_BACK = tuple(duration(text) for text in ("5m", "30m", "1h", "2h", "6h", "1d", "3d"))
"""Windows whose burn rates are shown and that tiers may use."""
Z_95 = 1.959963984540054  # two-sided 95 % of the normal distribution
CALM_EVALUATIONS = 2
CALM = timedelta(minutes=5)
WARNING, AT_RISK, RECOVERED = 0.5, 0.8, 0.95


@dataclass(frozen=True, slots=True)
class Tier:
    """Tell whom, when this share of the period's budget burns within ``long`` and still does within ``short``."""

    name: str
    severity: Severity
    budget: float
    long: timedelta
    short: timedelta
    period: timedelta

    @property
    def factor(self) -> float:
        """The burn rate from which it fires."""
        return self.budget * self.period / self.long

    def threshold(self, target: float) -> float:
        """The bad share from which it fires."""
        return self.factor * rest(target)


@cache
def policy(name: str) -> tuple[Tier, ...]:
    """The tiers of a policy; KeyError for one that is not there."""
    if name not in POLICIES:
        raise KeyError(f"there is no alert policy {name!r}; those are {', '.join(POLICIES)}")
    text = files("cipo.kernel.slo").joinpath("tiers", f"{name}.yaml").read_text(encoding="utf-8")
    given = yaml.safe_load(text)
    period = duration(given["period"])
    return tuple(
        Tier(one["name"], one["severity"], float(one["budget"]), duration(one["long"]), duration(one["short"]), period)
        for one in given["tiers"]
    )


def tiers_of(objective: Objective) -> tuple[Tier, ...]:
    """The tiers that an objective's policy has and that can fire at its target; none without a budget."""
    target = objective.budget_target
    if target is None:
        return ()
    name = objective.alerting.policy or nearest_policy(objective)
    return tuple(tier for tier in policy(name) if tier.threshold(target) < 1)


def nearest_policy(objective: Objective) -> str:
    """The policy for the period next to the objective's window."""
    window = objective.window
    days = window.span / timedelta(days=1) if isinstance(window, Rolling) else _days(window)
    return "google-7d" if days <= 14 else "google-28d" if days <= 28 else "google-30d"


def _days(window: Calendar) -> float:
    return window.count * {"d": 1, "w": 7, "M": 30, "Q": 91, "Y": 365}[window.unit]


def unreachable(tier: Tier, target: float) -> str | None:
    """Why a tier could never fire at a target, with the largest factor that could; None when it can."""
    needed = tier.threshold(target)
    if needed < 1:
        return None
    return (
        f"tier {tier.name} can never fire at target {target:g} (needs error ratio {needed:.3g}); "
        f"the largest usable factor is below {1 / rest(target):.3g}, it has {tier.factor:.3g}"
    )


@dataclass(frozen=True, slots=True)
class Count:
    """Bad and all, in events or in slices of time."""

    bad: float
    total: float

    def ratio(self) -> float | None:
        """The bad share; None of nothing."""
        return self.bad / self.total if self.total else None

    def __add__(self, other: Count) -> Count:
        return Count(self.bad + other.bad, self.total + other.total)


def burn_rate(count: Count, target: float) -> float | None:
    """How many times faster than allowed; None when nothing happened."""
    ratio = count.ratio()
    return None if ratio is None else ratio / rest(target)


def wilson_lower(bad: float, total: float, z: float = Z_95) -> float:
    """The lower bound of the bad share (Wilson score interval): what few events really show."""
    if not total:
        return 0.0
    share = bad / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(max(share * (1 - share), 0.0) / total + z * z / (4 * total * total))
    return max(0.0, (centre - spread) / (1 + z * z / total))


def fires(tier: Tier, target: float, long: Count, short: Count, min_bad_events: int) -> bool:
    """Whether both windows burn too fast, and enough happened to say so."""
    threshold = tier.threshold(target)
    long_ratio, short_ratio = long.ratio(), short.ratio()
    if long_ratio is None or short_ratio is None or long.bad < min_bad_events:
        return False
    if long_ratio <= threshold or short_ratio <= threshold:
        return False
    return long.total >= 10 / rest(target) or wilson_lower(long.bad, long.total) > threshold


@dataclass(frozen=True, slots=True)
class Alert:
    """A tier that fires, since when; ``calm``: evaluations in a row in which the short window was below the threshold."""

    tier: str
    severity: Severity
    since: datetime
    calm: int = 0
    calm_since: datetime | None = None


def alerts(
    before: Iterable[Alert], tiers: Sequence[Tier], objective: Objective, counts: Mapping[timedelta, Count], now: datetime
) -> tuple[Alert, ...]:
    """What fires now: a tier starts at once, and ends after two calm evaluations and five calm minutes, so that it does not flap."""
    target = objective.budget_target
    if target is None:
        return ()
    held = {alert.tier: alert for alert in before}
    out = []
    for tier in tiers:
        long, short = counts.get(tier.long, Count(0, 0)), counts.get(tier.short, Count(0, 0))
        alert = held.get(tier.name)
        if fires(tier, target, long, short, objective.alerting.min_bad_events):
            out.append(Alert(tier.name, tier.severity, alert.since if alert else now))
        elif alert is not None:
            quiet = (short.ratio() or 0.0) <= tier.threshold(target)
            calmer = (
                replace(alert, calm=alert.calm + 1, calm_since=alert.calm_since or now)
                if quiet
                else replace(alert, calm=0, calm_since=None)
            )
            if calmer.calm < CALM_EVALUATIONS or calmer.calm_since is None or now - calmer.calm_since < CALM:
                out.append(calmer)
    many = objective.alerting.absolute
    if many is not None and counts.get(timedelta(hours=6), Count(0, 0)).bad >= many:
        since = held["absolute"].since if "absolute" in held else now
        out.append(Alert("absolute", "ticket", since))
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Budget:
    """What is spent. ``consumed``: of what was allowed for the events seen so far; ``of_period``: of what the whole period will allow."""

    target: float
    unit: str
    bad: float
    total: float
    allowed: float
    consumed: float
    of_period: float
    state: BudgetState
    burn: Mapping[str, float | None]
    alerts: tuple[Alert, ...] = ()
    exhausts_at: datetime | None = None

    @property
    def remaining(self) -> float:
        """The share that is left; below 0 when overspent."""
        return 1 - self.consumed


def spend(
    objective: Objective,
    window: Count,
    counts: Mapping[timedelta, Count],
    *,
    now: datetime,
    expected_total: float | None = None,
    state_before: BudgetState = "Unknown",
    alerts_before: Iterable[Alert] = (),
    known: bool = True,
) -> Budget | None:
    """The budget of a window. ``expected_total``: what the whole calendar period is likely to see; ``known``: whether the number says anything."""
    target = objective.budget_target
    if target is None:
        return None
    allowed = rest(target) * window.total
    consumed = window.bad / allowed if allowed else 0.0
    period_total = max(window.total, expected_total or 0.0)
    of_period = window.bad / (rest(target) * period_total) if period_total else 0.0
    firing = alerts(alerts_before, tiers_of(objective), objective, counts, now) if known else tuple(alerts_before)
    spent = of_period if isinstance(objective.window, Calendar) else consumed
    state = _state(state_before, spent, any(alert.severity == "page" for alert in firing)) if known and window.total else "Unknown"
    burn = {shorthand(span): burn_rate(count, target) for span, count in sorted(counts.items())}
    unit = "events" if objective.budgeting.method == "Occurrences" else "slices"
    return Budget(
        target,
        unit,
        window.bad,
        window.total,
        allowed,
        consumed,
        of_period,
        state,
        burn,
        firing,
        _exhausts(objective, spent, counts, target, now),
    )


def _state(before: BudgetState, spent: float, paging: bool) -> BudgetState:
    if spent >= 1 or (before == "Exhausted" and spent > RECOVERED):
        return "Exhausted"
    if paging or spent >= AT_RISK:
        return "AtRisk"
    return "Warning" if spent >= WARNING else "Healthy"


def _exhausts(objective: Objective, spent: float, counts: Mapping[timedelta, Count], target: float, now: datetime) -> datetime | None:
    """When the rest is used up if the last six hours go on; None when they do not use it up within the period."""
    rate = burn_rate(counts.get(timedelta(hours=6), Count(0, 0)), target)
    window = objective.window
    length = window.span if isinstance(window, Rolling) else window.bounds(now)[1] - window.bounds(now)[0]
    if not rate or spent >= 1:
        return None
    left = (1 - spent) * length / rate
    return now + left if left < length else None


def expected_total(observed: float, days_left: Sequence[int], by_weekday: Mapping[int, float], elapsed: float) -> float:
    """What a calendar period will have seen at its end: each day that is left counts as its weekday did in the last two periods.

    Without such days the observed total is drawn on as a straight line; ``elapsed`` is the share (0-1) of the period that has passed.
    """
    if not days_left:
        return observed
    if by_weekday:
        usual = sum(by_weekday.values()) / len(by_weekday)
        return observed + sum(by_weekday.get(day, usual) for day in days_left)
    return observed / elapsed if elapsed > 0 else observed


def timeslices(slices: Iterable[tuple[float, float]], slice_target: float) -> Count:
    """(good, total) of each slice -> slices that fall short of the target, out of those that saw anything."""
    bad = seen = 0
    for good, total in slices:
        if total:
            seen += 1
            bad += good / total < slice_target
    return Count(bad, seen)


def ratio_timeslices(slices: Iterable[tuple[float, float]]) -> Count:
    """(good, total) of each slice -> the sum of the slices' bad shares, out of the slices that saw anything."""
    bad, seen = 0.0, 0
    for good, total in slices:
        if total:
            seen += 1
            bad += 1 - good / total
    return Count(bad, seen)


def composite(parts: Iterable[tuple[Count, float, float]]) -> tuple[float, float] | None:
    """(count, target, weight) of an SLO's objectives -> (achieved, promised) shares by OpenSLO's ``compositeWeight``; None of nothing."""
    known = [(1 - ratio, target, weight) for count, target, weight in parts if (ratio := count.ratio()) is not None and weight > 0]
    whole = sum(weight for _, _, weight in known)
    if not whole:
        return None
    return sum(good * weight for good, _, weight in known) / whole, sum(target * weight for _, target, weight in known) / whole
