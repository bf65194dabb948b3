"""A promise about something rare is met when it is proven, not when nothing happened yet; and the largest of all is known exactly."""

from __future__ import annotations

from datetime import timedelta
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.kernel.slo.objective import Data, Limit, problems
from cipo.kernel.slo.proof import bounds
from tests.kernel.slo.conftest import NOON, Told, objective

pytestmark = pytest.mark.anyio


@given(total=st.integers(1, 60), data=st.data())
def test_the_interval_is_where_the_tails_are_a_fortieth(total, data):
    count = data.draw(st.integers(0, total))
    low, high = bounds(count, total, 0.95)
    assert 0 <= low <= count / total <= high <= 1
    if count < total:
        assert sum(comb(total, k) * high**k * (1 - high) ** (total - k) for k in range(count + 1)) == pytest.approx(0.025, rel=1e-9)
    if count > 0:
        assert sum(comb(total, k) * low**k * (1 - low) ** (total - k) for k in range(count, total + 1)) == pytest.approx(0.025, rel=1e-9)


@pytest.mark.parametrize(
    ("failed", "seen", "state"),
    [
        (0, 1000, "unknown"),  # up to 0.368 %
        (0, 1228, "met"),  # up to 0.29995 %
        (1, 1856, "met"),
        (1, 1800, "unknown"),
        (7, 784, "missed"),  # 0.893 %, from 0.36 to 1.83 %: drives that failed in their first weeks
    ],
)
async def test_dead_on_arrival_is_met_when_the_bound_is_below_the_limit(ground, failed, seen, state):
    name = ground.name()
    asked = objective(name, limit=Limit("<", 0.003), data=Data(confidence=0.95))
    await ground.tell(name, [Told(NOON, 0, seen - failed), *([Told(NOON, 1, failed)] if failed else [])])
    verdict = await ground.verdict(asked, NOON)
    assert (verdict.state, verdict.value) == (state, failed / seen)
    assert verdict.reason == ("" if state != "unknown" else verdict.reason)
    if (failed, seen) == (0, 1000):
        assert verdict.reason == "not proven: 1,000 facts allow 0.368% (95% confidence)"


def test_only_a_share_can_be_proven():
    wrong = objective("a.b", "mean", data=Data(confidence=0.95))
    assert ("data.confidence", "is about a share; only a ratio has one") in list(problems(wrong))


async def test_the_hundredth_percentile_is_the_largest_and_not_its_bucket(ground):
    name = ground.name()
    asked = objective(name, "percentile", p=100.0, unit="h", limit=Limit("<=", 72.0), window=timedelta(days=90))
    await ground.tell(name, [Told(NOON, value) for value in (3.0, 71.9, 72.001)])
    verdict = await ground.verdict(asked, NOON)
    assert (verdict.state, verdict.value) == ("missed", 72.001)
