"""One write = one SQL statement: objects, claims, references, events, facts and work change together or not at all.

``Resources`` and ``Ctx`` prepare ``Change``s (pure Python) and hand them to ``commit``. Optimistic: an update names the version it was
made from and the statement fails as a whole when that version has moved, so no lock is held while Python thinks.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg import errors as pg

from cipo.kernel.errors import AlreadyExists, Cause, Conflict, Subject
from cipo.kernel.store.db import Conn, VersionMoved, translate

LINE_BITS = 129  # a range claim's scope id is shifted past 2^128, so IPv6 addresses fit below it


@dataclass(slots=True)
class Stored:
    """A resource as stored. ``body`` is the JSON exactly as served; parse it only when the content is needed."""

    uid: str
    gk: str
    name: str
    rv: int
    generation: int
    unit: str
    labels: dict[str, str]
    fields: dict[str, Any]
    body: bytes
    cells: bytes
    created_at: datetime
    deleting_at: datetime | None = None

    def object(self) -> dict[str, Any]:
        """The parsed body."""
        parsed: dict[str, Any] = orjson.loads(self.body)
        return parsed


@dataclass(slots=True)
class FactRow:
    """A measurement about to be written. ``at``: when it happened, None for now; ``key``: the writer's own, makes a repetition harmless."""

    name: str
    unit: str
    value: float
    subject: str | None
    gk: str | None
    object: str | None
    attrs: dict[str, Any]
    clock: str
    simulated: bool
    weight: int = 1
    at: datetime | None = None
    key: str | None = None
    supersedes: str | None = None
    id: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the payload: the same key must come with the same."""
        told = [self.name, self.value, self.weight, self.subject, self.attrs, self.supersedes, self.at]
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(slots=True)
class Event:
    """The line that the audit log and the change feed get."""

    actor: str
    simulated: bool
    unit: str
    verb: str
    reason: str = ""
    message: str = ""
    request_id: str = ""
    diff: list[dict[str, Any]] | None = None


@dataclass(slots=True)
class Change:
    """One object's change, ready to commit. ``old`` is the version it was made from; ``gone`` removes the row."""

    seq: int
    new: Stored
    old: Stored | None
    event: Event
    gone: bool = False
    plural: str = ""
    claims_add: list[tuple[str, str, str]] = field(default_factory=list)  # scope, value, path
    claims_del: list[tuple[str, str]] = field(default_factory=list)
    ranges_add: list[tuple[int, int, int, str, str]] = field(default_factory=list)  # scope id, lo, hi, path, label
    ranges_del: list[tuple[int, int, int]] = field(default_factory=list)
    refs_add: list[tuple[str, str]] = field(default_factory=list)  # path, uid
    refs_del: list[tuple[str, str]] = field(default_factory=list)
    enqueue: bool = False  # the object's own reconciler should look
    enqueue_names: list[tuple[str, str]] = field(default_factory=list)  # (gk, name) of objects that watch this kind
    enqueue_refs: list[str] = field(default_factory=list)  # kinds (gk) whose objects that refer to this one should look


@dataclass(slots=True)
class Lease:
    """A reconciler's right to write. ``release`` ends the lease in the same statement, due again after ``after_s``."""

    uid: str
    worker: str
    dirty: int = 0
    release: bool = False
    after_s: float = 0.0
    attempts: int = 0
    error: str | None = None


