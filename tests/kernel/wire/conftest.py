"""The HTTP API over a real store and feed, driven in-process; the caller is chosen by the token's name."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from cipo.kernel.errors import Forbidden, Unauthorized
from cipo.kernel.principal import Caller, Principal
from cipo.kernel.serve import serve
from cipo.kernel.settings import Settings
from cipo.kernel.store.db import Database
from cipo.kernel.store.feed import Feed
from cipo.kernel.store.resources import Resources
from cipo.kernel.wire.routes import routes
from tests.kernel.toy import REGISTRY, Anything

PEOPLE = {
    "anna": Principal("anna", "user", frozenset({"1A/U-W2"})),
    "dora": Principal("dora", "user", frozenset({"1D/U-DP3"})),
    "cipo": Principal("cipo", "system", frozenset()),
}


async def authenticate(request):
    """As the kernel's own authenticator, without its tables."""
    name = request.headers.get("authorization", "").removeprefix("Bearer ")
    if name not in PEOPLE:
        raise Unauthorized("who are you")
    unit = request.headers.get("Cipo-Unit") or next(iter(PEOPLE[name].units), None)
    manager = request.query_params.get("fieldManager") or request.headers.get("user-agent", "").partition("/")[0] or "unknown"
    return Caller(PEOPLE[name], unit=unit, request_id=request.headers.get("x-request-id", ""), manager=manager)


def boundary(caller, verb, group, plural):
    """1B alone writes kernel releases, built or not."""
    if (group, plural) == ("cloud.cipo", "kernelreleases") and verb in ("create", "update", "patch", "delete", "act"):
        raise Forbidden("kernelreleases.cloud.cipo is forbidden: 1B alone writes it (1B governance boundary)")


class Client(httpx.AsyncClient):
    """An HTTP client that can also hold a watch open, which httpx's in-process transport cannot."""

    def __init__(self, app: Starlette) -> None:
        self.app = app
        super().__init__(
            transport=httpx.ASGITransport(app), base_url="http://cipo", headers={"Authorization": "Bearer anna", "User-Agent": "test/1"}
        )

    @contextlib.asynccontextmanager
    async def watching(self, path: str, *, accept: str = "application/json", token: str = "anna", **query: object) -> AsyncIterator[Watch]:
        """A watch: ``await watch.next()`` is its next event."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode({"watch": "true", **query}).encode(),
            "headers": [(b"authorization", f"Bearer {token}".encode()), (b"accept", accept.encode()), (b"host", b"cipo")],
            "client": ("127.0.0.1", 1),
            "server": ("cipo", 80),
        }
        watch = Watch()
        task = asyncio.create_task(self.app(scope, watch.receive, watch.send))
        try:
            yield watch
        finally:
            watch.closed.set()
            await asyncio.wait_for(task, 5)


class Watch:
    """The client's end of a stream."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.lines: asyncio.Queue[dict | None] = asyncio.Queue()
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.asked = False

    async def receive(self) -> dict:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict) -> None:
        if message["type"] == "http.response.start":
            self.status.set_result(message["status"])
            return
        await self.reading.wait()
        for line in message.get("body", b"").splitlines():
            self.lines.put_nowait(orjson.loads(line))
        if not message.get("more_body"):
            self.lines.put_nowait(None)

    async def next(self) -> dict | None:
        return await asyncio.wait_for(self.lines.get(), 10)


@pytest.fixture
async def served(pg_dsn):
    """The application, and what is behind it."""
    async with Database(pg_dsn) as db:
        feed = Feed(db)
        resources = Resources(db, REGISTRY, Anything(), key=b"k", wake=feed.wake)
        reader = asyncio.create_task(feed.run())
        yield Starlette(routes=routes(resources, REGISTRY, feed, authenticate, boundary=boundary)), resources, feed
        reader.cancel()
        done, _ = await asyncio.wait({reader}, timeout=5)
        assert done


@pytest.fixture
async def api(served):
    async with Client(served[0]) as client:
        yield client


class Served(Starlette):
    """A Starlette application as the server process wants it."""

    async def startup(self) -> None:
        """Nothing to open: the fixture did."""

    async def shutdown(self) -> None:
        """Nothing to close."""


@dataclass
class Answer:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@dataclass
class Kubectl:
    """The real kubectl, signed in as one of ``PEOPLE``."""

    home: Path
    server: str
    ca: Path

    async def __call__(self, *arguments: str, given: str = "", user: str = "anna") -> Answer:
        process = await self.start(*arguments, user=user)
        out, err = await asyncio.wait_for(process.communicate(given.encode()), 60)
        return Answer(process.returncode or 0, out.decode(), err.decode())

    async def start(self, *arguments: str, user: str = "anna") -> asyncio.subprocess.Process:
        config = self.home / f"{user}.yaml"
        config.write_text(
            f"apiVersion: v1\nkind: Config\ncurrent-context: c\n"
            f"clusters: [{{name: c, cluster: {{server: '{self.server}', certificate-authority: '{self.ca}'}}}}]\n"
            f"users: [{{name: u, user: {{token: {user}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        )
        return await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env={
                **os.environ,
                "HOME": str(self.home),
                "KUBECONFIG": str(config),
                "KUBECACHEDIR": str(self.home / "cache"),
                "NO_PROXY": "*",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@pytest.fixture
async def kubectl(served, tmp_path):
    """The application on its real server with TLS, and the real kubectl."""
    settings = Settings(home=tmp_path, port=0, tls_port=0).with_free_ports()
    stop = asyncio.Event()
    application = Served(routes=served[0].routes)
    server = asyncio.create_task(serve(settings, application, stop=stop))
    async with asyncio.timeout(20):
        while not await listening(settings.tls_port):
            assert not server.done(), server.exception()
    yield Kubectl(tmp_path, f"https://127.0.0.1:{settings.tls_port}", settings.tls_dir / "ca.pem")
    stop.set()
    await asyncio.wait_for(server, 10)


async def listening(port: int) -> bool:
    """Whether something answers on a port of this machine."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.02)
        return False
    writer.close()
    return True
