"""``cipo slo``: promises to users and their error budgets; OpenSLO in and out; tests of an SLO without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import MANAGER, Api, connect, query
from cipo.cli.errors import CliError, Failed, Refused, Usage
from cipo.cli.manifests import content
from cipo.cli.measures import number
from cipo.cli.objects import pages
from cipo.cli.output import Format, Output

if TYPE_CHECKING:
    from cipo.kernel.slo.document import Document

slo = typer.Typer(help="Promises to users, and what is left of their error budgets.", no_args_is_help=True)
SLOS = "/apis/reliability.cipo/v1/servicelevelobjectives"
VERSION, KIND = "reliability.cipo/v1", "ServiceLevelObjective"
ORDER = {"missed": 0, "unknown": 1, "met": 2}
SIGNS = {"gte": "≥", "gt": ">", "lte": "≤", "lt": "<"}
Json = dict[str, Any]
Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", help="Which; all without names.")]


@slo.command("list")
def list_(
    how: Output = Format.TABLE,
    state: Annotated[str, typer.Option("--state", help="Only those that are met, missed or unknown.")] = "",
    labels: Annotated[str, typer.Option("--selector", "-l", help="Labels to match, such as team=web.")] = "",
) -> None:
    """Show all SLOs with their state, value and what is left of the budget."""
    with connect() as api:
        asked = query(labelSelector=labels, fieldSelector=f"status.state={state}" if state else "")
        items = [item for page in pages(api, SLOS, asked) for item in page["items"]]
    rows = [row(item) for item in items]
    if how is not Format.TABLE:
        output.dump(rows, how)
        return
    titles = ("name", "service", "state", "value", "objective", "budget", "left", "alerts", "why")
    lines = [
        (one["name"], one["service"], one["state"], number(one["value"], one["unit"]), one["objective"], one["budget"],
         _percent(one["remaining"]), one["alerts"], one["reason"])
        for one in sorted(rows, key=lambda one: (ORDER.get(one["state"], 3), one["name"]))
    ]  # fmt: skip
    output.table(titles, lines, empty="No SLOs found.")


@slo.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="Such as kube-api.")], how: Output = Format.TABLE) -> None:
    """Show one SLO: each objective, its budget, how fast it burns, and the periods that have ended."""
    with connect() as api:
        item = _get(api, name)
    if how is not Format.TABLE:
        output.dump(item, how)
        return
    spec, status = item["spec"], item.get("status") or {}
    facts = _facts(item)
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        output.say(f"{key.ljust(width)}  {value}")
    unit = spec["indicator"].get("unit", "1")
    for one in status.get("objectives") or []:
        print()
        output.table(*_objective(one, unit))
        _burn(one.get("budget") or {})
    if periods := status.get("periods"):
        print("\nperiods:")
        titles = ("objective", "start", "end", "state", "value", "revision")
        output.table(titles, [[*(one.get(key) for key in titles[:4]), number(one.get("value"), unit), one["revision"]] for one in periods])


@slo.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE|-", help="OpenSLO v1, one or more documents; - for standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, change nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Take fields over that another manager holds.")] = False,
) -> None:
    """Make SLOs of OpenSLO documents: all of them, or none."""
    from cipo.kernel.slo.longform import NoForm  # noqa: PLC0415
    from cipo.kernel.slo.openslo import OpenSLOError, read  # noqa: PLC0415

    try:
        bundle = read(content(file).decode())
        objects = [manifest(document) for document in bundle.documents]
    except UnicodeDecodeError as error:
        raise Failed(f"{file}: is not UTF-8") from error
    except (OpenSLOError, NoForm) as error:
        raise Failed(f"{file}: {error}", todo="Nothing was imported.") from error
    with connect() as api:
        before = {obj["metadata"]["name"]: _find(api, obj["metadata"]["name"]) for obj in objects}
        wished = _applied(api, objects, force=force, dry=True)  # the server looks at all of them before it takes one
        done = wished if dry_run else _applied(api, objects, force=force, dry=False)
    for obj in done:
        _tell(obj, before[obj["metadata"]["name"]], dry=dry_run)
    for document in bundle.documents:
        if document.unsupported:
            output.note(f"{document.name}: {document.unsupported}")
    others = [f"{one.kind}/{one.name}" for one in bundle.definitions if one.kind != "Service"]
    if others:
        output.note(f"{', '.join(others)}: checked, but no kinds of this installation; SLOs keep the names of their alert policies")


@slo.command()
def export(
    names: Names = None,
    labels: Annotated[str, typer.Option("--selector", "-l", help="Labels to match, such as team=web.")] = "",
) -> None:
    """Print SLOs as OpenSLO v1; what it cannot say stands in annotations cipo.dev/*."""
    from cipo.kernel.slo.openslo import Bundle, write  # noqa: PLC0415

    with connect() as api:
        items = (
            [_get(api, name) for name in names]
            if names
            else [item for page in pages(api, SLOS, query(labelSelector=labels)) for item in page["items"]]
        )
    if not items:
        output.note("No SLOs found.")
        return
    try:
        print(write(Bundle(tuple(document_of(item) for item in items))), end="")
    except ValueError as error:
        raise Failed(str(error)) from error


@slo.command()
def test(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Tests: an SLO, a series of facts, and what is expected.")],
) -> None:
    """Test SLOs offline: what would become of a series of facts."""
    from cipo.kernel.slo import trial  # noqa: PLC0415
    from cipo.kernel.slo.replay import NotReplayed  # noqa: PLC0415

    failed = total = 0
    for file in files:
        try:
            given = trial.read(content(file).decode())
            outcomes = list(trial.run(given, trial.document_of(_slo_text(file, given.slo))))
        except (trial.TrialError, NotReplayed, UnicodeDecodeError) as error:
            raise Failed(f"{file}: {error}") from error
        for outcome in outcomes:
            total += 1
            when = f"{file}: {outcome.objective} at {outcome.at:%Y-%m-%dT%H:%M:%SZ}"
            if not outcome.differences:
                output.say(f"ok    {when}")
                continue
            failed += 1
            output.say(f"FAIL  {when}")
            for what, wanted, found in outcome.differences:
                output.say(f"      {what}: expected {wanted}, found {found}")
    output.say(f"{total - failed} of {total} expectations hold")
    if failed:
        raise typer.Exit(CliError.exit_code)


def row(item: Json) -> Json:
    """An SLO as one flat row."""
    spec, status = item["spec"], item.get("status") or {}
    budget = status.get("budget") or {}
    return {
        "name": item["metadata"]["name"],
        "service": spec["service"],
        "owner": spec.get("owner", ""),
        "state": status.get("state", "unknown"),
        "value": status.get("value"),
        "unit": spec["indicator"].get("unit", "1"),
        "objective": promised(spec),
        "budget": budget.get("state", ""),
        "remaining": budget.get("remaining"),
        "alerts": [alert["tier"] for alert in budget.get("alerts") or []],
        "n": status.get("n", 0),
        "reason": status.get("reason", ""),
    }


def promised(spec: Json) -> str:
    """All objectives in signs, such as ``≥ 99.95 %``."""
    unit = spec["indicator"].get("unit", "1")
    told = []
    for one in [spec["objective"]] if spec.get("objective") else spec.get("objectives") or []:
        value = one.get("value")
        told.append(f"{SIGNS[one.get('op', 'gte')]} {number(one['target'] if value is None else value, '1' if value is None else unit)}")
    return ", ".join(told)


def manifest(document: Document) -> Json:
    """An SLO as the object that is applied."""
    from cipo.kernel.slo import longform  # noqa: PLC0415

    metadata: Json = {"name": document.name}
    if document.labels:
        metadata["labels"] = dict(document.labels)
    if document.annotations:
        metadata["annotations"] = dict(document.annotations)
    return {"apiVersion": VERSION, "kind": KIND, "metadata": metadata, "spec": longform.spec(document).wire()}


def document_of(item: Json) -> Document:
    """The object of the server as a document; the server let it in, so there is nothing wrong with it."""
    from dataclasses import replace  # noqa: PLC0415

    from cipo.kernel.slo import longform  # noqa: PLC0415
    from cipo.kernel.slo.longform_spec import LongForm  # noqa: PLC0415

    metadata = item["metadata"]
    form = LongForm.model_validate(item["spec"])
    document, _ = longform.document(metadata["name"], form, labels=metadata.get("labels"))
    return replace(document, annotations=metadata.get("annotations") or {})


def _get(api: Api, name: str) -> Json:
    found = _find(api, name)
    if found is None:
        raise Failed(f"there is no SLO {name!r}", todo="`cipo slo list` has the names.")
    return found


def _find(api: Api, name: str) -> Json | None:
    try:
        return api.get(f"{SLOS}/{name}")
    except Refused as refused:
        if refused.code != 404:
            raise
        return None


def _applied(api: Api, objects: list[Json], *, force: bool, dry: bool) -> list[Json]:
    """Apply all; of a dry run every refusal is told before it ends."""
    params = query(fieldManager=MANAGER, fieldValidation="Strict", force="true" if force else "", dryRun="All" if dry else "")
    found: list[Json] = []
    failed: Refused | None = None
    for obj in objects:
        try:
            path = f"{SLOS}/{obj['metadata']['name']}"
            found.append(api.json("PATCH", path, json=obj, params=params, headers={"Content-Type": "application/apply-patch+yaml"}))
        except Refused as refused:
            if not dry:
                raise
            for line in refused.lines():
                output.note(line)
            failed = refused
    if failed is not None:
        raise Failed("Nothing was imported.")
    return found


def _tell(after: Json, before: Json | None, *, dry: bool) -> None:
    """What became of one SLO, with each field that changed."""
    name, end = after["metadata"]["name"], " (dry run)" if dry else ""
    if before is None:
        output.say(f"servicelevelobjective.reliability.cipo/{name} created{end}")
        return
    changed = [line for part in ("spec", "labels", "annotations") for line in _changes(part, _part(before, part), _part(after, part))]
    output.say(f"servicelevelobjective.reliability.cipo/{name} {'configured' if changed else 'unchanged'}{end}")
    for line in changed:
        output.say(f"  {line}")


def _part(item: Json, part: str) -> Any:
    return item.get("spec") if part == "spec" else item["metadata"].get(part)


def _changes(path: str, before: Any, after: Any) -> list[str]:
    """Leaves that differ, as ``- old`` and ``+ new``."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [line for key in sorted({*before, *after}) for line in _changes(f"{path}.{key}", before.get(key), after.get(key))]
    if before == after:
        return []
    told = [f"- {path}: {output.plain(before)}"] if before is not None else []
    return [*told, *([f"+ {path}: {output.plain(after)}"] if after is not None else [])]


def _facts(item: Json) -> Json:
    spec, status = item["spec"], item.get("status") or {}
    window = spec["window"]
    source = spec["indicator"]["source"]
    found = {
        "name": item["metadata"]["name"],
        "service": spec["service"],
        "owner": spec.get("owner", ""),
        "what": spec.get("description") or spec.get("title", ""),
        "promise": promised(spec),
        "over": f"the last {window['rolling']}"
        if window.get("rolling")
        else f"{window.get('calendar')} in {window.get('timeZone', 'UTC')}",
        "source": source.get("facts") or source.get("prometheus") or source.get("unsupported", ""),
        "state": f"{status.get('state', 'unknown')}{': ' + status['reason'] if status.get('reason') else ''}",
    }
    if status.get("composite"):
        both = status["composite"]
        found["composite"] = f"{_percent(both['achieved'])} of {_percent(both['promised'])} promised"
    return {key: value for key, value in found.items() if value}


def _objective(one: Json, unit: str) -> tuple[tuple[str, ...], list[list[Any]]]:
    budget = one.get("budget") or {}
    titles = ("objective", "state", "value", "facts", "budget", "left", "bad", "all", "alerts", "used up")
    alerts = [f"{alert['tier']} since {alert['since'][:16]}" for alert in budget.get("alerts") or []]
    cells = [
        one["name"],
        one["state"],
        number(one.get("value"), unit),
        one.get("n", 0),
        budget.get("state"),
        _percent(budget.get("remaining")),
    ]
    return titles, [[*cells, budget.get("bad"), budget.get("total"), alerts, (budget.get("exhaustsAt") or "")[:16]]]


def _burn(budget: Json) -> None:
    burn = budget.get("burn") or {}
    if burn:
        output.table(("burn rate", *burn), [["", *("" if rate is None else f"{rate:.3g}" for rate in burn.values())]])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value * 100:.4g} %"


def _slo_text(file: Path, given: str | Json) -> str:
    """The SLO of a test: a file beside it, or written into it."""
    from cipo.kernel import yaml  # noqa: PLC0415

    if isinstance(given, dict):
        return yaml.written([given])
    beside = file.parent / given
    if not beside.is_file():
        raise Usage(f"{file}: slo: there is no file {beside}")
    return content(beside).decode()
