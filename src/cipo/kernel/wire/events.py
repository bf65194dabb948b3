"""core/v1 Events: the audit log in the shape that ``kubectl describe`` and ``kubectl events`` read. Nothing is stored for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from cipo.kernel.principal import Caller
from cipo.kernel.store.read import EventRow
from cipo.kernel.unit import Registry
from cipo.kernel.wire import table
from cipo.kernel.wire.request import Wire, json, number
from cipo.kernel.wire.selectors import FieldSelector

LIMIT: Final = 500
FIELDS: Final = (
    "metadata.namespace",
    "reason",
    "type",
    *(f"involvedObject.{key}" for key in ("name", "namespace", "kind", "uid", "apiVersion")),
)
COLUMNS: Final = ("Last Seen", "Type", "Reason", "Object", "Message")


async def events(wire: Wire, request: Request, caller: Caller) -> Response:
    """``GET /api/v1/events``, also below a namespace: the newest first, of kinds that the caller may read."""
    text = request.query_params.get("fieldSelector", "")
    selector = FieldSelector.parse(text, FIELDS) if text else FieldSelector()
    limit = min(number(request, "limit") or LIMIT, LIMIT)
    before = number(request, "continue")
    kind = selector.only("involvedObject.kind")
    gk = next((one.gk for one in wire.registry.kinds if one.kind == kind), None) if kind and _unique(wire.registry, kind) else None
    rows = await wire.resources.events(
        caller,
        gk=gk,
        uid=selector.only("involvedObject.uid") or None,
        name=selector.only("involvedObject.name") or None,
        limit=limit,
        before=before,
    )
    items = [
        event for row in rows if selector.matches((event := as_event(wire.registry, row))["metadata"]["name"], row.uid, _fields(event))
    ]
    metadata: dict[str, Any] = {"resourceVersion": str(rows[0].seq if rows else 0)}
    if len(rows) == limit:
        metadata["continue"] = str(rows[-1].seq)
    if table.wish(request.headers.get("accept", "")).view == "table":
        return json(orjson.dumps(_table(items, metadata)))
    return json(orjson.dumps({"kind": "EventList", "apiVersion": "v1", "metadata": metadata, "items": items}))


def as_event(registry: Registry, row: EventRow) -> dict[str, Any]:
    """One line of the audit log as an Event."""
    kind, _, group = row.gk.partition(".")
    info = registry.by_gk.get(row.gk)
    at = row.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    warned = row.reason in ("Blocked", "Error", "Unavailable")
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {
            "name": f"{row.name[:200]}.{row.seq:x}",
            "namespace": "default",
            "uid": f"{row.uid[:24]}{row.seq % 16**12:012x}",
            "resourceVersion": str(row.seq),
            "creationTimestamp": at,
        },
        "involvedObject": {
            "kind": kind,
            "apiVersion": info.api_version if info else f"{group}/v1",
            "name": row.name,
            "uid": row.uid,
            "resourceVersion": str(row.seq),
        },
        "reason": row.reason or row.verb.title().replace("-", ""),
        "message": row.message or _words(row),
        "type": "Warning" if warned else "Normal",
        "source": {"component": row.actor},
        "reportingComponent": row.actor,
        "reportingInstance": row.unit,
        "action": row.verb,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "eventTime": None,
        "count": 1,
    }


def _words(row: EventRow) -> str:
    """What happened, when the writer gave no sentence."""
    paths = sorted({op["path"].strip("/").replace("/", ".") for op in row.diff or () if isinstance(op.get("path"), str)})
    who = f"{row.actor} as {row.unit}" if row.unit else row.actor
    if not paths:
        return f"{row.verb} by {who}"
    listed = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    return f"{row.verb} by {who}: {listed}"


def _unique(registry: Registry, kind: str) -> bool:
    return sum(one.kind == kind for one in registry.kinds) == 1


def _fields(event: dict[str, Any]) -> dict[str, str]:
    """What a field selector may ask about; resources of cipo have no namespace."""
    involved = event["involvedObject"]
    return {
        **{f"involvedObject.{key}": involved.get(key, "") for key in ("name", "kind", "uid", "apiVersion", "namespace")},
        "metadata.namespace": event["metadata"]["namespace"],
        "reason": event["reason"],
        "type": event["type"],
    }


def _table(items: list[dict[str, Any]], metadata: dict[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC)
    rows = []
    for event in items:
        since = table.age(datetime.fromisoformat(event["lastTimestamp"]), now)
        involved = event["involvedObject"]
        about = f"{involved['kind'].lower()}/{involved['name']}"
        partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": event["metadata"]}
        rows.append({"cells": [since, event["type"], event["reason"], about, event["message"]], "object": partial})
    columns = [{"name": name, "type": "string", "format": "", "description": name, "priority": 0} for name in COLUMNS]
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": rows}
