"""The write path's working part: read an object with what it holds, prepare its change, commit it.

``Resources`` uses it for single writes (two round trips), ``Ctx`` for actions (several writes in one transaction) and reconcilers.
A ``Tx`` belongs to one connection and one actor; whether that connection is inside a transaction is its owner's choice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, TypeVar

import orjson
import psycopg

from cipo.kernel.errors import ApiError, Cause, Conflict, Forbidden, Invalid, NotFound, Subject
from cipo.kernel.models import Kind
from cipo.kernel.principal import Authorizer, Caller, Principal
from cipo.kernel.store.admission import Admitted, Asking, Validation, admit, assemble, cells, selectable, typed
from cipo.kernel.store.db import Conn, Database, VersionMoved
from cipo.kernel.store.diff import diff
from cipo.kernel.store.write import Change, Event, FactRow, Lease, Stored, commit, explain, unknown_facts, uuid7
from cipo.kernel.unit import KindInfo, Registry, dotted
from cipo.kernel.wire import ssa
from cipo.kernel.wire.shape import shape_of

R = TypeVar("R")
DIFF_MAX = 64  # operations kept in an event; a larger change says so in words
Shape = Callable[[dict[str, Any] | None, str], dict[str, Any]]


class Violation(Exception):
    """A constraint said no inside a transaction; explained once the connection is free again."""

    def __init__(self, error: psycopg.Error, changes: list[Change]) -> None:
        super().__init__(str(error))
        self.error = error
        self.changes = changes


class DryRun(Exception):
    """Ends a transaction whose result is wanted but not its writes."""

    def __init__(self, result: Any) -> None:
        super().__init__("dry run")
        self.result = result


@dataclass(frozen=True, slots=True)
class Actor:
    """Who writes: the caller, the unit it acts as, and what the event says about it."""

    caller: Caller
    unit: str

    @property
    def principal(self) -> Principal:
        """The signed-in principal."""
        return self.caller.principal


@dataclass(slots=True)
class Snapshot:
    """An object as read, with the claims, ranges and references that its row holds, and the sequence number its next version gets."""

    seq: int
    now: datetime
    old: Stored | None
    claims: set[tuple[str, str]] = field(default_factory=set)
    ranges: set[tuple[int, int, int]] = field(default_factory=set)
    refs: dict[tuple[str, str, str], str] = field(default_factory=dict)  # (path, gk, name) -> uid


READ = """
select nextval('cipo.event_seq'), clock_timestamp(), r.uid::text, r.rv, r.generation, r.unit, r.labels, r.fields, r.body, r.cells,
  r.created_at, r.deleting_at,
  (select json_agg(json_build_array(c.scope, c.value)) from cipo.claim c where c.uid = r.uid),
  (select json_agg(json_build_array(c.scope_id, lower(c.r)::text, upper(c.r)::text)) from cipo.claim_range c where c.uid = r.uid),
  (select json_agg(json_build_array(f.path, d.gk, d.name, f.dst)) from cipo.ref f join cipo.resource d on d.uid = f.dst where f.src = r.uid)
from (select 1) as one left join cipo.resource r on r.gk = %s and r.name = %s
"""
FRESH = """
select array(select nextval('cipo.event_seq') from generate_series(1, %s)), clock_timestamp(),
  (select json_agg(json_build_array(r.gk, r.name, r.uid)) from cipo.resource r
   join json_to_recordset(%s::json) as q(gk text, name text) using (gk, name))
