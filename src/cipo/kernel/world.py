"""What a department's ``world.py`` is given: a sample world to seed, populate and disturb.

The lab (``cipo.lab``) implements these shapes; departments lie below it and know only this page. Everything a world does to the
organisation goes through ``Api``: HTTP requests of a person with that person's own token. There is no other door, so a simulated
person can do exactly what a real one could, and the audit log shows who it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cipo.kernel.errors import CipoError

Json = dict[str, Any]


class RefusedByApi(CipoError):
    """The organisation said no to a person of the world; the person may go on with something else."""


@dataclass(frozen=True, slots=True)
class Person:
    """A simulated member of the organisation: a service account that may act as some units, marked as simulated."""

    name: str
    units: tuple[str, ...]
    description: str
    leads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """A natural failure of the world, its rate, and where the rate comes from; ``assumed`` when nobody measured it."""

    name: str
    rate: float
    per: str
    source: str
    assumed: bool


class Api(Protocol):
    """The organisation's HTTP API, as one person sees it."""

    async def find(self, kind: str, name: str) -> Json | None:
        """One object, or None."""

    async def list(self, kind: str, *, fields: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> list[Json]:
        """All objects of a kind that match the selectors."""

    async def ensure(self, kind: str, name: str, spec: Json, *, labels: Mapping[str, str] | None = None) -> bool:
        """Create the object unless it is there; whether it was created now."""

    async def act(self, kind: str, name: str, action: str, given: Json, *, key: str | None = None) -> Json:
        """Do an action; the answer holds the object and what the action returned. ``key`` makes a repetition harmless."""


class World(Protocol):
    """A sample world: its seed, its people, and a place to say how far the work is."""

    @property
    def seed(self) -> int:
        """The number all chance in this world derives from."""

    @property
    def directory(self) -> Path:
        """Where the world keeps what is true outside the organisation, e.g. where a machine really stands."""

    async def person(self, person: Person) -> Api:
        """The API with that person's token; the person is enrolled on first use."""

    def changes(self, person: Person, kind: str) -> AsyncIterator[Json]:
        """Every object of a kind as it is now, then each as it changes, as that person sees them; outlives restarts of the API."""

    def say(self, text: str) -> None:
        """Tell whoever waits how far the world is."""
