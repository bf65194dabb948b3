"""Who asks: turns a request's token or session cookie into a ``Caller``. The wire and the console call it once a request.

Programs send ``Authorization: Bearer``; the console sends an opaque cookie, and with each write a CSRF token derived from it. Answers
are kept for at most five seconds, so a busy client costs no query a request and a revoked token dies within that time. Failures are
counted per address and per token prefix; a token that worked lately is never held up by somebody else's guessing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from cipo.kernel import tokens
from cipo.kernel.errors import ApiError, BadRequest, Forbidden, TooManyRequests, Unauthorized
from cipo.kernel.principal import Caller, Principal
from cipo.kernel.tokens import Issued, Store, create_login_link, issue_token, revoke

__all__ = [
    "CSRF_FIELD",
    "CSRF_HEADER",
    "SESSION_COOKIE",
    "UNIT_COOKIE",
    "Authenticator",
    "FailureLimit",
    "Issued",
    "clear_session",
    "create_login_link",
    "csrf_token",
    "issue_token",
    "revoke",
    "set_session",
]

SESSION_COOKIE = "cipo_session"
UNIT_COOKIE = "cipo_unit"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

CACHE_S = 5.0
CACHE_ENTRIES = 10_000
TRUSTED_S = 3600.0
FAILURES = 10
FAILURE_WINDOW_S = 60.0
PREFIX_LENGTH = 16  # what two tokens must share to be counted as guesses at one
FORM_MAX_BYTES = 64 * 1024

UNIT = re.compile(r"[A-Za-z0-9-]{1,16}(/[A-Za-z0-9-]{1,16})?")
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
MANAGER_MAX = 128
V = TypeVar("V")


class FailureLimit:
    """Counts failures a key in a sliding window and says when a key has had enough. Bounded: the least recent key is forgotten."""

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        window_s: float = FAILURE_WINDOW_S,
        keys: int = CACHE_ENTRIES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._failures, self._window_s, self._keys, self._clock = failures, window_s, keys, clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, key: str) -> None:
        """Note one failure."""
        times = self._seen.setdefault(key, deque(maxlen=self._failures))
        times.append(self._clock())
        self._seen.move_to_end(key)
        while len(self._seen) > self._keys:
            self._seen.popitem(last=False)

    def wait_s(self, key: str) -> float:
        """How long the key must wait before its next try; 0 when it may go on."""
        times = self._seen.get(key)
        if times is None or len(times) < self._failures:
            return 0.0
        return max(0.0, times[0] + self._window_s - self._clock())


@dataclass(frozen=True, slots=True)
class _Entry:
    principal: Principal
    until: float


class Authenticator:
    """One a process. ``units`` are the chart's: whoever leads CIPO may act as any of them."""

    def __init__(self, store: Store, units: Iterable[str] = (), *, clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._units = frozenset(units)
        self._clock = clock
        self._limit = FailureLimit(clock=clock)
        self._cache: OrderedDict[bytes, _Entry] = OrderedDict()
        self._trusted: OrderedDict[bytes, float] = OrderedDict()

    async def authenticate(self, request: Request) -> Caller:
        """The caller of a request. Give it the handler's own ``Request``: a form's CSRF field is read through it.

        Raises Unauthorized (no or dead token), Forbidden (CSRF, impersonation), TooManyRequests, BadRequest (acting unit).
        """
        token, by_cookie = _presented(request)
        principal = await self._principal(token, "session" if by_cookie else "api", _address(request))
        if by_cookie and request.method not in SAFE_METHODS:
            await _check_csrf(request, token)
        return Caller(
            principal=principal,
            unit=acting_unit(request, principal, by_cookie=by_cookie),
            request_id=_request_id(request),
            manager=_manager(request, by_cookie=by_cookie),
        )

    async def sign_in(self, request: Request, login_token: str) -> Issued:
        """Spend a login link. The answer's token goes into the cookie by ``set_session``."""
        _check_origin(request)
        address = _address(request)
        self._hold(address, login_token)
        if tokens.TOKEN.fullmatch(login_token) is None or not login_token.startswith(tokens.LOGIN):
            self._failed(address, login_token)
            raise Unauthorized("this is not a sign-in link's token; print a link with `cipo login-link`")
        try:
            return await tokens.spend_login(self._store, login_token, label=request.headers.get("user-agent", ""))
        except Unauthorized:
            self._failed(address, login_token)
            raise

    async def sign_out(self, request: Request) -> None:
        """End the session of this request's cookie. Needs the CSRF token like any other write."""
        token = request.cookies.get(SESSION_COOKIE, "")
        if tokens.TOKEN.fullmatch(token):
            await _check_csrf(request, token)
            self.forget(token)
            await tokens.revoke(self._store, token)

    def csrf(self, request: Request) -> str:
        """The CSRF token for this request's pages; empty without a session."""
        token = request.cookies.get(SESSION_COOKIE, "")
        return csrf_token(token) if token else ""

    def forget(self, token: str | None = None) -> None:
        """Drop what is remembered of a token, or of all: the next request asks the database."""
        if token is None:
            self._cache.clear()
            self._trusted.clear()
        else:
            for purpose in ("api", "session"):
                self._cache.pop(_key(purpose, token), None)
                self._trusted.pop(_key(purpose, token), None)

    async def _principal(self, token: str, purpose: str, address: str) -> Principal:
        key = _key(purpose, token)
        now = self._clock()
        entry = self._cache.get(key)
        if entry and entry.until > now:
            return entry.principal
        if self._trusted.get(key, 0.0) <= now:
            self._hold(address, token)
        known = await tokens.look_up(self._store, token, purpose) if tokens.TOKEN.fullmatch(token) else None
        if known is None:
            self._cache.pop(key, None)
            self._trusted.pop(key, None)
            self._failed(address, token)
            raise Unauthorized(_dead(purpose))
        if known.idle:
            # The note is not worth refusing a request: on a full disk reads go on.
            with suppress(ApiError):
                await tokens.note_use(self._store, token)
        principal = known.principal
        if "CIPO" in principal.leads:
            principal = replace(principal, units=principal.units | self._units)
        _remember(self._cache, key, _Entry(principal, now + min(CACHE_S, known.seconds_left)))
        _remember(self._trusted, key, now + TRUSTED_S)
        return principal

    def _hold(self, address: str, token: str) -> None:
        wait_s = max(self._limit.wait_s(f"address {address}"), self._limit.wait_s(f"token {token[:PREFIX_LENGTH]}"))
        if wait_s > 0:
            error = TooManyRequests(f"more than {FAILURES} failed sign-ins in a minute; try again in {int(wait_s) + 1} s")
            error.retry_after = int(wait_s) + 1
            raise error

    def _failed(self, address: str, token: str) -> None:
        self._limit.count(f"address {address}")
        self._limit.count(f"token {token[:PREFIX_LENGTH]}")


def csrf_token(session_token: str) -> str:
    """Derived from the session, so nothing is stored and nobody without the cookie can make one."""
    mac = hmac.digest(session_token.encode(), b"cipo csrf", "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def set_session(response: Response, issued: Issued, *, secure: bool) -> None:
    """Put a session into the cookie. ``secure`` on TLS; on loopback plain HTTP the browser would drop it."""
    response.set_cookie(
        SESSION_COOKIE,
        issued.token,
        max_age=int(tokens.SESSION_MAX.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def clear_session(response: Response, *, secure: bool) -> None:
    """Take the cookie back."""
    response.delete_cookie(SESSION_COOKIE, path="/", secure=secure, httponly=True, samesite="strict")


def acting_unit(request: Request, principal: Principal, *, by_cookie: bool = False) -> str | None:
    """The unit a request names: header ``Cipo-Unit``, ``Impersonate-User: unit:…`` (``kubectl --as``), ``?asUnit=``, else the cookie's.

    Whether the caller holds it is the chart's business (``Authorizer``).
    """
    named = [request.headers.get("Cipo-Unit"), _impersonated(request, principal), request.query_params.get("asUnit")]
    wished = {word.strip() for word in named if word and word.strip()}
    if len(wished) > 1:
        raise BadRequest(f"the request names several acting units ({', '.join(sorted(wished))}); name one")
    if wished:
        return _qualified(wished.pop(), principal)
    chosen = request.cookies.get(UNIT_COOKIE, "").strip('"') if by_cookie else ""
    # A cookie that outlived the right to its unit must not lock its owner out.
    return chosen if chosen in principal.units else None


def _impersonated(request: Request, principal: Principal) -> str | None:
    who = request.headers.get("Impersonate-User")
    if any(name.startswith("impersonate-") and name != "impersonate-user" for name in request.headers):
        raise Forbidden("only Impersonate-User is taken, with a unit you hold: --as unit:1A/U-W2")
    if who is None or who == principal.name:
        return None
    if not who.startswith("unit:"):
        raise Forbidden(f"nobody may act as {who[:80]!r}; act as a unit you hold: --as unit:1A/U-W2")
    return who.removeprefix("unit:")


def _qualified(unit: str, principal: Principal) -> str:
    if UNIT.fullmatch(unit) is None:
        raise BadRequest(f"{unit[:40]!r} is not a unit; write department and unit, such as 1A/U-W2")
    if "/" in unit:
        return unit
    held = sorted(name for name in principal.units if name.endswith(f"/{unit}"))
    if len(held) > 1:
        raise BadRequest(f"{unit} is the name of several units ({', '.join(held)}); write one of these")
    return held[0] if held else unit


def _presented(request: Request) -> tuple[str, bool]:
    """The token a request carries, and whether it came by cookie (then the browser sent it by itself)."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized("the Authorization header is not 'Bearer <token>'; make a token with `cipo token create`")
        return token.strip(), False
    token = request.cookies.get(SESSION_COOKIE, "")
    if token:
        return token, True
    raise Unauthorized("sign in first: open the link of `cipo login-link`, or send 'Authorization: Bearer <token>'")


def _dead(purpose: str) -> str:
    if purpose == "session":
        return "the session has ended; sign in again with the link of `cipo login-link`"
    return "the token is unknown, expired or revoked; make one with `cipo token create` or `cipo kubeconfig`"


async def _check_csrf(request: Request, session_token: str) -> None:
    _check_origin(request)
    sent = request.headers.get(CSRF_HEADER) or await _form_field(request)
    if not hmac.compare_digest(sent.encode(), csrf_token(session_token).encode()):
        raise Forbidden(
            f"the request lacks the page's CSRF token (header {CSRF_HEADER} or field {CSRF_FIELD}); reload the page and try again"
        )


async def _form_field(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    if kind != "application/x-www-form-urlencoded" or not length.isdigit() or int(length[:12]) > FORM_MAX_BYTES:
        return ""
    body = await request.body()  # kept by the request, so the handler can still read the form
    values = parse_qs(body.decode("utf-8", "replace"), max_num_fields=1000).get(CSRF_FIELD, [""])
    return values[0]


def _check_origin(request: Request) -> None:
    """A browser says where a form came from; a foreign page may not post here even if it knew a token."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host", ""):
        raise Forbidden(f"the form was sent from {origin[:200]!r}, another site; open the console itself and try again")


def _address(request: Request) -> str:
    """The peer, an IPv6 one by its /64: that is what one customer gets."""
    host = request.client.host if request.client else "unknown"
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> 64 << 64)) + "/64"
    return host


def _request_id(request: Request) -> str:
    sent = request.headers.get("X-Request-Id", "")
    return sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


def _manager(request: Request, *, by_cookie: bool) -> str:
    """The field manager: as said, else the console, else the program's name as Kubernetes takes it."""
    said = request.query_params.get("fieldManager", "").strip()
    program = "console" if by_cookie else request.headers.get("user-agent", "").partition("/")[0].strip()
    word = "".join(c for c in said or program if c.isprintable())[:MANAGER_MAX]
    return word or "unknown"


def _key(purpose: str, token: str) -> bytes:
    """What is kept in memory of a token: a hash, so that a core dump signs nobody in."""
    return hashlib.sha256(f"{purpose}:{token}".encode()).digest()


def _remember(memory: OrderedDict[bytes, V], key: bytes, value: V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > CACHE_ENTRIES:
        memory.popitem(last=False)
