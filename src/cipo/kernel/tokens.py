"""Tokens at rest: minting, looking up, spending and revoking them. The console, the CLI and the accounts' actions come here.

A token is 256 random bits behind a prefix that secret scanners can recognise; the database keeps its SHA-256 only, so a stolen dump
signs nobody in, and a look-up by hash takes the same time whatever was guessed. ``kernel/authn.py`` decides what a request may do with
one; this module only knows the two tables.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString, Protocol

import orjson

from cipo.kernel.errors import Cause, Invalid, NotFound, Subject, Unauthorized
from cipo.kernel.principal import Principal

if TYPE_CHECKING:
    from cipo.kernel.store.db import Conn

PERSONAL = "cipo_pat_"
SERVICE = "cipo_sa_"
LOGIN = "cipo_login_"
SESSION = "cipo_session_"

SECRET_BYTES = 32
TOKEN = re.compile(r"cipo_(pat|sa|login|session)_[A-Za-z0-9_-]{43}")
ANYWHERE = re.compile(r"(cipo_(?:pat|sa|login|session)_)[A-Za-z0-9_-]{43}")

LOGIN_TTL = timedelta(minutes=30)
SESSION_IDLE = timedelta(hours=12)
SESSION_MAX = timedelta(days=7)
TTL_MIN = timedelta(minutes=1)
TTL_MAX = timedelta(days=365)
LABEL_MAX = 200
ID_LENGTH = 12  # hexadecimal digits of the hash: enough to point at a token, too few to be one

CIPO = "cipo"
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
SERVICE_NAME = re.compile(r"serviceaccount:[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Store(Protocol):
    """What is needed of a database: ``Database``, or a connection inside somebody's transaction."""

    async def fetch(self, sql: LiteralString, params: Any = None) -> list[tuple[Any, ...]]:
        """All rows of one statement."""

    async def execute(self, sql: LiteralString, params: Any = None) -> int:
        """Run one statement; the number of rows it touched."""


class OnConnection:
    """One connection as a ``Store``: what is written is part of whatever transaction it is in."""

    def __init__(self, conn: Conn) -> None:
        self._conn = conn

    async def fetch(self, sql: LiteralString, params: Any = None) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        return await (await self._conn.execute(sql, params)).fetchall()

    async def execute(self, sql: LiteralString, params: Any = None) -> int:
        """Run one statement; the number of rows it touched."""
        return (await self._conn.execute(sql, params)).rowcount


@dataclass(frozen=True, slots=True)
class Issued:
    """A fresh token. This is the only moment at which it can be read."""

    token: str
    principal: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Issued(id={token_id(self.token)!r}, principal={self.principal!r})"


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows about a token that was presented."""

    principal: Principal
    seconds_left: float
    idle: bool  # not seen for a minute: worth noting that it was used


@dataclass(frozen=True, slots=True)
class Listed:
    """A token as ``cipo token list`` shows it."""

    id: str
    principal: str
    purpose: str
    label: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


def mint(prefix: str) -> str:
    """A new token: the prefix and 256 random bits."""
    return prefix + secrets.token_urlsafe(SECRET_BYTES)


def digest(token: str) -> bytes:
    """What is stored of a token. A fast hash is right here: 256 random bits cannot be guessed, unlike a password."""
    return hashlib.sha256(token.encode()).digest()


def token_id(token: str) -> str:
    """A token's public name: the first digits of its hash."""
    return digest(token).hex()[:ID_LENGTH]


def redact(text: str) -> str:
    """The text with every token in it cut to its prefix, for logs and error messages."""
    return ANYWHERE.sub(r"\1…", text)


def duration(text: str, *, field: str = "ttl") -> timedelta:
    """``90d``, ``12h``, ``30m`` or ``600s`` as a time span."""
    match = DURATION.fullmatch(text.strip())
    if match is None:
        raise _invalid(field, f"{text[:40]!r} is not a time span; write a whole number and s, m, h or d, such as 30d")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


