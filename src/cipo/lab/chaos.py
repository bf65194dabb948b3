"""Faults of one fixture: slow, failing, cut, stopped, killed. The World makes one ``Chaos`` a fixture; scenarios and tests turn it.

Delay, errors and resets happen in the gate (``cipo.lab.gate``), so they work for real programs too; stop, continue and kill are
signals to the fixture's process group. Chance derives from the World's seed, so a run can be repeated.
"""

from __future__ import annotations

import random
import signal

from cipo.lab.errors import LabError
from cipo.lab.process import Child

MAX_DELAY_S = 300.0


class Chaos:
    """What is wrong with a fixture right now. Nothing, at first."""

    def __init__(self, name: str, *, seed: int) -> None:
        self.name = name
        self.delay_s = 0.0
        self.status = 0
        self.cut = False
        self.share = 1.0
        self.stopped = False
        self._chance = random.Random(f"{seed}/chaos/{name}")  # noqa: S311 - repeatable, not secret
        self._child: Child | None = None

    def bind(self, child: Child | None) -> None:
        """The process that signals go to."""
        self._child = child

    def delay(self, seconds: float) -> None:
        """Let every new connection wait before it is served."""
        if not 0 <= seconds <= MAX_DELAY_S:
            raise LabError(f"delay {seconds}: give 0 to {MAX_DELAY_S:.0f} seconds")
        self.delay_s = seconds

    def fail(self, status: int = 503, *, share: float = 1.0) -> None:
        """Answer a share of HTTP requests with a 5xx of the gate's own."""
        if not 500 <= status <= 599:
            raise LabError(f"status {status}: a fault is a 5xx")
        self.status, self.share = status, _share(share)

    def reset(self, *, share: float = 1.0) -> None:
        """Cut a share of new connections with a TCP reset."""
        self.cut, self.share = True, _share(share)

    def heal(self) -> None:
        """Undo delay, failures and resets, and continue a stopped process. A killed one stays dead."""
        self.delay_s, self.status, self.cut, self.share = 0.0, 0, False, 1.0
        if self.stopped:
            self.cont()

    def stop(self) -> None:
        """Freeze the process: connections are accepted by the system, nobody answers."""
        self._process().signal(signal.SIGSTOP)
        self.stopped = True

    def cont(self) -> None:
        """Let a frozen process go on."""
        self._process().signal(signal.SIGCONT)
        self.stopped = False

    def kill(self) -> None:
        """End the process at once."""
        self._process().signal(signal.SIGKILL)

    def strikes(self) -> bool:
        """Whether this connection is among the share that suffers."""
        return self.share >= 1.0 or self._chance.random() < self.share

    def words(self) -> str:
        """What is wrong, for a status line."""
        parts = [f"delay {self.delay_s:g} s"] if self.delay_s else []
        parts += [f"status {self.status}"] if self.status else []
        parts += ["reset"] if self.cut else []
        parts += ["stopped"] if self.stopped else []
        return ", ".join(parts) or "none"

    def _process(self) -> Child:
        if self._child is None:
            raise LabError(f"fixture {self.name} has no process of its own to signal")
        return self._child


def _share(share: float) -> float:
    if not 0 < share <= 1:
        raise LabError(f"share {share}: give a number above 0, up to 1")
    return share
