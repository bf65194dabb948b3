"""What stands behind a KPI's number, for the console and ``cipo kpi explain``: history, facts, formula and SQL, authorised by the caller."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from cipo.kernel.principal import Caller
from cipo.kernel.slo import measure
from cipo.kernel.store.admission import typed
from cipo.kernel.store.resources import Resources
from cipo.org.kinds import Kpi, question


class Kpis:
    """Reads of the KPI engine."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    async def history(self, caller: Caller, name: str, days: int = 90) -> list[tuple[datetime, float | None, str]]:
        """Evaluations of the last ``days``, oldest first: when, the value, the state."""
        await self._question(caller, name)
        return [(row["at"], row["value"], row["state"]) for row in await measure.history(self.resources.db, name, days)]

    async def sparklines(self, caller: Caller, days: int = 90) -> dict[str, list[tuple[float | None, str]]]:
        """The last evaluation of each day, per KPI that the caller may see."""
        seen = {item.name for item in (await self.resources.list(caller, Kpi.info)).items}
        return {name: line for name, line in (await measure.sparklines(self.resources.db, days)).items() if name in seen}

    async def facts(self, caller: Caller, name: str, limit: int = 100, *, worst: bool = False) -> list[dict[str, Any]]:
        """Facts in the window, the newest (or the most harmful) first: ``at, value, subject {gk, name, uid} | None, attrs, seq``."""
        asked = await self._question(caller, name)
        readable = set(self.resources.readable(caller))
        rows = await measure.facts(self.resources.db, asked, limit=min(limit, 1000), worst=worst)
        return [
            {
                "at": row["at"],
                "value": row["value"],
                "subject": {"gk": row["gk"], "name": row["name"], "uid": row["uid"]} if row["gk"] in readable else None,
                "attrs": row["attrs"],
                "unit": row["unit"],
                "simulated": row["simulated"],
                "seq": row["seq"],
            }
            for row in rows
        ]

    async def explain(self, caller: Caller, name: str, limit: int = 20) -> dict[str, Any]:
        """Formula in words, the SQL and its parameters, what came out, and the facts that hurt the number most, with links."""
        asked = await self._question(caller, name)
        kpi = cast(Kpi, typed(Kpi.info, (await self.resources.get(caller, Kpi.info, name)).object()))
        sql, params = measure.compile(asked)
        verdict = await measure.evaluate(self.resources.db, asked)
        rows = await self.facts(caller, name, limit, worst=True)
        plural = {info.gk: info.plural for info in self.resources.registry.kinds}
        return {
            "name": name,
            "text": kpi.spec.text,
            "unit": kpi.spec.unit,
            "squad": kpi.spec.squad,
            "formula": kpi.spec.formula,
            "window": kpi.spec.window,
            "objective": kpi.spec.objective.text,
            "state": verdict.state,
            "value": verdict.value,
            "reason": verdict.reason,
            "n": verdict.n,
            "coverage": verdict.coverage,
            "sql": " ".join(sql.split()),
            "params": {key: str(value) for key, value in params.items() if value is not None},
            "facts": [
                row
                | {
                    "at": row["at"].isoformat(timespec="seconds"),
                    "link": f"/r/{plural[row['subject']['gk']]}/{row['subject']['name']}" if row["subject"] else None,
                    "event": f"/events#{row['seq']}",
                }
                for row in rows
            ],
        }

    async def _question(self, caller: Caller, name: str) -> measure.Question:
        stored = await self.resources.get(caller, Kpi.info, name)
        return question(cast(Kpi, typed(Kpi.info, stored.object())), self.resources.registry)