async def ensure_principal(
    store: Store,
    name: str,
    *,
    kind: str = "user",
    units: Iterable[str] = (),
    leads: Iterable[str] = (),
    simulated: bool = False,
) -> bool:
    """Make a principal, or bring the one of that name to these units and leads; True if it is new."""
    if (SERVICE_NAME if name.startswith("serviceaccount:") else NAME).fullmatch(name) is None:
        raise _invalid("name", f"{name[:80]!r} is not a name; use lower-case letters, digits, dots and dashes, at most 63")
    rows = await store.fetch(
        "insert into cipo.principal as p (name, kind, units, leads, simulated) values (%s, %s, %s, %s, %s)"
        " on conflict (name) do update set units = excluded.units, leads = excluded.leads, disabled_at = null"
        " where p.kind = excluded.kind and p.simulated = excluded.simulated returning xmax = 0",
        (name, kind, sorted(set(units)), sorted(set(leads)), simulated),
    )
    if not rows:
        raise _invalid("name", f"{name!r} is taken by a principal of another kind; choose another name")
    return bool(rows[0][0])


async def ensure_cipo(store: Store) -> None:
    """The organisation's own person, who leads everything. Units are not listed: the chart's are his, whatever it says tomorrow."""
    await store.execute(
        "insert into cipo.principal (name, kind, leads) values (%s, 'user', '{CIPO}')"
        " on conflict (name) do update set disabled_at = null, leads = '{CIPO}' where cipo.principal.disabled_at is not null",
        (CIPO,),
    )


async def disable_principal(store: Store, name: str) -> int:
    """Shut a principal out: all its tokens and sessions end now. Returns how many ended."""
    if name == CIPO:
        raise _invalid("name", "the organisation's own sign-in cannot be disabled; revoke its tokens instead")
    if not await store.execute("update cipo.principal set disabled_at = now() where name = %s and disabled_at is null", (name,)):
        raise _unknown(name)
    return await store.execute("delete from cipo.token where principal = %s", (name,))


async def issue_token(
    store: Store,
    principal: str,
    label: str = "",
    ttl: timedelta = timedelta(days=30),
    *,
    prefix: str = PERSONAL,
    resource: str | None = None,
) -> Issued:
    """A token for the API. ``resource``: uid of the ServiceAccount it dies with."""
    if not TTL_MIN <= ttl <= TTL_MAX:
        raise _invalid("ttl", f"{ttl} is out of range; from {TTL_MIN.seconds // 60} minute to {TTL_MAX.days} days")
    return await _insert(store, principal, prefix, ttl, label=label, resource=resource)


async def create_login_link(store: Store, base_url: str, principal: str = CIPO) -> str:
    """A link that signs one person in once, within 30 minutes. Opening it changes nothing; the page's button does (a POST)."""
    if principal == CIPO:
        await ensure_cipo(store)
    issued = await _insert(store, principal, LOGIN, LOGIN_TTL)
    return f"{base_url.rstrip('/')}/sign-in/{issued.token}"


async def spend_login(store: Store, token: str, label: str = "") -> Issued:
    """Trade a login link's token for a session, once."""
    session = mint(SESSION)
    rows = await store.fetch(
        "with spent as ("
        "  update cipo.token t set used_at = clock_timestamp() from cipo.principal p"
        "  where t.hash = %s and t.purpose = 'login' and t.used_at is null and t.expires_at > clock_timestamp()"
        "    and p.name = t.principal and p.disabled_at is null returning t.principal)"
        " insert into cipo.token (hash, principal, purpose, label, expires_at)"
        " select %s, principal, 'session', %s, clock_timestamp() + %s from spent returning principal, expires_at",
        (digest(token), digest(session), label[:LABEL_MAX], SESSION_IDLE),
    )
    if rows:
        return Issued(session, *rows[0])
    known = await store.fetch("select used_at is not null from cipo.token where hash = %s and purpose = 'login'", (digest(token),))
    why = "was used already" if known and known[0][0] else "has expired" if known else "is not one of ours"
    raise Unauthorized(f"this sign-in link {why}; print a fresh one with `cipo login-link`")


