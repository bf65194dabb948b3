"""``cipo get``, ``watch``, ``delete`` and ``kinds``: reading and removing objects, with kubectl's words and columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import Api, connect, query
from cipo.cli.errors import CliError, Refused, Usage
from cipo.cli.kinds import KindRow, Kinds, discover, split
from cipo.cli.output import Format, ObjectFormat, ObjectOutput, Output

PAGE = 500
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
WATCH_S = 300
WATCH_WIDTH = 8  # rows to come are rarely shorter, and what is printed cannot be aligned again

Words = Annotated[list[str], typer.Argument(metavar="KIND[/NAME] [NAME]…", help="What: assets, asset/a1, or asset a1 a2.")]
Labels = Annotated[str, typer.Option("--selector", "-l", help="Labels to match, such as site=ams1,tier!=spare.")]
Fields = Annotated[str, typer.Option("--field-selector", help="Fields to match, such as status.lifecycle=InStock.")]
Json = dict[str, Any]


def get(
    words: Words,
    how: ObjectOutput = ObjectFormat.TABLE,
    labels: Labels = "",
    fields: Fields = "",
    follow: Annotated[bool, typer.Option("--watch", "-w", help="Stay and print each change.")] = False,
    managed: Annotated[bool, typer.Option("--show-managed-fields", help="With -o yaml or json: also who manages which field.")] = False,
) -> None:
    """Show objects: a table, or whole with -o yaml."""
    with connect() as api:
        wanted = _wanted(discover(api), words)
        selectors = query(labelSelector=labels, fieldSelector=fields)
        if any(names for _, names in wanted) and selectors:
            raise Usage("a selector chooses among all objects of a kind; leave the names away")
        if follow:
            _watch(api, _one(wanted), selectors, how, list_first=True)
        elif how in (ObjectFormat.TABLE, ObjectFormat.WIDE):
            _tables(api, wanted, selectors, wide=how is ObjectFormat.WIDE)
        else:
            _whole(api, wanted, selectors, how, managed=managed)


def watch(words: Words, how: ObjectOutput = ObjectFormat.TABLE, labels: Labels = "", fields: Fields = "") -> None:
    """Print each change of some objects as it happens, until Ctrl-C."""
    with connect() as api:
        _watch(api, _one(_wanted(discover(api), words)), query(labelSelector=labels, fieldSelector=fields), how, list_first=False)


def delete(
    words: Annotated[list[str] | None, typer.Argument(metavar="KIND/NAME…", help="What: asset/a1, or asset a1 a2.")] = None,
    files: Annotated[list[Path] | None, typer.Option("--filename", "-f", help="Delete what a file names; - for standard input.")] = None,
    labels: Labels = "",
    cascade: Annotated[
        str, typer.Option(help="foreground also deletes what goes with the object, background refuses while it is referred to.")
    ] = "background",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the server, change nothing.")] = False,
) -> None:
    """Delete objects."""
    from cipo.cli.manifests import read  # noqa: PLC0415

    if cascade not in ("background", "foreground"):
        raise Usage(f"--cascade={cascade}: write background or foreground")
    with connect() as api:
        kinds = discover(api)
        wanted = (
            [(kind, name) for kind, names in _wanted(kinds, words or []) for name in names or _matching(api, kind, labels)] if words else []
        )
        wanted += [(kinds.of(manifest.obj), manifest.name) for manifest in read(files or [])]
        if not wanted and not labels:
            raise Usage("say what to delete: asset/a1, or -f FILE")
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": cascade.capitalize()}
        each((f"{kind.label} {name}" for kind, name in wanted), lambda i: _delete(api, *wanted[i], body, dry_run=dry_run))


def kinds(how: Output = Format.TABLE) -> None:
    """List the kinds this server has, with their short names, units' groups and actions."""
    with connect() as api:
        rows = discover(api).rows
    if how is Format.TABLE:
        titles = ("name", "short", "group", "kind", "actions")
        output.table(titles, [(row.plural, row.short, f"{row.group}/{row.version}".lstrip("/"), row.kind, row.actions) for row in rows])
    else:
        keys = ("plural", "short", "group", "version", "kind", "verbs", "actions")
        output.dump([{key: _json(getattr(row, key)) for key in keys} for row in rows], how)


def each(labels: Iterator[str] | list[str], do: Any) -> None:
    """Do something for each item; a refusal is printed and the rest goes on, the exit code tells at the end."""
    failed: CliError | None = None
    for index, _ in enumerate(labels):
        try:
            do(index)
        except Refused as refused:
            for line in refused.lines():
                output.note(line)
            failed = refused
    if failed:
        raise typer.Exit(failed.exit_code)


