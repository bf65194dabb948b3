"""``cipo import``: bring catalogues in. The community device-type library becomes asset models, its files as they are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import MANAGER, Api, connect, query
from cipo.cli.errors import Failed, Usage
from cipo.cli.kinds import Kinds, discover
from cipo.cli.manifests import apply_one
from cipo.cli.output import Format, Output

imports = typer.Typer(no_args_is_help=True, help="Bring catalogues in.")
SHOWN = 20


@imports.callback()
def root() -> None:
    """Bring catalogues in."""


@imports.command("device-types")
def device_types(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A checkout of the device-type library, or any part of it.")],
    how: Output = Format.TABLE,
) -> None:
    """Read the community device-type library and apply its models; again changes nothing. Exit code 1 if a file was refused."""
    import asyncio  # noqa: PLC0415

    from cipo.facilities.warehouse.device_types import import_device_types  # noqa: PLC0415
    from cipo.kernel.errors import CipoError  # noqa: PLC0415

    if not directory.is_dir():
        raise Usage(f"{directory}: no such directory; give the library's checkout")
    try:
        with connect() as api, _counting("Importing") as progress:
            report = asyncio.run(import_device_types(directory, Catalogue(api), progress=progress))
    except CipoError as error:
        raise Failed(str(error)) from error
    if how is Format.TABLE:
        for sentence in [*(f"refused: {line}" for line in report.refused), *(f"warning: {line}" for line in report.warnings[:SHOWN])]:
            output.note(sentence)
        if len(report.warnings) > SHOWN:
            output.note(f"and {len(report.warnings) - SHOWN} more warnings; -o json lists all")
        output.say(f"{report.created} created, {report.configured} configured, {report.unchanged} unchanged, {len(report.refused)} refused")
    else:
        names = ("created", "configured", "unchanged", "warnings", "refused")
        output.dump({name: getattr(report, name) for name in names}, how)
    if report.refused:
        raise typer.Exit(1)


class Catalogue:
    """What an import writes to: this API, one object at a time."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._kinds: Kinds | None = None
        self._params = query(fieldManager=MANAGER, fieldValidation="Strict", force="true")

    async def apply(self, kind: str, obj: dict[str, Any]) -> str:
        """Create or change one object; created, configured or unchanged."""
        from anyio import to_thread  # noqa: PLC0415

        return await to_thread.run_sync(self._apply, kind, obj)

    def _apply(self, kind: str, obj: dict[str, Any]) -> str:
        self._kinds = self._kinds or discover(self._api)
        return apply_one(self._api, self._kinds.find(kind), obj, self._params)[1]


@contextmanager
def _counting(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that is told how many are done and how many there are."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=output.console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
