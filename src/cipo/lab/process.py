"""A child process of the lab: its own process group, its own log file, ended by its pid and by nothing broader.

The World's fixtures use it; the supervisor of ``cipo up`` has its own (it restarts, this one never does: a fixture that died is a
fault the organisation should notice).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_S = 3.0  # less than the supervisor grants the lab as a whole
TAIL_BYTES = 2000


class Child:
    """One running program and everything it forked."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self.log = log

    @classmethod
    async def spawn(
        cls, argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None, fds: Sequence[int] = ()
    ) -> Child:
        """Start a program in a process group of its own, its output in ``log``. It ends when we do, even if we are killed."""
        # setpriv is util-linux; where it is missing a killed World leaves its programs running.
        tether = [setpriv, "--pdeathsig", "TERM", "--"] if (setpriv := shutil.which("setpriv")) else []
        with _prepared(log, cwd).open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *tether,
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                pass_fds=tuple(fds),
                start_new_session=True,
            )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Process id; also the id of its group."""
        return self._process.pid

    @property
    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; a process that is gone is fine."""
        # The group id stays ours until we reap the leader, so no stranger can be hit.
        if self._process.returncode is None:
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return

    async def wait(self) -> int:
        """Wait until it ended; its exit code."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end, wait, then end it."""
        if self.ended is not None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), GRACE_S)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()

    def tail(self) -> str:
        """The end of its log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                return file.read().decode(errors="replace").strip()
        except FileNotFoundError:
            return ""


def _prepared(log: Path, cwd: Path) -> Path:
    log.parent.mkdir(parents=True, exist_ok=True)
    cwd.mkdir(parents=True, exist_ok=True)
    return log
