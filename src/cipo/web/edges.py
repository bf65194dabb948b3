"""The contracts: a matrix of departments, who may ask whom, and behind each cell the edges with their kinds, verbs and reasons."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from cipo.org.chart import CIPO, Chart
from cipo.org.model import Contract
from cipo.web.console import Console, Visit
from cipo.web.offices import Edge, edge, office_href, office_title


@dataclass(frozen=True, slots=True)
class Cell:
    """Consumer row, provider column."""

    consumer: str
    provider: str
    count: int
    wall: str
    own: bool
    chosen: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One edge behind the chosen cell."""

    consumer: str
    title: str
    href: str
    edge: Edge


async def contracts(console: Console, visit: Visit) -> Response:
    """``GET /contracts``."""
    chart = console.chart
    consumer, provider = visit.query("from"), visit.query("to")
    ids = [department.id for department in chart.departments]
    chosen = (
        (consumer, provider)
        if consumer in ids and provider in ids and provider not in visit.hidden and consumer not in visit.hidden
        else ("", "")
    )
    walls = {(a, b): why for a, b, why in closed(chart)}
    rows = [(d, [cell(chart, d.id, other, walls, visit.hidden, chosen) for other in ids]) for d in chart.departments]
    return await console.page(
        visit,
        "contracts.html",
        crumbs=[("Organisation", "/"), ("Contracts", "")],
        departments=chart.departments,
        rows=rows,
        chosen=chosen,
        lines=lines(chart, *chosen) if chosen[0] else [],
        why_not=walls.get(chosen, ""),
        rules=chart.boundaries,
        total=len(chart.contracts),
    )


def closed(chart: Chart) -> list[tuple[str, str, str]]:
    """Pairs of departments that may not meet, with the reason."""
    return [(rule.forbid.consumer, rule.forbid.provider, rule.why) for rule in chart.boundaries if rule.forbid and rule.forbid.total]


def cell(
    chart: Chart, consumer: str, provider: str, walls: dict[tuple[str, str], str], hidden: frozenset[str], chosen: tuple[str, str]
) -> Cell:
    """How many edges lead from one department to another; none are counted where the caller may not look."""
    shut = consumer in hidden or provider in hidden
    count = 0 if shut else len(_between(chart, consumer, provider))
    wall = walls.get((consumer, provider), "no interface" if shut else "")
    return Cell(consumer, provider, count, wall, consumer == provider, (consumer, provider) == chosen)


def lines(chart: Chart, consumer: str, provider: str) -> list[Line]:
    """The edges behind a cell."""
    return [
        Line(c.consumer, office_title(chart, c.consumer), office_href(chart, c.consumer), edge(chart, c, c.provider))
        for c in _between(chart, consumer, provider)
    ]


def _between(chart: Chart, consumer: str, provider: str) -> list[Contract]:
    return [c for c in chart.contracts if c.consumer != CIPO and c.consumer[:2] == consumer and c.provider[:2] == provider]
