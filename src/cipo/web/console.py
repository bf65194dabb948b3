"""``Console``: what every page handler works with, and the wrapper around each route.

The wrapper authenticates, turns errors into pages, and sets the security headers; a handler is ``async (console, visit) -> Response`` and
reads through ``Resources`` with the visit's caller only, so the chart's rules hold on pages as on the API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog
from jinja2 import Environment
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from cipo.kernel.authn import Authenticator
from cipo.kernel.errors import ApiError, NotFound, Unauthorized
from cipo.kernel.principal import Caller
from cipo.kernel.store.feed import Feed
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import KindInfo, Registry
from cipo.org.chart import Chart
from cipo.web.frame import frame
from cipo.web.ports import Kpis
from cipo.web.scorecard import Scorecard, scorecard
from cipo.web.static import Assets
from cipo.web.templating import environment

log = structlog.get_logger()
KPI = "Kpi.org.cipo"
POLICY = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
PRIVATE = "no-store"


@dataclass(slots=True)
class Visit:
    """One request to a page: who asks, and the token their forms carry."""

    request: Request
    caller: Caller
    csrf: str
    hidden: frozenset[str] = frozenset()
    context: dict[str, Any] = field(default_factory=dict)

    def query(self, name: str, default: str = "") -> str:
        """A bounded query parameter."""
        return self.request.query_params.get(name, default)[:2000]

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    async def form(self) -> FormData:
        """The posted form."""
        return await self.request.form()


Handler = Callable[["Console", Visit], Awaitable[Response]]


class Console:
    """Everything the pages read, one a process."""

    def __init__(
        self, resources: Resources, registry: Registry, chart: Chart, kpis: Kpis, feed: Feed, authn: Authenticator, settings: Any
    ) -> None:
        self.resources = resources
        self.registry = registry
        self.chart = chart
        self.kpis = kpis
        self.feed = feed
        self.authn = authn
        self.settings = settings
        self.assets = Assets()
        self.env: Environment = environment(self)

    async def scorecard(self, visit: Visit, *, lines: bool = False) -> Scorecard:
        """All KPI states this caller may see; read once a request. ``lines``: with the course of 90 days."""
        known = visit.context.get("scorecard")
        if isinstance(known, Scorecard):
            return known
        kind = self.registry.by_gk.get(KPI)
        objects = [] if kind is None else [row.object() for row in (await self.resources.list(visit.caller, kind)).items]
        courses = await self.kpis.sparklines(visit.caller) if lines and kind is not None else {}
        visit.context["scorecard"] = made = scorecard(self.chart, objects, visit.hidden, courses)
        return made

    async def page(
        self, visit: Visit, template: str, *, status: int = 200, crumbs: list[tuple[str, str]] | None = None, live: str = "", **values: Any
    ) -> Response:
        """Render a page inside the frame. ``live``: the kinds (keys) whose changes refresh it."""
        framed = await frame(self, visit, crumbs or [], live)
        body = self.env.get_template(template).render(frame=framed, visit=visit, **values)
        return HTMLResponse(body, status_code=status, headers={"Cache-Control": PRIVATE, "Vary": "Cookie"})

    def fragment(self, template: str, **values: Any) -> Response:
        """Render a piece of a page, for HTMX."""
        return HTMLResponse(self.env.get_template(template).render(**values), headers={"Cache-Control": PRIVATE})

    def door(self, template: str, request: Request, *, status: int = 200, **values: Any) -> Response:
        """Render a page for somebody who is not signed in."""
        theme = request.cookies.get("cipo_theme", "")
        body = self.env.get_template(template).render(theme=theme if theme in ("light", "dark") else "", **values)
        return HTMLResponse(body, status_code=status, headers={"Cache-Control": PRIVATE})

    async def visit(self, request: Request) -> Visit:
        """Authenticate."""
        caller = await self.authn.authenticate(request)
        return Visit(request, caller, self.authn.csrf(request), self.resources.hidden(caller))

    def route(self, path: str, handler: Handler, methods: tuple[str, ...] = ("GET",)) -> Route:
        """A page's route."""

        async def endpoint(request: Request) -> Response:
            return secured(await self._answer(request, handler))

        return Route(path, endpoint, methods=list(methods), name=handler.__name__)

    def open_route(self, path: str, answer: Callable[[Request], Awaitable[Response]], methods: tuple[str, ...] = ("GET",)) -> Route:
        """A route without sign-in: files, and the door itself."""

        async def endpoint(request: Request) -> Response:
            try:
                response = await answer(request)
            except ApiError as error:
                response = self.door("door-error.html", request, status=error.code, error=error)
            return secured(response)

        return Route(path, endpoint, methods=list(methods))

    async def _answer(self, request: Request, handler: Handler) -> Response:
        try:
            visit = await self.visit(request)
        except ApiError as error:
            return self._closed(request, error)
        try:
            return await handler(self, visit)
        except ApiError as error:
            if _program(request):
                return JSONResponse(error.status(), error.code)
            return await self.page(visit, "error.html", status=error.code, error=error)

    def _closed(self, request: Request, error: ApiError) -> Response:
        """The answer to somebody who may not come in: the door, or for programs the API's words."""
        if _program(request):
            return JSONResponse(error.status(), error.code)
        if isinstance(error, Unauthorized) and request.method in ("GET", "HEAD"):
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(target)}", 303)
        return self.door("door-error.html", request, status=error.code, error=error)

    def kind_path(self, info: KindInfo) -> str:
        """A kind's word in addresses: its plural, qualified by the group only when two groups share it."""
        shared = sum(1 for other in self.registry.by_gk.values() if other.plural == info.plural) > 1
        return f"{info.plural}.{info.group}" if shared else info.plural

    def href(self, gk: str, name: str) -> str:
        """The page of a resource; KPIs have their own."""
        info = self.registry.by_gk.get(gk)
        if info is None:
            return ""
        if gk == KPI:
            return f"/kpi/{quote(name)}"
        return f"/r/{self.kind_path(info)}/{quote(name, safe='')}"


class NotFoundPage(Route):
    """The last route: a browser that asks for a page nobody has gets a page; programs get the API's own answer."""

    def __init__(self, console: Console) -> None:
        async def endpoint(request: Request) -> Response:
            return secured(await console._answer(request, _nowhere))

        super().__init__("/{rest:path}", endpoint, methods=["GET"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Only for browsers, and never below the API's paths."""
        if scope["type"] != "http" or str(scope["path"]).startswith(("/api", "/openapi", "/version", "/healthz", "/livez", "/readyz")):
            return Match.NONE, {}
        accept = next((value for key, value in scope["headers"] if key == b"accept"), b"")
        return super().matches(scope) if b"text/html" in accept else (Match.NONE, {})


def _program(request: Request) -> bool:
    """Whether the answer is read by a program, which asks for JSON and not for pages."""
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


async def _nowhere(console: Console, visit: Visit) -> Response:
    raise NotFound(f"there is no page {visit.request.url.path[:200]!r}; the search box finds things by name")


def secured(response: Response) -> Response:
    """The headers of every answer of the console."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
