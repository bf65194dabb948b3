"""The events of an .ics file as closed intervals: whole days, times, and what recurs. Pure; ``icalendar`` reads the file.

Events that a feed marks as transparent count too: public feeds of holidays mark them so. A cancelled one does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from dateutil.rrule import rrulestr
from icalendar import Calendar as File

from cipo.kernel.slo.windows import Span, utc

MAX_EVENTS: Final = 5000
UNTIL: Final = re.compile(r"UNTIL=([0-9]{8})(T[0-9]{6})?Z?")
FREQUENT: Final = re.compile(r"FREQ=(HOURLY|MINUTELY|SECONDLY)")
A_DAY: Final = timedelta(days=1)


def fault(text: str) -> str:
    """Why a text is no file of holidays, or nothing."""
    try:
        events = _events(text)
        for event in events:
            _times(event)
            _rule(event)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        return f"cannot be read as iCalendar (RFC 5545): {str(error)[:200] or type(error).__name__}"
    return "" if events else "holds no VEVENT"


def spans(text: str, zone: tzinfo, first: date, last: date) -> list[Span]:
    """What its events close around the days from ``first`` to ``last``."""
    return [span for event in _events(text) for span in _closed(event, zone, first, last)]


def midnight(day: date, zone: tzinfo) -> datetime:
    """The beginning of a day, in UTC."""
    return utc(datetime.combine(day, time()), zone)


def _events(text: str) -> list[Any]:
    events = [event for event in File.from_ical(text).walk("VEVENT") if str(event.get("STATUS", "")).upper() != "CANCELLED"]
    if len(events) > MAX_EVENTS:
        raise ValueError(f"has {len(events)} events; at most {MAX_EVENTS}")
    return events


@dataclass(frozen=True, slots=True)
class Times:
    """When an event begins by the wall clock (of ``zone``, or of the calendar's), how long it is, and whether it is whole days."""

    wall: datetime
    length: timedelta
    zone: tzinfo | None
    whole_days: bool


def _times(event: Any) -> Times:
    start: date = event["DTSTART"].dt
    whole_days = not isinstance(start, datetime)
    length: timedelta = A_DAY if whole_days else timedelta(0)
    if "DTEND" in event:
        length = event["DTEND"].dt - start
    elif "DURATION" in event:
        length = event["DURATION"].dt
    if isinstance(start, datetime):
        return Times(start.replace(tzinfo=None), length, start.tzinfo, whole_days)
    return Times(datetime.combine(start, time()), length, None, whole_days)


def _closed(event: Any, zone: tzinfo, first: date, last: date) -> Iterator[Span]:
    times = _times(event)
    own = times.zone or zone
    for at in _occurrences(event, times.wall, first - times.length, last):
        # A day is a day of the calendar, however many hours it has; an event of hours lasts as long as it says.
        begin = utc(at, own)
        yield (begin, utc(at + times.length, own)) if times.whole_days else (begin, begin + times.length)


def _occurrences(event: Any, wall: datetime, first: date, last: date) -> Iterator[datetime]:
    """When it begins, by the wall clock, from about ``first`` to ``last``."""
    lo, hi = datetime.combine(first - A_DAY, time()), datetime.combine(last + A_DAY, time())
    rule = _rule(event)
    found = rrulestr(rule, dtstart=wall).between(lo, hi, inc=True) if rule else [wall]
    gone = {at.date() for at in _dates(event, "EXDATE")}
    yield from (at for at in {*found, *_dates(event, "RDATE")} if lo <= at <= hi and at.date() not in gone)


def _rule(event: Any) -> str:
    if "RRULE" not in event:
        return ""
    given = event["RRULE"]
    if isinstance(given, list):
        raise TypeError("an event has more than one RRULE")
    text = str(given.to_ical().decode())
    if FREQUENT.search(text):
        raise ValueError(f"an event recurs more often than daily: {text[:80]}")
    return UNTIL.sub(lambda found: f"UNTIL={found[1]}T235959", text)  # a day more or less does not matter to a wall clock


def _dates(event: Any, name: str) -> Iterator[datetime]:
    given = event.get(name, [])
    for part in given if isinstance(given, list) else [given]:
        for one in part.dts:
            at = one.dt
            yield at.replace(tzinfo=None) if isinstance(at, datetime) else datetime.combine(at, time())
