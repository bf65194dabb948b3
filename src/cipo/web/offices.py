"""Department, squad and unit pages: what an office promised, what waits, what it owns, whom it serves and needs, and its own pages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup
from starlette.responses import Response

from cipo.kernel.errors import ApiError, Forbidden
from cipo.kernel.unit import KindInfo, Page
from cipo.org.chart import CIPO, Chart
from cipo.org.errors import UnknownName
from cipo.org.model import Contract, Department, Squad, Unit
from cipo.web import svg
from cipo.web.attention import attention
from cipo.web.console import KPI, Console, Visit
from cipo.web.organisation import breakdown, proportions, staffed, wall
from cipo.web.scorecard import tally

SHADES = 5
NEIGHBOURS_MAX = 8
NO_BAR = Markup("")
Crumbs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Phase:
    """How many objects are in one phase."""

    name: str
    count: int
    href: str
    shade: int


@dataclass(frozen=True, slots=True)
class KindTile:
    """A kind of a unit: how many there are and how far along; or why this caller may not look."""

    info: KindInfo
    href: str
    count: int
    phases: tuple[Phase, ...] = ()
    bar: Markup = NO_BAR
    closed: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """A contract as an office's page lists it."""

    other: str
    title: str
    href: str
    kinds: str
    why: str
    in_force: bool


async def department(console: Console, visit: Visit) -> Response:
    """``GET /d/<department>``."""
    office = console.chart.department(visit.path("dept"))
    visible(console, visit, office.id)
    score = await console.scorecard(visit, lines=True)
    manned = staffed(console.registry)
    squads = [(squad, score.of(squad.id), [(unit, unit.id in manned) for unit in squad.units]) for squad in office.squads]
    serves, needs = edges(console.chart, office.id, visit.hidden)
    return await console.page(
        visit,
        "department.html",
        crumbs=crumbs(console.chart, office),
        live=KPI,
        office=office,
        origin=breakdown(office),
        tally=score.tally(office.id),
        bar=proportions(score.tally(office.id), "propbar"),
        squads=squads,
        waiting=await attention(console, visit, under=console.chart.members(office.id)),
        rules=[rule for rule in console.chart.boundaries if office.id in (rule.sole, *(_ends(rule.forbid)))],
        rulings=office.rulings,
        graph=graph(office.id, serves, needs),
        serves=serves,
        needs=needs,
    )


async def squad(console: Console, visit: Visit) -> Response:
    """``GET /s/<department>/<squad>``."""
    office = console.chart.squad(f"{visit.path('dept')}/{visit.path('squad')}")
    visible(console, visit, office.department)
    score = await console.scorecard(visit, lines=True)
    cards = score.of(office.id)
    serves, needs = edges(console.chart, office.id, visit.hidden)
    manned = staffed(console.registry)
    return await console.page(
        visit,
        "squad.html",
        crumbs=crumbs(console.chart, office),
        live=KPI,
        office=office,
        cards=cards,
        tally=tally(cards),
        units=[(unit, unit.id in manned, score.of(unit.id)) for unit in office.units],
        waiting=await attention(console, visit, under=console.chart.members(office.id)),
        graph=graph(office.code, serves, needs),
        serves=serves,
        needs=needs,
    )


async def unit(console: Console, visit: Visit) -> Response:
    """``GET /u/<department>/<unit>``."""
    office = console.chart.unit(f"{visit.path('dept')}/{visit.path('unit')}")
    visible(console, visit, office.department)
    score = await console.scorecard(visit, lines=True)
    tiles = await kind_tiles(console, visit, office.id)
    serves, needs = edges(console.chart, office.id, visit.hidden)
    cards = score.of(office.id)
    return await console.page(
        visit,
        "unit.html",
        crumbs=crumbs(console.chart, office),
        live=",".join([KPI, *(tile.info.gk for tile in tiles if not tile.closed)]),
        office=office,
        squad=console.chart.squad(office.squad),
        manned=office.id in staffed(console.registry),
        cards=cards,
        squad_cards=tuple(card for card in score.of(office.squad) if card not in cards),
        tally=tally(cards),
        waiting=await attention(console, visit, under=frozenset({office.id})),
        tiles=tiles,
        pages=unit_pages(console, office.id),
        facts=sorted(console.registry.units[office.id].facts.values(), key=lambda fact: fact.name)
        if office.id in console.registry.units
        else [],
        graph=graph(office.code, serves, needs),
        serves=serves,
        needs=needs,
    )


def unit_pages(console: Console, unit_id: str) -> list[Page]:
    """The pages a unit brings along."""
    return [page for (owner, _), page in console.registry.pages.items() if owner == unit_id]


def visible(console: Console, visit: Visit, department_id: str) -> None:
    """Refuse a department that the caller has no interface to."""
    if department_id in visit.hidden:
        raise Forbidden(f"{department_id} is not shown: {wall(console.chart, department_id, visit.hidden)} (a boundary of the chart)")


