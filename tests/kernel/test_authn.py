"""Sign-in: what a token is worth, for how long, and what a browser must add."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from cipo.kernel import tokens
from cipo.kernel.authn import (
    Authenticator,
    FailureLimit,
    clear_session,
    create_login_link,
    csrf_token,
    issue_token,
    revoke,
    set_session,
)
from cipo.kernel.errors import BadRequest, Forbidden, Invalid, NotFound, Overloaded, TooManyRequests, Unauthorized
from cipo.kernel.store.db import Database

pytestmark = pytest.mark.anyio
CHART = ("1A/U-W1", "1A/U-W2", "1C/U-RE1", "1F/U-RE1")


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """The database, with its statements counted."""

    def __init__(self, db: Database) -> None:
        self.db, self.statements = db, 0

    async def fetch(self, sql: Any, params: Any = None) -> list[tuple[Any, ...]]:
        self.statements += 1
        return await self.db.fetch(sql, params)

    async def execute(self, sql: Any, params: Any = None) -> int:
        self.statements += 1
        return await self.db.execute(sql, params)


@pytest.fixture
async def db(pg_dsn: str) -> AsyncIterator[Database]:
    async with Database(pg_dsn) as database:
        yield database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authn(db: Database, clock: Clock) -> Authenticator:
    return Authenticator(db, CHART, clock=clock)


def request(
    token: str = "", *, cookie: str = "", method: str = "GET", query: str = "", address: str = "10.0.0.1", body: bytes = b"", **headers: Any
) -> Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["authorization"] = f"Bearer {token}"
    if cookie:
        sent["cookie"] = cookie
    if body:
        sent |= {"content-type": "application/x-www-form-urlencoded", "content-length": str(len(body))}
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": (address, 40000),
    }
    parts: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(parts)

    return Request(scope, receive)


async def anna(db: Database, *units: str, leads: tuple[str, ...] = ()) -> str:
    await tokens.ensure_principal(db, "anna", units=units or ("1A/U-W2",), leads=leads)
    return (await issue_token(db, "anna", "laptop")).token


async def session(db: Database, authn: Authenticator) -> str:
    link = await create_login_link(db, "http://localhost:8080/")
    return (await authn.sign_in(request(method="POST"), link.rpartition("/")[2])).token


async def test_a_token_names_its_principal_and_units(db: Database, authn: Authenticator) -> None:
    token = await anna(db, "1A/U-W2", leads=("1A/A-2",))
    caller = await authn.authenticate(request(token))
    assert (caller.principal.name, caller.principal.kind) == ("anna", "user")
    assert caller.principal.units == {"1A/U-W2"}
    assert caller.principal.leads == {"1A/A-2"}
    assert caller.unit is None


async def test_a_token_has_256_bits_and_is_stored_as_its_hash_only(db: Database) -> None:
    token = await anna(db)
    assert tokens.TOKEN.fullmatch(token)
    assert len({tokens.mint(tokens.PERSONAL) for _ in range(1000)}) == 1000
    (row,) = await db.fetch("select t::text, hash from cipo.token t")
    assert token not in row[0]
    assert token.removeprefix(tokens.PERSONAL) not in row[0]
    assert row[1] == tokens.digest(token)


async def test_no_token_a_dead_one_and_a_wrong_scheme_are_refused(db: Database, authn: Authenticator) -> None:
    token = await anna(db)
    await db.execute("update cipo.token set expires_at = now() - interval '1 second'")
    for bad in (request(), request(token), request(tokens.mint(tokens.PERSONAL)), request("x"), request(authorization="Basic YTpi")):
        with pytest.raises(Unauthorized):
            await authn.authenticate(bad)


async def test_a_login_token_and_a_session_are_no_api_tokens(db: Database, authn: Authenticator) -> None:
    link = await create_login_link(db, "http://localhost:8080")
    for token in (link.rpartition("/")[2], await session(db, authn)):
        with pytest.raises(Unauthorized):
            await authn.authenticate(request(token))
    with pytest.raises(Unauthorized):
        await authn.authenticate(request(cookie=f"cipo_session={await anna(db)}"))


async def test_the_link_signs_in_the_cipo_once_and_with_all_units_of_the_chart(db: Database, authn: Authenticator) -> None:
    link = await create_login_link(db, "http://localhost:8080")
    assert link.startswith("http://localhost:8080/sign-in/cipo_login_")
    token = link.rpartition("/")[2]
    issued = await authn.sign_in(request(method="POST"), token)
    caller = await authn.authenticate(request(cookie=f"cipo_session={issued.token}"))
    assert caller.principal.name == "cipo"
    assert caller.principal.leads == {"CIPO"}
    assert caller.principal.units == set(CHART)
    with pytest.raises(Unauthorized, match="was used already"):
        await authn.sign_in(request(method="POST"), token)


async def test_a_link_lives_thirty_minutes(db: Database, authn: Authenticator) -> None:
    token = (await create_login_link(db, "http://localhost")).rpartition("/")[2]
    (left,) = (await db.fetch("select extract(epoch from expires_at - now())::int from cipo.token"))[0]
    assert 1795 <= left <= 1800
    await db.execute("update cipo.token set expires_at = now()")
    with pytest.raises(Unauthorized, match="has expired"):
        await authn.sign_in(request(method="POST"), token)
    with pytest.raises(Unauthorized, match="not one of ours"):
        await authn.sign_in(request(method="POST"), tokens.mint(tokens.LOGIN))


async def test_a_cookie_writes_only_with_the_csrf_token(db: Database, authn: Authenticator) -> None:
    token = await session(db, authn)
    cookie = f"cipo_session={token}"
    right = csrf_token(token)
    assert right == authn.csrf(request(cookie=cookie))
    assert await authn.authenticate(request(cookie=cookie))
    assert await authn.authenticate(request(cookie=cookie, method="POST", x_csrf_token=right))
    form = request(cookie=cookie, method="POST", body=f"name=a&csrf={right}".encode())
    assert await authn.authenticate(form)
    assert (await form.form())["name"] == "a"
    wrongs: tuple[dict[str, Any], ...] = ({}, {"x_csrf_token": csrf_token("other")}, {"body": b"csrf=x"}, {"x_csrf_token": "é"})
    for wrong in wrongs:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            with pytest.raises(Forbidden, match="CSRF"):
                await authn.authenticate(request(cookie=cookie, method=method, **wrong))


async def test_a_form_of_another_site_is_refused(db: Database, authn: Authenticator) -> None:
    token = await session(db, authn)
    headers: Any = {"x_csrf_token": csrf_token(token), "host": "localhost:8080"}
    assert await authn.authenticate(request(cookie=f"cipo_session={token}", method="POST", origin="http://localhost:8080", **headers))
    for origin in ("http://evil.example", "null", "http://localhost:9090"):
        with pytest.raises(Forbidden, match="another site"):
            await authn.authenticate(request(cookie=f"cipo_session={token}", method="POST", origin=origin, **headers))


async def test_a_bearer_token_needs_no_csrf_token(db: Database, authn: Authenticator) -> None:
    assert await authn.authenticate(request(await anna(db), method="POST"))


async def test_signing_out_ends_the_session_at_once(db: Database, authn: Authenticator) -> None:
    token = await session(db, authn)
    cookie = f"cipo_session={token}"
    await authn.authenticate(request(cookie=cookie))
    with pytest.raises(Forbidden):
        await authn.sign_out(request(cookie=cookie, method="POST"))
    await authn.sign_out(request(cookie=cookie, method="POST", x_csrf_token=csrf_token(token)))
    with pytest.raises(Unauthorized, match="session has ended"):
        await authn.authenticate(request(cookie=cookie))


async def test_a_busy_client_costs_no_query_a_request_and_revocation_takes_at_most_five_seconds(db: Database, clock: Clock) -> None:
    token = await anna(db)
    counting = Counting(db)
    authn = Authenticator(counting, CHART, clock=clock)
    await authn.authenticate(request(token))
    spent = counting.statements
    for _ in range(100):
        await authn.authenticate(request(token))
    assert counting.statements == spent
    assert await revoke(db, tokens.token_id(token)) == 1
    clock.now += 5
    with pytest.raises(Unauthorized):
        await authn.authenticate(request(token))


async def test_a_token_that_ends_soon_is_not_remembered_longer(db: Database, authn: Authenticator, clock: Clock) -> None:
    token = await anna(db)
    await db.execute("update cipo.token set expires_at = now() + interval '2 seconds', used_at = now()")
    await authn.authenticate(request(token))
    await db.execute("update cipo.token set expires_at = now()")
    clock.now += 2
    with pytest.raises(Unauthorized):
        await authn.authenticate(request(token))


async def test_after_ten_failures_an_address_waits(authn: Authenticator, clock: Clock) -> None:
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await authn.authenticate(request(tokens.mint(tokens.PERSONAL)))
    with pytest.raises(TooManyRequests) as refused:
        await authn.authenticate(request(tokens.mint(tokens.PERSONAL)))
    assert refused.value.retry_after == 61
    with pytest.raises(TooManyRequests):
        await authn.sign_in(request(method="POST"), tokens.mint(tokens.LOGIN))
    with pytest.raises(Unauthorized):
        await authn.authenticate(request(tokens.mint(tokens.PERSONAL), address="10.0.0.2"))
    clock.now += 61
    with pytest.raises(Unauthorized):
        await authn.authenticate(request(tokens.mint(tokens.PERSONAL)))


async def test_guesses_at_one_token_from_many_addresses_are_counted_together(authn: Authenticator) -> None:
    stem = "cipo_pat_ABCDEFG"
    for n in range(10):
        with pytest.raises(Unauthorized):
            await authn.authenticate(request(stem + tokens.mint("")[:36], address=f"10.0.1.{n}"))
    with pytest.raises(TooManyRequests):
        await authn.authenticate(request(stem + tokens.mint("")[:36], address="10.0.2.1"))


async def test_an_ipv6_customer_is_one_address(authn: Authenticator) -> None:
    for n in range(10):
        with pytest.raises(Unauthorized):
            await authn.authenticate(request(tokens.mint(tokens.PERSONAL), address=f"2001:db8::{n}"))
    with pytest.raises(TooManyRequests):
        await authn.authenticate(request(tokens.mint(tokens.PERSONAL), address="2001:db8::ffff"))


async def test_guessing_does_not_lock_out_who_works_from_the_same_address(db: Database, authn: Authenticator, clock: Clock) -> None:
    token = await anna(db)
    await authn.authenticate(request(token))
    for _ in range(10):
        with pytest.raises(Unauthorized):
            await authn.authenticate(request(tokens.mint(tokens.PERSONAL)))
    clock.now += 10
    assert await authn.authenticate(request(token))


def test_the_limit_forgets_the_oldest_key_and_never_grows() -> None:
    limit = FailureLimit(failures=1, keys=3, clock=lambda: 0.0)
    for n in range(100):
        limit.count(str(n))
    assert [str(n) for n in range(100) if limit.wait_s(str(n))] == ["97", "98", "99"]


async def test_the_acting_unit_comes_from_header_impersonation_query_or_cookie(db: Database, authn: Authenticator) -> None:
    token = await anna(db, "1A/U-W1", "1A/U-W2")
    ways: tuple[dict[str, Any], ...] = ({"cipo_unit": "1A/U-W1"}, {"impersonate_user": "unit:1A/U-W1"}, {"query": "asUnit=1A/U-W1"})
    for named in ways:
        assert (await authn.authenticate(request(token, **named))).unit == "1A/U-W1"
    assert (await authn.authenticate(request(token, impersonate_user="anna"))).unit is None
    browser = await session(db, authn)
    assert (await authn.authenticate(request(cookie=f"cipo_session={browser}; cipo_unit=1A/U-W1"))).unit == "1A/U-W1"
    assert (await authn.authenticate(request(cookie=f"cipo_session={browser}; cipo_unit=1A/U-GONE"))).unit is None
    assert (await authn.authenticate(request(token, cookie="cipo_unit=1A/U-W1"))).unit is None


async def test_a_bare_unit_is_completed_or_refused_with_the_choices(db: Database, authn: Authenticator) -> None:
    token = await anna(db, "1A/U-W2", "1C/U-RE1", "1F/U-RE1")
    assert (await authn.authenticate(request(token, cipo_unit="U-W2"))).unit == "1A/U-W2"
    with pytest.raises(BadRequest, match="1C/U-RE1, 1F/U-RE1"):
        await authn.authenticate(request(token, cipo_unit="U-RE1"))
    with pytest.raises(BadRequest, match="several acting units"):
        await authn.authenticate(request(token, cipo_unit="1A/U-W2", query="asUnit=1C/U-RE1"))
    with pytest.raises(BadRequest, match="is not a unit"):
        await authn.authenticate(request(token, cipo_unit="1A/U-W2'; drop table"))


async def test_nobody_impersonates_a_person_or_a_group(db: Database, authn: Authenticator) -> None:
    token = await anna(db)
    foreign: tuple[dict[str, Any], ...] = ({"impersonate_user": "cipo"}, {"impersonate_group": "system:masters"})
    for headers in foreign:
        with pytest.raises(Forbidden):
            await authn.authenticate(request(token, **headers))


async def test_the_caller_carries_request_id_and_field_manager(db: Database, authn: Authenticator) -> None:
    token = await anna(db)
    caller = await authn.authenticate(request(token, x_request_id="r-1", user_agent="kubectl/v1.32.4 (linux/amd64)"))
    assert (caller.request_id, caller.manager) == ("r-1", "kubectl")
    assert (await authn.authenticate(request(token, query="fieldManager=ci"))).manager == "ci"
    made = (await authn.authenticate(request(token, x_request_id="a\x1bb"))).request_id
    assert made != "a\x1bb"
    assert len(made) == 32


async def test_a_disabled_principal_is_out(db: Database, authn: Authenticator, clock: Clock) -> None:
    token = await anna(db)
    await authn.authenticate(request(token))
    assert await tokens.disable_principal(db, "anna") == 1
    clock.now += 5
    with pytest.raises(Unauthorized):
        await authn.authenticate(request(token))
    with pytest.raises(NotFound):
        await issue_token(db, "anna")
    with pytest.raises(Invalid, match="cannot be disabled"):
        await tokens.disable_principal(db, "cipo")


async def test_a_session_in_use_lives_on_up_to_a_week(db: Database) -> None:
    await create_login_link(db, "http://x")
    link = await create_login_link(db, "http://x")
    issued = await tokens.spend_login(db, link.rpartition("/")[2])
    await db.execute("update cipo.token set expires_at = now() + interval '1 hour' where purpose = 'session'")
    await tokens.note_use(db, issued.token)
    left = "select extract(epoch from expires_at - now())::float8 / 3600 from cipo.token where purpose = 'session'"
    assert (await db.fetch(left))[0][0] == pytest.approx(12, abs=0.01)
    await db.execute("update cipo.token set created_at = now() - interval '6 days 23 hours', expires_at = now() + interval '5 minutes'")
    await tokens.note_use(db, issued.token)
    assert (await db.fetch(left))[0][0] == pytest.approx(1, abs=0.01)


async def test_token_times_and_names_are_bounded(db: Database) -> None:
    await anna(db)
    for ttl in (timedelta(seconds=1), timedelta(days=366)):
        with pytest.raises(Invalid, match="ttl"):
            await issue_token(db, "anna", ttl=ttl)
    for name in ("Anna", "", "a" * 64, "unit:1A/U-W2", "a b", "system:cipo"):
        with pytest.raises(Invalid, match="name"):
            await tokens.ensure_principal(db, name)
    with pytest.raises(Invalid, match="another kind"):
        await tokens.ensure_principal(db, "anna", kind="service")
    assert tokens.duration("30d") == timedelta(days=30)
    for bad in ("", "0d", "-1h", "1w", "9999999d", "1.5h"):
        with pytest.raises(Invalid, match="time span"):
            tokens.duration(bad)


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites() -> None:
    issued = tokens.Issued(tokens.mint(tokens.SESSION), "cipo", None)  # type: ignore[arg-type]
    response = Response()
    set_session(response, issued, secure=True)
    clear_session(response, secure=False)
    first, second = [SimpleCookie(value)["cipo_session"] for name, value in response.headers.items() if name == "set-cookie"]
    assert first.value == issued.token
    assert first["httponly"]
    assert first["secure"]
    assert first["samesite"].lower() == "strict"
    assert first["path"] == "/"
    assert second["max-age"] == "0"
    assert issued.token not in repr(issued)
    assert tokens.redact(f"got {issued.token}.") == "got cipo_session_…."


async def test_a_store_that_is_away_is_not_a_wrong_token(authn: Authenticator, db: Database) -> None:
    class Away:
        async def fetch(self, sql: Any, params: Any = None) -> list[tuple[Any, ...]]:
            raise Overloaded("the store is restarting")

        async def execute(self, sql: Any, params: Any = None) -> int:
            raise Overloaded("the store is restarting")

    away = Authenticator(Away())
    for _ in range(20):
        with pytest.raises(Overloaded):
            await away.authenticate(request(tokens.mint(tokens.PERSONAL)))


async def test_a_full_disk_does_not_lock_readers_out(db: Database, clock: Clock) -> None:
    token = await anna(db)

    class Full(Counting):
        async def execute(self, sql: Any, params: Any = None) -> int:
            raise Overloaded("full")

    assert await Authenticator(Full(db), clock=clock).authenticate(request(token))


async def test_the_tables_are_swept_of_tokens_long_dead(db: Database) -> None:
    await anna(db)
    await db.execute("update cipo.token set expires_at = now() - interval '8 days'")
    await anna(db)
    assert (await db.fetch("select count(*) from cipo.token"))[0][0] == 1
    (listed,) = await tokens.list_tokens(db, "anna")
    assert (listed.principal, listed.purpose, listed.label) == ("anna", "api", "laptop")
