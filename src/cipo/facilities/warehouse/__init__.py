"""A-2 Warehouse & Inventory: U-W1 Inbound Logistics and U-W2 CMDB. Importing it declares their kinds, actions, reconcilers and pages."""

from cipo.facilities.warehouse import (
    asset_actions,
    counting,
    elevation,
    label,
    rack_load,
    receiving,
    screens,
)

__all__ = ["asset_actions", "counting", "elevation", "label", "rack_load", "receiving", "screens"]
