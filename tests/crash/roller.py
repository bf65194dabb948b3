"""A process that rolls for ever, to be killed: ``python -m tests.crash.roller DSN``."""

from __future__ import annotations

import asyncio
import sys

from cipo.kernel.slo import roll
from cipo.kernel.store.db import Database


async def main(dsn: str) -> None:
    async with Database(dsn, max_size=2, name="roller") as db:
        while True:
            done = await roll.roll(db, batch=200)
            print(done, flush=True)
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
