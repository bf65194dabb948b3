"""The error budget on a KPI's page: what is left, how fast it burns, which tier of the alert policy fires, and since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from cipo.kernel.drawing import chart
from cipo.kernel.slo.budget import LOOK_BACK, Tier
from cipo.kernel.slo.course import Day
from cipo.kernel.slo.windows import shorthand
from cipo.web import gauges, words

STATE_WORDS = {"Healthy": "healthy", "Warning": "warning", "AtRisk": "at risk", "Exhausted": "spent", "Unknown": "unknown"}
TONES = {"Healthy": "met", "Warning": "warn", "AtRisk": "missed", "Exhausted": "missed", "Unknown": "unknown"}


@dataclass(frozen=True, slots=True)
class BurnRow:
    """A look-back window: its rate in words and as a bar."""

    span: str
    rate: str
    bar: Markup


@dataclass(frozen=True, slots=True)
class TierRow:
    """A tier: from which rate over which windows it warns whom, and since when it does."""

    name: str
    severity: str
    factor: str
    windows: str
    since: str


@dataclass(frozen=True, slots=True)
class Spent:
    """The budget of a KPI as its page shows it."""

    state: str
    tone: str
    words: str
    remaining: float
    left: str
    over: str
    bad: str
    total: str
    allowed: str
    counted_in: str
    exhausts_at: datetime | None
    rates: tuple[BurnRow, ...]
    tiers: tuple[TierRow, ...]
    picture: Markup

    @property
    def firing(self) -> tuple[TierRow, ...]:
        """The tiers that fire."""
        return tuple(tier for tier in self.tiers if tier.since)


def spent(status: Mapping[str, Any], tiers: Sequence[Tier], days: Sequence[Day], ident: str) -> Spent | None:
    """From the stored status; None where the promise allows no badness or does not count it."""
    held = status.get("budget")
    if not held:
        return None
    alerts = {alert["tier"]: str(alert["since"]) for alert in held.get("alerts", [])}
    bad, total, target = float(held["bad"]), float(held["total"]), float(held["target"])
    remaining, state = float(held["remaining"]), str(held["state"])
    return Spent(
        state,
        TONES[state],
        STATE_WORDS[state],
        remaining,
        percent(remaining),
        percent(-remaining),
        words.number(bad, 2 if bad < 10 else 0),
        words.number(total, 0),
        words.number((1 - target) * total, 1),
        str(held.get("countedIn", "events")),
        words.moment(held.get("exhaustsAt")),
        rates(held.get("burn", {}), tiers, alerts),
        tuple(tier_row(tier, alerts) for tier in tiers),
        picture(days, ident),
    )


def percent(share: float) -> str:
    """A share of the budget, never rounded into what it is not: 0.4 % left is not none."""
    text = words.number(share * 100, 0 if abs(share) >= 0.1 else 1)
    return f"{text.replace('-', '−')}\u202f%"


def left_words(share: float) -> str:
    """``26 % of the error budget left``, or by how much it is overspent."""
    return f"{percent(share)} of the error budget left" if share >= 0 else f"error budget overspent by {percent(-share)}"


def rates(burn: Mapping[str, float | None], tiers: Sequence[Tier], alerts: Mapping[str, str]) -> tuple[BurnRow, ...]:
    """The seven look-back windows, the shortest first."""
    known = [rate for rate in burn.values() if rate is not None]
    most = max([1.5, *known, *(tier.factor for tier in tiers)]) * 1.15
    return tuple(_rate(span, burn.get(shorthand(span)), tiers, alerts, most) for span in LOOK_BACK)


def _rate(span: timedelta, rate: float | None, tiers: Sequence[Tier], alerts: Mapping[str, str], most: float) -> BurnRow:
    factors = tuple((tier.factor, tier.name, tier.name in alerts) for tier in tiers if span in (tier.long, tier.short))
    shown = "no events" if rate is None else f"{words.number(rate, 2 if rate < 10 else 0)}×"
    return BurnRow(shorthand(span), shown, gauges.burn_bar(gauges.Burn(shorthand(span), rate, factors), most))


def tier_row(tier: Tier, alerts: Mapping[str, str]) -> TierRow:
    """One tier in words."""
    windows = f"{shorthand(tier.long)} and {shorthand(tier.short)}"
    return TierRow(tier.name, tier.severity, f"{words.number(tier.factor, 2)}×", windows, alerts.get(tier.name, ""))


def picture(days: Sequence[Day], ident: str, *, width: int | None = None) -> Markup:
    """The burn-down; empty when no day had a budget."""
    known = [day for day in days if day.remaining is not None]
    if len(known) < 2:
        return Markup("")
    left = [chart.Left(day.at, day.remaining, f"{day.at.day} {day.at:%b}: {_said(day)}") for day in days]
    label = f"Budget left over {len(days)} days, now {percent(known[-1].remaining or 0.0)}"
    return chart.burn_down(left, label=label, ident=ident, width=width)


def _said(day: Day) -> str:
    return "unknown" if day.remaining is None else f"{percent(day.remaining)} of the budget left"
