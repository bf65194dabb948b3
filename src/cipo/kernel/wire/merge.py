"""Merging an applied configuration into a live object, taking out what was given up, and telling what changed.

The mechanics below ``ssa.py``: each function walks two JSON values side by side with their ``Shape``. Pure; the inputs stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cipo.kernel.errors import Cause, Invalid
from cipo.kernel.wire import fields
from cipo.kernel.wire.fields import Fields
from cipo.kernel.wire.shape import DEDUCED, Shape

Object = dict[str, Any]


def without_nulls(value: Any) -> Any:
    """In an applied configuration null is the same as leaving the field out."""
    if isinstance(value, dict):
        return {key: without_nulls(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [without_nulls(child) for child in value]
    return value


def merge(live: Mapping[str, Any], wanted: Mapping[str, Any], shape: Shape, path: str) -> Object:
    """``live`` with what ``wanted`` states; ``path`` names the place in errors."""
    result = dict(live)
    for key, value in wanted.items():
        result[key] = _merged(live.get(key), value, shape.child(key), f"{path}.{key}" if path else key)
    return result


def _merged(live: Any, value: Any, shape: Shape, path: str) -> Any:
    if isinstance(value, dict) and shape.merge in ("granular", "deduced"):
        return merge(live if isinstance(live, dict) else {}, value, shape, path)
    if shape.merge == "list-map":
        wanted = fields.strict_keyed(value, shape, path)
        current = (fields.keyed(live, shape) if isinstance(live, list) else None) or {}
        element = shape.element or DEDUCED
        entries = {key: _merged(current.get(key), item, element, path + fields.path_element(key)) for key, item in wanted.items()}
        return [entries[key] if key in entries else current[key] for key in _interleave(list(current), list(wanted))]
    if shape.merge == "list-set" and isinstance(value, list):
        if len({fields.dumps(item) for item in value}) != len(value):
            raise Invalid(f"{path}: an entry occurs twice", causes=[Cause(path, "an entry occurs twice", "FieldValueDuplicate")])
        return [*live, *(item for item in value if item not in live)] if isinstance(live, list) else value
    return value


def _interleave(current: list[str], wanted: list[str]) -> list[str]:
    """The applied order wins; entries of others stay before the neighbour they preceded."""
    mine, order, position = set(wanted), [], 0
    where = {key: index for index, key in enumerate(current)}
    for key in wanted:
        if where.get(key, -1) >= position:
            order += [other for other in current[position : where[key]] if other not in mine]
            position = where[key] + 1
        order.append(key)
    return order + [other for other in current[position:] if other not in mine]


def remove(item: Any, gone: Fields, kept: Fields, shape: Shape, *, root: bool = True) -> Any:
    """Drop from an object or keyed list what the applier gave up and nobody keeps."""
    result = dict(item)
    for element, node in gone.items():
        key = element[2:]
        if element == "." or key not in result:
            continue
        keepers = kept.get(element)
        value = _removed_value(result[key], node, keepers, shape.child(key))
        if value is not None and keepers is None and not root and shape.child(key).fields:
            value = None  # a part of which nobody owns anything is defaults alone: it goes with what was given up
        if value is None:
            del result[key]
        else:
            result[key] = value
    return result


def _removed_value(value: Any, gone: Fields, kept: Fields | None, shape: Shape) -> Any:
    """The value without what is given up; None when nothing of it stays. ``kept`` is what somebody owns here."""
    below = {element: node for element, node in gone.items() if element != "."}
    if isinstance(value, dict) and below and shape.merge in ("granular", "deduced"):
        value = remove(value, below, kept or {}, shape, root=False)
        if not value and kept is None:
            return None
    elif isinstance(value, list) and below:
        value = _remove_entries(value, below, kept or {}, shape)
        if not value and kept is None:
            return None
    return None if fields.member(gone) and kept is None else value


def _remove_entries(items: list[Any], gone: Fields, kept: Fields, shape: Shape) -> list[Any]:
    if shape.merge == "list-set":
        return [item for item in items if (element := f"v:{fields.dumps(item)}") not in gone or element in kept]
    entries = fields.keyed(items, shape) if shape.merge == "list-map" else None
    if entries is None:
        return items
    result: list[Any] = []
    for element, item in entries.items():
        value = item
        if element in gone:
            # The keys are what makes it this entry: they stay as long as it does.
            keys: Fields = {f"f:{key}": {} for key in shape.keys}
            keepers = kept.get(element)
            value = _removed_value(item, fields.without(gone[element], keys), keepers, shape.element or DEDUCED)
        if value is not None:
            result.append(value)
    return result


def changed(old: Mapping[str, Any], new: Mapping[str, Any], shape: Shape) -> Fields:
    """Fields that ``new`` states and ``old`` has not, or has otherwise. What it leaves out is no change."""
    result: Fields = {}
    for key, value in new.items():
        before = old.get(key)
        if value is None or (before is not None and before == value):
            continue
        node = _change(before, value, shape.child(key))
        if node is not None:
            result[f"f:{key}"] = node
    return result


def _change(old: Any, new: Any, shape: Shape) -> Fields | None:
    if isinstance(old, dict) and isinstance(new, dict) and shape.merge in ("granular", "deduced"):
        return changed(old, new, shape) or None
    if isinstance(old, list) and isinstance(new, list):
        if shape.merge == "list-set":
            known = {fields.dumps(item) for item in old}
            return {f"v:{text}": {} for item in new if (text := fields.dumps(item)) not in known} or None
        if shape.merge == "list-map":
            before, after = fields.keyed(old, shape), fields.keyed(new, shape)
            if before is not None and after is not None:
                return _changed_entries(before, after, shape.element or DEDUCED) or None
    if old is None:
        return fields.of({"x": new}, Shape("granular", {"x": shape}))["f:x"]  # type: ignore[no-any-return]
    return {}


def _changed_entries(before: dict[str, Object], after: dict[str, Object], shape: Shape) -> Fields:
    result: Fields = {}
    for element, item in after.items():
        if element not in before:
            result[element] = {".": {}, **fields.of(item, shape)}
        elif item != before[element]:
            node = _change(before[element], item, shape)
            if node is not None:
                result[element] = node
    return result


def removed(old: Mapping[str, Any], new: Mapping[str, Any], shape: Shape) -> Fields:
    """Fields that ``old`` has and ``new`` has not: each stands for all below it."""
    result: Fields = {}
    for key, before in old.items():
        if before is None:
            continue
        value = new.get(key)
        node = {} if value is None else None if value == before else _removal(before, value, shape.child(key))
        if node is not None:
            result[f"f:{key}"] = node
    return result


def _removal(old: Any, new: Any, shape: Shape) -> Fields | None:
    if isinstance(old, dict) and isinstance(new, dict) and shape.merge in ("granular", "deduced"):
        return removed(old, new, shape) or None
    if isinstance(old, list) and isinstance(new, list):
        if shape.merge == "list-set":
            known = {fields.dumps(item) for item in new}
            return {f"v:{text}": {} for item in old if (text := fields.dumps(item)) not in known} or None
        if shape.merge == "list-map":
            before, after = fields.keyed(old, shape), fields.keyed(new, shape)
            if before is not None and after is not None:
                element = shape.element or DEDUCED
                nodes = {key: {} if key not in after else _removal(item, after[key], element) for key, item in before.items()}
                return {key: node for key, node in nodes.items() if node is not None} or None
    return None  # replaced as a whole: that is a change
