"""``/live``: what changed, as server-sent events. A page opens it with the kinds it shows and fetches itself again when one changes.

The body of a change is not sent: only its kind, name, type and number. ``id:`` is the number, so a browser that lost the line resumes
where it was (``Last-Event-ID``); a cursor that is too old gets ``again`` and the page reloads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
from starlette.responses import Response, StreamingResponse

from cipo.kernel.errors import ApiError, BadRequest, Gone
from cipo.kernel.principal import Caller
from cipo.kernel.store.feed import Change
from cipo.kernel.unit import KindInfo
from cipo.web.console import Console, Visit

HEARTBEAT_S = 15.0
KINDS_MAX = 200
RETRY_MS = 1000


async def live(console: Console, visit: Visit) -> Response:
    """``GET /live?kinds=…&after=…``."""
    kinds = chosen(console, visit)
    resume = visit.request.headers.get("last-event-id", "") or visit.query("after")
    after = int(resume) if resume.isdigit() and len(resume) < 19 else console.feed.rv
    stream = events(console, visit.caller, kinds, after)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def chosen(console: Console, visit: Visit) -> list[KindInfo]:
    """The kinds of the address that this caller may watch; what it may not is left out, as on the page itself."""
    named = [word for word in visit.query("kinds").split(",") if word][:KINDS_MAX]
    if not named:
        raise BadRequest("kinds: name at least one kind, such as /live?kinds=assets")
    found = []
    for word in named:
        info = console.registry.by_gk.get(word) or console.registry.find(word)
        if info is None:
            raise BadRequest(f"kinds: {word[:80]!r} is not a kind")
        try:
            if console.resources.may(visit.caller, "watch", info).allowed:
                found.append(info)
        except ApiError:
            continue
    return found


async def events(console: Console, caller: Caller, kinds: list[KindInfo], after: int) -> AsyncIterator[bytes]:
    """The stream: changes as they come, a beat when nothing does."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    changes = console.feed.subscribe(console.resources, caller, kinds, after=after)
    pending: asyncio.Task[Change] | None = None
    try:
        while True:
            pending = pending or asyncio.create_task(anext(changes))  # type: ignore[arg-type]
            done, _ = await asyncio.wait({pending}, timeout=HEARTBEAT_S)
            if not done:
                yield b"event: beat\ndata: \n\n"
                continue
            task, pending = pending, None
            yield told(task.result())
    except (Gone, StopAsyncIteration):
        yield b"event: again\ndata: \n\n"
    except ApiError:
        return  # the store is away: the browser comes back by itself
    finally:
        if pending is not None:
            pending.cancel()
        close = getattr(changes, "aclose", None)
        if close is not None and pending is None:
            await close()


def told(change: Change) -> bytes:
    """One change as an event."""
    if change.stored is None:
        return f"id: {change.rv}\nevent: beat\ndata: \n\n".encode()
    data = orjson.dumps({"type": change.type, "gk": change.stored.gk, "name": change.stored.name, "rv": change.rv})
    return b"id: %d\nevent: change\ndata: %s\n\n" % (change.rv, data)
