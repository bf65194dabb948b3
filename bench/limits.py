"""cipo alone against its limits: a list of 10,000, a write seen by a watcher, reconciles a second, memory at rest."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import secrets
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
from tests.kernel.toy import ANNA, BOX, REGISTRY, Anything, box

from bench import machine, plane
from bench import place as places
from bench.client import times
from bench.place import Postgres, answers, free_port, running
from cipo.kernel.engine.worker import Worker
from cipo.kernel.store import migrate
from cipo.kernel.store.db import Database
from cipo.kernel.store.place import Place
from cipo.kernel.store.resources import Resources

MANY = 10_000
GOALS = {"list_10k_ms": 200.0, "watch_p95_ms": 100.0, "reconciles_per_s": 500.0, "memory_mb": 700.0}


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18] if len(values) > 1 else values[0]


def lists_and_watches(postgres: Postgres, *, calls: int) -> dict[str, Any]:
    """The list of 10,000 assets, whole and by 500, and write-to-watcher, on one API process."""
    with plane.up(postgres) as own:
        client = own.keeping()
        bulk = []
        for start in range(0, MANY, 1000):
            items = [plane.asset(f"a-{n:05}", f"SER{n:06}") for n in range(start, start + 1000)]
            bulk += times(lambda listed: client.must("POST", plane.ASSETS, plane.assets(listed)), [items])
        whole = times(lambda _: _all(client.must("GET", plane.ASSETS)), range(max(5, calls // 10)))
        chunked = times(lambda _: _chunks(own), range(3))
        gets = times(lambda n: client.must("GET", f"{plane.ASSETS}/a-{n:05}"), range(calls))
        creates = times(lambda n: client.must("POST", plane.ASSETS, plane.asset(f"x-{n:05}", f"XSER{n:06}")), range(calls))
        seen = _watch(own, calls)
        return {
            "list_10k_ms": statistics.median(whole) * 1000,
            "list_10k_by_500_ms": statistics.median(chunked) * 1000,
            "bulk_1000_ms": statistics.median(bulk) * 1000,
            "get_ms": statistics.median(gets) * 1000,
            "create_ms": statistics.median(creates) * 1000,
            "watch_p50_ms": statistics.median(seen) * 1000,
            "watch_p95_ms": p95(seen) * 1000,
            "load": machine.load(),
        }


def _all(answer: bytes) -> None:
    if answer.count(b'"uid":') < MANY:
        raise RuntimeError("the list is not whole")


def _chunks(own: plane.Own) -> None:
    client, token, n = own.keeping(), "", 0
    while True:
        answer = json.loads(client.must("GET", f"{plane.ASSETS}?limit=500" + (f"&continue={token}" if token else "")))
        n += len(answer["items"])
        token = answer["metadata"].get("continue")
        if not token:
            break
    if n < MANY:
        raise RuntimeError(f"the chunks hold {n} of {MANY}")


def _watch(own: plane.Own, calls: int) -> list[float]:
    """Seconds from the moment a write is sent to the moment a watcher has its line; a write every 20 ms."""
    version = json.loads(own.client.must("GET", f"{plane.ASSETS}?limit=1"))["metadata"]["resourceVersion"]
    arrived: dict[str, float] = {}
    ready, done = threading.Event(), threading.Event()

    def listen() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", own.client.port, timeout=120)
        connection.request("GET", f"{plane.ASSETS}?watch=true&resourceVersion={version}", headers=own.client.headers)
        answer = connection.getresponse()
        ready.set()
        while len(arrived) < calls:
            line = answer.readline()
            if not line:
                break
            arrived[json.loads(line)["object"]["metadata"]["name"]] = time.perf_counter()
        done.set()
        connection.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    ready.wait(10)
    client = own.keeping()
    sent: dict[str, float] = {}
    for n in range(calls):
        name = f"w-{n:05}"
        sent[name] = time.perf_counter()
        client.must("POST", plane.ASSETS, plane.asset(name, f"WSER{n:06}"))
        time.sleep(0.02)
    if not done.wait(30):
        raise RuntimeError(f"the watcher saw {len(arrived)} of {calls} writes")
    return [arrived[name] - sent[name] for name in sent]


def reconciles(postgres: Postgres, *, objects: int) -> dict[str, Any]:
    """Reconciles a second of one worker process, each with a status write of its own transaction."""
    with postgres.scratch("cipo_bench") as dsn:
        migrate.migrate(dsn)
        return asyncio.run(_reconciles(dsn, objects))


async def _reconciles(dsn: str, objects: int) -> dict[str, Any]:
    async with Database(dsn, max_size=8) as db:
        store = Resources(db, REGISTRY, Anything(), key=secrets.token_bytes(8))
        for start in range(0, objects, 1000):
            await store.create_many(ANNA, BOX, [box(f"b{n:06}") for n in range(start, min(objects, start + 1000))])
        worker = Worker(store)
        start_s = time.perf_counter()
        task = asyncio.create_task(worker.run())
        waiting = 1
        while waiting:
            await asyncio.sleep(0.05)
            waiting = (await db.fetch("select count(*) from cipo.work where due <= now() or worker is not null"))[0][0]
        taken = time.perf_counter() - start_s
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        looked = (await db.fetch("select count(*) from cipo.resource where body::jsonb #>> '{status,looked}' = '1'"))[0][0]
        if looked != objects:
            raise RuntimeError(f"{looked} of {objects} were reconciled")
        return {"reconciles_per_s": objects / taken, "objects": objects, "load": machine.load()}


def memory(*, settle_s: float = 60) -> dict[str, Any]:
    """A first ``cipo up`` with the sample organisation, a minute after its lab is done: PSS of every process it started."""
    with tempfile.TemporaryDirectory(prefix="cipo-rest-") as directory:
        home = Path(directory)
        home.chmod(0o711)
        port = free_port()
        env = {"CIPO_HOME": directory, "CIPO_PORT": str(port), "CIPO_TLS_PORT": str(free_port()), "CIPO_LAB": "on"}
        for name in ("CIPO_DATABASE_URL",):
            os.environ.pop(name, None)
        command = [str(places.CIPO), "up"]
        start = time.perf_counter()
        with running(command, log=places.directory() / "up.log", env=env, ready=answers(port), within_s=180) as process:
            answered = time.perf_counter() - start
            assets = _quiet(home)
            time.sleep(settle_s)
            rows = _family(process.pid, Place(home))
            return {
                "memory_mb": sum(row["pss_mb"] for row in rows),
                "processes": rows,
                "assets": assets,
                "first_answer_s": answered,
                "load": machine.load(),
            }


def _quiet(home: Path) -> int:
    """Wait until the sample organisation is in: the number of events stands still for ten seconds."""
    url = Place(home).url("cipo_read")
    last, since = -1, time.monotonic()
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "select count(*), count(*) filter (where gk = 'Asset.facilities.cipo' and type = 'ADDED') from cipo.event"
            ).fetchone()
        events, assets = row or (0, 0)
        if events != last:
            last, since = events, time.monotonic()
        elif time.monotonic() - since > 10:
            return int(assets)
        time.sleep(1)
    raise RuntimeError("the sample organisation is still being built after five minutes")


def _family(pid: int, place: Place) -> list[dict[str, Any]]:
    """Every process of the run: the supervisor's descendants and the postmaster's, the latter as one row."""
    postmaster = int((place.data / "postmaster.pid").read_text().split()[0])
    server = machine.family((postmaster,))
    rows = []
    for one in sorted(machine.family((pid,)) - server):
        pss, rss = machine.memory(one)
        words = Path(f"/proc/{one}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        rows.append({"process": words[-60:], "pss_mb": pss / 1e6, "rss_mb": rss / 1e6})
    pairs = [machine.memory(one) for one in server]
    rows.append(
        {
            "process": f"postgres ({len(server)} processes)",
            "pss_mb": sum(p for p, _ in pairs) / 1e6,
            "rss_mb": sum(r for _, r in pairs) / 1e6,
        }
    )
    return rows