def pages(api: Api, path: str, params: Any = None, *, accept: str = "application/json") -> Iterator[Json]:
    """A list page by page, 500 objects each."""
    asked = dict(params or {}) | {"limit": str(PAGE)}
    while True:
        page = api.get(path, params=asked, headers={"Accept": accept})
        yield page
        more = (page.get("metadata") or {}).get("continue")
        if not more:
            return
        asked["continue"] = more


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _wanted(kinds: Kinds, words: list[str]) -> list[tuple[KindRow, list[str]]]:
    """Kinds with the names asked of each; no names: all objects."""
    if all("/" in word for word in words):
        found: dict[KindRow, list[str]] = {}
        for word in words:
            kind, name = split(word)
            found.setdefault(kinds.find(kind), []).append(name)
        return list(found.items())
    if any("/" in word for word in words):
        raise Usage("write either kind/name for all of them, or one kind and then names")
    return [(kinds.find(word), words[1:]) for word in words[0].split(",") if word]


def _one(wanted: list[tuple[KindRow, list[str]]]) -> tuple[KindRow, str]:
    kind, names = wanted[0]
    if len(wanted) > 1 or len(names) > 1:
        raise Usage("watch one kind, or one object, at a time")
    return kind, names[0] if names else ""


def _matching(api: Api, kind: KindRow, labels: str) -> list[str]:
    if not labels:
        raise Usage(f"name the {kind.plural} to delete, or choose them with -l")
    return [str(item["metadata"]["name"]) for page in pages(api, kind.path, query(labelSelector=labels)) for item in page["items"]]


def _delete(api: Api, kind: KindRow, name: str, body: Json, *, dry_run: bool) -> None:
    answer = api.json("DELETE", kind.of(name), json=body, params=query(dryRun="All" if dry_run else ""))
    waits = answer.get("kind") != "Status" and (answer.get("metadata") or {}).get("finalizers")
    word = "is being deleted; its unit has work to finish first" if waits else "deleted (dry run)" if dry_run else "deleted"
    output.say(f'{kind.label} "{name}" {word}')


def _tables(api: Api, wanted: list[tuple[KindRow, list[str]]], selectors: Any, *, wide: bool) -> None:
    for index, (kind, names) in enumerate(wanted):
        if index:
            print()
        sources = (
            [api.get(kind.of(name), headers={"Accept": TABLE}) for name in names]
            if names
            else pages(api, kind.path, selectors, accept=TABLE)
        )
        titles: list[Json] = []
        rows: list[list[Any]] = []
        for page in sources:
            titles = titles or page["columnDefinitions"]
            rows += [row["cells"] for row in page.get("rows") or []]
        shown = _shown(titles, wide=wide)
        title = [str(titles[i]["name"]) for i in shown]
        output.table(title, [[_cell(titles[i], row[i]) for i in shown] for row in rows], empty=f"No {kind.plural} found.")


def _shown(titles: list[Json], *, wide: bool) -> list[int]:
    return [i for i, title in enumerate(titles) if wide or not title.get("priority")]


def _cell(title: Json, value: Any) -> str:
    if title.get("type") == "date" or title.get("format") in ("date", "date-time"):
        return output.age(value) if value else ""
    return output.plain(value)


def _whole(api: Api, wanted: list[tuple[KindRow, list[str]]], selectors: Any, how: ObjectFormat, *, managed: bool) -> None:
    items: list[Json] = []
    for kind, names in wanted:
        if names:
            items += [api.get(kind.of(name)) for name in names]
        else:
            for page in pages(api, kind.path, selectors):
                single = str(page.get("kind", "")).removesuffix("List")
                items += [{"apiVersion": page.get("apiVersion"), "kind": single} | item for item in page["items"]]
        if how is ObjectFormat.NAME:
            for item in items:
                output.say(f"{kind.label}/{item['metadata']['name']}")
            items = []
    if how is ObjectFormat.NAME:
        return
    for item in items:
        if not managed:
            item["metadata"].pop("managedFields", None)
    alone = len(wanted) == 1 and len(wanted[0][1]) == 1
    output.dump(items[0] if alone else {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}, how)


