"""The shapes of the chart: frozen models of what the YAML says. ``reading`` fills them, ``chart`` indexes them.

Ids are qualified here (``1A/U-W2``), though a file writes the short form inside its own department. No model knows another one:
look-ups live in ``chart.Chart``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Origin = Literal["seed", "derived"]
"""``seed``: the chart's own words. ``derived``: cipo's reading of them; the console marks it."""

READ: Final = ("get", "list", "watch")
WRITE: Final = ("create", "update", "patch", "delete")
VERBS: Final = (*READ, *WRITE, "act")

_WINDOW = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

DepartmentId = Annotated[str, StringConstraints(pattern=r"^[1-9][A-Z]$")]
SquadId = Annotated[str, StringConstraints(pattern=r"^[1-9][A-Z]/[A-Z]-[0-9]{1,2}$")]
UnitId = Annotated[str, StringConstraints(pattern=r"^[1-9][A-Z]/U-[A-Z]{1,4}[0-9]{1,2}$")]
Office = Annotated[str, StringConstraints(pattern=r"^[1-9][A-Z](/([A-Z]-[0-9]{1,2}|U-[A-Z]{1,4}[0-9]{1,2}))?$")]
"""A department, squad or unit: whoever a contract or boundary can name."""
KindName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{1,62}$")]
KindOrAll = Annotated[str, StringConstraints(pattern=r"^([A-Z][A-Za-z0-9]{1,62}|\*)$")]
FactName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$", max_length=80)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=63)]
Module = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=400, strip_whitespace=True)]


def _verbs(value: Any) -> Any:
    """``read`` is short for get, list, watch; one verb may stand without brackets."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        return given
    return tuple(verb for item in given for verb in (READ if item == "read" else (item,)))


Verb = Annotated[str, StringConstraints(pattern=r"^(get|list|watch|create|update|patch|delete|act(:[a-z][a-z0-9-]*)?)$")]
PlainVerb = Annotated[str, StringConstraints(pattern=r"^(get|list|watch|create|update|patch|delete|act)$")]
Verbs = Annotated[tuple[Verb, ...], BeforeValidator(_verbs), Field(min_length=1)]
PlainVerbs = Annotated[tuple[PlainVerb, ...], BeforeValidator(_verbs), Field(min_length=1)]
"""Of a boundary: it closes all actions or none."""


def _window(value: str) -> str:
    if value[-1:] not in _WINDOW or not value[:-1].isdigit() or not 1 <= int(value[:-1]) <= 10_000:
        raise ValueError("a window is a whole number and m, h, d or w, such as 90d")
    return value


class Frozen(BaseModel):
    """Read once, never changed; an unknown key is an error, not a comment."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Measure(Frozen):
    """Which facts an indicator reads: by name, and by the value of their attributes."""

    fact: FactName
    where: dict[str, str | bool | float] | None = None
    p: float | None = Field(default=None, gt=0, lt=100)


class Indicator(Frozen):
    """How facts become one number: exactly one method, and the unit of measure of the result."""

    ratio: Measure | None = Field(default=None, description="mean of facts that are 1 or 0")
    percentile: Measure | None = None
    mean: Measure | None = None
    count: Measure | None = None
    count_per_day: Measure | None = None
    sum: Measure | None = None
    min: Measure | None = None
    max: Measure | None = None
    unit: str = Field(min_length=1, max_length=16, description='"1" for a share')

    @model_validator(mode="after")
    def _one_method(self) -> Indicator:
        given = [name for name in METHODS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(METHODS)}; found {', '.join(given) or 'none'}")
        if (given[0] == "percentile") != (self.measure.p is not None):
            raise ValueError("percentile needs p (0 < p < 100), and no other method takes it")
        return self

    @property
    def method(self) -> str:
        """The name of the one method: ``ratio``, ``percentile`` …"""
        return next(name for name in METHODS if getattr(self, name) is not None)

    @property
    def measure(self) -> Measure:
        """The facts it reads."""
        measure: Measure = getattr(self, self.method)
        return measure

    @property
    def fact(self) -> str:
        """The name of the fact it reads."""
        return self.measure.fact


METHODS: Final = ("ratio", "percentile", "mean", "count", "count_per_day", "sum", "min", "max")


class Objective(Frozen):
    """What is promised of the number: at least, at most, and whether the limit itself still counts."""

    min: float | None = None
    max: float | None = None
    exclusive: bool = False

    @model_validator(mode="after")
    def _one_side(self) -> Objective:
        if (self.min is None) == (self.max is None):
            raise ValueError("give exactly one of min and max")
        return self

    @property
    def limit(self) -> float:
        """The number on the promise."""
        return self.min if self.min is not None else self.max or 0.0

    @property
    def sign(self) -> str:
        """How it is written: ≥, >, ≤ or <."""
        return (">" if self.exclusive else "≥") if self.min is not None else ("<" if self.exclusive else "≤")

    def met(self, value: float) -> bool:
        """Whether a measured value keeps the promise."""
        match self.sign:
            case "≥":
                return value >= self.limit
            case ">":
                return value > self.limit
            case "≤":
                return value <= self.limit
            case _:
                return value < self.limit

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}"


class Coverage(Frozen):
    """How much of a kind must have been looked at before the number says anything."""

    kind: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*\.[a-z]+\.cipo$")]
    min: float = Field(gt=0, le=1)


class Kpi(Frozen):
    """One promise of a squad, in the chart's words, and how it is measured."""

    name: Slug
    squad: SquadId
    unit: UnitId = Field(description="the unit whose facts measure it")
    text: Words
    indicator: Indicator
    window: Annotated[str, AfterValidator(_window)]
    objective: Objective
    formula: Words
    coverage: Coverage | None = None
    min_samples: int = Field(default=1, ge=1, le=10_000_000)
    origin: Origin = "seed"

    @property
    def department(self) -> str:
        """The department that promised it."""
        return self.squad[:2]

    @property
    def span(self) -> timedelta:
        """The window as a duration."""
        return timedelta(**{_WINDOW[self.window[-1]]: int(self.window[:-1])})


