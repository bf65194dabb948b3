"""kill -9 of workers in the middle of their work: one at a time per resource, each effect once by its key, and another takes over."""

from __future__ import annotations

import asyncio
import random
import signal
import time

from cipo.kernel.store.db import Database
from tests.crash import labour
from tests.crash.stage import ROUNDS, until

LEASE_S = 2.0
PARCELS = 60
KILLS = 4 * ROUNDS
LEASED = "select count(*) from cipo.work where leased_until > now() and worker like '%%:' || %s || ':%%'"


async def post(dsn, names, **spec):
    async with Database(dsn) as db:
        await labour.resources(db).create_many(labour.BEN, labour.PARCEL, [labour.parcel(name, **spec) for name in names])


def hire(stage, name, **env):
    return stage.start(name, "tests.crash.labour", stage.dsn, str(LEASE_S), **env)


def steps(stage):
    return dict(stage.look("select name, (body::jsonb #>> '{status,steps}')::int from cipo.resource where gk = %s", labour.PARCEL.gk))


def test_workers_killed_mid_work_do_all_of_it_once(stage, fault):
    with_tables(stage)
    asyncio.run(post(stage.dsn, [f"p{n:02}" for n in range(PARCELS)], pause_ms=60))
    names = ["worker-a", "worker-b"]
    for name in names:
        hire(stage, name)
    rng = random.Random(7)
    for _ in range(KILLS):
        name = rng.choice(names)
        pid, before = stage.processes[name].pid, stage.look("select count(*) from public.run")[0][0]
        until(lambda pid=pid: stage.look(LEASED, str(pid))[0][0] or finished(stage), 15, "it has work in hand")
        stage.kill(name)
        hire(stage, name)
        until(lambda before=before: stage.look("select count(*) from public.run")[0][0] > before or finished(stage), 15, "work goes on")
    until(lambda: finished(stage), 60, "all is delivered")
    assert set(steps(stage).values()) == {labour.STEPS}
    assert stage.look("select count(*) from public.run where overlap") == [(0,)]
    effects = dict(stage.look("select key, tries from public.effect"))
    assert effects.keys() == {f"p{n:02}/{step}" for n in range(PARCELS) for step in range(1, labour.STEPS + 1)}
    events = stage.look("select name, count(*) from cipo.event where verb = 'reconcile' group by name")
    assert {count for _, count in events} == {labour.STEPS}, "each step is written once"
    facts = stage.look("select object, count(*) from cipo.fact where name = 'parcel.delivered' group by object")
    assert {count for _, count in facts} == {labour.STEPS}
    again = sum(tries - 1 for tries in effects.values())
    fault(
        f"worker killed {KILLS}x mid-reconcile: {PARCELS} resources x {labour.STEPS} steps, no overlap, each effect once by its key "
        f"({again} repeated by key), each fact and event once"
    )


def test_a_worker_that_was_frozen_past_its_lease_cannot_write(stage, fault):
    with_tables(stage)
    asyncio.run(post(stage.dsn, ["slow"], pause_ms=1500))
    first = hire(stage, "worker-a")
    until(lambda: stage.look("select count(*) from public.run where step = 1")[0][0], 20, "the first has begun")
    first.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    second = hire(stage, "worker-b")
    until(lambda: steps(stage)["slow"] >= 1, 20, "the second takes over")
    waited = time.monotonic() - frozen
    first.send_signal(signal.SIGCONT)
    until(lambda: finished(stage), 30, "all is delivered")
    events = stage.look("select count(*) from cipo.event where verb = 'reconcile'")
    assert events == [(labour.STEPS,)]
    assert stage.look("select count(*) from cipo.fact") == [(labour.STEPS,)]
    made_by = stage.look("select diff from cipo.event where verb = 'reconcile' order by seq limit 1")[0][0]
    assert {"op": "replace", "path": "/status/by", "value": second.pid}.items() <= next(
        op for op in made_by if op["path"] == "/status/by"
    ).items()
    fault(f"worker frozen past its lease of {LEASE_S:g} s: another took over after {waited:.1f} s, the late write was refused")


def with_tables(stage):
    stage.look(labour.TABLES)


def finished(stage):
    return min(steps(stage).values()) == labour.STEPS and not stage.look("select 1 from cipo.work where worker is not null")
