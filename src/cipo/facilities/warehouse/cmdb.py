"""1A/U-W2 CMDB / Asset Management: one true record per physical thing, and proof how true it is.

Who: everybody reads; the asset manager counts, corrects and retires. The kinds live beside this file by their nouns: ``site``, ``rack``,
``asset_model``, ``asset``, ``count``. KPI: inventory accuracy 100 %, the mean of ``cmdb.count`` over 90 days (org/chart/1A.yaml).
"""

from __future__ import annotations

from cipo.kernel import Unit

unit = Unit("1A/U-W2")

COUNT = unit.fact(
    "cmdb.count",
    unit="1",
    attrs={"count": str, "outcome": str, "place": str},
    help="One thing of a closed blind count: 1 if it was where the record says, at first scan and before any correction; else 0.",
)
SEEN = unit.fact(
    "cmdb.seen",
    unit="1",
    attrs={"source": str, "place": str},
    help="An independent sighting of an asset: somebody or something other than the record met it.",
)
TRANSITION = unit.fact(
    "asset.transition",
    unit="1",
    attrs={"from": str, "to": str, "action": str},
    help="An asset moved along its lifecycle.",
)
