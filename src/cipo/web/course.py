"""The course of a promise in pictures and words: day by day against its limit, with marks where a figure was seen or published as another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from markupsafe import Markup

from cipo.kernel.drawing import chart
from cipo.kernel.slo.course import Day
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.period import Published
from cipo.org.measured import Measured
from cipo.org.model import Kpi
from cipo.web import budgets, gauges, words
from cipo.web.console import Console, Visit
from cipo.web.periods import Month

DAYS, HEAT = "90d", 182
DIFFERS = 0.02
"""From which share of the picture's height a figure that was seen differs from what the facts say now."""


@dataclass(frozen=True, slots=True)
class DayRow:
    """A day as the tables and the calendar say it."""

    at: datetime
    n: int
    own: str
    own_state: str
    value: str
    state: str
    remaining: str
    href: str


@dataclass(frozen=True, slots=True)
class Course:
    """What the pictures are drawn from."""

    asked: Measured
    days: list[Day]
    seen: list[tuple[datetime, float | None, str]]
    published: list[Published]


async def read(console: Console, visit: Visit, kpi: Kpi, days: int) -> Course:
    """What the pictures of the page and of the exports are drawn from."""
    asked = await console.kpis.measured(visit.caller, kpi.name)
    daily = await console.kpis.daily(asked, max(days, HEAT))
    return Course(asked, daily, await console.kpis.seen(asked, days), await console.kpis.revisions(asked))


def said_span(start: datetime, end: datetime) -> str:
    """``12 Oct`` for a day, ``12 Oct 14:00 to 15:00`` for a part of one (UTC)."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if end - start == timedelta(days=1) and start.hour == start.minute == 0:
        return f"{start:%a} {start.day} {start:%b}"
    if start.date() == (end - timedelta(microseconds=1)).date():
        return f"{start.day} {start:%b} {start:%H:%M} to {end:%H:%M} UTC"
    return f"{start.day} {start:%b} {start:%H:%M} to {end.day} {end:%b} {end:%H:%M} UTC"


def axis(kpi: Kpi) -> chart.Axis:
    """How the picture's axis speaks: numbers in the unit that people read."""
    share = words.share(kpi)

    def say(value: float) -> str:
        if share:
            return f"{words.number(value * 100, 4)}\u202f%"
        return f"{words.number(value, 4)}{words.unit_suffix(kpi.indicator.unit)}"

    return chart.Axis(kpi.objective.limit, kpi.objective.min is not None, f"promised {words.promised(kpi)}", say, 1.0 if share else None)


def picture(kpi: Kpi, course: Course, days: int, *, width: int | None = None, height: int = 264) -> Markup:
    """The course with its promise; marked where the number was seen or published as another."""
    shown = course.days[-days:]
    dots = [chart.Dot(day.at, day.value, said_day(kpi, day)) for day in shown]
    label = f"{kpi.text}: course over {days} days against {words.promised(kpi)}. The table below holds the same numbers."
    return chart.course(dots, axis(kpi), notes(kpi, course, shown), width=width, height=height, label=label)


def notes(kpi: Kpi, course: Course, shown: Sequence[Day]) -> list[chart.Note]:
    """Where a figure differs from what the facts say now: published ones that were revised, and days on which another number was seen."""
    by_day = {day.at.date(): day for day in shown}
    values = [day.value for day in shown if day.value is not None]
    height = max([*values, kpi.objective.limit], default=0.0) - min([*values, kpi.objective.limit], default=0.0)
    found = []
    revised = {one.start for one in course.published if one.revision > 1}
    for one in course.published:
        if one.start in revised and one.revision == 1 and one.value is not None:
            newest = next(other for other in course.published if other.start == one.start)
            title = f"Published for {Month.of(one.end).words} as {words.measured(kpi, one.value)}; revision {newest.revision} says {words.measured(kpi, newest.value)}"
            found.append(chart.Note(one.end - timedelta(microseconds=1), one.value, title, "warn"))
    marked = {note.at.date() for note in found}
    for at, value, _ in course.seen:
        day = by_day.get(at.date())
        if value is None or day is None or day.value is None or at.date() in marked or day is shown[-1]:
            continue
        if abs(value - day.value) > DIFFERS * height and words.measured(kpi, value) != words.measured(kpi, day.value):
            title = f"{said_date(at)}: seen as {words.measured(kpi, value)} on the day, now {words.measured(kpi, day.value)}"
            found.append(chart.Note(at, value, title))
    return found


def said_date(at: datetime) -> str:
    """``Mon 12 Oct``."""
    at = at.astimezone(UTC)
    return f"{at:%a} {at.day} {at:%b}"


def said_day(kpi: Kpi, day: Day) -> str:
    """A day of the course for whoever points at it."""
    if day.value is None:
        return f"{said_date(day.at)}: unknown"
    state = f", {words.STATE_WORDS[day.state]}" if day.state != "unknown" else ", too little to say"
    return f"{said_date(day.at)}: {words.measured(kpi, day.value)}{state}"


def own_state(objective: Objective, day: Day) -> str:
    """How a day went by its own facts alone."""
    if not day.n or day.own is None:
        return "unknown"
    return "met" if objective.limit.keeps(day.own) else "missed"


def day_row(kpi: Kpi, objective: Objective, day: Day, span: str) -> DayRow:
    """One day in words."""
    remaining = "" if day.remaining is None else budgets.percent(day.remaining)
    state = own_state(objective, day)
    href = slice_href(day.at, day.at + timedelta(days=1), span)
    return DayRow(day.at, day.n, words.measured(kpi, day.own), state, words.measured(kpi, day.value), day.state, remaining, href)


def slice_href(start: datetime, end: datetime, span: str) -> str:
    """The same page with the facts of a slice."""
    whole = start.hour == start.minute == end.hour == end.minute == 0
    given = {"from": f"{start:%Y-%m-%d}" if whole else words.iso(start), "to": f"{end:%Y-%m-%d}" if whole else words.iso(end)}
    return "?" + urlencode(({"days": span} if span != DAYS else {}) | given) + "#facts"


def calendar(rows: Sequence[DayRow]) -> Markup:
    """The days as a calendar."""
    cells = [gauges.Cell(row.at.date(), row.own_state, said_own(row), row.href) for row in rows]
    return gauges.calendar(cells, label=f"The last {len(rows)} days, each by its own facts")


def said_own(row: DayRow) -> str:
    """A day of the calendar for whoever points at it."""
    if not row.n:
        return f"{said_date(row.at)}: no facts"
    return f"{said_date(row.at)}: {row.own}, {words.plural(row.n, 'fact')}, {words.STATE_WORDS[row.own_state]}"
