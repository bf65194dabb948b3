"""The two pages of people with a scanner in hand: receiving at the dock, and counting in the aisle.

The pages call the ordinary API; the code that runs in the browser is beside the templates in ``pages/``. What is handed over here is only
what the page needs to start: which shipments and counts are open, and for a count where to go, never what is expected there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cipo.facilities.warehouse.bin import Bin
from cipo.facilities.warehouse.cmdb import unit
from cipo.facilities.warehouse.count import StockCount
from cipo.facilities.warehouse.inbound import unit as inbound
from cipo.facilities.warehouse.shipment import Shipment
from cipo.kernel import Ctx

OPEN_MAX = 200


@inbound.page("receive", title="Receiving", template="warehouse:receiving.html")
async def receiving(query: Mapping[str, str], ctx: Ctx) -> dict[str, Any]:
    """Receive a shipment by scan."""
    found = [
        shipment
        for phase in ("Receiving", "Arrived", "Announced")
        for shipment in await ctx.list(Shipment, fields={"status.phase": phase}, limit=OPEN_MAX)
    ]
    chosen = next((shipment for shipment in found if shipment.name == query.get("shipment")), None)
    return {"shipments": found, "chosen": chosen, "lines": _lines(chosen) if chosen else []}


@unit.page("count", title="Blind count", template="warehouse:counting.html")
async def counting(query: Mapping[str, str], ctx: Ctx) -> dict[str, Any]:
    """Count what lies in a bin or stands in a rack, without knowing what should."""
    found = await ctx.list(StockCount, fields={"status.phase": "Counting"}, limit=OPEN_MAX)
    chosen = next((count for count in found if count.name == query.get("count")), None)
    codes = {bin_.name: bin_.spec.code for bin_ in await ctx.list(Bin)} if chosen else {}
    places = (
        [
            {"code": place.upper().split("/")[0] + "/" + place.split("/", 1)[1], "title": _title(place, codes)}
            for place in chosen.status.places
        ]
        if chosen
        else []
    )
    return {"counts": found, "chosen": chosen, "places": places}


def _lines(shipment: Shipment) -> list[dict[str, Any]]:
    return [
        {"line": line.line, "model": line.model.name, "quantity": line.quantity, "received": shipment.received(line.line)}
        for line in shipment.spec.lines
    ]


def _title(place: str, codes: Mapping[str, str]) -> str:
    kind, _, name = place.partition("/")
    return f"{kind} {codes.get(name, name)}"
