"""Contracts and boundaries turned into dictionaries, so that a decision costs a look-up and not a walk over the chart.

Only ``authz`` and its refusal texts use this. Named kinds are matched by the provider's department (kind names are unique in it);
``*`` by the provider office itself.
"""

from __future__ import annotations

from collections import defaultdict

from cipo.org.chart import Chart
from cipo.org.model import Boundary, Contract
from cipo.org.refusals import Question


class Edges:
    """The index of one chart."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        self._named: dict[tuple[str, str, str], list[Contract]] = defaultdict(list)
        self._all: dict[str, list[Contract]] = defaultdict(list)
        self._pending: dict[str, list[Contract]] = defaultdict(list)
        self._sole: dict[str, list[Boundary]] = defaultdict(list)
        self._forbids = {office: _binding(chart, office) for office in chart.offices}
        self._shut = {office: _closed(rules) for office, rules in self._forbids.items()}
        for edge in chart.contracts:
            for unit in chart.members(edge.consumer):
                if not edge.in_force:
                    self._pending[unit].append(edge)
                    continue
                for kind in edge.kinds:
                    if kind == "*":
                        self._all[unit].append(edge)
                    else:
                        self._named[unit, edge.provider[:2], kind].append(edge)
        for boundary in chart.boundaries:
            for kind in boundary.kinds if boundary.sole else ():
                self._sole[kind].append(boundary)

    def granting(self, unit: str, question: Question) -> Contract | None:
        """The contract in force that grants it, if any."""
        for edge in self._named.get((unit, question.department, question.kind), ()):
            if _grants(edge.kinds[question.kind], question):
                return edge
        for edge in self._all.get(unit, ()):
            if self._reaches(edge, question) and _grants(edge.kinds["*"], question):
                return edge
        return None

    def pending(self, unit: str, question: Question) -> Contract | None:
        """A contract that would grant it, had the CIPO approved it."""
        for edge in self._pending.get(unit, ()):
            named = edge.provider[:2] == question.department and _grants(edge.kinds.get(question.kind, ()), question)
            if named or (self._reaches(edge, question) and _grants(edge.kinds.get("*", ()), question)):
                return edge
        return None

    def between(self, unit: str, question: Question) -> tuple[str, ...]:
        """The verbs that contracts in force give the unit on this kind."""
        named = [verb for edge in self._named.get((unit, question.department, question.kind), ()) for verb in edge.kinds[question.kind]]
        wide = [verb for edge in self._all.get(unit, ()) if self._reaches(edge, question) for verb in edge.kinds["*"]]
        return tuple(dict.fromkeys(named + wide))

    def forbidding(self, office: str) -> tuple[Boundary, ...]:
        """The boundaries that bind an office: those of itself and of all above it."""
        return self._forbids.get(office, ())

    def sole(self, kind: str) -> list[Boundary]:
        """The boundaries that keep a kind name for one department, whoever offers it."""
        return self._sole.get(kind, [])

    def shut(self, office: str) -> tuple[str, ...]:
        """Departments that are closed to an office altogether."""
        return self._shut.get(office, ())

    def _reaches(self, edge: Contract, question: Question) -> bool:
        if self._chart.has_unit(question.owner):
            return self._chart.within(question.owner, edge.provider)
        return edge.provider == question.department


def _binding(chart: Chart, office: str) -> tuple[Boundary, ...]:
    above = chart.above(office)
    return tuple(boundary for boundary in chart.boundaries if boundary.forbid and boundary.forbid.consumer in above)


def _closed(rules: tuple[Boundary, ...]) -> tuple[str, ...]:
    return tuple(rule.forbid.provider for rule in rules if rule.forbid and rule.forbid.total and len(rule.forbid.provider) == 2)


def _grants(verbs: tuple[str, ...], question: Question) -> bool:
    return question.verb in verbs or (question.verb == "act" and bool(question.action) and f"act:{question.action}" in verbs)
