"""Days and times of a business calendar become open intervals in UTC. Pure.

A rule's days come from ``dateutil``, which never ends looking for a day that does not exist; who asks must be able to walk away (``hours``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Any, Final, Literal

from dateutil.rrule import rrulestr

from cipo.kernel.slo.windows import Span, utc

Spans = list[Span]
DAYS: Final[tuple[Literal["MO", "TU", "WE", "TH", "FR", "SA", "SU"], ...]] = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
RULE: Final = re.compile(r"^(?:RRULE:)?(FREQ=(?:DAILY|WEEKLY|MONTHLY|YEARLY)(?:;[A-Z]+=[-+A-Z0-9,]+)*)$")
TIMED: Final = re.compile(r";(COUNT|BYHOUR|BYMINUTE|BYSECOND)=")
A_DAY: Final = timedelta(days=1)
YEARS_BACK: Final = 3
MONTHS_AHEAD: Final = 19


@dataclass(frozen=True, slots=True)
class Week:
    """Some days of each week."""

    days: tuple[str, ...]

    def between(self, first: date, last: date) -> Iterator[date]:
        """Its days from ``first`` up to and without ``last``."""
        wanted = {DAYS.index(day) for day in self.days}
        return (day for day in dates(first, last) if day.weekday() in wanted)


@dataclass(frozen=True, slots=True)
class Rule:
    """The days of a recurrence rule (RFC 5545), counted from ``starts``."""

    text: str
    starts: date

    def check(self) -> None:
        """ValueError with the remedy unless it is a rule of days."""
        self._parsed()

    def between(self, first: date, last: date) -> Iterator[date]:
        """Its days from ``first`` up to and without ``last``."""
        end = datetime.combine(last, time()) - timedelta(microseconds=1)
        return (found.date() for found in self._parsed().between(datetime.combine(first, time()), end, inc=True))

    def _parsed(self) -> Any:
        found = RULE.match(self.text)
        if not found:
            raise ValueError("is no rule of days; write one such as FREQ=WEEKLY;INTERVAL=2;BYDAY=SA")
        if TIMED.search(self.text):
            raise ValueError(
                "gives days only, without COUNT, BYHOUR, BYMINUTE and BYSECOND: times are in opens and closes, an end in UNTIL"
            )
        try:
            return rrulestr(found[1], dtstart=datetime.combine(self.starts, time()))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"cannot be read: {error}") from error


Opened = tuple[Week | Rule, str, str]
"""Days, and from when to when on each of them."""


def horizon(today: date) -> tuple[date, date]:
    """For which days hours are written: at least three years back and a year and a half ahead, by whole months, so that edges seldom move."""
    month = today.year * 12 + today.month - 1 + MONTHS_AHEAD
    return date(today.year - YEARS_BACK, 1, 1), date(month // 12, month % 12 + 1, 1)


def dates(first: date, last: date) -> Iterator[date]:
    """Each day from ``first`` up to and without ``last``."""
    return (first + timedelta(days=n) for n in range((last - first).days))


def open_spans(
    openings: Iterable[Opened], holidays: Iterable[date], closed: Iterable[Span], zone: tzinfo, first: date, last: date
) -> Spans:
    """What is open from ``first`` up to and without ``last``: merged, without holidays, oldest first. A night shift may begin the day before."""
    raw = [
        (utc(datetime.combine(day, _time(opens)), zone), utc(_close(day, opens, closes), zone))
        for days, opens, closes in openings
        for day in days.between(first - A_DAY, last)
    ]
    edges = (utc(datetime.combine(first, time()), zone), utc(datetime.combine(last, time()), zone))
    shut = [(utc(datetime.combine(day, time()), zone), utc(datetime.combine(day + A_DAY, time()), zone)) for day in holidays]
    inside = [(max(lo, edges[0]), min(hi, edges[1])) for lo, hi in raw if lo < edges[1] and hi > edges[0]]
    return without(merged(inside), merged([*shut, *closed]))


def _time(text: str) -> time:
    return time.fromisoformat(text)


def _close(day: date, opens: str, closes: str) -> datetime:
    if closes == "24:00":
        return datetime.combine(day + A_DAY, time())
    return datetime.combine(day if closes > opens else day + A_DAY, _time(closes))


def merged(spans: Iterable[Span]) -> Spans:
    """Without overlaps, touching ones joined, oldest first; empty ones are left out."""
    out: Spans = []
    for lo, hi in sorted(spans):
        if hi <= lo:
            continue
        if out and lo <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], hi))
        else:
            out.append((lo, hi))
    return out


def without(spans: Sequence[Span], cut: Sequence[Span]) -> Spans:
    """What is left of merged spans when merged others are taken out."""
    out: Spans = []
    start = 0
    for lo, hi in spans:
        while start < len(cut) and cut[start][1] <= lo:
            start += 1
        edges = [lo]
        for shut_lo, shut_hi in cut[start:]:
            if shut_lo >= hi:
                break
            edges += [max(shut_lo, lo), min(shut_hi, hi)]
        edges.append(hi)
        out += [(a, b) for a, b in list(pairwise(edges))[::2] if a < b]
    return out
