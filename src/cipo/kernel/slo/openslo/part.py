"""A map of a YAML document that is being read: takes fields with their types, notes what is wrong, and at the end what it does not know."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from cipo.kernel.slo.openslo.bundle import Problem

T = TypeVar("T")
SHOWN = 80


class Part:
    """One map at its path. Whoever has taken what there may be calls ``close``."""

    def __init__(self, given: Any, path: str, document: int, told: list[Problem]) -> None:
        self.path = path
        self.document = document
        self.told = told
        self.given: dict[str, Any] = given if isinstance(given, dict) else {}
        self._taken: dict[str, None] = {}
        if not isinstance(given, dict):
            self.wrong("", given, "must be a map")

    def wrong(self, key: str, value: Any, why: str) -> None:
        """Note a problem of a field."""
        shown = "" if value is None or isinstance(value, dict | list) else str(value)[:SHOWN]
        self.told.append(Problem(self.document, self.at(key), shown, why))

    def at(self, key: str) -> str:
        """The path of a field."""
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def has(self, key: str) -> bool:
        """Whether the field is there and not empty."""
        return self.given.get(key) is not None

    def text(self, key: str, *, needed: bool = False, among: Iterable[str] = ()) -> str:
        """A text; empty without one."""
        value = self._take(key, needed)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.wrong(key, value, "must be a text; put it in quotes")
            return ""
        choices = list(among)
        if choices and value not in choices:
            self.wrong(key, value, f"must be one of {', '.join(choices)}{near(value, choices)}")
            return ""
        return value

    def number(self, key: str, *, needed: bool = False) -> float | None:
        """A number, or None."""
        value = self._take(key, needed)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong(key, value, "must be a number")
            return None
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false; false without one."""
        value = self._take(key, needed=False)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.wrong(key, value, "must be true or false")
        return False

    def parsed(self, key: str, parse: Callable[[str], T], *, needed: bool = False) -> T | None:
        """A text that means something; the parser's ValueError becomes a problem."""
        text = self.text(key, needed=needed)
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.wrong(key, text, str(error))
            return None

    def plain(self, key: str) -> dict[str, Any]:
        """A map that is kept as it is."""
        value = self._take(key, needed=False)
        if value is None or isinstance(value, dict):
            return value or {}
        self.wrong(key, value, "must be a map")
        return {}

    def texts(self, key: str) -> dict[str, str]:
        """A map of texts, such as labels; a label with several values is joined by commas."""
        found = {}
        for name, value in self.plain(key).items():
            if isinstance(value, list) and all(isinstance(one, str) for one in value):
                found[name] = ",".join(value)
            elif isinstance(value, str):
                found[name] = value
            else:
                self.wrong(f"{key}.{name}", value, "must be a text; put it in quotes")
        return found

    def part(self, key: str, *, needed: bool = False) -> Part | None:
        """A map within this one, or None."""
        value = self._take(key, needed)
        return None if value is None else Part(value, self.at(key), self.document, self.told)

    def items(self, key: str) -> list[Any]:
        """A list as it is; an empty field is an empty list."""
        value = self._take(key, needed=False)
        if value is None or isinstance(value, list):
            return value or []
        self.wrong(key, value, "must be a list")
        return []

    def parts(self, key: str) -> list[Part]:
        """A list of maps."""
        return [Part(value, f"{self.at(key)}[{index}]", self.document, self.told) for index, value in enumerate(self.items(key))]

    def close(self) -> None:
        """Note every field that nobody asked for."""
        for key, value in self.given.items():
            if key not in self._taken:
                self.wrong(key, value, f"is not known here{near(key, self._taken) or '; remove it'}")

    def _take(self, key: str, needed: bool) -> Any:
        self._taken[key] = None
        value = self.given.get(key)
        if value is None and needed:
            self.wrong(key, None, "is missing")
        return value


def near(word: str, known: Iterable[str]) -> str:
    """``; did you mean …?`` when something known is close."""
    found = get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(found)}?" if found else ""
