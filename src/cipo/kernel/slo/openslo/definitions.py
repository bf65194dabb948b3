"""What stands around SLOs: its shape is checked by a table, and it is kept as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cipo.kernel.slo.openslo.bundle import Definition
from cipo.kernel.slo.openslo.indicators import Resolve
from cipo.kernel.slo.openslo.part import Part

Sort = Literal["text", "number", "flag", "map", "one", "many"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its sort; of ``one`` and ``many``, the kind that may stand there or be referred to by ``ref``, or the fields of a map."""

    sort: Sort
    needed: bool = False
    kind: str = ""
    ref: str = ""
    fields: Mapping[str, Field] | None = None


CONDITION: Final = {
    "kind": Field("text", needed=True),
    "op": Field("text"),
    "threshold": Field("number", needed=True),
    "lookbackWindow": Field("text", needed=True),
    "alertAfter": Field("text"),
}
SHAPES: Final[Mapping[str, Mapping[str, Field]]] = {
    "Service": {"description": Field("text")},
    "DataSource": {"description": Field("text"), "type": Field("text", needed=True), "connectionDetails": Field("map")},
    "AlertNotificationTarget": {"description": Field("text"), "target": Field("text", needed=True)},
    "AlertCondition": {
        "description": Field("text"),
        "severity": Field("text", needed=True),
        "condition": Field("one", needed=True, fields=CONDITION),
    },
    "AlertPolicy": {
        "description": Field("text"),
        "alertWhenNoData": Field("flag"),
        "alertWhenResolved": Field("flag"),
        "alertWhenBreaching": Field("flag"),
        "conditions": Field("many", needed=True, kind="AlertCondition", ref="conditionRef"),
        "notificationTargets": Field("many", kind="AlertNotificationTarget", ref="targetRef"),
    },
}


def check(kind: str, name: str, part: Part, resolve: Resolve) -> Definition:
    """The definition; whatever is wrong with it is noted in its part."""
    for key in ("apiVersion", "kind"):
        part.text(key)
    metadata = part.part("metadata")
    if metadata is not None:
        for key in ("name", "displayName"):
            metadata.text(key)
        metadata.texts("labels"), metadata.texts("annotations")
        metadata.close()
    spec = part.part("spec", needed=kind != "Service")
    if spec is not None:
        _fields(spec, SHAPES[kind], resolve)
    part.close()
    return Definition(kind, name, json.dumps({"apiVersion": "openslo/v1", "kind": kind, **part.given}, sort_keys=True))


def _fields(part: Part, shape: Mapping[str, Field], resolve: Resolve) -> None:
    for key, field in shape.items():
        match field.sort:
            case "text":
                part.text(key, needed=field.needed)
            case "number":
                part.number(key, needed=field.needed)
            case "flag":
                part.flag(key)
            case "map":
                part.plain(key)
            case "one":
                inner = part.part(key, needed=field.needed)
                if inner is not None:
                    _fields(inner, field.fields or {}, resolve)
            case "many":
                inside = part.parts(key)
                if field.needed and not inside:
                    part.wrong(key, None, "is missing")
                for inner in inside:
                    _one_of(inner, field, resolve)
    part.close()


def _one_of(part: Part, field: Field, resolve: Resolve) -> None:
    """A reference to a definition, or the definition itself in its place."""
    if part.has(field.ref):
        resolve(part, field.ref, field.kind)
        part.close()
        return
    part.text("kind", needed=True, among=(field.kind,))
    check(field.kind, "", part, resolve)
