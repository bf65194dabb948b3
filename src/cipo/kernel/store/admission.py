"""What every write passes, in order: names, decoding, defaults, schema, the unit's rules, immutability; then refs, claims, columns.

Pure functions of (old object, new object, kind): ``Resources`` calls ``admit`` between its read and its one write statement, and a dry run
goes exactly the same way. All errors of an object are returned together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ValidationError

from cipo.kernel.errors import BadRequest, Cause, Invalid
from cipo.kernel.models import NAME_MAX, NAME_PATTERN, Claim, Kind, Metadata, Model, RangeClaim, Ref, Status, refs_of
from cipo.kernel.principal import Caller
from cipo.kernel.unit import KindInfo, Registry, dotted
from cipo.kernel.wire.selectors import label_key_fault, label_value_fault

Validation = Literal["Strict", "Warn", "Ignore"]
_NAME = re.compile(NAME_PATTERN)
ANNOTATIONS_MAX = 256 * 1024  # bytes, as in Kubernetes
LABELS_MAX = 64
CAUSES_MAX = 50  # errors of one part that are spelled out; hostile input has thousands
TOP = ("apiVersion", "kind", "metadata", "spec", "status")
METADATA = (*(info.alias for info in Metadata.model_fields.values() if info.alias), "selfLink", "namespace")
WANTED = ("name", "labels", "annotations", "finalizers", "ownerReferences")  # what a caller may set


@dataclass(frozen=True, slots=True)
class Asking:
    """Who wants to write, and all that is declared: what a kind's own rules may look at beside the object."""

    caller: Caller
    registry: Registry


