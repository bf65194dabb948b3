"""Every kind of A-2 through the suite that all kinds get."""

from __future__ import annotations

from typing import Any

from cipo.facilities.kinds import Asset, AssetModel, Bin, Rack, RackModel, Shipment, Site, StockCount, Warehouse
from cipo.facilities.warehouse.count import CountScan
from cipo.facilities.warehouse.shipment import DockScan
from cipo.testing import KindSuite

SITE = (Site, "fra1", {"code": "FRA1"})
WAREHOUSE = (Warehouse, "wh", {"site": "fra1"})
BIN = (Bin, "wh.a-01", {"warehouse": "wh", "code": "A-01"})
MODEL = (AssetModel, "r650", {"manufacturer": "Dell", "model": "PowerEdge R650"})


class TestSite(KindSuite):
    kind = Site

    def spec(self, n: int) -> dict[str, Any]:
        return {"code": f"FRA{n}", "title": "Frankfurt"}

    def change(self) -> dict[str, Any]:
        return {"title": "Frankfurt am Main"}


class TestRackModel(KindSuite):
    kind = RackModel

    def spec(self, n: int) -> dict[str, Any]:
        return {"manufacturer": "APC", "model": f"AR{n}", "uHeight": 42}

    def change(self) -> dict[str, Any]:
        return {"maxWeightKg": 1700}


class TestRack(KindSuite):
    kind = Rack

    def needs(self) -> Any:
        return [SITE]

    def spec(self, n: int) -> dict[str, Any]:
        return {"site": "fra1", "room": "Hall", "uHeight": 42}

    def change(self) -> dict[str, Any]:
        return {"uHeight": 47}


class TestAssetModel(KindSuite):
    kind = AssetModel

    def spec(self, n: int) -> dict[str, Any]:
        return {"manufacturer": "Dell", "model": f"R{n}", "formFactor": {"uHeight": 1.5}, "ports": [{"name": "eth0", "kind": "interface"}]}

    def change(self) -> dict[str, Any]:
        return {"comments": "seen"}


class TestAsset(KindSuite):
    kind = Asset

    def needs(self) -> Any:
        return [MODEL]

    def spec(self, n: int) -> dict[str, Any]:
        return {"model": "r650", "manufacturer": "Dell", "serialPrinted": f"ABC {n:04d}"}

    def change(self) -> dict[str, Any]:
        return {"serialPrinted": "XYZ 9999"}


class TestWarehouse(KindSuite):
    kind = Warehouse

    def needs(self) -> Any:
        return [SITE]

    def spec(self, n: int) -> dict[str, Any]:
        return {"site": "fra1"}

    def change(self) -> dict[str, Any]:
        return {"title": "North"}


class TestBin(KindSuite):
    kind = Bin

    def needs(self) -> Any:
        return [SITE, WAREHOUSE]

    def spec(self, n: int) -> dict[str, Any]:
        return {"warehouse": "wh", "code": f"A-{n}"}

    def change(self) -> dict[str, Any]:
        return {"capacity": 9}


class TestShipment(KindSuite):
    kind = Shipment

    def needs(self) -> Any:
        return [SITE, WAREHOUSE, MODEL]

    def spec(self, n: int) -> dict[str, Any]:
        return {"warehouse": "wh", "packages": [{"lines": [{"line": 1, "model": "r650", "quantity": 2}]}]}

    def change(self) -> dict[str, Any]:
        return {"carrier": "DHL"}


class TestDockScan(KindSuite):
    kind = DockScan

    def needs(self) -> Any:
        return [
            SITE,
            WAREHOUSE,
            MODEL,
            (Shipment, "s1", {"warehouse": "wh", "packages": [{"lines": [{"line": 1, "model": "r650", "quantity": 2}]}]}),
        ]

    def spec(self, n: int) -> dict[str, Any]:
        return {"shipment": "s1", "payload": "X"}


class TestStockCount(KindSuite):
    kind = StockCount

    def needs(self) -> Any:
        return [SITE, WAREHOUSE, BIN]

    def spec(self, n: int) -> dict[str, Any]:
        return {"scope": {"bins": ["wh.a-01"]}}

    def change(self) -> dict[str, Any]:
        return {"blind": False}


class TestCountScan(KindSuite):
    kind = CountScan

    def needs(self) -> Any:
        return [SITE, WAREHOUSE, BIN, (StockCount, "c1", {"scope": {"bins": ["wh.a-01"]}})]

    def spec(self, n: int) -> dict[str, Any]:
        return {"count": "c1", "payload": "X", "place": "bin/wh.a-01"}
