"""Where the measurements live, and the PostgreSQL that both programs share.

Everything is below ``$CIPO_BENCH_DIR`` (default ``~/.cache/cipo-bench``, for root ``/var/cache/cipo-bench``, because the database runs as
a system user that must reach its files). The directory is kept: Nautobot's migrations take minutes and are made once.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from cipo.kernel.store import embedded
from cipo.kernel.store.place import PORT, Place

CIPO = Path(sys.executable).with_name("cipo")
"""The command line, as installed beside this Python."""


def directory() -> Path:
    """The measurements' own directory."""
    default = Path("/var/cache/cipo-bench") if os.geteuid() == 0 else Path.home() / ".cache" / "cipo-bench"
    path = Path(os.environ.get("CIPO_BENCH_DIR") or default)
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


class Postgres:
    """cipo's embedded server with the settings it ships with, holding both programs' databases."""

    def __init__(self) -> None:
        self.home = directory() / "home"
        self.dsn = embedded.start(self.home)
        self.place = Place(self.home)

    @property
    def socket_directory(self) -> Path:
        return self.place.sockets

    @property
    def password(self) -> str:
        return self.place.password.read_text().strip()

    @property
    def port(self) -> int:
        return PORT

    def url(self, database: str) -> str:
        return self.place.url("postgres", database)

    def version(self) -> str:
        with psycopg.connect(self.dsn.admin) as connection:
            row = connection.execute("show server_version").fetchone()
        return str(row[0]) if row else "?"

    def exists(self, database: str) -> bool:
        with psycopg.connect(self.dsn.admin) as connection:
            return connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone() is not None

    def create(self, database: str) -> None:
        with psycopg.connect(self.dsn.admin, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))

    def drop(self, database: str) -> None:
        with psycopg.connect(self.dsn.admin, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[str]:
        """A fresh database for one run: its superuser's URL."""
        name = f"{prefix}_{secrets.token_hex(4)}"
        self.create(name)
        try:
            yield self.url(name)
        finally:
            self.drop(name)

    def stop(self) -> None:
        embedded.stop(self.home)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: list[str],
    *,
    log: Path,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    ready: Callable[[], bool],
    within_s: float = 120,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, up before the block starts and gone after it."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + within_s
        while not ready():
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended with {process.returncode}; see {log}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer after {within_s:.0f} s; see {log}")
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def answers(port: int, host: str = "127.0.0.1") -> Callable[[], bool]:
    """Whether something listens there."""

    def ask() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((host, port)) == 0

    return ask
