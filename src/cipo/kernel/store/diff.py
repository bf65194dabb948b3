"""What changed between two versions of an object, as RFC 6902 operations for its event: the timeline shows them, an undo reads them.

The write path calls ``diff`` with every new version, so it has to be quick; the shortest list of operations is not the aim.
"""

from __future__ import annotations

from typing import Any

Op = dict[str, Any]


def diff(old: Any, new: Any) -> list[Op]:
    """Operations that turn ``old`` into ``new``; each replace and remove carries the value that ``was`` there."""
    ops: list[Op] = []
    _compare(old, new, "", ops)
    return ops


def _compare(old: Any, new: Any, path: str, ops: list[Op]) -> None:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            here = f"{path}/{_escaped(key)}"
            if key in new:
                _compare(value, new[key], here, ops)
            else:
                ops.append({"op": "remove", "path": here, "was": value})
        ops += [{"op": "add", "path": f"{path}/{_escaped(key)}", "value": value} for key, value in new.items() if key not in old]
    elif isinstance(old, list) and isinstance(new, list):
        _compare_lists(old, new, path, ops)
    else:
        ops.append({"op": "replace", "path": path, "value": new, "was": old})


def _compare_lists(old: list[Any], new: list[Any], path: str, ops: list[Op]) -> None:
    """Between what they begin and end with alike: pair by pair, then what is left of either."""
    start, shorter = 0, min(len(old), len(new))
    while start < shorter and old[start] == new[start]:
        start += 1
    end = 0
    while end < shorter - start and old[-1 - end] == new[-1 - end]:
        end += 1
    before, after = old[start : len(old) - end], new[start : len(new) - end]
    for index, (one, other) in enumerate(zip(before, after, strict=False)):
        _compare(one, other, f"{path}/{start + index}", ops)
    paired = min(len(before), len(after))
    ops += [{"op": "remove", "path": f"{path}/{start + n}", "was": before[n]} for n in range(len(before) - 1, paired - 1, -1)]
    ops += [{"op": "add", "path": f"{path}/{start + n}", "value": after[n]} for n in range(paired, len(after))]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
