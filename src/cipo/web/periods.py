"""Published figures on pages: months as people name them, and each closed period with its revisions and what caused them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cipo.kernel.errors import BadRequest
from cipo.kernel.slo.period import Published
from cipo.org.model import Kpi
from cipo.web import words

if TYPE_CHECKING:
    from cipo.web.console import Console

ZONES = timedelta(hours=14)
"""No zone's midnight lies farther from UTC's (tz database)."""
_MONTH = re.compile(r"^([0-9]{4})-(0[1-9]|1[0-2])$")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """From ``2026-10``."""
        found = _MONTH.match(text)
        if not found or not 1970 <= int(found[1]) <= 9000:
            raise BadRequest(f"month={text[:40]!r} is no month; write one such as 2026-10")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, end: datetime) -> Month:
        """The month that a period which ends then belongs to, in whatever zone its midnight lies."""
        at = end.astimezone(UTC) - ZONES
        return cls(at.year, at.month)

    @property
    def start(self) -> datetime:
        """Its first moment (UTC)."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    def plus(self, months: int) -> Month:
        """Later or earlier."""
        year, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(year, month + 1)

    @property
    def reach(self) -> tuple[datetime, datetime]:
        """Periods that end after the first and up to the second moment belong to it."""
        return self.start + ZONES, self.plus(1).start + ZONES

    @property
    def words(self) -> str:
        """``October 2026``."""
        return f"{self.start:%B} {self.year}"

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


@dataclass(frozen=True, slots=True)
class Cause:
    """A fact that came late or was corrected."""

    at: datetime | None
    recorded: datetime | None
    value: str
    name: str
    href: str
    seq: int


@dataclass(frozen=True, slots=True)
class Period:
    """One revision of a published figure."""

    words: str
    start: datetime
    end: datetime
    revision: int
    newest: bool
    value: str
    state: str
    n: int
    coverage: float | None
    at: datetime
    became: str
    causes: tuple[Cause, ...]


def periods(kpi: Kpi, published: Sequence[Published], console: Console) -> list[Period]:
    """Every revision, the newest period first, its newest revision first."""
    before = {(one.start, one.revision): one for one in published}
    newest: set[datetime] = set()
    found = []
    for one in published:
        causes = tuple(cause(kpi, raw, console) for raw in one.causes)
        old = before.get((one.start, one.revision - 1))
        found.append(
            Period(
                span_words(one.start, one.end),
                one.start,
                one.end,
                one.revision,
                one.start not in newest,
                words.measured(kpi, one.value),
                one.state,
                one.n,
                one.coverage,
                one.at,
                became(kpi, old, one),
                causes,
            )
        )
        newest.add(one.start)
    return found


def became(kpi: Kpi, old: Published | None, new: Published) -> str:
    """``99.97 % (kept) became 99.93 % (missed) by 3 late facts``; a first figure says why it is unknown, if it is."""
    if old is None:
        return words.sentence(new.reason) if new.reason else ""
    count = len(new.causes)
    by = words.plural(count, "late or corrected fact") if count else "facts that were removed"
    return f"{_said(kpi, old)} became {_said(kpi, new)} by {by}"


def _said(kpi: Kpi, one: Published) -> str:
    return "unknown" if one.value is None else f"{words.measured(kpi, one.value)} ({words.STATE_WORDS[one.state]})"


def span_words(start: datetime, end: datetime) -> str:
    """``October 2026`` for a month, else its first and last day."""
    last = Month.of(end)
    if timedelta(days=28) <= end - start <= timedelta(days=31, hours=1):
        return last.words
    day = (end - timedelta(hours=12)).astimezone(UTC)
    first = (start + timedelta(hours=12)).astimezone(UTC)
    return f"{first.day} {first:%b %Y} to {day.day} {day:%b %Y}"


def cause(kpi: Kpi, raw: Mapping[str, Any], console: Console) -> Cause:
    """One fact behind a revision, as it was noted with it."""
    gk, name = str(raw.get("gk") or ""), str(raw.get("name") or "")
    value = words.number(float(raw["value"]), 4) if isinstance(raw.get("value"), int | float) else "–"
    return Cause(
        words.moment(raw.get("at")),
        words.moment(raw.get("recordedAt")),
        value,
        name,
        console.href(gk, name) if gk and name else "",
        int(raw.get("seq") or 0),
    )
