"""A real Prometheus and a real Alertmanager on the samples that the engine judges: the page comes in the same minute, and arrives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cipo.kernel.slo import budget, prometheus, promql
from cipo.kernel.slo.windows import floor
from tests.kernel.slo import servers
from tests.kernel.slo.burn import BURNT_PER_MINUTE, PER_MINUTE, QUIET_MINUTES, STEP, TARGET, first_page_of_engine
from tests.kernel.slo.promises import objective
from tests.kernel.slo.servers import backfill, needs_servers, until
from tests.kernel.slo.test_prometheus import written

pytestmark = pytest.mark.slow
EVERY = timedelta(seconds=15)
BURNING = 70
PROMISE = objective("burning", TARGET)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("prometheus")


@pytest.fixture(scope="module")
def begun(home) -> datetime:
    """The minute from which 2 % are bad, on a disk of samples up to now."""
    now = datetime.now(UTC)
    begun = floor(now, 1) - timedelta(minutes=BURNING)
    backfill(home, prometheus.COUNTER, [({"objective": "burning", "outcome": one}, samples(one, begun, now)) for one in ("good", "bad")])
    return begun


def samples(outcome: str, begun: datetime, now: datetime) -> Iterator[tuple[datetime, float]]:
    """The counter every 15 s; events come evenly, as the engine's do."""
    at = begun - timedelta(minutes=QUIET_MINUTES)
    while at <= now:
        bad = max(0.0, (at - begun) / timedelta(minutes=1) * BURNT_PER_MINUTE)
        total = (at - begun + timedelta(minutes=QUIET_MINUTES)) / timedelta(minutes=1) * PER_MINUTE
        yield at, bad if outcome == "bad" else total - bad
        at += EVERY


@pytest.fixture(scope="module")
def running(home, begun) -> Iterator[tuple[servers.Server, servers.Server]]:
    with servers.alertmanager(home) as told, servers.prometheus(home, written(prometheus.of_facts(PROMISE)), tells=told) as asked:
        yield asked, told


@needs_servers
def test_the_page_fires_in_the_minute_of_the_engine(running, begun):
    tier = next(one for one in budget.tiers_of(PROMISE) if one.name == "page-quick")
    (promise,) = prometheus.promises(prometheus.of_facts(PROMISE))
    # Recorded series begin when Prometheus does, so the past is asked by the same expression over the samples themselves.
    query = promql.printed(prometheus.burning(promise, tier, inline=True))
    times = {"start": begun.timestamp(), "end": (begun + timedelta(minutes=BURNING)).timestamp(), "step": STEP.total_seconds()}
    found = running[0].get("/api/v1/query_range", query=query, **{name: f"{value:.0f}" for name, value in times.items()})["data"]["result"]
    first = datetime.fromtimestamp(float(found[0]["values"][0][0]), UTC)
    assert int((first - begun) / timedelta(minutes=1)) == first_page_of_engine(PROMISE, begun)


@needs_servers
def test_the_page_is_active_and_arrives_at_the_alertmanager(running):
    asked, told = running
    alert = until(lambda: of_tier(asked.get("/api/v1/alerts")["data"]["alerts"], "page-quick"), "the alert in Prometheus")
    assert (alert["state"], alert["labels"]["slo"]) == ("firing", "burning")
    arrived = until(lambda: of_tier(told.get("/api/v2/alerts"), "page-quick"), "the alert in the Alertmanager")
    assert arrived["labels"] == {
        "alertname": "CipoSLOBurn", "slo": "burning", "service": "1B/U-C1", "severity": "page", "tier": "page-quick", "long": "1h", "short": "5m",
    }  # fmt: skip
    assert arrived["annotations"]["description"].endswith("Bad share over 1h: 2%.")


@needs_servers
def test_no_rule_fails_and_each_window_is_recorded(running):
    asked, _ = running
    query = 'count({__name__=~"cipo:sli_(bad|total):increase.*",slo="burning"})'
    until(lambda: values(asked.get("/api/v1/query", query=query)) >= 14, "all windows recorded")
    (group,) = asked.get("/api/v1/rules")["data"]["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}


def values(answer) -> float:
    found = answer["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


def of_tier(alerts, tier):
    return next((one for one in alerts if one["labels"].get("tier") == tier), None)
