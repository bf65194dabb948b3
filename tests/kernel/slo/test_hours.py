"""Business calendars: hours, holidays and changes of the clocks; what they make of durations; what happens when one is changed or gone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cipo.kernel.slo import roll
from cipo.kernel.slo.hours import CLEAR, FILL, Calendar, CalendarSpec, business_seconds, first_change, spans_of
from cipo.kernel.slo.objective import Limit, where
from cipo.kernel.slo.openings import horizon, merged, without
from cipo.testing import KindSuite, running
from tests.kernel.slo.conftest import Ground, Told, objective

pytestmark = pytest.mark.anyio
LONDON = ZoneInfo("Europe/London")
OFFICE = {"timeZone": "Europe/London", "open": [{"days": ["MO", "TU", "WE", "TH", "FR"], "opens": "09:00", "closes": "17:00"}]}
SUMMER_BANK_HOLIDAY = "2026-08-31"


def at(text: str) -> datetime:
    """A wall-clock time in London."""
    return datetime.fromisoformat(text).replace(tzinfo=LONDON).astimezone(UTC)


def spans(spec: dict[str, Any], first: str, last: str):
    return spans_of(CalendarSpec.model_validate(spec), date.fromisoformat(first), date.fromisoformat(last))


def hours(spec: dict[str, Any], first: str, last: str) -> float:
    return sum((hi - lo).total_seconds() for lo, hi in spans(spec, first, last)) / 3600


# Hours ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("day", ["2026-03-27", "2026-03-30", "2026-10-23", "2026-10-26"])
def test_a_working_day_has_eight_hours_on_both_sides_of_a_change_of_the_clocks(day):
    assert hours(OFFICE, day, str(date.fromisoformat(day) + timedelta(days=1))) == 8


@pytest.mark.parametrize(("night", "long"), [("2026-03-27", 8), ("2026-03-28", 7), ("2026-10-24", 9), ("2026-10-25", 8)])
def test_a_night_shift_over_the_change_has_an_hour_less_or_more(night, long):
    # London changes at 01:00 UTC on 29 March (01:00 becomes 02:00) and on 25 October (02:00 becomes 01:00).
    shift = {"timeZone": "Europe/London", "open": [{"rrule": "FREQ=DAILY", "opens": "22:00", "closes": "06:00"}]}
    begin = at(f"{night}T22:00")
    found = [hi - lo for lo, hi in spans(shift, night, str(date.fromisoformat(night) + timedelta(days=2))) if lo == begin]
    assert found == [timedelta(hours=long)]


@pytest.mark.parametrize(("day", "long"), [("2026-03-29", 23), ("2026-06-01", 24), ("2026-10-25", 25)])
def test_a_whole_day_has_the_hours_it_has(day, long):
    always = {"timeZone": "Europe/London", "open": [{"rrule": "FREQ=DAILY"}]}
    assert hours(always, day, str(date.fromisoformat(day) + timedelta(days=1))) == long


def test_overlapping_hours_count_once():
    twice = {**OFFICE, "open": [*OFFICE["open"], {"days": ["MO"], "opens": "08:00", "closes": "12:00"}]}
    assert hours(twice, "2026-06-01", "2026-06-08") == 41


def test_a_rule_gives_days_by_the_month_and_by_every_other_week():
    first_saturday = {"timeZone": "UTC", "open": [{"rrule": "FREQ=MONTHLY;BYDAY=1SA", "opens": "10:00", "closes": "14:00"}]}
    assert [lo.date().isoformat() for lo, _ in spans(first_saturday, "2026-06-01", "2026-09-01")] == [
        "2026-06-06",
        "2026-07-04",
        "2026-08-01",
    ]
    other = {"timeZone": "UTC", "open": [{"rrule": "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "starts": "2026-06-01", "closes": "12:00"}]}
    assert [lo.day for lo, _ in spans(other, "2026-06-01", "2026-07-01")] == [1, 15, 29]


ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20201225
DTEND;VALUE=DATE:20201227
RRULE:FREQ=YEARLY
TRANSP:TRANSPARENT
SUMMARY:Christmas and Boxing Day
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;TZID=Europe/London:20261224T130000
DURATION:PT4H
SUMMARY:Half a day
END:VEVENT
BEGIN:VEVENT
UID:3
STATUS:CANCELLED
DTSTART;VALUE=DATE:20261222
SUMMARY:Not this year
END:VEVENT
END:VCALENDAR
"""


