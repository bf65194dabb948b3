"""The World: fixtures started in the order of their needs, each behind a gate, all stopped when the context ends.

``cipo lab up``, scenarios and tests enter it; what a department's ``world.py`` sees of the lab is ``cipo.lab.stage.Stage``. Starting is
all or nothing: if one fixture does not become healthy before its deadline, those already started are stopped and the error shows
the end of its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cipo.lab.chaos import Chaos
from cipo.lab.errors import FixtureFailed, LabError
from cipo.lab.fixture import Connection, Fixture, Health
from cipo.lab.gate import Gate
from cipo.lab.ports import LOOPBACK, Ports
from cipo.lab.proc import started_at

DEADLINE_S = 20.0
ASK_EVERY_S = 0.05
STATE_SUFFIX = ".world.json"


@dataclass(slots=True)
class _Running:
    fixture: Fixture
    chaos: Chaos
    gates: list[Gate] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)


class World:
    """A set of fixtures that runs while the context is open. ``directory`` holds a folder and a log a fixture."""

    def __init__(
        self, directory: Path, fixtures: Iterable[Fixture], *, seed: int, label: str = "fixtures", deadline_s: float = DEADLINE_S
    ) -> None:
        self.directory = directory
        self.label = label
        self.seed = seed
        self._fixtures = ordered(fixtures)
        self._deadline_s = deadline_s
        self._ports = Ports()
        self._running: dict[str, _Running] = {}

    async def __aenter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        running = read_state(self._state_file)
        if running:
            raise LabError(f"a world {self.label!r} runs already in {self.directory} (pid {running['pid']}); end it with: cipo lab down")
        try:
            for fixture in self._fixtures:
                await self._start(fixture)
        except BaseException:
            await asyncio.shield(self._stop())
            raise
        self._write_state()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await asyncio.shield(self._stop())

    @property
    def connections(self) -> list[Connection]:
        """Where units reach each fixture."""
        return [connection for running in self._running.values() for connection in running.connections]

    def url(self, connection: str) -> str:
        """The address of one connection."""
        for found in self.connections:
            if found.name == connection:
                return found.url
        raise LabError(f"no fixture of this world provides {connection!r}; it has {', '.join(c.name for c in self.connections) or 'none'}")

    def chaos(self, fixture: str) -> Chaos:
        """The faults of one fixture."""
        if fixture not in self._running:
            raise LabError(f"no fixture {fixture!r} runs here; running: {', '.join(self._running) or 'none'}")
        return self._running[fixture].chaos

    async def _start(self, fixture: Fixture) -> None:
        chaos = Chaos(fixture.name, seed=self.seed)
        running = self._running[fixture.name] = _Running(fixture, chaos)
        try:
            async with asyncio.timeout(self._deadline_s):
                health = await fixture.start(self.directory / fixture.name, self._ports)
                await _until_healthy(health)
        except TimeoutError:
            log = fixture.child.tail() if fixture.child else ""
            raise FixtureFailed(fixture.name, f"not healthy after {self._deadline_s:g} s", log) from None
        chaos.bind(fixture.child)
        for spec in fixture.provides:
            gate = Gate(fixture.port(spec.name), chaos)
            port = await gate.start()
            running.gates.append(gate)
            running.connections.append(Connection(spec.name, spec.type, f"{spec.scheme}://{LOOPBACK}:{port}{spec.path}"))

    async def _stop(self) -> None:
        for running in reversed(list(self._running.values())):
            for gate in running.gates:
                await gate.stop()
            await running.fixture.stop()
        self._running.clear()
        self._ports.close()
        with contextlib.suppress(FileNotFoundError):
            if read_state(self._state_file).get("pid") == os.getpid():
                self._state_file.unlink()

    @property
    def _state_file(self) -> Path:
        return self.directory / f"{self.label}{STATE_SUFFIX}"

    def _write_state(self) -> None:
        state = {
            "label": self.label,
            "pid": os.getpid(),
            "started": started_at(os.getpid()),
            "seed": self.seed,
            "since": time.time(),
            "fixtures": [
                {
                    "name": running.fixture.name,
                    "pid": running.fixture.child.pid if running.fixture.child else None,
                    "connections": [{"name": c.name, "type": c.type, "url": c.url} for c in running.connections],
                }
                for running in self._running.values()
            ],
        }
        fresh = self._state_file.with_suffix(".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(self._state_file)


def read_state(file: Path) -> dict[str, Any]:
    """What a World wrote about itself; empty when there is none, or when the process that wrote it is gone."""
    try:
        state: dict[str, Any] = json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return state if started_at(state["pid"]) == state["started"] else {}


def running_worlds(directory: Path) -> list[dict[str, Any]]:
    """What the Worlds that run now wrote about themselves."""
    return [state for file in sorted(directory.glob(f"*{STATE_SUFFIX}")) if (state := read_state(file))]


def ordered(fixtures: Iterable[Fixture]) -> list[Fixture]:
    """Fixtures so that each comes after those it needs; names are unique and every need is there."""
    by_name: dict[str, Fixture] = {}
    for fixture in fixtures:
        if fixture.name in by_name:
            raise LabError(f"two fixtures are called {fixture.name!r}; a World holds each once")
        by_name[fixture.name] = fixture
    for fixture in by_name.values():
        for need in fixture.needs:
            if need not in by_name:
                raise LabError(f"fixture {fixture.name} needs {need!r}, which is not part of this World")
    try:
        order = TopologicalSorter({name: fixture.needs for name, fixture in by_name.items()}).static_order()
        return [by_name[name] for name in order]
    except CycleError as error:
        raise LabError(f"fixtures need each other in a circle: {' -> '.join(error.args[1])}") from error


async def _until_healthy(health: Health) -> None:
    while await health():  # noqa: ASYNC110 - a program outside cannot set an event
        await asyncio.sleep(ASK_EVERY_S)
