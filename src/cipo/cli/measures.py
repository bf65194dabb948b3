"""``cipo kpi``: the organisation's promises as the facts have them, and what stands behind one number."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import connect
from cipo.cli.errors import Failed, Refused, Usage
from cipo.cli.kinds import NAME
from cipo.cli.objects import pages
from cipo.cli.output import Format, Output

kpi = typer.Typer(help="Promises and their measured state: met, missed or unknown.")
KPIS = "/apis/org.cipo/v1/kpis"
ORDER = {"missed": 0, "unknown": 1, "met": 2}
ROWS_SHOWN = 20
LINE = 110
Json = dict[str, Any]


@kpi.callback(invoke_without_command=True)
def show(
    ctx: typer.Context,
    how: Output = Format.TABLE,
    office: Annotated[str, typer.Option("--of", help="Only those of a department, squad or unit, such as 1A or 1A/A-2.")] = "",
    state: Annotated[str, typer.Option("--state", help="Only those that are met, missed or unknown.")] = "",
) -> None:
    """Show all promises with their state, value and how many facts they stand on."""
    if ctx.invoked_subcommand is not None:
        return
    with connect() as api:
        items = [item for page in pages(api, KPIS) for item in page["items"]]
    rows = [row(item) for item in items if _within(item, office)]
    rows = [found for found in rows if state in ("", found["state"])]
    if how is not Format.TABLE:
        output.dump(rows, how)
        return
    specs = {item["metadata"]["name"]: item["spec"] for item in items}
    lines = []
    for r in sorted(rows, key=lambda r: (ORDER.get(r["state"], 3), r["name"])):
        spec = specs[r["name"]]
        value = number(r["value"], spec["indicator"]["unit"])
        lines.append((r["name"], r["unit"], r["text"], r["state"], value, promised(spec), r["n"], r["reason"]))
    output.table(("name", "unit", "promise", "state", "value", "objective", "facts", "why"), lines, empty="No promises found.")


@kpi.command("explain")
def explain(name: Annotated[str, typer.Argument(metavar="NAME", help="Such as inventory-accuracy.")], how: Output = Format.TABLE) -> None:
    """Show what a number is made of: formula, query, and the facts behind it."""
    if NAME.fullmatch(name) is None:
        raise Failed(f"{name!r} is not the name of a promise; `cipo kpi` lists them")
    with connect() as api:
        try:
            answer = api.get(f"{KPIS}/{name}/explain")
        except Refused as refused:
            refused.todo = "`cipo kpi` lists the promises by name." if refused.code == 404 else refused.todo
            raise
    if how is Format.TABLE:
        spell(answer)
    else:
        output.dump(answer, how)


@kpi.command("scorecard")
def scorecard(
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="As it was published for a month; now without it.")] = "",
    office: Annotated[str, typer.Option("--of", help="Only of a department, such as 1B.")] = "",
    file: Annotated[
        Path | None, typer.Option("--filename", "-f", help="Write it as a picture instead: a name that ends in .pdf or .png.")
    ] = None,
    how: Output = Format.TABLE,
) -> None:
    """Show the scorecard, or write it as PDF or PNG."""
    query = {name: value for name, value in (("month", month), ("of", office)) if value}
    suffix = file.suffix.lower() if file else ".json"
    if suffix not in (".pdf", ".png", ".json") or (file and suffix == ".json"):
        raise Usage(f"{str(file)!r} is neither a .pdf nor a .png; name the file so that its end says which")
    with connect() as api:
        if file is not None:
            body = api.send("GET", f"/scorecard{suffix}", params=query).content
            file.write_bytes(body)
            print(f"{file}: {len(body):,} bytes")
            return
        answer = api.get("/scorecard.json", params=query)
    if how is not Format.TABLE:
        output.dump(answer, how)
        return
    rest = [f"{answer[word]} {word}" for word in ("missed", "unknown") if answer[word]]
    print(
        ", ".join([f"{answer['kept']} of {len(answer['kpis'])} promises kept", *rest]) + f", {answer['month'] or 'as of ' + answer['asOf']}"
    )
    lines = [
        (
            r["department"],
            r["text"],
            r["state"],
            _plain(r["shown"]),
            _plain(r["objective"]),
            r["n"],
            f"r{r['revision']}" if r["revision"] else "",
            _plain(r["restated"] or r["reason"]),
        )
        for r in answer["kpis"]
    ]
    output.table(("dept", "promise", "state", "figure", "objective", "facts", "revision", "why"), lines, empty="No promises found.")


def row(item: Json) -> Json:
    """A Kpi resource as one flat row."""
    spec, status = item["spec"], item.get("status") or {}
    return {
        "name": item["metadata"]["name"],
        "unit": spec["unit"],
        "text": spec["text"],
        "state": status.get("state", "unknown"),
        "value": status.get("value"),
        "objective": (spec.get("objective") or {}).get("text", ""),
        "n": status.get("n", 0),
        "reason": status.get("reason", ""),
    }


def number(value: float | None, unit: str) -> str:
    """A measured number with its unit of measure; shares as a percentage."""
    if value is None:
        return ""
    return f"{value * 100:.4g} %" if unit == "1" else f"{value:.4g} {unit}"


def promised(spec: Json) -> str:
    """The objective with its unit of measure, such as ``≥ 99.95 %``."""
    objective = spec["objective"]
    sign = objective.get("text", "").partition(" ")[0]
    return f"{sign} {number(objective.get('min', objective.get('max')), spec['indicator']['unit'])}"


def spell(answer: Json) -> None:
    """An explanation for people: words first, then tables, then the query."""
    width = max((len(key) for key, value in answer.items() if not isinstance(value, list | dict)), default=0)
    for key, value in answer.items():
        if key == "sql":
            print(f"\n{key}:")
            print(textwrap.fill(output.plain(value), LINE, initial_indent="    ", subsequent_indent="    ", break_long_words=False))
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            titles = [title for title in dict.fromkeys(title for item in value for title in item) if _tells(title, value, answer)]
            shown = value[:ROWS_SHOWN]
            print(f"\n{key}: {len(value)}" + (f", the first {ROWS_SHOWN}" if len(value) > ROWS_SHOWN else ""))
            output.table(titles, [[_flat(item.get(title)) for title in titles] for item in shown])
        elif isinstance(value, dict):
            print(f"\n{key}:")
            for inner, what in value.items():
                print(f"    {output.plain(inner)}: {_flat(what)}")
        else:
            text = _flat(value) or "none"
            print(
                textwrap.fill(
                    text, LINE, initial_indent=f"{key.ljust(width)}  ", subsequent_indent=" " * (width + 2), break_long_words=False
                )
            )


def _tells(title: str, rows: list[Json], answer: Json) -> bool:
    """Whether a column says something: not a weight that is always 1, a record that was made at once, the unit named above."""
    match title:
        case "weight":
            return any(row.get(title) != 1 for row in rows)
        case "recordedAt":
            return any(row.get(title) != row.get("at") for row in rows)
        case "unit":
            return any(row.get(title) != answer.get("unit") for row in rows)
        case _:
            return True


def _flat(value: Any) -> str:
    if isinstance(value, dict) and {"gk", "name"} <= value.keys():
        return output.plain(f"{str(value['gk']).split('.')[0].lower()}/{value['name']}")
    return output.plain(value)


def _plain(text: str) -> str:
    """The thin spaces of pages as plain ones."""
    return text.replace("\u202f", " ").replace("\u2009", " ")


def _within(item: Json, office: str) -> bool:
    spec = item["spec"]
    return not office or office in (spec["unit"], spec["squad"], spec["unit"].partition("/")[0], spec["unit"].partition("/")[2])
