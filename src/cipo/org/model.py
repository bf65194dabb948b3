"""The shapes of the chart: frozen models of what the YAML says. ``reading`` fills them, ``chart`` indexes them.

Ids are qualified here (``1A/U-W2``), though a file writes the short form inside its own department. No model knows another one:
look-ups live in ``chart.Chart``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from cipo.kernel.slo import windows
from cipo.kernel.slo.objective import ALWAYS, METHODS, Test
from cipo.kernel.slo.objective import where as conditions

Origin = Literal["seed", "derived"]
"""``seed``: the chart's own words. ``derived``: cipo's reading of them; the console marks it."""

READ: Final = ("get", "list", "watch")
WRITE: Final = ("create", "update", "patch", "delete")
VERBS: Final = (*READ, *WRITE, "act")

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


def _duration(value: str) -> str:
    windows.duration(value)
    return value


def _test(value: str) -> str:
    return str(Test.parse(value))


def _conditions(value: Where) -> Where:
    if len(value) > WHERE_MAX:
        raise ValueError(f"names {len(value)} attributes; at most {WHERE_MAX}")
    conditions(value)
    return value


WHERE_MAX = 8
Where = dict[str, str | bool | float | tuple[str | bool | float, ...]]

Duration = Annotated[str, AfterValidator(_duration)]
"""``90d``, ``15s``: a whole number and s, m, h, d or w."""


class Frozen(BaseModel):
    """Read once, never changed; an unknown key is an error, not a comment."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Measure(Frozen):
    """Which facts an indicator reads: by name, and by the value of their attributes."""

    fact: FactName
    where: Annotated[Where, AfterValidator(_conditions)] | None = Field(
        default=None, description="a value, a list of values, a glob, or a comparison such as `>= 3`"
    )
    good: Annotated[str, AfterValidator(_test)] | None = Field(default=None, description="which facts count, unless it is `value == 1`")
    p: float | None = Field(default=None, gt=0, le=100, description="100 is the largest")
    average: bool = Field(default=False, description="of a duration: the mean instead of a percentile")
    per: Duration | None = Field(default=None, description="unit of time of a rate")
    end: FactName | None = Field(default=None, description="the fact that ends a duration")
    calendar: Slug | Literal["24x7"] = Field(default=ALWAYS, description="whose open hours count in a duration")


class Indicator(Frozen):
    """How facts become one number: exactly one method, and the unit of measure of the result."""

    ratio: Measure | None = Field(default=None, description="share of facts that are 1, or pass `good`")
    percentile: Measure | None = None
    mean: Measure | None = None
    min: Measure | None = None
    max: Measure | None = None
    sum: Measure | None = None
    count: Measure | None = None
    last: Measure | None = None
    rate: Measure | None = Field(default=None, description="facts per unit of time")
    duration: Measure | None = Field(default=None, description="percentile or mean of the time from a fact to the one that ends it")
    durability: Measure | None = Field(default=None, description="nines, from objects lost and object-days at risk")
    unit: str = Field(min_length=1, max_length=16, description='"1" for a share')

    @model_validator(mode="after")
    def _one_method(self) -> Indicator:
        given = [name for name in METHODS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(METHODS)}; found {', '.join(given) or 'none'}")
        takes = {"percentile": ("p",), "duration": ("p", "end"), "rate": ("per",)}.get(given[0], ())
        needed = tuple(name for name in takes if not (given[0] == "duration" and name == "p"))
        has = tuple(name for name in ("p", "per", "end") if getattr(self.measure, name) is not None)
        for name in needed:
            if name not in has:
                raise ValueError(f"{given[0]} needs {name}")
        for name in has:
            if name not in takes:
                raise ValueError(f"{given[0]} takes no {name}")
        if self.measure.average and (given[0] != "duration" or self.measure.p is not None):
            raise ValueError("average is for a duration without p")
        if self.measure.calendar != ALWAYS and given[0] != "duration":
            raise ValueError(f"{given[0]} takes no calendar; open hours count in a duration")
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


class CalendarWindow(Frozen):
    """A window that follows the calendar of a place: ``{calendar: 1Q, start: 2026-01-01T00:00:00, timeZone: Europe/London}``."""

    calendar: str
    start: datetime
    time_zone: str = Field(default="UTC", alias="timeZone")

    @model_validator(mode="after")
    def _is_one(self) -> CalendarWindow:
        windows.calendar(self.calendar, self.start, self.time_zone)
        return self

    def __str__(self) -> str:
        return f"calendar {self.calendar}"


def _window(value: Any) -> Any:
    """A duration is checked here, so that the message is about it and not about the other form."""
    return _duration(value) if isinstance(value, str) else value


class Budgeting(Frozen):
    """How badness is counted, where not simply by events."""

    method: Literal["Timeslices", "RatioTimeslices"]
    slice: Duration
    target: float | None = Field(default=None, gt=0, le=1, description="the share that makes a slice good (Timeslices)")


class Alerting(Frozen):
    """Who is told when the budget burns: the tiers of a policy."""

    policy: Slug | None = None
    min_bad_events: int = Field(default=3, ge=1)
    absolute: int | None = Field(default=None, ge=1, description="this many bad events in 6 hours always warn")


class Kpi(Frozen):
    """One promise of a squad, in the chart's words, and how it is measured."""

    name: Slug
    squad: SquadId
    unit: UnitId = Field(description="the unit whose facts measure it")
    text: Words
    indicator: Indicator
    window: Annotated[str | CalendarWindow, BeforeValidator(_window)]
    objective: Objective
    formula: Words
    honest: Words = Field(description="why this is an honest measure of the promise: how it could be gamed, and why that does not work")
    coverage: Coverage | None = None
    every: Duration | None = Field(default=None, description="the cadence of probes; without it facts come when work is done")
    missing: Annotated[str, StringConstraints(pattern=r"^(ignore|bad|good|hold [1-9][0-9]*m)$")] = "ignore"
    min_coverage: float = Field(default=0.95, gt=0, le=1)
    absent_after: Duration | None = None
    lateness: Duration = "1h"
    min_samples: int = Field(default=1, ge=1, le=10_000_000)
    confidence: float | None = Field(default=None, gt=0.5, lt=1, description="of a share: met only when the interval's bound is, too")
    target: float | None = Field(default=None, gt=0, lt=1, description="promised share of good slices, when the number itself is no share")
    budgeting: Budgeting | None = None
    alerting: Alerting = Alerting()
    origin: Origin = "seed"

    @property
    def department(self) -> str:
        """The department that promised it."""
        return self.squad[:2]

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts it reads."""
        measure = self.indicator.measure
        return (measure.fact, measure.end) if measure.end else (measure.fact,)

    @property
    def calendar(self) -> str:
        """The business calendar its time runs by."""
        return self.indicator.measure.calendar


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
