"""What ``cipo lab up`` and scenarios choose from: fixtures by name, and the departments' worlds. Listed here; nothing is scanned."""

from __future__ import annotations

from collections.abc import Iterable

from cipo.lab.errors import LabError
from cipo.lab.fixture import Fixture
from cipo.lab.fixtures.clock import ClockFixture
from cipo.lab.fixtures.http_echo import HttpEcho
from cipo.lab.fixtures.webhook_sink import WebhookSink

CATALOGUE: dict[str, type[Fixture]] = {fixture.name: fixture for fixture in (ClockFixture, HttpEcho, WebhookSink)}


def fixtures(names: Iterable[str]) -> list[Fixture]:
    """Fresh fixtures by name, together with those they need."""
    chosen: dict[str, Fixture] = {}
    todo = list(names)
    while todo:
        name = todo.pop(0)
        if name not in CATALOGUE:
            raise LabError(f"there is no fixture {name!r}; choose from {', '.join(sorted(CATALOGUE))}")
        if name not in chosen:
            chosen[name] = CATALOGUE[name]()
            todo += chosen[name].needs
    return list(chosen.values())
