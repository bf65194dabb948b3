"""Where the API is and how the CLI signs in there. Every command that talks to a server gets its ``Api`` from ``connect``.

Two ways: ``CIPO_SERVER`` and ``CIPO_TOKEN`` name a server anywhere; without them the CLI serves whoever can read ``$CIPO_HOME``, finds
the plane that runs there, and issues itself a token of one hour through the database, kept in the home beside the password it came from.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cipo.cli.errors import Failed, Refused, Unreachable, Usage

if TYPE_CHECKING:
    import ssl

    import httpx

    from cipo.kernel.settings import Settings
    from cipo.kernel.tokens import Store

R = TypeVar("R")

MANAGER = "cipo-cli"
LOCAL_TTL = timedelta(hours=1)
RENEW_S = 300
TIMEOUT_S, CONNECT_S = 60.0, 5.0
TOO_MANY, BUSY = 429, 503
PATIENCE_S = 10.0

acting_as: ContextVar[str | None] = ContextVar("acting_as", default=None)


@dataclass(frozen=True, slots=True)
class Target:
    """An API: its address, the token to show, the certificate authority behind its TLS, and the home it runs from if it is ours."""

    url: str
    token: str
    ca: Path | None = None
    home: Path | None = None


def settings() -> Settings:
    """The settings of this environment; a bad variable is a usage error."""
    from cipo.kernel.settings import Settings, SettingsError  # noqa: PLC0415

    try:
        return Settings.from_env()
    except SettingsError as error:
        raise Usage(str(error)) from error


def target() -> Target:
    """The API that this environment means, signed in."""
    server, token = os.environ.get("CIPO_SERVER", "").rstrip("/"), os.environ.get("CIPO_TOKEN", "")
    if server:
        if not server.startswith(("http://", "https://")):
            raise Usage(f"CIPO_SERVER={server!r} is not an address; set one such as https://cipo.example:8443")
        if not token:
            raise Usage("CIPO_SERVER is set but CIPO_TOKEN is not; set it to a token made with `cipo token create` on the server")
        return Target(server, token, _ca(os.environ.get("CIPO_CA", "")))
    here = settings_of_plane()
    ca = None if here.loopback else here.tls_dir / "ca.pem"
    return Target(here.url, token or local_token(here), ca, here.home)


def settings_of_plane() -> Settings:
    """The same, with the ports on which this home's plane really listens."""
    from cipo.record import as_running  # noqa: PLC0415

    return as_running(settings())


def _ca(path: str) -> Path | None:
    if path and not Path(path).is_file():
        raise Usage(f"CIPO_CA={path!r}: no such file; set the PEM file of the server's certificate authority")
    return Path(path) if path else None


def local_token(here: Settings) -> str:
    """A token of one hour as the organisation's CIPO, for whoever can read this home; kept until shortly before its end."""
    file = here.run_dir / "cli-token"
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_text())
        if float(kept["until"]) > time.time() + RENEW_S and kept["database"] == (here.database_url or ""):
            return str(kept["token"])

    async def issue(store: Store) -> str:
        from cipo.kernel import tokens  # noqa: PLC0415

        await tokens.ensure_cipo(store)
        return (await tokens.issue_token(store, tokens.CIPO, "the command line on this machine", LOCAL_TTL)).token

    token = in_database(here, issue)
    kept = {"token": token, "until": time.time() + LOCAL_TTL.total_seconds(), "database": here.database_url or ""}
    with suppress(OSError):  # a home that can only be read costs a token a command
        _keep(file, json.dumps(kept))
    return token


def forget_local_token(home: Path) -> None:
    """Drop the kept token, for instance because the database behind it is another one now."""
    with suppress(OSError):
        (home / "run" / "cli-token").unlink()


def _keep(file: Path, text: str) -> None:
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
        fresh.replace(file)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def in_database(here: Settings, work: Callable[[Store], Awaitable[R]]) -> R:
    """Run ``work`` on this home's database, in one transaction. For what must work before anybody can sign in."""
    import asyncio  # noqa: PLC0415

    import psycopg  # noqa: PLC0415

    from cipo.kernel.errors import ApiError  # noqa: PLC0415
    from cipo.kernel.store import embedded  # noqa: PLC0415
    from cipo.kernel.tokens import OnConnection  # noqa: PLC0415

    async def run() -> R:
        dsn = embedded.dsn(here.home, here.database_url)
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=5, application_name="cipo-cli") as conn:
            return await work(OnConnection(conn))

    where = "the database of CIPO_DATABASE_URL" if here.database_url else f"the database of {here.home}"
    start = "Start it with `cipo up`, or set CIPO_SERVER and CIPO_TOKEN to use a cipo elsewhere."
    try:
        return asyncio.run(run())
    except ApiError as error:
        raise Refused(error.status()) from error
    except PermissionError as error:
        raise Failed(f"{error.filename} may not be read by this user", todo="Run as the user who started cipo.") from error
    except embedded.StoreError as error:
        raise Unreachable(str(error)) from error
    except psycopg.errors.UndefinedTable as error:
        raise Unreachable(f"{where} holds no cipo yet", todo=start) from error
    except psycopg.OperationalError as error:
        raise Unreachable(f"{where} does not answer: {_first_line(error)}", todo=start) from error


