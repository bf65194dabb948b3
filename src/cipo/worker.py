"""The worker process: ``python -m cipo.worker``. Started and watched by the supervisor; several may run on one database."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

from cipo.kernel.engine.worker import Worker
from cipo.kernel.settings import Settings
from cipo.plane import Plane


async def work(settings: Settings) -> None:
    """Reconcile until told to stop."""
    plane = Plane.build(settings, role="cipo_worker", pool=6)
    await plane.start(feed=False)
    worker = Worker(plane.resources, lease_s=15.0 if settings.lab else 60.0)
    task = asyncio.create_task(worker.run(), name="worker")
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, task.cancel)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        await plane.stop()


def main() -> None:
    """Entry of the process."""
    asyncio.run(work(Settings.from_env()))


if __name__ == "__main__":
    main()
