"""World time: real, scaled or stepped, and never backwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.lab.catalogue import fixtures
from cipo.lab.clock import WorldClock
from cipo.lab.errors import LabError
from cipo.lab.world import World

START = datetime(2026, 11, 23, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_scaled_time_runs_faster_from_where_it_stood():
    clock = WorldClock(START, START).run(START + HOUR, "scaled", 60)
    assert clock.now(START + HOUR) == START + HOUR
    assert clock.now(START + 2 * HOUR) == START + 61 * HOUR


def test_stepped_time_stands_until_it_is_stepped():
    clock = WorldClock(START, START).run(START, "stepped")
    assert clock.now(START + HOUR) == START
    assert clock.step(START + HOUR, timedelta(days=2)).now(START + 2 * HOUR) == START + timedelta(days=2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda c: c.step(START, HOUR),
        lambda c: c.run(START, "scaled", 0),
        lambda c: c.run(START, "scaled", 1e9),
        lambda c: c.run(START, "stepped").step(START, -HOUR),
    ],
)
def test_what_would_break_time_is_refused(wrong):
    with pytest.raises(LabError):
        wrong(WorldClock(START, START))


seconds = st.integers(-7200, 7200)
turns = st.one_of(
    st.tuples(st.just("real"), st.just(1.0)),
    st.tuples(st.just("scaled"), st.floats(0.1, 3600)),
    st.tuples(st.just("stepped"), st.floats(0, 1e6)),
)


@given(st.lists(st.tuples(seconds, turns), max_size=20))
def test_world_time_never_runs_backwards_even_if_wall_time_does(moves):
    clock, wall, before = WorldClock(START, START), START, START
    for jump, (mode, number) in moves:
        wall += timedelta(seconds=jump)
        clock = clock.run(wall, mode, number if mode == "scaled" else 1.0)
        if mode == "stepped":
            clock = clock.step(wall, timedelta(seconds=number))
        assert clock.now(wall) >= before
        before = clock.now(wall)


@pytest.mark.anyio
async def test_the_clock_fixture_serves_sets_and_remembers(tmp_path, http):
    async with World(tmp_path, fixtures(["clock"]), seed=1) as world:
        url = world.url("clock")
        assert (await http.put(url, json={"mode": "stepped"})).json()["mode"] == "stepped"
        before = datetime.fromisoformat((await http.get(url)).json()["now"])
        after = (await http.put(url, json={"stepSeconds": 3600})).json()["now"]
        assert datetime.fromisoformat(after) - before == HOUR
        wrong = await http.put(url, json={"mode": "backwards"})
        assert (wrong.status_code, "give real, scaled or stepped" in wrong.json()["error"]) == (422, True)
        assert (await http.put(url, content="no json")).status_code == 422
    async with World(tmp_path, fixtures(["clock"]), seed=1) as world:
        assert (await http.get(world.url("clock"))).json() == {"now": after, "mode": "stepped", "scale": 1.0}
