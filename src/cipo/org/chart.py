"""The organisation in memory: load once, look up by name. Authorisation, console, CLI and KPI engine all read it here.

``load()`` reads the packaged chart, or the directory in ``CIPO_CHART`` (an organisation's own, reviewed copy of the same files). It
refuses a chart with a dangling or doubled name, so whoever holds a ``Chart`` can follow every reference in it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from cipo.org.errors import AmbiguousName, ChartError, ChartProblem, UnknownName
from cipo.org.linking import problems_of
from cipo.org.model import Boundary, Contract, Department, Kpi, Ruling, Squad, Unit
from cipo.org.reading import read_department

PACKAGED = Path(__file__).with_name("chart")
CIPO = "CIPO"
"""The office above all departments."""
MAX_FILES = 64

T = TypeVar("T")


class Chart:
    """Departments, squads, units, KPIs, contracts and boundaries, each reachable by its id. Read-only."""

    def __init__(self, departments: Iterable[Department], source: str = "") -> None:
        self.source = source
        self.departments: tuple[Department, ...] = tuple(departments)
        self.squads: tuple[Squad, ...] = tuple(squad for department in self.departments for squad in department.squads)
        self.units: tuple[Unit, ...] = tuple(unit for squad in self.squads for unit in squad.units)
        self.kpis: tuple[Kpi, ...] = tuple(kpi for squad in self.squads for kpi in squad.kpis)
        self.contracts: tuple[Contract, ...] = tuple(edge for department in self.departments for edge in department.contracts)
        self.boundaries: tuple[Boundary, ...] = tuple(rule for department in self.departments for rule in department.boundaries)
        self.rulings: tuple[Ruling, ...] = tuple(ruling for department in self.departments for ruling in department.rulings)
        self._departments = {department.id: department for department in self.departments}
        self._squads = {squad.id: squad for squad in self.squads}
        self._units = {unit.id: unit for unit in self.units}
        self._kpis = {kpi.name: kpi for kpi in self.kpis}
        self._owners = {(unit.department, kind): unit.id for unit in self.units for kind in unit.kinds}
        self._groups = {department.group: department.id for department in self.departments}
        self._above = _above(self.departments)
        self._members = _members(self._above, self._units)
        self._bare: dict[str, list[str]] = defaultdict(list)
        for office in (*self._squads, *self._units):
            self._bare[office[3:]].append(office)

    # Look-ups by id -------------------------------------------------------------------------------------------------

    def department(self, id: str) -> Department:
        """The department ``1A``; also by its package name, ``facilities``."""
        named = next((department for department in self.departments if department.name == id), None)
        return named or _found(self._departments, id, "department")

    def squad(self, id: str) -> Squad:
        """The squad ``1A/A-2``."""
        return _found(self._squads, self._full(id), "squad")

    def unit(self, id: str) -> Unit:
        """The unit ``1A/U-W2``; a bare id only if one department uses it."""
        return _found(self._units, self._full(id), "unit")

    def kpi(self, name: str) -> Kpi:
        """The KPI by its resource name, such as ``inventory-accuracy``."""
        return _found(self._kpis, name, "KPI")

    def resolve(self, name: str) -> Department | Squad | Unit:
        """Whatever office a person means by ``1A``, ``1A/A-2``, ``U-W2`` …; ambiguous or unknown is a ``BadRequest``."""
        full = self._full(name)
        offices: dict[str, Department | Squad | Unit] = {**self._departments, **self._squads, **self._units}
        return _found(offices, full, "office")

    def _full(self, name: str) -> str:
        """A qualified id for a bare one; ambiguous bare ids are refused with all they could mean."""
        candidates = self._bare.get(name, [])
        if len(candidates) > 1:
            raise AmbiguousName(f"{name} is ambiguous: {', '.join(sorted(candidates))}; write the one you mean in full")
        return candidates[0] if candidates else name

    # Who is where ---------------------------------------------------------------------------------------------------

    def has_unit(self, id: str) -> bool:
        """Whether the qualified id is a unit of this chart."""
        return id in self._units

    def members(self, office: str) -> frozenset[str]:
        """The ids of all units in an office: of a unit itself, of ``CIPO`` all; empty for what is not in the chart."""
        return self._members.get(office, frozenset())

    def department_of(self, office: str) -> str | None:
        """The department of a unit, squad or department; ``None`` for CIPO and for what is not in the chart."""
        return office[:2] if office in self._members and office != CIPO else None

    def within(self, office: str, wider: str) -> bool:
        """Whether an office is the wider one or lies below it."""
        return wider in self._above.get(office, ())

    @property
    def offices(self) -> tuple[str, ...]:
        """All ids that can act or be named: CIPO, departments, squads, units."""
        return tuple(self._above)

    def above(self, office: str) -> tuple[str, ...]:
        """The office itself and those above it, nearest first; empty for what is not in the chart."""
        return self._above.get(office, ())

    def group_department(self, group: str) -> str | None:
        """The department that owns an API group: ``facilities.cipo`` is 1A's."""
        return self._groups.get(group)

    def owner_of(self, department: str, kind: str) -> str | None:
        """The unit that the chart gives a kind to, if it names the kind at all."""
        return self._owners.get((department, kind))

    @property
    def owners(self) -> Mapping[tuple[str, str], str]:
        """(department, kind name) -> owning unit, for every kind the chart names."""
        return MappingProxyType(self._owners)

    # What they promised and agreed ----------------------------------------------------------------------------------

    def kpis_of(self, office: str) -> tuple[Kpi, ...]:
        """The KPIs a unit measures, or a squad or department promised."""
        return tuple(kpi for kpi in self.kpis if office in (kpi.unit, kpi.squad, kpi.department, CIPO))

    def needs_of(self, office: str) -> tuple[Contract, ...]:
        """The contracts in which the office, or a wider one it belongs to, is the consumer."""
        return tuple(edge for edge in self.contracts if self.within(office, edge.consumer))

    def serves(self, office: str) -> tuple[Contract, ...]:
        """The contracts that reach into the office as provider: to a unit, only those that name it, its squad or a kind of it."""
        return tuple(edge for edge in self.contracts if self.within(office, edge.provider) and self._touches(edge, office))

    def contracts_of(self, office: str) -> tuple[Contract, ...]:
        """Both directions, in chart order."""
        both = {id(edge) for edge in (*self.needs_of(office), *self.serves(office))}
        return tuple(edge for edge in self.contracts if id(edge) in both)

    def _touches(self, edge: Contract, office: str) -> bool:
        if "*" in edge.kinds:
            return True
        department, members = edge.provider[:2], self.members(office)
        return any(self.owner_of(department, kind) in members for kind in edge.kinds)


