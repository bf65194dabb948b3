"""A kind's list: its columns, facets with counts, label and field filters in the address, keyset pages, and the same rows as CSV, JSON, YAML."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.responses import Response, StreamingResponse

from cipo.kernel.errors import ApiError, NotFound
from cipo.kernel.models import Column
from cipo.kernel.store.read import Page
from cipo.kernel.store.write import Stored
from cipo.kernel.unit import KindInfo, dotted
from cipo.kernel.wire.selectors import FieldSelector, LabelSelector
from cipo.web import words
from cipo.web.console import Console, Visit
from cipo.web.forms import ref_paths, target_of, to_yaml
from cipo.web.offices import unit_crumbs

ROWS = 50
ROWS_MAX = 500
EXPORT_STEP = 1000
FACET_VALUES = 12
FACET_MAX = 50
TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json", "yaml": "application/yaml"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A value in a row."""

    text: str
    href: str = ""
    sort: str = ""  # badge | time | num | ""


@dataclass(frozen=True, slots=True)
class Row:
    """A resource in the list."""

    name: str
    href: str
    cells: tuple[Cell, ...]
    created: Any
    deleting: bool


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value to filter by."""

    value: str
    count: int
    href: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """A selectable field with its values."""

    path: str
    label: str
    values: tuple[FacetValue, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Filter:
    """What the address asks for."""

    terms: tuple[str, ...]
    labels: str
    wide: bool
    limit: int

    def query(self, **change: Any) -> str:
        """The address with something changed; the page always starts anew."""
        terms = change.get("terms", self.terms)
        pairs = [("field", term) for term in terms]
        for key, value, empty in (
            ("label", change.get("labels", self.labels), ""),
            ("wide", "1" if change.get("wide", self.wide) else "", ""),
            ("after", change.get("after", ""), ""),
            ("as", change.get("as_", ""), ""),
        ):
            if value != empty:
                pairs.append((key, value))
        return f"?{urlencode(pairs)}" if pairs else "?"


def kind_of(console: Console, word: str) -> KindInfo:
    """The kind an address names."""
    info = console.registry.find(word[:200])
    if info is None:
        raise NotFound(f"there is no kind {word[:80]!r}; `cipo explain` lists what there is")
    return info


async def listing(console: Console, visit: Visit) -> Response:
    """``GET /k/<kind>``."""
    info = kind_of(console, visit.path("kind"))
    wanted = _filter(visit)
    labels = LabelSelector.parse(wanted.labels) if wanted.labels else None
    fields = FieldSelector.parse(",".join(_escaped(term) for term in wanted.terms), info.select) if wanted.terms else None
    form = visit.query("as")
    if form in TYPES:
        return _export(console, visit, info, labels, fields, form)
    page = await console.resources.list(
        visit.caller, info, labels=labels, fields=fields, limit=wanted.limit, continue_=visit.query("after") or None
    )
    counts = await console.resources.facets(visit.caller, info)
    total = (await console.resources.counts(visit.caller)).get(info.gk, 0)
    refs = ref_paths(info, target_of(console.registry.target, info))
    columns = [(index, column) for index, column in enumerate(info.columns) if wanted.wide or not column.wide]
    return await console.page(
        visit,
        "listing.html",
        crumbs=[*unit_crumbs(console.chart, info.unit), (words.kinds_title(info.kind, info.plural), "")],
        live=info.gk,
        info=info,
        wanted=wanted,
        columns=[column for _, column in columns],
        rows=[row(console, info, item, columns, refs) for item in page.items],
        page=page,
        total=total,
        first=not visit.query("after"),
        facets=facets(info, counts, wanted),
        may_create=_may(console, visit, info, "create"),
        export={kind: wanted.query(as_=kind) for kind in TYPES},
    )


def _may(console: Console, visit: Visit, info: KindInfo, verb: str) -> bool:
    try:
        return console.resources.may(visit.caller, verb, info).allowed
    except ApiError:
        return False


def _filter(visit: Visit) -> Filter:
    terms = tuple(term[:400] for term in visit.request.query_params.getlist("field")[:16] if "=" in term)
    limit = visit.query("limit")
    size = min(max(int(limit), 1), ROWS_MAX) if limit.isdigit() else ROWS
    return Filter(terms, visit.query("label").strip(), bool(visit.query("wide")), size)


def _escaped(term: str) -> str:
    """A term of the address as the selector's grammar takes it: a value may hold commas and equals signs."""
    path, _, value = term.partition("=")
    bang = path.endswith("!")
    quoted = value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
    return f"{path.removesuffix('!')}{'!=' if bang else '='}{quoted}"


