"""Reads: one object, pages of a list, the search box, events, references. Bodies go out as stored and are never parsed here."""

from __future__ import annotations

import base64
import builtins
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, cast

import orjson

from cipo.kernel.errors import BadRequest, Gone
from cipo.kernel.store.db import Database
from cipo.kernel.store.write import Stored
from cipo.kernel.unit import KindInfo
from cipo.kernel.wire.selectors import FieldSelector, LabelSelector

PAGE_MAX = 5000
REFS_MAX = 500
# The JSON columns come as text: the driver's decoder for them, called for each value, is slower than one call of orjson here.
COLUMNS: LiteralString = "uid::text, gk, name, rv, generation, unit, labels::text, fields::text, body, cells, created_at, deleting_at"
# A cursor that a watch may start from: the newest event below the horizon of running transactions (store/feed.py says why).
HORIZON: LiteralString = "(select coalesce((select seq from cipo.event where xid < pg_snapshot_xmin(pg_current_snapshot()) order by xid desc, seq desc limit 1), 0))"


@dataclass(slots=True)
class Page:
    """A part of a list, in the order of names, consistent in itself."""

    items: list[Stored]
    rv: int
    continue_: str | None = None
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A find of the search box: what matched, and where it leads."""

    gk: str
    name: str
    uid: str
    what: str
    value: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """A line of the audit log."""

    seq: int
    at: datetime
    actor: str
    simulated: bool
    unit: str
    owner: str
    verb: str
    type: str
    gk: str
    name: str
    uid: str
    generation: int
    reason: str
    message: str
    request_id: str
    diff: list[dict[str, Any]] | None


@dataclass(frozen=True, slots=True)
class RefRow:
    """A reference between two resources, seen from one of them."""

    path: str
    gk: str
    name: str
    uid: str
    unit: str


def stored(row: tuple[Any, ...]) -> Stored:
    """A row of ``COLUMNS``."""
    uid, gk, name, rv, generation, unit, labels, fields, body, cells, created_at, deleting_at = row
    return Stored(
        uid,
        gk,
        name,
        rv,
        generation,
        unit,
        orjson.loads(labels) if labels != "{}" else {},
        orjson.loads(fields),
        body.encode(),
        cells.encode(),
        created_at,
        deleting_at,
    )


class Tokens:
    """``continue`` tokens: signed, so that a forged one is refused rather than run."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, rv: int, gk: str, name: str) -> str:
        """A token that continues after ``name``."""
        payload = orjson.dumps({"rv": rv, "gk": gk, "name": name})
        return base64.urlsafe_b64encode(self._sign(payload) + payload).decode().rstrip("=")

    def read(self, token: str, gk: str) -> tuple[int, str]:
        """The list's version and the last name seen; Gone when it is not one of ours."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError as error:
            raise BadRequest("continue: not a token of this server; list again from the start") from error
        mac, payload = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, self._sign(payload)):
            raise Gone("continue: this token was not made by this server, or it restarted with another key; list again from the start")
        parsed = orjson.loads(payload)
        if parsed["gk"] != gk:
            raise BadRequest("continue: this token belongs to another kind")
        return parsed["rv"], parsed["name"]

    def _sign(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, hashlib.sha256).digest()[:16]


class Reader:
    """The store's read side, without authorisation: ``Resources`` asks first."""

    def __init__(self, db: Database, tokens: Tokens) -> None:
        self.db = db
        self.tokens = tokens

    async def get(self, gk: str, name: str) -> Stored | None:
        """One object, or None."""
        rows = await self.db.fetch(f"select {COLUMNS} from cipo.resource where gk = %s and name = %s", (gk, name))
        return stored(rows[0]) if rows else None

    async def list(
        self,
        kind: KindInfo,
        *,
        labels: LabelSelector | None = None,
        fields: FieldSelector | None = None,
        limit: int | None = None,
        continue_: str | None = None,
        hidden: frozenset[str] = frozenset(),
    ) -> Page:
        """A page in the order of names. Rows of hidden departments do not exist for this caller."""
        if limit is not None and limit < 0:
            raise BadRequest("limit: must not be negative")
        where, params = ["gk = %s"], [kind.gk]
        after_rv = 0
        if continue_:
            after_rv, after = self.tokens.read(continue_, kind.gk)
            where.append("name > %s")
            params.append(after)
        for selector in (labels, fields):
            if selector:
                text, values = selector.sql()
                where.append(text)
                params += values
        if hidden:
            where.append("split_part(unit, '/', 1) <> all(%s)")
            params.append(cast(str, sorted(hidden)))
        size = min(limit, PAGE_MAX) if limit else None
        sql = f"select {COLUMNS}, {HORIZON} from cipo.resource where {' and '.join(where)} order by name"
        if size:
            sql += " limit %s"
            params.append(cast(str, size + 1))
        rows = await self.db.fetch((sql), params)
        rv = rows[0][12] if rows else (await self.db.fetch(f"select {HORIZON}"))[0][0]
        items = [stored(row[:12]) for row in rows]
        page = Page(items, after_rv or rv)
        if size and len(items) > size:
            page.items = items[:size]
            page.continue_ = self.tokens.make(page.rv, kind.gk, page.items[-1].name)
            page.remaining = await self._remaining(where, params[:-1], page.items[-1].name) if not (labels or fields) else None
        return page

    async def _remaining(self, where: builtins.list[str], params: builtins.list[Any], after: str) -> int:
        sql = f"select count(*) from cipo.resource where {' and '.join(where)} and name > %s"
        return int((await self.db.fetch((sql), [*params, after]))[0][0])

    async def facets(self, gk: str, paths: tuple[str, ...], hidden: frozenset[str]) -> dict[str, dict[str, int]]:
        """How many objects have each value of the selectable fields; at most 50 values a field."""
        rows = await self.db.fetch(
            "select f.key, f.value, count(*) from cipo.resource r, jsonb_each_text(r.fields) as f where r.gk = %s and f.key = any(%s)"
            " and split_part(r.unit, '/', 1) <> all(%s) group by 1, 2 order by 3 desc, 2",
            (gk, list(paths), sorted(hidden)),
        )
        counts: dict[str, dict[str, int]] = {path: {} for path in paths}
        for path, value, count in rows:
            if len(counts[path]) < 50:
                counts[path][value] = count
        return counts

    async def counts(self, hidden: frozenset[str]) -> dict[str, int]:
        """Objects per kind."""
        rows = await self.db.fetch(
            "select gk, count(*) from cipo.resource where split_part(unit, '/', 1) <> all(%s) group by 1", (sorted(hidden),)
        )
        return dict(rows)

    async def holder(self, scope: str, value: str) -> tuple[str, str] | None:
        """Who holds a claim: (gk, name), or None."""
        rows = await self.db.fetch(
            "select r.gk, r.name from cipo.claim c join cipo.resource r using (uid) where c.scope = %s and c.value = %s", (scope, value)
        )
        return (rows[0][0], rows[0][1]) if rows else None

    async def search(self, text: str, gks: builtins.list[str], hidden: frozenset[str], limit: int) -> builtins.list[Hit]:
        """Claims (serials, tags, addresses) and names that start with ``text``; shorter finds first."""
        needle = re.sub(r"([\\%_])", r"\\\1", text.strip())
        starts = sorted({f"{needle}%", f"{needle.upper()}%", f"{needle.lower()}%"})
        rows = await self.db.fetch(
            "select r.gk, r.name, r.uid::text, f.what, f.value from ("
            "  (select uid, scope as what, value from cipo.claim where value like any(%(starts)s) order by length(value), value limit 200)"
            "  union all (select uid, 'name', name from cipo.resource where name like any(%(starts)s) order by length(name), name limit 200)"
            ") as f join cipo.resource r on r.uid = f.uid"
            " where r.gk = any(%(gks)s) and split_part(r.unit, '/', 1) <> all(%(hidden)s) order by length(f.value), f.value limit %(limit)s",
            {"starts": starts, "gks": gks, "hidden": sorted(hidden), "limit": limit},
        )
        hits: dict[str, Hit] = {}
        for gk, name, uid, what, value in rows:
            hits.setdefault(uid, Hit(gk, name, uid, what, value))
        return list(hits.values())

    async def events(
        self,
        gks: builtins.list[str],
        hidden: frozenset[str],
        *,
        uid: str | None = None,
        name: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> builtins.list[EventRow]:
        """The newest events first."""
        where, params = ["gk = any(%s)", "split_part(owner, '/', 1) <> all(%s)"], [gks, sorted(hidden)]
        for column, value in (("uid = %s::uuid", uid), ("name = %s", name), ("actor = %s", actor), ("seq < %s", before)):
            if value is not None:
                where.append(column)
                params.append(cast("list[str]", value))
        params.append(cast("list[str]", min(limit, 1000)))
        rows = await self.db.fetch(
            "select seq, at, actor, simulated, unit, owner, verb, type, gk, name, uid::text, generation, reason, message, request_id, diff"
            f" from cipo.event where {' and '.join(where)} order by seq desc limit %s",
            params,
        )
        return [EventRow(*row) for row in rows]

    async def refs(self, uid: str) -> tuple[builtins.list[RefRow], builtins.list[RefRow]]:
        """What an object refers to, and what refers to it (at most ``REFS_MAX`` each way)."""
        outgoing = await self.db.fetch(
            "select f.path, r.gk, r.name, r.uid::text, r.unit from cipo.ref f join cipo.resource r on r.uid = f.dst where f.src = %s::uuid order by 1, 3 limit %s",
            (uid, REFS_MAX),
        )
        incoming = await self.db.fetch(
            "select f.path, r.gk, r.name, r.uid::text, r.unit from cipo.ref f join cipo.resource r on r.uid = f.src where f.dst = %s::uuid order by 2, 3 limit %s",
            (uid, REFS_MAX),
        )
        return [RefRow(*row) for row in outgoing], [RefRow(*row) for row in incoming]
