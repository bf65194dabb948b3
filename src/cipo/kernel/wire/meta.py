"""What a client asks before it asks for objects: version, discovery, OpenAPI; and the probes, which need no token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cipo.kernel.errors import ApiError
from cipo.kernel.principal import Caller
from cipo.kernel.wire import discovery
from cipo.kernel.wire.openapi import digest
from cipo.kernel.wire.request import Wire, json, unknown

FOREVER = "public, max-age=31536000, immutable"


async def version(wire: Wire, request: Request, caller: Caller) -> Response:
    """``/version``."""
    return json(orjson.dumps(discovery.version()))


async def api(wire: Wire, request: Request, caller: Caller) -> Response:
    """``/api``."""
    return _discovered(request, wire.discovery.api)


async def apis(wire: Wire, request: Request, caller: Caller) -> Response:
    """``/apis``."""
    return _discovered(request, wire.discovery.apis)


def _discovered(request: Request, answer: Callable[[str | None], bytes]) -> Response:
    wanted = discovery.aggregated_version(request.headers.get("accept", ""))
    # kubectl takes the aggregated form only under exactly this Content-Type.
    media = discovery.AGGREGATED.format(version=wanted) if wanted else "application/json"
    return json(answer(wanted), media=media, headers={"Vary": "Accept"})


async def group(wire: Wire, request: Request, caller: Caller) -> Response:
    """``/apis/<group>``."""
    found = wire.discovery.group(request.path_params["group"])
    if found is None:
        raise unknown(request)
    return json(found)


async def group_version(wire: Wire, request: Request, caller: Caller) -> Response:
    """``/apis/<group>/v1`` and ``/api/v1``."""
    found = wire.discovery.group_version(request.path_params.get("group", ""))
    if found is None or request.path_params.get("version", "v1") != "v1":
        raise unknown(request)
    return json(found)


async def openapi_index(wire: Wire, request: Request, caller: Caller) -> Response:
    """``/openapi/v3``."""
    return json(wire.openapi.index())


async def openapi_group(wire: Wire, request: Request, caller: Caller) -> Response:
    """``/openapi/v3/apis/<group>/v1?hash=``: under its own hash it never changes."""
    if request.path_params["group"] not in wire.registry.groups or request.path_params["version"] != "v1":
        raise unknown(request)
    found = wire.openapi.group(request.path_params["group"])
    asked = request.query_params.get("hash")
    headers = {"Cache-Control": FOREVER if asked == digest(found) else "no-cache"}
    return json(found, headers=headers)


async def openapi_people(wire: Wire, request: Request, caller: Caller) -> Response:
    """``/openapi.json``."""
    return json(wire.openapi.people())


async def nothing(wire: Wire, request: Request, caller: Caller) -> Response:
    """Any other path below the API: a Status, not a page. ``/openapi/v2`` too, which kubectl does without."""
    raise unknown(request)


def probes(wire: Wire) -> list[Route]:
    """``/livez`` and ``/healthz``: the process answers. ``/readyz``: and so does the database, with the schema this code knows."""

    async def live(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def ready(request: Request) -> Response:
        try:
            await (wire.ready or _database(wire))()
        except ApiError as error:
            return PlainTextResponse(f"not ready: {error.message}", 503, headers={"Retry-After": str(error.retry_after or 1)})
        return PlainTextResponse("ok")

    return [Route("/healthz", live), Route("/livez", live), Route("/readyz", ready)]


def _database(wire: Wire) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        await wire.resources.db.fetch("select 1")

    return check
