"""Pydantic's JSON schema turned into what kubectl reads: Kubernetes structural schemas, one set of components a group.

``openapi.py`` puts them into documents. A structural schema is OpenAPI 3.0: no ``null`` type (``nullable`` instead), no ``const``, a
``$ref`` has no siblings, every value has one type. The schema people get (``/openapi.json``, OpenAPI 3.1) keeps pydantic's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cipo.kernel.models import Metadata
from cipo.kernel.unit import KindInfo

Schema = dict[str, Any]
COMPONENTS: Final = "#/components/schemas/"
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"

_DROPPED: Final = (
    "title",
    "$defs",
    "examples",
    "discriminator",
    "patternProperties",
    "propertyNames",
    "const",
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
)
_EXCLUSIVE: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def component(group: str, model: str) -> str:
    """The name of a model's component: ``facilities.v1.AssetSpec``."""
    return f"{group.partition('.')[0]}.v1.{model}"


def models_of(kinds: Iterable[KindInfo]) -> list[type[BaseModel]]:
    """All models whose schema a group publishes."""
    models: dict[type[BaseModel], None] = {}
    for kind in kinds:
        models |= dict.fromkeys((kind.spec_cls, kind.status_cls))
        models |= dict.fromkeys(action.input for action in kind.actions.values() if action.input)
    return list(models)


def definitions(models: list[type[BaseModel]]) -> tuple[dict[type[BaseModel], str], dict[str, Schema]]:
    """Pydantic's own schemas of several models at once, so that two models of one name get two names; and which name is whose."""
    pairs = [(model, "validation") for model in models]
    found, schema = models_json_schema(pairs, by_alias=True, ref_template="#/$defs/{model}")  # type: ignore[arg-type]
    names = {model: found[model, "validation"]["$ref"].removeprefix("#/$defs/") for model in models}
    return names, schema.get("$defs", {})


@dataclass(frozen=True, slots=True)
class Published:
    """The models of a group: pydantic's schemas, and the component name of each definition and of each model."""

    schemas: dict[str, Schema]
    renamed: dict[str, str]
    of: dict[type[BaseModel], str]


def published(group: str, kinds: list[KindInfo]) -> Published:
    """A group's models under their component names; a part that is called like a kind gives way to it."""
    names, schemas = definitions(models_of(kinds))
    taken = {kind.kind for kind in kinds} | {f"{kind.kind}List" for kind in kinds}
    renamed = {name: component(group, f"{name}Part" if name in taken else name) for name in schemas}
    return Published(schemas, renamed, {model: renamed[name] for model, name in names.items()})


@cache
def metadata_components() -> dict[str, Schema]:
    """ObjectMeta, ListMeta and what they hold, under the names that kubectl knows."""
    names, schemas = definitions([Metadata])
    renamed = {name: f"{META}.{'ObjectMeta' if name == names[Metadata] else name}" for name in schemas}
    components = {renamed[name]: structural(schema, renamed) for name, schema in schemas.items()}
    text = {"type": "string"}
    components[f"{META}.ListMeta"] = {
        "type": "object",
        "description": "Metadata of a list.",
        "properties": {
            "resourceVersion": {**text, "description": "Version of the list; a watch may start from it."},
            "continue": {**text, "description": "Token for the next page, when there is one."},
            "remainingItemCount": {"type": "integer", "format": "int64", "description": "How many objects follow this page."},
        },
    }
    return components


