"""A warehouse to work in: the real application on a database of the test's own, with a site, racks, bins, models and two units' people."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from cipo.facilities.kinds import Asset, AssetModel, Bin, Rack, Shipment, Site, StockCount, Warehouse
from cipo.testing import Person, running

GTIN = "06141411234524"
_serials = itertools.count(1)
_houses = itertools.count()


@dataclass
class House:
    """The CIPO, the dock (U-W1), the asset manager (U-W2), and what stands there."""

    cipo: Person
    dock: Person
    cmdb: Person

    async def made(self, kind: Any, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        response = await self.cipo.create(kind.info, name, spec)
        assert response.status_code == 201, response.text
        body: dict[str, Any] = response.json()
        return body

    async def shipment(self, name: str, *lines: dict[str, Any], arrived: bool = True, **spec: Any) -> None:
        await self.made(Shipment, name, {"warehouse": "wh", "packages": [{"lines": list(lines)}], **spec})
        if arrived:
            assert (await self.dock.act(Shipment.info, name, "arrive", {"dock": "wh.dock"})).status_code in (200, 201)

    async def scan(self, shipment: str, payload: str, *, scan_uuid: str = "", **given: Any) -> dict[str, Any]:
        """The verdict."""
        response = await self.dock.act(
            Shipment.info, shipment, "scan", {"payload": payload, "uuid": scan_uuid or str(uuid.uuid4()), **given}
        )
        assert response.status_code in (200, 201), response.text
        return output(response)

    async def server(self, *, in_bin: str = "wh.a-01", model: str = "r650") -> str:
        """An asset in stock, received by scan as any other."""
        number = next(_serials)
        name = f"ship-{number}"
        await self.shipment(name, {"line": 1, "model": model, "quantity": 1})
        verdict = await self.scan(name, f"XKV{number:06d}")
        assert verdict["accepted"], verdict
        await self.do(Asset, verdict["asset"], "putaway", bin=in_bin)
        return str(verdict["asset"])

    async def do(self, kind: Any, name: str, action: str, /, **given: Any) -> dict[str, Any]:
        """An action of the asset manager that must work."""
        response = await self.cmdb.act(kind.info, name, action, given)
        assert response.status_code in (200, 201), response.text
        return output(response)

    async def refused(self, kind: Any, name: str, action: str, /, **given: Any) -> dict[str, Any]:
        """An action of the asset manager that must not work: the Status."""
        response = await self.cmdb.act(kind.info, name, action, given)
        assert response.status_code >= 400, response.text
        body: dict[str, Any] = response.json()
        return body

    async def asset(self, name: str) -> dict[str, Any]:
        return await self.cipo.get(Asset.info, name)

    async def facts(self, name: str) -> list[tuple[Any, ...]]:
        """(value, object, attrs) of all facts of a name, in order."""
        return await self.cipo.plane.db.fetch(
            "select value, object, attrs from cipo.fact where name = %s order by seq, ts, object", (name,)
        )

    async def count(self, name: str, place: str, payload: str, **given: Any) -> dict[str, Any]:
        return await self.do(
            StockCount, name, "count", place=place, payload=payload, uuid=given.pop("scan_uuid", str(uuid.uuid4())), **given
        )

    async def counting(self, name: str, scope: dict[str, Any], **spec: Any) -> None:
        """A count that has begun."""
        await self.made(StockCount, name, {"scope": scope, **spec})
        await self.do(StockCount, name, "start")

    async def status(self, kind: Any, name: str) -> dict[str, Any]:
        body: dict[str, Any] = (await self.cipo.get(kind.info, name))["status"]
        return body


def output(response: Any) -> dict[str, Any]:
    """What an action answered beside the object."""
    body: dict[str, Any] = response.json()
    found = body.get("output", body)
    return found if isinstance(found, dict) else {}


async def furnish(house: House) -> None:
    """A site, a warehouse with bins, a rack, four models."""
    await house.made(Site, "fra1", {"code": "FRA1", "rooms": [{"name": "Hall 1"}]})
    await house.made(Warehouse, "wh", {"site": "fra1", "hold": [{"serial": "ST0LEN1", "reason": "stolen in Lyon"}]})
    for code, kind in (("DOCK", "dock"), ("A-01", "shelf"), ("A-02", "shelf"), ("B-01", "shelf")):
        await house.made(Bin, f"wh.{code.lower()}", {"warehouse": "wh", "code": code, "type": kind})
    await house.made(Rack, "r1", {"site": "fra1", "uHeight": 42, "feeds": [{"name": "A", "volts": 230, "amps": 16}]})
    server = {"assetClass": "server", "formFactor": {"uHeight": 1, "fullDepth": True, "weightKg": 21}, "power": {"maxW": 800}}
    bays = [{"name": "disk-1", "kind": "device"}, {"name": "disk-2", "kind": "device"}]
    await house.made(
        AssetModel,
        "r650",
        {"manufacturer": "Dell", "model": "PowerEdge R650", "partNumbers": ["R650"], "gtins": [GTIN], "bays": bays, **server},
    )
    half = {"uHeight": 0.5, "fullDepth": False}
    await house.made(AssetModel, "panel", {"manufacturer": "Generic", "model": "Half panel", "assetClass": "panel", "formFactor": half})
    await house.made(
        AssetModel,
        "pdu",
        {"manufacturer": "APC", "model": "AP8886", "assetClass": "pdu", "formFactor": {"uHeight": 0, "fullDepth": False}},
    )
    await house.made(AssetModel, "disk", {"manufacturer": "Seagate", "model": "Exos", "assetClass": "disk", "formFactor": {"uHeight": 0}})


@pytest.fixture(scope="session")
async def furnished(pg_server: str, session_directory: Path) -> AsyncIterator[str]:
    """A database with the house in it, made once; each test gets a copy."""
    name = f"cipo_house_{os.getpid()}"
    template = (session_directory / "template").read_text()
    execute(pg_server, sql.SQL("create database {} template {} strategy file_copy").format(sql.Identifier(name), sql.Identifier(template)))
    async with running(database(pg_server, name)) as cipo:
        await furnish(House(cipo, cipo.acting("1A/U-W1"), cipo.acting("1A/U-W2")))
    yield name
    execute(pg_server, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
async def house(pg_server: str, furnished: str) -> AsyncIterator[House]:
    name = f"{furnished}_{next(_houses)}"
    execute(pg_server, sql.SQL("create database {} template {} strategy file_copy").format(sql.Identifier(name), sql.Identifier(furnished)))
    async with running(database(pg_server, name)) as cipo:
        yield House(cipo, cipo.acting("1A/U-W1"), cipo.acting("1A/U-W2"))
    execute(pg_server, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def execute(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def database(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
