"""SLOs on a real plane: what is refused, what facts make of the status, and how alerts come and go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cipo.kernel.slo.standing import Standing
from cipo.reliability.kinds import ServiceLevelObjective
from cipo.reliability.performance import service_level_objective as module
from cipo.testing import KindSuite, Person, running

pytestmark = pytest.mark.anyio
SLO = ServiceLevelObjective.info
QUERIES = {"facts": "", "prometheus": "http://p", "total": "a[$window]"}
SPEC: dict[str, Any] = {
    "service": "receiving",
    "owner": "1A/U-W1",
    "indicator": {"source": {"facts": "cmdb.count"}},
    "objective": {"target": 0.99},
    "window": {"rolling": "30d"},
}


class TestServiceLevelObjective(KindSuite):
    kind = ServiceLevelObjective
    stranger = "1A/U-W1"

    def spec(self, n: int) -> dict[str, Any]:
        return {**SPEC, "service": f"service-{n}"}

    def change(self) -> dict[str, Any]:
        return {"objective": {"target": 0.95}}


@pytest.fixture
async def cipo(pg_dsn: str) -> AsyncIterator[Person]:
    async with running(pg_dsn) as person:
        yield person


def merged(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in patch.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


@pytest.mark.parametrize(
    ("patch", "at", "why"),
    [
        ({"objective": {"target": 1.0}}, "spec.objective.target", "must lie between 0 and 1"),
        ({"indicator": {"source": {"facts": "cmdb.cuont"}}}, "spec.indicator.source.facts", "did you mean cmdb.count"),
        ({"indicator": {"type": "mean", "unit": "ms"}, "objective": {"op": "lt", "value": 5, "target": 1}}, "spec.indicator.unit", "use the same unit"),
        ({"indicator": {"type": "mean"}}, "spec.objective.value", "is missing"),
        ({"objective": {"value": 3}}, "spec.objective.value", "write it as target"),
        ({"indicator": {"good": "values are nice"}}, "spec.indicator.good", "value == 1"),
        ({"objective": {"target": 0.9}, "alerting": {"policy": "google-30d"}}, "spec.objective.target", "tier page-quick can never fire at target 0.9"),
        ({"alerting": {"policy": "google-31d"}}, "spec.alerting.policy", "those are google-7d"),
        ({"window": {"rolling": None, "calendar": "1m"}}, "spec.window.calendar", "1m is one minute, no calendar period; month is 1M"),
        ({"window": {"calendar": "1M"}}, "spec.window", "exactly one"),
        ({"budgeting": {"method": "Timeslices", "slice": "1m"}}, "spec.budgeting.target", "Timeslices needs the share"),
        ({"budgeting": {"method": "Timeslices", "slice": "4d", "target": 0.9}}, "spec.budgeting.slice", "more than a tenth"),
        ({"data": {"missing": "bad"}}, "spec.data.missing", "needs the cadence"),
        ({"owner": "1A/U-W99"}, "spec.owner", "no unit of the chart"),
        ({"owner": "1D/U-DP1"}, "spec.owner", "1F does not directly interface with 1D"),
        ({"indicator": {"source": {"prometheus": "http://p:9090"}}}, "spec.indicator.source", "exactly one of facts and prometheus"),
        ({"indicator": {"source": QUERIES | {"good": "a[$window]"}}}, "spec.indicator.source.total", "the query of good or bad too"),
        ({"indicator": {"source": QUERIES | {"good": "$window + a[5m]"}}}, "spec.indicator.source.good", "no $window in its brackets"),
        ({"objectives": [{"target": 0.9}]}, "spec.objective", "exactly one of objective and objectives"),
    ],
)  # fmt: skip
async def test_what_cannot_be_measured_is_refused_with_its_field(cipo: Person, patch: dict[str, Any], at: str, why: str) -> None:
    refused = await cipo.create(SLO, "wrong", merged(SPEC, patch))
    assert refused.status_code == 422, refused.text
    causes = refused.json()["details"]["causes"]
    assert any(cause["field"] == at and why in cause["message"] for cause in causes), causes


async def test_all_that_is_wrong_is_told_at_once(cipo: Person) -> None:
    refused = await cipo.create(SLO, "wrong", merged(SPEC, {"objective": {"target": 2}, "owner": "1X/U-1", "data": {"missing": "good"}}))
    fields = {cause["field"] for cause in refused.json()["details"]["causes"]}
    assert fields >= {"spec.objective.target", "spec.owner", "spec.data.missing"}


async def tell(cipo: Person, minutes: range, good: int, bad: int, *, at: datetime) -> None:
    """Events a minute, so many minutes ago."""
    for value, weight in ((1.0, good), (0.0, bad)):
        if weight:
            await cipo.plane.db.execute(
                "insert into cipo.fact (ts, name, unit, value, weight, attrs, seq)"
                " select %s - n * interval '1 minute', 'cmdb.count', '1A/U-W2', %s, %s, '{}', 1 from unnest(%s::int[]) n",
                (at, value, weight, list(minutes)),
            )


class Clock:
    """Looks at an SLO at moments of the test's own; the status is kept as the worker keeps it."""

    def __init__(self, cipo: Person, monkeypatch: pytest.MonkeyPatch, at: datetime) -> None:
        self.cipo, self.at = cipo, at
        monkeypatch.setattr("cipo.kernel.ctx.Ctx.now", property(lambda _: self.at))

    async def look(self, name: str) -> dict[str, Any]:
        await self.cipo.plane.db.execute(
            "update cipo.work set due = case when gk = %s then now() else now() + interval '1 hour' end", (SLO.gk,)
        )
        await self.cipo.reconcile()
        status: dict[str, Any] = (await self.cipo.get(SLO, name))["status"]
        return status