WRITE = """
with w as materialized (
  select * from json_to_recordset(%(rows)s::json) as w(
    seq bigint, uid uuid, gk text, name text, old_rv bigint, generation bigint, unit text, labels jsonb, fields jsonb, body text, cells text,
    created_at timestamptz, deleting_at timestamptz, gone boolean, old_labels jsonb, old_fields jsonb,
    actor text, simulated boolean, acting text, verb text, type text, reason text, message text, request_id text, diff jsonb)
), held as (
  select cipo.expect(
    (select count(*) from cipo.work k join json_to_recordset(%(lease)s::json) as l(uid uuid, worker text) on k.uid = l.uid and k.worker = l.worker
     where k.leased_until > clock_timestamp()), json_array_length(%(lease)s::json)::bigint) as ok
), ins as (
  insert into cipo.resource (uid, gk, name, rv, generation, unit, labels, fields, body, cells, created_at, deleting_at)
  select uid, gk, name, seq, generation, unit, labels, fields, body, cells, created_at, deleting_at from w where old_rv is null
  returning 1
), upd as (
  update cipo.resource r set rv = w.seq, generation = w.generation, unit = w.unit, labels = w.labels, fields = w.fields, body = w.body,
    cells = w.cells, deleting_at = w.deleting_at
  from w where r.uid = w.uid and r.rv = w.old_rv and not w.gone returning 1
), del as (
  delete from cipo.resource r using w where r.uid = w.uid and r.rv = w.old_rv and w.gone returning 1
), claim_del as (
  delete from cipo.claim c using json_to_recordset(%(claims_del)s::json) as d(uid uuid, scope text, value text)
  where c.scope = d.scope and c.value = d.value and c.uid = d.uid
), claim_add as (
  insert into cipo.claim (scope, value, uid, path)
  select scope, value, uid, path from json_to_recordset(%(claims_add)s::json) as a(scope text, value text, uid uuid, path text)
), range_del as (
  delete from cipo.claim_range c using json_to_recordset(%(ranges_del)s::json) as d(uid uuid, scope_id bigint, r numrange)
  where c.uid = d.uid and c.scope_id = d.scope_id and c.r = d.r
), range_add as (
  insert into cipo.claim_range (uid, scope_id, path, r)
  select uid, scope_id, path, r from json_to_recordset(%(ranges_add)s::json) as a(uid uuid, scope_id bigint, path text, r numrange)
), ref_del as (
  delete from cipo.ref f using json_to_recordset(%(refs_del)s::json) as d(src uuid, path text, dst uuid)
  where f.src = d.src and f.path = d.path and f.dst = d.dst
), ref_add as (
  insert into cipo.ref (src, path, dst)
  select src, path, dst from json_to_recordset(%(refs_add)s::json) as a(src uuid, path text, dst uuid)
), ev as (
  insert into cipo.event (seq, actor, simulated, unit, owner, verb, type, gk, name, uid, generation, reason, message, request_id, diff)
  select seq, actor, simulated, acting, unit, verb, type, gk, name, uid, generation, reason, message, request_id, diff from w
), bodies as (
  insert into cipo.event_body (seq, day, old_labels, old_fields, body, cells, labels, fields)
  select seq, (now() at time zone 'utc')::date, old_labels, old_fields, body, cells, labels, fields from w
), told as materialized (
  select * from json_to_recordset(%(facts)s::json)
    as f(id uuid, name text, unit text, value double precision, weight bigint, at timestamptz, key text, digest text, supersedes uuid,
         subject uuid, gk text, object text, attrs jsonb, clock text, simulated boolean, seq bigint)
), facts as (
  insert into cipo.fact (id, ts, name, unit, value, weight, supersedes, subject, gk, object, attrs, clock, simulated, seq)
  select id, coalesce(at, clock_timestamp()), name, unit, value, weight, supersedes, subject, gk, object, attrs, clock, simulated, seq from told
), keys as (
  insert into cipo.fact_key (name, key, digest, id) select name, key, decode(digest, 'hex'), id from told where key is not null
), corrected as (
  insert into cipo.fact_superseded (id, by, name, ts)
  select old.id, told.id, old.name, old.ts from told join cipo.fact old on old.id = told.supersedes and old.name = told.name
), due as (
  insert into cipo.work (uid, gk, due)
  select uid, gk, now() from (
    select uid, gk from json_to_recordset(%(work)s::json) as q(uid uuid, gk text)
    union select r.uid, r.gk from json_to_recordset(%(work_names)s::json) as q(gk text, name text) join cipo.resource r using (gk, name)
    union select f.src, r.gk from json_to_recordset(%(work_refs)s::json) as q(dst uuid, gk text)
      join cipo.ref f on f.dst = q.dst join cipo.resource r on r.uid = f.src and r.gk = q.gk
  ) as q where not exists (select 1 from w where w.uid = q.uid and w.gone)
  on conflict (uid) do update set due = least(cipo.work.due, excluded.due), dirty = cipo.work.dirty + 1
), rest as (
  update cipo.work k set leased_until = null, worker = null, attempts = f.attempts, error = f.error,
    due = case when k.dirty = f.dirty then now() + f.after_s * interval '1 second' else now() end
  from json_to_recordset(%(release)s::json) as f(uid uuid, worker text, dirty bigint, after_s double precision, attempts int, error text)
  where k.uid = f.uid and k.worker = f.worker
)
select (select ok from held),
       cipo.expect((select count(*) from upd) + (select count(*) from del), (select count(*) from w where old_rv is not null))
"""


