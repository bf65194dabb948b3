"""What the console needs of the KPI engine, as a shape. ``cipo.org.measured`` implements it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from cipo.kernel.principal import Caller
from cipo.kernel.slo.budget import Tier
from cipo.kernel.slo.course import Day, Worst
from cipo.kernel.slo.period import Published
from cipo.org.measured import Measured


class Kpis(Protocol):
    """Reads of the KPI engine, authorised by the caller."""

    async def sparklines(self, caller: Caller, days: int = 90) -> dict[str, list[tuple[float | None, str]]]:
        """The last evaluation of each day, per KPI that the caller may see."""

    async def published(self, caller: Caller, start: datetime, end: datetime) -> dict[str, list[Published]]:
        """Of every KPI the last period that ended in a stretch of time: its revisions, newest first."""

    async def first_published(self) -> datetime | None:
        """When the first period that was published ended."""

    async def now(self) -> datetime:
        """The database's time."""

    async def measured(self, caller: Caller, name: str) -> Measured:
        """What the questions below ask about."""

    async def daily(self, asked: Measured, days: int = 90) -> list[Day]:
        """Each of the last days as the facts have it now."""

    async def seen(self, asked: Measured, days: int = 90) -> list[tuple[datetime, float | None, str]]:
        """The last evaluation of each day as it was seen then."""

    async def worst(self, asked: Measured, limit: int = 10) -> list[Worst]:
        """The slices of the window that hurt most."""

    async def revisions(self, asked: Measured) -> list[Published]:
        """Every figure that was published."""

    def tiers(self, asked: Measured) -> tuple[Tier, ...]:
        """The alert tiers that can fire."""

    async def query(self, asked: Measured) -> tuple[str, dict[str, str]]:
        """The statement by which facts become slices, and its parameters."""

    async def facts(
        self,
        caller: Caller,
        name: str,
        limit: int = 100,
        *,
        worst: bool = False,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Facts in the window or a part of it: at, value, subject {gk, name, uid}, attrs, seq, recordedAt."""
