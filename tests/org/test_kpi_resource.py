"""A KPI as people meet it: facts make its state, their lack is unknown, late ones restate it, and its events say so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cipo.kernel.engine.routine import Routine
from cipo.org.kinds import Kpi
from cipo.testing import running

pytestmark = pytest.mark.anyio
FACT = "insert into cipo.fact (ts, name, unit, value, attrs, seq) select %s - n * %s::interval, %s, '1B/U-C1', %s, '{}', 1 from generate_series(0, %s) as n"


@pytest.fixture
async def cipo(pg_dsn):
    async with running(pg_dsn) as person:
        await person.reconcile()
        yield person


async def told(cipo, value: float, count: int, *, name: str = "purchase.lead_time", step: str = "1 hour", at: datetime | None = None):
    """Facts that came in bulk, and the routine that makes slices of them."""
    await cipo.plane.db.execute(FACT, (at or datetime.now(UTC), step, name, value, count - 1))
    await rolled(cipo)


async def rolled(cipo):
    await cipo.plane.db.execute(
        "update cipo.resource set body = jsonb_set(body::jsonb, '{status,lastRun}', 'null')::text where name = 'kpi-rollup'"
    )
    await cipo.plane.db.execute("update cipo.work set due = now() where uid = (select uid from cipo.resource where name = 'kpi-rollup')")
    await cipo.reconcile()


async def status(cipo, name="purchase-lead-time"):
    return (await cipo.get(Kpi.info, name))["status"]


async def events(cipo, name="purchase-lead-time"):
    return await cipo.plane.db.fetch("select reason, message from cipo.event where name = %s and reason <> '' order by seq", (name,))


async def test_without_facts_it_is_unknown_and_says_who_is_not_there(cipo):
    found = await status(cipo)
    assert (found["state"], found.get("value")) == ("unknown", None)
    assert found["reason"] == "no facts yet: 1A/U-V1 not staffed"


async def test_facts_make_it_met_then_missed_and_their_removal_unknown(cipo):
    await told(cipo, 2.0, 20)
    found = await status(cipo)
    assert (found["state"], found["n"]) == ("met", 20) and found["value"] == pytest.approx(2.0, rel=0.01)
    await told(cipo, 300.0, 20, step="1 minute")
    assert (await status(cipo))["state"] == "missed"
    await cipo.plane.db.execute("delete from cipo.fact")
    await rolled(cipo)
    found = await status(cipo)
    assert (found["state"], found.get("value"), found["n"]) == ("unknown", None, 0)
    assert [reason for reason, _ in await events(cipo)] == ["KPIChanged"] * 3
    assert "unknown -> met at 2" in (await events(cipo))[0][1]


async def test_a_late_fact_restates_a_published_month_and_the_first_figure_stays(cipo):
    now = datetime.now(UTC)
    last_month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
    await told(cipo, 2.0, 10, at=last_month)
    (period, *_) = (await status(cipo))["periods"]
    assert (period["revision"], period["state"]) == (1, "met")
    await told(cipo, 400.0, 10, at=last_month)
    (again, *_) = (await status(cipo))["periods"]
    assert (again["revision"], again["state"], again["start"]) == (2, "missed", period["start"])
    (reason, message) = (await events(cipo))[-1]
    assert reason == "KPIRestated" and "became 399.474 (missed) by 10 late" in message
    rows = await cipo.plane.db.fetch(
        "select revision, state from cipo.kpi_period where kpi = 'purchase-lead-time' and start = %s order by 1", (period["start"],)
    )
    assert rows == [(1, "met"), (2, "missed")]


async def test_a_probe_that_falls_silent_is_unknown_and_not_green(cipo):
    """Good facts up to an hour ago: whoever shows the last good number lies."""
    spec = (await cipo.get(Kpi.info, "api-uptime"))["spec"]
    assert spec["data"]["every"], "probes have a cadence in the chart"
    await told(cipo, 1.0, 3000, name="k8s.api.probe", step="10 seconds", at=datetime.now(UTC) - timedelta(hours=1))
    found = await status(cipo, "api-uptime")
    assert found["state"] == "unknown" and found["reason"].startswith("no facts since ")
    await told(cipo, 1.0, 360, name="k8s.api.probe", step="10 seconds")
    found = await status(cipo, "api-uptime")
    assert found["state"] == "met", found
    assert found["budget"]["state"] == "Healthy"


async def test_a_burning_budget_is_said_in_the_event(cipo):
    await told(cipo, 1.0, 3000, name="k8s.api.probe", step="10 seconds")
    await told(cipo, 0.0, 40, name="k8s.api.probe", step="5 seconds")
    found = await status(cipo, "api-uptime")
    assert {alert["tier"] for alert in found["budget"]["alerts"]} >= {"page-quick"}
    assert any("budget" in message and "page-quick fires" in message for _, message in await events(cipo, "api-uptime"))


async def test_a_look_at_unchanged_facts_writes_nothing(cipo):
    await told(cipo, 2.0, 20)
    before = (await cipo.get(Kpi.info, "purchase-lead-time"))["metadata"]["resourceVersion"]
    await cipo.plane.db.execute("update cipo.work set due = now() where gk = %s", (Kpi.info.gk,))
    await cipo.reconcile()
    assert (await cipo.get(Kpi.info, "purchase-lead-time"))["metadata"]["resourceVersion"] == before
    assert (await cipo.get(Routine.info, "kpi-rollup"))["status"]["runs"] >= 1
