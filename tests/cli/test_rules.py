"""``cipo slo rules`` and ``dashboard`` on a running plane and from files."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from tests.kernel.slo.test_prometheus import needs_promtool

pytestmark = pytest.mark.slow


@needs_promtool
def test_all_promises_with_a_budget_become_rules_that_prometheus_takes(here, tmp_path):
    done = here("slo", "rules")
    assert done.code == 0
    (tmp_path / "rules.yml").write_text(done.out)
    checked = subprocess.run(["promtool", "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, timeout=60, check=False)
    assert checked.returncode == 0
    assert "rma-turnaround has no rules: a percentile is no share" in done.err or "is no share of good events" in done.err
    assert {group["name"] for group in yaml.safe_load(done.out)["groups"]} >= {"cipo-slo-api-uptime"}


def test_the_operator_gets_one_object_with_the_names_of_sloth_in_it(here):
    done = here("slo", "rules", "api-uptime", "--crd", "--sloth", "-n", "monitoring")
    made = yaml.safe_load(done.out)
    assert (made["kind"], made["metadata"]) == ("PrometheusRule", {"name": "cipo-slo", "namespace": "monitoring"})
    (group,) = made["spec"]["groups"]
    assert "slo:sli_error:ratio_rate5m" in {rule.get("record") for rule in group["rules"]}


def test_a_file_gives_the_same_rules_as_the_server(here, tmp_path):
    kept = tmp_path / "kpis.yaml"
    kept.write_text(here("get", "kpis", "api-uptime", "-o", "yaml").out)
    assert here("slo", "rules", "-f", str(kept)).out == here("slo", "rules", "api-uptime").out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("rules", "no-such"), "no promise of this organisation is called no-such"),
        (("rules", "inventory-accuracy"), "inventory-accuracy has no rules: the promise"),
        (("dashboard", "no-such"), "no promise of this organisation is called no-such"),
    ],
)
def test_what_cannot_be_written_says_why(here, words, why):
    done = here("slo", *words)
    assert (done.code, done.out) == (1, "")
    assert why in done.err


@pytest.mark.parametrize(("name", "tag"), [("api-uptime", "slo"), ("inventory-accuracy", "kpi")])
def test_every_promise_has_a_dashboard(here, name, tag):
    made = json.loads(here("slo", "dashboard", name).out)
    assert (made["title"], tag in made["tags"]) == (f"Promise: {name}", True)


OPENSLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: cart}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  indicator:
    metadata: {name: cart-errors}
    spec:
      ratioMetric:
        total: {metricSource: {type: Prometheus, spec: {query: 'rate(http_requests_total{job="cart"}[$window])'}}}
        bad: {metricSource: {type: Prometheus, spec: {query: 'rate(http_requests_total{job="cart",code=~"5.."}[$window])'}}}
  objectives:
  - target: 0.99
"""


def test_an_openslo_document_becomes_rules_over_its_own_queries_without_a_server(cipo, tmp_path):
    (tmp_path / "slo.yaml").write_text(OPENSLO)
    done = cipo("slo", "rules", "-f", str(tmp_path / "slo.yaml"))
    assert done.code == 0, done.err
    (group,) = yaml.safe_load(done.out)["groups"]
    assert group["rules"][1]["expr"] == 'sum(increase(http_requests_total{job="cart"}[5m]))'
    assert json.loads(cipo("slo", "dashboard", "cart", "-f", str(tmp_path / "slo.yaml")).out)["tags"] == ["cipo", "slo"]


def test_an_slo_of_the_server_becomes_rules_too(here, tmp_path):
    (tmp_path / "slo.yaml").write_text(OPENSLO)
    assert here("slo", "import", str(tmp_path / "slo.yaml")).code == 0
    assert here("slo", "rules", "cart").out == here("slo", "rules", "-f", str(tmp_path / "slo.yaml")).out


def test_a_document_that_refers_to_nothing_here_says_why_it_has_no_rules(cipo, shared_data):
    done = cipo("slo", "rules", "-f", str(shared_data / "1F" / "openslo" / "budgeting-method_occurences-slo.yaml"))
    assert done.code == 1
    assert "search-slo has no rules: SourceUnsupported" in done.err
