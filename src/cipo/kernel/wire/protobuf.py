"""The little protobuf that kubectl insists on: ``auth can-i`` and ``auth whoami`` send their question in it and do not retry as JSON.

``auth.py`` calls ``review`` on such a body. Only reading, only these fields; numbers are those of Kubernetes'
generated.proto (k8s.io/apimachinery/pkg/runtime, k8s.io/api/authorization/v1). The answer goes out as JSON, which kubectl takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from cipo.kernel.errors import BadRequest

MAGIC: Final = b"k8s\x00"
MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAX_BYTES: Final = 64 * 1024
RESOURCE: Final = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}
NON_RESOURCE: Final = {1: "path", 2: "verb"}


def review(body: bytes) -> dict[str, Any]:
    """The JSON form of a self subject review: kind, and the spec's attributes if it has any."""
    if not body.startswith(MAGIC) or len(body) > MAX_BYTES:
        raise BadRequest("the body is not a Kubernetes protobuf message; send application/json")
    unknown = dict(_fields(body[len(MAGIC) :]))
    kind = _text(dict(_fields(_bytes(unknown.get(1)))).get(2))
    spec = dict(_fields(_bytes(dict(_fields(_bytes(unknown.get(2)))).get(2))))
    result: dict[str, Any] = {"kind": kind, "spec": {}}
    if kind == "SelfSubjectAccessReview":
        if 1 in spec:
            result["spec"]["resourceAttributes"] = _named(spec[1], RESOURCE)
        if 2 in spec:
            result["spec"]["nonResourceAttributes"] = _named(spec[2], NON_RESOURCE)
    elif kind == "SelfSubjectRulesReview":
        result["spec"]["namespace"] = _text(spec.get(1))
    return result


def _named(value: int | bytes, names: dict[int, str]) -> dict[str, str]:
    return {names[number]: _text(field) for number, field in _fields(_bytes(value)) if number in names}


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field: varint and fixed as int, length-delimited as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        match wire:
            case 0:
                value, at = _varint(data, at)
                yield number, value
            case 1 | 5:
                width = 8 if wire == 1 else 4
                yield number, int.from_bytes(_slice(data, at, width), "little")
                at += width
            case 2:
                length, at = _varint(data, at)
                yield number, _slice(data, at, length)
                at += length
            case _:
                raise BadRequest(f"the protobuf body has wire type {wire}, which is not taken; send application/json")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadRequest("the protobuf body is cut off; send application/json")


def _slice(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise BadRequest("the protobuf body is cut off; send application/json")
    return data[at : at + length]


def _bytes(value: int | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: int | bytes | None) -> str:
    return value.decode("utf-8", "replace")[:1024] if isinstance(value, bytes) else ""
