"""The engine without a store says what the engine on PostgreSQL says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cipo.kernel.slo.gather import gather
from cipo.kernel.slo.measure import judge
from cipo.kernel.slo.objective import Alerting, Budgeting, Data, Indicator, Limit, Missing, Objective, Term
from cipo.kernel.slo.objective import Test as Passes
from cipo.kernel.slo.replay import NotReplayed, Replay, matches
from cipo.kernel.slo.replay import Told as Fact
from cipo.kernel.slo.windows import Calendar, Rolling
from tests.kernel.slo.conftest import Ground, Told

NOW = datetime(2026, 6, 15, 12, 7, 30, tzinfo=UTC)
APRIL = datetime(2026, 4, 1)
WINDOWS = st.sampled_from(
    [Rolling(timedelta(hours=1)), Rolling(timedelta(days=7)), Rolling(timedelta(days=30)), Calendar(1, "M", APRIL, "Europe/London"),
     Calendar(1, "w", APRIL, "America/New_York")]
)  # fmt: skip
BUDGETINGS = st.sampled_from(
    [Budgeting(), Budgeting("Timeslices", timedelta(minutes=5), 0.9), Budgeting("RatioTimeslices", timedelta(minutes=1))]
)
FACTS = st.lists(
    st.builds(
        Fact,
        st.one_of(st.integers(0, 7200), st.integers(0, 9 * 86_400), st.integers(0, 70 * 86_400)).map(lambda s: NOW - timedelta(seconds=s)),
        st.sampled_from([0.0, 1.0, 1.0, 1.0, 250.5, -3.0]),
        st.integers(1, 40),
        st.fixed_dictionaries(
            {}, optional={"place": st.sampled_from(["a-01", "b-01", "A"]), "level": st.sampled_from([1, 2.5, "2", True])}
        ),
    ),
    max_size=40,
)
WHERES = st.sampled_from(
    [
        (),
        (Term("place", "glob", ("a*",)),),
        (Term("level", ">=", (2.0,)),),
        (Term("level", "in", (1.0, True)),),
        (Term("place", "in", ("A", "b-01")),),
    ]
)


@st.composite
def objectives(draw: Any) -> Objective:
    method = draw(st.sampled_from(["ratio", "ratio", "ratio", "mean", "percentile", "min", "max", "last", "sum", "count", "rate"]))
    window = draw(WINDOWS)
    budgeting = draw(BUDGETINGS) if method == "ratio" and window != Rolling(timedelta(hours=1)) else Budgeting()
    return Objective(
        "o",
        Indicator(
            method, "f", draw(WHERES), draw(st.sampled_from([Passes(), Passes("<=", 1.0), Passes("!=", 0.0)])),
            p=95.0 if method == "percentile" else None, per=timedelta(days=1) if method == "rate" else None,
        ),
        draw(st.sampled_from([Limit(">=", 0.9), Limit("<", 0.05)])),
        window,
        budgeting=budgeting,
        data=draw(st.sampled_from([Data(), Data(every=timedelta(minutes=1), missing=Missing("bad")), Data(every=timedelta(minutes=2)), Data(min_events=5)])),
        alerting=Alerting(min_bad_events=draw(st.integers(0, 4)), absolute=draw(st.sampled_from([None, 3]))),
    )  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(objective=objectives(), facts=FACTS)
async def test_a_replay_agrees_with_the_store(ground: Ground, objective: Objective, facts: list[Fact]) -> None:
    name = ground.name()
    objective = replace(objective, indicator=replace(objective.indicator, fact=name))
    await ground.tell(name, [Told(one.at, one.value, one.weight, dict(one.attrs)) for one in facts])
    stored = await gather(ground.db, objective, await ground.series(objective), NOW)
    listed = Replay(objective, facts).inputs(NOW)
    if objective.indicator.method not in ("min", "max", "percentile") and listed.totals and stored.totals:  # only these need bounds
        stored = replace(stored, totals=replace(stored.totals, low=listed.totals.low, high=listed.totals.high))
    assert replace(listed, expected_total=None) == replace(stored, subjects=None, expected_total=None, histogram=listed.histogram)
    assert listed.histogram == stored.histogram
    assert (listed.expected_total is None) == (stored.expected_total is None)
    assert listed.expected_total == pytest.approx(stored.expected_total)
    assert judge(objective, listed, NOW) == judge(objective, replace(stored, expected_total=listed.expected_total), NOW)


def test_what_is_told_later_is_not_known_yet() -> None:
    objective = Objective("o", Indicator("count", "f"), Limit(">=", 1), Rolling(timedelta(days=1)))
    replay = Replay(objective, [Fact(NOW, 1.0), Fact(NOW + timedelta(seconds=1), 1.0)])
    assert [verdict.n for _, verdict in replay.course([NOW - timedelta(seconds=1), NOW, NOW + timedelta(seconds=1)])] == [0, 1, 2]


def test_a_duration_is_not_replayed() -> None:
    with pytest.raises(NotReplayed, match="more than one list of facts"):
        Replay(Objective("o", Indicator("duration", "a", end="b"), Limit("<", 1), Rolling(timedelta(days=1))), [])


@pytest.mark.parametrize(
    ("term", "given", "holds"),
    [
        (Term("a", "in", ("x",)), "x", True), (Term("a", "in", (1.0,)), "1", False), (Term("a", "in", (1.0,)), True, False),
        (Term("a", "glob", ("prod-?",)), "prod-1", True), (Term("a", "glob", ("[a]*",)), "[a]b", True), (Term("a", "glob", ("[a]*",)), "ab", False),
        (Term("a", ">", (2.0,)), 3, True), (Term("a", ">", (2.0,)), "3", False), (Term("a", ">", (0.0,)), True, False),
    ],
)  # fmt: skip
def test_a_condition_holds_by_the_rules_of_the_store(term: Term, given: Any, holds: bool) -> None:
    assert matches(term, {"a": given}) is holds
    assert not matches(term, {})
