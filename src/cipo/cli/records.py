"""``cipo search`` and ``cipo events``: find a thing by anything that is written on it, and read what happened."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import connect, query
from cipo.cli.errors import Usage
from cipo.cli.kinds import discover, split
from cipo.cli.output import Format, Output

Json = dict[str, Any]
TEXT_MAX, LIMIT_MAX = 200, 1000


def search(
    words: Annotated[list[str], typer.Argument(metavar="TEXT", help="The start of a serial number, tag, address or name.")],
    how: Output = Format.TABLE,
) -> None:
    """Find things by serial number, tag, address or name."""
    text = " ".join(words)
    if not 1 <= len(text.strip()) <= TEXT_MAX:
        raise Usage(f"give 1 to {TEXT_MAX} characters to search for")
    with connect() as api:
        answer = api.get("/search.json", params={"q": text})
    hits: list[Json] = answer.get("hits") or answer.get("items") or []
    if how is not Format.TABLE:
        output.dump(hits, how)
        return
    rows = [
        (f"{str(hit.get('gk', '')).partition('.')[0].lower()}/{hit.get('name', '')}", hit.get("what", ""), hit.get("value", ""))
        for hit in hits
    ]
    output.table(("found", "by", "value"), rows, empty=f"Nothing found for {text!r}.")


def events(
    what: Annotated[str, typer.Argument(metavar="[KIND/NAME]", help="Only what happened to this object.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="How many, newest first.")] = 50,
    how: Output = Format.TABLE,
) -> None:
    """Show what happened: who did what to which object, as which unit."""
    selector = ""
    with connect() as api:
        if what:
            word, name = split(what)
            selector = f"involvedObject.kind={discover(api).find(word).kind},involvedObject.name={name}"
        items: list[Json] = api.get("/api/v1/events", params=query(fieldSelector=selector, limit=limit))["items"]
    if how is not Format.TABLE:
        output.dump(items, how)
        return
    rows = []
    for item in items:
        about = item.get("involvedObject") or {}
        source = item.get("source") or {}
        when = item.get("eventTime") or item.get("lastTimestamp") or (item.get("metadata") or {}).get("creationTimestamp")
        who = item.get("reportingComponent") or source.get("component") or ""
        thing = f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"
        rows.append((output.age(when), item.get("reason", ""), thing, who, item.get("message", "")))
    output.table(("age", "what", "object", "by", "message"), rows, empty="Nothing happened yet.")
