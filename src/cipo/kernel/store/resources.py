"""``Resources``: the only way in. Every method takes a caller, asks the chart first, and then reads or writes.

The Kubernetes wire, the console, the CLI's local mode and the units' ``Ctx`` all call these methods, so a boundary of the org chart
holds on every path at once. Writes go through ``Tx`` (store/tx.py), reads through ``Reader`` (store/read.py).
"""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import orjson

from cipo.kernel.ctx import Ctx, Scene
from cipo.kernel.errors import (
    ApiError,
    BadRequest,
    Cause,
    Conflict,
    Forbidden,
    Invalid,
    InvalidTransition,
    NotFound,
    Subject,
)
from cipo.kernel.models import Model
from cipo.kernel.principal import Authorizer, Caller, Decision
from cipo.kernel.store.admission import Validation, decoded, typed
from cipo.kernel.store.db import Conn, Database
from cipo.kernel.store.read import EventRow, Hit, Page, Reader, RefRow, Tokens
from cipo.kernel.store.tx import Actor, Core, DryRun, Snapshot, Tx, not_found, rebuilt, stamp
from cipo.kernel.store.write import Change, Stored
from cipo.kernel.tokens import redact
from cipo.kernel.unit import ActionInfo, KindInfo, Registry, dotted
from cipo.kernel.wire import patch as patches
from cipo.kernel.wire import ssa
from cipo.kernel.wire.selectors import FieldSelector, LabelSelector
from cipo.kernel.wire.shape import shape_of

R = TypeVar("R")
PatchType = Literal["merge", "json", "apply"]
BULK_MAX = 1000


@dataclass(slots=True)
class Written:
    """The answer to a write: the object, whether it is new, whether anything changed, and warnings for the caller."""

    stored: Stored
    created: bool = False
    changed: bool = True
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Deleted:
    """The answer to a delete: ``gone`` is False while finalizers remain."""

    stored: Stored
    gone: bool


@dataclass(slots=True)
class Acted:
    """The answer to an action: the object afterwards, and the action's own output if it has one."""

    stored: Stored
    output: dict[str, Any] | None
    repeated: bool = False


