"""The table of the console's addresses. ``cipo.app`` puts these routes after the API's own."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from cipo.kernel.authn import Authenticator
from cipo.kernel.store.feed import Feed
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Registry
from cipo.org.chart import Chart
from cipo.web import account, audit, edges, editing, exports, finding, listing, live, offices, organisation, promise, resource, scorecards
from cipo.web.account import Door
from cipo.web.console import Console, NotFoundPage
from cipo.web.ports import Kpis
from cipo.web.static import unit_file


def routes(
    resources: Resources, registry: Registry, chart: Chart, kpis: Kpis, feed: Feed, authn: Authenticator, settings: Any
) -> list[BaseRoute]:
    """Every page of the console."""
    console = Console(resources, registry, chart, kpis, feed, authn, settings)
    page, door = console.route, Door(console)
    packages = frozenset(department.package for department in registry.departments.values())

    async def static(request: Request) -> Response:
        return console.assets.serve(request)

    async def beside(request: Request) -> Response:
        return unit_file(request, packages)

    both = ("GET", "POST")
    return [
        page("/", organisation.organisation),
        page("/d/{dept}", offices.department),
        page("/s/{dept}/{squad}", offices.squad),
        page("/u/{dept}/{unit}", offices.unit),
        page("/u/{dept}/{unit}/{slug}", audit.unit_page),
        page("/k/{kind}", listing.listing),
        page("/new/{kind}", editing.new, both),
        page("/r/{kind}/{name}", resource.resource),
        page("/r/{kind}/{name}/edit", editing.edit, both),
        page("/r/{kind}/{name}/delete", editing.delete, both),
        page("/r/{kind}/{name}/act/{action}", resource.act, ("POST",)),
        page("/suggest/{kind}", resource.suggest),
        page("/kpi/{name}.svg", exports.kpi),
        page("/kpi/{name}.png", exports.kpi),
        page("/kpi/{name}.pdf", exports.kpi),
        page("/kpi/{name}", promise.promise),
        page("/scorecard", scorecards.scorecards),
        page("/scorecard.pdf", exports.scorecard),
        page("/scorecard.png", exports.scorecard),
        page("/scorecard.json", scorecards.as_json),
        page("/scorecard/{dept}", scorecards.scorecards),
        page("/scorecard/{dept}/{squad}", scorecards.scorecards),
        page("/search", finding.search),
        page("/contracts", edges.contracts),
        page("/events", audit.events),
        page("/audit", audit.events),
        page("/todo", audit.todo),
        page("/help", audit.keys),
        page("/live", live.live),
        page("/act-as", account.act_as, ("POST",)),
        page("/theme", account.theme, ("POST",)),
        console.open_route("/login", door.knock),
        console.open_route("/sign-in", door.explain),
        console.open_route("/sign-in/{token}", door.knock),
        console.open_route("/sign-in/{token}", door.enter, ("POST",)),
        console.open_route("/sign-out", door.leave, ("POST",)),
        console.open_route("/static/{path:path}", static),
        console.open_route("/assets/unit/{package}/{squad}/{file}", beside),
        NotFoundPage(console),
    ]
