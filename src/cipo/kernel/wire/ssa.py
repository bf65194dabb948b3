"""Server-side apply: several managers write one object, and each field has its owners.

``Resources.patch`` calls ``apply`` for an apply patch, and every other write calls ``update`` so that ``metadata.managedFields``
stays true. Rules, as Kubernetes documents them (https://kubernetes.io/docs/reference/using-api/server-side-apply/):

- applying a field makes the manager its owner; another owner with a different value is a conflict, unless forced;
- a field that the manager applied before and leaves out now is removed, unless somebody else owns it too;
- any other write takes over the fields it changes.

Pure functions over JSON objects; ``shape.py`` says how lists merge, ``merge.py`` merges, ``fields.py`` does the
arithmetic of sets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

import orjson

from cipo.kernel.errors import BadRequest, Cause, Conflict
from cipo.kernel.wire import fields, merge
from cipo.kernel.wire.fields import Fields
from cipo.kernel.wire.shape import OBJECT, Shape

Object = dict[str, Any]
Operation = Literal["Apply", "Update"]

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL: Final = "kubectl"
KUBECTL_CLIENT_SIDE: Final = "kubectl-client-side-apply"
ANCIENT: Final = "ancient-changes"
MAX_UPDATE_ENTRIES: Final = 10
MAX_MANAGER: Final = 128
# Of the metadata, only these have owners; the rest is the server's.
OWNED_METADATA: Final = ("labels", "annotations", "finalizers", "ownerReferences")


@dataclass(frozen=True, slots=True)
class Entry:
    """One manager's fields: an entry of ``metadata.managedFields``."""

    manager: str
    operation: Operation
    subresource: str
    api_version: str
    time: str
    owned: Fields

    @property
    def key(self) -> tuple[str, str, str]:
        """Two writes with the same key share an entry."""
        return self.manager, self.operation, self.subresource

    def wire(self) -> Object:
        """As meta/v1 ManagedFieldsEntry."""
        entry: Object = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.owned,
        }
        return entry | {"subresource": self.subresource} if self.subresource else entry

    def label(self) -> str:
        """The owner in the words of a conflict."""
        where = f' with subresource "{self.subresource}"' if self.subresource else ""
        when = f" at {self.time}" if self.operation == "Update" and self.time else ""
        return f'"{self.manager}"{where} using {self.api_version}{when}'


def apply(
    live: Object | None,
    applied: Object,
    *,
    manager: str,
    now: datetime | str,
    force: bool = False,
    subresource: str = "",
    schema: Shape | None = None,
) -> Object:
    """The object after ``manager`` applied its configuration, with its new ``managedFields``. Raises Conflict with one cause a field."""
    check_manager(manager)
    shape = schema or OBJECT
    if (applied.get("metadata") or {}).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil in an apply patch; remove it")
    wanted = _owned_part(merge.without_nulls(applied), subresource, applying=True)
    stamp = _stamp(now)
    api_version = str(applied.get("apiVersion", ""))
    stated = fields.of(wanted, shape)
    if live is None:
        created: Object = {key: value for key, value in applied.items() if key != "status"}
        created |= merge.merge({}, wanted, shape, "")
        created["metadata"] = {**applied.get("metadata", {}), **wanted.get("metadata", {})}
        return _with(created, [Entry(manager, "Apply", subresource, api_version, stamp, stated)])

    entries = _read(live)
    mine = next((entry for entry in entries if entry.key == (manager, "Apply", subresource)), None)
    others = [entry for entry in entries if entry is not mine]
    changed = merge.changed(live, wanted, shape)
    merged = merge.merge(live, wanted, shape, "")
    others = _settle(others, changed, live, manager=manager, force=force, shape=shape)
    if mine:
        given_up = fields.without(mine.owned, stated)
        kept: Fields = {}
        for entry in (*others, replace(mine, owned=stated)):
            kept = fields.union(kept, entry.owned)
        merged = {"spec": {}, **merge.remove(merged, given_up, kept, shape)}
    if manager == KUBECTL:
        _refresh_last_applied(live, merged, applied)
    untouched = mine is not None and mine.owned == stated and same(live, merged)
    own = Entry(manager, "Apply", subresource, api_version, mine.time if mine and untouched else stamp, stated)
    return _with(merged, [own, *others])


