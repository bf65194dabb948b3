"""What a unit declares: its kinds, actions, reconcilers, routines, facts, pages and pictures; and the registry of them all.

``Unit`` is the object a module decorates with; ``Department`` lists its units by name (nothing scans packages);
``Registry`` is what the rest of the kernel looks things up in. Declaring has no effect but to declare.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal, TypeVar

from cipo.kernel.errors import CipoError
from cipo.kernel.models import Column, Kind, Model, Status, target_name

KERNEL = "kernel"
KindT = TypeVar("KindT", bound=Kind[Any, Any])
Fn = TypeVar("Fn", bound=Callable[..., Awaitable[Any]])
Clock = Literal["world", "wall"]


class DeclarationError(CipoError):
    """A unit's module is wrong: says which declaration and how to write it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A declared measurement: name, unit of measure, attributes with their types, and which clock its durations are in."""

    name: str
    unit_id: str
    unit: str
    attrs: Mapping[str, type]
    help: str
    clock: Clock = "world"


@dataclass(frozen=True, slots=True)
class ActionInfo:
    """A verb of a kind: ``POST …/<name>/<action>``."""

    name: str
    fn: Callable[..., Awaitable[Model | None]]
    input: type[Model] | None
    phases: tuple[str, ...]
    help: str
    approve: bool
    danger: str
    leaves: tuple[Fact, ...]


@dataclass(eq=False)
class KindInfo:
    """A registered kind and all that was declared about it."""

    cls: type[Kind[Any, Any]]
    kind: str
    group: str
    plural: str
    short: str
    unit: str
    columns: tuple[Column, ...]
    select: tuple[str, ...]
    phase: str
    lifecycle: tuple[str, ...]
    finalizer: bool
    public: bool
    admin: bool
    cascade: frozenset[str]
    readonly: bool
    help: str
    version: str = "v1"
    actions: dict[str, ActionInfo] = field(default_factory=dict)
    reconcile: Callable[..., Awaitable[Any]] | None = None
    watches: tuple[tuple[str, Callable[[Any], Iterable[str]]], ...] = ()
    watch_refs: bool = False
    concurrency: int = 8
    pictures: list[Picture] = field(default_factory=list)

    @cached_property
    def gk(self) -> str:
        """``Kind.group``, the key in the store."""
        return f"{self.kind}.{self.group}"

    @cached_property
    def api_version(self) -> str:
        """``group/version``."""
        return f"{self.group}/{self.version}"

    @property
    def singular(self) -> str:
        """As in ``kubectl get asset``."""
        return self.kind.lower()

    @property
    def spec_cls(self) -> type[Model]:
        """The class of the spec."""
        return self.cls.parts()[0]

    @property
    def status_cls(self) -> type[Status]:
        """The class of the status."""
        return self.cls.parts()[1]

    @property
    def finalizer_name(self) -> str:
        """The finalizer the kernel sets when the kind has external state."""
        return f"{self.group}/{self.singular}"


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing of a resource: ``async (resource, ctx) -> str`` (SVG) shown on its page."""

    title: str
    fn: Callable[..., Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a unit's own, e.g. the receiving desk: ``async (query, ctx) -> dict`` feeds the template."""

    slug: str
    title: str
    template: str
    fn: Callable[..., Awaitable[dict[str, Any]]]
    help: str
    unit: str


@dataclass(frozen=True, slots=True)
class RoutineInfo:
    """Recurring work: ``async (ctx) -> str`` every ``every``; the string is its last result in words. Idempotent."""

    name: str
    unit: str
    every: timedelta
    fn: Callable[..., Awaitable[str]]
    help: str


