"""Who asks, as which unit, and the answer of the org chart.

The wire, the console, the engine and the CLI build a ``Caller`` and hand it to every method of ``Resources``;
``cipo.org.authz`` implements ``Authorizer``. The kernel knows only these shapes, so it can be read without the chart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from cipo.kernel.unit import KindInfo

Verb = Literal["get", "list", "watch", "create", "update", "patch", "delete", "act"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person, a service account, a unit's own reconciler, or the system.

    ``units`` are the qualified units it may act as; ``leads`` the squads and departments it leads, ``CIPO`` for all.
    """

    name: str
    kind: Literal["user", "service", "unit", "system"]
    units: frozenset[str] = frozenset()
    leads: frozenset[str] = frozenset()
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """One request: a principal acting as one unit."""

    principal: Principal
    unit: str | None = None
    request_id: str = ""
    manager: str = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """The chart's answer: whether, by which rule, why, and as which unit the caller acts."""

    allowed: bool
    rule: str
    reason: str
    unit: str


class Authorizer(Protocol):
    """Pure: the same question has the same answer until the chart changes."""

    def decide(self, caller: Caller, verb: str, kind: KindInfo, action: str | None = None) -> Decision:
        """May this caller do this verb on this kind? Raises Forbidden or BadRequest when the acting unit itself is wrong."""

    def hidden(self, caller: Caller) -> frozenset[str]:
        """Departments of which this caller may not see a single row, on any path."""


SYSTEM = Caller(Principal("system:cipo", "system"), unit=None, manager="cipo")