def update(
    old: Object | None,
    new: Object,
    *,
    manager: str,
    now: datetime | str,
    operation: Operation = "Update",
    subresource: str = "",
    schema: Shape | None = None,
) -> list[Object]:
    """``managedFields`` after a write that was no apply: the manager takes what it changed, nobody owns what is gone."""
    shape = schema or OBJECT
    manager = manager[:MAX_MANAGER] or "unknown"
    key = (manager, operation, subresource)
    after = _owned_part(new, subresource)
    if old is None:
        return [Entry(*key, str(new.get("apiVersion", "")), _stamp(now), fields.of(after, shape)).wire()]
    entries = _read(new if _replaced_entries(old, new) else old)
    before = _owned_part(old, subresource)
    changed, removed = merge.changed(before, after, shape), merge.removed(before, after, shape)
    if not changed and not removed:
        return [entry.wire() for entry in entries]
    mine = next((entry for entry in entries if entry.key == key), None)
    owned = fields.union(fields.cleared(mine.owned, removed) if mine else {}, changed)
    others = [replace(entry, owned=fields.cleared(fields.cleared(entry.owned, changed), removed)) for entry in entries if entry is not mine]
    own = Entry(*key, str(new.get("apiVersion", "")), _stamp(now), owned)
    return [entry.wire() for entry in _ordered([*others, own])]


def same(old: Object, new: Object) -> bool:
    """Whether two versions of an object differ in nothing but what the server stamps; then nothing need be written."""
    stamped = ("managedFields", "resourceVersion", "generation")

    def bare(item: Object) -> Object:
        return {**item, "metadata": {key: value for key, value in item.get("metadata", {}).items() if key not in stamped}}

    def owners(item: Object) -> list[Object]:
        return [{**entry, "time": ""} for entry in item.get("metadata", {}).get("managedFields") or []]

    return bare(old) == bare(new) and owners(old) == owners(new)


def check_manager(manager: str) -> None:
    """A field manager's name, or BadRequest."""
    if not manager:
        raise BadRequest("fieldManager is required for apply patch; add ?fieldManager=<your tool's name>")
    if len(manager) > MAX_MANAGER or not manager.isprintable():
        raise BadRequest(f"fieldManager must be at most {MAX_MANAGER} printable characters")


def _settle(others: list[Entry], changed: Fields, live: Object, *, manager: str, force: bool, shape: Shape) -> list[Entry]:
    """Refuse conflicts, or with force take the changed fields from their owners."""
    if not force:
        against = changed if manager != KUBECTL else fields.without(changed, _client_applied(live, others, shape))
        _refuse_conflicts([(entry, sorted(fields.overlaps(entry.owned, against))) for entry in others])
    return [replace(entry, owned=fields.cleared(entry.owned, changed)) for entry in others]


def _refuse_conflicts(conflicts: list[tuple[Entry, list[str]]]) -> None:
    causes: list[Cause] = []
    lines: list[str] = []
    for entry, paths in conflicts:
        if not paths:
            continue
        causes += [Cause(path, f"conflict with {entry.label()}", "FieldManagerConflict") for path in paths]
        if len(paths) == 1:
            lines.append(f"conflict with {entry.label()}: {paths[0]}")
        else:
            lines.append("\n- ".join([f"conflicts with {entry.label()}:", *paths[:50]]))
    if causes:
        count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
        raise Conflict(f"Apply failed with {count}: " + "\n".join(lines), causes=causes[:100])


