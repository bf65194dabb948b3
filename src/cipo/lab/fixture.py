"""A fixture: one system outside the organisation, started for a while. Subclass ``Program`` for a child process.

A fixture may be a real program or an emulator that speaks the same protocol; units cannot tell, because they only ever see the URL of
a ``Connection``, and that URL leads through the fixture's gate (``cipo.lab.gate``), where faults are injected.
"""

from __future__ import annotations

import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cipo.lab.errors import FixtureFailed
from cipo.lab.ports import LOOPBACK, Ports
from cipo.lab.probe import http_answers
from cipo.lab.process import Child

Health = Callable[[], Awaitable[str]]
"""Asks a fixture how it is: an empty string when it works, else what is missing."""


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """What a fixture offers: a connection's name, the protocol's type, and the URL's scheme and path."""

    name: str
    type: str
    scheme: str = "http"
    path: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where units reach a fixture: the address of its gate."""

    name: str
    type: str
    url: str


class Fixture(ABC):
    """A system of the lab. ``needs`` names fixtures that must be healthy first."""

    name: ClassVar[str]
    provides: ClassVar[tuple[ConnectionSpec, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    async def start(self, directory: Path, ports: Ports) -> Health:
        """Start it in its directory; returns the question to ask until it is healthy."""

    @abstractmethod
    async def stop(self) -> None:
        """End it. Safe to call twice, and after a failed start."""

    @property
    def child(self) -> Child | None:
        """Its process, if it is one."""
        return None

    def port(self, connection: str) -> int:
        """The port behind the gate on which it serves a connection it provides."""
        raise FixtureFailed(self.name, f"provides no connection {connection!r}")


class Program(Fixture):
    """A fixture that is a child process: says which command, and on which ports it will listen."""

    debian_package: ClassVar[str] = ""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._ports: dict[str, int] = {}

    @property
    def child(self) -> Child | None:
        """Its process."""
        return self._child

    def port(self, connection: str) -> int:
        """Where it listens for this connection."""
        return self._ports[connection]

    @abstractmethod
    def command(self, directory: Path, ports: Mapping[str, int]) -> Sequence[str]:
        """The program and its arguments, given the port of each connection."""

    async def start(self, directory: Path, ports: Ports) -> Health:
        """Choose ports, spawn the program, and ask its connections whether they answer."""
        self._ports = {spec.name: ports.free() for spec in self.provides}
        await self._spawn(directory, self.command(directory, self._ports))
        return self.healthy

    async def stop(self) -> None:
        """End the process group."""
        if self._child:
            await self._child.stop()

    async def healthy(self) -> str:
        """Healthy when the process lives and every HTTP connection answers."""
        child = self._child
        if child is None or child.ended is not None:
            raise FixtureFailed(
                self.name, f"its process ended with {child.ended if child else 'nothing started'}", child.tail() if child else ""
            )
        for spec in self.provides:
            if spec.scheme == "http" and not await http_answers(LOOPBACK, self._ports[spec.name], spec.path or "/"):
                return f"port {self._ports[spec.name]} does not answer yet"
        return ""

    async def _spawn(self, directory: Path, argv: Sequence[str], fds: Sequence[int] = ()) -> None:
        if shutil.which(argv[0]) is None:
            package = f"; install the Debian package {self.debian_package}" if self.debian_package else ""
            raise FixtureFailed(self.name, f"the program {argv[0]} is not installed{package}")
        self._child = await Child.spawn(argv, log=directory.with_suffix(".log"), cwd=directory, fds=fds)


class PythonProgram(Program):
    """One of our own emulators: a module that serves HTTP on a socket it inherits (``--fd``)."""

    module: ClassVar[str]

    def command(self, directory: Path, ports: Mapping[str, int]) -> Sequence[str]:
        """Run the module with this interpreter."""
        return (sys.executable, "-m", self.module)

    async def start(self, directory: Path, ports: Ports) -> Health:
        """Bind first, then hand the listening socket over: no port is ever guessed."""
        listener = ports.listen()
        self._ports = {spec.name: listener.getsockname()[1] for spec in self.provides}
        await self._spawn(directory, (*self.command(directory, self._ports), "--fd", str(listener.fileno())), (listener.fileno(),))
        listener.close()
        return self.healthy
