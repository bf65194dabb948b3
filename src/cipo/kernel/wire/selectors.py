"""Label and field selectors: the ``?labelSelector=`` and ``?fieldSelector=`` of a list or a watch.

The routes parse them, the store turns them into SQL for a list (``sql``), and the feed evaluates them on each change
(``matches``). Values travel only as query parameters, never inside the SQL text; length and number of terms are bounded.
Label values and declared fields are strings, as Kubernetes keeps them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import orjson

from cipo.kernel.errors import BadRequest

MAX_LENGTH: Final = 4096
MAX_TERMS: Final = 32
MAX_VALUES: Final = 64
OBJECT_FIELDS: Final = ("metadata.name", "metadata.uid")

LabelOp = Literal["=", "!=", "in", "notin", "exists", "!exists"]

# Kubernetes label syntax: an optional DNS prefix, then a name; https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?\Z")
_COLUMN = re.compile(r"([a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*\Z")
_TOKEN = re.compile(r"\s*(?:(?P<op>==|!=|=|!|,|\(|\)|<|>)|(?P<word>[^\s=!,()<>]+))")


def label_key_fault(key: str) -> str | None:
    """Why ``key`` cannot be a label key, or None."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _PREFIX.match(prefix)):
        return "the part before '/' is a DNS name in lower case, at most 253 characters"
    if not _NAME.match(name):
        return "a key is at most 63 of letters, digits, '-', '_' and '.', and starts and ends with a letter or digit"
    return None


def label_value_fault(value: str) -> str | None:
    """Why ``value`` cannot be a label value, or None."""
    if value and not _NAME.match(value):
        return "a value is empty or at most 63 of letters, digits, '-', '_' and '.', and starts and ends with a letter or digit"
    return None