# Numbered parameters, put in once: psycopg would look for the named ones in this long text at each write.
PARAMETERS = tuple(dict.fromkeys(re.findall(r"%\((\w+)\)s", WRITE)))
RAW = re.sub(r"%\((\w+)\)s", lambda found: f"${PARAMETERS.index(found[1]) + 1}", WRITE)


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows, option=orjson.OPT_NON_STR_KEYS).decode() if rows else "[]"


def line(scope_id: int, lo: int, hi: int) -> str:
    """A range claim's place on the one number line, as a numrange literal."""
    base = scope_id << LINE_BITS
    return f"[{base + lo},{base + hi})"


def _row(change: Change) -> dict[str, Any]:
    new, old, event = change.new, change.old, change.event
    kind = "DELETED" if change.gone else "MODIFIED" if old else "ADDED"
    return {
        "seq": change.seq,
        "uid": new.uid,
        "gk": new.gk,
        "name": new.name,
        "old_rv": old.rv if old else None,
        "generation": new.generation,
        "unit": new.unit,
        "labels": new.labels,
        "fields": new.fields,
        "body": new.body.decode(),
        "cells": new.cells.decode(),
        "created_at": new.created_at,
        "deleting_at": new.deleting_at,
        "gone": change.gone,
        "old_labels": old.labels if old else None,
        "old_fields": old.fields if old else None,
        "actor": event.actor,
        "simulated": event.simulated,
        "acting": event.unit,
        "verb": event.verb,
        "type": kind,
        "reason": event.reason,
        "message": event.message[:4096],
        "request_id": event.request_id[:128],
        "diff": event.diff,
    }


async def commit(conn: Conn, changes: list[Change], facts: list[FactRow], *, lease: Lease | None = None) -> None:
    """Write all of it in one statement. Raises AlreadyExists, Conflict (claims, references) or VersionMoved; then nothing is written.

    ``lease``: a reconciler's fence; the write fails as VersionMoved when the lease is no longer held.
    """
    seq = changes[0].seq if changes else 0
    held: list[dict[str, Any]] = [{"uid": lease.uid, "worker": lease.worker}] if lease else []
    release: list[dict[str, Any]] = []
    if lease and lease.release:
        release = [held[0] | {"dirty": lease.dirty, "after_s": lease.after_s, "attempts": lease.attempts, "error": lease.error}]
    params = {
        "rows": _json([_row(change) for change in changes]),
        "lease": _json(held),
        "release": _json(release),
        "claims_add": _json([{"scope": s, "value": v, "path": p, "uid": c.new.uid} for c in changes for s, v, p in c.claims_add]),
        "claims_del": _json([{"scope": s, "value": v, "uid": c.new.uid} for c in changes for s, v in c.claims_del]),
        "ranges_add": _json(
            [{"scope_id": s, "r": line(s, lo, hi), "path": p, "uid": c.new.uid} for c in changes for s, lo, hi, p, _ in c.ranges_add]
        ),
        "ranges_del": _json([{"scope_id": s, "r": line(s, lo, hi), "uid": c.new.uid} for c in changes for s, lo, hi in c.ranges_del]),
        "refs_add": _json([{"src": c.new.uid, "path": p, "dst": d} for c in changes for p, d in c.refs_add]),
        "refs_del": _json([{"src": c.new.uid, "path": p, "dst": d} for c in changes for p, d in c.refs_del]),
        "facts": _json([_fact(fact, seq) for fact in facts]),
        "work": _json([{"uid": c.new.uid, "gk": c.new.gk} for c in changes if c.enqueue]),
        "work_names": _json([{"gk": gk, "name": name} for gk, name in {pair for c in changes for pair in c.enqueue_names}]),
        "work_refs": _json([{"dst": c.new.uid, "gk": gk} for c in changes for gk in c.enqueue_refs]),
    }
    await psycopg.AsyncRawCursor(conn).execute(RAW, [params[name] for name in PARAMETERS])