def _watch(api: Api, wanted: tuple[KindRow, str], selectors: Any, how: ObjectFormat, *, list_first: bool) -> None:
    """List, then follow the changes from there; start over when the server has forgotten the place."""
    kind, name = wanted
    only = dict(selectors) | ({"fieldSelector": f"metadata.name={name}"} if name else {})
    printer = _Changes(kind, how)
    version = ""
    try:
        while True:
            if not version:
                version = printer.listed(api, only, show=list_first)
                list_first = False
            version = _follow(api, kind, only, version, printer)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _follow(api: Api, kind: KindRow, only: dict[str, str], version: str, printer: _Changes) -> str:
    """Print changes until the stream ends; the place to go on from, or nothing to start over."""
    asked = only | {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_S)}
    with api.lines(kind.path, params=asked, headers={"Accept": printer.accept}) as lines:
        for line in lines:
            change = json.loads(line)
            if change.get("type") == "ERROR":
                if (change.get("object") or {}).get("code") == 410:
                    return ""
                raise Refused(change.get("object") or {})
            version = printer.changed(change) or version
    return version


class _Changes:
    """Prints changes: table rows with the widths of the first page, JSON lines, or YAML documents."""

    def __init__(self, kind: KindRow, how: ObjectFormat) -> None:
        self._kind, self._how = kind, how
        self._tabular = how in (ObjectFormat.TABLE, ObjectFormat.WIDE)
        self._titles: list[Json] = []
        self._widths: list[int] = []
        self.accept = TABLE if self._tabular else "application/json"
        self._known: dict[str, int] = {}  # the version of each object in the list: a watch may repeat what the list has shown

    def listed(self, api: Api, only: dict[str, str], *, show: bool) -> str:
        """The objects there are now; the version to watch from."""
        version = ""
        rows: list[Json] = []
        for page in pages(api, self._kind.path, only, accept=self.accept):
            version = version or str(page["metadata"]["resourceVersion"])
            self._titles = self._titles or page.get("columnDefinitions") or []
            rows += (page.get("rows") if self._tabular else page.get("items")) or []
        for uid, number in map(self._identity, rows):
            self._known[uid] = number
        if self._tabular:
            self._measure(rows)
            if show or not rows:
                self._line([str(self._titles[i]["name"]).upper() for i in self._columns()])
        if show:
            for row in rows:
                self._show("ADDED", row)
        return version

    def changed(self, change: Json) -> str:
        """Print one change; its version."""
        kind, obj = change["type"], change["object"]
        if self._tabular and obj.get("kind") == "Table":
            self._titles = self._titles or obj.get("columnDefinitions") or []
            row = (obj.get("rows") or [None])[0]
            if row is None:
                return str((obj.get("metadata") or {}).get("resourceVersion") or "")
            version = str(((row.get("object") or {}).get("metadata") or {}).get("resourceVersion") or "")
        else:
            row, version = obj, str((obj.get("metadata") or {}).get("resourceVersion") or "")
        if kind != "BOOKMARK" and self._news(kind, row):
            self._show(kind, row)
        return version

    def _identity(self, row: Json) -> tuple[str, int]:
        """An object's uid and version."""
        metadata = ((row.get("object") or {}) if self._tabular else row).get("metadata") or {}
        version = str(metadata.get("resourceVersion") or "")
        return str(metadata.get("uid") or ""), int(version) if version.isdigit() else 0

    def _news(self, kind: str, row: Json) -> bool:
        """Whether the list has not shown it yet."""
        uid, number = self._identity(row)
        return kind == "DELETED" or not number or number > self._known.get(uid, 0)

    def _show(self, kind: str, row: Json) -> None:
        if self._tabular:
            cells = [_cell(self._titles[i], row["cells"][i]) for i in self._columns()]
            self._line([*cells, "(deleted)"] if kind == "DELETED" else cells)
        elif self._how is ObjectFormat.JSON:
            print(json.dumps({"type": kind, "object": row}, ensure_ascii=False), flush=True)
        elif self._how is ObjectFormat.YAML:
            print(f"---\n# {kind}\n{output.to_yaml(row)}", end="", flush=True)
        else:
            print(f"{self._kind.label}/{output.plain(row['metadata']['name'])}", flush=True)

    def _columns(self) -> list[int]:
        return _shown(self._titles, wide=self._how is ObjectFormat.WIDE)

    def _measure(self, rows: list[Json]) -> None:
        lines = [[str(self._titles[i]["name"]) for i in self._columns()]]
        lines += [[_cell(self._titles[i], row["cells"][i]) for i in self._columns()] for row in rows]
        self._widths = [max(WATCH_WIDTH, *(len(line[i]) for line in lines)) for i in range(len(lines[0]))]

    def _line(self, cells: list[str]) -> None:
        self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=False)]
        padded = [cell.ljust(self._widths[i] if i < len(self._widths) else 0) for i, cell in enumerate(cells)]
        print(output.GAP.join(padded).rstrip(), flush=True)