@pytest.fixture
def clock(cipo: Person, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(cipo, monkeypatch, datetime.now(UTC).replace(second=0, microsecond=0))


async def test_facts_make_the_state_and_without_them_nothing_is_known(cipo: Person, clock: Clock) -> None:
    assert (await cipo.create(SLO, "counts", SPEC)).status_code == 201
    status = await clock.look("counts")
    assert (status["state"], status["reason"]) == ("unknown", "no facts in the last 30 days")
    await tell(cipo, range(10, 110), 10, 0, at=clock.at)
    status = await clock.look("counts")
    assert (status["state"], status["value"], status["n"], status["budget"]["state"]) == ("met", 1.0, 100, "Healthy")
    await tell(cipo, range(10, 40), 0, 10, at=clock.at)
    status = await clock.look("counts")
    assert (status["state"], round(status["value"], 3), status["budget"]["state"]) == ("missed", 0.769, "Exhausted")
    assert status["budget"]["bad"] == 300
    rows = await cipo.plane.db.fetch("select message from cipo.event where gk = %s and verb = 'reconcile' order by seq", (SLO.gk,))
    told = " | ".join(message or "" for (message,) in rows)
    assert "counts: unknown -> met at 1 of 100 facts" in told
    assert "counts: budget Healthy -> Exhausted (300 bad of 1300, -2207.7% left)" in told
    await cipo.plane.db.execute("delete from cipo.fact where name = 'cmdb.count'")
    status = await clock.look("counts")
    assert status["state"] == "unknown"
    assert "value" not in status
    assert status["budget"]["state"] == "Unknown"


async def test_a_burn_fires_and_ends_after_two_calm_looks_and_five_minutes(cipo: Person, clock: Clock) -> None:
    assert (await cipo.create(SLO, "counts", merged(SPEC, {"objective": {"target": 0.999}}))).status_code == 201
    await tell(cipo, range(61, 6000), 100, 0, at=clock.at)
    await tell(cipo, range(1, 61), 90, 10, at=clock.at)
    status = await clock.look("counts")
    fired = {alert["tier"]: alert["since"] for alert in status["budget"]["alerts"]}
    assert "page-quick" in fired
    assert status["budget"]["state"] in ("AtRisk", "Exhausted")
    ((due,),) = await cipo.plane.db.fetch(
        "select extract(epoch from w.due - now())::float8 from cipo.work w join cipo.resource r using (uid) where r.name = 'counts'"
    )
    assert due < 31  # somebody may have to be woken: it looks again soon
    began = clock.at
    await tell(cipo, range(-30, 0), 1000, 0, at=began)  # calm from now on
    states = []
    for minute in (6, 9, 12):  # calm for 0, 3 and 6 minutes
        clock.at = began + timedelta(minutes=minute)
        status = await clock.look("counts")
        states.append({alert["tier"]: alert for alert in status["budget"]["alerts"]}.get("page-quick"))
    first, second, third = states
    assert first is not None
    assert second is not None
    assert (first["calm"], second["calm"], second["since"]) == (1, 2, fired["page-quick"])
    assert third is None


async def test_several_objectives_are_judged_each_and_as_one(cipo: Person, clock: Clock) -> None:
    several = {**SPEC, "objectives": [{"target": 0.99, "name": "ours", "weight": 3}, {"target": 0.8, "name": "theirs"}]}
    del several["objective"]
    assert (await cipo.create(SLO, "counts", several)).status_code == 201
    await tell(cipo, range(10, 110), 9, 1, at=clock.at)
    status = await clock.look("counts")
    assert {one["name"]: one["state"] for one in status["objectives"]} == {"ours": "missed", "theirs": "met"}
    assert status["state"] == "missed"
    assert status["composite"] == {"achieved": pytest.approx(0.9), "promised": pytest.approx(0.9425)}


async def test_an_ended_period_is_a_fact_of_the_slo_miss_kpi(cipo: Person, clock: Clock) -> None:
    daily = merged(SPEC, {"window": {"rolling": None, "calendar": "1d", "start": "2026-01-01"}})
    assert (await cipo.create(SLO, "counts", daily)).status_code == 201
    await tell(cipo, range(1, 60), 1, 1, at=clock.at)
    await clock.look("counts")
    clock.at += timedelta(days=1, hours=2)
    for _ in range(2):
        await clock.look("counts")
    rows = await cipo.plane.db.fetch("select value, object, attrs->>'state' from cipo.fact where name = 'slo.period' order by ts")
    assert rows
    assert set(rows) == {(1.0, "counts", "missed")}
    assert len(rows) <= 2  # a test at midnight tells of two days


async def test_a_prometheus_without_an_address_blocks_and_no_figure_is_made_up(cipo: Person, clock: Clock) -> None:
    source = {"facts": "", "prometheus": "main", "bad": "sum(increase(e[$window]))", "total": "sum(increase(a[$window]))"}
    assert (await cipo.create(SLO, "web", merged(SPEC, {"indicator": {"source": source}}))).status_code == 201
    status = await clock.look("web")
    assert (status["state"], status["reason"]) == ("unknown", "no connection to its Prometheus")
    (blocked,) = [one for one in status["conditions"] if one["type"] == "Blocked"]
    assert "write its address in spec.indicator.source.prometheus" in blocked["message"]


async def test_a_prometheus_that_is_away_shows_as_unavailable(cipo: Person, clock: Clock) -> None:
    source = {"facts": "", "prometheus": "http://127.0.0.1:9", "bad": "sum(increase(e[$window]))", "total": "sum(increase(a[$window]))"}
    assert (await cipo.create(SLO, "web", merged(SPEC, {"indicator": {"source": source}}))).status_code == 201
    status = await clock.look("web")
    (ready,) = [one for one in status["conditions"] if one["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "Unavailable")
    assert status.get("value") is None


def test_the_worst_objective_stands_for_all() -> None:
    assert module.WORST.index("missed") < module.WORST.index("unknown") < module.WORST.index("met")
    assert Standing(name="x").alerts == []
