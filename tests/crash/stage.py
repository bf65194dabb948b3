"""What the crash tests stand on: a home with a real PostgreSQL under the settings cipo ships with, real processes, and real kills.

Unlike the rest of the suite nothing is relaxed here: fsync is on, the roles have their deadlines, and a kill is SIGKILL.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from cipo.kernel import tokens
from cipo.kernel.store import embedded, migrate
from cipo.kernel.store.db import Database
from cipo.kernel.store.place import Place
from tests.live import free_port

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("CIPO_TEST_CRASH_ROUNDS") or os.environ.get("CIPO_CRASH_ROUNDS") or 3)
ASSETS = "/apis/facilities.cipo/v1/assets"
MODELS = "/apis/facilities.cipo/v1/assetmodels"
FRAGILE = "tests.crash.fragile:create_app"


def until(condition: Callable[[], Any], within_s: float, what: str) -> Any:
    """Look until it is so; the value that was so. The one place here that waits by looking."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s:g} s")
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body; status 0 when the connection broke."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """One client of the API with its connection kept while it holds. Not for several threads."""

    def __init__(self, port: int, token: str, unit: str) -> None:
        self.port = port
        self.headers = {"Authorization": f"Bearer {token}", "Cipo-Unit": unit, "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Ask once; a broken connection is an answer too."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            self._connection.request(method, path, body=data, headers=sent)
            got = self._connection.getresponse()
            return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(0, {}, b"")

    def must(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of a success."""
        got = self.ask(method, path, body, **headers)
        assert got.status in (200, 201), (method, path, got.status, got.body[:2000])
        return got.json()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class Stage:
    """One home: its server, its processes, its callers."""

    home: Path
    conf: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = ""

    @property
    def place(self) -> Place:
        return Place(self.home)

    @property
    def dsn(self) -> str:
        """As the superuser: for looking, never for the code under test."""
        return self.place.url("postgres")

    def open(self) -> None:
        """The server, the schema, a token."""
        self.start_database()
        migrate.migrate(self.dsn)
        self.token = asyncio.run(self._issue())

    async def _issue(self) -> str:
        async with Database(self.dsn) as db:
            await tokens.ensure_cipo(db)
            return (await tokens.issue_token(db, tokens.CIPO, "test", timedelta(hours=12))).token

    # -- PostgreSQL

    def start_database(self) -> None:
        embedded.start(self.home, conf=self.conf)

    def kill_database(self) -> int:
        """SIGKILL to the postmaster and everything below it; how many died."""
        postmaster = embedded.running(self.home)
        assert postmaster is not None
        victims = [postmaster, *children(postmaster)]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return len(victims)

    def look(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows as the superuser sees them."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            done = connection.execute(sql.encode(), parameters or None)
            return done.fetchall() if done.description else []

    # -- processes

    def start(self, name: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        """Start ``python -m <arguments>`` under a name."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CIPO_")}
        environment |= {
            "CIPO_HOME": str(self.home),
            "CIPO_PORT": str(self.port),
            "CIPO_TLS_PORT": str(free_port()),
            "CIPO_LAB": "off",
        } | env
        with (self.home / "log" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.processes[name] = process
        return process

    def start_api(self, name: str = "api", *, application: str = "", **env: str) -> subprocess.Popen[bytes]:
        """Start an API process and wait until it is ready."""
        port = int(env.setdefault("CIPO_PORT", str(self.port)))
        process = self.start(name, "cipo.kernel.serve", *([application] if application else []), **env)
        asking = Caller(port, "", "")

        def ready() -> bool:
            assert process.poll() is None, self.log(name)
            return asking.ask("GET", "/readyz").status == 200

        until(ready, 30, f"{name} answers; its log: {self.home / 'log'}")
        asking.close()
        return process

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)

    def log(self, name: str) -> str:
        return (self.home / "log" / f"{name}.log").read_text(errors="replace")[-4000:]

    def caller(self, unit: str = "1A/U-W2", *, port: int = 0) -> Caller:
        return Caller(port or self.port, self.token, unit)

    def close(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.processes.clear()


def children(pid: int) -> list[int]:
    """Process ids below this one."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            below.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for child in below.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def asset(name: str, serial: str = "") -> dict[str, Any]:
    spec = {"model": "dell-r650", "manufacturer": "Dell", "serial": serial or f"SN{name.replace('-', '').upper()}"}
    return {"apiVersion": "facilities.cipo/v1", "kind": "Asset", "metadata": {"name": name}, "spec": spec}


def furnish(caller: Caller) -> None:
    """The model that assets are of."""
    spec = {"manufacturer": "Dell", "model": "PowerEdge R650", "formFactor": {"uHeight": 1}}
    got = caller.ask("POST", MODELS, {"metadata": {"name": "dell-r650"}, "spec": spec})
    assert got.status in (201, 409), got.body


@dataclass
class Writers:
    """Eight people who create assets, write down every acknowledgement, and try again what was not answered."""

    stage: Stage
    count: int = 8
    acknowledged: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    refused: list[Answer] = field(default_factory=list)
    broken: int = 0
    wrong: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Writers:
        self._threads = [threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)

    def _write(self, writer: int) -> None:
        caller = self.stage.caller()
        number = 0
        while not self._stop.is_set():
            name = f"w{writer}-{id(self):x}-{number}"
            got = caller.ask("POST", ASSETS, asset(name))
            with self._lock:
                if got.status == 201:
                    self.acknowledged.append(name)
                elif got.status == 409 and got.json()["reason"] == "AlreadyExists":
                    self.already.append(name)  # an earlier try of ours was written and not answered
                elif got.status == 503:
                    self.refused.append(got)
                elif got.status == 0:
                    self.broken += 1
                else:
                    self.wrong.append(got)
            if got.status in (201, 409):
                number += 1
            else:
                self._stop.wait(0.02)
        caller.close()

    def written(self) -> set[str]:
        """Every name that somebody was told is there."""
        with self._lock:
            return {*self.acknowledged, *self.already}


@contextmanager
def staged(home: Path, **conf: str) -> Iterator[Stage]:
    """A stage until the block ends."""
    stage = Stage(home, conf)
    try:
        stage.open()
        yield stage
    finally:
        stage.close()
