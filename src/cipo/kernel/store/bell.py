"""The wake-up between processes: one NOTIFY at most every 10 ms, sent outside of any write transaction, and one LISTEN.

A lost notification costs half a second and nothing else: whoever waits for the bell also looks by itself.
"""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import structlog

from cipo.kernel.errors import ApiError
from cipo.kernel.store.db import Database, ending

log = structlog.get_logger()
CHANNEL = "cipo_event"
COALESCE_S = 0.01
RETRY_S = 0.5
LISTEN_S = 2.0


class Bell:
    """Rings when somebody wrote, here or in another process."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._heard = asyncio.Event()
        self._written = asyncio.Event()

    def ring(self) -> None:
        """A write was committed in this process."""
        self._written.set()

    def hear(self) -> None:
        """Wake who waits in this process, without telling the others."""
        self._heard.set()

    async def wait(self, timeout_s: float) -> None:
        """Until the bell rings, or the time is over."""
        # Not wait_for: in Python 3.11 it swallows a cancellation that arrives together with the result.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        self._heard.clear()

    async def run(self) -> None:
        """Carry the sound both ways, for ever; survives restarts of PostgreSQL."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send())
            group.create_task(self._listen())

    async def _send(self) -> None:
        while not ending():
            await self._written.wait()
            self._written.clear()
            self._heard.set()
            with contextlib.suppress(ApiError):
                await self.db.execute(f"notify {CHANNEL}")
            await asyncio.sleep(COALESCE_S)

    async def _listen(self) -> None:
        while not ending():
            try:
                conn = await psycopg.AsyncConnection.connect(self.db.dsn, autocommit=True, application_name="cipo-bell")
                async with conn:
                    await conn.execute(f"listen {CHANNEL}")
                    self._heard.set()  # something may have happened while nobody listened
                    while not ending():
                        async for _ in conn.notifies(timeout=LISTEN_S):
                            self._heard.set()
            except psycopg.Error as error:
                if ending():
                    raise asyncio.CancelledError from error  # psycopg answers a cancelled task with an error of its own
                log.warning("bell.listen", error=str(error).strip()[:300])
                await asyncio.sleep(RETRY_S)