class Unit(Frozen):
    """The smallest office: one module of code, the kinds it owns, and what it does."""

    id: UnitId
    squad: SquadId
    title: Words
    module: Module = Field(description="below the department's package, such as warehouse.cmdb")
    job: Words
    kinds: tuple[KindName, ...] = ()
    origin: Origin = "seed"

    @property
    def department(self) -> str:
        """Its department's id."""
        return self.id[:2]

    @property
    def code(self) -> str:
        """The chart's short id, unique inside the department only."""
        return self.id[3:]


class Squad(Frozen):
    """A team: its units, what it answers for, and what it promised."""

    id: SquadId
    title: Words
    package: Module
    responsibilities: tuple[Words, ...] = Field(min_length=1)
    stack: tuple[Words, ...] = ()
    dependencies: tuple[Words, ...] = ()
    units: tuple[Unit, ...] = Field(min_length=1)
    kpis: tuple[Kpi, ...] = ()
    origin: Origin = "seed"

    @property
    def department(self) -> str:
        """Its department's id."""
        return self.id[:2]

    @property
    def code(self) -> str:
        """The chart's short id."""
        return self.id[3:]


class Contract(Frozen):
    """An edge of the chart: the consumer may do these verbs on these kinds of the provider, and why."""

    consumer: Office = Field(alias="from")
    provider: Office = Field(alias="to")
    kinds: dict[KindOrAll, Verbs] = Field(min_length=1)
    why: Words
    origin: Origin = "seed"
    needs_approval: Literal["cipo"] | None = Field(default=None, alias="needsApproval")

    @property
    def in_force(self) -> bool:
        """False while it waits for the CIPO's approval: written down, but refused."""
        return self.needs_approval is None

    def __str__(self) -> str:
        return f"{self.consumer} -> {self.provider}"


class Forbid(Frozen):
    """A pair that no contract can join: all kinds and verbs, unless it names some."""

    consumer: Office = Field(alias="from")
    provider: Office = Field(alias="to")
    kinds: tuple[KindName, ...] | None = None
    verbs: PlainVerbs | None = None

    @property
    def total(self) -> bool:
        """Whether not a single row may be seen."""
        return self.kinds is None and self.verbs is None


class Boundary(Frozen):
    """A rule above all contracts: one department alone may do something, or a pair may not meet."""

    forbid: Forbid | None = None
    sole: DepartmentId | None = None
    kinds: tuple[KindName, ...] = ()
    verbs: PlainVerbs | None = None
    why: Words
    instead: Annotated[str, StringConstraints(max_length=400)] = ""
    origin: Origin = "seed"
    file: str = ""

    @model_validator(mode="after")
    def _one_sort(self) -> Boundary:
        if (self.forbid is None) == (self.sole is None):
            raise ValueError("give exactly one of forbid and sole")
        if self.sole and not (self.kinds and self.verbs):
            raise ValueError("sole needs kinds and verbs")
        if self.forbid and (self.kinds or self.verbs):
            raise ValueError("put kinds and verbs inside forbid")
        return self


class Ruling(Frozen):
    """A wish that the chart does not grant, with the reason: so that nobody takes the missing edge for an oversight."""

    squad: SquadId | None = None
    asks: Words
    ruling: Words
    origin: Origin = "seed"


class Department(Frozen):
    """One department: its squads, the edges it consumes by, its boundaries."""

    id: DepartmentId
    name: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,20}$")] = Field(description="Python package and API group")
    title: Words
    squads: tuple[Squad, ...] = Field(min_length=1)
    contracts: tuple[Contract, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    rulings: tuple[Ruling, ...] = ()
    origin: Origin = "seed"

    @property
    def group(self) -> str:
        """The API group of its kinds."""
        return f"{self.name}.cipo"
