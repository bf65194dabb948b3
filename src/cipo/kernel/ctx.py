"""``Ctx``: the hands of a unit's code. Actions, reconcilers, routines, pages and pictures get one.

In an action every read and write is part of one transaction; in a reconciler each write is its own, fenced by the lease. The unit acts
with its own rights from the chart, whoever asked; the event names both.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson

from cipo.kernel.errors import ApiError, Cause, Forbidden, Invalid
from cipo.kernel.models import Kind, Ref
from cipo.kernel.principal import Caller
from cipo.kernel.store.admission import typed
from cipo.kernel.store.db import Conn, VersionMoved
from cipo.kernel.store.tx import Actor, Tx, not_found, rebuilt, unit_caller
from cipo.kernel.store.write import FactRow, Lease, Stored
from cipo.kernel.unit import Fact, KindInfo, Registry
from cipo.kernel.wire.selectors import FieldSelector, FieldTerm, LabelSelector, LabelTerm

if TYPE_CHECKING:
    from cipo.kernel.store.db import Database
    from cipo.kernel.store.resources import Resources

K = TypeVar("K", bound=Kind[Any, Any])
LIST_MAX = 100_000
FUTURE = timedelta(minutes=5)
LARGEST = 1e20  # of value times weight: their sums stay exact (numeric(38, 12))


def _check(fact: Fact, value: float, weight: int, attrs: Mapping[str, Any]) -> None:
    """Refuse what the declaration does not allow and what is no number."""
    unknown = attrs.keys() - fact.attrs.keys()
    wrong = [name for name, kind in fact.attrs.items() if name in attrs and not isinstance(attrs[name], kind)]
    if unknown or wrong:
        raise ApiError(f"fact {fact.name}: {'undeclared' if unknown else 'wrongly typed'} attributes {', '.join(sorted(unknown or wrong))}")
    if not math.isfinite(value) or weight < 1 or abs(value) * weight >= LARGEST:
        raise Invalid(f"fact {fact.name}: {value!r} with weight {weight} is no measurement; it must be finite, with a weight of at least 1")


@dataclass(slots=True)
class Scene:
    """Where a Ctx works: the store, who asked, the unit whose code runs, and the transaction if there is one."""

    resources: Resources
    caller: Caller
    actor: Actor
    tx: Tx | None = None
    kind: KindInfo | None = None
    now: datetime | None = None
    lease: Lease | None = None
    unit: str | None = None
    facts: list[FactRow] = field(default_factory=list)


class Ctx:
    """Reads, writes, facts and refusals for a unit's code."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.note = ""
        self.reason = ""
        self.deleted_self = False

    # -- who and when

    @property
    def caller(self) -> Caller:
        """Who asked."""
        return self._scene.caller

    @property
    def who(self) -> str:
        """The name of who asked, for the record."""
        return self._scene.caller.principal.name

    @property
    def registry(self) -> Registry:
        """All that is declared."""
        return self._scene.resources.registry

    @property
    def db(self) -> Database:
        """For the kernel's own routines; units use the methods below."""
        return self._scene.resources.db

    def acting(self, unit: str) -> Ctx:
        """The same scene with another unit's hands: its rights, its facts."""
        caller = unit_caller(unit)
        mine = self._scene
        return Ctx(
            Scene(mine.resources, caller, Actor(caller, unit), tx=mine.tx, now=mine.now, lease=mine.lease, unit=unit, facts=mine.facts)
        )

    @property
    def lab(self) -> bool:
        """Whether this deployment runs the lab."""
        return self._scene.resources.lab

    @property
    def now(self) -> datetime:
        """The database's time (UTC): the same for all processes."""
        return self._scene.now or datetime.now(UTC)

    def now_iso(self) -> str:
        """``now`` in RFC 3339 with microseconds."""
        return self.now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    def since(self, moment: str) -> float:
        """Seconds from an RFC 3339 time until now."""
        return (self.now - datetime.fromisoformat(moment)).total_seconds()

    def days_since(self, moment: str) -> float:
        """Days from an RFC 3339 time until now."""
        return self.since(moment) / 86_400

    @property
    def connection(self) -> Conn:
        """The action's own transaction, for the kernel's tables that are no resources. Units have no use for it."""
        if self._scene.tx is None:
            raise ApiError("there is a transaction in actions only")
        return self._scene.tx.conn

    # -- reads

    async def get(self, what: Ref[K] | type[K], name: str = "") -> K:
        """The resource that a reference or a kind and a name point to; NotFound if it is not there."""
        kind, name = self._kind_of(what, name)
        found = await self._find(kind, name)
        if found is None:
            raise not_found(kind, name)
        return cast(K, typed(kind, found.object()))

    async def find(self, what: Ref[K] | type[K], name: str = "") -> K | None:
        """As ``get``, or None."""
        kind, name = self._kind_of(what, name)
        found = await self._find(kind, name)
        return None if found is None else cast(K, typed(kind, found.object()))

    async def list(
        self, kind: type[K], *, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None, limit: int = LIST_MAX
    ) -> builtins.list[K]:
        """All resources of a kind that match labels and selectable fields exactly, by name."""
        info = self._info(kind)
        self._allow("list", info)
        label_selector = LabelSelector(tuple(LabelTerm(key, "=", (value,)) for key, value in (labels or {}).items()))
        for path in fields or {}:
            if path not in (*info.select, "metadata.name"):
                raise ApiError(f"{info.kind}: {path} is not selectable; declare it in select=")
        field_selector = FieldSelector(tuple(FieldTerm(path, value) for path, value in (fields or {}).items()))
        where = ["gk = %s"]
        params: builtins.list[Any] = [info.gk]
        for text, values in (label_selector.sql(), field_selector.sql()):
            where.append(text)
            params += values
        sql = f"select body from cipo.resource where {' and '.join(where)} order by name limit %s"
        rows = await self._fetch(sql, [*params, limit])
        return [cast(K, typed(info, orjson.loads(row[0]))) for row in rows]

    async def holder(self, scope: str, value: str) -> tuple[str, str] | None:
        """Who holds a claim, as (kind, name), or None."""
        rows = await self._fetch(
            "select r.gk, r.name from cipo.claim c join cipo.resource r using (uid) where c.scope = %s and c.value = %s", [scope, value]
        )
        return (rows[0][0].split(".")[0], rows[0][1]) if rows else None

    async def referrers(self, resource: Kind[Any, Any], kind: type[K]) -> builtins.list[K]:
        """The resources of a kind that refer to this one."""
        info = self._info(kind)
        self._allow("list", info)
        rows = await self._fetch(
            "select distinct r.name, r.body from cipo.ref f join cipo.resource r on r.uid = f.src where f.dst = %s::uuid and r.gk = %s order by r.name",
            [resource.metadata.uid, info.gk],
        )
        return [cast(K, typed(info, orjson.loads(body))) for _, body in rows]

    async def next_number(self, counter: str) -> int:
        """The next number of a named counter, race-free; numbers of refused writes are skipped, never given twice."""
        rows = await self._scene.resources.db.fetch(
            "insert into cipo.counter (name, value) values (%s, 1) on conflict (name) do update set value = cipo.counter.value + 1 returning value",
            (f"{self._unit()}/{counter}",),
        )
        return int(rows[0][0])

    # -- writes

    async def create(self, resource: K) -> K:
        """Store a new resource."""
        info = self._info(type(resource))
        self._allow("create", info)

        async def work(tx: Tx) -> Stored:
            change, _ = await tx.create(info, rebuilt(info, resource, None), validation="Strict", part="all")
            await tx.commit([change])
            return change.new

        return cast(K, typed(info, (await self._write(work)).object()))

    async def update(self, resource: K) -> K:
        """Store a changed resource; Conflict when somebody wrote since it was read."""
        info = self._info(type(resource))
        self._allow("update", info)

        async def work(tx: Tx) -> Stored:
            snapshot = await tx.must_read(info, resource.name)
            old = snapshot.old
            if old is None or str(old.rv) != resource.metadata.resource_version:
                raise VersionMoved(f"{info.kind} {resource.name} was changed in between; read it again")
            change, _ = await tx.update(info, snapshot, rebuilt(info, resource, old.object()), part="all", verb="update", message=self.note)
            if change is None:
                return old
            await tx.commit([change])
            return change.new

        return cast(K, typed(info, (await self._write(work)).object()))

    async def delete(self, resource: Kind[Any, Any]) -> None:
        """Remove a resource; Conflict while others refer to it."""
        info = self._info(type(resource))
        self._allow("delete", info)

        async def work(tx: Tx) -> None:
            await tx.commit([tx.remove(info, await tx.must_read(info, resource.name))])

        await self._write(work)

    def fact(
        self,
        fact: Fact,
        value: float,
        *,
        subject: Kind[Any, Any] | None = None,
        weight: int = 1,
        at: datetime | None = None,
        key: str | None = None,
        supersedes: str | None = None,
        **attrs: Any,
    ) -> None:
        """Leave a measurement, written in the same transaction as the work. Attributes must be declared, with their types.

        ``weight``: how many events it stands for. ``at``: when it happened, by the observed system's clock; now if absent. ``key``: the same
        key with the same payload is the same fact, another payload is a Conflict. ``supersedes``: id of a fact of this name that it corrects.
        """
        unit = self._unit()
        if fact.unit_id != unit:
            raise Forbidden(f"fact {fact.name} belongs to {fact.unit_id}; {unit} cannot write it")
        _check(fact, value, weight, attrs)
        if at is not None and at > self.now + FUTURE:
            raise Invalid(f"fact {fact.name} at {at.isoformat()} lies more than {FUTURE} in the future; mend the clock that stamped it")
        resource = subject
        info = type(resource).info if resource is not None else None
        self._scene.facts.append(
            FactRow(
                fact.name,
                unit,
                float(value),
                resource.metadata.uid or None if resource else None,
                info.gk if info else None,
                resource.name if resource else None,
                attrs,
                fact.clock,
                self._scene.caller.principal.simulated,
                weight,
                at,
                key,
                supersedes,
            )
        )

    async def nudge(self, facts: Iterable[str]) -> int:
        """Let everything that reads these facts look soon: for facts that came in bulk or left, not by a unit's own write."""
        readers = {one for name in facts for one in self._scene.resources.core.fact_watchers.get(name, ())}
        if not readers:
            return 0
        return await self.db.execute(
            "update cipo.work w set due = least(w.due, now()), dirty = w.dirty + 1 from cipo.resource r"
            " join unnest(%s::text[], %s::text[]) as q(gk, name) using (gk, name) where w.uid = r.uid",
            ([gk for gk, _ in readers], [name for _, name in readers]),
        )

    def take_facts(self) -> builtins.list[FactRow]:
        """The facts left so far; the kernel writes them with the event."""
        facts = list(self._scene.facts)
        self._scene.facts.clear()
        return facts

    def refuse(self, field: str, value: Any, why: str) -> Invalid:
        """An error to raise: which field of the input, what it was, and what would be right."""
        info = self._scene.kind
        shown = str(value)[:120]
        cause = Cause(field, f"Invalid value: {shown!r}: {why}")
        return Invalid.of(info.kind if info else "", info.group if info else "", "", [cause])

    # -- parts

    def _unit(self) -> str:
        scene = self._scene
        return scene.unit or (scene.kind.unit if scene.kind else scene.actor.unit)

    def _rights(self) -> Caller:
        """The caller whose rights count: the unit for its own code, the person for pages and pictures."""
        scene = self._scene
        return unit_caller(self._unit()) if scene.kind is not None or scene.unit else scene.caller

    def _allow(self, verb: str, kind: KindInfo) -> None:
        decision = self._scene.resources.may(self._rights(), verb, kind)
        if not decision.allowed:
            raise Forbidden(f"{kind.plural}.{kind.group} is forbidden: {self._unit()} cannot {verb} it: {decision.reason}")

    def _kind_of(self, what: Ref[Any] | type[Any], name: str) -> tuple[KindInfo, str]:
        if isinstance(what, Ref):
            of = self._scene.kind or self._info(cast(type[Any], what.target))
            return self._scene.resources.registry.target(of, what.target), what.name
        return self._info(what), name

    def _info(self, kind: type[Any]) -> KindInfo:
        return cast(KindInfo, kind.info)

    async def _find(self, kind: KindInfo, name: str) -> Stored | None:
        self._allow("get", kind)
        if self._scene.tx is None:
            return await self._scene.resources.reader.get(kind.gk, name)
        return (await self._scene.tx.read(kind, name)).old

    async def _fetch(self, sql: str, params: builtins.list[Any]) -> builtins.list[tuple[Any, ...]]:
        if self._scene.tx is not None:
            return await (await self._scene.tx.conn.execute((sql), params)).fetchall()
        return await self._scene.resources.db.fetch((sql), params)

    async def _write(self, work: Any) -> Any:
        scene = self._scene
        if scene.tx is not None:
            return await work(scene.tx)
        if scene.kind is None and scene.unit is None:
            raise ApiError("pages and pictures only read; use an action to write")

        async def attempt() -> Any:
            async with scene.resources.db.connection() as conn:
                return await work(Tx(scene.resources.core, conn, scene.actor, lease=scene.lease))

        return await scene.resources.core.run(attempt)
