"""Which kinds the server has, and which one a person means by ``as``, ``assets`` or ``Asset.facilities.cipo``.

Asked from discovery with each command: one small request, and never stale.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cipo.cli.connection import Api
from cipo.cli.errors import Failed, Usage

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")


@dataclass(frozen=True, slots=True)
class KindRow:
    """A kind as discovery describes it."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short: tuple[str, ...]
    verbs: tuple[str, ...]
    subresources: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where its objects are."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{base}/{self.plural}"

    @property
    def label(self) -> str:
        """``asset.facilities.cipo``, as kubectl prints it before a slash and a name."""
        return f"{self.singular}.{self.group}" if self.group else self.singular

    @property
    def actions(self) -> tuple[str, ...]:
        """Its verbs beside the usual ones."""
        return tuple(name for name in self.subresources if name != "status")

    def words(self) -> tuple[str, ...]:
        """All that a person may call it, in lower case."""
        group = self.group.lower()
        names = (self.kind.lower(), self.plural, self.singular, *self.short)
        return (*names, *(f"{name}.{group}" for name in names[:3] if group), *(f"{self.plural}.{self.version}.{group}",) * bool(group))

    def of(self, name: str) -> str:
        """The path of one object."""
        if NAME.fullmatch(name) is None:
            raise Usage(f"{name!r} is not a name; names are lower-case letters, digits, dots and dashes")
        return f"{self.path}/{name}"


class Kinds:
    """All kinds of a server."""

    def __init__(self, rows: list[KindRow]) -> None:
        self.rows = rows

    def find(self, word: str) -> KindRow:
        """The kind somebody means; unknown or ambiguous words are refused with what would do."""
        lowered = word.strip().lower()
        found = [row for row in self.rows if lowered in row.words()]
        if len(found) == 1:
            return found[0]
        if found:
            raise Usage(f"{word!r} means several kinds: {', '.join(f'{row.plural}.{row.group}' for row in found)}; write one of these")
        names = {name: row.plural for row in self.rows for name in row.words()}
        near = dict.fromkeys(names[match] for match in get_close_matches(lowered, names, n=3, cutoff=0.6))
        hint = f"did you mean {' or '.join(near)}?" if near else "`cipo get --help` tells how kinds are named, `cipo kinds` lists them"
        raise Failed(f"the server has no kind {word!r}; {hint}")

    def of(self, obj: dict[str, Any]) -> KindRow:
        """The kind of a manifest."""
        api_version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
        for row in self.rows:
            if (row.kind, f"{row.group}/{row.version}".lstrip("/")) == (kind, api_version):
                return row
        same = sorted(f"{row.group}/{row.version}" for row in self.rows if row.kind == kind)
        if same:
            raise Failed(f"{kind} is not in apiVersion {api_version!r}; it is in {' and '.join(same)}")
        near = get_close_matches(kind, [row.kind for row in self.rows], n=1)
        hint = f"; did you mean {near[0]}?" if near else "; `cipo kinds` lists the server's kinds"
        raise Failed(f"the server has no kind {kind!r} in apiVersion {api_version!r}{hint}")


def discover(api: Api) -> Kinds:
    """Ask the server for its kinds."""
    rows = []
    for path in ("/apis", "/api"):
        answer = api.get(path, headers={"Accept": DISCOVERY})
        for group in answer.get("items") or []:
            for version in group.get("versions") or []:
                rows += [_row(group, version, resource) for resource in version.get("resources") or []]
    return Kinds(sorted(rows, key=lambda row: (row.group, row.plural)))


def _row(group: dict[str, Any], version: dict[str, Any], resource: dict[str, Any]) -> KindRow:
    response = resource.get("responseKind") or {}
    return KindRow(
        group=str((group.get("metadata") or {}).get("name") or ""),
        version=str(version.get("version", "")),
        kind=str(response.get("kind", "")),
        plural=str(resource.get("resource", "")),
        singular=str(resource.get("singularResource") or response.get("kind", "")).lower(),
        short=tuple(resource.get("shortNames") or ()),
        verbs=tuple(resource.get("verbs") or ()),
        subresources=tuple(str(sub.get("subresource", "")) for sub in resource.get("subresources") or ()),
    )


def split(word: str) -> tuple[str, str]:
    """``asset/a1`` as kind and name."""
    kind, slash, name = word.partition("/")
    if not (slash and kind and name):
        raise Usage(f"{word!r} is not kind/name, such as asset/a1")
    return kind, name
