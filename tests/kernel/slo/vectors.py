"""Cases computed by hand: what the engine must answer, on whatever it runs.

A vector is data: an objective over fact ``x``, then steps; each step tells facts and says what the verdict is at ``now``. The arithmetic stands
beside each. Times are UTC unless the case is about a zone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cipo.kernel.slo.objective import Alerting, Budgeting, Data, Indicator, Limit, Missing, Objective, Test
from cipo.kernel.slo.windows import Calendar, Rolling
from tests.kernel.slo.conftest import Told

FACT = "x"


@dataclass(frozen=True)
class Step:
    """Facts that arrive, and the answer at ``now``: fields of the verdict; ``budget_*`` of its budget; ``alerts``: the tiers that fire."""

    facts: tuple[Told, ...]
    now: datetime
    answer: dict[str, Any]


@dataclass(frozen=True)
class Vector:
    """A case with its name."""

    name: str
    objective: Objective
    steps: tuple[Step, ...]
    within: float = field(default=0.0)
    """Relative error that the answer's value may have: 0.01 for percentiles between the smallest and the largest."""


def t(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ratio(least: float, window: Rolling | Calendar, **more: Any) -> Objective:
    return Objective("ratio", Indicator("ratio", FACT), Limit(">=", least), window, **more)


NOW = t("2026-06-15T12:00:30")
HOUR, DAY = Rolling(timedelta(hours=1)), Rolling(timedelta(days=1))
FIRST, SECOND = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"

# The hour that moves by the minute and ends with 12:00 begins at 11:01: 60 minutes, 11:01 to 12:00.
MINUTES = [t("2026-06-15T11:01:00") + timedelta(minutes=n) for n in range(60)]
BEFORE = Told(t("2026-06-15T10:00:00"), 1)  # facts have been coming since ten


def without(*missing: str) -> tuple[Told, ...]:
    """A good fact a minute, but for some minutes past eleven."""
    gone = {t(f"2026-06-15T{at}:00") for at in missing}
    return (BEFORE, *(Told(at, 1) for at in MINUTES if at not in gone))


def cadence(**more: Any) -> Data:
    return Data(every=timedelta(minutes=1), **more)


# 12 slices of 5 minutes from 11:01, ten events in each. Slices 2, 5 and 9 have 2 bad ones (0.8 < 0.9: bad), the others 1 (0.9 is enough).
SLICES = tuple(
    fact
    for n in range(12)
    for fact in (
        Told(MINUTES[5 * n + 1], 1, 8 if n in (2, 5, 9) else 9),
        Told(MINUTES[5 * n + 2], 0, 2 if n in (2, 5, 9) else 1),
    )
)

VECTORS = (
    # Sunday 25 October 2026 in London has 25 hours, from 24 October 23:00 to 26 October 00:00 UTC (BST until 01:00 UTC, then GMT).
    # In it: 20 + 30 = 50 events; the 1000 at 22:30 UTC were at 23:30 of Saturday. 50 events ÷ 25 h = 2 an hour.
    Vector(
        "a day of a change of the clocks has 25 hours",
        Objective(
            "rate",
            Indicator("rate", FACT, per=timedelta(hours=1), unit="1/h"),
            Limit(">=", 2),
            Calendar(1, "d", datetime(2026, 1, 1), "Europe/London"),
        ),
        (
            Step(
                (
                    Told(t("2026-10-24T22:30:00"), 1, 1000),
                    Told(t("2026-10-24T23:30:00"), 1, 20),
                    Told(t("2026-10-25T23:30:00"), 1, 30),
                ),
                t("2026-10-25T23:59:30"),
                {"state": "met", "value": 2.0, "n": 2, "weight": 50, "window": (t("2026-10-24T23:00:00"), t("2026-10-26T00:00:00"))},
            ),
        ),
    ),
    # 9 good of 10 = 0.9 is enough for 0.9. Then a bad one of two hours ago arrives: 9 ÷ 11 = 0.8181…, and the day is missed.
    Vector(
        "a late fact counts when it happened",
        ratio(0.9, DAY),
        (
            Step(
                (Told(t("2026-06-15T09:00:00"), 1, 9), Told(t("2026-06-15T11:00:00"), 0)),
                NOW,
                {"state": "met", "value": 0.9, "n": 2, "budget_bad": 1, "budget_total": 10},
            ),
            Step((Told(t("2026-06-15T10:00:00"), 0),), NOW, {"state": "missed", "value": 9 / 11, "n": 3, "budget_bad": 2}),
        ),
    ),
    # One good, one bad: 1 ÷ 2. The bad one was an error of measurement; its correction is good and takes its place: 2 ÷ 2, still two facts.
    Vector(
        "a correction takes the place of what it corrects",
        ratio(0.99, DAY),
        (
            Step(
                (Told(t("2026-06-15T09:00:00"), 1), Told(t("2026-06-15T09:30:00"), 0, id=FIRST)),
                NOW,
                {"state": "missed", "value": 0.5, "n": 2},
            ),
            Step(
                (Told(t("2026-06-15T09:30:00"), 1, id=SECOND, supersedes=FIRST),),
                NOW,
                {"state": "met", "value": 1.0, "n": 2, "budget_bad": 0, "budget_total": 2},
            ),
        ),
    ),
    # 0 ÷ 0 is no number: unknown, and the budget of nothing is neither full nor spent.
    Vector(
        "no traffic is no answer",
        ratio(0.99, DAY),
        (
            Step(
                (Told(t("2026-06-13T12:00:00"), 1),),
                NOW,
                {
                    "state": "unknown",
                    "value": None,
                    "n": 0,
                    "reason": "no facts in the last 1 day",
                    "budget_state": "Unknown",
                    "budget_total": 0,
                },
            ),
        ),
    ),
    # Target 0.999 over 28 d: page-quick has the factor 0.02 · 28 · 24 h ÷ 1 h = 13.44, so it fires above 13.44 · 0.001 = 1.344 % bad.
    # 1,300 of 100,000 in the last five minutes are 1.3 %: not that one, but the slower ones (0.56 %, 0.28 %, 0.0933 %).
    # With 100 bad ones more it is 1,400 of 100,100 = 1.3986 %: all four. Budget: 100,100 · 0.001 = 100.1 allowed, so 1 − 1400 ÷ 100.1 is left.
    Vector(
        "tiers of 28 days have 28 days' factors",
        ratio(0.999, Rolling(timedelta(days=28))),
        (
            Step(
                (Told(t("2026-06-15T11:58:00"), 1, 98_700), Told(t("2026-06-15T11:58:30"), 0, 1300)),
                NOW,
                {"state": "missed", "value": 0.987, "alerts": {"page-slow", "ticket-quick", "ticket-slow"}},
            ),
            Step(
                (Told(t("2026-06-15T11:59:00"), 0, 100),),
                NOW,
                {
                    "value": 98_700 / 100_100,
                    "alerts": {"page-quick", "page-slow", "ticket-quick", "ticket-slow"},
                    "budget_remaining": 1 - 1400 / 100.1,
                    "budget_state": "Exhausted",
                },
            ),
        ),
    ),
    # Target 0.90 over 30 d: page-quick has the factor 14.4 and would need 14.4 · 0.1 = 144 % bad. All 1,000 are bad (100 %), and it is silent;
    # the others need 60 %, 30 % and 10 %.
    Vector(
        "a tier that cannot fire does not",
        ratio(0.90, Rolling(timedelta(days=30))),
        (
            Step(
                (Told(t("2026-06-15T11:58:00"), 0, 1000),),
                NOW,
                {"state": "missed", "value": 0.0, "alerts": {"page-slow", "ticket-quick", "ticket-slow"}},
            ),
        ),
    ),
    # Nine facts where ten are needed say nothing, though all are good; the tenth makes it 10 ÷ 10.
    Vector(
        "too few facts are no answer",
        ratio(0.5, DAY, data=Data(min_events=10)),
        (
            Step(
                tuple(Told(t(f"2026-06-15T09:0{n}:00"), 1) for n in range(9)),
                NOW,
                {"state": "unknown", "value": 1.0, "n": 9, "reason": "measuring (9 of 10 facts)", "budget_state": "Unknown"},
            ),
            Step((Told(t("2026-06-15T09:30:00"), 1),), NOW, {"state": "met", "value": 1.0, "n": 10, "reason": ""}),
        ),
    ),
    # Three of 60 minutes are missing: 57 ÷ 60 = 0.95 was looked at, which is just enough.
    Vector(
        "95 % of the minutes are enough",
        ratio(0.99, HOUR, data=cadence()),
        (Step(without("11:10", "11:20", "11:30"), NOW, {"state": "met", "value": 1.0, "n": 57, "coverage": 0.95}),),
    ),
    # Four are missing: 56 ÷ 60 = 0.9333. If all that nobody saw were good it would be met, so it is not missed for sure: unknown.
    # When the last of them comes late it is 57 ÷ 60 again.
    Vector(
        "below 95 % of the minutes is no answer",
        ratio(0.99, HOUR, data=cadence()),
        (
            Step(
                without("11:10", "11:20", "11:30", "11:40"),
                NOW,
                {"state": "unknown", "value": 1.0, "coverage": 56 / 60, "reason": "only 93.3% was looked at; 95% is needed to say"},
            ),
            Step((Told(t("2026-06-15T11:40:20"), 1),), NOW, {"state": "met", "coverage": 0.95}),
        ),
    ),
    # The same three missing minutes, counted as bad: 57 good ÷ (57 + 3) = 0.95 < 0.99. Nobody saw a fact there: n stays 57.
    Vector(
        "missing minutes that count as bad",
        ratio(0.99, HOUR, data=cadence(missing=Missing("bad"))),
        (
            Step(
                without("11:10", "11:20", "11:30"),
                NOW,
                {"state": "missed", "value": 0.95, "n": 57, "coverage": 0.95, "budget_bad": 3, "budget_total": 60},
            ),
        ),
    ),
    # March 2026 in New York: from 1 March 00:00 EST = 05:00 UTC to 1 April 00:00 EDT = 04:00 UTC, 743 hours. The first and the last minute
    # are in it (2 + 3 = 5), the minute before and the one after are not (100, 1000).
    Vector(
        "a month of New York begins and ends there",
        Objective(
            "sum", Indicator("sum", FACT, unit="incidents"), Limit("<=", 5), Calendar(1, "M", datetime(2026, 1, 1), "America/New_York")
        ),
        (
            Step(
                (
                    Told(t("2026-03-01T04:59:00"), 100),
                    Told(t("2026-03-01T05:00:00"), 2),
                    Told(t("2026-04-01T03:59:00"), 3),
                    Told(t("2026-04-01T04:00:00"), 1000),
                ),
                t("2026-04-01T03:59:30"),
                {"state": "met", "value": 5.0, "n": 2, "window": (t("2026-03-01T05:00:00"), t("2026-04-01T04:00:00"))},
            ),
        ),
    ),
    # Of 1 … 20 the 95th percentile has the rank ⌈0.95 · 20⌉ = 19: the value 19 (within 1 %), not 19.05 between two ranks.
    # One more 20 makes it ⌈0.95 · 21⌉ = ⌈19.95⌉ = 20: the 20th smallest is 20.
    Vector(
        "a percentile is the value of the nearest rank",
        Objective("p95", Indicator("percentile", FACT, p=95.0, unit="ms"), Limit("<", 19.5), DAY),
        (
            Step(tuple(Told(t(f"2026-06-15T09:{n:02d}:00"), n) for n in range(1, 21)), NOW, {"state": "met", "value": 19.0, "n": 20}),
            Step((Told(t("2026-06-15T10:00:00"), 20),), NOW, {"state": "missed", "value": 20.0, "n": 21}),
        ),
        within=0.01,
    ),
    # 105 of 120 events are good (0.875), but slices are promised: of 12 slices 3 are bad, 9 ÷ 12 = 0.75, which is just enough.
    # (1 − 0.75) · 12 = 3 may be bad: all spent, nothing over.
    Vector(
        "slices of time that fall short",
        ratio(0.75, HOUR, budgeting=Budgeting("Timeslices", timedelta(minutes=5), 0.9)),
        (
            Step(
                SLICES,
                NOW,
                {
                    "state": "met",
                    "value": 0.75,
                    "weight": 120,
                    "budget_bad": 3,
                    "budget_total": 12,
                    "budget_allowed": 3,
                    "budget_remaining": 0,
                    "budget_unit": "slices",
                    "budget_state": "Exhausted",
                },
            ),
        ),
    ),
    # Less is better: 2 failed of 200 = 1 % < 2 %. What is counted is the bad: 200 · 0.02 = 4 may fail, 2 did, half is left.
    Vector(
        "where less is better the counted share is the bad one",
        Objective("failed", Indicator("ratio", FACT, good=Test("==", 1)), Limit("<", 0.02), DAY, alerting=Alerting(min_bad_events=3)),
        (
            Step(
                (Told(t("2026-06-15T09:00:00"), 1, 2), Told(t("2026-06-15T09:00:30"), 0, 198)),
                NOW,
                {"state": "met", "value": 0.01, "budget_bad": 2, "budget_total": 200, "budget_remaining": 0.5, "budget_state": "Warning"},
            ),
        ),
    ),
)