def facets(info: KindInfo, counts: dict[str, dict[str, int]], wanted: Filter) -> list[Facet]:
    """The fields worth filtering by: the phase first, then those with few values."""
    made = []
    for path in sorted(info.select, key=lambda path: path != info.phase):
        values = counts.get(path, {})
        chosen = {term.partition("=")[2] for term in wanted.terms if term.partition("=")[0] == path}
        unique = len(values) > 5 and max(values.values()) == 1  # an identity, such as a serial: search finds it
        if not values or ((len(values) >= FACET_MAX or unique) and not chosen):
            continue
        entries = [_facet_value(path, value, count, wanted, value in chosen) for value, count in values.items()]
        entries.sort(key=lambda entry: not entry.chosen)
        made.append(Facet(path, words.label(path), tuple(entries[:FACET_VALUES]), max(0, len(entries) - FACET_VALUES)))
    return made


def _facet_value(path: str, value: str, count: int, wanted: Filter, chosen: bool) -> FacetValue:
    others = tuple(term for term in wanted.terms if term.partition("=")[0] != path)
    terms = others if chosen else (*others, f"{path}={value}")
    return FacetValue(value, count, wanted.query(terms=terms), chosen)


def row(console: Console, info: KindInfo, item: Stored, columns: list[tuple[int, Column]], refs: dict[str, KindInfo]) -> Row:
    """One row out of the stored cells; the body is not parsed."""
    values = orjson.loads(item.cells)
    cells = tuple(_cell(console, info, column, values[index] if index < len(values) else None, refs) for index, column in columns)
    return Row(item.name, console.href(item.gk, item.name), cells, item.created_at, item.deleting_at is not None)


def _cell(console: Console, info: KindInfo, column: Column, value: Any, refs: dict[str, KindInfo]) -> Cell:
    if value is None or value == "":
        return Cell("")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int | float):
        return Cell(words.number(value, 3), sort="num")
    sort = "badge" if column.path == info.phase else "time" if column.type == "date" else ""
    return Cell(str(value), console.href(refs[column.path].gk, str(value)) if column.path in refs else "", sort)


def _export(
    console: Console, visit: Visit, info: KindInfo, labels: LabelSelector | None, fields: FieldSelector | None, form: str
) -> Response:
    writers: dict[str, Callable[[KindInfo, AsyncIterator[Page]], AsyncIterator[str | bytes]]] = {"csv": _csv, "json": _json, "yaml": _yaml}
    console.resources.allow(visit.caller, "list", info)

    async def pages() -> AsyncIterator[Page]:
        after = None
        while True:
            page = await console.resources.list(visit.caller, info, labels=labels, fields=fields, limit=EXPORT_STEP, continue_=after)
            yield page
            after = page.continue_
            if after is None:
                return

    headers = {"Content-Disposition": f'attachment; filename="{info.plural}.{form}"', "Cache-Control": "no-store"}
    return StreamingResponse(writers[form](info, pages()), media_type=TYPES[form], headers=headers)


async def _csv(info: KindInfo, pages: AsyncIterator[Page]) -> AsyncIterator[str | bytes]:
    yield _line(["name", *(column.path for column in info.columns), "labels", "created"])
    async for page in pages:
        for item in page.items:
            values = [("" if value is None else value) for value in orjson.loads(item.cells)]
            labels = ",".join(f"{key}={value}" for key, value in sorted(item.labels.items()))
            yield _line([item.name, *values, labels, words.iso(item.created_at)])


def _line(values: list[Any]) -> str:
    """One CSV line. A text that a spreadsheet would take for a formula is quoted with an apostrophe."""
    out = io.StringIO()
    csv.writer(out).writerow(
        [f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value for value in values]
    )
    return out.getvalue()


async def _json(info: KindInfo, pages: AsyncIterator[Page]) -> AsyncIterator[str | bytes]:
    yield orjson.dumps({"apiVersion": info.api_version, "kind": f"{info.kind}List"})[:-1] + b',"items":['
    first = True
    async for page in pages:
        for item in page.items:
            yield item.body if first else b"," + item.body
            first = False
    yield b"]}"


async def _yaml(info: KindInfo, pages: AsyncIterator[Page]) -> AsyncIterator[str | bytes]:
    async for page in pages:
        for item in page.items:
            yield "---\n" + to_yaml(bare(item.object()))


def bare(obj: dict[str, Any]) -> dict[str, Any]:
    """An object without what only the server keeps in metadata."""
    kept = ("name", "labels", "annotations", "finalizers", "ownerReferences", "uid", "resourceVersion", "generation", "creationTimestamp")
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key in kept}
    return {**obj, "metadata": metadata}


def phase_of(info: KindInfo, obj: dict[str, Any]) -> str:
    """The word of the lifecycle, or empty."""
    value = dotted(obj, info.phase)
    return str(value) if value is not None else ""
