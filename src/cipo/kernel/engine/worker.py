"""The work engine: takes due resources under a lease, runs their reconciler, writes what it says.

One row a resource in ``work`` is the queue, the timer and the lock. A killed worker's leases end by themselves and another takes over; a
worker that lost its lease cannot write, because every write of a reconciler carries the lease (store/write.py). Due times are the
database's clock, so they survive restarts and wrong clocks.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from datetime import datetime, timedelta
from typing import Any

import structlog

from cipo.kernel.ctx import Ctx, Scene
from cipo.kernel.engine.outcome import Again, Done
from cipo.kernel.errors import ApiError, Blocked, Conflict, Unavailable
from cipo.kernel.models import Condition, Kind, Status
from cipo.kernel.store.admission import typed
from cipo.kernel.store.bell import Bell
from cipo.kernel.store.db import VersionMoved, ending
from cipo.kernel.store.read import stored
from cipo.kernel.store.resources import Resources
from cipo.kernel.store.tx import Actor, Tx, rebuilt, stamp, unit_caller
from cipo.kernel.store.write import Lease, Stored
from cipo.kernel.unit import KindInfo

log = structlog.get_logger()
LEASE_S = 60.0
BATCH = 20
POLL_S = 1.0
RESYNC_S = 10 * 3600.0
BACKOFF_MAX_S = 600.0
BLOCKED_S = 3600.0
TIMEOUT_S = 600.0

CLAIM = """
with taken as (
  update cipo.work set leased_until = now() + %(lease)s * interval '1 second', worker = %(worker)s, due = now() + %(lease)s * interval '1 second'
  where uid in (
    select uid from cipo.work where due <= now() and (leased_until is null or leased_until < now()) and gk = any(%(gks)s)
    order by due limit %(limit)s for update skip locked)
  returning uid, dirty, attempts
)
select r.uid::text, gk, name, rv, generation, unit, labels::text, fields::text, body, cells, created_at, deleting_at, t.dirty, t.attempts, clock_timestamp()
from taken t join cipo.resource r using (uid)
"""
RELEASE = """
update cipo.work set leased_until = null, worker = null, attempts = %(attempts)s, error = %(error)s,
  due = case when dirty = %(dirty)s then now() + %(after)s * interval '1 second' else now() end
