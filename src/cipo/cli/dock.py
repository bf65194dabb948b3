"""``cipo receive``: the dock from a terminal. A keyboard-wedge scanner types codes into standard input; each line gets its verdict.

A scan carries a uuid made here, so a broken connection never receives a thing twice. A scanned bin code is where the next things go.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.act import act
from cipo.cli.connection import Api, connect
from cipo.cli.errors import Refused
from cipo.cli.kinds import KindRow, discover
from cipo.cli.output import Format

SHIPMENT = "shipments.facilities.cipo"
LINE_MAX = 4096
GOOD, NEUTRAL = ("ok",), ("place", "package", "incomplete", "ambiguous")
Json = dict[str, Any]


def receive(
    shipment: Annotated[str, typer.Argument(metavar="SHIPMENT", help="The delivery.")],
    scan: Annotated[Path, typer.Option("--scan", help="Where codes come from, one a line; - for the scanner on standard input.")] = Path(
        "-"
    ),
    bin: Annotated[str, typer.Option("--bin", help="Where things are put down, until a bin code is scanned.")] = "",
    complete: Annotated[bool, typer.Option("--complete", help="Close the delivery after the last scan.")] = False,
    how: Annotated[Format, typer.Option("--output", "-o", help="Verdicts for people, or a JSON object a line.")] = Format.TABLE,
) -> None:
    """Receive a delivery by scanning its pieces; prints a verdict for each scan."""
    refused = 0
    with connect() as api:
        kind = discover(api).find(SHIPMENT)
        _arrive(api, kind, shipment)
        counts: dict[str, int] = {}
        for payload in _codes(scan):
            try:
                verdict = _scan(api, kind, shipment, payload, bin)
            except Refused as error:
                refused += 1
                for line in error.lines():
                    output.note(line)
                continue
            bin = verdict.get("bin") or bin
            counts[verdict["verdict"]] = counts.get(verdict["verdict"], 0) + 1
            _say(payload, verdict, how)
        if complete:
            act(api, kind, shipment, "complete", {})
        after = api.get(kind.of(shipment))["status"]
    if how is Format.TABLE:
        told = ", ".join(f"{count} {word}" for word, count in counts.items()) or "no scans"
        output.note(f"{shipment}: {told}; received {after.get('accepted', 0)} of {after.get('expected', 0)}, {after.get('phase', '')}")
    if refused:
        raise typer.Exit(1)


def _arrive(api: Api, kind: KindRow, shipment: str) -> None:
    """The first scan is made at the dock, so the delivery has arrived."""
    status = api.get(kind.of(shipment)).get("status") or {}
    if status.get("phase", "Announced") == "Announced":
        act(api, kind, shipment, "arrive", {})
        output.note(f"{shipment} has arrived")


def _scan(api: Api, kind: KindRow, shipment: str, payload: str, bin: str) -> Json:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    given = {"payload": payload, "uuid": str(uuid.uuid4()), "clientAt": now} | ({"bin": bin} if bin else {})
    answer = act(api, kind, shipment, "scan", given)
    verdict: Json = answer.get("output") or {}
    return verdict


def _codes(source: Path) -> Iterator[str]:
    """Codes, one a line. A scanner may send control characters inside one; only the line end is cut off."""
    opened = sys.stdin if str(source) == "-" else source.open(encoding="utf-8", errors="surrogateescape", newline="\n")
    with opened as lines:
        while line := lines.readline(LINE_MAX + 2):
            code = line.rstrip("\r\n")
            if code.strip():
                yield code


def _say(payload: str, verdict: Json, how: Format) -> None:
    if how is not Format.TABLE:
        print(json.dumps({"payload": payload} | verdict, ensure_ascii=False), flush=True)
        return
    word = str(verdict["verdict"])
    mark = "ok " if word in GOOD else "-> " if word in NEUTRAL else "NO "
    thing = " ".join(filter(None, (verdict.get("tag"), verdict.get("serial"))))
    print(f"{mark}{word:<14} {output.plain(thing):<32} {output.plain(verdict.get('message', ''))}", flush=True)
    for choice in verdict.get("choices") or []:
        print(
            f"     {output.plain(choice.get('what', '')):<12} {output.plain(choice.get('value', '')):<32} {output.plain(choice.get('why', ''))}",
            flush=True,
        )