def _fact(fact: FactRow, seq: int) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in FactRow.__slots__} | {
        "seq": seq,
        "id": fact.id or uuid7(time.time_ns() // 1_000_000),
        "digest": fact.digest if fact.key else None,
    }


async def unknown_facts(conn: Conn, facts: list[FactRow]) -> list[FactRow]:
    """The facts that are not there yet by their key. Conflict when a key has another payload, or a corrected fact cannot be corrected."""
    keyed = [fact for fact in facts if fact.key]
    correcting = [fact for fact in facts if fact.supersedes]
    if not keyed and not correcting:
        return facts
    rows = await (
        await conn.execute(
            "select name, key, encode(digest, 'hex') from cipo.fact_key where (name, key) in (select * from unnest(%s::text[], %s::text[]))",
            ([fact.name for fact in keyed], [fact.key for fact in keyed]),
        )
    ).fetchall()
    held = {(name, key): digest for name, key, digest in rows}
    other = [fact for fact in keyed if held.get((fact.name, fact.key), fact.digest) != fact.digest]
    if other:
        raise Conflict(f"fact {other[0].name} was written with the key {other[0].key!r} and another payload; correct it with supersedes")
    fresh = [fact for fact in facts if (fact.name, fact.key) not in held]
    await _refuse_wrong_corrections(conn, [fact for fact in fresh if fact.supersedes])
    return fresh


async def _refuse_wrong_corrections(conn: Conn, facts: list[FactRow]) -> None:
    rows = await (
        await conn.execute(
            "select f.id::text, f.name, s.by::text from cipo.fact f left join cipo.fact_superseded s using (id) where f.id = any(%s::uuid[])",
            ([fact.supersedes for fact in facts],),
        )
    ).fetchall()
    there = {id: (name, by) for id, name, by in rows}
    for fact in facts:
        name, by = there.get(fact.supersedes or "", ("", None))
        if name != fact.name:
            raise Conflict(f"fact {fact.name} corrects {fact.supersedes}, which is no fact of that name")
        if by is not None:
            raise Conflict(f"fact {fact.supersedes} was corrected by {by} already; correct that one")


async def explain(conn: Conn, error: psycopg.Error, changes: list[Change]) -> Exception:
    """A constraint violation in the words of the person who caused it: who holds the value, who refers to the object."""
    constraint = error.diag.constraint_name or ""
    if isinstance(error, pg.UniqueViolation | pg.ExclusionViolation):
        # A second creation breaks the name and its claims at once, and either may be reported first: the name is the better answer.
        taken = await _taken_name(conn, changes)
        if taken:
            return taken
    if constraint in ("fact_key_pkey", "fact_superseded_pkey"):
        return VersionMoved("the same fact was written in between")  # looked at again: the same payload is the same fact
    if isinstance(error, pg.UniqueViolation) and constraint == "claim_pkey":
        return await _claim_conflict(conn, changes)
    if isinstance(error, pg.ExclusionViolation):
        return await _range_conflict(conn, changes)
    if isinstance(error, pg.ForeignKeyViolation) and constraint == "ref_dst_fkey":
        gone = next((change for change in changes if change.gone), None)
        return await _referrers(conn, gone) if gone else VersionMoved("something this object refers to was deleted in between")
    return translate(error)


async def _taken_name(conn: Conn, changes: list[Change]) -> AlreadyExists | None:
    made = {(change.new.gk, change.new.name): change for change in changes if change.old is None}
    rows = await (
        await conn.execute(
            "select gk, name from cipo.resource where (gk, name) in (select * from unnest(%s::text[], %s::text[])) limit 1",
            ([gk for gk, _ in made], [name for _, name in made]),
        )
    ).fetchall()
    names = [change.new.name for change in changes if change.old is None]
    twice = next((name for name in names if names.count(name) > 1), None)
    if not rows and twice is None:
        return None
    name = rows[0][1] if rows else twice or ""
    change = next(change for change in changes if change.new.name == name)
    group = change.new.gk.split(".", 1)[1]
    return AlreadyExists(f'{change.plural}.{group} "{name}" already exists', subject=Subject(kind=change.plural, group=group, name=name))


async def _claim_conflict(conn: Conn, changes: list[Change]) -> Exception:
    wanted = {(scope, value): (path, change) for change in changes for scope, value, path in change.claims_add}
    rows = await (
        await conn.execute(
            "select c.scope, c.value, r.gk, r.name from cipo.claim c join cipo.resource r using (uid)"
            " where (c.scope, c.value) in (select * from unnest(%s::text[], %s::text[]))",
            ([scope for scope, _ in wanted], [value for _, value in wanted]),
        )
    ).fetchall()
    causes = [
        Cause(
            wanted[scope, value][0],
            f'"{value}" is held by {gk.split(".")[0]} "{name}" ({scope}); free it there or use another',
            "ClaimTaken",
        )
        for scope, value, gk, name in rows
        if (gk, name) != (wanted[scope, value][1].new.gk, wanted[scope, value][1].new.name)
    ]
    causes = causes or [
        Cause(path, f'"{value}" is given twice in this request ({scope})', "ClaimTaken") for (scope, value), (path, _) in wanted.items()
    ]
    return _taken(changes[0], causes)


async def _range_conflict(conn: Conn, changes: list[Change]) -> Exception:
    causes: dict[tuple[str, str], Cause] = {}  # one a holder: a device on two faces is still one device
    for change in changes:
        for scope_id, lo, hi, path, label in change.ranges_add:
            rows = await (
                await conn.execute(
                    "select s.name, r.gk, r.name from cipo.claim_range c join cipo.resource r using (uid)"
                    " join cipo.claim_scope s on s.id = c.scope_id where c.r && %s::numrange and c.uid <> %s limit 10",
                    (line(scope_id, lo, hi), change.new.uid),
                )
            ).fetchall()
            for scope, gk, name in rows:
                what = label or f"{lo}-{hi}"
                message = f'{what} is taken by {gk.split(".")[0]} "{name}" ({scope}); free it there or choose another'
                causes.setdefault((gk, name), Cause(path, message, "ClaimTaken"))
    found = list(causes.values()) or [Cause("", "two ranges in this request overlap", "ClaimTaken")]
    return _taken(changes[0], found)


def _taken(change: Change, causes: list[Cause]) -> Conflict:
    kind, group = change.new.gk.split(".", 1)
    words = "; ".join(f"{cause.field}: {cause.message}" for cause in causes[:5])
    subject = Subject(kind=kind, group=group, name=change.new.name)
    return Conflict(f'{kind}.{group} "{change.new.name}" cannot be written: {words}', causes=causes, subject=subject)


async def _referrers(conn: Conn, change: Change) -> Exception:
    rows = await (
        await conn.execute(
            "select r.gk, r.name, f.path from cipo.ref f join cipo.resource r on r.uid = f.src where f.dst = %s and f.src <> f.dst order by 1, 2 limit 11",
            (change.new.uid,),
        )
    ).fetchall()
    if not rows:
        return VersionMoved("the object was referred to in between; try again")
    causes = [Cause(path, f'{gk.split(".")[0]} "{name}" refers to it', "Referenced") for gk, name, path in rows[:10]]
    more = " and more" if len(rows) > 10 else ""
    kind, group = change.new.gk.split(".", 1)
    listed = ", ".join(f'{gk.split(".")[0]} "{name}" ({path})' for gk, name, path in rows[:10])
    verb, those = ("refers", "that") if len(rows) == 1 else ("refer", "those")
    message = f'{kind}.{group} "{change.new.name}" cannot be deleted: {listed}{more} {verb} to it; change or delete {those} first'
    return Conflict(message, causes=causes, subject=Subject(kind=kind, group=group, name=change.new.name))


def uuid7(ms: int) -> str:
    """A UUID version 7 (RFC 9562) for a time in milliseconds: sorts by time, 74 random bits."""
    chance = int.from_bytes(os.urandom(10))
    text = f"{(ms & 0xFFFFFFFFFFFF) << 80 | 0x7 << 76 | (chance >> 64 & 0xFFF) << 64 | 0b10 << 62 | (chance & (1 << 62) - 1):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