"""
RESOLVE = """
select r.gk, r.name, r.uid::text from cipo.resource r join json_to_recordset(%s::json) as q(gk text, name text) using (gk, name)
"""


def stamp(moment: datetime) -> str:
    """A time as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Core:
    """What all writers share: the database, the registry, the chart's authorizer, the ids of range scopes, the wake-up."""

    def __init__(self, db: Database, registry: Registry, authorizer: Authorizer, *, wake: Callable[[], None] = lambda: None) -> None:
        self.db = db
        self.registry = registry
        self.authorizer = authorizer
        self.wake = wake
        self.fact_watchers: dict[str, list[tuple[str, str]]] = {}  # fact name -> (gk, name) of resources that read it
        self._scopes: dict[str, int] = {}
        self._ref_watchers = {info.gk for info in registry.kinds if info.watch_refs}

    async def scope_ids(self, names: set[str]) -> dict[str, int]:
        """Ids of range scopes, made on first use and never removed."""
        missing = sorted(names - self._scopes.keys())
        if missing:
            await self.db.execute("insert into cipo.claim_scope (name) select unnest(%s::text[]) on conflict do nothing", (missing,))
            rows = await self.db.fetch("select name, id from cipo.claim_scope where name = any(%s)", (missing,))
            self._scopes.update(dict(rows))
        return self._scopes

    async def run(self, attempt: Callable[[], Awaitable[R]]) -> R:
        """Run a write; retry lost races; explain a violated constraint to the person; wake the watchers."""

        async def explained() -> R:
            try:
                return await attempt()
            except Violation as violation:
                async with self.db.connection() as conn:
                    raise await explain(conn, violation.error, violation.changes) from violation.error

        try:
            result = await self.db.retrying(explained)
        except VersionMoved as moved:
            raise Conflict("the object has been modified; please apply your changes to the latest version and try again") from moved
        self.wake()
        return result


