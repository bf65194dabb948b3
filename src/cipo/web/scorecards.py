"""Scorecards: every promise of the organisation or of a department as a tile, now or as it was published for a month. All from stored
figures: the status of the Kpi resources, one query for the courses, one for the published periods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from markupsafe import Markup
from starlette.responses import Response

from cipo.kernel.slo.period import Published
from cipo.org.model import Kpi
from cipo.web import budgets, gauges, words
from cipo.web.console import KPI, Console, Visit
from cipo.web.offices import crumbs, visible
from cipo.web.organisation import proportions
from cipo.web.periods import Month, became
from cipo.web.scorecard import Card, State, Tally, tally

MONTHS = 5
NOT_PUBLISHED = "not published: no facts before its end, or it is not over"


@dataclass(frozen=True, slots=True)
class Tile:
    """One promise on a scorecard, as people read it. ``revision`` 0: nothing was published."""

    kpi: Kpi
    state: State
    value: float | None
    shown: str
    objective: str
    reason: str
    n: int
    coverage: float | None
    revision: int
    became: str
    published: datetime | None
    history: tuple[float | None, ...]
    budget: Mapping[str, Any] | None

    @property
    def href(self) -> str:
        """Its page."""
        return f"/kpi/{self.kpi.name}"

    @property
    def why(self) -> str:
        """Why it is unknown, in short."""
        return self.reason.removeprefix("no facts yet: ")

    @property
    def spark(self) -> Markup:
        """Ninety days with the promise's line."""
        return gauges.spark(self.history, self.kpi.objective.limit, self.state)

    @property
    def left(self) -> str:
        """What is left of the budget, in words; empty without one."""
        return budgets.percent(float(self.budget["remaining"])) if self.budget and self.state != "unknown" else ""

    @property
    def tone(self) -> str:
        """How the budget stands."""
        return budgets.TONES[str(self.budget["state"])] if self.budget else "unknown"

    @property
    def meter(self) -> Markup:
        """The budget as a bar."""
        return gauges.meter(float(self.budget["remaining"]), str(self.budget["state"])) if self.budget and self.left else Markup("")

    @property
    def calendar(self) -> str:
        """The business calendar, when it is not always open."""
        return "" if self.kpi.calendar == "24x7" else self.kpi.calendar

    @property
    def window(self) -> str:
        """Over which time, in short."""
        return self.kpi.window if isinstance(self.kpi.window, str) else self.kpi.window.calendar


