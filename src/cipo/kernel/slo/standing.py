"""How a verdict looks in a resource's status, and how the next look reads it back: hysteresis survives a restart because it is kept there."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from cipo.kernel.models import Model, field
from cipo.kernel.slo.budget import Alert, Budget, BudgetState
from cipo.kernel.slo.measure import Verdict

State = Literal["met", "missed", "unknown"]
DIGITS = 4


class AlertStanding(Model):
    """A tier of the alert policy that fires."""

    tier: str = field(length=40, help="Which tier.")
    severity: Literal["page", "ticket"] = field(help="Whether somebody is woken.")
    since: str = field(length=40, help="Since when (UTC).")
    calm: int = field(0, help="Calm evaluations in a row.")
    calm_since: str | None = field(None, length=40, help="Since when it has been calm.")


class BudgetStanding(Model):
    """What is left of the badness that the promise allows."""

    state: BudgetState = field("Unknown", help="How it stands.")
    target: float = field(help="The share that must be good.")
    counted_in: Literal["events", "slices"] = field("events", help="What is counted.")
    bad: float = field(help="Bad ones in the window.")
    total: float = field(help="All in the window.")
    remaining: float = field(help="The share of the budget that is left; below 0 when overspent.")
    consumed_of_observed: float = field(help="Spent of what is allowed for what was seen so far.")
    consumed_of_period: float = field(help="Spent of what the whole period will allow.")
    burn: dict[str, float | None] = field(dict, help="Burn rate by look-back window; 1 spends the budget exactly.")
    alerts: list[AlertStanding] = field(list, key="tier", help="Tiers that fire.")
    exhausts_at: str | None = field(None, length=40, help="When it is used up if the last six hours go on.")


class Standing(Model):
    """What the facts say of one objective."""

    name: str = field(length=253, help="The objective.")
    state: State = field("unknown", help="Whether the promise is kept.")
    value: float | None = field(None, help="The number; absent without facts.")
    reason: str = field("not measured yet", length=400, help="Why it is unknown.")
    n: int = field(0, help="How many facts it stands on.")
    coverage: float | None = field(None, help="Which share was looked at (0-1).")
    budget: BudgetStanding | None = field(None, help="The error budget, when the promise allows badness.")

    @property
    def budget_state(self) -> BudgetState:
        """The budget's state, as the next look starts from."""
        return self.budget.state if self.budget else "Unknown"

    @property
    def alerts(self) -> list[Alert]:
        """What fires, as the next look starts from."""
        return [_alert(one) for one in self.budget.alerts] if self.budget else []


def standing(name: str, verdict: Verdict) -> Standing:
    """A verdict for a status."""
    return Standing(
        name=name,
        state=verdict.state,
        value=verdict.value,
        reason=verdict.reason[:400],
        n=verdict.n,
        coverage=verdict.coverage,
        budget=_budget(verdict.budget) if verdict.budget else None,
    )


def alike(before: Standing, after: Standing) -> bool:
    """Whether nothing has changed that a person would look up."""
    return _seen(before) == _seen(after)


def news(before: Standing, after: Standing) -> str:
    """What changed of state, in a sentence with the figures; empty if nothing did."""
    told = []
    if before.state != after.state:
        figure = "" if after.value is None else f" at {after.value:.6g} of {after.n:,} facts"
        told.append(f"{after.name}: {before.state} -> {after.state}{figure}{f' ({after.reason})' if after.reason else ''}")
    budget = after.budget
    if budget is not None and budget.state != before.budget_state:
        figures = f"{budget.bad:g} bad of {budget.total:g}, {budget.remaining:.1%} left"
        told.append(f"{after.name}: budget {before.budget_state} -> {budget.state} ({figures})")
    fired, held = ({one.tier for one in alerts} for alerts in (after.alerts, before.alerts))
    told += [f"{after.name}: {tier} fires" for tier in sorted(fired - held)]
    told += [f"{after.name}: {tier} is over" for tier in sorted(held - fired)]
    return "; ".join(told)


def _seen(one: Standing) -> tuple[object, ...]:
    budget = one.budget
    left = (budget.state, f"{budget.remaining:.3f}", *((alert.tier, alert.calm) for alert in budget.alerts)) if budget else ()
    return (one.state, "" if one.value is None else f"{one.value:.{DIGITS}g}", one.reason, left)


def _alert(alert: AlertStanding) -> Alert:
    calm_since = datetime.fromisoformat(alert.calm_since) if alert.calm_since else None
    return Alert(alert.tier, alert.severity, datetime.fromisoformat(alert.since), alert.calm, calm_since)


def _budget(spent: Budget) -> BudgetStanding:
    return BudgetStanding(
        state=spent.state,
        target=spent.target,
        counted_in="events" if spent.unit == "events" else "slices",
        bad=spent.bad,
        total=spent.total,
        remaining=spent.remaining,
        consumed_of_observed=spent.consumed,
        consumed_of_period=spent.of_period,
        burn={span: None if rate is None else float(f"{rate:.3g}") for span, rate in spent.burn.items()},
        alerts=[
            AlertStanding(
                tier=one.tier,
                severity=one.severity,
                since=one.since.isoformat(),
                calm=one.calm,
                calm_since=one.calm_since.isoformat() if one.calm_since else None,
            )
            for one in spent.alerts
        ],
        exhausts_at=spent.exhausts_at.isoformat(timespec="minutes") if spent.exhausts_at else None,
    )
