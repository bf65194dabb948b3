"""``cipo lab``: start and stop fixtures, seed the sample organisation, play scenarios, see what it all costs.

The organisation's API is ``CIPO_SERVER`` or the plane of this home; the administrator's token is ``--token-file``, ``CIPO_TOKEN``, or the
file that the supervisor left for the lab. Commands that only concern fixtures need neither.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console
from rich.table import Table

from cipo.kernel.errors import CipoError
from cipo.kernel.settings import Settings
from cipo.lab import tramline
from cipo.lab.__main__ import leaves
from cipo.lab.catalogue import CATALOGUE, fixtures
from cipo.lab.client import HttpApi
from cipo.lab.errors import LabError
from cipo.lab.people import ADMIN_TOKEN, read_token
from cipo.lab.proc import family, started_at
from cipo.lab.scenario import Runner, read_scenario
from cipo.lab.stage import Stage
from cipo.lab.world import World, running_worlds
from cipo.record import as_running, running

STOP_S = 15.0
MIB = 1 << 20

app = typer.Typer(no_args_is_help=True, help="The sample world: what it does, how fast, and its scenarios.", pretty_exceptions_enable=False)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

TokenFile = Annotated[Path | None, typer.Option("--token-file", help="File with the token of an administrator.")]


@app.command()
def up(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Fixtures to start: {', '.join(sorted(CATALOGUE))}; all when none is named.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of injected chance.")] = 1,
) -> None:
    """Start fixtures and keep them until Ctrl-C or `cipo lab down`."""
    with told():
        home = Settings.from_env().home / "lab"
        anyio.run(_up, home, names or sorted(CATALOGUE), seed)


@app.command()
def down() -> None:
    """End every world of this home. The supervisor of `cipo up` starts its own again; end that with `cipo down`."""
    with told():
        for state in running_worlds(Settings.from_env().home / "lab"):
            _end(state["pid"], state["started"])
            out.print(f"ended {state['label']} (pid {state['pid']})")


@app.command()
def status() -> None:
    """Which worlds run, with their fixtures and addresses."""
    with told():
        worlds = running_worlds(Settings.from_env().home / "lab")
        table = _table("WORLD", "FIXTURE", "PID", "ADDRESS", "SEED")
        for state in worlds:
            for fixture in state["fixtures"] or [{"name": "(people only)", "pid": state["pid"], "connections": []}]:
                addresses = " ".join(connection["url"] for connection in fixture["connections"])
                table.add_row(state["label"], fixture["name"], str(fixture["pid"] or ""), addresses, str(state["seed"]))
        out.print(table if worlds else "no world runs here; start one with `cipo lab up`, or the organisation with `cipo up`")


@app.command()
def scenario(
    file: Annotated[Path, typer.Argument(help="YAML file of steps.")],
    token_file: TokenFile = None,
    seed: Annotated[int, typer.Option(help="Seed of injected chance.")] = 1,
) -> None:
    """Play a scenario; exit 0 if every step held."""
    with told():
        found, here = read_scenario(file), Settings.from_env()
        needs_api = any(
            step.apply or (step.do and step.do.action) or any(look and look.kind for look in (step.wait, step.expect))
            for step in found.steps
        )

        async def play() -> None:
            async with World(here.home / "lab", fixtures(found.fixtures), seed=seed, label=f"scenario-{os.getpid()}") as world:
                if not needs_api:
                    await Runner(world, None, say=out.print).play(found)
                    return
                url, ca = _address(here)
                async with HttpApi.open(url, _token(here, token_file), ca=ca) as api:
                    await Runner(world, api, say=out.print).play(found)

        anyio.run(play)
        out.print(f"{found.name}: all {len(found.steps)} steps held")


@app.command()
def seed(
    token_file: TokenFile = None,
    number: Annotated[int | None, typer.Option("--seed", help="Seed of the world; chosen once.")] = None,
) -> None:
    """Seed the sample organisation, or finish seeding it. Running it again changes nothing."""
    with told():
        here = Settings.from_env()

        async def play() -> None:
            url, ca = _address(here)
            async with Stage.open(
                here.home / "lab" / here.world, url, _token(here, token_file), seed=number, ca=ca, say=out.print
            ) as stage:
                await tramline.seed(stage)

        anyio.run(play)


@app.command()
def top(
    seconds: Annotated[float, typer.Option(help="How long to measure the CPU.", min=0.1, max=60)] = 1.0,
) -> None:
    """Memory and CPU of the plane and of every world of this home, process by process."""
    with told():
        here = Settings.from_env()
        roots = [state["pid"] for state in running_worlds(here.home / "lab")]
        plane = running(here)
        roots += [plane.pid] if plane else []
        before = {used.pid: used for root in roots for used in family(root)}
        time.sleep(seconds)
        now = {used.pid: used for root in roots for used in family(root)}
        table = _table("PID", "MIB", "CPU %", "PROCESS")
        for pid, used in sorted(now.items()):
            cpu = (used.cpu_s - before[pid].cpu_s) / seconds * 100 if pid in before else 0.0
            table.add_row(str(pid), f"{used.rss_bytes / MIB:.0f}", f"{cpu:.0f}", used.name)
        table.add_row(
            "", f"{sum(used.rss_bytes for used in now.values()) / MIB:.0f}", "", "together (memory that is shared counts in each)"
        )
        out.print(table if now else "nothing runs here")


@contextmanager
def told() -> Iterator[None]:
    """A failure is one sentence on standard error and exit code 1."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (CipoError, BaseExceptionGroup) as error:
        found = leaves(error)
        if all(isinstance(leaf, KeyboardInterrupt) for leaf in found):
            raise typer.Exit(130) from None
        if not all(isinstance(leaf, CipoError) for leaf in found):
            raise
        for leaf in found:
            err.print(f"error: {leaf}", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


async def _up(home: Path, names: list[str], number: int) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with World(home, fixtures(names), seed=number) as world:
            for connection in world.connections:
                out.print(f"{connection.name:16} {connection.type:12} {connection.url}")
            out.print(f"logs in {home}; Ctrl-C ends it")
            async for _ in signals:
                return


def _end(pid: int, started: int) -> None:
    """SIGTERM, then wait until that very process is gone."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while started_at(pid) == started:
        if time.monotonic() > deadline:
            raise LabError(f"process {pid} does not end; look at it with: ps -fp {pid}")
        time.sleep(0.05)


def _address(here: Settings) -> tuple[str, str | None]:
    server = os.environ.get("CIPO_SERVER", "").rstrip("/")
    if server:
        return server, os.environ.get("CIPO_CA") or None
    here = as_running(here)
    return here.url, None if here.loopback else str(here.tls_dir / "ca.pem")


def _token(here: Settings, file: Path | None) -> str:
    token = os.environ.get("CIPO_TOKEN", "")
    return token if token and file is None else read_token(file or here.home / "lab" / ADMIN_TOKEN)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right" if title in ("PID", "MIB", "CPU %") else "left")
    return table
