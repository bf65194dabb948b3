"""The frame around every page: rail with departments and their state, top bar, breadcrumb. Built once a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cipo.kernel.errors import ApiError
from cipo.org.chart import CIPO
from cipo.web.scorecard import Scorecard, Tally

if TYPE_CHECKING:
    from cipo.web.console import Console, Visit

THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class DepartmentLink:
    """A department in the rail."""

    id: str
    title: str
    tally: Tally
    hidden: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What ``frame.html`` shows."""

    departments: tuple[DepartmentLink, ...]
    crumbs: tuple[tuple[str, str], ...]
    path: str
    theme: str
    csrf: str
    who: str
    unit: str
    units: tuple[tuple[str, str], ...]
    leads_all: bool
    live: str
    cursor: int
    lab: bool


async def frame(console: Console, visit: Visit, crumbs: list[tuple[str, str]], live: str) -> Frame:
    """The frame of this visit."""
    try:
        score = await console.scorecard(visit)
    except ApiError:  # the page says what is wrong; the frame must still stand, with the unit selector in it
        score = Scorecard(())
    principal = visit.caller.principal
    theme = visit.request.cookies.get("cipo_theme", "auto")
    return Frame(
        departments=departments(console, score, visit.hidden),
        crumbs=tuple(crumbs),
        path=visit.request.url.path,
        theme=theme if theme in THEMES else "auto",
        csrf=visit.csrf,
        who=principal.name,
        unit=visit.caller.unit or "",
        units=tuple((unit.id, unit.title) for unit in console.chart.units if unit.id in principal.units),
        leads_all=CIPO in principal.leads,
        live=live,
        cursor=console.feed.rv,
        lab=console.resources.lab,
    )


def departments(console: Console, score: Scorecard, hidden: frozenset[str]) -> tuple[DepartmentLink, ...]:
    """The departments with their tallies; one that the caller has no interface to has none."""
    return tuple(
        DepartmentLink(d.id, d.title, Tally() if d.id in hidden else score.tally(d.id), d.id in hidden) for d in console.chart.departments
    )
