"""The first page: the whole chart with the state of every promise, and the five things that need a decision today."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup
from starlette.responses import Response

from cipo.kernel.unit import Registry
from cipo.org.chart import Chart
from cipo.org.model import Department, Squad, Unit
from cipo.web import svg, words
from cipo.web.attention import Item, attention
from cipo.web.console import KPI, Console, Visit
from cipo.web.scorecard import Card, Scorecard, Tally

DECISIONS = 5


@dataclass(frozen=True, slots=True)
class SquadBlock:
    """A squad on the map."""

    id: str
    code: str
    title: str
    staffed: tuple[Unit, ...]
    unstaffed: tuple[Unit, ...]
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A department on the map; without squads when the caller has no interface to it."""

    id: str
    title: str
    origin: str
    tally: Tally
    squads: tuple[SquadBlock, ...] = ()
    hidden: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class OrgMap:
    """The page's data."""

    tally: Tally
    bar: Markup
    departments: tuple[Column, ...]
    squads: int
    units: int
    filters: tuple[tuple[str, str, int], ...]
    state: str
    decisions: list[Item] = field(default_factory=list)


async def organisation(console: Console, visit: Visit) -> Response:
    """``GET /``."""
    state = visit.query("state")
    score = await console.scorecard(visit, lines=True)
    waiting = await attention(console, visit)
    made = org_map(console.chart, score, staffed(console.registry), visit.hidden, state if state in words.STATES else "", waiting)
    return await console.page(visit, "org.html", live=KPI, map=made)


def staffed(registry: Registry) -> frozenset[str]:
    """Units that have code: they are in the registry with a kind, a fact or a page of their own."""
    return frozenset(unit.id for unit in registry.units.values() if unit.kinds or unit.facts or unit.pages)


def org_map(chart: Chart, score: Scorecard, manned: frozenset[str], hidden: frozenset[str], state: str, waiting: list[Item]) -> OrgMap:
    """The map, narrowed to squads with a promise in ``state`` when one is given."""
    total = score.tally()
    filters = (
        ("", "All", total.total),
        ("met", "Kept", total.met),
        ("missed", "Missed", total.missed),
        ("unknown", "Unknown", total.unknown),
    )
    return OrgMap(
        tally=total,
        bar=proportions(total, "propbar"),
        departments=tuple(_column(chart, d, score, manned, hidden, state) for d in chart.departments),
        squads=len(chart.squads),
        units=len(chart.units),
        filters=filters,
        state=state,
        decisions=waiting[:DECISIONS],
    )


def proportions(tally: Tally, css: str, ident: str = "") -> Markup:
    """Kept, missed and unknown as one bar."""
    parts = [svg.Part(getattr(tally, state), f"f-{state}", f"{getattr(tally, state)} {words.STATE_WORDS[state]}") for state in words.STATES]
    return svg.bar(parts, css=css, label=tally.words, ident=ident)


def _column(chart: Chart, department: Department, score: Scorecard, manned: frozenset[str], hidden: frozenset[str], state: str) -> Column:
    if department.id in hidden:
        return Column(department.id, department.title, breakdown(department), Tally(), hidden=True, why=wall(chart, department.id, hidden))
    blocks = tuple(_block(squad, score, manned, state) for squad in department.squads)
    shown = tuple(block for block in blocks if block.cards or not state)
    return Column(department.id, department.title, breakdown(department), score.tally(department.id), shown)


def breakdown(department: Department) -> str:
    """Whether the chart itself says what is below the department, or only its name."""
    return "derived" if all(squad.origin == "derived" for squad in department.squads) else department.origin


def _block(squad: Squad, score: Scorecard, manned: frozenset[str], state: str) -> SquadBlock:
    cards = tuple(card for card in score.of(squad.id) if not state or card.state == state)
    present = tuple(unit for unit in squad.units if unit.id in manned)
    absent = tuple(unit for unit in squad.units if unit.id not in manned)
    return SquadBlock(squad.id, squad.code, squad.title, present, absent, cards)


def wall(chart: Chart, department: str, hidden: frozenset[str]) -> str:
    """The boundary's own words for a department that the caller may not see."""
    for rule in chart.boundaries:
        if rule.forbid and rule.forbid.total and rule.forbid.provider == department and rule.forbid.consumer not in hidden:
            return rule.why
    return "the chart draws no edge"
