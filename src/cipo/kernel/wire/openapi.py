"""OpenAPI documents: v3 a group for kubectl (``/openapi/v3``), and one 3.1 document for people and their tools (``/openapi.json``).

``meta.py`` serves them. They are computed once from the registry and kept as bytes; the index names each document by its hash, so
clients keep it for ever. kubectl reads the schemas (explain), the ``fieldValidation`` parameter (create, apply) and the paths' kinds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from cipo.kernel.unit import KindInfo, Registry
from cipo.kernel.wire import patch
from cipo.kernel.wire.schema import COMPONENTS, META, component, kind_components, metadata_components, published, structural

Document = dict[str, Any]
_STATUS: Final = "meta.v1.Status"


def parameter(name: str, kind: str, description: str, values: Iterable[str] = ()) -> Document:
    """A query parameter."""
    schema: Document = {"type": kind, **({"enum": list(values)} if values else {})}
    return {"name": name, "in": "query", "description": description, "schema": schema}


_SELECT: Final = [
    parameter("labelSelector", "string", "Labels to select by, e.g. site=ams1,tier in (a,b)."),
    parameter("fieldSelector", "string", "Fields to select by: metadata.name, metadata.uid and the kind's own."),
]
_LIST: Final = [
    *_SELECT,
    parameter("limit", "integer", "Objects a page."),
    parameter("continue", "string", "Token of the next page."),
    parameter("resourceVersion", "string", "For a watch: where it starts."),
    parameter("watch", "boolean", "Stream changes as lines of JSON."),
    parameter("allowWatchBookmarks", "boolean", "Send bookmarks in the watch."),
    parameter("sendInitialEvents", "boolean", "Begin the watch with what is there."),
    parameter("timeoutSeconds", "integer", "End the watch after this time."),
]
_WRITE: Final = [
    parameter("dryRun", "string", "Do everything but keep it.", ["All"]),
    parameter("fieldManager", "string", "Who owns the fields that this request writes."),
    parameter("fieldValidation", "string", "What to do with unknown fields.", ["Ignore", "Warn", "Strict"]),
]
_FORCE: Final = parameter("force", "boolean", "Take fields over from their managers (apply only).")
_DELETE: Final = [
    parameter("dryRun", "string", "Do everything but keep it.", ["All"]),
    parameter("propagationPolicy", "string", "What happens to objects that refer to this one.", ["Background", "Foreground", "Orphan"]),
]
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key gives the same answer, and the action is done once.",
    "schema": {"type": "string", "maxLength": 128},
}


@dataclass(frozen=True, slots=True)
class _Operation:
    """One method of one path, before it is written as 3.0 or 3.1."""

    path: str
    method: str
    action: str
    summary: str
    parameters: list[Document]
    answer: str
    code: str = "200"
    body: str | None = None
    media: tuple[str, ...] = ("application/json",)


@dataclass(slots=True)
class OpenApi:
    """All documents of a registry."""

    registry: Registry
    _groups: dict[str, bytes] = field(default_factory=dict)
    _people: bytes = b""

    def index(self) -> bytes:
        """``/openapi/v3``: where each group's document is, by hash."""
        paths = {
            f"apis/{group}/v1": {"serverRelativeURL": f"/openapi/v3/apis/{group}/v1?hash={digest(self.group(group))}"}
            for group in self.registry.groups
        }
        return orjson.dumps({"paths": paths})

    def group(self, group: str) -> bytes:
        """``/openapi/v3/apis/<group>/v1``."""
        if group not in self._groups:
            self._groups[group] = orjson.dumps(group_document(self.registry, group))
        return self._groups[group]

    def people(self) -> bytes:
        """``/openapi.json``."""
        if not self._people:
            self._people = orjson.dumps(people_document(self.registry))
        return self._people


def digest(body: bytes) -> str:
    """The hash that names a version of a document."""
    return hashlib.sha256(body).hexdigest().upper()


def group_document(registry: Registry, group: str) -> Document:
    """OpenAPI 3.0 of one group, with the markers that kubectl looks for."""
    kinds = [kind for kind in registry.kinds if kind.group == group]
    models = published(group, kinds)
    components = {models.renamed[name]: structural(schema, models.renamed) for name, schema in models.schemas.items()}
    components |= metadata_components()
    paths: Document = {}
    for kind in kinds:
        components |= kind_components(kind, models.of)
        for operation in _operations(kind, models.of):
            gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
            extra = {"x-kubernetes-action": operation.action, "x-kubernetes-group-version-kind": gvk}
            _add(paths, kind, operation, extra)
    components[_STATUS] = _status_schema()
    return {"openapi": "3.0.0", "info": _info(group), "paths": paths, "components": {"schemas": components}}