class Unit:
    """A unit of the chart, by its qualified id (``1A/U-W2``). Its methods are the decorators its module uses."""

    def __init__(self, unit_id: str, *, group: str | None = None) -> None:
        if "/" not in unit_id:
            raise DeclarationError(f"unit {unit_id!r}: write the qualified id, e.g. '1A/{unit_id}'")
        self.id = unit_id
        self.group = group
        self.kinds: list[KindInfo] = []
        self.facts: dict[str, Fact] = {}
        self.routines: list[RoutineInfo] = []
        self.pages: list[Page] = []
        self._by_class: dict[type[Any], KindInfo] = {}

    def __repr__(self) -> str:
        return f"Unit({self.id!r})"

    def fact(self, name: str, *, unit: str, attrs: Mapping[str, type] | None = None, help: str, clock: Clock = "world") -> Fact:
        """Declare a fact. Only declared facts can be written, and only by their unit's code."""
        if name in self.facts:
            raise DeclarationError(f"{self.id}: fact {name} is declared twice")
        self.facts[name] = Fact(name, self.id, unit, dict(attrs or {}), help, clock)
        return self.facts[name]

    def kind(
        self,
        *,
        short: str,
        plural: str,
        columns: Iterable[Column] = (),
        select: Iterable[str] = (),
        phase: str = "status.phase",
        lifecycle: Iterable[str] = (),
        finalizer: bool = False,
        public: bool = False,
        admin: bool = False,
        readonly: bool = False,
        cascade: Iterable[str] = (),
        group: str | None = None,
    ) -> Callable[[type[KindT]], type[KindT]]:
        """Declare a kind.

        ``select``: fields that lists can filter by (at most 8). ``phase``: where the lifecycle's word lies; ``lifecycle``: its
        usual order, for the stepper. ``cascade``: ref paths (``spec.rack``) whose target's foreground deletion takes this object
        along. ``public``: every signed-in caller may read. ``admin``: the CIPO alone writes. ``readonly``: only the system writes.
        """

        def declare(cls: type[KindT]) -> type[KindT]:
            info = KindInfo(
                cls=cls,
                kind=cls.__name__,
                group=group or self.group or "",
                plural=plural,
                short=short,
                unit=self.id,
                columns=tuple(columns),
                select=tuple(select),
                phase=phase,
                lifecycle=tuple(lifecycle),
                finalizer=finalizer,
                public=public,
                admin=admin,
                cascade=frozenset(cascade),
                readonly=readonly,
                help=inspect.cleandoc(cls.__doc__ or ""),
            )
            if len(info.select) > 8:
                raise DeclarationError(f"{cls.__name__}: {len(info.select)} selectable fields; at most 8")
            cls.info = info
            self.kinds.append(info)
            self._by_class[cls] = info
            return cls

        return declare

    def action(
        self,
        kind: type[Kind[Any, Any]],
        *,
        phase: str | tuple[str, ...] = (),
        input: type[Model] | None = None,
        name: str | None = None,
        approve: bool = False,
        danger: str = "",
        leaves: Iterable[Fact] = (),
    ) -> Callable[[Fn], Fn]:
        """Declare a verb. ``phase``: where it is legal (empty: anywhere). ``approve``: leads may do it. ``danger``: the consequence shown first."""

        def declare(fn: Fn) -> Fn:
            action = name or fn.__name__.strip("_").replace("_", "-")
            info = self._info(kind)
            if action in info.actions or action == "status":
                raise DeclarationError(f"{info.kind}: action {action} is declared twice or reserved")
            phases = (phase,) if isinstance(phase, str) else tuple(phase)
            doc = inspect.cleandoc(fn.__doc__ or "")
            info.actions[action] = ActionInfo(action, fn, input, phases, doc, approve, danger, tuple(leaves))
            return fn

        return declare

    def reconcile(
        self,
        kind: type[Kind[Any, Any]],
        *,
        watches: Mapping[str, Callable[[Any], Iterable[str]]] | None = None,
        watch_refs: bool = False,
        concurrency: int = 8,
    ) -> Callable[[Fn], Fn]:
        """Declare the loop that brings the world to the spec. ``watches``: gk -> names of ours to look at when one of those changes."""

        def declare(fn: Fn) -> Fn:
            info = self._info(kind)
            info.reconcile, info.watch_refs, info.concurrency = fn, watch_refs, concurrency
            info.watches = tuple((watches or {}).items())
            return fn

        return declare

    def routine(self, name: str, *, every: timedelta) -> Callable[[Fn], Fn]:
        """Declare recurring work; it becomes a ``Routine`` resource with last run, next run and error."""

        def declare(fn: Fn) -> Fn:
            self.routines.append(RoutineInfo(name, self.id, every, fn, inspect.cleandoc(fn.__doc__ or "")))
            return fn

        return declare

    def picture(self, kind: type[Kind[Any, Any]], title: str) -> Callable[[Fn], Fn]:
        """Declare a drawing of a kind: returns SVG."""

        def declare(fn: Fn) -> Fn:
            self._info(kind).pictures.append(Picture(title, fn))
            return fn

        return declare

    def page(self, slug: str, *, title: str, template: str) -> Callable[[Fn], Fn]:
        """Declare a page at ``/u/<unit>/<slug>``; ``template`` is ``<package>:<file>`` below the department's package."""

        def declare(fn: Fn) -> Fn:
            self.pages.append(Page(slug, title, template, fn, inspect.cleandoc(fn.__doc__ or ""), self.id))
            return fn

        return declare

    def _info(self, kind: type[Kind[Any, Any]]) -> KindInfo:
        info = kind.__dict__.get("info")
        if not isinstance(info, KindInfo):
            raise DeclarationError(f"{kind.__name__} is not a declared kind; decorate it with @unit.kind(...) first")
        return info


@dataclass(frozen=True)
class Department:
    """A department's code: its id in the chart, its package and API group, and its units by name."""

    id: str
    package: str
    units: tuple[Unit, ...]

    @property
    def group(self) -> str:
        """API group, ``facilities.cipo``."""
        return f"{self.package}.cipo"


