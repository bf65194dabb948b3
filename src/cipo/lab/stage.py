"""What a department's ``world.py`` sees of the lab: people, a seed, a directory, a voice. Implements ``cipo.kernel.world.World``.

One stage is one sample organisation (Tramline) in one ``CIPO_HOME``. Its seed is chosen once and kept beside it, so that a world that
was interrupted goes on as the same world.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import anyio

from cipo.kernel.world import Json, Person
from cipo.lab.client import HttpApi
from cipo.lab.errors import ApiAway, ApiRefused, LabError
from cipo.lab.people import People

log = logging.getLogger(__name__)

SEED = 7
WATCH_S = 1800.0
AGAIN_S = 2.0


class Stage:
    """A sample world in the making and afterwards."""

    def __init__(self, directory: Path, seed: int, people: People, say: Callable[[str], None]) -> None:
        self._directory = directory
        self._seed = seed
        self._people = people
        self._say = say

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        directory: Path,
        url: str,
        admin_token: str,
        *,
        seed: int | None = None,
        ca: str | None = None,
        say: Callable[[str], None] = print,
    ) -> AsyncIterator[Self]:
        """Connect to the organisation at ``url`` and take up the world kept in ``directory``, or begin one."""
        chosen = settle_seed(directory / "seed", seed)
        async with HttpApi.open(url, admin_token, ca=ca) as admin:
            await admin.ready()
            yield cls(directory, chosen, People(directory / "people.json", admin), say)

    @property
    def seed(self) -> int:
        """The number all chance in this world derives from."""
        return self._seed

    @property
    def directory(self) -> Path:
        """Where the world keeps what is true outside the organisation."""
        return self._directory

    def say(self, text: str) -> None:
        """Tell whoever waits how far the world is."""
        self._say(text)

    async def organisation(self) -> str:
        """Which organisation this is: the uid of its first department, another in every database."""
        return min(str(department["metadata"]["uid"]) for department in await self._people.admin.list("Department.org.cipo"))

    async def person(self, person: Person) -> HttpApi:
        """The API with that person's token."""
        return await self._people.api(person)

    async def changes(self, person: Person, kind: str) -> AsyncIterator[Json]:
        """List, then watch from there; begin again when the API was away or the cursor is too old. Waits on the server, never polls."""
        api = await self.person(person)
        seen: dict[str, str] = {}
        while True:
            try:
                objects, since = await api.listed(kind)
                for obj in objects:
                    name, version = obj["metadata"]["name"], obj["metadata"]["resourceVersion"]
                    if seen.get(name) != version:
                        seen[name] = version
                        yield obj
                async for change, obj in api.watch(kind, since=since, timeout_s=WATCH_S):
                    if change == "ERROR":
                        break
                    if change in ("ADDED", "MODIFIED") and seen.get(obj["metadata"]["name"]) != obj["metadata"]["resourceVersion"]:
                        seen[obj["metadata"]["name"]] = obj["metadata"]["resourceVersion"]
                        yield obj
            except (ApiAway, ApiRefused) as error:
                if isinstance(error, ApiRefused) and error.code != 410:
                    raise
                log.info("watch of %s begins again: %s", kind, error)
            await anyio.sleep(AGAIN_S)


def settle_seed(file: Path, wished: int | None) -> int:
    """The seed of the world kept here; chosen once, a different wish later is refused."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        kept = int(file.read_text())
        if wished is not None and wished != kept:
            raise LabError(f"--seed {wished}: the world in {file.parent} began with seed {kept}; use that, or another CIPO_HOME")
        return kept
    seed = SEED if wished is None else wished
    file.write_text(f"{seed}\n")
    return seed
