"""A burn of twenty times: traffic that is good for a while, then 2 % of it bad, as the engine and by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import floor

from cipo.kernel.slo import budget, measure
from cipo.kernel.slo.objective import Objective

TARGET = 0.999
PER_MINUTE = 1000
BURNT_PER_MINUTE = 20  # 2 % bad, where 0.1 % is allowed
QUIET_MINUTES = 240
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STEP = timedelta(seconds=30)
"""How often the engine looks at a page tier."""


def pencil() -> int:
    """Full minutes of burning until 2 % of them are more than 1.44 % of the hour: the first m with 20·m > 14.4·60."""
    return floor(14.4 * 60 / (BURNT_PER_MINUTE / PER_MINUTE / (1 - TARGET))) + 1


def first_page_of_engine(promise: Objective, burning_from: datetime | None = None, bad_in: Callable[[int], int] | None = None) -> int:
    """Full minutes from the first bad event until ``page-quick`` fires, looked at every 30 s over events as they come."""
    begun = burning_from or START + timedelta(minutes=QUIET_MINUTES)
    tier = next(one for one in budget.tiers_of(promise) if one.name == "page-quick")
    alerts: tuple[budget.Alert, ...] = ()
    for tick in range(240):
        now = begun + tick * STEP
        alerts = budget.alerts(alerts, [tier], promise, measure.look_back(promise, _minutes(begun, now), [], now), now)
        if alerts:
            return int((alerts[0].since - begun) / timedelta(minutes=1))
    raise AssertionError("the engine never paged")


def _minutes(begun: datetime, now: datetime) -> list[tuple[datetime, int, int]]:
    """What has been written up to ``now``: a minute's events come evenly, so the running one holds its share."""
    first = begun - timedelta(minutes=QUIET_MINUTES)
    rows = []
    for number in range(int((now - first) / timedelta(minutes=1)) + 1):
        at = first + timedelta(minutes=number)
        passed = min((now - at) / timedelta(minutes=1), 1.0)
        total = round(PER_MINUTE * passed)
        bad = round(BURNT_PER_MINUTE * passed) if at >= begun else 0
        rows.append((at, total - bad, total))
    return rows
