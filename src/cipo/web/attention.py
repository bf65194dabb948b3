"""What needs a person: promises that are missed and work that is stuck. Read by the first page's five decisions, the unit pages and the to-do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cipo.web.scorecard import Card, Scorecard

if TYPE_CHECKING:
    from cipo.web.console import Console, Visit


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that waits for a decision."""

    tone: str
    title: str
    detail: str
    href: str
    unit: str
    blocked: bool = False
    due: datetime | None = None


async def attention(console: Console, visit: Visit, *, under: frozenset[str] | None = None) -> list[Item]:
    """Blocked work first, then missed promises, then what is retried; ``under`` narrows to some units."""
    rows = await console.resources.waiting(visit.caller)
    stuck = [stuck_item(row, console.href(row["gk"], row["name"])) for row in rows]
    return ordered(stuck, await console.scorecard(visit), under)


def ordered(stuck: Iterable[Item], score: Scorecard, under: frozenset[str] | None = None) -> list[Item]:
    """One list in the order a lead reads it."""
    stuck = [item for item in stuck if under is None or item.unit in under]
    missed = [missed_item(card) for card in score.cards if card.state == "missed" and (under is None or card.kpi.unit in under)]
    return [*(item for item in stuck if item.blocked), *missed, *(item for item in stuck if not item.blocked)]


def missed_item(card: Card) -> Item:
    """A promise that is not kept."""
    return Item("missed", card.kpi.text, f"{card.shown} against {card.objective}, {card.kpi.squad}", card.href, card.kpi.unit)


def stuck_item(row: Mapping[str, Any], href: str) -> Item:
    """Work that the engine could not finish: blocked until a person acts, or tried again by itself."""
    error = str(row.get("error") or "")
    blocked = bool(error) and not row.get("attempts")  # a failure counts attempts, a blocked object waits for a person
    kind = str(row["gk"]).split(".", 1)[0]
    return Item(
        "warn" if blocked else "unknown", f"{kind} {row['name']}", error or "waits", href, str(row["unit"]), blocked, row.get("due")
    )
