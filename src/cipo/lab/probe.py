"""One question over a socket: does anybody answer HTTP there? Used for the health of fixtures; small enough to need no client."""

from __future__ import annotations

import asyncio
import contextlib

TIMEOUT_S = 2.0


async def http_answers(host: str, port: int, path: str) -> bool:
    """Whether a GET is answered with a status below 500 within two seconds."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
                words = (await reader.readline()).split()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return len(words) > 1 and words[1].isdigit() and int(words[1]) < 500
