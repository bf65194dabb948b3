"""An object's story in words: field-level differences, the timeline, the lifecycle's steps, conditions, and its values as rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jsonpatch
import orjson

from cipo.kernel.store.read import EventRow
from cipo.kernel.unit import KindInfo, dotted
from cipo.web import words

VALUE_MAX = 160
OPAQUE = re.compile(r"[A-Za-z0-9+/=_-]{49,}")
FEW = 3
TABLE_ROWS = 100
TABLE_COLUMNS = 7
NOISE = ("/status/observedGeneration", "/status/nextReconcile", "/status/conditions")
VERBS = {"create": "created", "update": "changed", "patch": "changed", "delete": "deleted", "status": "observed", "reconcile": "observed"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that changed."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the timeline."""

    seq: int
    at: datetime
    what: str
    who: str
    unit: str
    note: str
    simulated: bool
    css: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A phase of the lifecycle: passed, here, or ahead; who brought it there."""

    name: str
    state: str
    who: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A condition in words."""

    tone: str
    title: str
    message: str
    since: str


@dataclass(frozen=True, slots=True)
class Row:
    """A value of the object: its label, its text, where it leads; or a heading; or a table of entries."""

    label: str
    text: str = ""
    href: str = ""
    depth: int = 0
    group: bool = False
    time: bool = False
    headers: tuple[str, ...] = ()
    entries: tuple[tuple[str, ...], ...] = ()
    count: int = 0

    @property
    def open(self) -> bool:
        """A few entries are shown; more wait behind their number."""
        return self.count <= FEW


