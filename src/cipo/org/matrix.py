"""The whole answer of the chart as text: every unit, kind and verb, with the rule that decides. ``tests/golden/authz.txt`` is this.

A reviewer reads the difference of two such files: a line that appears is a right that was given. Units that share an answer are folded
into squads and departments, verbs that share it stand together, and what is not listed is refused for want of a contract.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from cipo.org.authz import ChartAuthorizer, KindLike
from cipo.org.chart import Chart
from cipo.org.model import VERBS

SILENT = "no-contract"


def matrix(chart: Chart, kinds: Iterable[KindLike] = ()) -> str:
    """Every decision about the kinds that the chart names and those given (the registered ones), folded, one block a kind."""
    authorizer = ChartAuthorizer(chart)
    asked = _kinds(chart)
    registered = {(_department(chart, kind), kind.kind): kind for kind in kinds}
    blocks = []
    for department, name in sorted({*asked, *registered}):
        verbs = [*VERBS, *(f"act:{action}" for action in sorted(_actions(chart, department, name)))]
        known = registered.get((department, name))
        rows = _rows(authorizer, department, name, verbs, known)
        owner = known.unit if known else chart.owner_of(department, name) or "no unit yet"
        blocks.append("\n".join([f"{department or 'platform'} {name} ({owner})", *rows]))
    short = "read = get list watch, write = create update patch delete"
    head = f"{len(chart.units)} units x {len(blocks)} kinds. Not listed: refused, no contract. {short}."
    return f"{head}\n\n" + "\n\n".join(blocks) + "\n"


def _kinds(chart: Chart) -> set[tuple[str, str]]:
    """(department, kind): listed by a unit, named in a contract, or kept by a boundary."""
    named = {(edge.provider[:2], kind) for edge in chart.contracts for kind in edge.kinds if kind != "*"}
    kept = {(boundary.sole, kind) for boundary in chart.boundaries if boundary.sole for kind in boundary.kinds}
    return {*chart.owners, *named, *kept}


def _department(chart: Chart, kind: KindLike) -> str:
    return chart.department_of(kind.unit) or chart.group_department(kind.group) or ""


def _actions(chart: Chart, department: str, kind: str) -> set[str]:
    """The actions that some contract names one by one."""
    verbs = (verb for edge in chart.contracts if edge.provider[:2] == department for verb in edge.kinds.get(kind, ()))
    return {verb.removeprefix("act:") for verb in verbs if verb.startswith("act:")}


def _rows(authorizer: ChartAuthorizer, department: str, kind: str, verbs: list[str], registered: KindLike | None) -> Iterator[str]:
    chart = authorizer.chart
    by_unit: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for unit in chart.units:
        for verb in verbs:
            word, _, action = verb.partition(":")
            if registered is None:
                decision = authorizer.decide_names(unit.id, word, kind, department, action or None)
            else:
                decision = authorizer.judge(unit.id, authorizer.question(word, registered, action or None))
            if decision.rule != SILENT:
                by_unit[unit.id][f"{'allow' if decision.allowed else 'deny '} {decision.rule}"].append(verb)
    folded: dict[tuple[str, str], list[str]] = defaultdict(list)
    for unit_id, rules in by_unit.items():
        for rule, given in rules.items():
            folded[rule, _verbs(given, len(verbs))].append(unit_id)
    for (rule, words), units in sorted(folded.items()):
        yield f"  {rule:<22} {words:<40} {' '.join(_offices(chart, units))}"


def _verbs(given: list[str], all_of: int) -> str:
    if len(given) == all_of:
        return "everything"
    words = " ".join(given)
    if "act" in given:
        words = " ".join(verb for verb in given if not verb.startswith("act:"))
    return words.replace("get list watch", "read").replace("create update patch delete", "write")


def _offices(chart: Chart, units: list[str]) -> list[str]:
    """The fewest names for a set of units: whole departments, whole squads, the rest one by one."""
    left, named = set(units), []
    for office in (*(department.id for department in chart.departments), *(squad.id for squad in chart.squads)):
        members = chart.members(office)
        if len(members) > 1 and members <= left:
            named.append(office)
            left -= members
    return sorted([*named, *left])
