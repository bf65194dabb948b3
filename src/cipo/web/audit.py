"""The audit log, the to-do list and the page of keys."""

from __future__ import annotations

from starlette.responses import Response

from cipo.kernel.errors import NotFound
from cipo.web import story
from cipo.web.attention import attention
from cipo.web.console import Console, Visit
from cipo.web.listing import kind_of
from cipo.web.offices import unit_crumbs, visible

LINES = 100
RESERVED = frozenset({"visit", "template", "status", "crumbs", "live", "frame", "page"})


async def events(console: Console, visit: Visit) -> Response:
    """``GET /events``: who did what, newest first, of what the caller may read."""
    kind = kind_of(console, visit.query("kind")) if visit.query("kind") else None
    before = visit.query("before")
    rows = await console.resources.events(
        visit.caller,
        gk=kind.gk if kind else None,
        name=visit.query("name") or None,
        actor=visit.query("actor") or None,
        limit=LINES,
        before=int(before) if before.isdigit() and len(before) < 19 else None,
    )
    lines = [(row, story.moment(row, console.registry.kind(row.gk).phase), console.href(row.gk, row.name)) for row in rows]
    return await console.page(
        visit,
        "events.html",
        crumbs=[("Organisation", "/"), ("Audit", "")],
        live="" if before else ",".join(console.resources.readable(visit.caller)),
        lines=lines,
        kind=visit.query("kind"),
        name=visit.query("name"),
        actor=visit.query("actor"),
        kinds=[
            (console.kind_path(info), info.kind)
            for info in console.registry.kinds
            if info.gk in set(console.resources.readable(visit.caller))
        ],
        older=rows[-1].seq if len(rows) == LINES else 0,
        first=not before,
    )


async def todo(console: Console, visit: Visit) -> Response:
    """``GET /todo``: what waits for the units this caller acts as; a lead sees all."""
    unit = visit.caller.unit
    under = frozenset({unit}) if unit else None
    items = await attention(console, visit, under=under)
    return await console.page(
        visit,
        "todo.html",
        crumbs=[("Organisation", "/"), ("To do", "")],
        live=",".join(console.resources.readable(visit.caller)),
        blocked=[item for item in items if item.blocked],
        missed=[item for item in items if item.tone == "missed"],
        retried=[item for item in items if not item.blocked and item.tone != "missed"],
        unit=unit or "",
    )


async def keys(console: Console, visit: Visit) -> Response:
    """``GET /help``."""
    return await console.page(visit, "help.html", crumbs=[("Organisation", "/"), ("Keys", "")])


async def unit_page(console: Console, visit: Visit) -> Response:
    """``GET /u/<department>/<unit>/<slug>``: a page that a unit brings along."""
    unit_id = f"{visit.path('dept')}/{visit.path('unit')}"
    page = console.registry.pages.get((unit_id, visit.path("slug")))
    if page is None:
        raise NotFound(f"{unit_id} has no page {visit.path('slug')[:80]!r}")
    visible(console, visit, unit_id[:2])
    values = await page.fn(dict(visit.request.query_params), console.resources.context(visit.caller))
    kinds = [info.gk for info in console.registry.units[unit_id].kinds if info.gk in set(console.resources.readable(visit.caller))]
    values = {key: value for key, value in values.items() if key not in RESERVED}
    template = f"{console.registry.departments[unit_id[:2]].package}.{page.template}"
    trail = [*unit_crumbs(console.chart, unit_id), (page.title, "")]
    return await console.page(visit, template, crumbs=trail, live=",".join(kinds), page=page, **values)
