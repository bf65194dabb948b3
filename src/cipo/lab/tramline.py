"""Tramline, the sample organisation: each department's world in order, seeded once, then kept alive.

``python -m cipo.lab`` and ``cipo lab seed`` call this. A department takes part by a ``world.py`` with four functions (``seed``,
``sources``, ``actors``, ``faults``); it is listed in ``WORLDS`` by name.
"""

from __future__ import annotations

import json
import time
from types import ModuleType

import anyio

import cipo.facilities.world as facilities
from cipo.lab.stage import Stage

WORLDS: tuple[ModuleType, ...] = (facilities,)
DONE_FILE = "seeded.json"


async def seed(stage: Stage) -> None:
    """Bring the organisation to its first day. Can be interrupted anywhere and run again: what is done is found done."""
    began = time.monotonic()
    stage.say(f"Tramline, a sample organisation, seed {stage.seed}: everything below is done by simulated people through the API")
    for world in WORLDS:
        for fault in world.faults(stage):
            stage.say(f"  fault {fault.name}: {fault.rate:g} per {fault.per} ({'assumed: ' if fault.assumed else ''}{fault.source})")
        await world.seed(stage)
    seconds = time.monotonic() - began
    done = {"seed": stage.seed, "organisation": await stage.organisation(), "at": time.time(), "seconds": round(seconds, 1)}
    (stage.directory / DONE_FILE).write_text(json.dumps(done))
    stage.say(f"Tramline is ready after {seconds:.1f} s")


async def seeded(stage: Stage) -> bool:
    """Whether a seeding of this world ran to its end, in this very database."""
    try:
        done = json.loads((stage.directory / DONE_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return False
    return bool(done["organisation"] == await stage.organisation())


def sources() -> tuple[str, ...]:
    """The fixtures this world needs."""
    return tuple(name for world in WORLDS for name in world.sources())


async def live(stage: Stage) -> None:
    """Keep everybody at work until cancelled."""
    async with anyio.create_task_group() as group:
        for world in WORLDS:
            group.start_soon(world.actors, stage)
