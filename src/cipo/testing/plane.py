"""A control plane inside the test's own process: the real application and a real database, no socket between."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from cipo.app import App
from cipo.kernel import tokens
from cipo.kernel.engine.worker import Worker
from cipo.kernel.settings import Settings
from cipo.kernel.unit import KindInfo
from cipo.plane import Plane


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody signed in, with the API in hand."""

    http: httpx.AsyncClient
    plane: Plane
    headers: dict[str, str]

    def acting(self, unit: str) -> Person:
        """The same person as one of their units."""
        return replace(self, headers=self.headers | {"Cipo-Unit": unit})

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Any request of this person."""
        headers = self.headers | more.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **more)

    async def create(self, kind: KindInfo, name: str, spec: dict[str, Any], **query: str) -> httpx.Response:
        """POST an object."""
        return await self.call("POST", path(kind), params=query, json={"metadata": {"name": name}, "spec": spec})

    async def get(self, kind: KindInfo, name: str) -> dict[str, Any]:
        """The object, which must be there."""
        response = await self.call("GET", path(kind, name))
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body

    async def act(self, kind: KindInfo, name: str, action: str, given: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        """POST to an action."""
        return await self.call("POST", path(kind, name, action), json=given or {}, headers=headers)

    async def reconcile(self) -> int:
        """Do all work that is due; the number of reconciles."""
        worker, done = Worker(self.plane.resources), 0
        while count := await worker.once():
            done += count
        self.plane.resources.core.wake = self.plane.feed.wake
        return done


def path(kind: KindInfo, name: str = "", sub: str = "") -> str:
    """The URL path of a kind, an object, or its subresource."""
    return "/".join(part for part in (f"/apis/{kind.group}/{kind.version}/{kind.plural}", name, sub) if part)


@asynccontextmanager
async def running(dsn: str) -> AsyncIterator[Person]:
    """The CIPO, signed in to a fresh plane on an empty, migrated database."""
    with tempfile.TemporaryDirectory(prefix="cipo-plane-") as home:
        app = App(Settings(home=Path(home), database_url=dsn))
        await app.startup()
        try:
            await tokens.ensure_cipo(app.plane.db)
            token = (await tokens.issue_token(app.plane.db, tokens.CIPO, "test", timedelta(hours=1))).token
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                yield Person(http, app.plane, {"Authorization": f"Bearer {token}"})
        finally:
            await app.shutdown()
