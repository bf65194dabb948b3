"""What was published stays; late, corrected, doubled and removed facts make revisions, and a KPI says so in its event."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cipo.kernel.ctx import Ctx, Scene
from cipo.kernel.errors import ApiError, Conflict, Forbidden, Invalid
from cipo.kernel.slo import course, period, slices, unfinished
from cipo.kernel.slo.objective import Limit, where
from cipo.kernel.store.db import Database
from cipo.kernel.store.resources import Resources
from cipo.kernel.store.tx import Actor, Tx, unit_caller
from tests.kernel.slo.conftest import Told, objective
from tests.kernel.toy import ANNA, BOX, MOVED, REGISTRY, Anything, box

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 7, 3, 9, 30, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, tzinfo=UTC)


async def test_a_month_is_published_once_and_a_late_fact_adds_a_revision(ground):
    name = ground.name()
    asked = objective(name, limit=Limit(">=", 0.9))
    await ground.tell(name, [Told(JUNE + timedelta(days=n), float(n != 3)) for n in range(20)])
    series = await ground.series(asked)
    first = await period.publish(ground.db, asked, series, NOW)
    assert [(one.start, one.revision, one.value, one.state, one.n) for one in first[:1]] == [(JUNE, 1, 0.95, "met", 20)]
    assert await period.publish(ground.db, asked, series, NOW) == first  # nothing new, nothing written

    await ground.tell(name, [Told(JUNE + timedelta(days=10, hours=1), 0.0), Told(JUNE + timedelta(days=11, hours=1), 0.0)])
    await ground.series(asked)
    after = await period.publish(ground.db, asked, series, NOW)
    assert [(one.revision, one.n, one.state) for one in after[:1]] == [(2, 22, "missed")]
    both = await period.revisions(ground.db, asked.name, JUNE)
    assert [(one.revision, one.value, one.n) for one in both] == [(2, 19 / 22, 22), (1, 0.95, 20)]
    assert len(both[0].causes) == 2 and "0.95 (met) became 0.863636 (missed) by 2 late" in both[0].reason


async def test_facts_that_are_removed_make_a_revision_too_and_none_is_unknown(ground):
    name = ground.name()
    asked = objective(name)
    await ground.tell(name, [Told(JUNE + timedelta(days=n), 1.0) for n in range(5)])
    series = await ground.series(asked)
    await period.publish(ground.db, asked, series, NOW)
    await ground.db.execute("delete from cipo.fact where name = %s", (name,))
    await ground.series(asked)
    (after,) = (await period.publish(ground.db, asked, series, NOW))[:1]
    assert (after.revision, after.value, after.state, after.n) == (2, None, "unknown", 0)
    assert "removed" in after.reason
    verdict = await ground.verdict(asked, NOW)
    assert (verdict.state, verdict.value) == ("unknown", None)


async def test_a_fact_outside_of_the_period_does_not_touch_it(ground):
    name = ground.name()
    asked = objective(name)
    await ground.tell(name, [Told(JUNE + timedelta(days=5), 1.0)])
    series = await ground.series(asked)
    first = await period.publish(ground.db, asked, series, NOW)
    await ground.tell(name, [Told(NOW - timedelta(hours=1), 0.0)])
    await ground.series(asked)
    assert await ground.db.fetch("select * from cipo.kpi_reopened") == []
    assert await period.publish(ground.db, asked, series, NOW) == first


async def test_nothing_is_published_before_the_allowed_lateness_is_over(ground):
    name = ground.name()
    asked = objective(name)
    await ground.tell(name, [Told(JUNE + timedelta(days=5), 1.0)])
    series = await ground.series(asked)
    july = datetime(2026, 7, 1, tzinfo=UTC)
    assert await period.publish(ground.db, asked, series, july + timedelta(minutes=59)) == []
    assert len(await period.publish(ground.db, asked, series, july + timedelta(minutes=61))) == 1


async def test_published_rows_cannot_be_changed_by_the_plane(ground):
    """The first revision is still there after any number of corrections: rows are only added."""
    name = ground.name()
    asked = objective(name)
    await ground.tell(name, [Told(JUNE + timedelta(days=2), 1.0)])
    series = await ground.series(asked)
    for n in range(4):
        await period.publish(ground.db, asked, series, NOW)
        await ground.tell(name, [Told(JUNE + timedelta(days=3, minutes=n), 0.0)])
        await ground.series(asked)
    await period.publish(ground.db, asked, series, NOW)
    found = await period.revisions(ground.db, asked.name, JUNE)
    assert [one.revision for one in found] == [5, 4, 3, 2, 1]
    assert found[-1].value == 1.0


async def test_two_that_publish_at_once_publish_once(ground):
    name = ground.name()
    asked = objective(name)
    await ground.tell(name, [Told(JUNE + timedelta(days=2), 1.0)])
    series = await ground.series(asked)
    await asyncio.gather(*(period.publish(ground.db, asked, series, NOW) for _ in range(6)))
    assert len(await period.revisions(ground.db, asked.name)) == 1


async def test_the_course_of_days_is_read_from_the_facts_as_they_are_now(ground):
    name = ground.name()
    asked = objective(name, limit=Limit(">=", 0.9), window=timedelta(days=7))
    start = NOW - timedelta(days=9)
    await ground.tell(
        name, [Told(start + timedelta(days=n, minutes=m), 0.0 if n == 4 and m < 5 else 1.0) for n in range(10) for m in range(10)]
    )
    series = await ground.series(asked)
    days = await course.daily(ground.db, asked, series, NOW, 10)
    assert [day.own for day in days] == [1.0] * 4 + [0.5] + [1.0] * 5
    assert [round(day.value, 4) for day in days] == [1.0] * 4 + [0.9, 0.9167, 0.9286, 0.9286, 0.9286, 0.9286]
    assert days[4].remaining == pytest.approx(0.0) and days[4].state == "met"
    (worst,) = await course.worst(ground.db, asked, series, NOW)
    assert worst.share == 1.0 and worst.start <= start + timedelta(days=4) < worst.end


# -- writing facts, by a unit


@pytest.fixture
async def store(pg_dsn):
    async with Database(pg_dsn) as db:
        yield Resources(db, REGISTRY, Anything(), key=b"k")


async def told(store, **more):
    """A fact as a unit's action leaves it."""

    value = more.pop("value", 1.0)
    caller = unit_caller("1A/U-W2")

    async def attempt():
        async with store.db.transaction() as conn:
            tx = Tx(store.core, conn, Actor(caller, "1A/U-W2"))
            ctx = Ctx(Scene(store, caller, Actor(caller, "1A/U-W2"), tx=tx, unit="1A/U-W2"))
            ctx.fact(MOVED, value, to=more.pop("to", "x"), **more)
            snapshot = await tx.must_read(BOX, "a")
            change, _ = await tx.update(BOX, snapshot, snapshot.old.object(), part="all", verb="update", always=True)
            await tx.commit([change], ctx.take_facts())

    await store.core.run(attempt)


