"""Plain YAML: what every reader of YAML here takes, be it a request's body, a chart or an SLO, and how it is written.

Events come from libyaml and are built one by one within bounds: no anchors, aliases, tags or directives, no key twice, YAML 1.2's idea of a
boolean, and dates stay texts. A hostile text costs milliseconds. The readers say in their own words what was refused.

YamlFault
├── NotPlain        YAML, but more than is taken here
├── DuplicateKey    a key stands twice in one map
└── TooMany         more values than the reader wants
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 64
_INT64: Final = 2**63


class YamlFault(ValueError):
    """The text is not YAML: ``why``, and the line it is in (0: unknown)."""

    def __init__(self, why: str, line: int = 0, *, column: int = 0) -> None:
        place = f"line {line}, column {column}: " if column else f"line {line}: " if line else ""
        super().__init__(f"{place}{why}")
        self.why = why
        self.line = line


class NotPlain(YamlFault):
    """The text uses a part of YAML that is not taken."""


class DuplicateKey(YamlFault):
    """A key was given twice."""


class TooMany(YamlFault):
    """The text holds too many values."""


def documents(text: bytes, *, most_values: int, most_documents: int = 1_000, depth: int = MAX_DEPTH) -> list[Any]:
    """The values of all documents; YamlFault at the first thing that is not taken."""
    if b"\x00" in text:
        raise NotPlain("the text holds a NUL character; remove it")
    if text.startswith(b"%") or b"\n%" in text:
        raise NotPlain("directives (lines that start with '%') are not taken")
    builder = _Builder(most_values, most_documents, depth)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.feed(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = str(getattr(error, "problem", None) or error).splitlines()[0][:200]
        raise YamlFault(why, mark.line + 1 if mark else 0, column=mark.column + 1 if mark else 0) from error
    return builder.values


def written(values: Iterable[Any]) -> str:
    """Documents as text that ``documents`` reads back as the same values, always in the same bytes."""
    return yaml.dump_all(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that would be read as something else, by this page's rules, and repeats instead of using aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """What occurs twice is written twice."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = bool(text) and resolve_scalar(text) == text and text != "<<"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else "'")


_Dumper.add_representer(str, _text)


class _Builder:
    """Builds values out of libyaml's events, and stops at the first thing that is not allowed."""

    def __init__(self, most_values: int, most_documents: int, depth: int) -> None:
        self.values: list[Any] = []
        self._most, self._most_documents, self._depth = most_values, most_documents, depth
        self._count = self._documents = 0
        self._stack: list[tuple[Any, str]] = []  # container and its path
        self._keys: list[Any] = []  # pending key of each container, _NO_KEY between pairs

    def feed(self, event: Any) -> None:
        """Take the next event."""
        match event:
            case yaml.AliasEvent():
                raise self._fault(event, f"alias *{str(event.anchor)[:64]} is not taken; write the value out")
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > self._most_documents:
                    told = "a second document starts; send one object a request"
                    raise self._fault(event, told if self._most_documents == 1 else f"more than {self._most_documents} documents; split it")
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._plain(event)
                container: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
                path = self._place(event, container)
                if len(self._stack) >= self._depth:
                    raise self._fault(event, f"nested more than {self._depth} levels deep")
                self._stack.append((container, path))
                self._keys.append(_NO_KEY)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()
                self._keys.pop()
            case yaml.ScalarEvent():
                self._scalar(event)

    def _scalar(self, event: Any) -> None:
        self._plain(event)
        if "\x00" in event.value:
            raise self._fault(event, "the character NUL cannot be stored; remove it")
        plain = not event.style and event.tag is None
        if self._stack and isinstance(self._stack[-1][0], dict) and self._keys[-1] is _NO_KEY:
            container, path = self._stack[-1]
            key = event.value
            here = f"{path}.{key[:64]}" if path else key[:64]
            if plain and key == "<<":
                raise self._fault(event, "the merge key << is not taken; write the values out")
            if key in container:
                line = event.start_mark.line + 1
                raise DuplicateKey(f'duplicate field "{here}" (line {line}); keep one of them')
            self._keys[-1] = key
            return
        self._place(event, self._resolve(event) if plain else event.value)

    def _place(self, event: Any, value: Any) -> str:
        """Put a value where it belongs; the path it has there."""
        self._count += 1
        if self._count > self._most:
            raise TooMany(f"the text holds more than {self._most} values; split it")
        if not self._stack:
            self.values.append(value)
            return ""
        container, path = self._stack[-1]
        if isinstance(container, list):
            container.append(value)
            return f"{path}[{len(container) - 1}]"
        key = self._keys[-1]
        if key is _NO_KEY:
            raise self._fault(event, "a key must be a word, not a list or an object")
        container[key] = value
        self._keys[-1] = _NO_KEY
        return f"{path}.{key[:64]}" if path else key[:64]

    def _plain(self, event: Any) -> None:
        if event.anchor is not None:
            raise self._fault(event, f"anchor &{event.anchor[:64]} is not taken; write the value out where it is needed")
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._fault(event, f"tag {event.tag[:64]} is not taken")

    def _resolve(self, event: Any) -> Any:
        value = resolve_scalar(event.value)
        if isinstance(value, int) and not -_INT64 <= value < 2 * _INT64:
            raise self._fault(event, f"{event.value[:40]} does not fit 64 bits; quote it")
        return value

    def _fault(self, event: Any, why: str) -> NotPlain:
        return NotPlain(why, event.start_mark.line + 1)


_NO_KEY: Final = object()
_WORDS: Final[dict[str, bool | None]] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,30})\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,16}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?\Z")


def resolve_scalar(text: str) -> Any:
    """A plain scalar by YAML 1.2's core schema, so ``no`` is a word and ``007`` keeps its zeros; no infinities, no dates."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= 64 and text[0] in "+-.0123456789":
        if _INTEGER.match(text):
            return int(text)
        if _HEX.match(text):
            return int(text, 16)
        if _FLOAT.match(text) and math.isfinite(float(text)):
            return float(text)
    return text
