"""The command line: ``cipo up``, ``cipo get``, ``cipo kpi`` … A client of the HTTP API like any other; it holds no rules of its own.

Modules import only the standard library and Typer at the top, so that a short command starts in a tenth of a second; what a command
needs it imports when it runs.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The ``cipo`` program."""
    from cipo.cli.app import run  # noqa: PLC0415 - Typer is loaded only when the program runs

    sys.exit(run(sys.argv[1:]))
