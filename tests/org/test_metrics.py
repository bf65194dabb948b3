"""/metrics of a running plane: what a scraper with a token reads, and that nobody reads without one."""

from __future__ import annotations

import subprocess

import psycopg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from cipo.kernel.slo.prometheus import counted_as
from tests.kernel.slo.test_prometheus import needs_promtool

pytestmark = pytest.mark.slow
KPI = "inventory-accuracy"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}


def figures(families) -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def scrape(live) -> dict[tuple[str, ...], float]:
    with live.client() as client:
        return figures(plain(client.get("/metrics").raise_for_status().text))


def tell(live, good: int, bad: int) -> None:
    """Facts of the KPI as its unit would write them, rolled as the worker does."""
    with live.client() as client:
        fact = client.get(f"/apis/org.cipo/v1/kpis/{KPI}").json()["spec"]["indicator"]["fact"]
    with psycopg.connect(live.dsn, autocommit=True) as db:
        for value, weight in ((1, good), (0, bad)):
            if weight:
                db.execute(
                    "insert into cipo.fact (ts, name, unit, value, weight, attrs, seq) values (now(), %s, '1A/U-D1', %s, %s, '{}', 1)",
                    (fact, value, weight),
                )
    with live.client() as client:
        client.get(f"/apis/org.cipo/v1/kpis/{KPI}/explain").raise_for_status()


def test_without_a_token_nothing_is_read(live_api):
    with live_api.client(token="nobody") as client:
        answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")


def test_the_verdict_of_every_promise_is_a_gauge(live_api):
    with live_api.client() as client:
        names = {item["metadata"]["name"] for item in client.get("/apis/org.cipo/v1/kpis").json()["items"]}
    found = scrape(live_api)
    assert {labels[1] for labels in found if labels[0] == "cipo_kpi_state"} == names
    for name in names:
        assert sum(found["cipo_kpi_state", name, state] for state in ("met", "missed", "unknown")) == 1
    assert found["cipo_kpi_limit", KPI, "≥"] > 0.9


def test_events_are_counted_over_restarts(live_api):
    before = scrape(live_api)
    tell(live_api, 200, 3)
    after = scrape(live_api)
    grown = {
        outcome: after["cipo_sli_events_total", KPI, outcome] - before["cipo_sli_events_total", KPI, outcome] for outcome in ("good", "bad")
    }
    assert grown == {"good": 200, "bad": 3}
    live_api.stop("api")
    live_api.start("api")
    again = scrape(live_api)
    assert {key: value for key, value in again.items() if key[0] == "cipo_sli_events_total"} == {
        key: value for key, value in after.items() if key[0] == "cipo_sli_events_total"
    }


def test_a_scraper_that_asks_for_openmetrics_gets_it(live_api):
    with live_api.client() as client:
        answer = client.get("/metrics", headers=OPENMETRICS).raise_for_status()
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert ("cipo_sli_events_total", KPI, "good") in figures(openmetrics(answer.text))


def test_a_goal_of_an_slo_on_facts_is_counted_under_the_name_that_its_rules_ask_for(live_api):
    with live_api.client() as client:
        fact = client.get(f"/apis/org.cipo/v1/kpis/{KPI}").json()["spec"]["indicator"]["fact"]
    slo = {
        "apiVersion": "reliability.cipo/v1",
        "kind": "ServiceLevelObjective",
        "metadata": {"name": "stock"},
        "spec": {
            "service": "warehouse",
            "indicator": {"source": {"facts": fact}, "type": "ratio"},
            "objective": {"target": 0.99},
            "window": {"rolling": "30d"},
        },
    }
    with live_api.client() as client:
        made = client.post("/apis/reliability.cipo/v1/servicelevelobjectives", json=slo)
        assert made.is_success, made.text
        text = client.get("/metrics").text
    found = figures(plain(text))
    (name,) = {labels[1] for labels in found if labels[0] == "cipo_sli_events_total" and labels[1].startswith("slo/stock/")}
    assert name == counted_as("stock", "stock")
    assert found["cipo_kpi_limit", name, "≥"] == 0.99


@needs_promtool
def test_promtool_finds_nothing_to_say_about_the_names(live_api):
    with live_api.client() as client:
        text = client.get("/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
