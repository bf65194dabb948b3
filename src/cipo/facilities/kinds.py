"""The kinds of 1A that other departments may refer to, watch and read, as far as the chart lets them."""

from cipo.facilities.warehouse.asset import Asset
from cipo.facilities.warehouse.asset_model import AssetModel
from cipo.facilities.warehouse.bin import Bin, Warehouse
from cipo.facilities.warehouse.count import StockCount
from cipo.facilities.warehouse.rack import Rack, RackModel
from cipo.facilities.warehouse.shipment import Shipment
from cipo.facilities.warehouse.site import Site

__all__ = ["Asset", "AssetModel", "Bin", "Rack", "RackModel", "Shipment", "Site", "StockCount", "Warehouse"]