@dataclass(frozen=True, slots=True)
class LabelTerm:
    """One requirement on one label."""

    key: str
    op: LabelOp
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """As Kubernetes does: ``!=`` and ``notin`` also match objects without the label."""
        value = labels.get(self.key)
        match self.op:
            case "exists":
                return value is not None
            case "!exists":
                return value is None
            case "=" | "in":
                return value in self.values
            case _:
                return value not in self.values

    def __str__(self) -> str:
        match self.op:
            case "exists":
                return self.key
            case "!exists":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.op} ({','.join(self.values)})"
            case _:
                return f"{self.key}{self.op}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All terms hold."""

    terms: tuple[LabelTerm, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``site=ams1,tier in (a,b),!spare``; BadRequest says what is wrong and where."""
        _bounded(text, "labelSelector")
        terms = tuple(_label_terms(_Tokens(text)))
        if len(terms) > MAX_TERMS:
            raise BadRequest(f"labelSelector has {len(terms)} terms; at most {MAX_TERMS}")
        return cls(terms)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all terms hold for these labels."""
        return all(term.matches(labels) for term in self.terms)

    def sql(self, column: str = "labels") -> tuple[str, list[Any]]:
        """A condition over a jsonb column with its parameters; equalities are one containment, so that the GIN index serves them."""
        _checked(column)
        conditions: list[str] = []
        params: list[Any] = []
        equal: dict[str, str] = {}
        for term in self.terms:
            if term.op == "=" and equal.setdefault(term.key, term.values[0]) == term.values[0]:
                continue
            text, values = _label_sql(column, term)
            conditions.append(text)
            params += values
        if equal:
            conditions.insert(0, f"{column} @> %s::jsonb")
            params.insert(0, _json(equal))
        return " and ".join(conditions) or "true", params

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One requirement on one declared field."""

    path: str
    value: str
    equal: bool = True

    def __str__(self) -> str:
        escaped = re.sub(r"([\\,=])", r"\\\1", self.value)
        return f"{self.path}{'=' if self.equal else '!='}{escaped}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms hold; an absent field reads as the empty string."""

    terms: tuple[FieldTerm, ...] = ()

    @classmethod
    def parse(cls, text: str, allowed: Collection[str] = ()) -> Self:
        """From ``metadata.name=a,status.phase!=Closed``. ``allowed``: the fields that the kind declares selectable."""
        _bounded(text, "fieldSelector")
        terms = tuple(_field_terms(text))
        if len(terms) > MAX_TERMS:
            raise BadRequest(f"fieldSelector has {len(terms)} terms; at most {MAX_TERMS}")
        known = (*OBJECT_FIELDS, *allowed)
        for term in terms:
            if term.path not in known:
                raise BadRequest(f'field label not supported: "{term.path}"; choose one of {", ".join(known)}')
        return cls(terms)

    def matches(self, name: str, uid: str, fields: Mapping[str, Any]) -> bool:
        """Whether all terms hold for an object's name, uid and declared fields."""
        return all((_field_value(term.path, name, uid, fields) == term.value) == term.equal for term in self.terms)

    def sql(self, column: str = "fields") -> tuple[str, list[Any]]:
        """A condition over the jsonb column; ``name`` and ``uid`` are taken from the same table."""
        _checked(column)
        table = column.rpartition(".")[0]
        conditions: list[str] = []
        params: list[Any] = []
        for term in self.terms:
            text, values = _field_sql(f"{table}." if table else "", column, term)
            conditions.append(text if term.equal else f"not ({text})")
            params += values
        return " and ".join(conditions) or "true", params

    def only(self, path: str) -> str | None:
        """The value that ``path`` must have, if a term says so."""
        return next((term.value for term in self.terms if term.path == path and term.equal), None)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


class _Tokens:
    """The words and operators of a label selector, with one to look ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[str] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            found = _TOKEN.match(stripped, position)
            if not found:  # the pattern covers every character; kept so that a change of it cannot loop
                raise BadRequest(f"labelSelector {text!r}: cannot read from character {position}")
            self.items.append(found["op"] or found["word"])
            position = found.end()
        self.index = 0

    def peek(self) -> str:
        return self.items[self.index] if self.index < len(self.items) else ""

    def next(self) -> str:
        item = self.peek()
        self.index += 1
        return item

    def fault(self, why: str) -> BadRequest:
        return BadRequest(f"labelSelector {self.text!r}: {why}; write key=value, key!=value, key in (a,b), key notin (a,b), key or !key")


def _label_terms(tokens: _Tokens) -> Iterator[LabelTerm]:
    if not tokens.items:
        return
    while True:
        yield _label_term(tokens)
        separator = tokens.next()
        if not separator:
            return
        if separator != ",":
            raise tokens.fault(f"found {separator!r} where ',' was expected")


def _label_term(tokens: _Tokens) -> LabelTerm:
    negated = tokens.peek() == "!"
    if negated:
        tokens.next()
    key = _label_key(tokens)
    if negated:
        return LabelTerm(key, "!exists")
    match tokens.peek():
        case "" | ",":
            return LabelTerm(key, "exists")
        case "=" | "==" | "!=" as op:
            tokens.next()
            value = "" if tokens.peek() in ("", ",") else tokens.next()
            return LabelTerm(key, "!=" if op == "!=" else "=", (_label_value(tokens, value),))
        case "in" | "notin" as word:
            tokens.next()
            return LabelTerm(key, "in" if word == "in" else "notin", _label_values(tokens))
        case other:
            raise tokens.fault(f"{other!r} after {key!r} is not an operator")


def _label_key(tokens: _Tokens) -> str:
    key = tokens.next()
    fault = label_key_fault(key)
    if fault:
        raise tokens.fault(f"{key!r} is not a label key ({fault})")
    return key


def _label_value(tokens: _Tokens, value: str) -> str:
    fault = label_value_fault(value)
    if fault:
        raise tokens.fault(f"{value!r} is not a label value ({fault})")
    return value


def _label_values(tokens: _Tokens) -> tuple[str, ...]:
    if tokens.next() != "(":
        raise tokens.fault("'(' is missing after in/notin")
    values: list[str] = []
    while True:
        value = "" if tokens.peek() in (",", ")") else tokens.next()
        values.append(_label_value(tokens, value))
        match tokens.next():
            case ",":
                continue
            case ")":
                break
            case _:
                raise tokens.fault("')' is missing")
    if len(values) > MAX_VALUES:
        raise tokens.fault(f"{len(values)} values in one list; at most {MAX_VALUES}")
    return tuple(dict.fromkeys(values))


def _label_sql(column: str, term: LabelTerm) -> tuple[str, list[Any]]:
    match term.op:
        case "exists":
            return f"{column} ? %s", [term.key]
        case "!exists":
            return f"not ({column} ? %s)", [term.key]
        case _:
            # One containment a value: GIN (jsonb_path_ops) serves an OR of @>, but not ->> = any(...).
            either = " or ".join([f"{column} @> %s::jsonb"] * len(term.values))
            params: list[Any] = [_json({term.key: value}) for value in term.values]
            return (f"({either})" if term.op in ("=", "in") else f"not ({either})"), params


def _field_terms(text: str) -> Iterator[FieldTerm]:
    for part in _split(text, ","):
        if not part.strip():
            continue
        sides = _split(part, "=")
        if len(sides) == 3 and not sides[1]:  # ==
            sides = [sides[0], sides[2]]
        if len(sides) != 2:
            raise BadRequest(f"fieldSelector {part!r}: write path=value or path!=value; ',' and '=' in a value are '\\,' or '\\='")
        path, value = sides[0].strip(), sides[1].strip()
        negated = path.endswith("!")
        yield FieldTerm(path.removesuffix("!").strip(), re.sub(r"\\(.)", r"\1", value), equal=not negated)


def _split(text: str, separator: str) -> list[str]:
    """Cut at separators that no backslash precedes."""
    if not re.fullmatch(r"(?:\\.|[^\\])*", text):
        raise BadRequest(f"fieldSelector {text!r} ends in a lone backslash; write '\\\\' for one")
    return re.findall(rf"(?:^|{separator})((?:\\.|[^\\{separator}])*)", text)


def _field_value(path: str, name: str, uid: str, fields: Mapping[str, Any]) -> str:
    if path == "metadata.name":
        return name
    if path == "metadata.uid":
        return uid
    value = fields.get(path)
    return "" if value is None else str(value)


def _field_sql(table: str, column: str, term: FieldTerm) -> tuple[str, list[Any]]:
    if term.path == "metadata.name":
        return f"{table}name = %s", [term.value]
    if term.path == "metadata.uid":
        try:
            return f"{table}uid = %s", [uuid.UUID(term.value)]
        except ValueError:
            return "false", []
    if not term.value:
        return f"coalesce({column} ->> %s, '') = ''", [term.path]
    return f"{column} @> %s::jsonb", [_json({term.path: term.value})]


def _json(value: Mapping[str, str]) -> str:
    return orjson.dumps(value).decode()


def _bounded(text: str, name: str) -> None:
    if len(text) > MAX_LENGTH:
        raise BadRequest(f"{name} has {len(text)} characters; at most {MAX_LENGTH}")
    if "\x00" in text or not text.isprintable():
        raise BadRequest(f"{name} {text!r} holds a control character; remove it")


def _checked(column: str) -> None:
    if not _COLUMN.match(column):
        raise ValueError(f"{column!r} is not a column name")
