"""The change feed: every committed change, to every watcher, once and in an order that misses nothing.

Sequence numbers are taken before commit, so they become visible out of order; a reader that walks by number would skip a late one.
This one walks by transaction: it delivers a change when no running transaction can still commit an earlier one
(``xid < pg_snapshot_xmin``), each batch in the order of numbers. A watch that resumes from number R replays what has a greater number or a
later transaction than R: it may repeat a change, it never misses one.

One reader a process wakes by NOTIFY (coalesced, outside any write transaction) or every half second, and fans out to bounded queues; a
watcher that does not keep up is cut off and must list again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, LiteralString

import structlog

from cipo.kernel.errors import ApiError, Gone
from cipo.kernel.principal import Caller
from cipo.kernel.store.bell import Bell
from cipo.kernel.store.db import Database, ending
from cipo.kernel.store.read import HORIZON
from cipo.kernel.store.resources import Resources
from cipo.kernel.store.write import Stored
from cipo.kernel.unit import KindInfo
from cipo.kernel.wire.selectors import FieldSelector, LabelSelector

log = structlog.get_logger()
QUEUE_MAX = 1000
POLL_S = 0.5
BATCH = 1000
BOOKMARK_S = 30.0
EPOCH = datetime.fromtimestamp(0, UTC)  # a feed row carries its creation time inside the body only

BODY: LiteralString = (
    "select e.seq, e.xid::text::bigint, e.type, e.gk, e.name, e.uid::text, e.generation, e.owner, b.body, b.cells, b.labels, b.fields, b.old_labels, b.old_fields"
    " from cipo.event e join cipo.event_body b on b.seq = e.seq"
)
XMIN: LiteralString = "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


@dataclass(slots=True)
class Change:
    """One change as a watcher sees it; BOOKMARK carries only ``rv``."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    rv: int
    stored: Stored | None = None


@dataclass(slots=True)
class _Row:
    seq: int
    xid: int
    type: str
    stored: Stored
    old_labels: dict[str, str] | None
    old_fields: dict[str, Any] | None


@dataclass(eq=False, slots=True)
class _Watcher:
    gks: frozenset[str]
    labels: LabelSelector | None
    fields: FieldSelector | None
    hidden: frozenset[str]
    queue: asyncio.Queue[_Row | int] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))
    cut: bool = False

    def view(self, row: _Row) -> Change | None:
        """The change as this watcher's selection sees it: entering is ADDED, leaving is DELETED, or None."""
        stored = row.stored
        if stored.gk not in self.gks or stored.unit.split("/")[0] in self.hidden:
            return None
        now = row.type != "DELETED" and self._matches(stored.labels, stored.fields, stored)
        before = row.type != "ADDED" and self._matches(row.old_labels or {}, row.old_fields or {}, stored)
        if not now and not before:
            return None
        kind: Literal["ADDED", "MODIFIED", "DELETED"] = "MODIFIED" if now and before else "ADDED" if now else "DELETED"
        return Change(kind, row.seq, stored)

    def _matches(self, labels: dict[str, str], fields: dict[str, Any], stored: Stored) -> bool:
        return (not self.labels or self.labels.matches(labels)) and (
            not self.fields or self.fields.matches(stored.name, stored.uid, fields)
        )


