"""Business calendars: when somebody is there, so that "within five days" can mean working days where a promise says so.

Kind ``Calendar``: opening hours by weekdays or by a recurrence rule (RFC 5545), less the holidays of an .ics file and of a list. Its reconciler
writes the open intervals of some years as UTC into ``cipo.open_hours``, from which PostgreSQL takes the business seconds between two moments
(``cipo.business_seconds``); ``business_seconds`` here is the same in Python. Hours are wall-clock times of the zone: a day from 09:00 to 17:00
has eight hours on either side of a change of the clocks, a night shift across it has one less or more.

``dateutil`` knows the rules and ``icalendar`` the files; ours is what they mean together. The calendar 24x7 is built in and has no rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Literal, LiteralString

import anyio

from cipo.kernel.ctx import Ctx
from cipo.kernel.engine.outcome import Again, Done
from cipo.kernel.errors import Blocked
from cipo.kernel.models import Column, Kind, Model, Status, field
from cipo.kernel.slo import holidays
from cipo.kernel.slo.objective import ALWAYS
from cipo.kernel.slo.openings import DAYS, Rule, Spans, Week, horizon, open_spans
from cipo.kernel.slo.windows import BadWindow, zone_of
from cipo.kernel.store.db import Conn
from cipo.kernel.unit import Unit

unit = Unit("kernel/hours")
ICS_BYTES = 256 * 1024
TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
CLOSES = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
PATIENCE_S = 20.0
EVERY = timedelta(days=1)

NOW_AT: LiteralString = "select generation from cipo.resource where uid = %s::uuid for share"
LOCK: LiteralString = "select pg_advisory_xact_lock(hashtext('cipo.open_hours'), hashtext(%s))"
HELD: LiteralString = "select lo, hi from cipo.open_hours where calendar = %s order by lo"
CLEAR: LiteralString = "delete from cipo.open_hours where calendar = %s"
FILL: LiteralString = (
    "insert into cipo.open_hours (calendar, lo, hi, before_s)"
    " select %s, lo, hi, coalesce(sum(extract(epoch from hi - lo)) over (order by lo rows between unbounded preceding and 1 preceding), 0)"
    " from unnest(%s::timestamptz[], %s::timestamptz[]) as spans(lo, hi)"
)
# Whatever ended after the first hour that changed may have lasted another time.
MARK: LiteralString = (
    "insert into cipo.fact_dirty (name, at) select distinct f.name, date_bin('1 minute', f.ts, 'epoch')"
    " from cipo.series s join cipo.fact f on f.name = s.end_fact where s.definition::jsonb->>'calendar' = %s and f.ts >= %s"
)


class Opening(Model):
    """When it is open: on some weekdays, or on the days of a rule, from one time to another."""

    days: list[Literal[DAYS]] = field(list, each=7, help="Weekdays, such as MO and TU; or give rrule.")  # type: ignore[valid-type]  # from the list
    rrule: str = field("", length=500, help="Days by RFC 5545, such as FREQ=MONTHLY;BYDAY=1SA; or give days.")
    starts: str = field("2020-01-01", pattern=DATE, help="The day from which a rule counts its intervals.")
    opens: str = field("00:00", pattern=TIME, help="Wall-clock time of the zone.")
    closes: str = field("24:00", pattern=CLOSES, help="Wall-clock time; not later than opens means the next day.")


class CalendarSpec(Model):
    """Opening hours and holidays of a place."""

    time_zone: str = field(length=64, help="IANA name of the zone, such as Europe/London.")
    open: list[Opening] = field(list, each=50, help="When it is open; overlaps count once.")
    holidays: list[str] = field(list, each=1000, help="Days on which it is closed, such as 2026-12-25.")
    ics: str = field("", length=ICS_BYTES, help="Text of an .ics file whose events are closed.")
    description: str = field("", length=500, help="Whose hours these are.")


class CalendarStatus(Status):
    """What was written for the engine."""

    since: str | None = field(None, length=40, help="From when the hours are known (UTC).")
    until: str | None = field(None, length=40, help="Until when the hours are known (UTC).")
    intervals: int = field(0, help="How many open intervals lie between.")
    open_hours: float = field(0, help="Their length in hours.")


@unit.kind(
    short="cal",
    plural="calendars",
    columns=[
        Column("Zone", "spec.timeZone"),
        Column("Open hours", "status.openHours", "number"),
        Column("Until", "status.until"),
        Column("Description", "spec.description", wide=True),
    ],
    public=True,
    admin=True,
    finalizer=True,
)
class Calendar(Kind[CalendarSpec, CalendarStatus]):
    """Opening hours and holidays by which business time is counted. A promise that names one which is not there is unknown."""

    def validate_change(self, old: Calendar | None, ctx: object) -> Iterable[tuple[str, str]]:
        """A zone that exists, hours that can be read, holidays that are days."""
        spec = self.spec
        if self.name == ALWAYS:
            yield "metadata.name", f"{ALWAYS} is built in: always open; choose another name"
        try:
            zone_of(spec.time_zone)
        except BadWindow as error:
            yield "spec.timeZone", str(error)
        if not spec.open:
            yield "spec.open", "is empty, so it would never be open; give weekdays with opens and closes"
        for index, opening in enumerate(spec.open):
            for part, why in _wrong(opening):
                yield f"spec.open[{index}].{part}", why
        for index, text in enumerate(spec.holidays):
            if _day(text) is None:
                yield f"spec.holidays[{index}]", f"{text[:40]!r} is no day; write one such as 2026-12-25"
        if len(spec.ics.encode()) > ICS_BYTES:
            yield "spec.ics", f"is larger than {ICS_BYTES >> 10} KiB; leave out what is over"
        elif spec.ics and (fault := holidays.fault(spec.ics)):
            yield "spec.ics", fault


def _wrong(opening: Opening) -> Iterable[tuple[str, str]]:
    if bool(opening.days) == bool(opening.rrule):
        yield "days", "give either days or rrule"
    if _day(opening.starts) is None:
        yield "starts", f"{opening.starts!r} is no day; write one such as 2026-01-01"
    elif opening.rrule:
        try:
            _rule(opening).check()
        except ValueError as error:
            yield "rrule", str(error)
    if opening.opens == opening.closes:
        yield "closes", "is the moment it opens; for the whole day write 00:00 and 24:00"


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _rule(opening: Opening) -> Rule:
    return Rule(opening.rrule, date.fromisoformat(opening.starts))


def spans_of(spec: CalendarSpec, first: date, last: date) -> Spans:
    """The open intervals of the days from ``first`` up to and without ``last``, in UTC, merged, oldest first."""
    zone = zone_of(spec.time_zone)
    openings = [(Week(tuple(one.days)) if one.days else _rule(one), one.opens, one.closes) for one in spec.open]
    days = [date.fromisoformat(text) for text in spec.holidays]
    closed = holidays.spans(spec.ics, zone, first, last) if spec.ics else []
    return open_spans(openings, days, closed, zone, first, last)


@unit.reconcile(Calendar)
async def write_hours(calendar: Calendar, ctx: Ctx) -> Done | Again:
    """Write the open hours of the years around now, each day anew; whoever counts by them is counted again where they changed."""
    if calendar.deleting:
        await ctx.db.execute(CLEAR, (calendar.name,))
        return Done()
    first, last = horizon(ctx.now.date())
    try:
        with anyio.fail_after(PATIENCE_S):
            spans = await anyio.to_thread.run_sync(spans_of, calendar.spec, first, last, abandon_on_cancel=True)
    except TimeoutError as error:
        raise Blocked(f"the rules of {calendar.name} find no days", todo="correct spec.open[].rrule: it may ask for 31 February") from error
    if not spans:
        raise Blocked(f"{calendar.name} is never open between {first} and {last}", todo="correct spec.open, or the holidays")
    since, until = _edges(calendar.spec, first, last)
    async with ctx.db.transaction() as conn:
        await conn.execute(LOCK, (calendar.name,))
        row = await (await conn.execute(NOW_AT, (calendar.metadata.uid,))).fetchone()
        if row is None or row[0] != calendar.metadata.generation:
            return Again(timedelta(seconds=1), reason="it was changed meanwhile")
        await _replace(conn, calendar, spans, since, until)
    status = calendar.status
    status.since, status.until = since.isoformat(), until.isoformat()
    status.intervals = len(spans)
    status.open_hours = sum((hi - lo).total_seconds() for lo, hi in spans) / 3600
    return Again(EVERY)


def _edges(spec: CalendarSpec, first: date, last: date) -> tuple[datetime, datetime]:
    zone = zone_of(spec.time_zone)
    return holidays.midnight(first, zone), holidays.midnight(last, zone)


async def _replace(conn: Conn, calendar: Calendar, spans: Spans, since: datetime, until: datetime) -> None:
    held = [(lo, hi) for lo, hi in await (await conn.execute(HELD, (calendar.name,))).fetchall()]
    if held == spans:
        return
    await conn.execute(CLEAR, (calendar.name,))
    await conn.execute(FILL, (calendar.name, [lo for lo, _ in spans], [hi for _, hi in spans]))
    before = calendar.status
    changed: datetime | None = since
    if held and before.since and before.until:
        both = max(since, datetime.fromisoformat(before.since)), min(until, datetime.fromisoformat(before.until))
        changed = first_change(held, spans, *both)
    if changed is not None:
        await conn.execute(MARK, (calendar.name, changed))


def first_change(
    old: Sequence[tuple[datetime, datetime]], new: Sequence[tuple[datetime, datetime]], lo: datetime, hi: datetime
) -> datetime | None:
    """The first moment of ``[lo, hi)`` at which one is open and the other is not; None when they agree there."""
    for one, other in zip([*clipped(old, lo, hi), None], [*clipped(new, lo, hi), None], strict=False):
        if one == other:
            continue
        if one is None or other is None:
            return (one or other or (lo, hi))[0]
        return min(one[0], other[0]) if one[0] != other[0] else min(one[1], other[1])
    return None


def clipped(spans: Iterable[tuple[datetime, datetime]], lo: datetime, hi: datetime) -> Spans:
    """What of them lies in ``[lo, hi)``."""
    return [(max(start, lo), min(end, hi)) for start, end in spans if start < hi and end > lo]


def business_seconds(spans: Iterable[tuple[datetime, datetime]], a: datetime, b: datetime) -> float:
    """Open seconds from ``a`` to ``b``, negative when ``b`` comes first: what ``cipo.business_seconds`` answers from the same hours."""
    if b < a:
        return -business_seconds(spans, b, a)
    return sum((end - start).total_seconds() for start, end in clipped(spans, a, b))
