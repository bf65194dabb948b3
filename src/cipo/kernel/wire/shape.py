"""How the parts of an object merge: which lists are maps, sets or single values, taken from a kind's JSON schema.

``ssa.py`` asks a ``Shape`` at each step into an object; ``Shape.of`` reads the same markers that kubectl reads
(``x-kubernetes-list-type``, ``x-kubernetes-list-map-keys``, ``x-kubernetes-map-type``), from a pydantic schema or from a
structural one. Where the schema is silent an object merges field by field and a list is one value, as in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from cipo.kernel.unit import KindInfo

Merge = Literal["deduced", "granular", "atomic", "list-map", "list-set"]


@dataclass(slots=True, eq=False)
class Shape:
    """How one value merges. ``fields`` are known members, ``element`` is every other member or a list's item."""

    merge: Merge = "deduced"
    fields: dict[str, Shape] = field(default_factory=dict)
    element: Shape | None = None
    keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> Shape:
        """Compile a JSON schema with its ``$defs`` (or ``components.schemas``). Recursive models become recursive shapes."""
        definitions = {f"#/$defs/{name}": part for name, part in schema.get("$defs", {}).items()}
        components = schema.get("components", {}).get("schemas", {})
        definitions |= {f"#/components/schemas/{name}": part for name, part in components.items()}
        return _compile(schema, definitions, {})

    @classmethod
    def object(cls, spec: Shape, status: Shape) -> Shape:
        """A whole resource: metadata as Kubernetes merges it, and the kind's own parts."""
        return cls("granular", {"metadata": METADATA, "spec": spec, "status": status})

    def child(self, name: str) -> Shape:
        """The shape of a member."""
        return self.fields.get(name) or self.element or DEDUCED


@cache
def shape_of(kind: KindInfo) -> Shape:
    """The shape of a kind's objects."""
    spec, status = (Shape.of(part.model_json_schema(by_alias=True)) for part in (kind.spec_cls, kind.status_cls))
    return Shape.object(spec, status)


DEDUCED = Shape()
ATOMIC = Shape("atomic")
METADATA = Shape(
    "granular",
    {
        "labels": Shape("granular"),
        "annotations": Shape("granular"),
        "finalizers": Shape("list-set"),
        "ownerReferences": Shape("list-map", element=ATOMIC, keys=("uid",)),
    },
)
OBJECT = Shape.object(DEDUCED, DEDUCED)


def _compile(schema: Mapping[str, Any], definitions: Mapping[str, Any], done: dict[str, Shape]) -> Shape:
    markers = {key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}
    schema, ref = _resolve(schema, definitions)
    if ref in done and not markers:
        return done[ref]
    markers = {**{key: value for key, value in schema.items() if key.startswith("x-kubernetes-")}, **markers}
    shape = Shape()
    if ref:
        done[ref] = shape
    if "properties" in schema:
        shape.merge = "atomic" if markers.get("x-kubernetes-map-type") == "atomic" else "granular"
        shape.fields = {name: _compile(part, definitions, done) for name, part in schema["properties"].items()}
    elif isinstance(schema.get("additionalProperties"), Mapping):
        shape.merge = "atomic" if markers.get("x-kubernetes-map-type") == "atomic" else "granular"
        shape.element = _compile(schema["additionalProperties"], definitions, done)
    elif schema.get("type") == "array":
        list_type = markers.get("x-kubernetes-list-type")
        shape.merge = "list-map" if list_type == "map" else "list-set" if list_type == "set" else "atomic"
        shape.keys = tuple(markers.get("x-kubernetes-list-map-keys", ()))
        shape.element = _compile(schema["items"], definitions, done) if isinstance(schema.get("items"), Mapping) else None
        if shape.merge == "list-map" and not shape.keys:
            shape.merge = "atomic"
    return shape


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Follow ``$ref``, single ``allOf`` and ``X | null`` to the schema that says how the value merges."""
    ref = ""
    for _ in range(32):
        choices = [part for part in schema.get("anyOf", ()) if part.get("type") != "null"]
        if "$ref" in schema:
            ref = schema["$ref"]
            schema = definitions.get(ref, {})
        elif len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        elif len(choices) == 1:
            schema = choices[0]
        else:
            break
    return schema, ref