def test_holidays_of_a_file_and_of_a_list_are_closed():
    spec = {**OFFICE, "ics": ICS, "holidays": ["2026-12-28"]}
    # Mon 21 to Thu 31 December 2026: nine working days of 8 h; the 24th has 4 h, the 25th (Friday) and the 28th none; the 26th is a Saturday.
    assert hours(spec, "2026-12-21", "2027-01-01") == 9 * 8 - 4 - 8 - 8


def test_a_night_shift_ends_where_a_holiday_begins():
    shift = {"timeZone": "Europe/London", "open": [{"days": ["FR"], "opens": "22:00", "closes": "06:00"}], "holidays": ["2026-06-06"]}
    assert hours(shift, "2026-06-05", "2026-06-08") == 2


minutes = st.integers(0, 3000)
some_spans = st.lists(st.tuples(minutes, minutes), max_size=12).map(
    lambda pairs: [(at("2026-06-01T00:00") + timedelta(minutes=min(p)), at("2026-06-01T00:00") + timedelta(minutes=max(p))) for p in pairs]
)


def told_minutes(spans):
    start = at("2026-06-01T00:00")
    return {n for n in range(3001) if any(lo <= start + timedelta(minutes=n) < hi for lo, hi in spans)}


@settings(deadline=None)
@given(some_spans, some_spans)
def test_merging_and_taking_out_are_what_sets_say(some, others):
    whole, cut = merged(some), merged(others)
    assert told_minutes(whole) == told_minutes(some)
    assert all(one[1] < other[0] for one, other in pairwise(whole))
    assert told_minutes(without(whole, cut)) == told_minutes(some) - told_minutes(others)


@settings(deadline=None)
@given(some_spans, some_spans)
def test_the_first_change_is_the_first_minute_in_which_they_differ(some, others):
    old, new = merged(some), merged(others)
    lo = at("2026-06-01T00:00")
    differ = told_minutes(old) ^ told_minutes(new)
    found = first_change(old, new, lo, lo + timedelta(minutes=3001))
    assert found == (lo + timedelta(minutes=min(differ)) if differ else None)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.sets(st.sampled_from(["MO", "TU", "WE", "SA"]), min_size=1),
    starts=st.integers(0, 400_000),
    length=st.integers(-50_000, 400_000),
)
async def test_postgresql_counts_the_same_seconds(ground, days, starts, length):
    spec = {"timeZone": "Europe/London", "open": [{"days": sorted(days), "opens": "20:00", "closes": "04:30"}], "holidays": ["2026-10-26"]}
    found = spans(spec, "2026-10-20", "2026-10-29")
    await ground.db.execute(CLEAR, ("night",))
    await ground.db.execute(FILL, ("night", [lo for lo, _ in found], [hi for _, hi in found]))
    a = at("2026-10-21T00:00") + timedelta(seconds=starts)
    b = a + timedelta(seconds=length)
    rows = await ground.db.fetch("select cipo.business_seconds('night', %s, %s)", (a, b))
    assert rows[0][0] == business_seconds(found, a, b)


def test_hours_are_written_three_years_back_and_a_year_and_a_half_ahead():
    first, last = horizon(date(2026, 11, 25))
    assert (first, last) == (date(2023, 1, 1), date(2028, 6, 1))


# The kind ---------------------------------------------------------------------------------------------------------------


class TestCalendar(KindSuite):
    kind = Calendar
    deletable = False  # its hours go first

    def spec(self, n: int) -> dict[str, Any]:
        return {**OFFICE, "description": f"Office {n}"}

    def change(self) -> dict[str, Any]:
        return {"holidays": [SUMMER_BANK_HOLIDAY]}

    async def test_a_unit_without_a_contract_is_refused_on_every_verb(self, cipo) -> None:
        """Everybody may read it, the CIPO alone writes."""
        assert (await cipo.create(self.info, "one", self.spec(1))).status_code == 201
        stranger = cipo.acting("1F/U-OB1")
        assert (await stranger.get(self.info, "one"))["spec"]["timeZone"] == "Europe/London"
        assert (await stranger.create(self.info, "two", self.spec(2))).status_code == 403


