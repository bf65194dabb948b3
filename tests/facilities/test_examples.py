"""The example of the README runs: what it applies is taken in its order, and its story has its end."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cipo.facilities.kinds import Asset, Shipment, StockCount
from cipo.testing.plane import path

pytestmark = pytest.mark.anyio
HERE = Path(__file__).parents[2] / "examples" / "01-receive-and-rack"
APPLY = {"Content-Type": "application/apply-patch+yaml"}


async def apply(house):
    revisions = []
    for file in sorted(HERE.glob("*.yaml")):
        for obj in yaml.safe_load_all(file.read_text()):
            kind = house.cipo.plane.registry.kind(f"{obj['kind']}.facilities.cipo")
            answer = await house.cipo.call(
                "PATCH", path(kind, obj["metadata"]["name"]), params={"fieldManager": "kubectl"}, json=obj, headers=APPLY
            )
            assert answer.status_code in (200, 201), answer.text
            revisions.append(answer.json()["metadata"]["resourceVersion"])
    return revisions


async def test_ten_servers_are_received_racked_and_counted_with_one_in_the_wrong_bin(house):
    await apply(house)
    await house.dock.act(Shipment.info, "example-0001", "arrive")
    await house.scan("example-0001", "BIN/example-wh.dock-1")
    names = [(await house.scan("example-0001", f"EX-{number:04d}", bin="example-wh.dock-1"))["asset"] for number in range(1, 11)]
    await house.dock.act(Shipment.info, "example-0001", "complete")
    assert (await house.status(Shipment, "example-0001"))["phase"] == "Received"
    for name in names[:6]:
        await house.do(Asset, name, "putaway", bin="example-wh.a-01")
    for unit, name in enumerate(names[6:], start=10):
        await house.do(Asset, name, "place", rack="example-r1", unit=unit)
    await house.do(StockCount, "example-count", "start")
    for name in names[:5]:
        await house.count("example-count", "BIN/example-wh.a-01", name.upper())
    await house.count("example-count", "BIN/example-wh.a-02", names[5].upper())
    for unit, name in enumerate(names[6:], start=10):
        await house.count("example-count", "RACK/example-r1", name.upper(), unit=unit)
    await house.do(StockCount, "example-count", "close")
    status = await house.status(StockCount, "example-count")
    assert (status["correct"], status["total"], status["accuracy"]) == (9, 10, 0.9)
    assert [entry["asset"] for entry in status["discrepancies"]] == [names[5]]


async def test_applying_it_twice_changes_nothing(house):
    assert await apply(house) == await apply(house)
