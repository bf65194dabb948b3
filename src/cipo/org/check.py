"""Does the code keep to the chart? ``cipo check`` and the test suite ask; the start does not depend on it.

``check`` compares the chart with what units really declared. ``importlinter`` turns the chart into import rules, so that a
department's code cannot reach past its contracts even where no request is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cipo.org.authz import CHART_GROUP, KindLike
from cipo.org.chart import Chart
from cipo.org.promises import mute, places, wrong

KERNEL_GROUPS = (CHART_GROUP, "kernel.cipo")
ABOVE = (("web", "cli", "lab", "testing", "worker"), ("plane",), ("departments",))
BELOW = (("org",), ("kernel",))


class FactLike(Protocol):
    """The part of a declared fact that is checked."""

    @property
    def name(self) -> str:
        """``cmdb.count``."""

    @property
    def unit_id(self) -> str:
        """The unit that writes it."""

    @property
    def unit(self) -> str:
        """Its unit of measure."""


class RegistryLike(Protocol):
    """The part of the kernel's registry that is checked."""

    @property
    def units(self) -> Mapping[str, object]:
        """By qualified id."""

    @property
    def kinds(self) -> Iterable[KindLike]:
        """All registered kinds."""

    @property
    def facts(self) -> Mapping[str, FactLike]:
        """By name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One difference between code and chart, and what to do about it."""

    level: Literal["error", "warning"]
    rule: str
    subject: str
    why: str
    todo: str

    def __str__(self) -> str:
        return f"{self.level}: {self.subject}: {self.why}; {self.todo} [{self.rule}]"


def check(chart: Chart, registry: RegistryLike) -> list[Problem]:
    """Every difference, errors first. A unit of the chart without code is not one: it is *not staffed* (``unstaffed``)."""
    kinds = {(kind.group, kind.kind): kind for kind in registry.kinds}
    found = [
        *_units(chart, registry),
        *_owners(chart, kinds.values()),
        *_facts(chart, registry),
        *_promises(chart, registry),
        *_coverage(chart, registry, kinds),
        *_contracts(chart, registry, kinds),
    ]
    return sorted(found, key=lambda problem: (problem.level, problem.rule, problem.subject))


def unstaffed(chart: Chart, registry: RegistryLike) -> tuple[str, ...]:
    """The units of the chart that have no code yet, in chart order."""
    return tuple(unit.id for unit in chart.units if unit.id not in registry.units)


def _units(chart: Chart, registry: RegistryLike) -> Iterator[Problem]:
    for id in registry.units:
        department = id.split("/")[0]
        if not chart.has_unit(id) and department in {known.id for known in chart.departments}:
            todo = f"correct the id, or have the CIPO add the unit to {department}.yaml"
            yield Problem("error", "unit-not-in-chart", id, "has code but no place in the chart", todo)


def _owners(chart: Chart, kinds: Iterable[KindLike]) -> Iterator[Problem]:
    for kind in kinds:
        if kind.group in KERNEL_GROUPS or not chart.has_unit(kind.unit):
            continue
        group = chart.department(kind.unit[:2]).group
        if kind.group != group:
            yield Problem("error", "kind-group", kind.gk, f"{kind.unit} serves it outside its group", f"register it in {group}")
        listed = chart.owner_of(kind.unit[:2], kind.kind)
        if listed and listed != kind.unit:
            todo = f"register it there, or move {kind.kind} in {kind.unit[:2]}.yaml (a change for the CIPO)"
            yield Problem("error", "kind-owner", kind.gk, f"{kind.unit} registers it, the chart gives it to {listed}", todo)
        elif not listed:
            todo = f"add {kind.kind} to the kinds of {kind.unit} in {kind.unit[:2]}.yaml, so that the authorisation matrix covers it"
            yield Problem("warning", "kind-not-listed", kind.gk, f"{kind.unit} registers it, the chart does not list it", todo)


def _facts(chart: Chart, registry: RegistryLike) -> Iterator[Problem]:
    for kpi, name in ((one, name) for one in chart.kpis for name in one.facts):
        fact = registry.facts.get(name)
        if fact is None and kpi.unit in registry.units:
            why = f"measures fact {name}, which its staffed unit {kpi.unit} does not declare"
            yield Problem("error", "fact-not-declared", f"KPI {kpi.name}", why, "declare it with unit.fact(...)")
        elif fact is not None and fact.unit_id != kpi.unit:
            why = f"is measured by {kpi.unit}, but {fact.unit_id} declares {fact.name}"
            yield Problem("error", "fact-owner", f"KPI {kpi.name}", why, "name that unit in the KPI, or move the fact")


