"""The command tree and its error boundary: which command is where, what ``--as-unit`` means, and how a failure ends the program."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cipo.cli import (
    act,
    control,
    dock,
    errors,
    explain,
    importing,
    manifests,
    measures,
    objects,
    organisation,
    output,
    people,
    records,
    rules,
    slo,
)
from cipo.cli.connection import acting_as

AS_UNIT = "--as-unit"
RUN, OBJECTS, ORGANISATION, ACCESS = "Running cipo", "Objects", "The organisation", "Access"


class Deferred(TyperGroup):
    """The lab's commands, loaded when one of them is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the lab's commands."""
        found: list[str] = self._loaded().list_commands(ctx)
        return found

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of the lab's commands."""
        return self._loaded().get_command(ctx, cmd_name)

    def _loaded(self) -> Any:
        from cipo.lab.cli import app as lab  # noqa: PLC0415

        return typer.main.get_group(lab)


app = typer.Typer(
    name="cipo",
    help="An infrastructure organisation as running software.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from cipo import __version__  # noqa: PLC0415

        print(f"cipo {__version__}")
        raise typer.Exit


@app.callback()
def root(
    unit: Annotated[
        str | None,
        typer.Option(AS_UNIT, metavar="UNIT", help="Act as this unit, such as 1A/U-W2; may stand anywhere.", envvar="CIPO_AS_UNIT"),
    ] = None,
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")] = False,
) -> None:
    """Global options."""
    acting_as.set(unit)


def _commands() -> None:
    for panel, commands in {
        RUN: (control.up, control.down, control.status, organisation.check),
        OBJECTS: (
            objects.get, objects.watch, manifests.apply, manifests.edit, objects.delete, act.do, explain.explain, objects.kinds,
            records.search, records.events, dock.receive,
        ),
        ACCESS: (control.login_link, control.kubeconfig),
    }.items():  # fmt: skip
        for command in commands:
            app.command(command.__name__.replace("_", "-"), rich_help_panel=panel)(command)
    app.add_typer(organisation.org, name="org", rich_help_panel=ORGANISATION)
    app.add_typer(measures.kpi, name="kpi", rich_help_panel=ORGANISATION)
    app.add_typer(slo.slo, name="slo", rich_help_panel=ORGANISATION)
    slo.slo.command()(rules.rules)
    slo.slo.command()(rules.dashboard)
    app.add_typer(importing.imports, name="import", rich_help_panel=OBJECTS)
    app.add_typer(people.user, name="user", rich_help_panel=ACCESS)
    app.add_typer(people.token, name="token", rich_help_panel=ACCESS)
    lab = typer.Typer(cls=Deferred, help="The sample world: what it does, how fast, and its scenarios.", no_args_is_help=True)
    lab.callback()(lambda: None)
    app.add_typer(lab, name="lab", rich_help_panel=RUN)


_commands()


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code: 0 done, 1 refused, 2 misused, 3 nobody answers."""
    try:
        app(args=_global_first(list(argv)), prog_name="cipo")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(bool(done.code))
    except errors.CliError as error:
        _print(error)
        return error.exit_code
    return 0


def _global_first(argv: list[str]) -> list[str]:
    """``--as-unit`` may stand after the command, as kubectl's global flags may; the parser wants it before."""
    end = argv.index("--") if "--" in argv else len(argv)
    for index, word in enumerate(argv[:end]):
        if word == AS_UNIT and index + 1 < end:
            return [*argv[index : index + 2], *argv[:index], *argv[index + 2 :]]
        if word.startswith(f"{AS_UNIT}="):
            return [word, *argv[:index], *argv[index + 1 :]]
    return argv


def _print(error: errors.CliError) -> None:
    first, *rest = error.lines()
    if sys.stderr.isatty():
        from rich.text import Text  # noqa: PLC0415

        output.console(stderr=True).print(Text(output.plain_lines(first), style="bold red"))
    else:
        print(output.plain_lines(first), file=sys.stderr)
    for line in rest:
        print(output.plain_lines(line), file=sys.stderr)
