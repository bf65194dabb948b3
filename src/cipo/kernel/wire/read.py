"""GET: one object, or a list in pages; as stored bytes, as a Table, or as metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cipo.kernel.principal import Caller
from cipo.kernel.store.read import Page
from cipo.kernel.store.write import Stored
from cipo.kernel.unit import KindInfo
from cipo.kernel.wire import table
from cipo.kernel.wire.request import Wire, flag, json, number, selectors
from cipo.kernel.wire.watch import watch


async def collection(wire: Wire, request: Request, caller: Caller) -> Response:
    """``GET …/assets``: a list, or with ``?watch=true`` a stream of changes."""
    watching = flag(request, "watch")
    kind = wire.kind(request, caller, "watch" if watching else "list")
    if watching:
        return await watch(wire, request, caller, kind)
    labels, fields = selectors(request, kind)
    wanted = table.wish(request.headers.get("accept", ""), request.query_params.get("includeObject"))
    limit, after = number(request, "limit"), request.query_params.get("continue") or None
    page = await wire.resources.list(caller, kind, labels=labels, fields=fields, limit=limit, continue_=after)
    metadata = page_metadata(page)
    match wanted.view:
        case "table":
            return json(table.table(kind, page.items, datetime.now(UTC), wanted, metadata))
        case "partial":
            return json(table.partial_list(page.items, metadata, wanted.version))
        case _:
            return json(table.object_list(kind, (item.body for item in page.items), metadata))


def page_metadata(page: Page) -> dict[str, Any]:
    """ListMeta of a page."""
    metadata: dict[str, Any] = {"resourceVersion": str(page.rv)}
    if page.continue_:
        metadata["continue"] = page.continue_
    if page.continue_ and page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    return metadata


async def one(wire: Wire, request: Request, caller: Caller) -> Response:
    """``GET …/assets/a`` and ``GET …/assets/a/status``: the same object."""
    kind = wire.kind(request, caller, "get")
    found = await wire.resources.get(caller, kind, request.path_params["name"])
    return shown(request, kind, found)


def shown(request: Request, kind: KindInfo, item: Stored, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """One object in the form that the client asked for."""
    wanted = table.wish(request.headers.get("accept", ""), request.query_params.get("includeObject"))
    match wanted.view:
        case "table":
            body = table.table(kind, [item], datetime.now(UTC), wanted, {"resourceVersion": str(item.rv)})
        case "partial":
            body = table.partial(item, wanted.version)
        case _:
            body = item.body
    return json(body, code, headers=headers)
