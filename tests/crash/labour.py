"""A worker process with a unit of its own, made to be killed: ``python -m tests.crash.labour <dsn> <lease seconds>``.

Its kind is a parcel that needs several deliveries, each an effect in a table outside of the store (by key, as a reconciler's calls to the
world must be). While it reconciles it holds an advisory lock of a connection of its own: a second worker at the same parcel is seen.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta

import psycopg

from cipo.kernel import Again, Ctx, Department, Done, Kind, Model, Status, Unit, field
from cipo.kernel.engine.worker import Worker
from cipo.kernel.principal import Caller, Decision, Principal
from cipo.kernel.store.db import Database
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import KindInfo, Registry

STEPS = 3
TABLES = """
create table public.run (at timestamptz default clock_timestamp(), pid int, name text, step int, overlap boolean);
create table public.effect (key text primary key, tries int not null default 1);
grant all on public.run, public.effect to public;
"""
unit = Unit("1A/U-W1")
DELIVERED = unit.fact("parcel.delivered", unit="1", help="A delivery was made.")
_aside: list[psycopg.AsyncConnection] = []


class ParcelSpec(Model):
    pause_ms: int = field(20, min=0, max=60_000, help="How long a delivery takes.")
    wait_s: float = field(0, min=0, max=100_000, help="How long to wait between two deliveries.")


class ParcelStatus(Status):
    steps: int = field(0, help="Deliveries made.")
    by: int = field(0, help="Process that made the last.")
    at: str = field("", help="When, by the reconciler's clock.")


@unit.kind(short="pc", plural="parcels")
class Parcel(Kind[ParcelSpec, ParcelStatus]):
    """A parcel with several deliveries."""


@unit.reconcile(Parcel, concurrency=20)
async def deliver(parcel: Parcel, ctx: Ctx) -> Done | Again:
    """One delivery a run: the effect by its key, then the status."""
    if parcel.status.steps >= STEPS:
        return Done()
    step = parcel.status.steps + 1
    aside, name = _aside[0], parcel.name
    row = await (await aside.execute("select pg_try_advisory_lock(hashtext(%s))", (name,))).fetchone()
    alone = bool(row and row[0])
    await aside.execute("insert into public.run (pid, name, step, overlap) values (%s, %s, %s, %s)", (os.getpid(), name, step, not alone))
    try:
        await asyncio.sleep(parcel.spec.pause_ms / 2000)
        await aside.execute(
            "insert into public.effect (key) values (%s) on conflict (key) do update set tries = public.effect.tries + 1",
            (f"{name}/{step}",),
        )
        await asyncio.sleep(parcel.spec.pause_ms / 2000)
    finally:
        if alone:
            await aside.execute("select pg_advisory_unlock(hashtext(%s))", (name,))
    parcel.status.steps, parcel.status.by, parcel.status.at = step, os.getpid(), ctx.now_iso()
    ctx.fact(DELIVERED, 1.0, subject=parcel)
    return Again(timedelta(seconds=parcel.spec.wait_s)) if step < STEPS else Done()


REGISTRY = Registry([Department("1A", "facilities", (unit,))])
PARCEL = Parcel.info
BEN = Caller(Principal("ben", "user", frozenset({unit.id})), unit=unit.id, manager="test")


class Everything:
    """This installation has one unit, which may do all."""

    def decide(self, caller: Caller, verb: str, kind: KindInfo, action: str | None = None) -> Decision:
        return Decision(True, "test", "", unit.id)

    def hidden(self, caller: Caller) -> frozenset[str]:
        return frozenset()


def resources(db: Database) -> Resources:
    return Resources(db, REGISTRY, Everything(), key=b"test")


def parcel(name: str, **spec: float) -> dict[str, object]:
    return {"metadata": {"name": name}, "spec": spec}


async def main(dsn: str, lease_s: float) -> None:
    """Work until killed."""
    _aside.append(await psycopg.AsyncConnection.connect(dsn, autocommit=True))
    async with Database(dsn, name="labour") as db:
        await Worker(resources(db), lease_s=lease_s).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