def load(directory: str | Path | None = None) -> Chart:
    """The chart of this organisation: ``directory``, else ``CIPO_CHART``, else the packaged one. Read once a process."""
    chosen = Path(directory or os.environ.get("CIPO_CHART") or PACKAGED)
    return _load(chosen.expanduser().absolute())


@lru_cache(maxsize=8)
def _load(directory: Path) -> Chart:
    return Chart(read_directory(directory), source=str(directory))


def read_directory(directory: Path) -> list[Department]:
    """All departments of a directory, linked and checked; raises ``ChartError`` with everything that is wrong."""
    files = sorted(directory.glob("*.yaml")) if directory.is_dir() else []
    if not files:
        why = "holds no chart files; CIPO_CHART must name a directory with 1A.yaml and the others"
        raise ChartError([ChartProblem(str(directory), "", "", why)])
    if len(files) > MAX_FILES:
        raise ChartError([ChartProblem(str(directory), "", str(len(files)), f"holds more than {MAX_FILES} files")])
    departments: list[Department] = []
    problems: list[ChartProblem] = []
    for file in files:
        try:
            departments.append(read_department(file.name, file.read_text(encoding="utf-8")))
        except ChartError as error:
            problems.extend(error.problems)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(ChartProblem(file.name, "", "", f"cannot be read as UTF-8 text: {error}"))
    problems = problems or problems_of(departments)
    if problems:
        raise ChartError(problems)
    return departments


def _above(departments: Iterable[Department]) -> dict[str, tuple[str, ...]]:
    """Each office with itself and all that stand above it, nearest first."""
    above: dict[str, tuple[str, ...]] = {CIPO: (CIPO,)}
    for department in departments:
        above[department.id] = (department.id, CIPO)
        for squad in department.squads:
            above[squad.id] = (squad.id, *above[department.id])
            above |= {unit.id: (unit.id, *above[squad.id]) for unit in squad.units}
    return above


def _members(above: Mapping[str, tuple[str, ...]], units: Iterable[str]) -> dict[str, frozenset[str]]:
    members: dict[str, set[str]] = {office: set() for office in above}
    for unit in units:
        for office in above[unit]:
            members[office].add(unit)
    return {office: frozenset(ids) for office, ids in members.items()}


def _found(index: Mapping[str, T], name: str, what: str) -> T:
    if name in index:
        return index[name]
    near = get_close_matches(name, index, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UnknownName(f"the org chart has no {what} {name!r}{hint}")