class Resources:
    """Authorised access to every resource."""

    def __init__(
        self,
        db: Database,
        registry: Registry,
        authorizer: Authorizer,
        *,
        key: bytes,
        wake: Callable[[], None] = lambda: None,
        lab: bool = False,
    ) -> None:
        self.db = db
        self.registry = registry
        self.authorizer = authorizer
        self.core = Core(db, registry, authorizer, wake=wake)
        self.reader = Reader(db, Tokens(key))
        self.lab = lab

    # -- who may

    def may(self, caller: Caller, verb: str, kind: KindInfo, action: str | None = None) -> Decision:
        """The chart's answer, without raising for a plain no."""
        if kind.readonly and verb in ("create", "update", "patch", "delete") and caller.principal.kind != "system":
            return Decision(False, "readonly", f"{kind.kind} is kept by the system; it cannot be written", caller.unit or "")
        return self.authorizer.decide(caller, verb, kind, action)

    def allow(self, caller: Caller, verb: str, kind: KindInfo, action: str | None = None, name: str = "") -> Actor:
        """The actor, or Forbidden with the rule and the missing edge."""
        decision = self.may(caller, verb, kind, action)
        if not decision.allowed:
            subject = Subject(kind=kind.plural, group=kind.group, name=name)
            who = caller.principal.name
            raise Forbidden(
                f'{kind.plural}.{kind.group} is forbidden: "{who}" cannot {action or verb} it: {decision.reason}', subject=subject
            )
        return Actor(caller, decision.unit)

    def readable(self, caller: Caller) -> builtins.list[str]:
        """Keys of the kinds that the caller may list."""
        keys = []
        for kind in self.registry.kinds:
            try:
                if self.authorizer.decide(caller, "list", kind).allowed:
                    keys.append(kind.gk)
            except ApiError:
                continue
        return keys

    def hidden(self, caller: Caller) -> frozenset[str]:
        """Departments whose rows do not exist for this caller."""
        return self.authorizer.hidden(caller)

    # -- reads

    async def get(self, caller: Caller, kind: KindInfo, name: str) -> Stored:
        """One object, or NotFound."""
        self.allow(caller, "get", kind, name=name)
        found = await self.reader.get(kind.gk, name)
        if found is None:
            raise not_found(kind, name)
        if found.unit.split("/")[0] in self.hidden(caller):
            raise Forbidden(
                f'{kind.plural}.{kind.group} "{name}" is forbidden: 1F does not directly interface with 1D (boundary of the chart)'
            )
        return found

    async def list(
        self,
        caller: Caller,
        kind: KindInfo,
        *,
        labels: LabelSelector | None = None,
        fields: FieldSelector | None = None,
        limit: int | None = None,
        continue_: str | None = None,
    ) -> Page:
        """A page of objects in the order of their names."""
        self.allow(caller, "list", kind)
        return await self.reader.list(kind, labels=labels, fields=fields, limit=limit, continue_=continue_, hidden=self.hidden(caller))

    async def search(self, caller: Caller, text: str, limit: int = 20) -> builtins.list[Hit]:
        """Serials, tags, addresses and names that start with ``text``, among what the caller may read."""
        if not 1 <= len(text.strip()) <= 200:
            raise BadRequest("q: give 1 to 200 characters")
        return await self.reader.search(text, self.readable(caller), self.hidden(caller), min(limit, 200))

    async def facets(self, caller: Caller, kind: KindInfo) -> dict[str, dict[str, int]]:
        """Counts per value of the kind's selectable fields."""
        self.allow(caller, "list", kind)
        return await self.reader.facets(kind.gk, kind.select, self.hidden(caller))

    async def counts(self, caller: Caller) -> dict[str, int]:
        """Objects per kind, of the kinds the caller may list."""
        readable = set(self.readable(caller))
        return {gk: n for gk, n in (await self.reader.counts(self.hidden(caller))).items() if gk in readable}

    async def events(
        self,
        caller: Caller,
        *,
        gk: str | None = None,
        uid: str | None = None,
        name: str | None = None,
        actor: str | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> builtins.list[EventRow]:
        """The audit log's newest lines, of kinds the caller may read."""
        readable = self.readable(caller)
        gks = [key for key in readable if gk in (None, key)]
        return await self.reader.events(gks, self.hidden(caller), uid=uid, name=name, actor=actor, limit=limit, before=before)

    async def refs(self, caller: Caller, uid: str) -> tuple[builtins.list[RefRow], builtins.list[RefRow]]:
        """References from and to an object, to kinds the caller may read."""
        readable, hidden = set(self.readable(caller)), self.hidden(caller)
        outgoing, incoming = await self.reader.refs(uid)

        def seen(rows: builtins.list[RefRow]) -> builtins.list[RefRow]:
            return [row for row in rows if row.gk in readable and row.unit.split("/")[0] not in hidden]

        return seen(outgoing), seen(incoming)

    async def waiting(self, caller: Caller, uid: str | None = None, limit: int = 200) -> builtins.list[dict[str, Any]]:
        """What the work engine holds: due times, failures, blocked things; for the to-do page."""
        rows = await self.db.fetch(
            "select r.gk, r.name, r.unit, w.due, w.attempts, w.error from cipo.work w join cipo.resource r using (uid)"
            " where r.gk = any(%s) and split_part(r.unit, '/', 1) <> all(%s) and (%s::uuid is null or r.uid = %s::uuid)"
            " and (w.error is not null or %s::uuid is not null) order by w.due limit %s",
            (self.readable(caller), sorted(self.hidden(caller)), uid, uid, uid, limit),
        )
        return [dict(zip(("gk", "name", "unit", "due", "attempts", "error"), row, strict=True)) for row in rows]

    # -- writes

    async def create(
        self, caller: Caller, kind: KindInfo, obj: dict[str, Any], *, dry_run: bool = False, validation: Validation = "Strict"
    ) -> Written:
        """A new object; AlreadyExists, Invalid or Conflict otherwise."""
        actor = self.allow(caller, "create", kind, name=str(dotted(obj, "metadata.name") or ""))

        async def work(tx: Tx) -> Written:
            change, warnings = await tx.create(kind, obj, validation=validation)
            await tx.commit([change])
            return Written(change.new, created=True, warnings=warnings)

        return await self._write(actor, work, dry_run=dry_run)

    async def create_many(
        self, caller: Caller, kind: KindInfo, objs: builtins.list[dict[str, Any]], *, dry_run: bool = False
    ) -> builtins.list[Written]:
        """Up to 1,000 new objects in one transaction: all of them or none."""
        if len(objs) > BULK_MAX:
            raise BadRequest(f"{len(objs)} objects in one request; at most {BULK_MAX}, send the rest in another")
        actor = self.allow(caller, "create", kind)

        async def work(tx: Tx) -> builtins.list[Written]:
            prepared = await tx.create_many(kind, objs, validation="Strict")
            await tx.commit([change for change, _ in prepared])
            return [Written(change.new, created=True, warnings=warnings) for change, warnings in prepared]

        return await self._write(actor, work, dry_run=dry_run)

    async def replace(
        self,
        caller: Caller,
        kind: KindInfo,
        name: str,
        obj: dict[str, Any],
        *,
        subresource: Literal["", "status"] = "",
        dry_run: bool = False,
        validation: Validation = "Strict",
    ) -> Written:
        """A whole new spec (or status). With metadata.resourceVersion it fails when somebody wrote in between."""
        self._named(obj, name)
        return await self._update(caller, kind, name, "update", lambda old, now: obj, subresource, dry_run, validation)

    async def patch(
        self,
        caller: Caller,
        kind: KindInfo,
        name: str,
        patch: Any,
        patch_type: PatchType,
        *,
        force: bool = False,
        subresource: Literal["", "status"] = "",
        dry_run: bool = False,
        validation: Validation = "Strict",
    ) -> Written:
        """Merge patch, JSON patch, or server-side apply (which creates the object if it is absent)."""
        if patch_type == "apply":
            return await self._apply(caller, kind, name, patch, force, subresource, dry_run, validation)

        def change(old: dict[str, Any], now: str) -> dict[str, Any]:
            new = patches.merge(old, patch) if patch_type == "merge" else patches.json_patch(old, patch)
            if not isinstance(new, dict):
                raise BadRequest("the patch would turn the object into something else; patch its fields")
            self._named(new, name)
            given = dotted(patch, "metadata.resourceVersion") if isinstance(patch, dict) else None
            if given is None and dotted(new, "metadata.resourceVersion") == dotted(old, "metadata.resourceVersion"):
                new["metadata"] = {key: value for key, value in new["metadata"].items() if key != "resourceVersion"}
            return new

        return await self._update(caller, kind, name, "patch", change, subresource, dry_run, validation)

    async def delete(
        self,
        caller: Caller,
        kind: KindInfo,
        name: str,
        *,
        uid: str | None = None,
        rv: str | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> Deleted:
        """Remove an object. Refused (409) while others refer to it, unless propagation is Foreground and their kind cascades."""
        actor = self.allow(caller, "delete", kind, name=name)

        async def work(tx: Tx) -> Deleted:
            snapshot = await tx.must_read(kind, name)
            old = self._there(caller, snapshot, kind, name)
            if (uid and uid != old.uid) or (rv and rv != str(old.rv)):
                raise Conflict(f'{kind.plural}.{kind.group} "{name}": precondition failed: it is uid {old.uid}, resourceVersion {old.rv}')
            if old.deleting_at and old.object()["metadata"].get("finalizers"):
                return Deleted(old, gone=False)
            changes = await self._cascade(tx, old) if propagation == "Foreground" else []
            change = tx.remove(kind, snapshot)
            await tx.commit([*changes, change])
            return Deleted(change.new, gone=change.gone)

        return await self._write(actor, work, dry_run=dry_run)

    async def act(
        self,
        caller: Caller,
        kind: KindInfo,
        name: str,
        action: str,
        given: dict[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        dry_run: bool = False,
    ) -> Acted:
        """Run an action: its reads, writes, facts and event are one transaction. Same idempotency key, same answer."""
        info = kind.actions.get(action)
        if info is None:
            legal = ", ".join(sorted(kind.actions)) or "none"
            raise NotFound(f"{kind.plural}.{kind.group} has no action {action!r}; its actions are: {legal}")
        actor = self.allow(caller, "act", kind, action, name=name)
        asked = hashlib.sha256(orjson.dumps([kind.gk, name, action, given], option=orjson.OPT_SORT_KEYS)).digest()

        async def work(tx: Tx) -> Acted:
            if idempotency_key:
                earlier = await self._earlier(tx.conn, caller, idempotency_key, asked)
                if earlier is not None:
                    return Acted(await self.get(caller, kind, name), earlier["output"], repeated=True)
            snapshot = await tx.must_read(kind, name)
            acted = await self._perform(tx, kind, info, self._there(caller, snapshot, kind, name), snapshot, given or {})
            if idempotency_key:
                await self._remember(tx.conn, caller, idempotency_key, asked, acted.output)
            return acted

        return await self._write(actor, work, dry_run=dry_run, transaction=True)

    def context(self, caller: Caller, unit: str | None = None) -> Ctx:
        """A Ctx for reading, as the console's pages and pictures use it."""
        return Ctx(Scene(self, caller, Actor(caller, unit or caller.unit or "")))

    # -- parts

    async def _write(self, actor: Actor, work: Callable[[Tx], Awaitable[R]], *, dry_run: bool = False, transaction: bool = False) -> R:
        async def attempt() -> R:
            if not (transaction or dry_run):
                async with self.db.connection() as conn:
                    return await work(Tx(self.core, conn, actor))
            async with self.db.transaction() as conn:
                result = await work(Tx(self.core, conn, actor))
                if dry_run:
                    raise DryRun(result)
                return result

        try:
            return await self.core.run(attempt)
        except DryRun as dry:
            result: R = dry.result
            return result

    async def _update(
        self,
        caller: Caller,
        kind: KindInfo,
        name: str,
        verb: str,
        change: Callable[[dict[str, Any], str], dict[str, Any]],
        subresource: Literal["", "status"],
        dry_run: bool,
        validation: Validation,
    ) -> Written:
        actor = self.allow(caller, verb, kind, name=name)

        async def work(tx: Tx) -> Written:
            snapshot = await tx.must_read(kind, name)
            old = self._there(caller, snapshot, kind, name)
            new = change(old.object(), stamp(snapshot.now))
            wanted = dotted(new, "metadata.resourceVersion")
            if wanted and str(wanted) != str(old.rv):
                raise Conflict(
                    f'Operation cannot be fulfilled on {kind.plural}.{kind.group} "{name}": the object has been modified; '
                    "please apply your changes to the latest version and try again",
                    subject=Subject(kind=kind.plural, group=kind.group, name=name),
                )
            prepared, warnings = await tx.update(kind, snapshot, new, part=subresource, verb=verb, validation=validation)
            if prepared is None:
                return Written(old, changed=False, warnings=warnings)
            await tx.commit([prepared])
            return Written(prepared.new, warnings=warnings)

        return await self._write(actor, work, dry_run=dry_run)

    async def _apply(
        self,
        caller: Caller,
        kind: KindInfo,
        name: str,
        applied: Any,
        force: bool,
        subresource: Literal["", "status"],
        dry_run: bool,
        validation: Validation,
    ) -> Written:
        if not isinstance(applied, dict):
            raise BadRequest("the body of an apply is one object")
        self._named(applied, name)
        applied = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            **applied,
            "metadata": {**(applied.get("metadata") or {}), "name": name},
        }
        for key in ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"):
            applied["metadata"].pop(key, None)
        actor = self.allow(caller, "patch", kind, name=name)

        async def work(tx: Tx) -> Written:
            snapshot = await tx.read(kind, name)
            now = stamp(snapshot.now)
            if snapshot.old is None:
                self.allow(caller, "create", kind, name=name)
                new = ssa.apply(None, applied, manager=caller.manager, force=force, schema=shape_of(kind), now=now, subresource=subresource)
                change, warnings = await tx.create(kind, new, validation=validation, verb="apply")
                await tx.commit([change])
                return Written(change.new, created=True, warnings=warnings)
            old = self._there(caller, snapshot, kind, name)
            new = ssa.apply(
                old.object(), applied, manager=caller.manager, force=force, schema=shape_of(kind), now=now, subresource=subresource
            )
            prepared, warnings = await tx.update(kind, snapshot, new, part=subresource, verb="apply", validation=validation, applied=True)
            if prepared is None:
                return Written(old, changed=False, warnings=warnings)
            await tx.commit([prepared])
            return Written(prepared.new, warnings=warnings)

        return await self._write(actor, work, dry_run=dry_run)

    async def _perform(self, tx: Tx, kind: KindInfo, info: ActionInfo, old: Stored, snapshot: Snapshot, given: dict[str, Any]) -> Acted:
        before = old.object()
        resource = typed(kind, before)
        phase = dotted(before, kind.phase)
        if info.phases and phase not in info.phases:
            legal = sorted(one.name for one in kind.actions.values() if not one.phases or phase in one.phases)
            raise InvalidTransition(
                f'{kind.kind} "{old.name}" is {phase}; {info.name} needs it to be {" or ".join(info.phases)}. Legal now: {", ".join(legal) or "nothing"}',
                causes=[Cause(kind.phase, f"{phase}; {info.name} needs {' or '.join(info.phases)}", "InvalidTransition")],
                subject=Subject(kind=kind.plural, group=kind.group, name=old.name),
            )
        ctx = Ctx(Scene(self, tx.actor.caller, tx.actor, tx=tx, kind=kind, now=snapshot.now))
        arguments: builtins.list[Any] = [resource]
        if info.input is not None:
            arguments.append(parse_input(kind, info, given))
        elif given:
            raise BadRequest(f"{info.name} takes no input; got {', '.join(sorted(given)[:5])}")
        output = await info.fn(*arguments, ctx)
        if ctx.deleted_self:
            await tx.commit([], ctx.take_facts())
            return Acted(old, _output(output))
        part_object = rebuilt(kind, resource, before)
        change, _ = await tx.update(kind, snapshot, part_object, part="all", verb=info.name, message=ctx.note, always=True)
        if change is None:
            raise ApiError("an action made no change; this is a defect in cipo")
        await tx.commit([change], ctx.take_facts())
        return Acted(change.new, _output(output))

    async def _cascade(self, tx: Tx, old: Stored) -> builtins.list[Change]:
        """The referrers that go along: their kinds must cascade for that path."""
        _, incoming = await self.reader.refs(old.uid)
        changes: dict[str, Change] = {}
        for row in incoming:
            kind = self.registry.kind(row.gk)
            if row.path not in kind.cascade or row.uid in changes or row.uid == old.uid:
                continue
            snapshot = await tx.must_read(kind, row.name)
            if snapshot.old is None:
                continue
            for deeper in await self._cascade(tx, snapshot.old):
                changes.setdefault(deeper.new.uid, deeper)
            changes[row.uid] = tx.remove(kind, snapshot)
        return list(changes.values())

    def _there(self, caller: Caller, snapshot: Snapshot, kind: KindInfo, name: str) -> Stored:
        if snapshot.old is None or snapshot.old.unit.split("/")[0] in self.hidden(caller):
            raise not_found(kind, name)
        return snapshot.old

    @staticmethod
    def _named(obj: dict[str, Any], name: str) -> None:
        metadata = obj.setdefault("metadata", {})
        if not isinstance(metadata, dict):
            raise BadRequest("metadata must be an object")
        given = metadata.setdefault("name", name)
        if given != name:
            raise BadRequest(f'the name of the object ("{given}") does not match the name in the path ("{name}")')

    async def _earlier(self, conn: Conn, caller: Caller, key: str, asked: bytes) -> dict[str, Any] | None:
        if not 1 <= len(key) <= 128:
            raise BadRequest("Idempotency-Key: give 1 to 128 characters, unique to this request")
        # The lock makes a second request with the same key wait for the first one's answer.
        await conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{caller.principal.name}/{key}",))
        row = await (
            await conn.execute(
                "select request, answer from cipo.idempotency where principal = %s and key = %s", (caller.principal.name, key)
            )
        ).fetchone()
        if row is None:
            return None
        if bytes(row[0]) != asked:
            raise Invalid(
                "Idempotency-Key: this key was used for another request; make a new one",
                causes=[Cause("Idempotency-Key", "used for another request")],
            )
        answer: dict[str, Any] = orjson.loads(row[1])
        return answer

    async def _remember(self, conn: Conn, caller: Caller, key: str, asked: bytes, output: dict[str, Any] | None) -> None:
        await conn.execute(
            "insert into cipo.idempotency (principal, key, request, answer) values (%s, %s, %s, %s)",
            (caller.principal.name, key, asked, redact(orjson.dumps({"output": output}).decode())),
        )


def parse_input(kind: KindInfo, info: ActionInfo, given: dict[str, Any]) -> Model:
    """An action's input, with every error at once."""
    if info.input is None:
        raise BadRequest(f"{info.name} takes no input")
    causes: list[Cause] = []
    parsed: Model | None = decoded(info.input, given, "input", "Strict", causes, [])
    if parsed is None:
        plain = [replace(cause, field=cause.field.removeprefix("input.")) for cause in causes]
        raise Invalid.of(f"{kind.kind}/{info.name}", kind.group, "", plain)
    return parsed


def _output(output: Any) -> dict[str, Any] | None:
    return output.wire() if isinstance(output, Model) else None
