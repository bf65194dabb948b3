"""Counters for Prometheus: whatever happens to the facts, they never go back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from cipo.kernel.slo import counter
from cipo.kernel.slo.counter import Events
from cipo.kernel.slo.objective import Indicator, Limit
from cipo.kernel.slo.objective import Test as Passes
from tests.kernel.slo.conftest import NOON, Told, objective

pytestmark = pytest.mark.anyio


async def counted(ground, promise):
    return (await counter.advance(ground.db, [promise], {promise.name: await ground.series(promise)}))[promise.name]


def days(*values: float, weight: int = 1) -> list[Told]:
    return [Told(NOON - timedelta(days=n), value, weight) for n, value in enumerate(values)]


async def test_a_counter_is_the_sum_of_all_days_since_the_first_fact(ground):
    fact = ground.name()
    promise = objective(fact)
    assert await counted(ground, promise) == Events(0, 0)
    await ground.tell(fact, days(1, 1, 0, 1, weight=10))
    assert await counted(ground, promise) == Events(30, 10)
    await ground.tell(fact, [Told(NOON - timedelta(days=400), 0)])  # late by a year: it counts when it arrives
    assert await counted(ground, promise) == Events(30, 11)


async def test_where_less_is_better_what_passes_the_test_is_bad(ground):
    fact = ground.name()
    await ground.tell(fact, days(1, 0, 0, 0))
    assert await counted(ground, objective(fact, limit=Limit("<=", 0.02))) == Events(3, 1)


async def test_a_correction_never_takes_a_counter_back(ground):
    fact, wrong = ground.name(), "00000000-0000-4000-8000-000000000001"
    promise = objective(fact)
    await ground.tell(fact, [Told(NOON, 0, 100, id=wrong), *days(1, 1)])
    assert await counted(ground, promise) == Events(2, 100)
    await ground.tell(fact, [Told(NOON, 1, 100, supersedes=wrong)])
    assert await counted(ground, promise) == Events(102, 100)  # the bad ones stay until as many new ones have come
    await ground.tell(fact, [Told(NOON + timedelta(minutes=1), 0, 99)])
    assert await counted(ground, promise) == Events(102, 100)
    await ground.tell(fact, [Told(NOON + timedelta(minutes=2), 0, 2)])
    assert await counted(ground, promise) == Events(102, 101)


async def test_a_promise_that_is_measured_anew_goes_on_from_where_its_counter_was(ground):
    fact = ground.name()
    promise = objective(fact)
    await ground.tell(fact, days(1, 1, 0))
    assert await counted(ground, promise) == Events(2, 1)
    anew = replace(promise, indicator=Indicator("ratio", fact, good=Passes(">=", 0.5)))
    assert await counted(ground, anew) == Events(2, 1)
    await ground.tell(fact, [Told(NOON, 1), Told(NOON, 0, 5)])
    assert await counted(ground, anew) == Events(3, 6)
    assert await counted(ground, promise) == Events(3, 6)  # and back again


async def test_a_promise_that_counts_nothing_has_no_counter(ground):
    fact = ground.name()
    mean = objective(fact, "mean", limit=Limit("<=", 5))
    assert await counter.advance(ground.db, [mean], {mean.name: await ground.series(mean)}) == {}