def said(value: Any) -> str:
    """A value as text, bounded."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return words.number(value, 4)
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return words.plural(len(value), "entry", "entries")
    if isinstance(value, list) and value and not any(isinstance(item, list | Mapping) for item in value):
        text = ", ".join(said(item) for item in value)
    else:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= VALUE_MAX else f"{text[:VALUE_MAX]}…"


def differences(ops: Iterable[Mapping[str, Any]] | None) -> tuple[Difference, ...]:
    """The readable part of a stored RFC 6902 difference, without what is noise to people."""
    found = []
    for op in ops or ():
        path = str(op.get("path", ""))
        if path.startswith(NOISE):
            continue
        name = path.strip("/").replace("~1", "\x00").replace("/", ".").replace("\x00", "/").replace("~0", "~")
        was = None if op["op"] == "add" else op.get("was")
        value = op.get("value", op.get("from"))
        if isinstance(was, Mapping) or isinstance(value, Mapping):
            found += _leaves(
                name, was if isinstance(was, Mapping) else {}, value if isinstance(value, Mapping) and op["op"] != "remove" else {}
            )
            continue
        before = None if op["op"] == "add" else said(was) if was is not None else ""
        found.append(Difference(name, before, None if op["op"] == "remove" else said(value)))
    return tuple(found)


def _leaves(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """An object that came, went or was swapped, field by field."""
    before, after = _flat(was, name), _flat(now, name)
    return [
        Difference(path, said(before[path]) if path in before else None, said(after[path]) if path in after else None)
        for path in {**before, **after}
        if (before.get(path) or "") != (after.get(path) or "")
    ]


def brief(text: str | None) -> str | None:
    """A value for the timeline: moments to the second, and of what nobody reads (hashes, sealed sets) the beginning."""
    if text is None:
        return None
    if _is_moment(text):
        return words.stamped(text)
    return f"{text[:16]}…" if OPAQUE.fullmatch(text) else text


def _is_moment(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 15 and value[10:11] == "T" and words.moment(value) is not None


def _flat(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {path: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{path}.{key}")
    return found


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Difference, ...]:
    """What an edit would change: spec, labels and annotations, old value and new."""
    before, after = _edited(old), _edited(new)
    ops = [dict(op) for op in jsonpatch.make_patch(before, after)]
    for op in ops:
        if op["op"] in ("replace", "remove"):
            op["was"] = jsonpatch.JsonPointer(op["path"]).resolve(before, None)
    return differences(ops)


def _edited(obj: Mapping[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata") or {}
    return {"labels": metadata.get("labels") or {}, "annotations": metadata.get("annotations") or {}, "spec": obj.get("spec") or {}}


def timeline(events: Iterable[EventRow], phase: str) -> list[Moment]:
    """Events as lines; the newest first, as they come."""
    return [moment(event, phase) for event in events]


def moment(event: EventRow, phase: str = "") -> Moment:
    """One event in words."""
    changed = tuple(Difference(item.path, brief(item.before), brief(item.after)) for item in differences(event.diff))
    pointer = ".".join(phase.split(".")) if phase else ""
    to = next((item.after for item in changed if item.path == pointer and item.after), "")
    verb = VERBS.get(event.verb, event.verb)
    own = event.verb not in VERBS
    what = words.sentence(verb.replace("-", " ")) + (f" → {words.humps(to)}" if to else "")
    css = "gone" if event.type == "DELETED" else "act" if own else ""
    note = event.message or event.reason
    return Moment(event.seq, event.at, what, event.actor, event.unit, note, event.simulated, css, changed)


def steps(info: KindInfo, obj: Mapping[str, Any], events: Iterable[EventRow]) -> tuple[Step, ...]:
    """The lifecycle as steps; a phase outside the usual order stands at the end, as where the object is now."""
    if not info.lifecycle:
        return ()
    here = str(dotted(dict(obj), info.phase) or "")
    pointer = "/" + info.phase.replace(".", "/")
    reached: dict[str, EventRow] = {}
    for event in events:  # newest first: the latest arrival wins
        for op in event.diff or ():
            if op.get("path") == pointer and isinstance(op.get("value"), str):
                reached.setdefault(op["value"], event)
    order = list(info.lifecycle)
    at = order.index(here) if here in order else -1
    made = []
    for index, name in enumerate(order):
        state = "now" if name == here else "done" if name in reached or index < at else "ahead"
        made.append(_step(name, state, reached))
    if here and at < 0:
        made.append(_step(here, "now", reached))
    return tuple(made)


def _step(name: str, state: str, reached: Mapping[str, EventRow]) -> Step:
    event = reached.get(name) if state != "ahead" else None
    return Step(name, state, event.actor if event else "", event.at if event else None)


def statements(obj: Mapping[str, Any]) -> list[Statement]:
    """Conditions, the bad news first."""
    made = []
    for condition in (obj.get("status") or {}).get("conditions") or []:
        kind, holds = str(condition.get("type", "")), condition.get("status") == "True"
        bad = kind in ("Blocked", "Failed", "Degraded", "Stalled") if holds else kind in ("Ready", "Reconciled", "Available", "Healthy")
        tone = "unknown" if condition.get("status") == "Unknown" else "warn" if bad else "met"
        title = words.humps(kind) if holds else f"Not {words.humps(kind).lower()}"
        message = str(condition.get("message") or words.humps(str(condition.get("reason") or "")))
        made.append(Statement(tone, title, message, str(condition.get("lastTransitionTime") or "")))
    order = {"warn": 0, "unknown": 1, "met": 2}
    return sorted(made, key=lambda item: order[item.tone])


def rows(part: Mapping[str, Any], root: str, links: Mapping[str, str], depth: int = 0) -> list[Row]:
    """The values of spec or status, in order; ``links`` leads from a reference's path to its page."""
    made: list[Row] = []
    for key, value in part.items():
        path = f"{root}.{key}"
        if root == "status" and key in ("conditions", "observedGeneration", "nextReconcile"):
            continue
        if value in ({}, [], "", None):
            continue
        if isinstance(value, Mapping):
            made.append(Row(words.label(path), depth=depth, group=True))
            made += rows(value, path, links, depth + 1)
        elif isinstance(value, list) and isinstance(value[0], Mapping):
            made.append(_table(words.label(path), value, depth))
        elif isinstance(value, list):
            made.append(Row(words.label(path), ", ".join(said(item) for item in value[:60]), depth=depth))
        else:
            at = _is_moment(value)
            made.append(Row(words.label(path), words.iso(value) if at else said(value), links.get(path, ""), depth, time=at))
    return made


def _table(label: str, entries: list[Any], depth: int) -> Row:
    keys: dict[str, None] = {}
    for entry in entries:
        for key, value in entry.items() if isinstance(entry, Mapping) else ():
            if value not in ("", None, [], {}):
                keys.setdefault(key)
    shown = tuple(keys)[:TABLE_COLUMNS]
    lines = tuple(tuple(_cell(entry.get(key)) for key in shown) for entry in entries[:TABLE_ROWS] if isinstance(entry, Mapping))
    return Row(label, depth=depth, headers=tuple(words.label(key) for key in shown), entries=lines, count=len(entries))


def _cell(value: Any) -> str:
    if value in ("", None, [], {}):
        return ""
    return words.stamped(value) if _is_moment(value) else said(value)