@dataclass(frozen=True, slots=True)
class Group:
    """A department's tiles."""

    id: str
    title: str
    tally: Tally
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A scorecard: what its page, its pictures and the command line show."""

    office: str
    title: str
    month: Month | None
    as_of: datetime
    tally: Tally
    groups: tuple[Group, ...]
    revised: tuple[Tile, ...]
    missing: int
    """Promises without a published figure for the month."""

    @property
    def tiles(self) -> Iterable[Tile]:
        """All of them."""
        return (tile for group in self.groups for tile in group.tiles)

    @property
    def when(self) -> str:
        """``October 2026`` or ``now``."""
        return self.month.words if self.month else "now"


async def scorecards(console: Console, visit: Visit) -> Response:
    """``GET /scorecard`` and ``GET /scorecard/<department>[/<squad>]``."""
    made = await sheet(console, visit)
    state = visit.query("state") if visit.query("state") in words.STATES else ""
    groups = [(group, [tile for tile in group.tiles if state in ("", tile.state)]) for group in made.groups]
    total = made.tally
    trail = crumbs(console.chart, console.chart.resolve(made.office)) if made.office else [("Organisation", "/")]
    return await console.page(
        visit,
        "scorecard.html",
        crumbs=[*trail, ("Scorecard", "")],
        live="" if made.month else KPI,
        sheet=made,
        groups=[(group, tiles) for group, tiles in groups if tiles or not state],
        bar=proportions(total, "propbar"),
        state=state,
        filters=(
            ("", "All", total.total),
            ("met", "Kept", total.met),
            ("missed", "Missed", total.missed),
            ("unknown", "Unknown", total.unknown),
        ),
        months=await months(console, made),
        link=lambda **changed: address(made, state, changed),
    )


async def as_json(console: Console, visit: Visit) -> Response:
    """``GET /scorecard.json``: the same figures for programs."""
    return Response(orjson.dumps(plain(await sheet(console, visit))), media_type="application/json", headers={"Cache-Control": "no-store"})


def plain(made: Sheet) -> dict[str, Any]:
    """A scorecard as JSON."""
    return {
        "month": str(made.month) if made.month else None,
        "asOf": words.iso(made.as_of),
        "kept": made.tally.met,
        "missed": made.tally.missed,
        "unknown": made.tally.unknown,
        "kpis": [
            {
                "name": tile.kpi.name,
                "department": tile.kpi.department,
                "unit": tile.kpi.unit,
                "text": tile.kpi.text,
                "state": tile.state,
                "value": tile.value,
                "shown": tile.shown,
                "objective": tile.objective,
                "n": tile.n,
                "coverage": tile.coverage,
                "revision": tile.revision or None,
                "budgetRemaining": tile.budget["remaining"] if tile.budget else None,
                "reason": tile.reason,
                "restated": tile.became,
            }
            for tile in made.tiles
        ],
    }


async def sheet(console: Console, visit: Visit) -> Sheet:
    """The scorecard that an address means: of which office, now or of which month."""
    asked = "/".join(filter(None, (visit.request.path_params.get("dept"), visit.request.path_params.get("squad")))) or visit.query("of")
    whole = (console.chart.squad(asked) if "/" in asked else console.chart.department(asked)) if asked else None
    office = whole.id if whole else ""
    if whole:
        visible(console, visit, office[:2])
    month = Month.parse(visit.query("month")) if visit.query("month") else None
    cards = [
        card for card in (await console.scorecard(visit, lines=month is None)).cards if office in ("", card.kpi.department, card.kpi.squad)
    ]
    if month is None:
        tiles = [now_tile(card) for card in cards]
    else:
        found = await console.kpis.published(visit.caller, *month.reach)
        tiles = [month_tile(card.kpi, found.get(card.kpi.name, [])) for card in cards]
    departments = [one for one in console.chart.departments if one.id not in visit.hidden and office[:2] in ("", one.id)]
    groups = tuple(group(one.id, one.title, [tile for tile in tiles if tile.kpi.department == one.id]) for one in departments)
    title = whole.title if whole else ""
    revised = tuple(tile for tile in tiles if tile.became)
    missing = sum(not tile.revision for tile in tiles) if month else 0
    return Sheet(office, title, month, await console.kpis.now(), count(tiles), groups, revised, missing)


def group(id: str, title: str, tiles: Sequence[Tile]) -> Group:
    """A department with its tally."""
    return Group(id, title, count(tiles), tuple(tiles))


def count(tiles: Sequence[Tile]) -> Tally:
    """Kept, missed, unknown."""
    states = [tile.state for tile in tiles]
    return Tally(states.count("met"), states.count("missed"), states.count("unknown"))


def now_tile(card: Card) -> Tile:
    """As it stands."""
    newest = next(iter(card.periods), None)
    return Tile(
        card.kpi, card.state, card.value, card.shown, card.objective, card.reason, card.n, card.coverage,
        int(newest["revision"]) if newest else 0, "", None, card.history, card.budget,
    )  # fmt: skip


def month_tile(kpi: Kpi, found: Sequence[Published]) -> Tile:
    """As it was published: the newest revision; unknown when nothing was."""
    if not found:
        return Tile(kpi, "unknown", None, words.measured(kpi, None), words.promised(kpi), NOT_PUBLISHED, 0, None, 0, "", None, (), None)
    newest, before = found[0], found[1] if len(found) > 1 else None
    state: State = "met" if newest.state == "met" else "missed" if newest.state == "missed" else "unknown"
    reason = newest.reason if state == "unknown" and before is None else ""
    promised = words.promised(kpi) if newest.objective in (str_limit(kpi), "") else newest.objective
    return Tile(
        kpi, state, newest.value, words.measured(kpi, newest.value), promised, reason, newest.n, newest.coverage, newest.revision,
        became(kpi, before, newest) if before else "", newest.at, (), None,
    )  # fmt: skip


def str_limit(kpi: Kpi) -> str:
    """The chart's promise in the words of a published figure."""
    return f"{kpi.objective.sign} {kpi.objective.limit:g}"


async def months(console: Console, made: Sheet) -> list[tuple[str, str]]:
    """The months to choose from, newest first: those in which something was published, and the one that is shown."""
    first = await console.kpis.first_published()
    newest = Month.of(made.as_of)
    newest = newest if newest.plus(1).start <= made.as_of else newest.plus(-1)
    listed = {newest.plus(-n) for n in range(MONTHS) if first is not None and newest.plus(-n) >= Month.of(first)}
    if made.month is not None:
        listed.add(made.month)
    return [(str(month), f"{month.start:%b} {month.year}") for month in sorted(listed, reverse=True)]


def address(made: Sheet, state: str, changed: Mapping[str, str]) -> str:
    """The same scorecard with another month or filter."""
    given = {"month": str(made.month) if made.month else "", "state": state, **changed}
    query = "&".join(f"{name}={value}" for name, value in given.items() if value)
    return f"/scorecard{'/' + made.office if made.office else ''}{'?' + query if query else ''}"


__all__ = ["Group", "Sheet", "Tile", "as_json", "plain", "scorecards", "sheet", "tally"]