where uid = %(uid)s::uuid and worker = %(worker)s
"""
RENEW = "update cipo.work set leased_until = now() + %s * interval '1 second', due = greatest(due, now()) where worker = %s and uid = any(%s::uuid[]) and leased_until > now()"


class Worker:
    """One process's share of the work. ``run`` it as a task."""

    def __init__(self, resources: Resources, *, lease_s: float = LEASE_S, resync_s: float = RESYNC_S, concurrency: int = BATCH) -> None:
        self.resources = resources
        self.db = resources.db
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self.lease_s = lease_s
        self.resync_s = resync_s
        self.concurrency = concurrency
        self.bell = Bell(self.db)
        resources.core.wake = self.bell.ring
        self._kinds = {info.gk: info for info in resources.registry.kinds if info.reconcile}
        self._running: dict[str, str] = {}

    async def run(self) -> None:
        """Work for ever; survives restarts of PostgreSQL. Cancel to stop: leases of unfinished work are given back."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bell.run())
            group.create_task(self._renew())
            try:
                await self._loop(group)
            finally:
                await self._give_back()

    async def once(self) -> int:
        """Take and finish what is due now; the number of reconciles. For tests and one-shot commands."""
        rows = await self._claim(self.concurrency)
        await asyncio.gather(*(self._one(row) for row in rows))
        return len(rows)

    async def _loop(self, group: asyncio.TaskGroup) -> None:
        while not ending():
            free = self.concurrency - len(self._running)
            try:
                rows = await self._claim(free) if free > 0 else []
            except ApiError as error:
                log.warning("work.claim", error=str(error))
                await asyncio.sleep(POLL_S)
                continue
            for row in rows:
                self._running[row[0]] = row[1]
                group.create_task(self._guarded(row))
            if not rows:
                await self.bell.wait(POLL_S)
            elif free <= len(rows):
                await asyncio.sleep(0.002)

    async def _claim(self, limit: int) -> list[tuple[Any, ...]]:
        counts: dict[str, int] = {}
        for gk in self._running.values():
            counts[gk] = counts.get(gk, 0) + 1
        gks = [gk for gk, info in self._kinds.items() if counts.get(gk, 0) < info.concurrency]
        if not gks:
            return []
        return await self.db.fetch(CLAIM, {"lease": self.lease_s, "worker": self.name, "gks": gks, "limit": limit})

    async def _guarded(self, row: tuple[Any, ...]) -> None:
        try:
            await self._one(row)
        except ApiError as error:
            log.warning("work.lost", resource=f"{row[1]}/{row[2]}", error=str(error))  # the lease ends, somebody tries again
        finally:
            self._running.pop(row[0], None)
            if not self._running:
                self.bell.hear()

    async def _one(self, row: tuple[Any, ...]) -> None:
        current, dirty, attempts, now = stored(row[:12]), row[12], row[13], row[14]
        kind = self._kinds[current.gk]
        before = current.object()
        resource = typed(kind, before)
        caller = unit_caller(kind.unit)
        lease = Lease(current.uid, self.name, dirty)
        ctx = Ctx(Scene(self.resources, caller, Actor(caller, kind.unit), kind=kind, now=now, lease=lease))
        error: str | None = None
        after = self.resync_s * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
        try:
            async with asyncio.timeout(TIMEOUT_S):
                outcome = await _reconcile(kind, resource, ctx)
            attempts = 0
            if isinstance(outcome, Again):
                after = max(0.0, outcome.after.total_seconds())
            _settle(resource.status, outcome, now, after)
            finished = isinstance(outcome, Done)
        except Blocked as blocked:
            finished, after, attempts, error = False, BLOCKED_S, 0, str(blocked)
            _blocked(resource.status, blocked, now)
            _forget(ctx)
        except (VersionMoved, Conflict) as moved:  # somebody wrote in between: look again with fresh eyes
            finished, after, attempts, error = False, _backoff(attempts), attempts + 1, str(moved)
            resource = typed(kind, before)
            _forget(ctx)
        except Exception as failure:
            finished, after, attempts = False, _backoff(attempts), attempts + 1
            error = _failed(kind, current, resource.status, failure, now)
            _forget(ctx)
        resource.status.observed_generation = current.generation
        lease.release, lease.after_s, lease.attempts, lease.error = True, after, attempts, error and error[:2000]
        await self._write(kind, current, before, resource, ctx, lease, finished=finished)

    async def _write(
        self, kind: KindInfo, current: Stored, before: dict[str, Any], resource: Kind[Any, Any], ctx: Ctx, lease: Lease, *, finished: bool
    ) -> None:
        facts = ctx.take_facts()
        after = rebuilt(kind, resource, before)
        gone = finished and current.deleting_at is not None
        if gone:
            after["metadata"]["finalizers"] = [name for name in after["metadata"].get("finalizers", []) if name != kind.finalizer_name]
        if not facts and not gone and after["status"] == before.get("status"):
            await self._release(lease)
            return

        async def attempt() -> None:
            async with self.db.connection() as conn:
                tx = Tx(self.resources.core, conn, Actor(unit_caller(kind.unit), kind.unit))
                snapshot = await tx.read(kind, current.name)
                if snapshot.old is None or snapshot.old.rv != current.rv:
                    await self._release(lease, again=True)
                    return
                change, _ = await tx.update(
                    kind,
                    snapshot,
                    after,
                    part="all" if gone else "status",
                    verb="reconcile",
                    reason=ctx.reason,
                    message=ctx.note,
                    always=bool(facts),
                    enqueue=False,
                )
                if change is None:
                    await self._release(lease)
                    return
                await tx.commit([change], facts, lease=lease)

        await self.resources.core.run(attempt)

    async def _release(self, lease: Lease, *, again: bool = False) -> None:
        await self.db.execute(
            RELEASE,
            {
                "uid": lease.uid,
                "worker": self.name,
                "dirty": lease.dirty,
                "after": 0.0 if again else lease.after_s,
                "attempts": lease.attempts,
                "error": lease.error,
            },
        )

    async def _renew(self) -> None:
        while not ending():
            await asyncio.sleep(self.lease_s / 3)
            if self._running:
                try:
                    await self.db.execute(RENEW, (self.lease_s, self.name, list(self._running)))
                except ApiError as error:
                    log.warning("work.renew", error=str(error))

    async def _give_back(self) -> None:
        try:
            await asyncio.shield(
                self.db.execute("update cipo.work set leased_until = null, worker = null, due = now() where worker = %s", (self.name,))
            )
        except (ApiError, asyncio.CancelledError) as error:
            log.info("work.give_back", error=str(error))


async def _reconcile(kind: KindInfo, resource: Kind[Any, Any], ctx: Ctx) -> Done | Again:
    if kind.reconcile is None:
        return Done()
    outcome = await kind.reconcile(resource, ctx)
    if not isinstance(outcome, Done | Again):
        raise TypeError(f"the reconciler of {kind.kind} returned {type(outcome).__name__}; return Done() or Again(after=…)")
    return outcome


def _forget(ctx: Ctx) -> None:
    """What a failed run measured did not happen."""
    ctx.take_facts()


def _backoff(attempts: int) -> float:
    """Full jitter below a doubling bound: 1 s, 2 s, … 10 min."""
    return random.uniform(0.2, 1.0) * min(BACKOFF_MAX_S, 2.0 ** min(attempts, 20))  # noqa: S311 - jitter


def _settle(status: Status, outcome: Done | Again, now: datetime, after: float) -> None:
    if isinstance(outcome, Again):
        # Only a wait is said. A look without a reason that found nothing new leaves no write, so no event and no line of a watch.
        status.next_reconcile = stamp(now + timedelta(seconds=after)) if outcome.reason else None
        set_condition(
            status, "Ready", "True" if not outcome.reason else "False", "Waiting" if outcome.reason else "Done", outcome.reason, now
        )
    else:
        status.next_reconcile = None
        set_condition(status, "Ready", "True", "Done", "", now)
    status.conditions = [one for one in status.conditions if one.type != "Blocked"]


def _blocked(status: Status, blocked: Blocked, now: datetime) -> None:
    words = f"{blocked}. To do: {blocked.todo}" if blocked.todo else str(blocked)
    set_condition(status, "Blocked", "True", "NeedsPerson", words, now)
    set_condition(status, "Ready", "False", "Blocked", words, now)


def _failed(kind: KindInfo, current: Stored, status: Status, failure: Exception, now: datetime) -> str:
    reason = "Unavailable" if isinstance(failure, Unavailable) else "Error"
    words = str(failure) if isinstance(failure, ApiError | Unavailable) else f"{type(failure).__name__}: {failure}"
    if reason == "Error" and not isinstance(failure, ApiError):
        log.exception("reconcile.failed", resource=f"{kind.plural}/{current.name}", unit=kind.unit)
    set_condition(status, "Ready", "False", reason, words[:4000], now)
    return words


def set_condition(status: Status, kind: str, value: Any, reason: str, message: str, now: datetime) -> None:
    """Set one condition; its transition time moves only when the statement does."""
    known = next((one for one in status.conditions if one.type == kind), None)
    moved = known is None or known.status != value
    time = stamp(now) if moved or known is None else known.last_transition_time
    fresh = Condition(type=kind, status=value, reason=reason, message=message[:4096], last_transition_time=time)
    status.conditions = [*(one for one in status.conditions if one.type != kind), fresh]
