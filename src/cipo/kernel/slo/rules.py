"""A rule file of Prometheus: its shape, and how it is written, also as the operator's ``PrometheusRule``. What is in it: ``prometheus``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import yaml
from promql_parser import Expr

from cipo.kernel.slo.promql import printed
from cipo.kernel.slo.windows import shorthand


@dataclass(frozen=True, slots=True)
class Rule:
    """A recorded series or an alert; exactly one of ``record`` and ``alert`` is set."""

    expr: Expr
    record: str = ""
    alert: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    wait: timedelta | None = None
    keep: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The rules of one promise."""

    name: str
    rules: tuple[Rule, ...]


def literals(labels: Mapping[str, str]) -> dict[str, str]:
    """All values of an alert's labels or annotations as they are."""
    return {name: literal(text) for name, text in labels.items()}


def literal(text: str) -> str:
    """A text of somebody else that Prometheus, which expands templates in alerts, must leave alone."""
    return text.replace("{{", '{{ "{{" }}')


def rule_file(found: Iterable[Group]) -> dict[str, Any]:
    """A rule file of Prometheus as plain data."""
    return {"groups": [{"name": group.name, "rules": [_plain(rule) for rule in group.rules]} for group in found]}


def crd(found: Iterable[Group], name: str, namespace: str = "", labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The same as a ``PrometheusRule`` of the Prometheus operator."""
    metadata: dict[str, Any] = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(sorted(labels.items()))
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": metadata, "spec": rule_file(found)}


def _plain(rule: Rule) -> dict[str, Any]:
    plain: dict[str, Any] = {"record": rule.record} if rule.record else {"alert": rule.alert}
    plain["expr"] = printed(rule.expr)
    if rule.wait is not None:
        plain["for"] = shorthand(rule.wait)
    if rule.keep is not None:
        plain["keep_firing_for"] = shorthand(rule.keep)
    if rule.labels:
        plain["labels"] = dict(sorted(rule.labels.items()))
    if rule.annotations:
        plain["annotations"] = dict(rule.annotations)
    return plain


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines stay as they are printed."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # Readers disagree on which characters end a line in a plain or block text; escapes are read alike by all.
    odd = not value.replace("\n", "").isprintable()
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if odd else "|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def to_yaml(value: Mapping[str, Any]) -> str:
    """Deterministic YAML: the same promises give the same bytes."""
    return yaml.dump(dict(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