async def look_up(store: Store, token: str, purpose: str) -> Known | None:
    """Who presents this token, if it is alive. A service account's units are read from its resource, so they are never stale."""
    rows = await store.fetch(
        "select p.name, p.kind, p.units, p.leads, p.simulated, r.body,"
        " extract(epoch from t.expires_at - clock_timestamp())::float8, coalesce(t.used_at < now() - interval '1 minute', true)"
        " from cipo.token t join cipo.principal p on p.name = t.principal left join cipo.resource r on r.uid = t.resource"
        " where t.hash = %s and t.purpose = %s and t.expires_at > clock_timestamp()"
        " and p.disabled_at is null and r.deleting_at is null",
        (digest(token), purpose),
    )
    if not rows:
        return None
    name, kind, units, leads, simulated, body, seconds_left, idle = rows[0]
    if body is not None:
        spec = orjson.loads(body)["spec"]
        units, leads, simulated = spec.get("units", ()), spec.get("leads", ()), spec.get("simulated", False)
    return Known(Principal(name, kind, frozenset(units), frozenset(leads), simulated), seconds_left, idle)


async def note_use(store: Store, token: str) -> None:
    """Remember that a token was used now; a session in use lives on, up to a week."""
    await store.execute(
        "update cipo.token set used_at = now(), expires_at = case when purpose = 'session'"
        " then greatest(expires_at, least(now() + %s, created_at + %s)) else expires_at end where hash = %s",
        (SESSION_IDLE, SESSION_MAX, digest(token)),
    )


async def list_tokens(store: Store, principal: str | None = None) -> list[Listed]:
    """Tokens and sessions that are alive, newest first, at most 1,000."""
    rows = await store.fetch(
        "select left(encode(hash, 'hex'), %s), principal, purpose, label, created_at, expires_at, used_at from cipo.token"
        " where expires_at > now() and (purpose <> 'login' or used_at is null) and (%s::text is null or principal = %s)"
        " order by created_at desc limit 1000",
        (ID_LENGTH, principal, principal),
    )
    return [Listed(*row) for row in rows]


async def revoke(store: Store, token: str) -> int:
    """End one token, named by itself or by its id; the number ended (0: there is none)."""
    if TOKEN.fullmatch(token):
        return await store.execute("delete from cipo.token where hash = %s", (digest(token),))
    if re.fullmatch(rf"[0-9a-f]{{{ID_LENGTH}}}", token) is None:
        raise _invalid("token", f"{redact(token)[:80]!r} is neither a token nor the id of one; see `cipo token list`")
    return await store.execute("delete from cipo.token where left(encode(hash, 'hex'), %s) = %s", (ID_LENGTH, token))


async def revoke_all(store: Store, *, principal: str | None = None, resource: str | None = None) -> int:
    """End every token of a principal, or of a ServiceAccount by its uid; the number ended."""
    if resource is not None:
        return await store.execute("delete from cipo.token where resource = %s", (resource,))
    return await store.execute("delete from cipo.token where principal = %s", (principal,))


async def _insert(store: Store, principal: str, prefix: str, ttl: timedelta, *, label: str = "", resource: str | None = None) -> Issued:
    """Store a fresh token's hash; tokens dead for a week are swept out on the way."""
    token = mint(prefix)
    rows = await store.fetch(
        "with swept as (delete from cipo.token where expires_at < now() - interval '7 days')"
        " insert into cipo.token (hash, principal, purpose, label, expires_at, resource)"
        " select %s, name, %s, %s, clock_timestamp() + %s, %s from cipo.principal where name = %s and disabled_at is null"
        " returning principal, expires_at",
        (digest(token), "login" if prefix == LOGIN else "api", label[:LABEL_MAX], ttl, resource, principal),
    )
    if not rows:
        raise _unknown(principal)
    return Issued(token, *rows[0])


def _unknown(principal: str) -> NotFound:
    return NotFound(
        f'principal "{principal[:80]}" not found; make it with `cipo user create NAME --unit UNIT`',
        subject=Subject(kind="Principal", group="kernel.cipo", name=principal[:253]),
    )


def _invalid(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", causes=[Cause(field, message)])