class Tx:
    """Reads and writes of one actor on one connection."""

    def __init__(self, core: Core, conn: Conn, actor: Actor, *, lease: Lease | None = None) -> None:
        self.core = core
        self.conn = conn
        self.actor = actor
        self.lease = lease

    async def read(self, kind: KindInfo, name: str) -> Snapshot:
        """The object as it is now, or a snapshot without one."""
        row = await (await self.conn.execute(READ, (kind.gk, name))).fetchone()
        if row is None:
            raise ApiError("the store gave no row; this is a defect in cipo")
        seq, now = row[0], row[1]
        if row[2] is None:
            return Snapshot(seq, now, None)
        old = Stored(row[2], kind.gk, name, row[3], row[4], row[5], row[6], row[7], row[8].encode(), row[9].encode(), row[10], row[11])
        snapshot = Snapshot(seq, now, old, {(scope, value) for scope, value in row[12] or ()})
        for scope_id, lo, hi in row[13] or ():
            base = int(scope_id) << 129
            snapshot.ranges.add((int(scope_id), int(lo) - base, int(hi) - base))
        snapshot.refs = {(path, gk, ref): uid for path, gk, ref, uid in row[14] or ()}
        return snapshot

    async def must_read(self, kind: KindInfo, name: str) -> Snapshot:
        """The object as it is now, or NotFound."""
        snapshot = await self.read(kind, name)
        if snapshot.old is None:
            raise not_found(kind, name)
        return snapshot

    async def create(
        self, kind: KindInfo, new: dict[str, Any], *, validation: Validation, verb: str = "create", part: str = ""
    ) -> tuple[Change, list[str]]:
        """Prepare a new object. Two round trips in all: sequence and references now, the write later."""
        (prepared,) = await self.create_many(kind, [new], validation=validation, verb=verb, part=part)
        return prepared

    async def create_many(
        self, kind: KindInfo, objs: list[dict[str, Any]], *, validation: Validation, verb: str = "create", part: str = ""
    ) -> list[tuple[Change, list[str]]]:
        """Prepare new objects, all in one round trip. One may refer to another that comes before it."""
        admitted = [self._admitted(kind, new, validation, part) for new in objs]
        wanted = [self._targets(kind, one) for one in admitted]
        asked = [{"gk": gk, "name": name} for gk, name in {(gk, name) for targets in wanted for _, gk, name in targets}]
        row = await (await self.conn.execute(FRESH, (len(objs), orjson.dumps(asked).decode()))).fetchone()
        if row is None:
            raise ApiError("the store gave no row; this is a defect in cipo")
        found = {(gk, name): uid for gk, name, uid in row[2] or ()}
        prepared = []
        for one, targets, seq in zip(admitted, wanted, row[0], strict=True):
            change = await self._change(kind, one, Snapshot(seq, row[1], None), found, targets, verb=verb, applied=verb == "apply")
            found[kind.gk, change.new.name] = change.new.uid
            prepared.append((change, one.warnings))
        return prepared

    def _admitted(self, kind: KindInfo, new: dict[str, Any], validation: Validation, part: str) -> Admitted:
        metadata = new.setdefault("metadata", {}) if isinstance(new.get("metadata", {}), dict) else {}
        metadata = _named(metadata)
        admitted = admit(
            kind, {**new, "metadata": metadata}, None, part=part, validation=validation, ctx=Asking(self.actor.caller, self.core.registry)
        )
        if not admitted.resource.metadata.name:
            raise Invalid.of(
                kind.kind, kind.group, "", [Cause("metadata.name", "Required value: give a name or generateName", "FieldValueRequired")]
            )
        return admitted

    async def update(
        self,
        kind: KindInfo,
        snapshot: Snapshot,
        new: dict[str, Any],
        *,
        part: str,
        verb: str,
        validation: Validation = "Strict",
        reason: str = "",
        message: str = "",
        always: bool = False,
        applied: bool = False,
        enqueue: bool = True,
    ) -> tuple[Change | None, list[str]]:
        """Prepare a new version of an object; None when nothing would change and ``always`` is not asked for."""
        old = snapshot.old
        if old is None:
            raise ApiError("update of nothing; this is a defect in cipo")
        before = old.object()
        admitted = admit(kind, new, before, part=part, validation=validation, ctx=Asking(self.actor.caller, self.core.registry))
        if same(before, admitted.object) and not always:
            return None, admitted.warnings
        wanted = self._targets(kind, admitted)
        held = {(gk, name): uid for (_, gk, name), uid in snapshot.refs.items()}
        unknown = [{"gk": gk, "name": name} for _, gk, name in wanted if (gk, name) not in held]
        if unknown:
            rows = await (await self.conn.execute(RESOLVE, (orjson.dumps(unknown).decode(),))).fetchall()
            held |= {(gk, name): uid for gk, name, uid in rows}
        change = await self._change(
            kind,
            admitted,
            snapshot,
            held,
            wanted,
            verb=verb,
            reason=reason,
            message=message,
            before=before,
            part=part,
            applied=applied,
            enqueue=enqueue,
        )
        return change, admitted.warnings

    def remove(self, kind: KindInfo, snapshot: Snapshot, *, verb: str = "delete") -> Change:
        """Prepare the object's end: its row goes, or it is marked while finalizers remain."""
        old = snapshot.old
        if old is None:
            raise ApiError("removal of nothing; this is a defect in cipo")
        body = old.object()
        body["metadata"]["resourceVersion"] = str(snapshot.seq)
        finalizers = body["metadata"].get("finalizers")
        if finalizers and not body["metadata"].get("deletionTimestamp"):
            body["metadata"]["deletionTimestamp"] = stamp(snapshot.now)
            body["metadata"]["generation"] = old.generation + 1
            marked = replace(old, rv=snapshot.seq, generation=old.generation + 1, body=orjson.dumps(body), deleting_at=snapshot.now)
            return self._notify(
                kind, Change(snapshot.seq, marked, old, self._event(verb, message="deletion asked for"), enqueue=kind.reconcile is not None)
            )
        gone = replace(old, rv=snapshot.seq, body=orjson.dumps(body))
        # Named, not left to the cascade: a referrer that goes in the same statement must let go before its target is checked.
        refs = [(path, uid) for (path, _, _), uid in snapshot.refs.items()]
        return self._notify(kind, Change(snapshot.seq, gone, old, self._event(verb), gone=True, refs_del=refs))

    async def commit(self, changes: list[Change], facts: list[FactRow] | None = None, *, lease: Lease | None = None) -> None:
        """Write. A violated constraint leaves as ``Violation`` so that it is explained outside of this connection's transaction."""
        if facts:
            facts = await unknown_facts(self.conn, facts)
        if facts and changes:
            changes[0].enqueue_names += [one for name in {fact.name for fact in facts} for one in self.core.fact_watchers.get(name, ())]
        try:
            await commit(self.conn, changes, facts or [], lease=lease or self.lease)
        except psycopg.IntegrityError as error:
            raise Violation(error, changes) from error

    # -- parts

    def _targets(self, kind: KindInfo, admitted: Admitted) -> list[tuple[str, str, str]]:
        wanted = []
        for path, ref in admitted.refs:
            target = self.core.registry.target(kind, ref.target)
            if target.unit.split("/")[0] != kind.unit.split("/")[0] and not target.public:
                decision = self.core.authorizer.decide(unit_caller(kind.unit), "get", target)
                if not decision.allowed:
                    raise Forbidden(f"{path}: {decision.reason}")
            wanted.append((path, target.gk, ref.name))
        return wanted

    async def _change(
        self,
        kind: KindInfo,
        admitted: Admitted,
        snapshot: Snapshot,
        found: dict[tuple[str, str], str],
        wanted: list[tuple[str, str, str]],
        *,
        verb: str,
        reason: str = "",
        message: str = "",
        before: dict[str, Any] | None = None,
        part: str = "",
        applied: bool = False,
        enqueue: bool = True,
    ) -> Change:
        obj, old, now = admitted.object, snapshot.old, snapshot.now
        metadata = obj["metadata"]
        if old is None:
            uid, generation, created = uuid7(int(now.timestamp() * 1000)), 1, now
            if kind.finalizer:
                metadata["finalizers"] = [*metadata.get("finalizers", []), kind.finalizer_name]
        else:
            uid, created = old.uid, old.created_at
            generation = old.generation + (before is not None and before.get("spec") != obj["spec"])
        found = found | {(kind.gk, metadata["name"]): uid}
        missing = [
            Cause(path, f'Not found: {gk.split(".")[0]} "{name}" does not exist; create it first or name another', "FieldValueNotFound")
            for path, gk, name in wanted
            if (gk, name) not in found
        ]
        if missing:
            raise Invalid.of(kind.kind, kind.group, metadata["name"], missing)
        if not applied:
            subresource = {"": "", "status": "status"}.get(part, verb)  # an action may write both parts
            metadata["managedFields"] = ssa.update(
                before, obj, manager=self.actor.caller.manager, subresource=subresource, now=now, schema=shape_of(kind)
            )
        metadata |= {"uid": uid, "resourceVersion": str(snapshot.seq), "generation": generation, "creationTimestamp": stamp(created)}
        obj["metadata"] = {key: metadata[key] for key in ORDER if metadata.get(key)}
        new = Stored(
            uid,
            kind.gk,
            metadata["name"],
            snapshot.seq,
            generation,
            owner_of(kind, obj),
            obj["metadata"].get("labels") or {},
            selectable(kind, obj),
            orjson.dumps(obj),
            cells(kind, obj),
            created,
            old.deleting_at if old else None,
        )
        change = Change(snapshot.seq, new, old, self._event(verb, reason, message, _diff(before, obj)))
        change.gone = bool(new.deleting_at) and not obj["metadata"].get("finalizers")
        change.enqueue = enqueue and kind.reconcile is not None
        await self._holdings(change, admitted, snapshot, found, wanted)
        return self._notify(kind, change, admitted.resource, before)

    async def _holdings(
        self, change: Change, admitted: Admitted, snapshot: Snapshot, found: dict[tuple[str, str], str], wanted: list[tuple[str, str, str]]
    ) -> None:
        """What the object claims and refers to now, against what its row holds."""
        claims = {(claim.scope, claim.value): claim.path for claim in admitted.claims}
        change.claims_add = [(scope, value, path) for (scope, value), path in claims.items() if (scope, value) not in snapshot.claims]
        change.claims_del = [pair for pair in snapshot.claims if pair not in claims]
        if admitted.ranges or snapshot.ranges:
            ids = await self.core.scope_ids({claim.scope for claim in admitted.ranges})
            ranges = {(ids[claim.scope], claim.lo, claim.hi): (claim.path, claim.label) for claim in admitted.ranges}
            change.ranges_add = [(*key, *words) for key, words in ranges.items() if key not in snapshot.ranges]
            change.ranges_del = [key for key in snapshot.ranges if key not in ranges]
        before = {(path, uid) for (path, _, _), uid in snapshot.refs.items()}
        after = {(path, found[gk, name]) for path, gk, name in wanted}
        change.refs_add, change.refs_del = sorted(after - before), sorted(before - after)

    def _event(self, verb: str, reason: str = "", message: str = "", diff: list[dict[str, Any]] | None = None) -> Event:
        caller = self.actor.caller
        if diff is not None and len(diff) > DIFF_MAX:
            message, diff = message or f"{len(diff)} fields changed", diff[:DIFF_MAX]
        return Event(caller.principal.name, caller.principal.simulated, self.actor.unit, verb, reason, message, caller.request_id, diff)

    def _notify(
        self, kind: KindInfo, change: Change, resource: Kind[Any, Any] | None = None, before: dict[str, Any] | None = None
    ) -> Change:
        """Whose reconcilers should look: kinds that watch this one (before and after the change), and kinds that refer to it."""
        change.plural = kind.plural
        watchers = self.core.registry.watchers.get(kind.gk, ())
        if watchers:
            seen = [resource or typed(kind, change.new.object())]
            if before is not None or change.gone:
                seen.append(typed(kind, before or change.new.object()))
            change.enqueue_names = [(info.gk, name) for info, names in watchers for one in seen for name in names(one)]
        if change.old is not None and not change.gone:
            change.enqueue_refs = sorted(self.core._ref_watchers)
        return change