def kind_components(kind: KindInfo, names: Mapping[type[BaseModel], str]) -> dict[str, Schema]:
    """A kind and its list, with their group, version and kind; ``names`` are its models' components."""
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    version = {"type": "string", "description": "Group and version of this representation."}
    word = {"type": "string", "description": "The kind of this object."}

    def reference(name: str, description: str) -> Schema:
        return {"description": description, "allOf": [{"$ref": COMPONENTS + name}]}

    spec_help = f"What people want of this {kind.kind}."
    whole = {
        "type": "object",
        "description": kind.help,
        "required": ["spec"],
        "properties": {
            "apiVersion": version,
            "kind": word,
            "metadata": reference(f"{META}.ObjectMeta", "Name, labels and what the server keeps."),
            "spec": reference(names[kind.spec_cls], spec_help),
            "status": reference(names[kind.status_cls], "What is so; written by the unit."),
        },
        "x-kubernetes-group-version-kind": [gvk],
    }
    items = {"type": "array", "description": "The objects.", "items": {"$ref": COMPONENTS + component(kind.group, kind.kind)}}
    listed = {
        "type": "object",
        "description": f"A list of {kind.kind} objects.",
        "required": ["items"],
        "properties": {
            "apiVersion": version,
            "kind": word,
            "metadata": reference(f"{META}.ListMeta", "Metadata of the list."),
            "items": items,
        },
        "x-kubernetes-group-version-kind": [{**gvk, "kind": f"{kind.kind}List"}],
    }
    return {component(kind.group, kind.kind): whole, component(kind.group, f"{kind.kind}List"): listed}


def structural(schema: Mapping[str, Any], names: Mapping[str, str]) -> Schema:
    """One JSON schema as a structural one; ``names`` maps pydantic's definitions to component names."""
    schema, nullable = _without_null(schema)
    result: Schema = {key: value for key, value in schema.items() if key not in _DROPPED and key not in _EXCLUSIVE}
    if nullable:
        result["nullable"] = True
    if "$ref" in schema:
        return _reference(result, COMPONENTS + names[schema["$ref"].removeprefix("#/$defs/")])
    if len(schema.get("allOf", ())) == 1:
        inner = structural(schema["allOf"][0], names)
        return _reference(result, inner["$ref"]) if "$ref" in inner else {**inner, **result}
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return {**result, **_choice(choices)}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    _values(result, schema, names)
    if result.get("default", 0) is None:
        del result["default"]
    return result


def _without_null(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Pydantic writes ``X | None`` as anyOf; the bare X and whether null is allowed."""
    choices = schema.get("anyOf", ())
    rest = [choice for choice in choices if choice.get("type") != "null"]
    if len(rest) == len(choices):
        return schema, False
    outer = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if schema.get("default") is not None:
        outer["default"] = schema["default"]
    return ({**rest[0], **outer} if len(rest) == 1 else {**outer, "anyOf": rest}), True


def _reference(siblings: Schema, target: str) -> Schema:
    return {**siblings, "allOf": [{"$ref": target}]} if siblings else {"$ref": target}


def _choice(choices: Iterable[Mapping[str, Any]]) -> Schema:
    """A value of several types: kubectl knows one such pair by name, any other is left open."""
    types = {choice.get("type") for choice in choices}
    if types == {"string"}:
        return {"type": "string"}
    if types <= {"integer", "number", "string"}:
        return {"x-kubernetes-int-or-string": True}
    return (
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        if types == {None}
        else {"x-kubernetes-preserve-unknown-fields": True}
    )


def _values(result: Schema, schema: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """What lies inside: members, items, bounds; in place."""
    for exclusive, bound in _EXCLUSIVE.items():
        if exclusive in schema:
            result |= {bound: schema[exclusive], exclusive: True}
    if "properties" in schema:
        result["properties"] = {name: structural(part, names) for name, part in schema["properties"].items()}
    extra = schema.get("additionalProperties", next(iter(schema.get("patternProperties", {}).values()), None))
    result.pop("additionalProperties", None)
    if isinstance(extra, Mapping) and extra:
        result["additionalProperties"] = structural(extra, names)
    elif result.get("type") == "object" and "properties" not in schema:
        result["x-kubernetes-preserve-unknown-fields"] = True
    if result.get("type") == "array":
        prefix = result.pop("prefixItems", None)
        items = schema.get("items")
        result["items"] = structural(items, names) if isinstance(items, Mapping) else structural(prefix[0], names) if prefix else {}