class Api:
    """The HTTP API with this caller's token. Made by ``connect``."""

    def __init__(self, http: httpx.Client, where: Target) -> None:
        self._http = http
        self._where = where

    def get(self, path: str, **how: Any) -> dict[str, Any]:
        """The JSON object at a path."""
        return self.json("GET", path, **how)

    def json(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        """Send a request; the JSON object of its answer."""
        answer = self.send(method, path, **how)
        try:
            body = answer.json()
        except ValueError as error:
            raise Unreachable(f"{self._where.url}{path} answered with something that is not JSON; is that cipo?") from error
        if not isinstance(body, dict):
            raise Unreachable(f"{self._where.url}{path} answered with something that is not an object; is that cipo?")
        return body

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Send a request; a busy server is asked again for ten seconds, a kept token that died is replaced once."""
        deadline, renewed = time.monotonic() + PATIENCE_S, False
        harmless = _repeatable(method, how.get("headers") or {})
        while True:
            answer = self._once(method, path, **how)
            if answer.is_success:
                return answer
            if answer.status_code == 401 and self._where.home and not renewed and "CIPO_TOKEN" not in os.environ:
                forget_local_token(self._where.home)
                self._http.headers["Authorization"] = f"Bearer {local_token(settings())}"
                renewed = True
                continue
            pause = _retry_after(answer)
            if (answer.status_code == TOO_MANY or (answer.status_code == BUSY and harmless)) and time.monotonic() + pause < deadline:
                time.sleep(pause)
                continue
            raise _refused(answer, self._where.url)

    @contextmanager
    def lines(self, path: str, **how: Any) -> Iterator[Iterator[str]]:
        """The lines of a stream, for as long as the server sends them; a cut stream just ends."""
        import httpx  # noqa: PLC0415

        try:
            with self._http.stream("GET", path, timeout=httpx.Timeout(CONNECT_S, read=None), **how) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refused(answer, self._where.url)
                yield _until_cut(answer)
        except httpx.TransportError as error:
            raise self._away(error) from error

    def _once(self, method: str, path: str, **how: Any) -> httpx.Response:
        import httpx  # noqa: PLC0415

        try:
            return self._http.request(method, path, **how)
        except httpx.TransportError as error:
            raise self._away(error) from error
        except httpx.InvalidURL as error:
            raise Usage(f"{self._where.url}{path} is not an address: {error}") from error

    def _away(self, error: Exception) -> Unreachable:
        todo = "Start it with `cipo up`." if self._where.home else "Check CIPO_SERVER, and CIPO_CA for its certificate."
        return Unreachable(f"cipo at {self._where.url} does not answer: {_first_line(error)}", todo=todo)


@contextmanager
def connect() -> Iterator[Api]:
    """The API that this environment means, signed in, acting as the unit of ``--as-unit``."""
    import httpx  # noqa: PLC0415

    from cipo import __version__  # noqa: PLC0415

    where, unit = target(), acting_as.get()
    headers = {"Authorization": f"Bearer {where.token}", "User-Agent": f"{MANAGER}/{__version__}", "Accept": "application/json"}
    if unit:
        headers["Cipo-Unit"] = unit
    with httpx.Client(
        base_url=where.url,
        headers=headers,
        timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
        verify=_trust(where),
        trust_env=where.home is None,  # a proxy has no business between this machine and itself
    ) as http:
        yield Api(http, where)


def _trust(where: Target) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415

    if where.url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; loading certificates would cost 20 ms
    try:
        return ssl.create_default_context(cafile=where.ca)
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"{where.ca} cannot be used as a certificate authority: {_first_line(error)}") from error


def _until_cut(answer: httpx.Response) -> Iterator[str]:
    import httpx  # noqa: PLC0415

    with suppress(httpx.RemoteProtocolError, httpx.ReadError):
        for line in answer.iter_lines():
            if line:
                yield line


def _refused(answer: httpx.Response, url: str) -> Refused:
    try:
        status = answer.json()
    except ValueError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        message = f"{url} answered {answer.status_code} {answer.reason_phrase}"
        status = {"kind": "Status", "reason": answer.reason_phrase.replace(" ", "") or "Unknown", "message": message}
    return Refused({"code": answer.status_code} | status)


def _repeatable(method: str, headers: Mapping[str, str]) -> bool:
    """Whether sending a request twice has the effect of once; a 503 may hide a write that was done."""
    return method == "GET" or "Idempotency-Key" in headers or headers.get("Content-Type", "").startswith("application/apply-patch")


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("Retry-After", "1")
    return float(text) if text.isdigit() else 1.0


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def query(**named: Any) -> Mapping[str, str]:
    """Query parameters without the absent ones."""
    return {name: str(value) for name, value in named.items() if value not in (None, "", False)}
