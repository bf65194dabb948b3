"""``cipo do``: a verb of a kind, such as ``cipo do asset/a1 putaway bin=ams1-a-01``. The action's schema says how to read each value."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import Api, connect, query
from cipo.cli.errors import Failed, Usage
from cipo.cli.explain import Book, book
from cipo.cli.kinds import KindRow, discover, split
from cipo.cli.manifests import content, value_of
from cipo.cli.output import Format

NUMBERS = {"integer": int, "number": float}
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")


def do(
    what: Annotated[str, typer.Argument(metavar="KIND/NAME", help="Which object.")],
    action: Annotated[str, typer.Argument(metavar="ACTION", help="What to do with it; `cipo explain KIND` lists its actions.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]…", help="The input; a.b=v for a field inside, a:=JSON as it is.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--filename", "-f", help="The input from a file, or - for standard input.")] = None,
    how: Annotated[Format | None, typer.Option("--output", "-o", help="Print the whole answer.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the server, change nothing.")] = False,
) -> None:
    """Do something with an object."""
    kind_word, name = split(what)
    with connect() as api:
        kind = discover(api).find(kind_word)
        if action not in kind.actions:
            raise Failed(_no_action(kind, action))
        given = value_of(content(file), str(file)) if file else {}
        if not isinstance(given, dict):
            raise Usage(f"{file}: holds {type(given).__name__}, not an object; write the action's fields")
        if values:
            pages = book(api, kind)
            given = with_values(given, values, pages, pages.action(kind, action))
        answer = act(api, kind, name, action, given, dry_run=dry_run)
    if how is not None:
        output.dump(answer, how)
        return
    output.say(f"{kind.label}/{name} {action} done{' (dry run)' if dry_run else ''}")
    for field, value in (answer.get("output") or {}).items():
        output.say(f"  {field}: {output.plain(value)}")


def act(api: Api, kind: KindRow, name: str, action: str, given: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
    """Run an action; safe to send again when the connection breaks, because the server knows the key."""
    params = query(dryRun="All" if dry_run else "")
    return api.json("POST", f"{kind.of(name)}/{action}", json=given, params=params, headers={"Idempotency-Key": uuid.uuid4().hex})


def with_values(given: dict[str, Any], values: Iterable[str], pages: Book, schema: dict[str, Any] | None) -> dict[str, Any]:
    """The input with ``field=value`` pairs put in, each read as its declared type."""
    result = dict(given)
    for pair in values:
        path, equals, text = pair.partition("=")
        raw = path.endswith(":")
        path = path.removesuffix(":")
        if not (equals and path):
            raise Usage(f"{pair!r} is not field=value")
        found = schema
        parts = path.split(".")
        for part in parts:
            found = pages.fields(found).get(part) if found else None
        _put(result, parts, value_of(text.encode(), pair) if raw else typed(text, pages, found, pair), pair)
    return result


def typed(text: str, pages: Book, schema: dict[str, Any] | None, pair: str) -> Any:
    """A word of the command line as the value its field wants; an unknown field keeps the word, and the server says what it thinks."""
    if schema is None:
        return text
    schema = pages.follow(schema)
    kind = schema.get("type")
    if "items" in schema:
        return [typed(part, pages, schema["items"], pair) for part in text.split(",")] if text else []
    if kind in NUMBERS:
        try:
            return NUMBERS[kind](text)
        except ValueError as error:
            raise Usage(f"{pair!r}: {text!r} is not a {'whole number' if kind == 'integer' else 'number'}") from error
    if kind == "boolean":
        if text.lower() in TRUE + FALSE:
            return text.lower() in TRUE
        raise Usage(f"{pair!r}: write true or false")
    if kind == "object" or schema.get("properties"):
        return value_of(text.encode(), pair)
    return text


def _put(into: dict[str, Any], path: list[str], value: Any, pair: str) -> None:
    for part in path[:-1]:
        into[part] = dict(into.get(part) or {}) if isinstance(into.get(part) or {}, dict) else None
        if into[part] is None:
            raise Usage(f"{pair!r}: {part} holds a value already, not fields")
        into = into[part]
    into[path[-1]] = value


def _no_action(kind: KindRow, action: str) -> str:
    if not kind.actions:
        return f"{kind.kind} has no actions"
    near = get_close_matches(action, kind.actions, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{kind.kind} has no action {action!r}; {hint}Its actions are {', '.join(kind.actions)}"
