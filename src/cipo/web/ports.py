"""What the console needs of the KPI engine, as a shape: history, facts and the explanation of one number.

``cipo.kernel.slo`` implements it; the page tests bring their own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from cipo.kernel.principal import Caller


class Kpis(Protocol):
    """Reads of the KPI engine, authorised by the caller."""

    async def history(self, caller: Caller, name: str, days: int = 90) -> list[tuple[datetime, float | None, str]]:
        """Evaluations, oldest first: when, the value, the state."""

    async def sparklines(self, caller: Caller, days: int = 90) -> dict[str, list[tuple[float | None, str]]]:
        """The last evaluation of each day, per KPI that the caller may see."""

    async def facts(self, caller: Caller, name: str, limit: int = 100, *, worst: bool = False) -> list[dict[str, Any]]:
        """The newest (or the most harmful) facts in the window: at, value, subject {gk, name, uid}, attrs, seq."""

    async def explain(self, caller: Caller, name: str) -> dict[str, Any]:
        """Formula in words, the SQL, its parameters, and what came out."""
