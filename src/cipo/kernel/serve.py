"""One API process: the application behind plain HTTP on loopback and TLS, on granian's embedded server. Started by the supervisor.

``python -m cipo.kernel.serve`` reads the settings, builds the application and runs until SIGTERM or SIGINT. Both listeners share one
event loop and one application; its ``startup`` and ``shutdown`` are called here, once, and not by the servers. A stop is graceful: open
streams (watches, live pages) are ended, other requests may finish, and the process is gone within three seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

from granian.constants import Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server

from cipo.kernel import tls
from cipo.kernel.errors import CipoError
from cipo.kernel.settings import Settings

APPLICATION = "cipo.app:create_app"
FINISH_S = 1.5  # for requests under way when the stop comes
UNWIND_S = 0.5  # for cancelled streams to clean up
SHUTDOWN_S = 0.9  # for the application to give its connections back
MAX_HEADERS_BYTES = 64 * 1024
MAX_CONNECTIONS = 20_000  # a watch holds its connection for hours

Message = MutableMapping[str, Any]  # Any: ASGI's own message type
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("cipo.serve")


class Application(Protocol):
    """What is served: an ASGI application with a life of its own instead of ASGI's lifespan protocol."""

    async def startup(self) -> None:
        """Open what requests need; an error here ends the process."""

    async def shutdown(self) -> None:
        """Close it again; no request is running."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""


@dataclass(slots=True)
class _Request:
    """One running request: how far its answer is, and whether it would ever end."""

    endless: bool
    started: bool = False


class Drain:
    """Wraps the application and knows its running requests, so that a stop can end the endless ones and await the others."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._running: dict[asyncio.Task[Any], _Request] = {}
        self._closing = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it because the process is about to end."""
        task = asyncio.current_task()
        if self._closing or task is None:
            await _refuse(scope, send)
            return
        request = self._running[task] = _Request(endless=b"watch=" in scope.get("query_string", b""))

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.started = True
                request.endless |= (b"content-type", b"text/event-stream") in [(name, value[:17]) for name, value in message["headers"]]
            await send(message)

        try:
            await self._application(scope, receive, watched)
        except asyncio.CancelledError:
            if not self._closing:
                raise
            if not request.started:
                await _refuse(scope, send)
            elif request.endless:  # a proper end: the client asks again instead of reporting a broken answer
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            del self._running[task]

    async def close(self) -> None:
        """End watches and live pages at once, let other requests finish for a moment, then end them too."""
        self._closing = True
        for task, request in tuple(self._running.items()):
            if request.endless:
                task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=FINISH_S)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=UNWIND_S)


async def _refuse(scope: Message, send: Send) -> None:
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"1"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"cipo is stopping; try again in a moment\n"})


def load(reference: str, settings: Settings) -> Application:
    """The application of ``module:factory``. Named by a string because the kernel imports nothing above itself."""
    module, _, factory = reference.partition(":")
    return cast("Application", getattr(importlib.import_module(module), factory)(settings))


async def serve(settings: Settings, application: Application, *, stop: asyncio.Event) -> None:
    """Answer on the settings' listeners until ``stop`` is set."""
    drain = Drain(application)
    await application.startup()
    try:
        servers = [_server(drain, settings, port=settings.port, certificates=None)] if settings.loopback else []
        names = [] if settings.host in ("0.0.0.0", "::") else [settings.host]  # noqa: S104 - compared, not bound
        certificates = await asyncio.to_thread(tls.ensure, settings.tls_dir, names)
        servers.append(_server(drain, settings, port=settings.tls_port, certificates=certificates))
        running = [asyncio.create_task(server.serve()) for server in servers]
        waiting = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*running, waiting], return_when=asyncio.FIRST_COMPLETED)
            await drain.close()
        finally:
            waiting.cancel()
            for server in servers:
                server.stop()  # type: ignore[no-untyped-call]  # granian's embedded server has no types here
            outcomes = await asyncio.gather(*running, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(application.shutdown(), SHUTDOWN_S)


def _server(drain: Drain, settings: Settings, *, port: int, certificates: tls.Certificates | None) -> Server:
    return Server(
        drain,
        address=socket.gethostbyname(settings.host) if settings.host == "localhost" else settings.host,
        port=port,
        interface=Interfaces.ASGINL,  # NL: no lifespan
        websockets=False,
        backlog=2048,
        backpressure=MAX_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=15_000),
        http2_settings=HTTP2Settings(max_concurrent_streams=1000, max_headers_size=MAX_HEADERS_BYTES, keep_alive_interval=30_000),
        log_level=LogLevels.error,
        ssl_cert=certificates.certificate if certificates else None,
        ssl_key=certificates.key if certificates else None,
    )


async def _main(settings: Settings, reference: str) -> None:
    # granian binds with SO_REUSEPORT: without this look, two processes would share a port and its clients.
    replace(settings, tls_port_given=True).with_free_ports()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, load(reference, settings), stop=stop)


def main(reference: str = APPLICATION) -> int:
    """The process's entry; the exit code is 0 after a stop and 1 when it could not serve."""
    try:
        settings = Settings.from_env()
        logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        asyncio.run(_main(settings, reference))
    except (CipoError, OSError) as error:
        log.error("the API cannot be served: %s", error)  # noqa: TRY400 - the sentence says it all
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