def _promises(chart: Chart, registry: RegistryLike) -> Iterator[Problem]:
    """Each promise against the facts of its unit, where that unit is staffed; and tiers that it names and that cannot fire."""
    for department in chart.departments:
        for kpi, path in places(department):
            where = f"in {department.id}.yaml, {path}"
            known = kpi.unit in registry.units and all(name in registry.facts for name in kpi.facts)
            declared = {name: fact.unit for name, fact in registry.facts.items()} if known else None
            for part, value, why in wrong(kpi, declared):
                shown = f" ({value})" if value else ""
                yield Problem("error", "promise", f"KPI {kpi.name}", f"{where}.{part}{shown}: {why}", "correct it there")
            for why in mute(kpi):
                yield Problem("warning", "tier-never-fires", f"KPI {kpi.name}", f"{where}.alerting: {why}", "name another policy, or none")


def _coverage(chart: Chart, registry: RegistryLike, kinds: Mapping[tuple[str, str], KindLike]) -> Iterator[Problem]:
    for kpi in chart.kpis:
        if kpi.coverage and kpi.unit in registry.units:
            kind, _, group = kpi.coverage.kind.partition(".")
            if (group, kind) not in kinds:
                why = f"counts its coverage in {kpi.coverage.kind}, which nobody registers"
                yield Problem("error", "coverage-kind", f"KPI {kpi.name}", why, "correct coverage.kind")


def _contracts(chart: Chart, registry: RegistryLike, kinds: Mapping[tuple[str, str], KindLike]) -> Iterator[Problem]:
    reported: set[tuple[str, str]] = set()
    for edge in chart.contracts:
        provider = chart.department(edge.provider[:2])
        for kind in edge.kinds:
            owner = chart.owner_of(provider.id, kind)
            if not owner or owner not in registry.units or (provider.group, kind) in kinds or (owner, kind) in reported:
                continue
            reported.add((owner, kind))
            why = f"is promised by contract {edge}, but {owner}, which is staffed, does not register it"
            yield Problem("warning", "kind-not-built", f"{kind}.{provider.group}", why, "build the kind, or amend the contract")


# Import rules -------------------------------------------------------------------------------------------------------


def write_importlinter(path: Path, chart: Chart, package: Path | None = None) -> None:
    """Write the import rules as an import-linter file: ``lint-imports --config <path>``."""
    path.write_text(importlinter(chart, package or Path(__file__).parent.parent), encoding="utf-8")


def importlinter(chart: Chart, package: Path) -> str:
    """The rules for the packages that exist: layers, closed boundaries, and other departments by their ``kinds`` only."""
    root = package.name
    present = [department for department in chart.departments if _exists(package, department.name)]
    sections = [f"[importlinter]\nroot_package = {root}\n", _layers(root, package, [department.name for department in present])]
    contracts = {(edge.consumer[:2], edge.provider[:2]) for edge in chart.contracts if edge.in_force}
    closed = {(rule.forbid.consumer, rule.forbid.provider) for rule in chart.boundaries if rule.forbid and rule.forbid.total}
    for consumer in present:
        for provider in present:
            if consumer is provider:
                continue
            pair = (consumer.id, provider.id)
            source, target = f"{root}.{consumer.name}", f"{root}.{provider.name}"
            if pair in closed:
                sections.append(_forbidden(pair, "boundary of the chart", source, target))
            elif pair in contracts and _exists(package / provider.name, "kinds"):
                through = (
                    f"allow_indirect_imports = True\nignore_imports =\n    {source} -> {target}.kinds\n    {source}.** -> {target}.kinds\n"
                )
                sections.append(
                    _forbidden(pair, "by its kinds only", source, target, f"{through}unmatched_ignore_imports_alerting = none\n")
                )
            else:
                sections.append(_forbidden(pair, "no contract", source, target, "allow_indirect_imports = True\n"))
    return "# Generated from the org chart by `cipo check --write-importlinter`; do not edit.\n" + "\n".join(sections)


def _layers(root: str, package: Path, departments: list[str]) -> str:
    rows = [*ABOVE, tuple(departments), *BELOW]
    present = [[name for name in row if _exists(package, name)] for row in rows]
    lines = "".join(f"    {' : '.join(f'{root}.{name}' for name in row)}\n" for row in present if row)
    return f"[importlinter:contract:layers]\nname = web, cli, lab > departments > org > kernel\ntype = layers\nlayers =\n{lines}"


def _forbidden(pair: tuple[str, str], why: str, source: str, target: str, more: str = "") -> str:
    head = f"[importlinter:contract:{pair[0]}-{pair[1]}]\nname = {pair[0]} does not import {pair[1]} ({why})\ntype = forbidden\n"
    return f"{head}source_modules =\n    {source}\nforbidden_modules =\n    {target}\n{more}"


def _exists(package: Path, name: str) -> bool:
    return (package / name / "__init__.py").is_file() or (package / f"{name}.py").is_file()
