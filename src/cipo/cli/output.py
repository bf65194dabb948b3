"""What commands print: tables for people, JSON and YAML for programs. Everything from the server is made safe for a terminal first.

On a terminal a table is drawn by Rich, which respects NO_COLOR and the width; into a pipe go plain columns that ``awk`` can cut.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "met": "green",
    "missed": "bold red",
    "unknown": "dim",
    "ready": "green",
    "running": "green",
    "stopped": "dim",
    "failed": "bold red",
    "accepted": "green",
    "refused": "bold red",
    "allowed": "green",
}
MARKS = {"met": "●", "missed": "▲", "unknown": "○"}
GAP = "   "
YEAR_S = 365 * 86400
AGES = (  # below so many seconds: counted in units of so many, called so, and the rest in smaller ones, called so; as kubectl
    (120, 1, "s", 0, ""),
    (600, 60, "m", 1, "s"),
    (3 * 3600, 60, "m", 0, ""),
    (8 * 3600, 3600, "h", 60, "m"),
    (48 * 3600, 3600, "h", 0, ""),
    (2 * YEAR_S, 86400, "d", 0, ""),
)
PROGRESS_FROM = 50
EXACT = 2**53  # whole numbers up to here are themselves as a double


class Format(StrEnum):
    """What a list of things can be printed as."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class ObjectFormat(StrEnum):
    """What objects can be printed as."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


Output = Annotated[Format, typer.Option("--output", "-o", help="How to print it.")]
ObjectOutput = Annotated[ObjectFormat, typer.Option("--output", "-o", help="How to print it.")]


def console(*, stderr: bool = False) -> Console:
    """Rich's console on the stream as it is now."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def plain(value: Any) -> str:
    """A value as text for a terminal: control characters, which could move the cursor or hide text, become visible."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    if isinstance(value, list | tuple):
        return ",".join(plain(item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{plain(key)}={plain(item)}" for key, item in value.items())
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def plain_lines(text: str) -> str:
    """Text of several lines for a terminal."""
    return "\n".join(plain(line) for line in text.splitlines())


def say(text: str) -> None:
    """A line for people on standard output."""
    print(plain(text))


def note(text: str) -> None:
    """A line for people on standard error, so that it never mixes with data."""
    print(plain(text), file=sys.stderr)


def dump(value: Any, how: Format | ObjectFormat) -> None:
    """A value as JSON or YAML."""
    print(to_yaml(value) if how in (Format.YAML, ObjectFormat.YAML) else to_json(value), end="")


def to_json(value: Any) -> str:
    """JSON as people read it, with a line end."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def to_yaml(value: Any) -> str:
    """YAML in the order of the object, one document."""
    import yaml  # noqa: PLC0415

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str = "Nothing found.") -> None:
    """A table: drawn on a terminal, plain columns otherwise. ``empty`` is said when there are no rows."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not cells:
        note(empty)
        return
    if sys.stdout.isatty():
        _drawn(titles, cells)
    else:
        for line in columns([[title.upper() for title in titles], *cells]):
            print(line)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _drawn(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for title in titles:
        drawn.add_column(title.upper(), overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(f"{MARKS[cell]} {cell}" if cell in MARKS else cell, style=STYLES.get(cell.lower(), "")) for cell in row))
    Console(highlight=False).print(drawn)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error for long work on a terminal; silent otherwise. Gives the function that counts one."""
    if total < PROGRESS_FROM or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*parts, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def moment(text: str | None) -> datetime | None:
    """An RFC 3339 time, or None for what is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def age(text: str | None, now: datetime | None = None) -> str:
    """How long ago, as kubectl says it: 45s, 12m, 3h20m, 5d."""
    then = moment(text)
    if then is None:
        return plain(text)
    seconds = max(0, int(((now or datetime.now(UTC)) - then).total_seconds()))
    for below, size, unit, smaller, small in AGES:
        if seconds < below:
            rest = seconds % size // smaller if smaller else 0
            return f"{seconds // size}{unit}" + (f"{rest}{small}" if rest else "")
    return f"{seconds // YEAR_S}y"
