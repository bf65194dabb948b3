"""POST, PUT, PATCH, DELETE on objects and their status; and actions, which are subresources one posts to."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from starlette.requests import Request
from starlette.responses import Response

from cipo.kernel.errors import ApiError, BadRequest
from cipo.kernel.principal import Caller
from cipo.kernel.store.resources import Written
from cipo.kernel.unit import KindInfo
from cipo.kernel.wire import ssa, table
from cipo.kernel.wire.patch import patch_type
from cipo.kernel.wire.read import shown
from cipo.kernel.wire.request import Wire, decoded, decoded_object, dry_run, flag, json, unknown, validation, warnings

Subresource = Literal["", "status"]
PROPAGATION = ("Background", "Foreground", "Orphan")


async def create(wire: Wire, request: Request, caller: Caller) -> Response:
    """``POST …/assets``: one object; or a ``<Kind>List`` of up to 1,000, all or nothing."""
    kind = wire.kind(request, caller, "create")
    dry, strict = dry_run(request), validation(request)
    body = await decoded_object(request)
    if body.get("kind") == f"{kind.kind}List" and isinstance(body.get("items"), list):
        return await _create_many(wire, caller, kind, body["items"], dry=dry)
    written = await wire.resources.create(caller, kind, body, dry_run=dry, validation=strict)
    return _written(request, kind, written)


async def _create_many(wire: Wire, caller: Caller, kind: KindInfo, items: list[Any], *, dry: bool) -> Response:
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise BadRequest(f"items[{index}] is a {type(item).__name__}, not an object")
    written = await wire.resources.create_many(caller, kind, items, dry_run=dry)
    version = max((one.stored.rv for one in written), default=0)
    headers = warnings([text for one in written for text in one.warnings])
    return json(table.object_list(kind, (one.stored.body for one in written), {"resourceVersion": str(version)}), 201, headers=headers)


async def replace(wire: Wire, request: Request, caller: Caller) -> Response:
    """``PUT …/assets/a``."""
    return await _replace(wire, request, caller, "")


async def replace_status(wire: Wire, request: Request, caller: Caller) -> Response:
    """``PUT …/assets/a/status``."""
    return await _replace(wire, request, caller, "status")


async def _replace(wire: Wire, request: Request, caller: Caller, part: Subresource) -> Response:
    kind, name = wire.kind(request, caller, "update"), request.path_params["name"]
    dry, strict = dry_run(request), validation(request)
    body = await decoded_object(request)
    written = await wire.resources.replace(caller, kind, name, body, subresource=part, dry_run=dry, validation=strict)
    return _written(request, kind, written)


async def patch(wire: Wire, request: Request, caller: Caller) -> Response:
    """``PATCH …/assets/a``: the Content-Type says which kind of patch."""
    return await _patch(wire, request, caller, "")


async def patch_status(wire: Wire, request: Request, caller: Caller) -> Response:
    """``PATCH …/assets/a/status``."""
    return await _patch(wire, request, caller, "status")


async def _patch(wire: Wire, request: Request, caller: Caller, part: Subresource) -> Response:
    kind, name = wire.kind(request, caller, "patch"), request.path_params["name"]
    kind_of = patch_type(request.headers.get("content-type", ""))
    force = flag(request, "force")
    if kind_of == "apply":
        ssa.check_manager(request.query_params.get("fieldManager", ""))
    elif force:
        raise BadRequest("force is for apply patches only; leave it out")
    dry, strict = dry_run(request), validation(request)
    change = await decoded(request)
    if kind_of != "json" and not isinstance(change, dict):
        raise BadRequest(f"the patch must be one object, not a {type(change).__name__}")
    written = await wire.resources.patch(caller, kind, name, change, kind_of, force=force, subresource=part, dry_run=dry, validation=strict)
    return _written(request, kind, written)


async def delete(wire: Wire, request: Request, caller: Caller) -> Response:
    """``DELETE …/assets/a`` with DeleteOptions: gone, or marked while finalizers remain."""
    kind = wire.kind(request, caller, "delete")
    name = request.path_params["name"]
    options = await decoded_object(request, empty=True)
    preconditions = options.get("preconditions") or {}
    if not isinstance(preconditions, dict):
        raise BadRequest("preconditions must be an object with uid and/or resourceVersion")
    propagation = request.query_params.get("propagationPolicy") or options.get("propagationPolicy") or "Background"
    if propagation not in PROPAGATION:
        raise BadRequest(f"propagationPolicy {str(propagation)[:40]!r}: choose {', '.join(PROPAGATION)}")
    uid, version = (None if preconditions.get(key) is None else str(preconditions[key]) for key in ("uid", "resourceVersion"))
    dry = dry_run(request, options)
    deleted = await wire.resources.delete(caller, kind, name, uid=uid, rv=version, propagation=str(propagation), dry_run=dry)
    if not deleted.gone:
        return shown(request, kind, deleted.stored)
    details = {"name": name, "group": kind.group, "kind": kind.plural, "uid": deleted.stored.uid}
    return json(orjson.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}))


async def act(wire: Wire, request: Request, caller: Caller) -> Response:
    """``POST …/assets/a/putaway``: the object afterwards, or an ActionResult when the action answers something."""
    kind = wire.kind(request, caller, "act")
    name, action = request.path_params["name"], request.path_params["sub"]
    given = await decoded_object(request, empty=True)
    key = request.headers.get("Idempotency-Key") or None
    acted = await wire.resources.act(caller, kind, name, action, given, idempotency_key=key, dry_run=dry_run(request))
    headers = {"Idempotent-Replayed": "true"} if acted.repeated else {}
    if acted.output is None:
        return shown(request, kind, acted.stored, 201, headers)
    result = b'{"kind":"ActionResult","apiVersion":"kernel.cipo/v1","metadata":{},"output":%s,"object":%s}'
    return json(result % (orjson.dumps(acted.output), acted.stored.body), 201, headers=headers)


def _written(request: Request, kind: KindInfo, written: Written) -> Response:
    return shown(request, kind, written.stored, 201 if written.created else 200, warnings(written.warnings))


async def no_such_subresource(wire: Wire, request: Request, caller: Caller) -> Response:
    """``GET …/assets/a/<sub>``: status is the object; an action is posted to."""
    kind = wire.kind(request, caller, "get")
    part = request.path_params["sub"]
    refusal: ApiError = unknown(request)
    if part in kind.actions:
        refusal = BadRequest(f"{part} is an action: POST to it")
    raise refusal
