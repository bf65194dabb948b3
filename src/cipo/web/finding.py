"""The search: claims and names from the store, offices and KPIs from the chart, grouped; as a page and as the box's list."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from cipo.web import words
from cipo.web.console import Console, Visit
from cipo.web.offices import unit_pages

HITS = 20
QUERY_MAX = 200


@dataclass(frozen=True, slots=True)
class Find:
    """One find."""

    title: str
    detail: str
    href: str


Groups = list[tuple[str, list[Find]]]


async def search(console: Console, visit: Visit) -> Response:
    """``GET /search?q=``; ``drop=1`` answers the box in the top bar."""
    text = visit.query("q").strip()[:QUERY_MAX]
    groups = await find(console, visit, text) if text else []
    if visit.query("drop"):
        return console.fragment("found.html", groups=groups, text=text, drop=True)
    return await console.page(visit, "search.html", crumbs=[("Organisation", "/"), ("Search", "")], groups=groups, text=text)


async def find(console: Console, visit: Visit, text: str) -> Groups:
    """All that matches, the exact things first."""
    hits = await console.resources.search(visit.caller, text, HITS)
    things = [
        Find(hit.name, f"{words.humps(hit.gk.split('.', 1)[0])}{_by(hit.what, hit.value, hit.name)}", console.href(hit.gk, hit.name))
        for hit in hits
        if not hit.gk.endswith(".org.cipo")
    ]
    groups = [
        ("Things", things),
        ("Offices", offices(console, visit, text)),
        ("Promises", promises(console, visit, text)),
        ("Kinds and pages", kinds(console, visit, text)),
    ]
    return [(title, found) for title, found in groups if found]


def _by(what: str, value: str, name: str) -> str:
    return "" if what == "name" or value == name else f", {what.split('/')[1] if '/' in what else what} {value}"


def offices(console: Console, visit: Visit, text: str) -> list[Find]:
    """Departments, squads and units whose id or title holds the words."""
    chart = console.chart
    listed = [
        *((d.id, d.id, d.title, f"/d/{d.id}", "department") for d in chart.departments),
        *((s.id, s.code, s.title, f"/s/{s.id}", "squad") for s in chart.squads),
        *((u.id, u.code, u.title, f"/u/{u.id}", "unit") for u in chart.units),
    ]
    found = [
        Find(f"{code} {title}", f"{what} of {id_[:2]}", href)
        for id_, code, title, href, what in listed
        if id_[:2] not in visit.hidden and _holds(text, id_, title)
    ]
    return found[:HITS]


def promises(console: Console, visit: Visit, text: str) -> list[Find]:
    """KPIs whose words hold the text."""
    return [
        Find(kpi.text, kpi.squad, f"/kpi/{kpi.name}")
        for kpi in console.chart.kpis
        if kpi.department not in visit.hidden and _holds(text, kpi.name, kpi.text)
    ][:HITS]


def kinds(console: Console, visit: Visit, text: str) -> list[Find]:
    """Kinds that the caller may list, and the units' own pages."""
    readable = set(console.resources.readable(visit.caller))
    found = [
        Find(words.kinds_title(info.kind, info.plural), f"kind of {info.unit}", f"/k/{console.kind_path(info)}")
        for info in console.registry.kinds
        if info.gk in readable and _holds(text, info.kind, info.plural, info.short)
    ]
    pages = [
        Find(page.title, f"page of {unit}", f"/u/{unit}/{page.slug}")
        for unit in console.registry.units
        if unit[:2] not in visit.hidden
        for page in unit_pages(console, unit)
        if _holds(text, page.title, page.slug)
    ]
    return [*found, *pages][:HITS]


def _holds(text: str, *places: str) -> bool:
    return all(any(word in place.lower() for place in places) for word in text.lower().split())
