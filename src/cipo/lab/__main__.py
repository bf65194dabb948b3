"""``python -m cipo.lab``: the lab's process beside the API and the worker. The supervisor starts it when ``CIPO_LAB`` is on.

It waits for the API, seeds the sample organisation on the first start, and then stays: its people sleep on watches and answer what the
organisation asks of them. It needs the token of an administrator in a file (``--token-file``, else ``$CIPO_HOME/lab/admin.token``) to
enrol them, and ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from functools import partial
from pathlib import Path

import anyio

from cipo.kernel.errors import CipoError
from cipo.kernel.settings import Settings
from cipo.lab import tramline
from cipo.lab.catalogue import fixtures
from cipo.lab.people import ADMIN_TOKEN, read_token
from cipo.lab.stage import Stage
from cipo.lab.world import World


async def run(settings: Settings, token_file: Path | None) -> None:
    """Seed once, then live until cancelled."""
    home = settings.home / "lab"
    token = read_token(token_file or home / ADMIN_TOKEN)
    ca = None if settings.loopback else str(settings.tls_dir / "ca.pem")
    async with Stage.open(home / settings.world, settings.url, token, ca=ca, say=partial(print, flush=True)) as stage:
        async with World(home, fixtures(tramline.sources()), seed=stage.seed, label=settings.world):
            if not await tramline.seeded(stage):
                await tramline.seed(stage)
            await tramline.live(stage)


async def until_told(settings: Settings, token_file: Path | None) -> None:
    """Run until SIGTERM or SIGINT."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as group:

            async def work() -> None:
                await run(settings, token_file)
                group.cancel_scope.cancel()

            group.start_soon(work)
            async for _ in signals:
                group.cancel_scope.cancel()
                break


def main() -> int:
    """The process; 0 when told to end, 1 with one sentence when it cannot work."""
    parser = argparse.ArgumentParser(prog="python -m cipo.lab", description=__doc__)
    parser.add_argument("--token-file", type=Path, help="file with the token of an administrator")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        anyio.run(until_told, Settings.from_env(), options.token_file)
    except (CipoError, BaseExceptionGroup) as error:
        found = leaves(error)
        if not all(isinstance(leaf, CipoError) for leaf in found):
            raise
        for leaf in found:
            print(f"lab: {leaf}", file=sys.stderr, flush=True)
        return 1
    return 0


def leaves(error: BaseException) -> list[BaseException]:
    """The errors inside groups of errors."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


if __name__ == "__main__":
    sys.exit(main())
