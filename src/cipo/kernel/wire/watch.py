"""Watch: changes as lines of JSON, until the time is up, the client goes, or it falls behind.

``read.py`` comes here for ``?watch=true``. The caller is authorised before the first byte, so a refusal is an ordinary 403; what goes wrong
later (a version too old, a client too slow) is an ERROR event in the stream, as clients expect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import anyio
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cipo.kernel.errors import ApiError, BadRequest
from cipo.kernel.principal import Caller
from cipo.kernel.store.feed import Change
from cipo.kernel.store.write import Stored
from cipo.kernel.unit import KindInfo
from cipo.kernel.wire import table
from cipo.kernel.wire.request import JSON, Wire, flag, number, selectors
from cipo.kernel.wire.selectors import FieldSelector, LabelSelector

TIMEOUT_S: Final = 3600.0
TIMEOUT_MAX_S: Final = 86_400
SEND_S: Final = 30.0  # a client that takes no byte for so long is gone
PAGE: Final = 500
INITIAL_END: Final = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A watch's query."""

    labels: LabelSelector | None
    fields: FieldSelector | None
    wanted: table.Wish
    after: int
    initial: bool  # send what is there first
    bookmarks: bool
    deadline: float

    @classmethod
    def of(cls, request: Request, kind: KindInfo) -> _Asked:
        """From a version: what came after it; from none, or when asked for: what is there, then what comes."""
        labels, fields = selectors(request, kind)
        initial = flag(request, "sendInitialEvents")
        if initial and request.query_params.get("resourceVersionMatch") != "NotOlderThan":
            raise BadRequest("sendInitialEvents needs resourceVersionMatch=NotOlderThan")
        after = number(request, "resourceVersion") or 0
        seconds = number(request, "timeoutSeconds", most=TIMEOUT_MAX_S) or TIMEOUT_S
        return cls(
            labels,
            fields,
            table.wish(request.headers.get("accept", ""), request.query_params.get("includeObject")),
            after,
            initial or not after,
            flag(request, "allowWatchBookmarks"),
            asyncio.get_running_loop().time() + seconds,
        )


async def watch(wire: Wire, request: Request, caller: Caller, kind: KindInfo) -> Response:
    """The response to a watch."""
    asked = _Asked.of(request, kind)
    after, initial = await _present(wire, caller, kind, asked) if asked.initial else (asked.after, [])
    changes = wire.feed.subscribe(wire.resources, caller, [kind], after=after, labels=asked.labels, fields=asked.fields)
    end = asked.bookmarks and flag(request, "sendInitialEvents")
    return WatchResponse(_stream(_Lines(kind, asked.wanted), asked, after, initial, changes, end=end), media_type=JSON)


async def _present(wire: Wire, caller: Caller, kind: KindInfo, asked: _Asked) -> tuple[int, list[Stored]]:
    """What is there now, and the version to watch from: the first page's, so that a change may come twice but never not at all."""
    page = await wire.resources.list(caller, kind, labels=asked.labels, fields=asked.fields, limit=PAGE)
    after, items = page.rv, list(page.items)
    while page.continue_:
        page = await wire.resources.list(caller, kind, labels=asked.labels, fields=asked.fields, limit=PAGE, continue_=page.continue_)
        items.extend(page.items)
    return after, items


async def _stream(
    lines: _Lines, asked: _Asked, after: int, initial: list[Stored], changes: AsyncIterator[Change], *, end: bool
) -> AsyncGenerator[bytes, None]:
    """The lines: what is there, then each change until the deadline, or the reason why there are no more."""
    seen = {item.uid: item.rv for item in initial}
    newest = max(seen.values(), default=0)
    try:
        for item in initial:
            yield lines.event("ADDED", item)
        initial.clear()
        if end:
            yield lines.bookmark(after, initial_end=True)
        async for change in _until(changes, asked.deadline):
            if change.stored is None:
                if change.rv >= newest:  # a list sees what the feed still holds back for an older transaction
                    seen.clear()
                if asked.bookmarks:
                    yield lines.bookmark(change.rv)
            elif seen.get(change.stored.uid, 0) < change.rv:
                yield lines.event(change.type, change.stored)
    except ApiError as error:
        yield lines.error(error)
    finally:
        if isinstance(changes, AsyncGenerator):
            await changes.aclose()


async def _until(changes: AsyncIterator[Change], deadline: float) -> AsyncGenerator[Change, None]:
    """Changes until the deadline."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with asyncio.timeout_at(max(deadline, loop.time())):
                change = await anext(changes)
        except (StopAsyncIteration, TimeoutError):
            return
        yield change


@dataclass(slots=True)
class _Lines:
    """Writes events in the form that the client asked for. The headings of a Table go with its first event."""

    kind: KindInfo
    wanted: table.Wish
    headings: bool = field(default=True)

    def event(self, type_of: str, item: Stored) -> bytes:
        """One change."""
        match self.wanted.view:
            case "table":
                metadata = {"resourceVersion": str(item.rv)}
                body = table.table(self.kind, [item], datetime.now(UTC), self.wanted, metadata, headings=self.headings)
                self.headings = False
            case "partial":
                body = table.partial(item, self.wanted.version)
            case _:
                body = item.body
        return b'{"type":"%s","object":%s}\n' % (type_of.encode(), body)

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        """How far the watch has come; the client may start the next one from there."""
        metadata: dict[str, object] = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        if self.wanted.view == "table":
            body = table.table(self.kind, [], datetime.now(UTC), self.wanted, metadata, headings=self.headings)
            self.headings = False
        else:
            partial = self.wanted.view == "partial"
            named = ("PartialObjectMetadata", f"meta.k8s.io/{self.wanted.version}") if partial else (self.kind.kind, self.kind.api_version)
            body = orjson.dumps({"kind": named[0], "apiVersion": named[1], "metadata": metadata})
        return b'{"type":"BOOKMARK","object":%s}\n' % body

    def error(self, refusal: ApiError) -> bytes:
        """The end of the watch, with its reason."""
        return b'{"type":"ERROR","object":%s}\n' % orjson.dumps(refusal.status())


class WatchResponse(StreamingResponse):
    """A stream that ends when its client has gone, and that gives up on a client which takes nothing: it lists again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines while listening for the client's end; a quiet watch would not notice it by sending."""
        async with anyio.create_task_group() as group:

            async def gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(gone)
            await self.stream_response(send)
            group.cancel_scope.cancel()

    async def stream_response(self, send: Send) -> None:
        """Each line must be taken within ``SEND_S``, or the connection is dropped."""
        body = self.body_iterator
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for chunk in body:
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError):
            return
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()
