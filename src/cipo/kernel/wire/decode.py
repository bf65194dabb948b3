"""Bodies in: bytes from the network become one JSON value, or a 400/413/415 before they can do harm.

The routes call ``decode`` on every request body. JSON is parsed by orjson after a scan at C speed that bounds size, nesting
and number of values, so a hostile body costs milliseconds; duplicate keys, which parsers resolve silently and differently,
are refused with their path. YAML is read by ``cipo.kernel.yaml`` with the same bounds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from cipo.kernel.errors import BadRequest, TooLarge, UnsupportedMediaType
from cipo.kernel.yaml import DuplicateKey, NotPlain, TooMany, YamlFault, documents

MAX_BYTES: Final = 1024 * 1024
MAX_YAML_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 50_000
MAX_CONTAINERS: Final = 20_000
MAX_YAML_VALUES: Final = 5_000

JSON_TYPES: Final = ("application/json", "application/merge-patch+json", "application/json-patch+json", "text/json", "")
YAML_TYPES: Final = ("application/yaml", "application/apply-patch+yaml", "text/yaml", "application/x-yaml")

_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(c for c in range(256) if c not in b"[]{}")
_HUGE_INTEGER = re.compile(rb"(?<![\w.+-])-?\d{20,}(?![\w.])")


def decode(body: bytes, content_type: str = "application/json") -> Any:
    """The value of a request body by its media type. ``application/apply-patch+yaml`` may carry JSON, as kubectl sends it."""
    media = content_type.partition(";")[0].strip().lower()
    if len(body) > MAX_BYTES:
        raise too_large(len(body))
    if media in JSON_TYPES:
        return decode_json(body)
    if media in YAML_TYPES:
        return _json_or_yaml(body)
    raise UnsupportedMediaType(f"Content-Type {media!r} cannot be read here; send application/json or application/yaml")


def _json_or_yaml(body: bytes) -> Any:
    """JSON is nearly YAML and cheaper to read: try it first when it looks like it; flow style ``{a: 1}`` is then YAML's."""
    if body.lstrip()[:1] in (b"{", b"["):
        try:
            return decode_json(body)
        except _NotJson:
            pass
    return decode_yaml(body)


class _NotJson(BadRequest):
    """The syntax is not JSON."""


def too_large(size: int) -> TooLarge:
    """The refusal of a body over the limit, also used before the body has arrived (by Content-Length)."""
    return TooLarge(f"the body has {size} bytes; at most {MAX_BYTES} are taken, split the object or store its data elsewhere")


def decode_json(body: bytes) -> Any:
    """Strict JSON: bounded, no duplicate keys, no NaN, no NUL character, no integer that a double would round."""
    if not body:
        raise BadRequest("the body is empty; send a JSON object")
    pairs = _scan(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _NotJson(f"the body is not JSON: {error}") from error
    if pairs != _pairs(value):
        paths = ", ".join(f'duplicate field "{path}"' for path in _duplicates(body))
        raise BadRequest(f"strict decoding error: {paths}; keep one of them")
    return value


def _scan(body: bytes) -> int:
    """Check nesting and number of values without building them; the number of key-value pairs that valid JSON must have."""
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body
    if rb"\u0000" in plain:
        raise BadRequest("the body holds the character \\u0000 (NUL), which cannot be stored; remove it")
    if plain.count(b'"') > 4 * MAX_VALUES:
        raise _too_many(MAX_VALUES)
    outside = b"".join(plain.split(b'"')[::2]) if b'"' in plain else plain
    brackets = outside.translate(_BRACKETS, _NOT_BRACKETS)
    if outside.count(b",") + len(brackets) // 2 > MAX_VALUES or len(brackets) > 2 * MAX_CONTAINERS:
        raise _too_many(MAX_VALUES)
    if brackets.count(b"[") > MAX_DEPTH and _deeper(brackets, MAX_DEPTH):
        raise BadRequest(f"the body is nested more than {MAX_DEPTH} levels deep")
    huge = _HUGE_INTEGER.search(outside)
    if huge:
        raise BadRequest(f"{huge[0].decode()[:40]} does not fit 64 bits; write it as a string")
    return outside.count(b":")


def _deeper(brackets: bytes, depth: int) -> bool:
    """Whether brackets nest more than ``depth`` levels; each pass removes the innermost level. Unbalanced text is left to the parser."""
    for _ in range(depth):
        inner = brackets.replace(b"[]", b"")
        if not inner:
            return False
        if len(inner) == len(brackets):
            return brackets.count(b"[") > depth
        brackets = inner
    return True


def _pairs(value: Any) -> int:
    """How many key-value pairs the parsed value holds."""
    count = 0
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            count += len(item)
            stack.extend(child for child in item.values() if isinstance(child, (dict, list)))
        elif isinstance(item, list):
            stack.extend(child for child in item if isinstance(child, (dict, list)))
    return count


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that duplicates are still there."""


def _duplicates(body: bytes) -> list[str]:
    """Paths of the keys that occur twice, at most 10. Only called when there are some."""
    found: list[str] = []
    for path in _repeated(json.loads(body, object_pairs_hook=_Object), ""):
        found.append(path)
        if len(found) == 10:
            break
    return found


def _repeated(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Object):
        seen: set[str] = set()
        for key, child in value:
            here = f"{path}.{key[:64]}" if path else key[:64]
            if key in seen:
                yield here
            seen.add(key)
            yield from _repeated(child, here)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _repeated(child, f"{path}[{index}]")


def decode_yaml(body: bytes) -> Any:
    """One YAML document, bounded; no anchors, aliases, tags or directives, no duplicate keys, dates stay strings."""
    if len(body) > MAX_YAML_BYTES:
        raise TooLarge(f"the YAML body has {len(body)} bytes; at most {MAX_YAML_BYTES}, send JSON for more (up to {MAX_BYTES})")
    try:
        values = documents(body, most_values=MAX_YAML_VALUES, most_documents=1)
    except DuplicateKey as error:
        raise BadRequest(f"strict decoding error: {error.why}") from error
    except TooMany as error:
        raise _too_many(MAX_YAML_VALUES) from error
    except NotPlain as error:
        raise BadRequest(f"the body is not plain YAML: {error}") from error
    except YamlFault as error:
        raise BadRequest(f"the body is not YAML: {error}") from error
    if not values:
        raise BadRequest("the body is empty; send one YAML document")
    return values[0]


def _too_many(limit: int) -> TooLarge:
    return TooLarge(f"the body holds more than {limit} values; split it")
