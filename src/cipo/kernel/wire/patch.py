"""The two plain patches: JSON merge patch (RFC 7386, ours) and JSON patch (RFC 6902, by jsonpatch), with bounds.

``Resources.patch`` calls ``merge`` or ``json_patch`` on the live object before it validates the result; server-side apply
is ``ssa.py``. ``patch_type`` turns a Content-Type into the word that ``Resources.patch`` expects.
"""

from __future__ import annotations

import copy
from typing import Any, Final, Literal

import jsonpatch
import jsonpointer
import orjson

from cipo.kernel.errors import BadRequest, Cause, Invalid, TooLarge, UnsupportedMediaType

MAX_OPS: Final = 1000
MAX_COPIED_BYTES: Final = 1024 * 1024
MAX_POINTER: Final = 1024

PatchType = Literal["merge", "json", "apply"]
MEDIA_TYPES: Final[dict[str, PatchType]] = {
    "application/merge-patch+json": "merge",
    "application/json-patch+json": "json",
    "application/apply-patch+yaml": "apply",
}
_OPS: Final = {"add": "value", "replace": "value", "test": "value", "remove": None, "move": "from", "copy": "from"}


def patch_type(content_type: str) -> PatchType:
    """The patch's kind by its media type; anything else, strategic merge included, is 415 naming the three that work."""
    media = content_type.partition(";")[0].strip().lower()
    try:
        return MEDIA_TYPES[media]
    except KeyError:
        accepted = ", ".join(MEDIA_TYPES)
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {accepted} (got {media or 'none'!r})"
        ) from None


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: objects merge, null removes, everything else replaces. The inputs stay as they are."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(target: Any, ops: Any) -> Any:
    """RFC 6902, all or nothing. A wrong operation is 400, a failing ``test`` or a missing path 422; each names its index."""
    if not isinstance(ops, list):
        raise BadRequest(f"a JSON patch is a list of operations, not {type(ops).__name__}")
    if len(ops) > MAX_OPS:
        raise TooLarge(f"the JSON patch has {len(ops)} operations; at most {MAX_OPS}")
    for index, op in enumerate(ops):
        _check(index, op)
    result = copy.deepcopy(target)
    copied = 0
    for index, op in enumerate(ops):
        if op["op"] == "copy":
            # Copies of copies double the document with each operation; the sum of what was copied is bounded instead.
            copied += _size(result, op["from"])
            if copied > MAX_COPIED_BYTES:
                raise TooLarge(f"the JSON patch copies more than {MAX_COPIED_BYTES} bytes")
        result = _step(result, index, op)
    return result


def _check(index: int, op: Any) -> None:
    if not isinstance(op, dict):
        raise BadRequest(f"JSON patch operation {index} is {type(op).__name__}, not an object")
    verb = op.get("op")
    if not isinstance(verb, str) or verb not in _OPS:
        raise BadRequest(f"JSON patch operation {index}: op {verb!r} is not one of {', '.join(_OPS)}")
    for member in ("path", "from") if _OPS[verb] == "from" else ("path",):
        pointer = op.get(member)
        if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")) or len(pointer) > MAX_POINTER:
            raise BadRequest(f"JSON patch operation {index} ({verb}): {member!r} must be a JSON pointer such as /spec/model")
    if _OPS[verb] == "value" and "value" not in op:
        raise BadRequest(f"JSON patch operation {index} ({verb} {op['path']}): 'value' is missing")


def _step(document: Any, index: int, op: dict[str, Any]) -> Any:
    label = f"operation {index} ({op['op']} {op['path'] or '/'})"
    try:
        return jsonpatch.JsonPatch([copy.deepcopy(op)]).apply(document, in_place=True)
    except jsonpatch.JsonPatchTestFailed as failed:
        raise _refused(op["path"], f"{label}: the value there is not {_short(op['value'])}; read the object again") from failed
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, LookupError, TypeError, ValueError) as failed:
        raise _refused(op["path"], f"{label}: {str(failed)[:200] or 'the path does not fit the object'}") from failed


def _refused(pointer: str, message: str) -> Invalid:
    field = pointer.strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
    text = f"the server rejected our request due to an error in our request: JSON patch {message}"
    return Invalid(text, causes=[Cause(field, message)])


def _size(document: Any, pointer: str) -> int:
    try:
        return len(orjson.dumps(jsonpointer.resolve_pointer(document, pointer)))
    except (jsonpointer.JsonPointerException, LookupError, TypeError, ValueError):
        return 0  # the copy itself reports the missing path


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
