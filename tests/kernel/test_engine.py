"""The work engine: what is due runs once under a lease, waits survive, killed workers are replaced, failures are said."""

from __future__ import annotations

import asyncio

import pytest

from cipo.kernel.engine.worker import Worker
from cipo.kernel.store.db import Database
from cipo.kernel.store.resources import Resources
from tests.kernel.toy import ANNA, BOX, REGISTRY, Anything, box

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(pg_dsn):
    async with Database(pg_dsn) as db:
        yield Resources(db, REGISTRY, Anything(), key=b"k")


async def status(store, name):
    return (await store.get(ANNA, BOX, name)).object()["status"]


async def drain(worker):
    done = 0
    while n := await worker.once():
        done += n
    return done


async def test_a_new_object_is_reconciled_once_and_then_rests(store):
    await store.create(ANNA, BOX, box("a"))
    worker = Worker(store)
    assert await drain(worker) == 1
    body = await status(store, "a")
    assert body["looked"] == 1
    assert body["observedGeneration"] == 1
    assert [(one["type"], one["status"]) for one in body["conditions"]] == [("Ready", "True")]
    await store.patch(ANNA, BOX, "a", {"spec": {"note": "x"}}, "merge")
    assert await drain(worker) == 1
    assert (await status(store, "a"))["observedGeneration"] == 2
    assert await drain(worker) == 0


async def test_blocked_says_what_to_do_and_waits_for_a_change(store):
    await store.create(ANNA, BOX, box("a", note="blocked"))
    worker = Worker(store)
    assert await drain(worker) == 1
    conditions = {one["type"]: one for one in (await status(store, "a"))["conditions"]}
    assert conditions["Blocked"]["message"] == "nobody gave a place. To do: move it"
    assert [row["name"] for row in await store.waiting(ANNA)] == ["a"]
    assert await drain(worker) == 0
    await store.patch(ANNA, BOX, "a", {"spec": {"note": "fine"}}, "merge")
    assert await drain(worker) == 1
    assert [one["type"] for one in (await status(store, "a"))["conditions"]] == ["Ready"]
    assert await store.waiting(ANNA) == []


async def test_a_failure_is_said_and_tried_again_later(store):
    await store.create(ANNA, BOX, box("a", note="boom"))
    await Worker(store).once()
    ready = (await status(store, "a"))["conditions"][0]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "Error", "RuntimeError: boom")
    rows = await store.db.fetch("select attempts, due > now(), leased_until is null from cipo.work")
    assert rows == [(1, True, True)]


async def test_a_look_that_finds_nothing_new_leaves_no_event(store):
    await store.create(ANNA, BOX, box("a", note="polls"))
    worker = Worker(store)
    assert await drain(worker) == 1
    events = "select count(*) from cipo.event"
    before = await store.db.fetch(events)
    await store.db.execute("update cipo.work set due = now()")
    assert await drain(worker) == 1
    assert await store.db.fetch(events) == before
    assert await store.db.fetch("select due > now() + interval '4 minutes' from cipo.work") == [(True,)]


async def test_a_wait_says_until_when(store):
    await store.create(ANNA, BOX, box("a", note="waits"))
    await drain(Worker(store))
    body = await status(store, "a")
    assert body["nextReconcile"]
    assert [(one["status"], one["reason"], one["message"]) for one in body["conditions"]] == [("False", "Waiting", "the maker has it")]


async def test_two_workers_never_hold_the_same_object(store):
    await store.create_many(ANNA, BOX, [box(f"b{n}") for n in range(40)])
    workers = [Worker(store) for _ in range(4)]
    claims = await asyncio.gather(*(worker._claim(20) for worker in workers))
    taken = [row[0] for rows in claims for row in rows]
    assert len(taken) == len(set(taken)) == 40


async def test_a_dead_workers_lease_ends_and_its_late_write_is_refused(store):
    await store.create(ANNA, BOX, box("a"))
    dead, heir = Worker(store, lease_s=0.3), Worker(store)
    rows = await dead._claim(1)
    assert await heir.once() == 0
    done = 0
    async with asyncio.timeout(5):
        while not done:
            await heir.bell.wait(0.05)
            done = await heir.once()
    assert (await status(store, "a"))["looked"] == 1
    rv = (await store.get(ANNA, BOX, "a")).rv
    await dead._guarded(rows[0])  # what the dead one would still write
    assert (await store.get(ANNA, BOX, "a")).rv == rv


async def test_a_change_during_a_run_is_not_lost(store):
    await store.create(ANNA, BOX, box("a"))
    worker = Worker(store)
    rows = await worker._claim(1)
    await store.patch(ANNA, BOX, "a", {"spec": {"note": "changed"}}, "merge")
    assert await Worker(store)._claim(1) == []
    await worker._one(rows[0])
    assert await drain(worker) == 1
    assert (await status(store, "a"))["observedGeneration"] == 2


async def test_the_loop_wakes_on_a_write_and_gives_its_leases_back(store):
    worker = Worker(store)
    task = asyncio.create_task(worker.run())
    await store.create(ANNA, BOX, box("a"))
    async with asyncio.timeout(5):
        while (await status(store, "a"))["looked"] == 0:
            await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.db.fetch("select count(*) from cipo.work where worker is not null") == [(0,)]