def dotted(obj: Any, path: str) -> Any:
    """The value at ``spec.a.b`` of a JSON object, or None."""
    for part in path.split("."):
        if not isinstance(obj, dict):
            return None
        obj = obj.get(part)
    return obj


class Registry:
    """Everything declared, checked once at start: kinds by key and by plural, units, facts, routines, pages."""

    def __init__(self, departments: Iterable[Department], kernel_units: Iterable[Unit] = ()) -> None:
        self.departments = {department.id: department for department in departments}
        self.units: dict[str, Unit] = {}
        self.by_gk: dict[str, KindInfo] = {}
        self.by_plural: dict[tuple[str, str], KindInfo] = {}
        self.facts: dict[str, Fact] = {}
        self.routines: dict[str, RoutineInfo] = {}
        self.pages: dict[tuple[str, str], Page] = {}
        for unit in kernel_units:
            self._add(unit, f"{KERNEL}.cipo")
        for department in self.departments.values():
            for unit in department.units:
                if not unit.id.startswith(f"{department.id}/"):
                    raise DeclarationError(f"{unit.id} is listed under {department.id}; a department lists its own units")
                self._add(unit, department.group)
        self._watchers()
        self._describe()

    @property
    def kinds(self) -> list[KindInfo]:
        """All kinds, sorted by key."""
        return [self.by_gk[gk] for gk in sorted(self.by_gk)]

    @property
    def groups(self) -> list[str]:
        """API groups that have a kind."""
        return sorted({info.group for info in self.by_gk.values()})

    def kind(self, gk: str) -> KindInfo:
        """The kind of a key ``Asset.facilities.cipo``."""
        return self.by_gk[gk]

    def find(self, word: str) -> KindInfo | None:
        """A kind by any name a person uses: kind, plural, short name, ``plural.group`` or key; None if unknown or ambiguous."""
        word = word.strip()
        lowered = word.lower()
        matches = [
            info
            for info in self.by_gk.values()
            if lowered in (info.singular, info.plural, info.short, f"{info.plural}.{info.group}", info.gk.lower())
        ]
        return matches[0] if len(matches) == 1 else None

    def target(self, of: KindInfo, ref_target: type[Any] | str | None) -> KindInfo:
        """The kind that a reference declared in ``of`` points to: by class, else by name, own group first."""
        if isinstance(ref_target, type):
            info = ref_target.__dict__.get("info")
            if isinstance(info, KindInfo):
                return info
        name = target_name(ref_target)
        own = self.by_gk.get(f"{name}.{of.group}")
        if own:
            return own
        found = [info for info in self.by_gk.values() if info.kind == name]
        if len(found) != 1:
            raise DeclarationError(f"{of.kind} refers to {name!r}, which is {'ambiguous' if found else 'not a kind'}")
        return found[0]

    def _add(self, unit: Unit, group: str) -> None:
        if unit.id in self.units:
            raise DeclarationError(f"unit {unit.id} is listed twice")
        self.units[unit.id] = unit
        for info in unit.kinds:
            info.group = info.group or group
            if info.gk in self.by_gk and self.by_gk[info.gk] is not info:
                raise DeclarationError(f"kind {info.gk} is declared twice")
            self.by_gk[info.gk] = info
            self.by_plural[info.group, info.plural] = info
        for name, fact in unit.facts.items():
            if name in self.facts and self.facts[name] is not fact:
                raise DeclarationError(f"fact {name} is declared by {self.facts[name].unit_id} and {unit.id}")
            self.facts[name] = fact
        for routine in unit.routines:
            self.routines[routine.name] = routine
        for page in unit.pages:
            self.pages[unit.id, page.slug] = page

    def _watchers(self) -> None:
        self.watchers: dict[str, list[tuple[KindInfo, Callable[[Any], Iterable[str]]]]] = {}
        for info in self.by_gk.values():
            for gk, mapper in info.watches:
                if gk not in self.by_gk:
                    raise DeclarationError(f"{info.kind} watches {gk}, which is not a kind")
                self.watchers.setdefault(gk, []).append((info, mapper))

    def _describe(self) -> None:
        missing: list[str] = []
        for info in self.by_gk.values():
            if not info.help:
                missing.append(info.kind)
            for part in (info.spec_cls, info.status_cls, *(a.input for a in info.actions.values() if a.input)):
                missing += [f"{info.kind}: {part.__name__}.{name}" for name, spec in part.model_fields.items() if not spec.description]
            missing += [f"{info.kind}: action {action.name}" for action in info.actions.values() if not action.help]
        if missing:
            raise DeclarationError("no description (give help= or a docstring): " + ", ".join(missing))


SLUG = re.compile(r"[^a-z0-9]+")


def slug(text: str) -> str:
    """A resource name made from words: ``PowerEdge R650`` -> ``poweredge-r650``."""
    return SLUG.sub("-", text.lower()).strip("-")[:200] or "x"
