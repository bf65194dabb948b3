"""Discovery: which groups, kinds, verbs and subresources there are. kubectl asks first of all, and keeps the answer for hours.

Served by ``meta.py`` in the two forms that clients ask for: aggregated (one answer a root, chosen by an exact media type) and
the plain lists of old clients. Computed once from the registry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version as package_version
from typing import Any, Final

import orjson

from cipo.kernel.unit import KindInfo, Registry

Json = dict[str, Any]
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
READ: Final = ["get", "list", "watch"]
WRITE: Final = ["create", "delete", "get", "list", "patch", "update", "watch"]
KUBERNETES_MINOR: Final = 32  # the API machinery that this wire was measured against


def aggregated_version(accept: str) -> str | None:
    """``v2`` or ``v2beta1`` when the client prefers an aggregated answer, by the first media type it lists; None for plain."""
    for choice in accept.split(","):
        parts = [part.strip() for part in choice.split(";")]
        if parts[0] in ("application/json", "*/*", "application/*") and "as=APIGroupDiscoveryList" not in parts:
            return None
        if "as=APIGroupDiscoveryList" in parts and "g=apidiscovery.k8s.io" in parts:
            for version in ("v2", "v2beta1"):
                if f"v={version}" in parts:
                    return version
    return None


def version() -> Json:
    """``/version``; kubectl parses gitVersion as semver."""
    ours = package_version("cipo")
    return {
        "major": "1",
        "minor": str(KUBERNETES_MINOR),
        "gitVersion": f"v1.{KUBERNETES_MINOR}.0+cipo.{ours}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "python",
        "platform": "any",
    }


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind, or one of the few that Kubernetes itself would serve, as discovery speaks of it."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    verbs: list[str]
    short: list[str]
    categories: list[str]
    namespaced: bool = False
    subresources: tuple[tuple[str, list[str]], ...] = ()


def _question(group: str, kind: str) -> Resource:
    """A kind that is only ever posted: a question about oneself."""
    return Resource(group, "v1", f"{kind.lower()}s", kind.lower(), kind, ["create"], [], [])


# What clients expect of any Kubernetes API server and we answer: the audit log as events, and questions about oneself.
BUILT_IN: Final = (
    Resource("", "v1", "events", "event", "Event", ["get", "list"], ["ev"], [], namespaced=True),
    _question("authentication.k8s.io", "SelfSubjectReview"),
    _question("authorization.k8s.io", "SelfSubjectAccessReview"),
    _question("authorization.k8s.io", "SelfSubjectRulesReview"),
)


def resource(kind: KindInfo) -> Resource:
    """A kind as discovery speaks of it."""
    actions = tuple((name, ["create"]) for name in sorted(kind.actions))
    status = ("status", ["get"] if kind.readonly else ["get", "patch", "update"])
    return Resource(
        kind.group,
        kind.version,
        kind.plural,
        kind.singular,
        kind.kind,
        READ if kind.readonly else WRITE,
        [kind.short] if kind.short else [],
        ["cipo", kind.group.partition(".")[0]],
        subresources=(status, *actions),
    )


class Discovery:
    """All discovery answers of a registry, as bytes."""

    def __init__(self, registry: Registry) -> None:
        self.resources = [*BUILT_IN, *(resource(kind) for kind in registry.kinds)]
        self.groups = sorted({one.group for one in self.resources if one.group})

    def api(self, aggregated: str | None) -> bytes:
        """``/api``: the nameless group."""
        if aggregated:
            return self._aggregated([""], aggregated)
        return orjson.dumps({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})

    def apis(self, aggregated: str | None) -> bytes:
        """``/apis``: every named group."""
        if aggregated:
            return self._aggregated(self.groups, aggregated)
        groups = [{key: value for key, value in _group(name).items() if key not in ("kind", "apiVersion")} for name in self.groups]
        return orjson.dumps({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})

    def group(self, name: str) -> bytes | None:
        """``/apis/<group>``."""
        return orjson.dumps(_group(name)) if name in self.groups else None

    def group_version(self, group: str) -> bytes | None:
        """``/apis/<group>/v1`` and ``/api/v1``."""
        found = [one for one in self.resources if one.group == group]
        if not found:
            return None
        group_version = f"{group}/v1" if group else "v1"
        rows = [row for one in found for row in _rows(one)]
        return orjson.dumps({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": rows})

    def _aggregated(self, groups: Iterable[str], version: str) -> bytes:
        items = []
        for group in groups:
            resources = [_entry(one) for one in self.resources if one.group == group]
            versions = [{"version": "v1", "freshness": "Current", "resources": resources}]
            items.append(
                {"metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}, "versions": versions}
            )
        body = {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}
        return orjson.dumps(body)


def _group(name: str) -> Json:
    preferred = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [preferred], "preferredVersion": preferred}


def _entry(one: Resource) -> Json:
    """A resource in the aggregated form."""
    kind = {"group": one.group, "version": one.version, "kind": one.kind}
    entry: Json = {
        "resource": one.plural,
        "responseKind": kind,
        "scope": "Namespaced" if one.namespaced else "Cluster",
        "singularResource": one.singular,
        "verbs": one.verbs,
        "shortNames": one.short,
        "categories": one.categories,
    }
    if one.subresources:
        entry["subresources"] = [{"subresource": name, "responseKind": kind, "verbs": verbs} for name, verbs in one.subresources]
    return entry


def _rows(one: Resource) -> Iterable[Json]:
    """A resource and its subresources in the plain form."""
    yield {
        "name": one.plural,
        "singularName": one.singular,
        "namespaced": one.namespaced,
        "kind": one.kind,
        "verbs": one.verbs,
        "shortNames": one.short,
        "categories": one.categories,
    }
    for name, verbs in one.subresources:
        yield {"name": f"{one.plural}/{name}", "singularName": "", "namespaced": one.namespaced, "kind": one.kind, "verbs": verbs}