def _client_applied(live: Object, others: list[Entry], shape: Shape) -> Fields:
    """Fields that ``kubectl apply`` wrote client-side and nobody else owns: the same person goes on with ``--server-side``."""
    last = last_applied(live)
    if last is None:
        return {}
    stated = fields.of(_owned_part(last, "", applying=True), shape)
    stated = fields.union(stated, {"f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}})
    owned: Fields = {}
    for entry in others:
        if entry.manager == KUBECTL_CLIENT_SIDE and entry.operation == "Update":
            owned = fields.union(owned, entry.owned)
        else:
            stated = fields.without(stated, entry.owned)
    return fields.within(stated, owned)


def last_applied(item: Object) -> Object | None:
    """What ``kubectl apply`` last sent, as it keeps it in its annotation."""
    text = (item.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _refresh_last_applied(live: Object, merged: Object, applied: Object) -> None:
    """Keep kubectl's annotation true where there is one, so that its user can go back to client-side apply."""
    if last_applied(live) is None:
        return
    metadata = {key: value for key, value in applied.get("metadata", {}).items() if key != "annotations"}
    notes = {key: value for key, value in (applied.get("metadata", {}).get("annotations") or {}).items() if key != LAST_APPLIED}
    kept = {**applied, "metadata": {"annotations": notes, **metadata}}
    annotations = {**(merged["metadata"].get("annotations") or {}), LAST_APPLIED: fields.dumps(kept) + "\n"}
    merged["metadata"] = {**merged["metadata"], "annotations": annotations}


def _owned_part(item: Object, subresource: str, *, applying: bool = False) -> Object:
    """What of an object this write can own: metadata's four parts and the spec, or the status alone. An action may write both."""
    if subresource == "status":
        return {key: item[key] for key in ("status",) if item.get(key)}
    metadata = item.get("metadata") or {}
    part: Object = {key: metadata[key] for key in OWNED_METADATA if metadata.get(key)}
    if applying and LAST_APPLIED in part.get("annotations", ()):
        part["annotations"] = {key: value for key, value in part["annotations"].items() if key != LAST_APPLIED}
    result: Object = {"metadata": part} if part else {}
    skip = ("apiVersion", "kind", "metadata") if subresource else ("apiVersion", "kind", "metadata", "status")
    return result | {key: value for key, value in item.items() if key not in skip and value}


def _read(item: Object) -> list[Entry]:
    """The entries of an object; what is not well formed is dropped, for a client may have written it."""
    return [entry for raw in item.get("metadata", {}).get("managedFields") or [] if (entry := _entry(raw))]


def _entry(raw: Any) -> Entry | None:
    if not isinstance(raw, dict) or raw.get("operation") not in ("Apply", "Update") or not isinstance(raw.get("fieldsV1"), dict):
        return None
    words = [raw.get(key) or "" for key in ("manager", "subresource", "apiVersion", "time")]
    if not all(isinstance(word, str) and len(word) <= 256 for word in words):
        return None
    manager, subresource, api_version, time = words
    return Entry(manager, raw["operation"], subresource, api_version, time, raw["fieldsV1"])


def _replaced_entries(old: Object, new: Object) -> bool:
    """Whether a client wrote ``managedFields`` itself (kubectl does when it migrates to server-side apply); an empty list resets them."""
    written = new.get("metadata", {}).get("managedFields")
    if written is None or written == (old.get("metadata", {}).get("managedFields") or []):
        return False
    if not isinstance(written, list) or len(written) > 100:
        return False
    return all(raw == {} or (_entry(raw) is not None and fields.well_formed(raw["fieldsV1"])) for raw in written)


def _ordered(entries: list[Entry]) -> list[Entry]:
    """Appliers first, then the others, as they came; empty ones go, and the oldest updates fold into one beyond ten."""
    kept = [entry for entry in entries if entry.owned or entry.operation == "Apply"]
    appliers = [entry for entry in kept if entry.operation == "Apply"]
    updates = [entry for entry in kept if entry.operation == "Update"]
    if len(updates) > MAX_UPDATE_ENTRIES:
        updates.sort(key=lambda entry: (entry.manager != ANCIENT, entry.time))
        surplus, updates = updates[: 1 - MAX_UPDATE_ENTRIES], updates[1 - MAX_UPDATE_ENTRIES :]
        owned: Fields = {}
        for entry in surplus:
            owned = fields.union(owned, entry.owned)
        updates.insert(0, Entry(ANCIENT, "Update", "", surplus[-1].api_version, surplus[-1].time, owned))
    return appliers + updates


def _with(item: Object, entries: list[Entry]) -> Object:
    return {**item, "metadata": {**item.get("metadata", {}), "managedFields": [entry.wire() for entry in _ordered(entries)]}}


def _stamp(now: datetime | str) -> str:
    return now if isinstance(now, str) else now.strftime("%Y-%m-%dT%H:%M:%SZ")