class Feed:
    """The reader of one process. ``run`` it as a task; ``subscribe`` for watches; ``wake`` after a write."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.bell = Bell(db)
        self._watchers: set[_Watcher] = set()
        self._ready = asyncio.Event()
        self._xmin = 0
        self.rv = 0

    def wake(self) -> None:
        """A write was committed: tell the others soon, look soon."""
        self.bell.ring()

    async def run(self) -> None:
        """Read for ever; survives restarts of PostgreSQL."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bell.run())
            group.create_task(self._read())

    async def ready(self) -> None:
        """Until the reader has its first position."""
        await self._ready.wait()

    def subscribe(
        self,
        resources: Resources,
        caller: Caller,
        kinds: list[KindInfo],
        *,
        after: int,
        labels: LabelSelector | None = None,
        fields: FieldSelector | None = None,
    ) -> AsyncIterator[Change]:
        """Changes after a list's version. Authorised at once; Gone when the version is too old or the watcher too slow."""
        for kind in kinds:
            resources.allow(caller, "watch", kind)
        watcher = _Watcher(frozenset(kind.gk for kind in kinds), labels, fields, resources.hidden(caller))
        return self._stream(watcher, after)

    async def _stream(self, watcher: _Watcher, after: int) -> AsyncIterator[Change]:
        await self.ready()
        self._watchers.add(watcher)
        try:
            last = after
            covered = 0
            async for row, horizon in self._replay(watcher, after):
                covered = horizon
                if row is not None and (change := watcher.view(row)):
                    last = max(last, row.seq)
                    yield change
            yield Change("BOOKMARK", max(last, self.rv))
            while True:
                if watcher.cut:
                    raise Gone("too slow: more than 1,000 changes waited; list again and watch from there")
                try:
                    async with asyncio.timeout(BOOKMARK_S):
                        item = await watcher.queue.get()
                except TimeoutError:
                    yield Change("BOOKMARK", max(last, self.rv))
                    continue
                if isinstance(item, _Row) and item.xid >= covered and (change := watcher.view(item)):
                    last = max(last, item.seq)
                    yield change
        finally:
            self._watchers.discard(watcher)

    async def _replay(self, watcher: _Watcher, after: int) -> AsyncIterator[tuple[_Row | None, int]]:
        """What happened after ``after`` up to now, in steps, with the horizon it covers."""
        floor, newest = (await self.db.fetch("select min_seq, (select last_value from cipo.event_seq) from cipo.watch_floor"))[0]
        if after < floor or after > newest:
            raise Gone(f"too old resource version: {after} ({floor}); list again and watch from there")
        xid = (await self.db.fetch("select coalesce((select xid::text::bigint from cipo.event where seq = %s), 0)", (after,)))[0][0]
        horizon = (await self.db.fetch(XMIN))[0][0]
        at = -1
        while True:
            rows = await self.db.fetch(
                BODY + " where (e.seq > %s or (%s > 0 and e.xid > %s::text::xid8)) and e.xid < %s::text::xid8 and e.gk = any(%s)"
                " and e.seq > %s order by e.seq limit %s",
                (after, xid, str(xid), str(horizon), list(watcher.gks), at, BATCH),
            )
            for row in rows:
                yield _row(row), horizon
            if len(rows) < BATCH:
                break
            at = rows[-1][0]
        yield None, horizon

    async def _read(self) -> None:
        while not ending():
            try:
                if not self._xmin:
                    self._xmin, self.rv = (await self.db.fetch(f"{XMIN}, {HORIZON}"))[0]
                    self._ready.set()
                await self._batch()
            except ApiError as error:
                log.warning("feed.read", error=str(error))
                await asyncio.sleep(POLL_S)
                continue
            await self.bell.wait(POLL_S)

    async def _batch(self) -> None:
        horizon = (await self.db.fetch(XMIN))[0][0]
        if horizon <= self._xmin:
            return
        at = -1
        while True:
            rows = await self.db.fetch(
                BODY + " where e.xid >= %s::text::xid8 and e.xid < %s::text::xid8 and e.seq > %s order by e.seq limit %s",
                (str(self._xmin), str(horizon), at, BATCH),
            )
            for row in rows:
                self._fan_out(_row(row))
            if len(rows) < BATCH:
                break
            at = rows[-1][0]
        self._xmin = horizon

    def _fan_out(self, row: _Row) -> None:
        self.rv = max(self.rv, row.seq)
        for watcher in tuple(self._watchers):
            if row.stored.gk not in watcher.gks:
                continue
            try:
                watcher.queue.put_nowait(row)
            except asyncio.QueueFull:
                watcher.cut = True
                self._watchers.discard(watcher)


def _row(row: tuple[Any, ...]) -> _Row:
    seq, xid, kind, gk, name, uid, generation, owner, body, cells, labels, fields, old_labels, old_fields = row
    stored = Stored(uid, gk, name, seq, generation, owner, labels, fields, body.encode(), cells.encode(), EPOCH)
    return _Row(seq, xid, kind, stored, old_labels, old_fields)
