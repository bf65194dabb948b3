"""The API with a trap: a request with the header ``X-Die: <point>`` kills its own process there. Served by ``cipo.kernel.serve``.

``before-write``: all is checked, nothing was sent to the store. ``after-write``: the statement ran; an action's transaction is still open.
``before-answer``: everything is committed and the client hears nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

from cipo.app import App
from cipo.kernel.settings import Settings
from cipo.kernel.store import tx

Message = MutableMapping[str, Any]
_point: ContextVar[str] = ContextVar("point", default="")
_commit = tx.commit


def die_at(point: str) -> None:
    """End this process as kill -9 does, if that is where it should end."""
    if _point.get() == point:
        os.kill(os.getpid(), signal.SIGKILL)


async def _trapped(*arguments: Any, **named: Any) -> None:
    die_at("before-write")
    await _commit(*arguments, **named)
    die_at("after-write")


class Fragile(App):
    """The application, dying on request."""

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
        headers = dict(scope.get("headers") or ())
        _point.set(headers.get(b"x-die", b"").decode())

        async def dying(message: Message) -> None:
            die_at("before-answer")
            await send(message)

        await super().__call__(scope, receive, dying)


def create_app(settings: Settings) -> Fragile:
    tx.commit = _trapped
    return Fragile(settings)
