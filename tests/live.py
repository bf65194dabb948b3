"""A running control plane for tests: the API as a real process, and a worker beside it, on a database of the test's own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx

from cipo.kernel import tokens
from cipo.kernel.store.db import Database


@dataclass
class Live:
    """Where it answers and how to sign in. ``token`` is the CIPO's."""

    home: Path
    dsn: str
    base_url: str
    tls_url: str
    env: dict[str, str]
    token: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def ca(self) -> Path:
        return self.home / "tls" / "ca.crt"

    def client(self, *, unit: str | None = None, token: str | None = None, timeout: float = 20) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token or self.token}"} | ({"Cipo-Unit": unit} if unit else {})
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=timeout)

    def issue(self, name: str, *, units: tuple[str, ...] = (), leads: tuple[str, ...] = ()) -> str:
        """A token of a person who may act as ``units``."""

        async def issue() -> str:
            async with Database(self.dsn) as db:
                await db.execute(
                    "insert into cipo.principal (name, kind, units, leads) values (%s, 'user', %s, %s) on conflict do nothing",
                    (name, list(units), list(leads)),
                )
                return (await tokens.issue_token(db, name, "test", timedelta(hours=1))).token

        return asyncio.run(issue())

    def login_link(self) -> str:
        async def link() -> str:
            async with Database(self.dsn) as db:
                await tokens.ensure_cipo(db)
                return await tokens.create_login_link(db, self.base_url)

        return asyncio.run(link())

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start ``api`` or ``worker``; the API is ready when this returns."""
        module = {"api": "cipo.kernel.serve", "worker": "cipo.worker"}[name]
        log = (self.home / f"{name}.log").open("ab")
        process = subprocess.Popen([sys.executable, "-m", module], env=self.env, stdout=log, stderr=log, start_new_session=True)
        self.processes[name] = process
        if name == "api":
            self._await_ready(process)
        return process

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)

    def log(self, name: str = "api") -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the API ended with {process.returncode}:\n{self.log()[-4000:]}")
            try:
                if httpx.get(f"{self.base_url}/readyz", timeout=1).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            select_pause()
        raise RuntimeError(f"the API was not ready in 30 s:\n{self.log()[-4000:]}")


def select_pause() -> None:
    """A short breath between two looks at a process that has no event to wait for."""
    time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def plane(dsn: str, *, worker: bool = True, **more: str) -> Iterator[Live]:
    """A plane on ``dsn`` until the block ends."""
    with tempfile.TemporaryDirectory(prefix="cipo-live-") as directory:
        home = Path(directory)
        port, tls_port = free_port(), free_port()
        env = {key: value for key, value in os.environ.items() if not key.startswith("CIPO_")} | {
            "CIPO_HOME": directory,
            "CIPO_PORT": str(port),
            "CIPO_TLS_PORT": str(tls_port),
            "CIPO_DATABASE_URL": dsn,
            "CIPO_LAB": "off",
            **more,
        }
        live = Live(home, dsn, f"http://localhost:{port}", f"https://localhost:{tls_port}", env)
        try:
            live.start("api")
            if worker:
                live.start("worker")

            async def root() -> str:
                async with Database(dsn) as db:
                    await tokens.ensure_cipo(db)
                    return (await tokens.issue_token(db, tokens.CIPO, "test", timedelta(hours=2))).token

            live.token = asyncio.run(root())
            yield live
        finally:
            for name in list(live.processes):
                live.stop(name)
