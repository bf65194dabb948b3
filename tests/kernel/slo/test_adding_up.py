"""Slices add up: the same facts in any order, lateness and split give the same figures, on PostgreSQL and on DuckDB."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cipo.kernel.slo import expression, roll, slices
from cipo.kernel.slo.buckets import bucket_of, merged, percentile, rank, value_of
from cipo.kernel.slo.lake import Lake
from cipo.kernel.slo.objective import Indicator, where
from cipo.kernel.slo.slices import added
from cipo.kernel.slo.windows import Calendar, Rolling, cover
from tests.kernel.slo.conftest import NOON, Told, histogram_of, objective, totals_of

pytestmark = pytest.mark.anyio
ON_A_DATABASE = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

sizes = st.one_of(
    st.floats(1e-9, 1e9),
    st.floats(-1e6, -1e-6),
    st.just(0.0),
    st.just(1.0),
    st.integers(-1000, 1000).map(float),
    st.sampled_from([0.1, 0.3, 1e-12, 99.99]),
)
moments = st.integers(0, 3 * 86_400 * 1000).map(lambda ms: NOON - timedelta(milliseconds=ms))
told = st.builds(Told, at=moments, value=sizes, weight=st.sampled_from([1, 1, 1, 7, 1000]))


@ON_A_DATABASE
@given(facts=st.lists(told, min_size=1, max_size=60), seed=st.integers(0, 1 << 30), batches=st.integers(1, 5))
async def test_any_order_and_lateness_gives_the_same_figures(ground, facts, seed, batches):
    name = ground.name()
    asked = objective(name, "percentile", p=95.0)
    shuffled = facts[:]
    random.Random(seed).shuffle(shuffled)
    size = -(-len(shuffled) // batches)
    for start in range(0, len(shuffled), size):
        await ground.tell(name, shuffled[start : start + size])
        series = await ground.series(asked)  # rolled in between: what follows comes late
    start, end = asked.window.bounds(NOON)
    assert await slices.totals(ground.db, series, start, end) == totals_of(facts)
    found = await slices.histogram(ground.db, series, start, end)
    # A logarithm may fall to either side of a bucket's edge by its last bit: neighbours are the same answer within the promise.
    assert sum(found.values()) == sum(histogram_of(facts).values())
    assert all(any((sign, index + off) in found for off in (-1, 0, 1)) for sign, index in histogram_of(facts))


@ON_A_DATABASE
@given(facts=st.lists(told, min_size=2, max_size=40), cut=st.integers(1, 4 * 24 * 3))
async def test_any_split_of_time_adds_up_to_the_whole(ground, facts, cut):
    name = ground.name()
    asked = objective(name, "percentile", p=50.0)
    await ground.tell(name, facts)
    series = await ground.series(asked)
    start, end = asked.window.bounds(NOON)
    middle = end - cut * timedelta(minutes=15)
    parts = [await slices.totals(ground.db, series, *span) for span in ((start, middle), (middle, end))]
    assert added(part for part in parts if part is not None) == await slices.totals(ground.db, series, start, end)
    halves = [await slices.histogram(ground.db, series, *span) for span in ((start, middle), (middle, end))]
    assert merged(halves) == await slices.histogram(ground.db, series, start, end)
    of_days = [one for _, one in await slices.by_slice(ground.db, series, start, end, timedelta(hours=1))]
    assert added(of_days) == await slices.totals(ground.db, series, start, end)


@ON_A_DATABASE
@given(facts=st.lists(told, min_size=1, max_size=60))
async def test_another_engine_gives_the_same_figures(ground, tmp_path, facts):
    name = ground.name()
    asked = objective(name, "percentile", p=99.0)
    await ground.tell(name, facts)
    series = await ground.series(asked)
    file = tmp_path / f"{name}.parquet"
    rows = await ground.db.fetch(
        "select id::text, name, ts at time zone 'UTC', value, weight, attrs::text, supersedes::text from cipo.fact where name = %s", (name,)
    )
    write_parquet(file, rows)
    lake, (start, end) = Lake([file], threads=1), asked.window.bounds(NOON)
    here, there = await slices.totals(ground.db, series, start, end), lake.totals(asked.indicator, start, end)
    assert (here.n, here.weight, here.good, here.low, here.high, here.last, here.last_at, here.filled) == (
        there.n, there.weight, there.good, there.low, there.high, there.last, there.last_at, there.filled,
    )  # fmt: skip
    assert math.isclose(here.total, there.total, rel_tol=1e-12, abs_tol=1e-9)
    assert await slices.histogram(ground.db, series, start, end) == lake.histogram(asked.indicator, start, end)


def write_parquet(file, rows):
    with duckdb.connect() as db:
        db.execute(
            "create table told (id varchar, name varchar, ts timestamp, value double, weight bigint, attrs varchar, supersedes varchar)"
        )
        db.executemany("insert into told values (?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute(f"copy told to '{file}' (format parquet)")


CONDITIONS = [
    ({"site": "ams1"}, 2),
    ({"site": ["ams1", "fra1"]}, 3),
    ({"site": "?r*"}, 1),
    ({"attempt": 1}, 2),
    ({"attempt": ">= 2"}, 2),
    ({"protected": True}, 2),
    ({"site": "ams1", "protected": True}, 1),
    ({"site": "a_s1"}, 0),
    ({"si'te": "ams1"}, 0),
    ({"site": "ams1' or 1=1 --"}, 0),
]


@pytest.mark.parametrize(("given", "n"), CONDITIONS, ids=[str(given) for given, _ in CONDITIONS])
async def test_conditions_on_attributes_mean_the_same_on_both_engines(ground, tmp_path, given, n):
    name = ground.name()
    await ground.tell(
        name,
        [
            Told(NOON, 1.0, attrs={"site": "ams1", "attempt": 1, "protected": True}),
            Told(NOON, 1.0, attrs={"site": "ams1", "attempt": 2.0, "protected": False}),
            Told(NOON, 0.0, attrs={"site": "fra1", "attempt": 1.0, "protected": True}),
            Told(NOON, 0.0, attrs={"site": "lon1", "attempt": 3}),
            Told(NOON, 0.0),
        ],
    )
    asked = objective(name, where=where(given))
    series = await ground.series(asked)
    start, end = asked.window.bounds(NOON)
    here = await slices.totals(ground.db, series, start, end)
    rows = await ground.db.fetch(
        "select id::text, name, ts at time zone 'UTC', value, weight, attrs::text, supersedes::text from cipo.fact"
    )
    write_parquet(tmp_path / "f.parquet", rows)
    there = Lake([tmp_path / "f.parquet"], threads=1).totals(asked.indicator, start, end)
    assert (here.n if here else 0, there.n if there else 0) == (n, n)


ADVERSARIAL = {
    "constant": [7.25] * 1000,
    "two far apart": [1e-6] * 950 + [1e6] * 50,
    "heavy tail": [1 / (1 - n / 1001) ** 3 for n in range(1000)],
    "bucket edges": [1.0202020202020203**n for n in range(200)],
    "negative and positive": [float(n) for n in range(-500, 500)],
    "zeros": [0.0] * 99 + [5.0],
    "one": [42.0],
    "tiny": [1e-12 * n for n in range(1, 100)],
}


@pytest.mark.parametrize("values", ADVERSARIAL.values(), ids=ADVERSARIAL.keys())
@pytest.mark.parametrize("p", [0.1, 1, 50, 90, 95, 99, 99.9, 100])
def test_a_percentile_is_within_one_per_cent_of_the_exact_one(values, p):
    close(values, p)


@given(values=st.lists(sizes, min_size=1, max_size=300), p=st.floats(0.01, 100))
def test_a_percentile_of_anything_is_within_one_per_cent(values, p):
    close(values, p)


def close(values, p):
    exact = sorted(values)[rank(p, len(values)) - 1]
    found = percentile(merged([{bucket_of(value): 1} for value in values]), p, min(values), max(values))
    assert math.isclose(found, exact, rel_tol=0.01 + 1e-9, abs_tol=0.0)


@given(st.floats(1e-12, 1e12))
def test_a_bucket_answers_within_one_per_cent_of_what_fell_into_it(value):
    assert math.isclose(value_of(bucket_of(value)), value, rel_tol=0.01 + 1e-9)
    assert value_of(bucket_of(-value)) == -value_of(bucket_of(value))


@given(p=st.decimals("0.01", "100", places=2), n=st.integers(1, 10_000_000))
def test_the_rank_is_exact_arithmetic(p, n):
    assert rank(float(p), n) == max(1, math.ceil(Fraction(str(p)) / 100 * n))


@given(values=st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(1, 1000)), min_size=1, max_size=50))
def test_good_and_bad_make_the_whole(values):
    from cipo.kernel.slo.measure import count  # noqa: PLC0415

    facts = totals_of([Told(NOON, value, weight) for value, weight in values])
    for asked in (objective("x"), objective("x", limit=objective("x").limit.__class__("<", 0.02))):
        counted = count(asked, facts.good, facts.weight)
        assert counted.bad + (counted.total - counted.bad) == facts.weight
        assert 0 <= counted.bad <= counted.total


# -- windows


@given(
    now=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)),
    span=st.sampled_from(["5m", "1h", "6h", "7h", "1d", "28d", "90d"]),
)
def test_tiles_cover_a_window_once(now, span):
    from cipo.kernel.slo.windows import duration  # noqa: PLC0415

    window = Rolling(duration(span))
    start, end = window.bounds(now)
    assert start <= now - window.span + timedelta(minutes=window.step) and now < end <= now + timedelta(minutes=window.step)
    edge = start
    for tile in sorted(cover(start, end, window.step), key=lambda tile: tile.start):
        assert tile.start == edge and (tile.end - tile.start) % timedelta(minutes=tile.size) == timedelta(0)
        assert int(tile.start.timestamp()) % (tile.size * 60) == 0
        edge = tile.end
    assert edge == end


@given(
    now=st.datetimes(datetime(2021, 1, 1), datetime(2030, 1, 1)).map(lambda one: one.replace(tzinfo=UTC)),
    zone=st.sampled_from(["UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    unit=st.sampled_from("dwMQY"),
    count=st.integers(1, 3),
)
def test_calendar_periods_follow_one_another_and_hold_their_moment(now, zone, unit, count):
    window = Calendar(count, unit, datetime(2020, 1, 31), zone)
    start, end = window.bounds(now)
    assert start <= now < end
    assert window.before(start)[1] == start and window.bounds(end)[0] == end
    assert int(start.timestamp()) % 900 == 0


def test_a_day_of_a_change_of_the_clocks_has_23_or_25_hours():
    window = Calendar(1, "d", datetime(2026, 1, 1), "Europe/London")
    hours = []
    for month, day in ((3, 29), (10, 25), (6, 1)):
        start, end = window.bounds(datetime(2026, month, day, 12, tzinfo=UTC))
        hours.append((end - start) / timedelta(hours=1))
    assert hours == [23, 25, 24]


def test_the_committed_sql_is_what_the_expression_compiles_to():
    for engine in expression.ENGINES:
        for name in expression.QUESTIONS:
            assert slices.expression(name, engine) == expression.compiled(engine, name), (
                f"run python -m cipo.kernel.slo.expression ({engine}/{name})"
            )


async def test_minutes_that_were_dropped_come_back_with_a_late_fact(ground):
    """Long ago only quarters and days are kept; a late fact must not make a quarter forget what else it held."""
    name, now = ground.name(), datetime.now(UTC)
    long_ago = (now - timedelta(days=40)).replace(minute=2, second=0, microsecond=0)
    asked = objective(name, "mean", limit=objective("x").limit.__class__("<=", 5), window=timedelta(days=90))
    early = [Told(long_ago + timedelta(minutes=n), float(n)) for n in range(10)]
    await ground.tell(name, early)
    series = await ground.series(asked)
    ground.keep = "8 days"
    await ground.series(asked)
    assert await roll.forget(ground.db) == 10
    late = [Told(long_ago + timedelta(minutes=3, seconds=30), 100.0)]
    await ground.tell(name, late)
    await ground.series(asked)
    start, end = asked.window.bounds(now)
    assert await slices.totals(ground.db, series, start, end, 15) == totals_of(early + late)


def test_indicators_with_one_definition_share_their_slices():
    assert Indicator("mean", "a.b").definition == Indicator("max", "a.b").definition
    assert Indicator("mean", "a.b", where({"x": 1})).definition != Indicator("mean", "a.b").definition