async def rows(store):
    return await store.db.fetch("select id::text, value, weight, supersedes::text, ts from cipo.fact order by recorded_at")


async def test_the_same_fact_twice_is_one_and_another_payload_is_a_conflict(store):
    await store.create(ANNA, BOX, box("a"))
    await told(store, key="probe-1")
    await told(store, key="probe-1")
    assert len(await rows(store)) == 1
    with pytest.raises(Conflict, match="probe-1"):
        await told(store, key="probe-1", value=0.0)
    assert len(await rows(store)) == 1


async def test_two_writers_of_one_key_leave_one_fact(store):
    await store.create(ANNA, BOX, box("a"))
    results = await asyncio.gather(*(told(store, key="k") for _ in range(8)), return_exceptions=True)
    assert len(await rows(store)) == 1
    assert all(result is None or isinstance(result, Conflict) for result in results)  # the box itself is contended


async def test_a_correction_replaces_the_fact_and_can_be_corrected_in_turn(store, ground):
    asked = objective("toy.moved", "sum", limit=Limit(">=", 0))
    await store.create(ANNA, BOX, box("a"))
    await told(store, value=10.0)
    series = await ground.series(asked)
    ((wrong, *_),) = await rows(store)
    await told(store, value=7.0, supersedes=wrong)
    second = (await rows(store))[1][0]
    await told(store, value=5.0, supersedes=second)
    await ground.series(asked)
    start, end = asked.window.bounds(datetime.now(UTC))
    found = await slices.totals(store.db, series, start, end)
    assert (found.n, found.total) == (1, 5)
    with pytest.raises(Conflict, match="was corrected by"):
        await told(store, value=1.0, supersedes=wrong)
    with pytest.raises(Conflict, match="no fact of that name"):
        await told(store, value=1.0, supersedes="00000000-0000-0000-0000-000000000000")
    assert len(await rows(store)) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e21])
