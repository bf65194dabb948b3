"""The control plane put together: settings, chart, registry, store, feed and sign-in, as the API, the worker and the CLI use them."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cipo.departments import DEPARTMENTS
from cipo.kernel.accounts import ACCOUNTS
from cipo.kernel.authn import Authenticator
from cipo.kernel.engine import housekeeping, routine
from cipo.kernel.settings import Settings
from cipo.kernel.slo import hours
from cipo.kernel.store import embedded
from cipo.kernel.store.db import Database
from cipo.kernel.store.feed import Feed
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Registry
from cipo.org import chart as charts
from cipo.org import kinds
from cipo.org.authz import ChartAuthorizer

KERNEL_UNITS = (housekeeping.unit, ACCOUNTS, hours.unit, kinds.unit)


def registry() -> Registry:
    """Everything that is declared in this installation."""
    return Registry(DEPARTMENTS, KERNEL_UNITS)


@dataclass(slots=True)
class Plane:
    """One process's view of the control plane. ``start`` opens it, ``stop`` closes it."""

    settings: Settings
    chart: charts.Chart
    registry: Registry
    authorizer: ChartAuthorizer
    db: Database
    resources: Resources
    feed: Feed
    authn: Authenticator
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def build(cls, settings: Settings, *, role: str = "cipo_api", pool: int = 8) -> Plane:
        """Put the parts together; nothing is opened yet."""
        chart = charts.load(settings.chart)
        declared = registry()
        db = Database(embedded.dsn(settings.home, settings.database_url, role), max_size=pool, name=role)
        authorizer = ChartAuthorizer(chart)
        feed = Feed(db)
        resources = Resources(db, declared, authorizer, key=signing_key(settings.home), wake=feed.wake, lab=settings.lab)
        authn = Authenticator(db, [unit.id for unit in chart.units])
        return cls(settings, chart, declared, authorizer, db, resources, feed, authn)

    async def start(self, *, feed: bool = True) -> None:
        """Connect, make the chart's own resources true, and start the change feed."""
        await self.db.open()
        await kinds.sync(self.resources, self.chart)
        await routine.sync(self.resources)
        if feed:
            self._tasks.append(asyncio.create_task(self.feed.run(), name="feed"))
            await self.feed.ready()

    async def stop(self) -> None:
        """Close what ``start`` opened."""
        for task in self._tasks:
            while not task.done():  # a library may swallow one cancellation; it does not swallow all
                task.cancel()
                await asyncio.wait({task}, timeout=1)
        await self.db.close()


def signing_key(home: Path) -> bytes:
    """The key of ``continue`` tokens: one a home, readable by its owner only."""
    path = home / "run" / "token.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()
