"""The connection pool and the translation of PostgreSQL's errors into ours.

``Database`` is the only object that talks to PostgreSQL at run time. A lost connection becomes ``Overloaded`` (503, try again): nothing
is known to be written, and the pool heals by itself once the server is back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString, TypeVar

import anyio
import orjson
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from cipo.kernel.errors import ApiError, Invalid, NoStorage, Overloaded, TimedOut

log = structlog.get_logger()
Conn = AsyncConnection[tuple[Any, ...]]
Params = Sequence[Any] | Mapping[str, Any] | None
R = TypeVar("R")

SERIALIZATION = ("40001", "40P01", "55P03")  # serialization failure, deadlock, lock not available
TIMEOUTS = ("57014", "25P03", "25P04")  # query canceled, idle-in-transaction, transaction timeout
WAIT_S = 5.0  # how long a caller waits for a connection
DISK_FULL = ("53100", "58030")  # disk full, I/O error


# Every statement here finds its rows by index. Left to itself the planner keeps a generic plan of the one-statement write, made while the
# tables were small: sequential scans and hash joins over whole tables, at 10,000 objects 4.1 ms of processor a write instead of 0.6.
# Custom plans cost more than they win; JIT (on where the server is not ours) costs a hundred times what it wins.
PLANNING = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off; set jit = off"


async def _configure(conn: Conn) -> None:
    await conn.set_autocommit(True)
    conn.prepare_threshold = 1
    set_json_loads(orjson.loads, conn)  # a list decodes two JSON columns a row: a third of its time with the standard library
    await conn.execute(PLANNING)


def ending() -> bool:
    """Whether this task was cancelled. A loop that talks to PostgreSQL asks at each turn: ``wait_for`` of Python 3.11, on which psycopg
    and its pool wait, drops a cancellation that arrives together with the result."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Database:
    """A pool of autocommit connections to one PostgreSQL."""

    def __init__(self, dsn: str, *, min_size: int = 1, max_size: int = 8, name: str = "cipo") -> None:
        self.dsn = dsn
        # Whoever holds a connection may need one short statement on another (a counter, a scope id): one is kept free for these,
        # or as many holders as connections would wait for each other until their time is over.
        self._holders = asyncio.Semaphore(max(1, max_size - 1))
        self._pool: AsyncConnectionPool[Conn] = AsyncConnectionPool(
            dsn,
            min_size=min_size,
            max_size=max(2, max_size),
            open=False,
            name=name,
            timeout=WAIT_S,
            max_idle=120,
            reconnect_timeout=30,
            configure=_configure,
            kwargs={"application_name": name, "connect_timeout": 5},
        )

    async def open(self) -> None:
        """Connect; waits up to 30 s for the server."""
        await self._pool.open()
        try:
            await self._pool.wait(timeout=30)
        except PoolTimeout as error:
            raise Overloaded("PostgreSQL does not answer; is it running? See `cipo status`") from error

    async def close(self) -> None:
        """Give the connections back."""
        await self._pool.close()

    async def __aenter__(self) -> Database:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Conn]:
        """An autocommit connection to hold for a while; its errors come out as ApiErrors. Do not nest."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._holders.acquire()
        except TimeoutError as error:
            raise Overloaded("the store is busy; nothing was written, try again") from error
        try:
            async with self._borrowed() as conn:
                yield conn
        finally:
            self._holders.release()

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Conn]:
        """A connection of the pool, for one short statement or for a holder."""
        try:
            async with self._pool.connection() as conn:
                yield conn
        except PoolTimeout as error:
            raise Overloaded("the store is busy or restarting; nothing was written, try again") from error
        except psycopg.Error as error:
            if ending():
                # psycopg answers a cancelled task with an error of the cancelled statement; the task is to end, not to try again.
                raise asyncio.CancelledError from error
            raise translate(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Conn]:
        """A connection inside one transaction."""
        async with self.connection() as conn, conn.transaction():
            yield conn

    async def fetch(self, sql: LiteralString, params: Params = None) -> list[tuple[Any, ...]]:
        """All rows of one statement. A read cut off by a restart of the server is tried once more."""
        for attempt in (1, 2, 3):
            try:
                async with self._borrowed() as conn:
                    return await (await conn.execute(sql, params)).fetchall()
            except Overloaded as error:
                if attempt == 3 or isinstance(error.__cause__, PoolTimeout):  # waited long enough: the caller is told to come back
                    raise
                await self._pool.check()
        raise AssertionError("unreachable")

    async def execute(self, sql: LiteralString, params: Params = None) -> int:
        """Run one statement; the number of rows it touched."""
        async with self._borrowed() as conn:
            return (await conn.execute(sql, params)).rowcount

    async def retrying(self, attempt: Callable[[], Awaitable[R]], *, times: int = 4) -> R:
        """Run ``attempt`` again when it lost a race (a version moved, a deadlock): at most ``times``, with jitter."""
        for left in range(times - 1, -1, -1):
            try:
                return await attempt()
            except (VersionMoved, Contended):
                if not left:
                    raise
                await anyio.sleep(random.uniform(0.001, 0.02 * (times - left)))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")


class VersionMoved(ApiError):
    """Somebody wrote in between. Internal: retried, then 409."""

    code, reason = 409, "Conflict"


class Contended(Overloaded):
    """A deadlock or a lock not granted in time. Internal: retried, then 503."""


def translate(error: psycopg.Error) -> ApiError:
    """PostgreSQL's SQLSTATE as an answer for the caller. Constraint violations are the writer's business (store/write.py)."""
    # psycopg itself refuses U+0000 in a parameter, before PostgreSQL sees it.
    state = error.sqlstate or ("22P05" if isinstance(error, psycopg.DataError) else "")
    answers: dict[str, ApiError] = {
        "CP409": VersionMoved("the object was changed in between; read it again"),
        "22P05": Invalid("a text holds the character U+0000, which cannot be stored; remove it"),
        "22021": Invalid("a text is not valid UTF-8"),
    }
    if state in answers:
        return answers[state]
    if state in SERIALIZATION:
        return Contended("the store is busy with the same objects; nothing was written, try again")
    if state in TIMEOUTS:
        return TimedOut("the store did not finish in time; nothing was written, try again")
    if state in DISK_FULL:
        return NoStorage("the disk under the database is full; nothing was written. Free space, reads go on meanwhile")
    if isinstance(error, psycopg.OperationalError) or state.startswith(("08", "57P")):
        return Overloaded("the store is restarting; nothing is known to be written, try again")
    log.error("store.refused", sqlstate=state, error=str(error).strip()[:500])
    return ApiError(f"the store refused the statement ({state or type(error).__name__}); this is a defect in cipo, please report it")