async def test_what_is_no_measurement_is_refused(store, value):
    await store.create(ANNA, BOX, box("a"))
    with pytest.raises(Invalid, match="no measurement"):
        await told(store, value=value)


async def test_the_future_is_refused_and_the_past_is_taken(store):
    await store.create(ANNA, BOX, box("a"))
    with pytest.raises(Invalid, match="future"):
        await told(store, at=datetime.now(UTC) + timedelta(hours=1))
    past = datetime.now(UTC) - timedelta(days=100)
    await told(store, at=past, weight=12)
    ((_, _, weight, _, ts),) = await rows(store)
    assert (ts, weight) == (past, 12)
    assert (await store.db.fetch("select at from cipo.fact_dirty"))[0][0] == past.replace(second=0, microsecond=0)


async def test_an_undeclared_attribute_and_anothers_fact_are_refused(store):
    await store.create(ANNA, BOX, box("a"))
    with pytest.raises(ApiError, match="undeclared"):
        await told(store, colour="red")

    caller = unit_caller("1A/U-W2")
    with pytest.raises(Forbidden):
        Ctx(Scene(store, caller, Actor(caller, "1A/U-W2"), unit="1A/U-W2")).fact(replace(MOVED, unit_id="1D/U-DP3"), 1.0, to="x")


async def test_conditions_that_let_nothing_pass_say_so(ground):
    name = ground.name()
    asked = objective(name, where=where({"site": "ams9"}))
    await ground.tell(name, [Told(NOW - timedelta(hours=n), 1.0, attrs={"site": "ams1"}) for n in range(12)])
    verdict = await ground.verdict(asked, NOW)
    assert (verdict.state, verdict.value) == ("unknown", None)
    assert verdict.reason == "no facts with site ams9 in the last 30 days, but 12 with other attributes; check the conditions"


async def test_work_that_turns_out_to_have_begun_restates_the_month_in_which_it_was_open(ground):
    """No end comes, so no value changes; what was open at the month's end did."""
    start, end = ground.name(), ground.name()
    asked = objective(start, "duration", end=end, unit="d", limit=Limit("<=", 5), window=timedelta(days=90))
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    await ground.tell(start, [Told(JUNE + timedelta(days=1), 1.0, subject=one)])
    await ground.tell(end, [Told(JUNE + timedelta(days=3), 1.0, subject=one)])
    series = await ground.series(asked)
    (first,) = (await period.publish(ground.db, asked, series, NOW))[:1]
    assert (first.state, round(first.value)) == ("met", 2)
    await ground.tell(start, [Told(JUNE + timedelta(days=2), 1.0, subject=other)])
    await ground.series(asked)
    (after,) = (await period.publish(ground.db, asked, series, NOW))[:1]
    assert (after.revision, after.state, round(after.value)) == (2, "missed", 28)


async def test_what_is_open_is_known_without_asking_all_that_ever_began(ground):
    start, end = ground.name(), ground.name()
    asked = objective(start, "duration", end=end, unit="h", limit=Limit("<=", 24), window=timedelta(days=30))
    subjects = [str(uuid.uuid4()) for _ in range(10)]
    now = datetime.now(UTC)
    await ground.tell(start, [Told(now - timedelta(days=4), 1.0, subject=one) for one in subjects])
    await ground.tell(end, [Told(now - timedelta(days=3, hours=12), 1.0, subject=one) for one in subjects[:7]])
    verdict = await ground.verdict(asked, now)
    assert await ground.db.fetch("select count(*) from cipo.fact_open") == [(3,)]
    assert (verdict.n, verdict.state, round(verdict.value)) == (10, "missed", 96)
    await ground.tell(end, [Told(now - timedelta(days=3, hours=11), 1.0, subject=one) for one in subjects[7:]])
    verdict = await ground.verdict(asked, now)
    assert await ground.db.fetch("select count(*) from cipo.fact_open") == [(0,)]
    assert (verdict.state, round(verdict.value)) == ("met", 13)
    await ground.db.execute("delete from cipo.fact where name = %s", (end,))
    await ground.series(asked)
    assert await unfinished.note_all(ground.db) == 10  # ends that were deleted name no subject: the routine finds them
    assert (await ground.verdict(asked, now)).state == "missed"
