"""YAML of strangers, read with line numbers: no tags, no aliases, no depth, and each field taken once, so that the rest can be named.

Used by ``device_types``. Nodes keep their place in the file; a refusal says the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

DEPTH_MAX = 20
# Fields whose meaning cipo has no place for: pictures, drawing hints, defaults of a switched-on interface.
IGNORED = frozenset({"slug", "front_image", "rear_image", "subdevice_role", "color", "enabled", "_is_power_source"})


class Refused(ValueError):
    """A file that cannot be taken: says the line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Node:
    """A YAML value that knows its line."""

    raw: yaml.Node

    @property
    def line(self) -> int:
        """Line in the file, from 1."""
        return int(self.raw.start_mark.line) + 1

    def pairs(self) -> list[tuple[str, Node]]:
        """The entries of a mapping."""
        if not isinstance(self.raw, yaml.MappingNode):
            raise Refused(f"line {self.line}: a mapping is needed here, like name: value")
        found: list[tuple[str, Node]] = []
        for key, value in self.raw.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if not name or name in {known for known, _ in found}:
                raise Refused(f"line {key.start_mark.line + 1}: {name or 'this key'} is {'there twice' if name else 'not a plain word'}")
            found.append((name, Node(value)))
        return found

    def items(self) -> list[Node]:
        """The entries of a list; none for an empty value."""
        if isinstance(self.raw, yaml.ScalarNode) and self.raw.tag == "tag:yaml.org,2002:null":
            return []
        if not isinstance(self.raw, yaml.SequenceNode):
            raise Refused(f"line {self.line}: a list is needed here")
        return [Node(item) for item in self.raw.value]

    def scalar(self, *tags: str) -> Any:
        """The value, if it is of one of the types."""
        kind = self.raw.tag.rpartition(":")[2]
        if not isinstance(self.raw, yaml.ScalarNode) or kind not in tags:
            wanted = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
            told = "a list or mapping" if not isinstance(self.raw, yaml.ScalarNode) else f'"{self.raw.value[:40]}"'
            raise Refused(f"line {self.line}: {wanted[tags[0]]} is needed here, not {told}")
        return yaml.SafeLoader.construct_object(yaml.SafeLoader(""), self.raw)

    def text(self, limit: int) -> str:
        """Text, also when it looks like a number (a port may be called 1)."""
        if not isinstance(self.raw, yaml.ScalarNode) or self.raw.tag.endswith(":null"):
            raise Refused(f"line {self.line}: text is needed here")
        value = str(self.raw.value)
        if len(value) > limit:
            raise Refused(f"line {self.line}: {len(value)} characters; at most {limit}")
        return value

    def number(self, low: float = 0, high: float = 1_000_000) -> float:
        """A number within bounds."""
        value = float(self.scalar("float", "int"))
        if not low <= value <= high:
            raise Refused(f"line {self.line}: {value:g} is not between {low:g} and {high:g}")
        return value

    def whole(self, low: int, high: int) -> int:
        """A whole number within bounds. The library also writes 1.0."""
        value = self.number(low, high)
        if value != int(value):
            raise Refused(f"line {self.line}: {value:g} is not a whole number")
        return int(value)

    def flag(self) -> bool:
        """True or false."""
        return bool(self.scalar("bool"))


def parse(text: str) -> Node:
    """The document as nodes. No aliases, no tags, one document."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = _line(event.start_mark)
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise Refused(f"line {line}: anchors and aliases are not taken")
            tag = getattr(event, "tag", None)
            if tag:
                raise Refused(f"line {line}: tags like {str(tag)[:60]} are not taken")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_MAX:
                raise Refused(f"line {line}: nested deeper than {DEPTH_MAX}")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise Refused(f"{where}not YAML: {getattr(error, 'problem', None) or error}") from error
    if node is None:
        raise Refused("is empty")
    return Node(node)


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark else 1


class Entry:
    """A mapping that is used up field by field; what is left is unknown and becomes warnings."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.left = dict(node.pairs())

    def take(self, name: str) -> Node | None:
        """A field, or None; a null is as if it were not there."""
        found = self.left.pop(name, None)
        return None if found is None or found.raw.tag.endswith(":null") else found

    def need(self, name: str) -> Node:
        """A field that must be there."""
        found = self.take(name)
        if found is None:
            raise Refused(f"line {self.node.line}: {name} is missing")
        return found

    def text(self, name: str, limit: int = 200) -> str:
        """A text field, or empty."""
        found = self.take(name)
        return found.text(limit) if found else ""

    def unknown(self, where: str = "") -> Iterator[str]:
        """A warning for each field that nobody took."""
        for name, node in self.left.items():
            if name not in IGNORED:
                yield f"line {node.line}: {where}{name} is not known and was left out"