WRONG = [
    ({"timeZone": "Mars/Base"}, "spec.timeZone", "Europe/London"),
    ({"open": []}, "spec.open", "never be open"),
    ({"open": [{"days": ["MO"], "rrule": "FREQ=DAILY"}]}, "spec.open[0].days", "either"),
    ({"open": [{"rrule": "every monday"}]}, "spec.open[0].rrule", "FREQ=WEEKLY"),
    ({"open": [{"rrule": "FREQ=SECONDLY"}]}, "spec.open[0].rrule", "rule of days"),
    ({"open": [{"rrule": "FREQ=DAILY;COUNT=3"}]}, "spec.open[0].rrule", "UNTIL"),
    ({"open": [{"rrule": "FREQ=WEEKLY;BYDAY=XX"}]}, "spec.open[0].rrule", "cannot be read"),
    ({"open": [{"days": ["MO"], "opens": "09:00", "closes": "09:00"}]}, "spec.open[0].closes", "24:00"),
    ({"open": [{"days": ["MO"], "opens": "25:00"}]}, "spec.open[0].opens", "pattern"),
    ({"holidays": ["2026-02-30"]}, "spec.holidays[0]", "2026-12-25"),
    ({"ics": "nothing of the kind"}, "spec.ics", "iCalendar"),
    ({"ics": "BEGIN:VCALENDAR\nEND:VCALENDAR\n"}, "spec.ics", "VEVENT"),
    ({"ics": ICS.replace("FREQ=YEARLY", "FREQ=SECONDLY")}, "spec.ics", "more often than daily"),
    ({"ics": ICS + "X" * 270_000}, "spec.ics", "at most"),
]


async def test_a_wrong_calendar_is_refused_with_field_and_remedy(pg_dsn):
    async with running(pg_dsn) as cipo:
        for changed, where, remedy in WRONG:
            refused = await cipo.create(Calendar.info, "wrong", {**OFFICE, **changed})
            assert refused.status_code == 422, (changed, refused.text)
            causes = refused.json()["details"]["causes"]
            assert any(cause["field"] == where and remedy in cause["message"] for cause in causes), (where, causes)
        builtin = await cipo.create(Calendar.info, "24x7", OFFICE)
        assert (builtin.status_code, "built in" in builtin.text) == (422, True)


# What it makes of durations ---------------------------------------------------------------------------------------------


class Rmas:
    """RMAs by the hours of an office, limit in hours."""

    def __init__(self, cipo) -> None:
        self.cipo, self.ground = cipo, Ground(cipo.plane.db)
        self.opened, self.closed = self.ground.name(), self.ground.name()

    async def calendar(self, **spec: Any) -> None:
        made = await self.cipo.create(Calendar.info, "uk-office", {**OFFICE, **spec})
        assert made.status_code == 201, made.text
        await self.cipo.reconcile()

    async def verdict(self, now: str, limit: float = 40, **more):
        asked = objective(
            self.opened,
            "duration",
            limit=Limit("<=", limit),
            end=self.closed,
            unit="h",
            calendar="uk-office",
            window=timedelta(days=90),
            **more,
        )
        return await self.ground.verdict(asked, at(now))

    async def open(self, when: str, rma: str = "", **attrs) -> str:
        rma = rma or str(uuid4())
        await self.ground.tell(self.opened, [Told(at(when), 1, subject=rma, attrs=attrs)])
        return rma

    async def close(self, rma: str, when: str, **attrs) -> None:
        await self.ground.tell(self.closed, [Told(at(when), 1, subject=rma, attrs=attrs)])


@pytest.fixture
async def rmas(pg_dsn):
    async with running(pg_dsn) as cipo:
        yield Rmas(cipo)


async def test_a_turnaround_over_a_weekend_and_a_holiday_counts_open_hours_only(rmas):
    await rmas.calendar(holidays=[SUMMER_BANK_HOLIDAY])
    rma = await rmas.open("2026-08-28T16:00")  # Friday, an hour before it closes
    await rmas.close(rma, "2026-09-01T10:00")  # Tuesday, an hour after it opens; the Monday is the holiday
    verdict = await rmas.verdict("2026-09-01T12:00")
    assert (verdict.state, verdict.value, verdict.n) == ("met", 2.0, 1)


async def test_a_start_that_comes_late_is_counted_when_it_comes(rmas):
    await rmas.calendar(holidays=[SUMMER_BANK_HOLIDAY])
    rma = str(uuid4())
    await rmas.close(rma, "2026-09-01T10:00")
    assert (await rmas.verdict("2026-09-01T12:00")).reason == "no facts in the last 90 days"
    await rmas.open("2026-08-28T16:00", rma)
    assert (await rmas.verdict("2026-09-01T12:00")).value == 2.0