ORDER = (
    "name", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "labels", "annotations", "finalizers", "ownerReferences", "managedFields",
)  # fmt: skip


def _named(metadata: dict[str, Any]) -> dict[str, Any]:
    prefix = metadata.get("generateName")
    if metadata.get("name") or not isinstance(prefix, str):
        return metadata
    return {**metadata, "name": f"{prefix}{token_hex(4)}"}


def owner_of(kind: KindInfo, obj: dict[str, Any]) -> str:
    """The unit whose row this is: the kind's owner, or for the chart's own kinds the part of the chart it speaks of."""
    if kind.group != "org.cipo":
        return kind.unit
    return str(dotted(obj, "spec.owner") or kind.unit)


def unit_caller(unit: str) -> Caller:
    """A unit acting for itself: its reconcilers and the rights its objects refer by."""
    return Caller(Principal(f"unit:{unit}", "unit", frozenset({unit})), unit=unit, manager=f"unit-{unit.replace('/', '-').lower()}")


def not_found(kind: KindInfo, name: str) -> NotFound:
    """The sentence of kubectl."""
    label = f"{kind.plural}.{kind.group}"
    return NotFound(f'{label} "{name[:253]}" not found', subject=Subject(kind=kind.plural, group=kind.group, name=name[:253]))


def same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a write would change nothing that a reader sees, nor who owns which field (kubectl rewrites that when it migrates)."""
    if old.get("spec") != new.get("spec") or (old.get("status") or {}) != (new.get("status") or {}):
        return False
    before, after = old["metadata"], new["metadata"]
    if any(
        (before.get(key) or None) != (after.get(key) or None)
        for key in ("labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp")
    ):
        return False
    return _managers(before) == _managers(after)


def _managers(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    entries = [{key: value for key, value in entry.items() if key != "time"} for entry in metadata.get("managedFields") or ()]
    return sorted(entries, key=lambda entry: (str(entry.get("manager")), str(entry.get("operation")), str(entry.get("subresource"))))


def _diff(old: dict[str, Any] | None, new: dict[str, Any]) -> list[dict[str, Any]] | None:
    """RFC 6902 operations between what people see of two versions, each with the old value for undo and display."""
    if old is None:
        return None
    return diff(_visible(old), _visible(new))


def _visible(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != "kubectl.kubernetes.io/last-applied-configuration"}
    return {
        "labels": metadata.get("labels") or {},
        "annotations": annotations,
        "spec": obj.get("spec") or {},
        "status": obj.get("status") or {},
    }


def rebuilt(kind: KindInfo, resource: Kind[Any, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    """The JSON object of a resource that a unit's code has in hand, on top of the stored metadata."""
    metadata = dict((old or {}).get("metadata") or {})
    mine = resource.metadata
    metadata |= {
        "name": mine.name or metadata.get("name"),
        "labels": mine.labels,
        "annotations": mine.annotations,
        "finalizers": mine.finalizers,
    }
    if mine.generate_name and not metadata.get("name"):
        metadata["generateName"] = mine.generate_name
    if mine.owner_references:
        metadata["ownerReferences"] = [owner.wire() for owner in mine.owner_references]
    if resource.status is None:
        resource.status = kind.status_cls()
    return assemble(kind, metadata, resource)


__all__ = ["Actor", "Core", "DryRun", "Snapshot", "Tx", "Violation", "not_found", "owner_of", "rebuilt", "same", "stamp", "unit_caller"]
