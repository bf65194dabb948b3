"""Who runs in a home: the supervisor holds a lock and writes where it listens; the CLI and a second ``cipo up`` read it.

The lock lives as long as the supervisor's process, however that ends, so a record without a lock is history. The lock alone proves nothing:
a glance of another reader holds it for a moment, and so does a child that the supervisor had just forked when it was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cipo.kernel.errors import CipoError
from cipo.kernel.settings import Settings

GLANCE_S = 1.0  # how long somebody else's look at the lock may last


class AlreadyRunning(CipoError):
    """Another supervisor holds this home."""


@dataclass(frozen=True, slots=True)
class Running:
    """The plane of a home: its supervisor's process id, where it listens, and its children's process ids."""

    pid: int
    port: int
    tls_port: int
    ready: bool = False
    children: Mapping[str, int | None] = field(default_factory=dict)


def running(settings: Settings) -> Running | None:
    """The plane that runs in this home, if one does."""
    with contextlib.suppress(OSError, ValueError, TypeError), _lock(settings).open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            found = Running(**json.loads(_record(settings).read_text()))
            return found if _lives(found.pid) else None
    return None


def as_running(settings: Settings) -> Settings:
    """These settings with the ports the home's plane really listens on, which a port search may have moved."""
    found = running(settings)
    return replace(settings, port=found.port, tls_port=found.tls_port, tls_port_given=True) if found else settings


@contextlib.contextmanager
def hold(settings: Settings) -> Iterator[None]:
    """Be the home's only supervisor; ``AlreadyRunning`` names the other one."""
    settings.run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    with _lock(settings).open("w") as file:
        deadline = time.monotonic() + GLANCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                found = running(settings)
                if found is not None or time.monotonic() > deadline:
                    raise AlreadyRunning(_sentence(settings, found)) from error
                time.sleep(0.02)
        _record(settings).unlink(missing_ok=True)
        try:
            yield
        finally:
            _record(settings).unlink(missing_ok=True)


def write(settings: Settings, what: Running) -> None:
    """Replace the record; only the holder calls this."""
    fresh = _record(settings).with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(what), file)
    fresh.replace(_record(settings))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def _sentence(settings: Settings, found: Running | None) -> str:
    where = ""
    if found is not None:
        there = replace(settings, port=found.port, tls_port=found.tls_port)
        where = f" as process {found.pid} on {there.url}"
    return f"cipo already runs in {settings.home}{where}; stop it with `cipo down`, or set another CIPO_HOME"


def _lock(settings: Settings) -> Path:
    return settings.run_dir / "plane.lock"


def _record(settings: Settings) -> Path:
    return settings.run_dir / "plane.json"