async def test_what_is_open_counts_with_its_age_once_it_is_over_the_limit(rmas):
    await rmas.calendar(holidays=[SUMMER_BANK_HOLIDAY])
    rma = await rmas.open("2026-08-28T16:00")
    await rmas.close(rma, "2026-09-01T10:00")
    await rmas.open("2026-08-26T09:00")  # Wednesday: 8 + 8 + 8 until the weekend, 3 on Tuesday
    within = await rmas.verdict("2026-09-01T12:00", limit=27)
    assert (within.state, within.value, within.n) == ("met", 2.0, 1)
    over = await rmas.verdict("2026-09-01T12:00", limit=26.5)
    assert (over.state, over.value, over.n) == ("missed", 27.0, 2)
    mean = await rmas.verdict("2026-09-01T12:00", limit=10, average=True)
    assert (mean.state, mean.value, mean.n) == ("missed", 14.5, 2)  # (2 + 27) / 2


async def test_conditions_hold_for_what_is_open_too(rmas):
    await rmas.calendar()
    await rmas.open("2026-08-03T09:00", serious=False)
    rma = await rmas.open("2026-08-28T16:00", serious=True)
    await rmas.close(rma, "2026-08-28T17:00", serious=True)
    verdict = await rmas.verdict("2026-09-01T12:00", limit=8, where=where({"serious": True}))
    assert (verdict.state, verdict.value, verdict.n) == ("met", 1.0, 1)


async def test_without_its_calendar_a_duration_is_unknown_and_never_nought(rmas):
    rma = await rmas.open("2026-08-28T16:00")
    await rmas.close(rma, "2026-09-01T10:00")
    before = await rmas.verdict("2026-09-01T12:00")
    assert (before.state, before.value) == ("unknown", None)
    assert before.reason.startswith("calendar uk-office has no hours for 2026-06-03 to 2026-09-01")
    await rmas.calendar()
    assert (await rmas.verdict("2026-09-01T12:00")).value == 10.0
    far = await rmas.verdict("2031-09-01T12:00")
    assert far.reason.startswith("calendar uk-office has no hours for 2031-")
    await rmas.cipo.call("DELETE", "/apis/kernel.cipo/v1/calendars/uk-office")
    await rmas.cipo.reconcile()
    assert (await rmas.cipo.call("GET", "/apis/kernel.cipo/v1/calendars/uk-office")).status_code == 404
    gone = await rmas.verdict("2026-09-01T12:00")
    assert (gone.state, gone.value) == ("unknown", None)
    assert "calendar uk-office has no hours" in gone.reason


async def test_a_change_of_the_calendar_counts_again_what_it_concerns(rmas):
    await rmas.calendar()
    early, late = await rmas.open("2026-08-03T09:00"), await rmas.open("2026-08-28T16:00")
    await rmas.close(early, "2026-08-03T12:00")
    await rmas.close(late, "2026-09-01T10:00")
    assert (await rmas.verdict("2026-09-01T12:00")).value == 10.0
    patched = await rmas.cipo.call(
        "PATCH",
        "/apis/kernel.cipo/v1/calendars/uk-office",
        json={"spec": {"holidays": [SUMMER_BANK_HOLIDAY]}},
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert patched.status_code == 200, patched.text
    await rmas.cipo.reconcile()
    marked = await rmas.ground.db.fetch("select name, at from cipo.fact_dirty where name = %s", (rmas.closed,))
    assert marked == [(rmas.closed, at("2026-09-01T10:00"))]  # not the one of 3 August
    assert (await rmas.verdict("2026-09-01T12:00")).value == 3.0
    assert await roll.roll(rmas.ground.db) == 0


async def test_a_day_later_nothing_is_counted_again(rmas):
    await rmas.calendar()
    rma = await rmas.open("2026-08-28T16:00")
    await rmas.close(rma, "2026-09-01T10:00")
    await rmas.verdict("2026-09-01T12:00")
    await rmas.ground.db.execute("update cipo.work set due = now() where gk = 'Calendar.kernel.cipo'")
    assert await rmas.cipo.reconcile() >= 1
    assert await rmas.ground.db.fetch("select 1 from cipo.fact_dirty where name = %s", (rmas.closed,)) == []


@pytest.mark.slow
async def test_a_rule_that_finds_no_day_blocks_and_says_so(rmas, monkeypatch):
    monkeypatch.setattr("cipo.kernel.slo.hours.PATIENCE_S", 0.2)
    await rmas.calendar(open=[{"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31"}])
    conditions = (await rmas.cipo.get(Calendar.info, "uk-office"))["status"]["conditions"]
    assert any("31 February" in one["message"] for one in conditions), conditions
