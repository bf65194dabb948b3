"""Sets of fields in the form Kubernetes stores them (FieldsV1), and their arithmetic.

``ssa.py`` computes who owns what with these. A set is a tree of dicts: ``{"f:spec": {"f:model": {}}}``; an empty dict is
a member, ``"."`` marks a node that is a member besides having children. Elements are ``f:<field>``, ``k:<keys as JSON>`` for an
entry of a keyed list and ``v:<value as JSON>`` for an entry of a set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from cipo.kernel.errors import Cause, Invalid
from cipo.kernel.wire.shape import DEDUCED, Shape

Fields = dict[str, Any]
MAX_DEPTH = 64


def dumps(value: Any) -> str:
    """JSON in one canonical form, so that equal keys are equal strings."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def of(value: dict[str, Any], shape: Shape) -> Fields:
    """All the fields that an object states. An empty object or list is a field itself, nulls state nothing."""
    return {f"f:{key}": _node(child, shape.child(key)) for key, child in value.items() if child is not None}


def _node(value: Any, shape: Shape) -> Fields:
    if isinstance(value, dict):
        return of(value, shape) if shape.merge in ("granular", "deduced") else {}
    if isinstance(value, list):
        if shape.merge == "list-set":
            return {f"v:{dumps(item)}": {} for item in value}
        if shape.merge == "list-map" and (entries := keyed(value, shape)) is not None:
            return {element: {".": {}, **_node(item, shape.element or DEDUCED)} for element, item in entries.items()}
    return {}


def keyed(items: list[Any], shape: Shape) -> dict[str, dict[str, Any]] | None:
    """The entries of a keyed list by their element; None when an entry lacks a key or two share one (then the list is one value)."""
    entries: dict[str, dict[str, Any]] = {}
    for item in items:
        if not isinstance(item, dict) or any(item.get(key) is None for key in shape.keys):
            return None
        element = f"k:{dumps({key: item[key] for key in shape.keys})}"
        if element in entries:
            return None
        entries[element] = item
    return entries


def strict_keyed(items: Any, shape: Shape, path: str) -> dict[str, dict[str, Any]]:
    """``keyed``, or Invalid naming what is wrong: an applied configuration must be mergeable."""
    if not isinstance(items, list):
        raise Invalid(f"{path}: must be a list", causes=[Cause(path, "must be a list", "FieldValueTypeInvalid")])
    entries = keyed(items, shape)
    if entries is None:
        why = f"each entry needs {' and '.join(shape.keys)}, and no two entries may have the same"
        raise Invalid(f"{path}: {why}", causes=[Cause(path, why, "FieldValueDuplicate")])
    return entries


def member(node: Fields) -> bool:
    """Whether the node itself is in the set, not only something below it."""
    return not node or "." in node


def _join(is_member: bool, children: Fields) -> Fields | None:
    if not children:
        return {} if is_member else None
    return {".": {}, **children} if is_member else children


def union(left: Fields, right: Fields) -> Fields:
    """In either."""
    result = dict(left)
    for element, node in right.items():
        mine = result.get(element)
        if element == "." or mine is None:
            result[element] = node
            continue
        children = union(_children(mine), _children(node))
        result[element] = _join(member(mine) or member(node), children) or {}
    return result


def without(left: Fields, right: Fields) -> Fields:
    """In ``left`` and not in ``right``, member by member."""
    return _difference(left, right, subtree=False)


def cleared(left: Fields, right: Fields) -> Fields:
    """``left`` without the members of ``right`` and everything below them."""
    return _difference(left, right, subtree=True)


def _difference(left: Fields, right: Fields, *, subtree: bool) -> Fields:
    if not right:
        return left
    result: Fields = {}
    for element, node in left.items():
        other = right.get(element)
        if other is None:
            result[element] = node
            continue
        if element == "." or (subtree and not other):
            continue
        rest = _join(member(node) and not member(other), _difference(_children(node), _children(other), subtree=subtree))
        if rest is not None:
            result[element] = rest
    return result


def overlaps(owned: Fields, changed: Fields, path: str = "") -> Iterator[str]:
    """Paths of ``changed`` that ``owned`` holds, or holds something below; as Kubernetes writes them (``.spec.ports[name="a"]``)."""
    for element, node in changed.items():
        mine = owned.get(element)
        if mine is None or element == ".":
            continue
        here = path + path_element(element)
        if not node:
            yield here
            continue
        if "." in node and member(mine):
            yield here
        yield from overlaps(mine, node, here)


def within(part: Fields, whole: Fields) -> Fields:
    """The members of ``part`` that are in ``whole`` too."""
    return without(part, without(part, whole))


def _children(node: Fields) -> Fields:
    return {element: child for element, child in node.items() if element != "."} if "." in node else node


def path_element(element: str) -> str:
    """One step of a path in words."""
    prefix, _, text = element.partition(":")
    match prefix:
        case "k":
            keys = orjson.loads(text)
            return "[" + ",".join(f"{key}={dumps(value)}" for key, value in keys.items()) + "]"
        case "v":
            return f"[={text}]"
        case "i":
            return f"[{text}]"
        case _:
            return f".{text}"


def well_formed(node: Any, depth: int = 0) -> bool:
    """Whether a tree that a client sent is a FieldsV1 set at all."""
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return False
    return all(_well_formed_element(element) and well_formed(child, depth + 1) for element, child in node.items())


def _well_formed_element(element: str) -> bool:
    if element == ".":
        return True
    prefix, colon, text = element.partition(":")
    if not colon or prefix not in ("f", "k", "v", "i"):
        return False
    if prefix == "i":
        return text.lstrip("-").isdigit()
    if prefix == "f":
        return True
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) or prefix == "v"
