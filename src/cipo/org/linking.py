"""Are all names in the chart the names of something, and all promises measurable? Run once, after every file has been read by itself.

A dangling name in a contract or a boundary would silently grant or guard nothing, so it stops the load. Each finding names the file,
the path in it, the value, and what would be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from cipo.org.errors import ChartProblem
from cipo.org.model import Contract, Department
from cipo.org.promises import places, wrong

Found = Iterator[ChartProblem]


def problems_of(departments: list[Department]) -> list[ChartProblem]:
    """Every doubled or dangling name of the whole chart."""
    found = [*_doubled(departments), *_misplaced(departments)]
    if found:
        return found  # look-ups below need unique ids
    offices = set(_offices(departments))
    owners = {
        (unit.id[:2], kind): unit.id
        for department in departments
        for squad in department.squads
        for unit in squad.units
        for kind in unit.kinds
    }
    for department in departments:
        found += _contracts(department, departments, offices, owners)
        found += _boundaries(department, offices)
        found += _promises(department)
    return found


def _offices(departments: Iterable[Department]) -> Iterator[str]:
    for department in departments:
        yield department.id
        for squad in department.squads:
            yield squad.id
            yield from (unit.id for unit in squad.units)


def _doubled(departments: Iterable[Department]) -> Found:
    """Ids, package names and KPI names are unique in the organisation; kind names inside a department."""
    seen: dict[tuple[str, str], str] = {}

    def once(what: str, value: str, file: str, path: str) -> Found:
        first = seen.setdefault((what, value), f"{file}: {path}")
        if first != f"{file}: {path}":
            yield ChartProblem(file, path, value, f"is a {what} already used at {first}; choose another")

    for department in departments:
        file = f"{department.id}.yaml"
        yield from once("department", department.id, file, "department.id")
        yield from once("package", department.name, file, "department.name")
        for s, squad in enumerate(department.squads):
            yield from once("squad", squad.id, file, f"squads[{s}].id")
            for u, unit in enumerate(squad.units):
                path = f"squads[{s}].units[{u}]"
                yield from once("unit", unit.id, file, f"{path}.id")
                yield from once("module", f"{department.name}.{unit.module}", file, f"{path}.module")
                for kind in unit.kinds:
                    yield from once("kind of this department", f"{department.id} {kind}", file, f"{path}.kinds ({kind})")
            for k, kpi in enumerate(squad.kpis):
                yield from once("KPI", kpi.name, file, f"squads[{s}].kpis[{k}].name")


def _misplaced(departments: Iterable[Department]) -> Found:
    """A squad, unit or KPI belongs to the department whose file it is in."""
    for department in departments:
        file = f"{department.id}.yaml"
        own = set(_offices([department]))
        for s, squad in enumerate(department.squads):
            path = f"squads[{s}]"
            if squad.department != department.id:
                yield ChartProblem(file, f"{path}.id", squad.id, f"belongs in {squad.department}.yaml")
            for u, unit in enumerate(squad.units):
                if unit.department != department.id:
                    yield ChartProblem(file, f"{path}.units[{u}].id", unit.id, f"belongs in {unit.department}.yaml")
            for k, kpi in enumerate(squad.kpis):
                if kpi.unit not in own:
                    yield _dangling(file, f"{path}.kpis[{k}].unit", kpi.unit, "unit of this department", own)
        for r, ruling in enumerate(department.rulings):
            if ruling.squad and ruling.squad not in own:
                yield _dangling(file, f"rulings[{r}].squad", ruling.squad, "squad of this department", own)


def _contracts(department: Department, departments: list[Department], offices: set[str], owners: dict[tuple[str, str], str]) -> Found:
    above = {unit.id: (unit.id, unit.squad, unit.department) for other in departments for squad in other.squads for unit in squad.units}
    file = f"{department.id}.yaml"
    for c, edge in enumerate(department.contracts):
        path = f"contracts[{c}]"
        missing = [(key, office) for key, office in (("from", edge.consumer), ("to", edge.provider)) if office not in offices]
        yield from (_dangling(file, f"{path}.{key}", office, "department, squad or unit", offices) for key, office in missing)
        if missing:
            continue
        if edge.consumer[:2] != department.id:
            yield ChartProblem(file, f"{path}.from", edge.consumer, f"a contract stands in its consumer's file, {edge.consumer[:2]}.yaml")
        known = {kind for provider, kind in owners if provider == edge.provider[:2]}
        for kind in edge.kinds:
            owner = owners.get((edge.provider[:2], kind))
            if owner and edge.provider not in above[owner]:
                why = f"belongs to {owner}, which is not in {edge.provider}; name {owner} or its department in `to`"
                yield ChartProblem(file, f"{path}.kinds", kind, why)
            if kind not in known and kind != "*":
                yield _dangling(file, f"{path}.kinds", kind, f"kind that a unit of {edge.provider[:2]} lists", known)
        yield from _crossing(file, path, edge, departments)


def _crossing(file: str, path: str, edge: Contract, departments: list[Department]) -> Found:
    """A contract that a boundary forbids altogether would be dead paper; the boundary is what has to be amended."""
    for other in departments:
        for b, boundary in enumerate(other.boundaries):
            rule = boundary.forbid
            if rule and rule.total and _inside(edge.consumer, rule.consumer) and _inside(edge.provider, rule.provider):
                where = f"{other.id}.yaml: boundaries[{b}]"
                yield ChartProblem(file, path, str(edge), f"crosses a boundary ({boundary.why}); no contract can open it, see {where}")


def _inside(office: str, wider: str) -> bool:
    """By department or by the same id; a boundary between smaller offices is judged at each decision."""
    return office == wider or office[:2] == wider


def _boundaries(department: Department, offices: set[str]) -> Found:
    file = f"{department.id}.yaml"
    for b, boundary in enumerate(department.boundaries):
        named = [("sole", boundary.sole)] if boundary.sole else []
        if boundary.forbid:
            named = [("forbid.from", boundary.forbid.consumer), ("forbid.to", boundary.forbid.provider)]
        for key, office in named:
            if office not in offices:
                yield _dangling(file, f"boundaries[{b}].{key}", office, "department, squad or unit", offices)


def _promises(department: Department) -> Found:
    """A promise that could not be measured as it is written is refused, not left unknown for ever."""
    for kpi, path in places(department):
        for part, value, why in wrong(kpi):
            yield ChartProblem(f"{department.id}.yaml", f"{path}.{part}", value, why)


def _dangling(file: str, path: str, value: str, what: str, known: Iterable[str]) -> ChartProblem:
    near = get_close_matches(value, list(known), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return ChartProblem(file, path, value, f"is no {what}{hint}")
