"""Budgets, burn rates, tiers and states, by pencil."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.kernel.slo import budget
from cipo.kernel.slo.budget import Alert, Count
from cipo.kernel.slo.durability import nines, poisson_upper
from cipo.kernel.slo.objective import Alerting, Budgeting, Data, Indicator, Limit, Missing, Objective, problems, where
from cipo.kernel.slo.objective import Test as Passes
from cipo.kernel.slo.windows import Calendar, Rolling

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
HOUR, FIVE = timedelta(hours=1), timedelta(minutes=5)
SLO = Objective("api", Indicator("ratio", "api.probe"), Limit(">=", 0.999), Rolling(timedelta(days=30)))
PAGE, SLOW, TICKET, TREND = budget.policy("google-30d")


def test_the_factors_of_the_workbook():
    assert [round(tier.factor, 3) for tier in budget.policy("google-30d")] == [14.4, 6, 3, 1]
    assert [round(tier.factor, 3) for tier in budget.policy("google-28d")] == [13.44, 5.6, 2.8, 0.933]
    assert budget.nearest_policy(SLO) == "google-30d"
    assert budget.nearest_policy(replace(SLO, window=Rolling(timedelta(days=28)))) == "google-28d"
    assert budget.nearest_policy(replace(SLO, window=Rolling(timedelta(days=7)))) == "google-7d"


def test_a_tier_that_can_never_fire_is_said_and_left_out():
    loose = replace(SLO, limit=Limit(">=", 0.9))
    assert budget.unreachable(PAGE, 0.9) == (
        "tier page-quick can never fire at target 0.9 (needs error ratio 1.44); the largest usable factor is below 10, it has 14.4"
    )
    assert budget.unreachable(PAGE, 0.999) is None
    assert [tier.name for tier in budget.tiers_of(loose)] == ["page-slow", "ticket-quick", "ticket-slow"]
    assert budget.tiers_of(replace(SLO, limit=Limit(">=", 1.0))) == ()


def test_both_windows_must_burn():
    busy = Count(200, 10_000)  # 2 %: 20 times too fast
    assert budget.fires(PAGE, 0.999, busy, Count(20, 1000), 3)
    assert not budget.fires(PAGE, 0.999, busy, Count(0, 1000), 3)  # over already
    assert not budget.fires(PAGE, 0.999, Count(100, 10_000), Count(20, 1000), 3)  # 10 times: not yet
    assert not budget.fires(PAGE, 0.999, Count(0, 0), Count(0, 0), 3)


def test_one_error_of_few_does_not_wake_anybody():
    assert not budget.fires(PAGE, 0.999, Count(1, 1), Count(1, 1), 3)  # fewer bad events than it takes
    assert not budget.fires(PAGE, 0.999, Count(3, 150), Count(3, 10), 3)  # 2 %, but Wilson says at least 0.7 %
    assert budget.fires(PAGE, 0.999, Count(3, 10), Count(3, 10), 3)  # 30 %: at least 10.8 %


def test_wilsons_lower_bound():
    assert budget.wilson_lower(3, 10) == pytest.approx(0.10779, abs=1e-5)
    assert budget.wilson_lower(0, 10) == 0
    assert budget.wilson_lower(0, 0) == 0


@given(total=st.integers(1, 100_000), share=st.floats(0, 1))
def test_wilsons_lower_bound_never_exceeds_what_was_seen(total, share):
    bad = round(total * share)
    assert 0 <= budget.wilson_lower(bad, total) <= bad / total + 1e-12


def counts(long, short):
    return {HOUR: long, FIVE: short, timedelta(hours=6): Count(0, 1), timedelta(minutes=30): Count(0, 1)}


def test_an_alert_ends_after_two_calm_looks_and_five_calm_minutes():
    burning, calm = counts(Count(200, 10_000), Count(20, 1000)), counts(Count(200, 10_000), Count(0, 1000))
    tiers = budget.tiers_of(SLO)
    (alert,) = budget.alerts((), tiers, SLO, burning, NOW)
    assert (alert.tier, alert.severity, alert.since) == ("page-quick", "page", NOW)
    (still,) = budget.alerts([alert], tiers, SLO, calm, NOW + timedelta(minutes=1))
    assert (still.calm, still.since) == (1, NOW)
    (still,) = budget.alerts([still], tiers, SLO, calm, NOW + timedelta(minutes=5))
    assert still.calm == 2  # two looks, but only four calm minutes
    assert budget.alerts([still], tiers, SLO, calm, NOW + timedelta(minutes=6)) == ()


def test_an_alert_that_flares_up_starts_to_calm_anew():
    tiers, calm = budget.tiers_of(SLO), counts(Count(200, 10_000), Count(0, 1000))
    held = Alert("page-quick", "page", NOW, calm=1, calm_since=NOW)
    (again,) = budget.alerts([held], tiers, SLO, counts(Count(200, 10_000), Count(20, 1000)), NOW + timedelta(minutes=4))
    assert (again.calm, again.calm_since, again.since) == (0, None, NOW)
    (calming,) = budget.alerts([again], tiers, SLO, calm, NOW + timedelta(minutes=5))
    assert calming.calm_since == NOW + timedelta(minutes=5)


def test_many_bad_events_warn_however_many_good_ones_there_are():
    asked = replace(SLO, alerting=Alerting(absolute=5))
    found = budget.alerts((), (), asked, {timedelta(hours=6): Count(5, 1e9)}, NOW)
    assert [alert.tier for alert in found] == ["absolute"]


def spent(bad, total, before="Unknown", **more):
    return budget.spend(SLO, Count(bad, total), {}, now=NOW, state_before=before, **more)


@pytest.mark.parametrize(
    ("bad", "before", "state"),
    [
        (0, "Unknown", "Healthy"),
        (499, "Healthy", "Healthy"),
        (500, "Healthy", "Warning"),
        (800, "Warning", "AtRisk"),
        (1000, "AtRisk", "Exhausted"),
        (960, "Exhausted", "Exhausted"),  # 4 % left: not yet
        (950, "Exhausted", "AtRisk"),  # 5 % left
        (0, "Exhausted", "Healthy"),
    ],
)
def test_states_and_how_exhausted_is_left(bad, before, state):
    assert spent(bad, 1_000_000, before).state == state


def test_a_page_puts_the_budget_at_risk_however_much_is_left():
    found = budget.spend(SLO, Count(30, 1_000_000), counts(Count(200, 10_000), Count(20, 1000)), now=NOW)
    assert (found.state, round(found.remaining, 3), found.burn["1h"]) == ("AtRisk", 0.97, pytest.approx(20))


def test_nothing_seen_is_unknown_and_not_healthy():
    assert spent(0, 0).state == "Unknown"
    assert spent(5, 100, known=False).state == "Unknown"


def test_a_calendar_period_is_spent_of_what_it_will_allow():
    asked = replace(SLO, window=Calendar(1, "M", datetime(2026, 1, 1)))
    found = budget.spend(asked, Count(500, 500_000), {}, now=NOW, expected_total=1_000_000)
    assert (found.consumed, found.of_period, found.state) == (pytest.approx(1.0), pytest.approx(0.5), "Warning")


def test_the_rest_of_a_period_counts_like_its_weekdays_did():
    assert budget.expected_total(100.0, [0, 1, 5], {0: 10.0, 1: 20.0, 5: 1.0}, 0.5) == 131.0
    assert budget.expected_total(100.0, [0, 6], {0: 10.0}, 0.5) == 120.0  # a weekday without history counts as the usual day
    assert budget.expected_total(100.0, [0], {}, 0.25) == 400.0
    assert budget.expected_total(100.0, [], {0: 10.0}, 0.9) == 100.0


def test_when_it_will_be_used_up():
    six = {timedelta(hours=6): Count(10, 1000)}  # ten times too fast
    found = budget.spend(SLO, Count(500, 1_000_000), six, now=NOW)
    assert found.exhausts_at == NOW + timedelta(days=30) / 10 / 2
    assert spent(0, 1000).exhausts_at is None


def test_slices_of_time_and_their_mean():
    parts = [(99, 100), (90, 100), (0, 0), (100, 100)]
    assert budget.timeslices(parts, 0.95) == Count(1, 3)
    assert budget.ratio_timeslices(parts).bad == pytest.approx(0.11)


def test_a_composite_weighs_its_goals():
    achieved, promised = budget.composite([(Count(1, 100), 0.99, 3.0), (Count(0, 10), 0.9, 1.0), (Count(0, 0), 0.5, 9.0)])
    assert achieved == pytest.approx((0.99 * 3 + 1.0) / 4) and promised == pytest.approx((0.99 * 3 + 0.9) / 4)
    assert budget.composite([]) is None


def test_durability_says_no_more_than_was_seen():
    assert poisson_upper(0) == pytest.approx(2.9957, abs=1e-4)  # the rule of three
    assert poisson_upper(1) == pytest.approx(4.7439, abs=1e-4)
    assert nines(0, 1000) == pytest.approx(-math.log10(1 - math.exp(-2.9957e-3)), abs=1e-3)
    assert nines(0, 0) is None
    assert nines(5, 1e6) < nines(0, 1e6)


WRONG = [
    (replace(SLO, target=1.0), "objective.target", "between 0 and 1"),
    (replace(SLO, limit=Limit(">=", 99.9)), "objective", "no share"),
    (replace(SLO, indicator=Indicator("percentile", "api.probe")), "indicator.p", "needs p"),
    (replace(SLO, indicator=Indicator("rate", "api.probe")), "indicator.per", "unit of time"),
    (replace(SLO, indicator=Indicator("duration", "a.b", end="a.b")), "indicator.end", "same fact"),
    (replace(SLO, indicator=Indicator("ratio", "api.prob")), "indicator.fact", "did you mean api.probe"),
    (replace(SLO, indicator=Indicator("mean", "api.probe", unit="ms")), "indicator.unit", "in 1, the objective in ms"),
    (replace(SLO, budgeting=Budgeting("Timeslices", timedelta(days=4), 0.9)), "budgeting.slice", "more than a tenth"),
    (replace(SLO, budgeting=Budgeting("Timeslices")), "budgeting.slice", "need a slice"),
    (replace(SLO, data=Data(missing=Missing("bad"))), "data.missing", "cadence"),
    (replace(SLO, data=Data(every=FIVE, missing=Missing("hold", FIVE))), "data.missing", "8 days"),
    (replace(SLO, window=Rolling(timedelta(hours=6, minutes=1))), "window", "quarters"),
]


@pytest.mark.parametrize(("asked", "field", "why"), WRONG, ids=[f"{field}: {why}" for _, field, why in WRONG])
def test_what_is_wrong_with_an_objective_is_said(asked, field, why):
    found = dict(problems(asked, {"api.probe": "1", "a.b": "1"}))
    assert why in found.get(field, ""), found


def test_a_right_objective_has_no_problems():
    assert list(problems(SLO, {"api.probe": "1"})) == []


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.one_of(
            st.text("ab*?<1 ", max_size=4), st.booleans(), st.integers(-5, 5), st.lists(st.text("ab", max_size=2), min_size=1, max_size=3)
        ),
    )
)
def test_conditions_are_written_as_they_were_read(given_where):
    once = where(given_where)
    assert where({term.attr: term.plain() for term in once}) == once


def test_tests_of_values():
    assert Passes.parse(" value<=3e2 ") == Passes("<=", 300.0)
    assert str(Passes.parse("value >= 0.5")) == "value >= 0.5"
    with pytest.raises(ValueError, match="no comparison"):
        Passes.parse("value = 1; drop table")
