"""The gate in front of a fixture: a TCP relay on the address that units know, where ``Chaos`` strikes.

It relays bytes and looks into nothing, except that an injected HTTP error waits for the end of the request's head, because a
client that is still writing would see a broken pipe instead of the status. Runs inside the World's event loop; idle it costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from cipo.lab.chaos import Chaos
from cipo.lab.ports import LOOPBACK

CHUNK = 65536
HEAD_MAX = 65536
CONNECT_S = 10.0


class Gate:
    """Listens on a port of its own and relays to the fixture's port."""

    def __init__(self, target_port: int, chaos: Chaos) -> None:
        self._target = target_port
        self._chaos = chaos
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Open the gate; its port."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, limit=HEAD_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the gate and every connection through it."""
        if self._server:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._open.add(task)
        try:
            await self._pass(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            _reset(writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chaos = self._chaos
        strikes = chaos.strikes()
        if chaos.cut and strikes:
            _reset(writer)
            return
        if chaos.delay_s:
            await asyncio.sleep(chaos.delay_s)
        if chaos.status and strikes:
            await reader.readuntil(b"\r\n\r\n")
            body = b"injected by the lab\n"
            writer.write(b"HTTP/1.1 %d Injected\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (chaos.status, len(body)) + body)
            await writer.drain()
            return
        async with asyncio.timeout(CONNECT_S):
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_relay(reader, far_writer))
                both.create_task(_relay(far_reader, writer))
        except* OSError:
            _reset(writer)
        finally:
            far_writer.close()
            with contextlib.suppress(OSError):
                await far_writer.wait_closed()


async def _relay(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: linger on, zero seconds."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
