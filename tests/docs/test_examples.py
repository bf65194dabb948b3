"""examples/02-a-unit runs: the kind suite on its kind, its story to the KPI's fact, and the chart has nothing against it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cipo import plane
from cipo.facilities.department import DEPARTMENT
from cipo.facilities.kinds import Asset, AssetModel
from cipo.org import chart
from cipo.org.check import check
from cipo.org.kinds import Kpi
from cipo.testing import KindSuite, Person, running

pytestmark = pytest.mark.anyio
HERE = Path(__file__).resolve().parents[2] / "examples" / "02-a-unit"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks names up there
    spec.loader.exec_module(module)
    return module


rma = load("rma")
MODEL = (AssetModel, "r650", {"manufacturer": "Dell", "model": "PowerEdge R650", "assetClass": "server", "formFactor": {"uHeight": 1}})
ASSETS = [(Asset, f"a{n}", {"model": "r650", "manufacturer": "Dell", "serial": f"SN-000{n}"}) for n in (1, 2)]
FAULT = "memtest fails at address 0x3f"


@pytest.fixture(autouse=True)
def staffed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation in which 1A/U-W3 is staffed."""
    monkeypatch.setattr(plane, "DEPARTMENTS", (replace(DEPARTMENT, units=(*DEPARTMENT.units, rma.unit)),))


class TestRma(KindSuite):
    kind = rma.Rma

    def needs(self) -> Any:
        return [MODEL, *ASSETS]

    def spec(self, n: int) -> dict[str, Any]:
        return {"asset": f"a{n}", "fault": FAULT}

    def change(self) -> dict[str, Any]:
        return {"days": 10}


@pytest.fixture
async def cipo(pg_dsn: str) -> AsyncIterator[Person]:
    """The CIPO on a plane with two assets, of which one has an RMA."""
    async with running(pg_dsn) as person:
        for kind, name, spec in (MODEL, *ASSETS, (rma.Rma, "r1", {"asset": "a1", "fault": FAULT})):
            made = await person.create(kind.info, name, spec)
            assert made.status_code == 201, made.text
        yield person


async def test_a_part_goes_out_and_its_replacement_stops_the_clock(cipo):
    early = await cipo.act(rma.Rma.info, "r1", "receive", {"serial": "SN-0009"})
    assert (early.status_code, early.json()["reason"]) == (409, "InvalidTransition")
    assert (await cipo.act(rma.Rma.info, "r1", "ship", {"waybill": "1Z9"})).status_code == 201
    same = await cipo.act(rma.Rma.info, "r1", "receive", {"serial": "SN-0001"})
    assert (same.status_code, same.json()["details"]["causes"][0]["field"]) == (422, "serial")
    assert (await cipo.act(rma.Rma.info, "r1", "receive", {"serial": "SN-0009"})).status_code == 201
    facts = await cipo.plane.db.fetch("select name, unit, object, attrs from cipo.fact order by ts")
    assert facts == [("rma.opened", "1A/U-W3", "r1", {}), ("rma.closed", "1A/U-W3", "r1", {"replacement": "SN-0009"})]
    await cipo.reconcile()
    kpi = (await cipo.get(Kpi.info, "rma-turnaround"))["status"]
    assert (kpi["state"], kpi["n"], kpi["reason"]) == ("unknown", 1, "measuring (1 of 5 facts)")


async def test_an_asset_has_one_open_rma(cipo):
    second = await cipo.create(rma.Rma.info, "r2", {"asset": "a1", "fault": FAULT})
    assert second.status_code == 409
    assert '"r1"' in second.json()["message"]
    await cipo.act(rma.Rma.info, "r1", "ship", {"waybill": "1Z9"})
    await cipo.act(rma.Rma.info, "r1", "receive", {"serial": "SN-0009"})
    assert (await cipo.create(rma.Rma.info, "r2", {"asset": "a1", "fault": FAULT})).status_code == 201


@pytest.mark.parametrize(("days", "condition", "word"), [(5, "Ready", "Waiting"), (0, "Blocked", "NeedsPerson")])
async def test_it_waits_as_long_as_the_maker_has_and_then_asks_a_person(cipo, days, condition, word):
    assert (await cipo.create(rma.Rma.info, "r2", {"asset": "a2", "fault": FAULT, "days": days})).status_code == 201
    await cipo.reconcile()
    conditions = (await cipo.get(rma.Rma.info, "r2"))["status"]["conditions"]
    assert word in {one["reason"] for one in conditions if one["type"] == condition}


def test_the_chart_has_nothing_against_it() -> None:
    declared = plane.registry()
    assert [problem for problem in check(chart.load(), declared) if problem.level == "error" or "U-W3" in str(problem)] == []


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """The module is gone when these tests are."""
    yield
    sys.modules.pop("rma", None)
