"""The lifecycle of an asset: its words and its arrows, as data. Who moves what is in the table; nothing else moves it.

The words are the whole enum of the department's spec, although some are reached only by units that are not staffed yet (Testing, Ready
by U-D1, InService by U-D3, AtVendor and Disposed by U-W3). While U-D1 and U-D2 are not staffed, nothing stands between stock and rack:
U-W2's ``place`` takes an asset from stock to Installed, and ``unplace`` brings it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Lifecycle = Literal[
    "Ordered",
    "InTransit",
    "Received",
    "InStock",
    "Testing",
    "Ready",
    "Allocated",
    "Installed",
    "InService",
    "Faulty",
    "AtVendor",
    "Closed",
    "Retired",
    "Sanitized",
    "Disposed",
    "Lost",
]
LIFECYCLE: tuple[Lifecycle, ...] = get_args(Lifecycle)
# The usual way, for the stepper on the page.
USUAL: tuple[Lifecycle, ...] = ("Ordered", "Received", "InStock", "Installed", "InService", "Retired", "Disposed")
GONE: tuple[Lifecycle, ...] = ("Disposed", "Closed")


@dataclass(frozen=True, slots=True)
class Move:
    """One arrow: from where to where, by which action of which unit; an empty action belongs to a unit not staffed yet."""

    before: Lifecycle
    after: Lifecycle
    unit: str
    action: str = ""


MOVES: tuple[Move, ...] = (
    Move("Ordered", "InTransit", "1A/U-V1"),
    Move("Ordered", "Received", "1A/U-W2", "receive"),
    Move("InTransit", "Received", "1A/U-W2", "receive"),
    Move("Received", "InStock", "1A/U-W2", "putaway"),
    Move("InStock", "Testing", "1A/U-D1"),
    Move("Received", "Testing", "1A/U-D1"),
    Move("Testing", "Ready", "1A/U-D1"),
    Move("Ready", "Allocated", "1A/U-D2"),
    Move("Allocated", "Installed", "1A/U-D2"),
    Move("Received", "Installed", "1A/U-W2", "place"),
    Move("InStock", "Installed", "1A/U-W2", "place"),
    Move("Ready", "Installed", "1A/U-W2", "place"),
    Move("Received", "Installed", "1A/U-W2", "install-component"),
    Move("InStock", "Installed", "1A/U-W2", "install-component"),
    Move("Ready", "Installed", "1A/U-W2", "install-component"),
    Move("Installed", "InStock", "1A/U-W2", "unplace"),
    Move("Installed", "InStock", "1A/U-W2", "remove-component"),
    Move("Installed", "InService", "1A/U-D3"),
    Move("Received", "Faulty", "1A/U-D1"),
    Move("Testing", "Faulty", "1A/U-D1"),
    Move("Ready", "Faulty", "1A/U-D3"),
    Move("InService", "Faulty", "1A/U-D3"),
    Move("Faulty", "AtVendor", "1A/U-W3"),
    Move("AtVendor", "Closed", "1A/U-W3"),
    Move("AtVendor", "InStock", "1A/U-W3"),
    Move("InService", "Retired", "1A/U-W2", "retire"),
    Move("InStock", "Retired", "1A/U-W2", "retire"),
    Move("Retired", "Sanitized", "1A/U-W3"),
    Move("Sanitized", "Disposed", "1A/U-W3"),
    *(Move(word, "Lost", "1A/U-W2", "lost") for word in LIFECYCLE if word not in ("Lost", "Disposed", "Closed")),
    Move("Lost", "InStock", "1A/U-W2", "found"),
)


def phases(action: str) -> tuple[Lifecycle, ...]:
    """Where an action is legal, in the order of the lifecycle."""
    befores = {move.before for move in MOVES if move.action == action}
    return tuple(word for word in LIFECYCLE if word in befores)


def after(action: str, before: str) -> Lifecycle:
    """Where an action leads from a phase. KeyError if there is no such arrow."""
    for move in MOVES:
        if move.action == action and move.before == before:
            return move.after
    raise KeyError(f"no arrow {action} from {before}")