def crumbs(chart: Chart, office: Department | Squad | Unit) -> Crumbs:
    """The breadcrumb is the chart."""
    whole = chart.department(office.id[:2])
    trail: Crumbs = [("Organisation", "/"), (f"{whole.id} {whole.title}", f"/d/{whole.id}")]
    if isinstance(office, Department):
        return trail
    team = office if isinstance(office, Squad) else chart.squad(office.squad)
    trail.append((f"{team.code} {team.title}", f"/s/{team.id}"))
    if isinstance(office, Unit):
        trail.append((f"{office.code} {office.title}", f"/u/{office.id}"))
    return trail


def unit_crumbs(chart: Chart, unit_id: str) -> Crumbs:
    """The way down to a unit; empty for the kernel's own units, which are not in the chart."""
    return crumbs(chart, chart.unit(unit_id)) if chart.has_unit(unit_id) else [("Organisation", "/")]


async def kind_tiles(console: Console, visit: Visit, unit_id: str) -> list[KindTile]:
    """The kinds of a unit with their counts by phase."""
    declared = console.registry.units.get(unit_id)
    if declared is None:
        return []
    counts = await console.resources.counts(visit.caller)
    tiles: list[KindTile] = []
    for info in declared.kinds:
        href = f"/k/{console.kind_path(info)}"
        try:
            facets = await console.resources.facets(visit.caller, info)
        except ApiError as error:
            tiles.append(KindTile(info, href, 0, closed=error.message))
            continue
        phases = phase_counts(info, facets.get(info.phase, {}), href)
        bar = svg.bar(
            [svg.Part(p.count, f"p{p.shade}", f"{p.count} {p.name}") for p in phases],
            css="phasebar",
            label=f"{info.plural} by phase",
            ident=info.plural,
        )
        tiles.append(KindTile(info, href, counts.get(info.gk, 0), phases, bar if phases else NO_BAR))
    return tiles


def phase_counts(info: KindInfo, counts: dict[str, int], href: str) -> tuple[Phase, ...]:
    """Counts in the order of the lifecycle, then the rest by size."""
    order = {name: index for index, name in enumerate(info.lifecycle)}
    names = sorted(counts, key=lambda name: (order.get(name, len(order)), -counts[name], name))
    return tuple(
        Phase(name, counts[name], f"{href}?field={info.phase}%3D{name}", min(index, SHADES - 1)) for index, name in enumerate(names)
    )


def edges(chart: Chart, office: str, hidden: frozenset[str]) -> tuple[list[Edge], list[Edge]]:
    """Contracts in which the office is provider, and in which it is consumer, without ends the caller may not see."""

    def seen(other: str) -> bool:
        return other[:2] not in hidden

    serves = [
        edge(chart, contract, contract.consumer)
        for contract in chart.serves(office)
        if seen(contract.consumer) and not chart.within(office, contract.consumer)
    ]
    needs = [
        edge(chart, contract, contract.provider)
        for contract in chart.needs_of(office)
        if seen(contract.provider) and not chart.within(office, contract.provider)
    ]
    return serves, needs


def edge(chart: Chart, contract: Contract, other: str) -> Edge:
    """One contract, seen from its other end."""
    kinds = ", ".join(f"{kind if kind != '*' else 'all kinds'} ({', '.join(short_verbs(verbs))})" for kind, verbs in contract.kinds.items())
    return Edge(other, office_title(chart, other), office_href(chart, other), kinds, contract.why, contract.in_force)


def short_verbs(verbs: Iterable[str]) -> list[str]:
    """``get, list, watch`` said as ``read``; actions by their own name."""
    given = list(verbs)
    if {"get", "list", "watch"} <= set(given):
        given = ["read", *(verb for verb in given if verb not in ("get", "list", "watch"))]
    return [verb.removeprefix("act:") for verb in given]


def office_title(chart: Chart, office: str) -> str:
    """The title of any office."""
    if office == CIPO:
        return "CIPO"
    try:
        return chart.resolve(office).title
    except UnknownName:
        return office


def office_href(chart: Chart, office: str) -> str:
    """The page of any office."""
    if office == CIPO:
        return "/"
    if chart.has_unit(office):
        return f"/u/{office}"
    return f"/s/{office}" if "/" in office else f"/d/{office}"


def graph(centre: str, serves: list[Edge], needs: list[Edge]) -> Markup:
    """Both directions as a small graph; empty without edges."""
    if not serves and not needs:
        return Markup("")
    return svg.neighbours(centre, _merged(serves), _merged(needs))


def _merged(found: list[Edge]) -> list[svg.Neighbour]:
    by_other: dict[str, list[Edge]] = {}
    for item in found:
        by_other.setdefault(item.other, []).append(item)
    nodes = [
        svg.Neighbour(f"{other} {items[0].title}", "; ".join(item.kinds for item in items), items[0].href)
        for other, items in by_other.items()
    ]
    if len(nodes) > NEIGHBOURS_MAX:
        rest = len(nodes) - NEIGHBOURS_MAX + 1
        nodes = [*nodes[: NEIGHBOURS_MAX - 1], svg.Neighbour(f"{rest} more", "listed below", "#contracts")]
    return nodes


def _ends(forbid: object) -> tuple[str, ...]:
    return (getattr(forbid, "consumer", ""), getattr(forbid, "provider", "")) if forbid else ()