@dataclass(slots=True)
class Admitted:
    """An object that passed: the typed resource and what follows from it."""

    resource: Kind[Any, Any]
    object: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    refs: list[tuple[str, Ref[Any]]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    ranges: list[RangeClaim] = field(default_factory=list)


def typed(kind: KindInfo, obj: dict[str, Any]) -> Kind[Any, Any]:
    """The stored object as the unit's class."""
    metadata = Metadata.model_validate(obj["metadata"])
    spec = kind.spec_cls.model_validate(obj.get("spec") or {})
    status = kind.status_cls.model_validate(obj.get("status") or {})
    return kind.cls.model_construct(metadata=metadata, spec=spec, status=status)


def admit(kind: KindInfo, new: dict[str, Any], old: dict[str, Any] | None, *, part: str, validation: Validation, ctx: Asking) -> Admitted:
    """Check ``new`` against its kind; ``part`` is "" (spec and metadata), "status" or "all" (an action's own write).

    Raises Invalid with every cause, or BadRequest when the envelope is not this kind's.
    """
    name = str(dotted(new, "metadata.name") or dotted(old or {}, "metadata.name") or "")[:NAME_MAX]
    _envelope(kind, new)
    causes = [*_metadata_causes(new.get("metadata") or {}), *_unknown_top(new, validation)]
    warnings: list[str] = []
    metadata = _metadata(new, old)
    old_spec, old_status = (old or {}).get("spec"), (old or {}).get("status")
    spec = decoded(kind.spec_cls, (new.get("spec") or {}) if part != "status" else old_spec or {}, "spec", validation, causes, warnings)
    wished = (new.get("status") or {}) if part != "" else (old_status or {})
    status = decoded(kind.status_cls, wished, "status", validation, causes, warnings)
    checked = None if causes else decoded(Metadata, metadata, "metadata", "Strict", causes, warnings)
    if causes or spec is None or status is None or checked is None:
        raise Invalid.of(kind.kind, kind.group, name, causes)
    resource = kind.cls.model_construct(metadata=checked, spec=spec, status=status)
    resource.default()
    before = typed(kind, old) if old else None
    if part != "status":
        causes += _immutable(kind.spec_cls, resource.spec, before.spec if before else None, "spec")
    causes += [Cause(path, message) for path, message in resource.validate_change(before, ctx)]
    if causes:
        raise Invalid.of(kind.kind, kind.group, name, causes)
    admitted = Admitted(resource, assemble(kind, metadata, resource), warnings)
    admitted.refs = [*refs_of(resource.spec, "spec"), *refs_of(resource.status, "status")]
    for claim in resource.claims():
        if isinstance(claim, Claim):
            admitted.claims.append(claim)
        elif claim.hi > claim.lo >= 0:
            admitted.ranges.append(claim)
        else:
            raise Invalid.of(kind.kind, kind.group, name, [Cause(claim.path, f"range {claim.lo}-{claim.hi} is empty or negative")])
    return admitted


def assemble(kind: KindInfo, metadata: dict[str, Any], resource: Kind[Any, Any]) -> dict[str, Any]:
    """The JSON object in the order that people read it."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {key: value for key, value in metadata.items() if value not in (None, {}, [], "")},
        "spec": resource.spec.wire(),
        "status": _status(resource.status),
    }


def _status(status: Status) -> dict[str, Any]:
    body = status.wire()
    return {key: value for key, value in body.items() if value not in ([], {}) and not (key == "observedGeneration" and not value)}


def _envelope(kind: KindInfo, new: dict[str, Any]) -> None:
    for key, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        given = new.get(key)
        if given not in (None, "", wanted):
            raise BadRequest(f'the {key} in the body is "{given}"; this path takes "{wanted}"')
    if not isinstance(new.get("metadata", {}), dict):
        raise BadRequest("metadata must be an object")


def _metadata(new: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    """The server's metadata with what the caller may set on top."""
    given = new.get("metadata") or {}
    metadata = dict((old or {}).get("metadata") or {})
    for key in WANTED:
        metadata[key] = given.get(key) if key != "name" else (metadata.get("name") or given.get("name"))
    if "managedFields" in given:
        metadata["managedFields"] = given["managedFields"]
    return {key: value for key, value in metadata.items() if value is not None}


def _metadata_causes(metadata: dict[str, Any]) -> Iterable[Cause]:
    name = metadata.get("name")
    if name is not None and (not isinstance(name, str) or len(name) > NAME_MAX or not _NAME.match(name)):
        shown = str(name)[:80]
        yield Cause(
            "metadata.name", f'Invalid value: "{shown}": use lower-case letters, digits, "-" and ".", at most {NAME_MAX} characters'
        )
    if metadata.get("namespace"):
        yield Cause("metadata.namespace", "Forbidden: kinds of cipo are not namespaced; leave it out", "FieldValueForbidden")
    labels = metadata.get("labels") or {}
    if not isinstance(labels, dict) or len(labels) > LABELS_MAX:
        yield Cause("metadata.labels", f"must be an object of at most {LABELS_MAX} strings")
    else:
        yield from _label_causes(labels)
    annotations = metadata.get("annotations") or {}
    if not isinstance(annotations, dict) or any(not isinstance(value, str) for value in annotations.values()):
        yield Cause("metadata.annotations", "must be an object of strings")
    elif sum(len(key) + len(value) for key, value in annotations.items()) > ANNOTATIONS_MAX:
        yield Cause("metadata.annotations", f"too long: at most {ANNOTATIONS_MAX} bytes in all", "FieldValueTooLong")
    finalizers = metadata.get("finalizers") or []
    if not isinstance(finalizers, list) or len(finalizers) > 20 or any(not isinstance(f, str) or len(f) > NAME_MAX for f in finalizers):
        yield Cause("metadata.finalizers", "must be a list of at most 20 names")


def _label_causes(labels: dict[str, Any]) -> Iterable[Cause]:
    for key, value in labels.items():
        if fault := label_key_fault(key):
            yield Cause("metadata.labels", f'Invalid value: "{key[:80]}": {fault}')
        elif not isinstance(value, str) or (fault := label_value_fault(value)):
            yield Cause(f"metadata.labels.{key[:80]}", f'Invalid value: "{str(value)[:80]}": {fault or "must be a string; quote it"}')


def _unknown_top(new: dict[str, Any], validation: Validation) -> Iterable[Cause]:
    if validation != "Strict":
        return
    yield from islice((_unknown(key, "", TOP) for key in new if key not in TOP), CAUSES_MAX)
    yield from islice((_unknown(key, "metadata", METADATA) for key in new.get("metadata") or {} if key not in METADATA), CAUSES_MAX)


def _unknown(key: str, path: str, known: Iterable[str]) -> Cause:
    key = key[:80]
    at = f"{path}.{key}" if path else key
    close = difflib.get_close_matches(key, list(known), n=1)
    hint = f"; did you mean {path + '.' if path else ''}{close[0]}?" if close else ""
    return Cause(at, f'strict decoding error: unknown field "{at}"{hint}', "FieldValueNotSupported")


def decoded(cls: type[Model], value: Any, root: str, validation: Validation, causes: list[Cause], warnings: list[str]) -> Any:
    """The typed value; unknown fields are errors, warnings or dropped as ``validation`` says."""
    if not isinstance(value, dict):
        causes.append(Cause(root, f"must be an object, not {type(value).__name__}", "FieldValueTypeInvalid"))
        return None
    if validation == "Strict" and len(value) > len(cls.model_fields) + CAUSES_MAX:  # not worth the time to look at the rest
        known = {info.alias or name for name, info in cls.model_fields.items()}
        causes += islice((_unknown(key, root, known) for key in value if key not in known), CAUSES_MAX)
        return None
    try:
        return cls.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    unknown = [entry for entry in errors if entry["type"] == "extra_forbidden"]
    if unknown and validation != "Strict" and len(unknown) == len(errors):
        pruned: dict[str, Any] = orjson.loads(orjson.dumps(value))
        for entry in unknown:
            if validation == "Warn":
                warnings.append(f'unknown field "{_path(root, entry["loc"])}"')
            _drop(pruned, entry["loc"])
        return decoded(cls, pruned, root, validation, causes, warnings)
    causes += [_cause(cls, root, entry) for entry in errors[:CAUSES_MAX]]
    if len(errors) > CAUSES_MAX:
        causes.append(Cause(root, f"and {len(errors) - CAUSES_MAX} more errors", "FieldValueInvalid"))
    return None


def _drop(value: Any, loc: tuple[int | str, ...]) -> None:
    for step in loc[:-1]:
        if isinstance(step, int) and isinstance(value, list):
            value = value[step]
        elif isinstance(value, dict) and step in value:
            value = value[step]
    if isinstance(value, dict):
        value.pop(loc[-1], None)


def _path(root: str, loc: tuple[int | str, ...]) -> str:
    path = root
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith(("function-", "is-instance", "constrained-", "str", "literal[", "nullable")):
            path += f".{step}"
    return path


def _cause(cls: type[Model], root: str, entry: Any) -> Cause:
    path, kind = _path(root, entry["loc"]), entry["type"]
    if kind == "extra_forbidden":
        parent, _, key = path.rpartition(".")
        return _unknown(key, parent, _fields_at(cls, entry["loc"][:-1]))
    if kind == "missing":
        return Cause(path, "Required value", "FieldValueRequired")
    shown = str(entry.get("input"))[:120]
    message = entry["msg"]
    return Cause(path, f"Invalid value: {shown!r}: {message[:1].lower()}{message[1:]}")


def _fields_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The names known at a place of the schema, for did-you-mean."""
    schema = _json_schema(cls)
    node = schema
    for step in loc:
        node = _resolve(schema, node)
        node = node.get("items", {}) if isinstance(step, int) else node.get("properties", {}).get(step, node)
    return list(_resolve(schema, node).get("properties", {}))


@cache
def _json_schema(cls: type[BaseModel]) -> dict[str, Any]:
    return cls.model_json_schema(by_alias=True)


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in (node, *node.get("anyOf", ()), *node.get("allOf", ())):
        if "$ref" in option:
            found: dict[str, Any] = schema["$defs"][option["$ref"].rsplit("/", 1)[-1]]
            return found
    return node


def _immutable(cls: type[BaseModel], new: Any, old: Any, path: str) -> Iterable[Cause]:
    if old is None:
        return
    for name, info in cls.model_fields.items():
        extra = info.json_schema_extra
        here = f"{path}.{info.alias or name}"
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(extra, dict) and extra.get("x-cipo-immutable") and before != after:
            yield Cause(
                here,
                f"Invalid value: {str(after)[:80]!r}: cannot change (it is {str(before)[:80]!r}); delete the object and create it anew",
                "FieldValueForbidden",
            )
        elif isinstance(before, BaseModel) and type(before) is type(after):
            yield from _immutable(type(before), after, before, here)


def selectable(kind: KindInfo, obj: dict[str, Any]) -> dict[str, Any]:
    """The declared fields that lists filter by, as text."""
    fields = {}
    for path in kind.select:
        value = dotted(obj, path)
        if value is not None:
            fields[path] = str(value).lower() if isinstance(value, bool) else str(value)
    return fields


def cells(kind: KindInfo, obj: dict[str, Any]) -> bytes:
    """The printer columns' values, kept beside the body so that tables never parse it."""
    return orjson.dumps([_cell(dotted(obj, column.path)) for column in kind.columns])


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ",".join(str(item) for item in value[:20])
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in list(value.items())[:20])
    return value
