"""A small organisation for the console's tests: the real store, chart, authorizer and 1A's kinds, and facts of the last months (``facts``).

``python -m tests.web.stage`` serves it on a free port for looking at pages; the tests mount the same application.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from starlette.applications import Starlette

from cipo import plane
from cipo.kernel import tokens
from cipo.kernel.authn import Authenticator
from cipo.kernel.principal import SYSTEM, Caller, Principal
from cipo.kernel.store import embedded, migrate
from cipo.kernel.store.db import Database
from cipo.kernel.store.feed import Feed
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Registry
from cipo.org import kinds as org_kinds
from cipo.org.authz import ChartAuthorizer
from cipo.org.chart import Chart, load
from cipo.org.measured import Kpis
from cipo.web import routes
from tests.web import facts

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
DAYS = 70


@dataclass(slots=True)
class Stage:
    """What a test holds."""

    app: Starlette
    resources: Resources
    registry: Registry
    chart: Chart
    feed: Feed
    db: Database
    kpis: Kpis
    now: datetime

    async def session(self, name: str = "cipo", *, units: tuple[str, ...] = (), leads: tuple[str, ...] = ()) -> str:
        """A session cookie's value for a person."""
        if name == "cipo":
            await tokens.ensure_cipo(self.db)
        else:
            await tokens.ensure_principal(self.db, name, units=units, leads=leads)
        link = await tokens.create_login_link(self.db, "http://x", name)
        return (await tokens.spend_login(self.db, re.split("[/=]", link)[-1])).token

    def caller(self, name: str = "cipo", unit: str | None = None) -> Caller:
        """The CIPO, as the API would see it."""
        return Caller(Principal(name, "user", frozenset(u.id for u in self.chart.units), frozenset({"CIPO"})), unit, manager="console")


@asynccontextmanager
async def stage(api_dsn: str) -> AsyncIterator[Stage]:
    """A seeded organisation on a migrated, empty database."""
    chart = facts.thinned(load())
    registry = plane.registry()
    db = Database(api_dsn, name="stage")
    await db.open()
    feed = Feed(db)
    resources = Resources(db, registry, ChartAuthorizer(chart), key=b"k" * 32, wake=feed.wake, lab=True)
    reading = asyncio.create_task(feed.run())
    await feed.ready()
    await org_kinds.sync(resources, chart)
    await seed(resources, registry)
    authn = Authenticator(db, (unit.id for unit in chart.units))
    now = datetime.now(UTC)
    await facts.fill(db, chart, now, DAYS)
    await facts.measure(resources, chart, remember=92)
    await facts.late(db, chart, now)
    await facts.measure(resources, chart)
    kpis = Kpis(resources)
    app = Starlette(routes=routes(resources, registry, chart, kpis, feed, authn, None))
    try:
        yield Stage(app, resources, registry, chart, feed, db, kpis, now)
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await db.close()


async def seed(resources: Resources, registry: Registry) -> None:
    """One site, racks, a warehouse, and forty assets in all sorts of phases."""

    def make(plural: str, name: str, spec: dict[str, Any], labels: dict[str, str] | None = None) -> Any:
        obj = {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}
        return resources.create(SYSTEM, registry.by_plural["facilities.cipo", plural], obj)

    await make(
        "sites",
        "fra1",
        {"code": "FRA1", "title": "Frankfurt 1", "country": "DE", "timeZone": "Europe/Berlin", "rooms": [{"name": "Hall 2"}]},
    )
    await make("sites", "ams1", {"code": "AMS1", "title": HOSTILE, "country": "NL"})
    await make("warehouses", "fra1-wh", {"site": "fra1", "title": "Frankfurt store"})
    for code in ("A-01", "A-02", "B-01"):
        await make("bins", f"fra1.{code.lower()}", {"warehouse": "fra1-wh", "code": code})
    await make(
        "racks",
        "fra1-r12",
        {
            "site": "fra1",
            "room": "Hall 2",
            "row": "B",
            "position": "12",
            "feeds": [{"name": "A", "volts": 230, "amps": 32}, {"name": "B", "volts": 230, "amps": 32}],
        },
    )
    await make(
        "assetmodels",
        "dell-poweredge-r650",
        {
            "manufacturer": "Dell",
            "model": "PowerEdge R650",
            "assetClass": "server",
            "formFactor": {"uHeight": 1, "weightKg": 21.2},
            "power": {"maxW": 1400},
        },
    )
    await make(
        "assetmodels",
        "arista-7050sx3",
        {"manufacturer": "Arista", "model": "7050SX3-48YC8", "assetClass": "switch", "formFactor": {"uHeight": 1}},
    )
    asset = registry.by_plural["facilities.cipo", "assets"]
    for n in range(1, 41):
        model, maker = ("arista-7050sx3", "Arista") if n % 9 == 0 else ("dell-poweredge-r650", "Dell")
        await make(
            "assets",
            f"cipo-{n:06}",
            {"model": model, "manufacturer": maker, "serial": f"7XK{n:04}", "tag": f"CIPO-{n:06}"},
            {"lot": f"L{n % 3}"},
        )
        place: dict[str, Any] = {"lifecycle": "InStock", "location": {"bin": "fra1.a-01"}}
        if n % 4 == 0:
            place = {
                "lifecycle": "Installed",
                "location": {"rackPosition": {"rack": "fra1-r12", "unit": n, "face": "front", "height": 1, "fullDepth": True}},
            }
        elif n % 7 == 0:
            place = {"lifecycle": "Received"}
        elif n % 11 == 0:
            place = {"lifecycle": "Faulty", "location": {"bin": "fra1.b-01"}}
        await resources.patch(SYSTEM, asset, f"cipo-{n:06}", {"status": place}, "merge", subresource="status")


def _serve() -> None:
    import granian  # noqa: PLC0415
    from granian.constants import Interfaces  # noqa: PLC0415

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    granian.Granian(
        "tests.web.stage:serving", factory=True, address="127.0.0.1", port=port, interface=Interfaces.ASGI, workers_kill_timeout=2
    ).serve()


def serving() -> Any:
    """The application factory of the dev server: embedded PostgreSQL in a scratch home, made fresh at each start."""
    import psycopg  # noqa: PLC0415

    home = Path(os.environ.get("CIPO_STAGE_HOME") or Path(tempfile.gettempdir()) / "cipo-stage")
    home.mkdir(exist_ok=True)
    home.chmod(0o711)
    url = os.environ.get("CIPO_STAGE_URL", "")
    if not url:
        dsn = embedded.start(home, conf={"fsync": "off"})
        with psycopg.connect(dsn.admin, autocommit=True) as connection:
            connection.execute("drop database if exists stage with (force)")
            connection.execute("create database stage")
        url = urlunsplit(urlsplit(dsn.admin)._replace(path="/stage"))
        migrate.migrate(url)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with stage(url) as made:
            app.router.routes.extend(made.app.router.routes)
            (home / "session").write_text(await made.session())
            (home / "bob").write_text(await made.session("bob", units=("1F/U-OB1",)))
            yield

    return Starlette(lifespan=lifespan)


if __name__ == "__main__":
    _serve()
