"""The supervisor's child processes: how one is started, kept alive with growing pauses, logged, and ended with everything it started.

Kept to the standard library and to plain ``fork``, because the supervisor stays resident and must be small. Each child leads a process
group of its own, so a Ctrl-C in the terminal reaches the supervisor only, and is told by the kernel when the supervisor dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cipo.kernel.errors import CipoError

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_CHILD_SUBREAPER = 36
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
STEADY_S = 30.0  # a child that lived this long starts again without a pause
LOG_LIMIT_BYTES = 32 * 1024 * 1024

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ChildError(CipoError):
    """A child cannot be started at all."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and under which name; ``late`` ones wait until the API is ready."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    late: bool = False


@dataclass(slots=True)
class Child:
    """One supervised process; started again whenever it ends, until ``quit``."""

    command: Command
    log: Path
    pid: int | None = None
    started: float = 0.0
    due: float = 0.0
    failures: int = 0
    last_exit: str = ""

    def start(self, environ: Mapping[str, str]) -> None:
        """Start it now, its output appended to its log."""
        trim(self.log)
        with self.log.open("ab") as output:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own commands
                    self.command.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(environ) | dict(self.command.environ),
                    start_new_session=True,
                    preexec_fn=_end_with_parent,  # noqa: PLW1509 - the supervisor has one thread
                )
            except OSError as error:
                raise ChildError(f"{self.command.name} does not start: {error.strerror}: {self.command.argv[0]}; reinstall cipo") from error
        process.returncode = 0  # collected by the supervisor's own wait, never by this object
        self.pid, self.started = process.pid, time.monotonic()

    def ended(self, status: int) -> None:
        """Note its end, kill what it left behind, and decide when it starts again."""
        now = time.monotonic()
        if self.pid is not None:
            signal_group(self.pid, signal.SIGKILL)
        self.pid = None
        self.failures = 1 if now - self.started > STEADY_S else self.failures + 1
        self.due = now + min(FIRST_PAUSE_S * 4 ** (self.failures - 1), LONGEST_PAUSE_S)
        code = os.waitstatus_to_exitcode(status)
        self.last_exit = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def last_words(self) -> str:
        """The last line of its log."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 4096))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
            if lines:
                return lines[-1][:400]
        return "no output"


def become_reaper() -> None:
    """From now on orphans among our descendants become our children, so that none is lost from sight."""
    if _libc is not None:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a child and everything in its process group; nothing happens when they are gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def collect() -> list[tuple[int, int]]:
    """Every child that ended since the last call: its process id and wait status."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            found.append((pid, status))
    return found


def offspring() -> set[int]:
    """The process ids of our present children, orphans that became ours included."""
    me, found = str(os.getpid()), set()
    with contextlib.suppress(FileNotFoundError):
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    state, parent = (path / "stat").read_text().rsplit(")", 1)[1].split()[:2]
                    if parent == me and state != "Z":
                        found.add(int(path.name))
    return found


def trim(log: Path) -> None:
    """Keep a log within bounds: what is there becomes ``.1`` and the file, which its writers only append to, starts anew."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)
