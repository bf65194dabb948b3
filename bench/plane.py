"""cipo's own processes for a measurement: the API (and the worker when wanted) as ``cipo up`` starts them, on a database of the run's own."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.client import Client
from bench.place import Postgres, answers, free_port, running
from cipo.kernel import tokens
from cipo.kernel.store import migrate
from cipo.kernel.store.db import Database

ASSETS = "/apis/facilities.cipo/v1/assets"
MODELS = "/apis/facilities.cipo/v1/assetmodels"
UNIT = "1A/U-W2"


@dataclass(frozen=True, slots=True)
class Own:
    """A running cipo: a client of it, its database, and its processes."""

    client: Client
    dsn: str
    pids: tuple[int, ...]
    home: Path
    env: dict[str, str]

    def keeping(self) -> Client:
        """The same client with its connection kept, as kubectl, the console and every client library do."""
        return Client(self.client.port, self.client.headers, keep=True)


def asset(name: str, serial: str) -> dict[str, Any]:
    """A device as it enters: its model (a reference), maker and serial (a claim)."""
    spec = {"model": "dell-r650", "manufacturer": "Dell", "serial": serial}
    return {"apiVersion": "facilities.cipo/v1", "kind": "Asset", "metadata": {"name": name}, "spec": spec}


def assets(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Many in one request."""
    return {"apiVersion": "facilities.cipo/v1", "kind": "AssetList", "items": items}


@contextmanager
def up(postgres: Postgres, *, worker: bool = False) -> Iterator[Own]:
    """A cipo that has one asset model and no asset."""
    with ExitStack() as stack:
        dsn = stack.enter_context(postgres.scratch("cipo_bench"))
        migrate.migrate(dsn)
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cipo-bench-")))
        port = free_port()
        env = {
            "CIPO_HOME": str(home),
            "CIPO_PORT": str(port),
            "CIPO_TLS_PORT": str(free_port()),
            "CIPO_DATABASE_URL": dsn,
            "CIPO_LAB": "off",
        }
        token = asyncio.run(_token(dsn))
        client = Client(port, {"Authorization": f"Bearer {token}", "Cipo-Unit": UNIT, "Accept": "application/json"})

        def ready() -> bool:
            return answers(port)() and client.status("GET", "/readyz") == 200

        api = stack.enter_context(running([sys.executable, "-m", "cipo.kernel.serve"], log=home / "api.log", env=env, ready=ready))
        pids = [api.pid]
        if worker:
            command = [sys.executable, "-m", "cipo.worker"]
            pids.append(stack.enter_context(running(command, log=home / "worker.log", env=env, ready=lambda: True)).pid)
        model = {"manufacturer": "Dell", "model": "PowerEdge R650", "formFactor": {"uHeight": 1}}
        client.must("POST", MODELS, {"metadata": {"name": "dell-r650"}, "spec": model})
        yield Own(client, dsn, tuple(pids), home, env)


async def _token(dsn: str) -> str:
    async with Database(dsn) as db:
        await tokens.ensure_cipo(db)
        return (await tokens.issue_token(db, tokens.CIPO, "bench", timedelta(hours=6))).token
