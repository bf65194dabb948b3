"""What stands behind a KPI's number, for the console and ``cipo kpi explain``: history, facts, formula and SQL, authorised by the caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from cipo.kernel.principal import Caller
from cipo.kernel.slo import budget, course, gather, period, register, roll, selecting
from cipo.kernel.slo.course import Day, Worst
from cipo.kernel.slo.measure import Verdict
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.period import Published
from cipo.kernel.store.admission import typed
from cipo.kernel.store.resources import Resources
from cipo.org.kinds import Kpi, promise


@dataclass(frozen=True, slots=True)
class Measured:
    """A KPI with its objective and the series its slices are in."""

    kpi: Kpi
    objective: Objective
    series: int
    now: datetime


class Kpis:
    """Reads of the KPI engine."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    async def history(self, caller: Caller, name: str, days: int = 90) -> list[tuple[datetime, float | None, str]]:
        """Evaluations of the last ``days`` as they were seen then, oldest first: when, the value, the state."""
        await self._kpi(caller, name)
        return await course.seen(self.resources.db, name, days)

    async def sparklines(self, caller: Caller, days: int = 90) -> dict[str, list[tuple[float | None, str]]]:
        """The last evaluation of each day, per KPI that the caller may see."""
        seen = [item.name for item in (await self.resources.list(caller, Kpi.info)).items]
        lines = await course.seen_last(self.resources.db, seen, days)
        return {name: [(value, state) for _, value, state in line] for name, line in lines.items()}

    async def published(self, caller: Caller, start: datetime, end: datetime) -> dict[str, list[Published]]:
        """Of every KPI that the caller may see, the last period that ended in ``(start, end]``: its revisions, newest first."""
        seen = {item.name for item in (await self.resources.list(caller, Kpi.info)).items}
        return {name: found for name, found in (await period.ended(self.resources.db, start, end)).items() if name in seen}

    async def first_published(self) -> datetime | None:
        """When the first period that was published ended."""
        return await period.first_end(self.resources.db)

    async def now(self) -> datetime:
        """The database's time (UTC)."""
        return cast(datetime, (await self.resources.db.fetch("select clock_timestamp()"))[0][0]).astimezone(UTC)

    async def measured(self, caller: Caller, name: str) -> Measured:
        """What the other questions ask about, once a page."""
        kpi = await self._kpi(caller, name)
        objective = promise(kpi, self.resources.registry)
        db = self.resources.db
        series = (await register.ensure(db, [objective]))[name]
        now = (await db.fetch("select clock_timestamp()"))[0][0]
        return Measured(kpi, objective, series, now.astimezone(UTC))

    async def verdict(self, asked: Measured) -> Verdict:
        """The verdict as of now, from the slices as they are."""
        held = asked.kpi.status.budget
        return await gather.evaluate(
            self.resources.db, asked.objective, asked.series, asked.now, state_before=held.state if held else "Unknown"
        )

    async def daily(self, asked: Measured, days: int = 90) -> list[Day]:
        """Each of the last ``days`` days as the facts have it now, oldest first."""
        return await course.daily(self.resources.db, asked.objective, asked.series, asked.now, days)

    async def seen(self, asked: Measured, days: int = 90) -> list[tuple[datetime, float | None, str]]:
        """The last evaluation of each day as it was seen then, oldest first."""
        return (await course.seen_last(self.resources.db, [asked.kpi.name], days)).get(asked.kpi.name, [])

    async def query(self, asked: Measured) -> tuple[str, dict[str, str]]:
        """The statement by which its facts become slices, and its parameters."""
        sql, params = selecting.statement(await register.read(self.resources.db, asked.series))
        return sql, {key: str(value) for key, value in params.items() if value is not None}

    async def worst(self, asked: Measured, limit: int = course.WORST) -> list[Worst]:
        """The slices of the window that hurt the number most."""
        return await course.worst(self.resources.db, asked.objective, asked.series, asked.now, limit)

    async def revisions(self, asked: Measured) -> list[Published]:
        """Every figure that was published, newest period first, its revisions newest first."""
        return await period.revisions(self.resources.db, asked.kpi.name)

    def tiers(self, asked: Measured) -> tuple[budget.Tier, ...]:
        """The alert tiers that can fire at its target."""
        return budget.tiers_of(asked.objective)

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
        """Facts in the window (or a part of it), the newest or the most harmful first: ``at, value, subject | None, attrs, seq``."""
        asked = await self.measured(caller, name)
        readable = set(self.resources.readable(caller))
        window = asked.objective.window.bounds(asked.now)
        rows = await course.facts(
            self.resources.db, asked.objective, start or window[0], end or window[1], limit=min(limit, 1000), worst_first=worst
        )
        return [
            {
                "at": row["at"],
                "value": row["value"],
                "weight": row["weight"],
                "subject": {"gk": row["gk"], "name": row["name"], "uid": row["uid"]} if row["gk"] in readable else None,
                "attrs": row["attrs"],
                "unit": row["unit"],
                "simulated": row["simulated"],
                "seq": row["seq"],
                "recordedAt": row["recorded_at"],
            }
            for row in rows
        ]

    async def explain(self, caller: Caller, name: str, limit: int = 20) -> dict[str, Any]:
        """Formula in words, the SQL and its parameters, what came out, and the facts that hurt the number most, with links."""
        asked = await self.measured(caller, name)
        kpi, objective = asked.kpi, asked.objective
        await roll.roll(self.resources.db, objective.indicator.facts)
        sql, params = selecting.statement(await register.read(self.resources.db, asked.series))
        verdict = await self.verdict(asked)
        rows = await self.facts(caller, name, limit, worst=True)
        plural = {info.gk: info.plural for info in self.resources.registry.kinds}
        start, end = verdict.window or objective.window.bounds(asked.now)
        params |= {"lows": f"{{{start:%Y-%m-%dT%H:%MZ}}}", "highs": f"{{{end:%Y-%m-%dT%H:%MZ}}}"}
        return {
            "name": name,
            "text": kpi.spec.text,
            "unit": kpi.spec.unit,
            "squad": kpi.spec.squad,
            "formula": kpi.spec.formula,
            "honest": kpi.spec.honest,
            "calendar": objective.indicator.calendar,
            "window": str(objective.window),
            "reads": ", ".join(objective.indicator.facts),
            "objective": kpi.spec.objective.text,
            "state": verdict.state,
            "value": verdict.value,
            "reason": verdict.reason,
            "n": verdict.n,
            "coverage": verdict.coverage,
            "budget": _budget(verdict),
            "sql": " ".join(sql.split()),
            "params": {key: str(value) for key, value in params.items() if value is not None},
            "facts": [
                row
                | {
                    "at": row["at"].isoformat(timespec="seconds"),
                    "recordedAt": row["recordedAt"].isoformat(timespec="seconds"),
                    "link": f"/r/{plural[row['subject']['gk']]}/{row['subject']['name']}" if row["subject"] else None,
                    "event": f"/events#{row['seq']}",
                }
                for row in rows
            ],
        }

    async def _kpi(self, caller: Caller, name: str) -> Kpi:
        stored = await self.resources.get(caller, Kpi.info, name)
        return cast(Kpi, typed(Kpi.info, stored.object()))


def _budget(verdict: Verdict) -> dict[str, Any] | None:
    spent = verdict.budget
    if spent is None or not spent.total:
        return None
    return {
        "state": spent.state,
        "target": spent.target,
        "bad": spent.bad,
        "total": spent.total,
        "remaining": spent.remaining,
        "burn": dict(spent.burn),
    }
