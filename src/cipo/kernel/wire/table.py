"""Tables and metadata-only objects: what ``kubectl get`` prints, made from stored bytes without parsing a body.

A row's cells were computed when the object was written; a row's metadata is cut out of the stored body, whose layout is the store's
own (``store/tx.py``): apiVersion, kind, metadata (managedFields last), spec, status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from cipo.kernel.errors import BadRequest
from cipo.kernel.store.write import Stored
from cipo.kernel.unit import KindInfo

View = Literal["object", "table", "partial"]
Include = Literal["None", "Metadata", "Object"]
_NEVER: Final = datetime.fromtimestamp(0, UTC)
_META_START: Final = b'"metadata":'
_META_END: Final = b'},"spec":'
_MANAGED: Final = b',"managedFields":['
_CREATED: Final = b'"creationTimestamp":"'


@dataclass(frozen=True, slots=True)
class Wish:
    """The form that a client wants its objects in: by the first media type of ``Accept`` that this server can answer."""

    view: View = "object"
    version: str = "v1"
    include: Include = "Metadata"


def wish(accept: str, include: str | None = None) -> Wish:
    """From the Accept header and ``?includeObject=``."""
    if include not in (None, "", "None", "Metadata", "Object"):
        raise BadRequest(f"includeObject {include!r}: choose None, Metadata or Object")
    chosen: Include = "None" if include == "None" else "Object" if include == "Object" else "Metadata"
    for choice in accept.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        if media != "application/json" or "g=meta.k8s.io" not in parameters:
            if media in ("application/json", "*/*", "application/*"):
                break
            continue
        version = "v1beta1" if "v=v1beta1" in parameters else "v1"
        if "as=Table" in parameters:
            return Wish("table", version, chosen)
        if "as=PartialObjectMetadata" in parameters or "as=PartialObjectMetadataList" in parameters:
            return Wish("partial", version, chosen)
    return Wish()


def definitions(kind: KindInfo) -> bytes:
    """The columns' headings: name first, age last, wide ones only with ``-o wide``."""
    columns: list[dict[str, Any]] = [_column("Name", "string", "name", "Name of the object.")]
    for column in kind.columns:
        kind_of = "string" if column.type == "date" else column.type
        columns.append(_column(column.title, kind_of, "", column.help or f"The field {column.path}.", 1 if column.wide else 0))
    columns.append(_column("Age", "string", "", "Time since the object was created."))
    return orjson.dumps(columns)


def _column(name: str, kind: str, form: str, description: str, priority: int = 0) -> dict[str, Any]:
    return {"name": name, "type": kind, "format": form, "description": description, "priority": priority}


def table(
    kind: KindInfo, items: Iterable[Stored], now: datetime, wanted: Wish, metadata: dict[str, Any], *, headings: bool = True
) -> bytes:
    """A whole Table; a watch leaves the headings out after its first event."""
    dates = tuple(index for index, column in enumerate(kind.columns) if column.type == "date")
    rows = b",".join(_row(kind, item, now, wanted, dates) for item in items)
    columns = definitions(kind) if headings else b"[]"
    return b'{"kind":"Table","apiVersion":"meta.k8s.io/%s","metadata":%s,"columnDefinitions":%s,"rows":[%s]}' % (
        wanted.version.encode(),
        orjson.dumps(metadata),
        columns,
        rows,
    )


def _row(kind: KindInfo, item: Stored, now: datetime, wanted: Wish, dates: tuple[int, ...]) -> bytes:
    cells = item.cells
    if dates:
        values = orjson.loads(cells)
        for index in dates:
            values[index] = age(_moment(values[index]), now) if isinstance(values[index], str) else values[index]
        cells = orjson.dumps(values)
    middle = b"," + cells[1:-1] if len(cells) > 2 else b""
    row = b'{"cells":["%s"%s,"%s"]' % (item.name.encode(), middle, age(created(item), now).encode())
    if wanted.include == "None":
        return row + b"}"
    return row + b',"object":%s}' % (item.body if wanted.include == "Object" else partial(item, wanted.version))


def partial(item: Stored, version: str = "v1") -> bytes:
    """PartialObjectMetadata: who the object is, without what it says and without its field owners."""
    start = item.body.find(_META_START) + len(_META_START)
    # Names of members need a quote that no string can hold unescaped, so the first match is the member itself.
    end = item.body.find(_META_END, start)
    metadata = item.body[start : end + 1]
    managed = metadata.find(_MANAGED)
    if managed >= 0:
        metadata = metadata[:managed] + b"}"
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s","metadata":%s}' % (version.encode(), metadata)


def object_list(kind: KindInfo, items: Iterable[bytes], metadata: dict[str, Any]) -> bytes:
    """``<Kind>List``: stored bodies side by side."""
    head = b'{"apiVersion":"%s","kind":"%sList","metadata":%s,"items":[' % (
        kind.api_version.encode(),
        kind.kind.encode(),
        orjson.dumps(metadata),
    )
    return head + b",".join(items) + b"]}"


def partial_list(items: Iterable[Stored], metadata: dict[str, Any], version: str = "v1") -> bytes:
    """PartialObjectMetadataList."""
    head = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%s","metadata":%s,"items":[' % (
        version.encode(),
        orjson.dumps(metadata),
    )
    return head + b",".join(partial(item, version) for item in items) + b"]}"


def created(item: Stored) -> datetime:
    """When the object was created; a watch's row says so only inside the body."""
    if item.created_at > _NEVER:
        return item.created_at
    start = item.body.find(_CREATED) + len(_CREATED)
    return _moment(item.body[start : item.body.find(b'"', start)].decode())


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _NEVER
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def age(since: datetime, now: datetime) -> str:
    """A duration as kubectl writes it: two units while they matter, then one."""
    if since <= _NEVER:
        return "<unknown>"
    seconds = max(0, int((now - since).total_seconds()))
    return next((write(seconds) for below, write in _AGES if seconds < below), f"{seconds // _YEAR}y")


def _two(large: int, unit: str, small: int, below: str) -> str:
    return f"{large}{unit}{small}{below}" if small else f"{large}{unit}"


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400
# Where kubectl changes units (k8s.io/apimachinery/pkg/util/duration, HumanDuration).
_AGES: Final[tuple[tuple[int, Callable[[int], str]], ...]] = (
    (2 * _MINUTE, lambda s: f"{s}s"),
    (10 * _MINUTE, lambda s: _two(s // _MINUTE, "m", s % _MINUTE, "s")),
    (3 * _HOUR, lambda s: f"{s // _MINUTE}m"),
    (8 * _HOUR, lambda s: _two(s // _HOUR, "h", s // _MINUTE % 60, "m")),
    (2 * _DAY, lambda s: f"{s // _HOUR}h"),
    (8 * _DAY, lambda s: _two(s // _DAY, "d", s // _HOUR % 24, "h")),
    (2 * _YEAR, lambda s: f"{s // _DAY}d"),
    (8 * _YEAR, lambda s: _two(s // _YEAR, "y", s // _DAY % 365, "d")),
)
