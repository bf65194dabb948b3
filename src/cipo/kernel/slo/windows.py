"""When: rolling and calendar windows, and how slices of 1 minute, 15 minutes and 1 day tile them.

All bounds are half open and aware UTC. Slices lie on UTC; a calendar's bounds are wall-clock times of its zone, so a day of a change of
the clocks has 23 or 25 hours. The middle size is a quarter of an hour because every offset in use since 1972 is a whole number of them
(tz database): any zone's midnight is a slice's edge, and minutes need not be kept for the edges of long windows.
"""

from __future__ import annotations

import calendar as months
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

MINUTE, QUARTER, DAY = 1, 15, 1440
SIZES = (MINUTE, QUARTER, DAY)
"""Slice sizes in minutes, each a multiple of the one before."""
FINE = timedelta(hours=6)
"""Up to this length a rolling window moves by the minute, beyond it by the quarter of an hour."""

CalendarUnit = Literal["d", "w", "M", "Q", "Y"]
SHORTHAND = re.compile(r"^([1-9][0-9]{0,4})(s|m|h|d|w|M|Q|Y)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}

Span = tuple[datetime, datetime]


class BadWindow(ValueError):
    """Not a window: says what would be right."""


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last ``span``."""

    span: timedelta

    def bounds(self, now: datetime) -> Span:
        """``[start, end)`` in slices; the one that ``now`` falls into is the last."""
        step = timedelta(minutes=self.step)
        end = floor(now, self.step) + step
        return end - self.span, end

    @property
    def step(self) -> int:
        """By how many minutes it moves."""
        return MINUTE if self.span <= FINE else QUARTER

    def __str__(self) -> str:
        return shorthand(self.span)


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar period of ``count`` units that began at ``start`` (wall-clock) and repeats in its zone."""

    count: int
    unit: CalendarUnit
    start: datetime
    zone: str = "UTC"

    def bounds(self, now: datetime) -> Span:
        """The period that ``now`` falls into."""
        index = self._guess(now)
        while self.edge(index) > now:
            index -= 1
        while self.edge(index + 1) <= now:
            index += 1
        return self.edge(index), self.edge(index + 1)

    def before(self, moment: datetime) -> Span:
        """The last period that ended at or before ``moment``."""
        start, _ = self.bounds(moment)
        return self.bounds(start - timedelta(microseconds=1))

    def edge(self, index: int) -> datetime:
        """The beginning of the period with this number (0 begins at ``start``), in UTC."""
        steps = index * self.count
        if self.unit in ("d", "w"):
            wall = self.start + timedelta(days=steps * (7 if self.unit == "w" else 1))
        else:
            month = self.start.year * 12 + self.start.month - 1 + steps * _MONTHS[self.unit]
            year, month = divmod(month, 12)
            day = min(self.start.day, months.monthrange(year, month + 1)[1])
            wall = self.start.replace(year=year, month=month + 1, day=day)
        return wall.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def _guess(self, now: datetime) -> int:
        local = now.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        if self.unit in ("d", "w"):
            return (local - self.start).days // (self.count * (7 if self.unit == "w" else 1))
        apart = (local.year - self.start.year) * 12 + local.month - self.start.month
        return apart // (self.count * _MONTHS[self.unit])

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


Window = Rolling | Calendar
MONTH = Calendar(1, "M", datetime(2020, 1, 1))  # noqa: DTZ001 - wall-clock time of its zone
"""By which rolling promises are published."""


def duration(text: str) -> timedelta:
    """``5m``, ``1h``, ``30d``, ``2w`` as a duration. ``1M`` is no duration: months differ."""
    found = SHORTHAND.match(text)
    if not found:
        raise BadWindow(f"{text!r} is no duration; write a whole number and s, m, h, d or w, such as 90d")
    count, unit = int(found[1]), found[2]
    if unit not in _SECONDS:
        raise BadWindow(f"{text!r} is no fixed length of time ({unit} differs by the calendar); use d or w, or a calendar window")
    return timedelta(seconds=count * _SECONDS[unit])


def calendar(text: str, start: datetime, zone: str) -> Calendar:
    """``1M`` from ``start`` in ``zone`` as a calendar window."""
    found = SHORTHAND.match(text)
    if not found:
        raise BadWindow(f"{text!r} is no calendar period; write a whole number and d, w, M, Q or Y, such as 1M")
    count, unit = int(found[1]), found[2]
    if unit in ("s", "m", "h"):
        name = {"s": "second", "m": "minute", "h": "hour"}[unit]
        remedy = "; month is 1M" if unit == "m" else "; the shortest is 1d"
        raise BadWindow(f"{text} is {'one ' + name if count == 1 else f'{count} {name}s'}, no calendar period{remedy}")
    zone_of(zone)
    if start.tzinfo is not None:
        raise BadWindow(f"start {start.isoformat()} must be a wall-clock time without an offset; the zone is {zone}")
    if start.minute % QUARTER or start.second or start.microsecond:
        raise BadWindow(f"start {start.isoformat()} must lie on a quarter of an hour")
    return Calendar(count, unit, start, zone)  # type: ignore[arg-type]  # the pattern allows these letters only


def zone_of(name: str) -> ZoneInfo:
    """A zone of the tz database by its name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadWindow(f"{name!r} is no time zone of the tz database; write one such as Europe/London") from error


def utc(wall: datetime, zone: tzinfo) -> datetime:
    """The moment at which the clocks of a zone show ``wall``; in the hour that a change leaves out, as if it had not changed yet."""
    return wall.replace(tzinfo=zone).astimezone(UTC)


def shorthand(span: timedelta) -> str:
    """The shortest way to write a duration: ``30d``, ``6h``, ``5m``."""
    seconds = int(span.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def words(span: timedelta) -> str:
    """``90 days``, ``36 hours``, ``5 minutes``."""
    seconds = span.total_seconds()
    for name, size in (("day", 86_400), ("hour", 3600)):
        if seconds % size == 0:
            count = seconds / size
            return f"{count:g} {name}{'' if count == 1 else 's'}"
    return f"{seconds / 60:g} minutes"


def floor(moment: datetime, minutes: int) -> datetime:
    """The beginning of the slice of this size that a moment falls into."""
    size = minutes * 60
    return datetime.fromtimestamp(int(moment.timestamp() // size) * size, UTC)


def ceil(moment: datetime, minutes: int) -> datetime:
    """The first edge of slices of this size at or after a moment."""
    down = floor(moment, minutes)
    return down if down == moment else down + timedelta(minutes=minutes)


@dataclass(frozen=True, slots=True)
class Tile:
    """A run of slices of one size."""

    size: int
    start: datetime
    end: datetime


def cover(start: datetime, end: datetime, finest: int = MINUTE) -> Iterator[Tile]:
    """The fewest runs of whole slices that make up ``[start, end)``, oldest first; both bounds lie on the finest size."""
    if start >= end:
        return
    coarser = [size for size in SIZES if size > finest]
    if not coarser:
        yield Tile(finest, start, end)
        return
    lo, hi = ceil(start, coarser[0]), floor(end, coarser[0])
    if lo >= hi:
        yield Tile(finest, start, end)
        return
    if start < lo:
        yield Tile(finest, start, lo)
    yield from cover(lo, hi, coarser[0])
    if hi < end:
        yield Tile(finest, hi, end)
