"""The API process's application: the Kubernetes wire, the console, the two JSON helpers of the CLI and ``/metrics``, on one plane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cipo.kernel.errors import ApiError, BadRequest, Forbidden, MethodNotAllowed, NotFound
from cipo.kernel.principal import Caller
from cipo.kernel.settings import Settings
from cipo.kernel.wire.routes import routes as wire_routes
from cipo.org import metrics
from cipo.org.measured import Kpis
from cipo.plane import Plane
from cipo.reliability.performance.metrics import of_slos
from cipo.web.routes import routes as console_routes

Message = MutableMapping[str, Any]


class App:
    """The ASGI application with its life: ``startup`` before the first request, ``shutdown`` after the last."""

    def __init__(self, settings: Settings) -> None:
        self.plane = Plane.build(settings)
        kpis = Kpis(self.plane.resources)
        plane = self.plane
        routes = [
            Route("/search.json", self._json(self._search)),
            Route("/apis/org.cipo/v1/kpis/{name}/explain", self._json(self._explain)),
            Route("/metrics", self._metrics),
            *wire_routes(plane.resources, plane.registry, plane.feed, plane.authn.authenticate, boundary=self._boundary),
            *console_routes(plane.resources, plane.registry, plane.chart, kpis, plane.feed, plane.authn, settings),
        ]
        self.kpis = kpis
        self._asgi = Starlette(routes=routes, exception_handlers={ApiError: _refused, HTTPException: _http, Exception: _defect})

    async def startup(self) -> None:
        """Open the store and start the feed."""
        await self.plane.start()

    async def shutdown(self) -> None:
        """Close them."""
        await self.plane.stop()

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        """Serve one request."""
        await self._asgi(scope, receive, send)

    def _json(self, answer: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return Response(orjson.dumps(await answer(request)), media_type="application/json")

        return handle

    async def _search(self, request: Request) -> Any:
        caller = await self.plane.authn.authenticate(request)
        hits = await self.plane.resources.search(caller, request.query_params.get("q", ""), limit=50)
        return {"items": [{"gk": hit.gk, "name": hit.name, "uid": hit.uid, "what": hit.what, "value": hit.value} for hit in hits]}

    async def _explain(self, request: Request) -> Any:
        caller = await self.plane.authn.authenticate(request)
        return await self.kpis.explain(caller, request.path_params["name"])

    async def _metrics(self, request: Request) -> Response:
        caller = await self.plane.authn.authenticate(request)
        served = [*await metrics.of_kpis(self.plane.resources, caller), *await of_slos(self.plane.resources, caller)]
        text, media = await metrics.exposition(self.plane.db, served, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": media, "Cache-Control": "no-store"})

    def _boundary(self, caller: Caller, verb: str, group: str, plural: str) -> None:
        """A kind of the chart that no code serves yet is refused by its rule before it is not found."""
        chart = self.plane.chart
        department = chart.group_department(group)
        if department is None:
            return
        known = {kind for unit in chart.units if unit.department == department for kind in unit.kinds}
        known |= {kind for rule in chart.boundaries if rule.sole == department for kind in rule.kinds}
        kind = next((name for name in sorted(known) if plural in spellings(name)), None)
        if department in self.plane.authorizer.hidden(caller):
            kind = kind or plural
        unit = caller.unit or next(iter(caller.principal.units), "")
        if kind is None or (caller.unit is None and len(caller.principal.units) != 1):
            return
        decision = self.plane.authorizer.decide_names(unit, verb, kind, department)
        if not decision.allowed:
            raise Forbidden(f'{plural}.{group} is forbidden: "{caller.principal.name}" cannot {verb} it: {decision.reason}')


def spellings(kind: str) -> frozenset[str]:
    """What a kind may be called in a path: its plurals, regular and not."""
    word = kind.lower()
    return frozenset({word, f"{word}s", f"{word}es", f"{word.removesuffix('y')}ies"})


def create_app(settings: Settings) -> App:
    """The factory that the server process calls."""
    return App(settings)


def status(error: ApiError) -> Response:
    """An error as a Kubernetes Status."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
    return Response(orjson.dumps(error.status()), status_code=error.code, media_type="application/json", headers=headers)


async def _refused(request: Request, error: Exception) -> Response:
    return status(error if isinstance(error, ApiError) else ApiError(str(error)))


async def _http(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    known: dict[int, ApiError] = {
        404: NotFound("the server could not find the requested resource"),
        405: MethodNotAllowed("this path does not take that method"),
    }
    return status(known.get(code) or BadRequest(str(getattr(error, "detail", error))))


async def _defect(request: Request, error: Exception) -> Response:
    return status(ApiError("an unexpected error; it is in the API's log with this request's id"))