def people_document(registry: Registry) -> Document:
    """OpenAPI 3.1 of everything: plain JSON schema, no Kubernetes markers."""
    components: Document = {_STATUS: _status_schema()} | {name: _renamed(schema, {}) for name, schema in metadata_components().items()}
    paths: Document = {}
    for group in registry.groups:
        kinds = [kind for kind in registry.kinds if kind.group == group]
        models = published(group, kinds)
        references = {f"#/$defs/{old}": COMPONENTS + new for old, new in models.renamed.items()}
        components |= {models.renamed[name]: _renamed(schema, references) for name, schema in models.schemas.items()}
        for kind in kinds:
            plain = kind_components(kind, models.of)
            components |= {
                name: {key: value for key, value in schema.items() if not key.startswith("x-")} for name, schema in plain.items()
            }
            for operation in _operations(kind, models.of):
                _add(paths, kind, operation, {})
    secured = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
    return {
        "openapi": "3.1.0",
        "info": _info("cipo"),
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": components, **secured},
    }


def _info(title: str) -> Document:
    return {"title": title, "version": "v1", "description": "The organisation as an API; the same wire as Kubernetes."}


def _operations(kind: KindInfo, names: dict[Any, str]) -> Iterable[_Operation]:
    collection = f"/apis/{kind.group}/{kind.version}/{kind.plural}"
    one, whole = f"{collection}/{{name}}", component(kind.group, kind.kind)
    patches, word = tuple(patch.MEDIA_TYPES), kind.kind
    yield _Operation(collection, "get", "list", f"List or watch {word} objects.", _LIST, component(kind.group, f"{word}List"))
    yield _Operation(one, "get", "get", f"Read a {word}.", [], whole)
    if not kind.readonly:
        yield _Operation(collection, "post", "post", f"Create a {word}.", _WRITE, whole, "201", body=whole)
        yield _Operation(one, "put", "put", f"Replace a {word}.", _WRITE, whole, body=whole)
        yield _Operation(one, "patch", "patch", f"Change a {word}.", [*_WRITE, _FORCE], whole, body="", media=patches)
        yield _Operation(one, "delete", "delete", f"Delete a {word}.", _DELETE, _STATUS)
    yield _Operation(f"{one}/status", "get", "get", f"Read a {word} with its status.", [], whole)
    if not kind.readonly:
        yield _Operation(f"{one}/status", "put", "put", f"Replace a {word}'s status.", _WRITE, whole, body=whole)
        yield _Operation(f"{one}/status", "patch", "patch", f"Change a {word}'s status.", [*_WRITE, _FORCE], whole, body="", media=patches)
    for action in kind.actions.values():
        body = names[action.input] if action.input else None
        parameters = [_WRITE[0], _IDEMPOTENCY]
        yield _Operation(f"{one}/{action.name}", "post", "connect", action.help, parameters, whole, "201", body=body)


def _add(paths: Document, kind: KindInfo, operation: _Operation, extra: Document) -> None:
    """Write one operation into the paths."""
    path = paths.setdefault(operation.path, {})
    if "{name}" in operation.path:
        path["parameters"] = [
            {"name": "name", "in": "path", "required": True, "description": "Name of the object.", "schema": {"type": "string"}}
        ]
    suffix = operation.path.rpartition("}")[2].strip("/").title().replace("-", "") if "{name}" in operation.path else "Collection"
    written: Document = {
        "operationId": f"{operation.method}{kind.group.partition('.')[0].title()}{kind.kind}{suffix}",
        "tags": [kind.group],
        "description": operation.summary,
        "parameters": operation.parameters,
        "responses": {
            operation.code: {"description": "Done.", "content": {"application/json": {"schema": {"$ref": COMPONENTS + operation.answer}}}},
            "default": {"description": "Refused.", "content": {"application/json": {"schema": {"$ref": COMPONENTS + _STATUS}}}},
        },
        **extra,
    }
    if operation.body is not None:
        schema = {"$ref": COMPONENTS + operation.body} if operation.body else {}
        written["requestBody"] = {"required": True, "content": {media: {"schema": schema} for media in operation.media}}
    path[operation.method] = written


def _status_schema() -> Document:
    """meta/v1 Status: the answer to what could not be done."""
    text = {"type": "string"}
    cause = {"type": "object", "properties": {"reason": text, "message": text, "field": text}}
    details = {
        "type": "object",
        "properties": {
            "name": text,
            "group": text,
            "kind": text,
            "uid": text,
            "retryAfterSeconds": {"type": "integer"},
            "causes": {"type": "array", "items": cause},
        },
    }
    return {
        "type": "object",
        "description": "The outcome of a request, in words and by field.",
        "properties": {
            "apiVersion": text,
            "kind": text,
            "metadata": {"allOf": [{"$ref": f"{COMPONENTS}{META}.ListMeta"}]},
            "status": {**text, "enum": ["Success", "Failure"]},
            "message": text,
            "reason": text,
            "code": {"type": "integer"},
            "details": details,
        },
    }


def _renamed(value: Any, references: dict[str, str]) -> Any:
    """The same schema without Kubernetes' markers, its references pointing at the components."""
    if isinstance(value, dict):
        renamed = {key: _renamed(child, references) for key, child in value.items() if not key.startswith("x-")}
        if isinstance(value.get("$ref"), str):
            renamed["$ref"] = references.get(value["$ref"], value["$ref"])
        return renamed
    return [_renamed(child, references) for child in value] if isinstance(value, list) else value
