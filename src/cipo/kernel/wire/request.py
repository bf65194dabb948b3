"""Reading a request: its query, its body with a limit, and writing back an error as a Kubernetes Status.

Shared by the modules that answer (read, write, watch, …). ``Wire`` is what they need: the store, the registry, the feed, and who asks.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cipo.kernel.errors import ApiError, BadRequest, MethodNotAllowed, NotFound, Unauthorized
from cipo.kernel.principal import Caller
from cipo.kernel.store.admission import Validation
from cipo.kernel.store.feed import Feed
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import KindInfo, Registry
from cipo.kernel.wire.decode import MAX_BYTES, decode, too_large
from cipo.kernel.wire.discovery import Discovery
from cipo.kernel.wire.openapi import OpenApi
from cipo.kernel.wire.selectors import FieldSelector, LabelSelector

log = structlog.get_logger()

Authenticate = Callable[[Request], Awaitable[Caller]]
Boundary = Callable[[Caller, str, str, str], None]
JSON: Final = "application/json"
METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_TRUE: Final = ("1", "true", "t", "yes")
_ID: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-")


@dataclass(slots=True)
class Wire:
    """What every answer needs. ``boundary`` may refuse a kind that the chart names and nobody has built yet."""

    resources: Resources
    registry: Registry
    feed: Feed
    authenticate: Authenticate
    boundary: Boundary | None = None
    ready: Callable[[], Awaitable[None]] | None = None
    discovery: Discovery = field(init=False)
    openapi: OpenApi = field(init=False)

    def __post_init__(self) -> None:
        self.discovery = Discovery(self.registry)
        self.openapi = OpenApi(self.registry)

    def kind(self, request: Request, caller: Caller, verb: str) -> KindInfo:
        """The kind that the path names; Forbidden by the boundary before NotFound."""
        group, plural = request.path_params["group"], request.path_params["plural"]
        found = self.registry.by_plural.get((group, plural))
        if found is not None and found.version == request.path_params.get("version"):
            if "\x00" in request.path_params.get("name", ""):  # PostgreSQL has no such text, so no such object
                raise unknown(request)
            return found
        if self.boundary is not None:
            self.boundary(caller, verb, group, plural)
        raise unknown(request)


Handler = Callable[[Wire, Request, Caller], Awaitable[Response]]


def route(wire: Wire, path: str, handlers: Mapping[str, Handler]) -> Route:
    """A route whose every refusal is a Status: of a method it lacks, of a caller it does not know, of what the store says."""

    async def endpoint(request: Request) -> Response:
        caller: Caller | None = None
        try:
            caller = await wire.authenticate(request)
            handler = handlers.get(request.method)
            if handler is None:
                raise MethodNotAllowed(f"{request.method} is not taken here; this path takes {', '.join(handlers)}")
            response = await handler(wire, request, caller)
        except ApiError as refusal:
            response = status(refusal)
        except ClientDisconnect:
            response = Response(status_code=499)  # nobody reads it
        except Exception:
            # The reader gets the number under which the log has the rest.
            number = request_id(request, caller)
            log.exception("wire.defect", request_id=number, method=request.method, path=request.url.path)
            response = status(ApiError(f"a defect in cipo stopped this request; the log has it under request id {number}"))
        response.headers["X-Request-Id"] = request_id(request, caller)
        return response

    return Route(path, endpoint, methods=METHODS)


def request_id(request: Request, caller: Caller | None) -> str:
    """The request's number: the caller's, else the one sent, else a new one that stays with the request."""
    if caller is not None and caller.request_id:
        return caller.request_id
    sent = request.headers.get("X-Request-Id", "")
    if 1 <= len(sent) <= 64 and _ID.issuperset(sent):
        return sent
    if not hasattr(request.state, "request_id"):
        request.state.request_id = uuid.uuid4().hex
    return str(request.state.request_id)


def unknown(request: Request) -> NotFound:
    """The sentence for a path that nothing serves."""
    return NotFound(f"the server could not find the requested resource: {request.url.path[:200]}; see `kubectl api-resources`")


def status(refusal: ApiError) -> Response:
    """A refusal as its Status, with the headers that go with it."""
    headers: dict[str, str] = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if isinstance(refusal, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="cipo"'
    return json(orjson.dumps(refusal.status()), refusal.code, headers=headers)


def json(body: bytes, code: int = 200, *, media: str = JSON, headers: Mapping[str, str] | None = None) -> Response:
    """Bytes that are JSON already."""
    return Response(body, code, headers=headers, media_type=media)


async def body(request: Request) -> bytes:
    """The body, refused at the first byte over the limit."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > MAX_BYTES:
        raise too_large(int(declared[:20]))
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise too_large(size)
        chunks.append(chunk)
    return b"".join(chunks)


async def decoded(request: Request) -> Any:
    """The body's value by its Content-Type."""
    return decode(await body(request), request.headers.get("content-type", JSON))


async def decoded_object(request: Request, *, empty: bool = False) -> dict[str, Any]:
    """The body as a JSON object; an absent one is ``{}`` where ``empty`` is taken."""
    content = await body(request)
    if not content and empty:
        return {}
    value = decode(content, request.headers.get("content-type", JSON))
    if not isinstance(value, dict):
        raise BadRequest(f"the body must be one JSON object, not a {type(value).__name__}")
    return value


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false."""
    value = request.query_params.get(name, "").lower()
    if value not in ("", "0", "false", "f", "no", *_TRUE):
        raise BadRequest(f"{name}={value!r}: write true or false")
    return value in _TRUE


def number(request: Request, name: str, *, most: int = 2**63 - 1) -> int | None:
    """A query parameter that is a whole number, or None."""
    value = request.query_params.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > 19 or int(value) > most:
        raise BadRequest(f"{name}={value[:40]!r}: write a whole number from 0 to {most}")
    return int(value)


def dry_run(request: Request, options: Mapping[str, Any] | None = None) -> bool:
    """``?dryRun=All`` or the same in a delete's options."""
    asked = request.query_params.getlist("dryRun") or (options or {}).get("dryRun") or []
    if asked not in ([], ["All"]):
        raise BadRequest(f"dryRun {str(asked)[:80]}: the one value taken is All")
    return bool(asked)


def validation(request: Request) -> Validation:
    """``?fieldValidation=``, Strict unless said otherwise."""
    value = request.query_params.get("fieldValidation") or "Strict"
    if value not in ("Strict", "Warn", "Ignore"):
        raise BadRequest(f"fieldValidation {value[:40]!r}: choose Strict, Warn or Ignore")
    return cast(Literal["Strict", "Warn", "Ignore"], value)


def selectors(request: Request, kind: KindInfo) -> tuple[LabelSelector | None, FieldSelector | None]:
    """``?labelSelector=`` and ``?fieldSelector=``."""
    labels, fields = (request.query_params.get(name, "") for name in ("labelSelector", "fieldSelector"))
    return (LabelSelector.parse(labels) if labels else None, FieldSelector.parse(fields, kind.select) if fields else None)


def warnings(texts: list[str]) -> dict[str, str]:
    """The Warning headers that kubectl prints; HTTP headers are ASCII and of one line."""
    if not texts:
        return {}
    parts = []
    for text in texts[:10]:
        plain = "".join(c if " " <= c <= "~" else "?" for c in text)[:512]
        escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
        parts.append(f'299 - "{escaped}"')
    return {"Warning": ", ".join(parts)}
