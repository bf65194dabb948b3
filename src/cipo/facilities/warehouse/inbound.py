"""1A/U-W1 Inbound Logistics: what arrived is what was ordered, by scan, within minutes, and where it lies is known.

Who: the dock worker with a hand scanner or a phone. The kinds live beside this file: ``bin`` (Warehouse, Bin), ``shipment`` (Shipment,
DockScan), and ``scan`` reads any barcode. KPI: it opens the record that inventory accuracy is measured on, and the clock of purchase lead time.
"""

from __future__ import annotations

from cipo.kernel import Unit

unit = Unit("1A/U-W1")

SCAN = unit.fact(
    "inbound.scan",
    unit="1",
    attrs={"verdict": str, "shipment": str},
    help="One scan at the dock: 1 if it was accepted, 0 if it was refused or only a question.",
)
DOCK_TO_STOCK = unit.fact(
    "inbound.dock_to_stock",
    unit="min",
    attrs={"shipment": str, "model": str},
    help="From the shipment's arrival at the dock to the asset's first place in a bin or a rack.",
)
DISCREPANCY = unit.fact(
    "inbound.discrepancy",
    unit="1",
    attrs={"kind": str, "shipment": str},
    help="Pieces that a completed shipment had too few, or serials announced and never scanned.",
)
