"""The routes of the Kubernetes API, each with what answers it. The application mounts the list beside the console's pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.routing import BaseRoute

from cipo.kernel.store.feed import Feed
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Registry
from cipo.kernel.wire import auth, events, meta, read, write
from cipo.kernel.wire.request import Authenticate, Boundary, Wire, route


def routes(
    resources: Resources,
    registry: Registry,
    feed: Feed,
    authenticate: Authenticate,
    *,
    boundary: Boundary | None = None,
    ready: Callable[[], Awaitable[None]] | None = None,
) -> list[BaseRoute]:
    """Everything below /api, /apis and /openapi, and the probes.

    ``boundary(caller, verb, group, plural)`` raises Forbidden for a kind that the chart reserves and that is not built yet;
    ``ready`` raises an ApiError while the server should get no traffic.
    """
    wire = Wire(resources, registry, feed, authenticate, boundary, ready)
    group, kind = "/apis/{group}/{version}", "/apis/{group}/{version}/{plural}"
    table = {
        "/version": {"GET": meta.version},
        "/api": {"GET": meta.api},
        "/api/v1": {"GET": meta.group_version},
        "/api/v1/events": {"GET": events.events},
        "/api/v1/namespaces/{namespace}/events": {"GET": events.events},
        "/apis": {"GET": meta.apis},
        "/apis/authentication.k8s.io/v1/selfsubjectreviews": {"POST": auth.self_review},
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": {"POST": auth.access_review},
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": {"POST": auth.rules_review},
        "/openapi.json": {"GET": meta.openapi_people},
        "/openapi/v3": {"GET": meta.openapi_index},
        "/openapi/v3/apis/{group}/{version}": {"GET": meta.openapi_group},
        "/apis/{group}": {"GET": meta.group},
        group: {"GET": meta.group_version},
        kind: {"GET": read.collection, "POST": write.create},
        f"{kind}/{{name}}": {"GET": read.one, "PUT": write.replace, "PATCH": write.patch, "DELETE": write.delete},
        f"{kind}/{{name}}/status": {"GET": read.one, "PUT": write.replace_status, "PATCH": write.patch_status},
        f"{kind}/{{name}}/{{sub}}": {"GET": write.no_such_subresource, "POST": write.act},
        "/api/{rest:path}": {"GET": meta.nothing},
        "/apis/{rest:path}": {"GET": meta.nothing},
        "/openapi/{rest:path}": {"GET": meta.nothing},
    }
    return [*meta.probes(wire), *(route(wire, path, handlers) for path, handlers in table.items())]
