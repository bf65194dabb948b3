"""Rules for Prometheus: what they say, that Prometheus itself accepts each of them, and that they fire when the engine does."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cipo.kernel.slo import prometheus, promql, rules
from cipo.kernel.slo.document import Document, Goal, Queries
from cipo.kernel.slo.objective import Budgeting, Indicator, Limit
from cipo.kernel.slo.prometheus import NoRules, Options
from tests.kernel.slo.burn import BURNT_PER_MINUTE, PER_MINUTE, QUIET_MINUTES, TARGET, first_page_of_engine, pencil
from tests.kernel.slo.promises import A_MONTH, documents, errors_by_month, latency, objective, on_facts

GOLDEN = Path(__file__).parents[2] / "golden" / "slo"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")


def written(*found: Document, **options: bool) -> str:
    return rules.to_yaml(rules.rule_file(prometheus.groups(found, Options(**options))))


def promtool(*words: str) -> str:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- what they say


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("facts", lambda: written(prometheus.of_facts(on_facts()))),
        ("timeslices", lambda: written(latency(), inline=True)),
        (
            "operator",
            lambda: rules.to_yaml(
                rules.crd(prometheus.groups([errors_by_month()], Options(sloth=True)), "cipo-slo", "monitoring", {"release": "kube"})
            ),
        ),
    ],
)
def test_a_promise_always_gives_the_same_rules(name, text):
    assert text() == (GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")


def test_each_tier_that_can_fire_has_one_alert_with_the_figures_of_the_engine():
    (group,) = prometheus.groups([prometheus.of_facts(on_facts())])
    alerts = [rule.labels for rule in group.rules if rule.alert == "CipoSLOBurn"]
    assert [(one["tier"], one["severity"], one["long"], one["short"]) for one in alerts] == [
        ("page-quick", "page", "1h", "5m"),
        ("page-slow", "page", "6h", "30m"),
        ("ticket-quick", "ticket", "1d", "2h"),
        ("ticket-slow", "ticket", "3d", "6h"),
    ]


def test_a_tier_that_can_never_fire_has_no_alert():
    (group,) = prometheus.groups([errors_by_month()])  # 14.4 x (1 - 0.9) is more than everything
    assert "page-quick" not in {rule.labels.get("tier") for rule in group.rules}


def test_a_period_is_summed_up_from_five_minutes_and_never_averaged():
    text = written(prometheus.of_facts(on_facts()))
    assert 'sum_over_time(cipo:sli_bad:increase5m{slo="api-uptime"}[30d:5m])' in text
    assert "avg_over_time" not in text


def test_labels_that_prometheus_cannot_take_are_left_out_and_templates_are_texts():
    (group,) = yaml.safe_load(written(errors_by_month()))["groups"]
    record, alert = group["rules"][0]["labels"], group["rules"][-1]["labels"]
    assert record["team"] == "{{ shop }}"
    assert alert["team"] == '{{ "{{" }} shop }}'  # an alert's labels are templates
    assert "not a label" not in prometheus.promises(prometheus.of_facts(on_facts()))[0].labels


def test_a_name_is_a_name_whatever_is_in_it():
    awkward = replace(objective('100% "$window" [5m]'), owner="")
    (group,) = prometheus.groups([prometheus.of_facts(awkward)])
    assert promql.printed(group.rules[1].expr) == (
        'sum(max by (outcome) (increase(cipo_sli_events_total{objective="100% \\"$window\\" [5m]"}[5m])))'
    )


def test_a_document_on_facts_has_rules_for_each_of_its_goals():
    goals = (Goal(objective("fast", 0.9)), Goal(objective("faster", 0.99)))
    document = Document("both", "shop", goals)
    assert [group.name for group in prometheus.groups(prometheus.in_prometheus(document))] == ["cipo-slo-fast", "cipo-slo-faster"]
    assert 'objective="slo/both/fast"' in written(*prometheus.in_prometheus(document))  # a KPI may be called fast, too
    assert prometheus.in_prometheus(latency()) == (latency(),)


# -- what is refused


@pytest.mark.parametrize(
    ("queries", "field", "why"),
    [
        (Queries(total="sum(increase(a[5m]))", bad="increase(b[$window])"), "indicator.total", "has no $window in brackets"),
        (Queries(total='increase(a{x="[$window]"}[5m])', bad="increase(b[$window])"), "indicator.total", "has no $window in brackets"),
        (Queries(total="increase(a[$window] offset $window)", bad="b[$window]"), "indicator.total", "stands outside of a range's brackets"),
        (Queries(total="increase(a[$window])", bad="b[$window]"), "indicator.bad", "is a range; count its events"),
        (Queries(total="scalar(increase(a[$window]))", bad="increase(b[$window])"), "indicator.total", "is a single number, not a series"),
        (Queries(total="increase(a[$window]", bad="increase(b[$window])"), "indicator.total", "is not PromQL: unclosed left parenthesis"),
        (Queries(total="sum(increase(a[$window]))", good="sum(rate(a[$window]))"), "indicator.good", "same query as total"),
        (Queries(total="increase(a[$window])"), "indicator", "exactly one of good and bad"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused_with_its_field_and_the_reason(queries, field, why):
    with pytest.raises(NoRules) as refused:
        prometheus.groups([replace(latency(), queries=queries)])
    assert (field, True) in [(where, why in text) for where, text in refused.value.problems]


def test_all_that_is_wrong_is_said_at_once():
    goal = Goal(replace(objective(), limit=Limit(">=", 1.0)))
    document = replace(latency(), queries=Queries(total="a", bad="b["), goals=(goal,))
    assert [field for field, _ in prometheus.problems(document)] == ["indicator.total", "indicator.bad", "objectives[0].target"]


def test_promises_of_one_name_are_refused():
    with pytest.raises(NoRules, match="another promise has this name"):
        prometheus.groups([latency(), latency()])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (replace(objective(), indicator=Indicator("percentile", "x", p=95.0)), "a percentile is no share"),
        (objective(target=1.0), "leaves no budget"),
    ],
)
def test_a_promise_on_facts_without_rules_says_why(given, why):
    assert why in prometheus.no_rules(given)
    with pytest.raises(NoRules, match=re.escape(why)):
        prometheus.of_facts(given)


# -- what Prometheus says


@needs_promtool
@pytest.mark.slow
@settings(
    max_examples=20,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    found=st.lists(documents(), min_size=1, max_size=12, unique_by=lambda document: document.name),
    sloth=st.booleans(),
    inline=st.booleans(),
)
def test_promtool_accepts_whatever_is_promised(tmp_path, found, sloth, inline):
    usable = [one for one in found if not list(prometheus.problems(one))]
    made = prometheus.groups(usable, Options(sloth, inline))
    file = tmp_path / "rules.yml"
    file.write_text(rules.to_yaml(rules.rule_file(made)), encoding="utf-8")
    assert f"{sum(len(group.rules) for group in made)} rules found" in promtool("check", "rules", str(file))
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == rules.rule_file(made)


@needs_promtool
@pytest.mark.slow
@pytest.mark.parametrize("inline", [False, True])
def test_a_burn_of_twenty_times_pages_in_the_minute_of_the_engine(tmp_path, inline):
    """The engine looks back from the end of the running minute, Prometheus from the moment itself: at most one evaluation apart."""
    promise = objective("burning", TARGET)
    (tmp_path / "rules.yml").write_text(written(prometheus.of_facts(promise), inline=inline), encoding="utf-8")
    first, by_hand = first_page_of_engine(promise), pencil()
    firing = {"labels": f"ALERTS{{{_labels(promise, 'page-quick')}}}", "value": 1}

    def at(minute: int, *samples: object) -> dict[str, object]:
        return {
            "expr": 'ALERTS{alertname="CipoSLOBurn",severity="page",tier="page-quick"}',
            "eval_time": f"{minute}m",
            "exp_samples": [*samples],
        }

    good = (
        f"0+{PER_MINUTE}x{QUIET_MINUTES} {QUIET_MINUTES * PER_MINUTE + PER_MINUTE - BURNT_PER_MINUTE}+{PER_MINUTE - BURNT_PER_MINUTE}x120"
    )
    series = {
        "good": good,
        "bad": f"0+0x{QUIET_MINUTES} {BURNT_PER_MINUTE}+{BURNT_PER_MINUTE}x120",
    }
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f'cipo_sli_events_total{{objective="burning",outcome="{outcome}"}}', "values": values}
                    for outcome, values in series.items()
                ],
                "promql_expr_test": [at(QUIET_MINUTES), at(QUIET_MINUTES + by_hand - 1), at(QUIET_MINUTES + by_hand, firing)],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    promtool("test", "rules", str(tmp_path / "test.yml"))
    assert abs(first - by_hand) <= 1


def _labels(promise, tier):
    (group,) = prometheus.groups([prometheus.of_facts(promise)])
    labels = next(rule.labels for rule in group.rules if rule.labels.get("tier") == tier)
    return ",".join(f'{name}="{value}"' for name, value in {"alertname": "CipoSLOBurn", "alertstate": "firing", **labels}.items())


@needs_promtool
@pytest.mark.slow
def test_slices_count_as_the_engine_counts_them(tmp_path):
    """Of ten minutes three fall short of 95 %: three bad slices, whatever the traffic in them."""
    promise = replace(objective("sliced", 0.9), budgeting=Budgeting("Timeslices", timedelta(minutes=1), 0.95))
    (tmp_path / "rules.yml").write_text(written(prometheus.of_facts(promise)), encoding="utf-8")
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "30s",
                "input_series": [
                    {"series": 'cipo_sli_events_total{objective="sliced",outcome="good"}', "values": "0+100x40"},
                    {"series": 'cipo_sli_events_total{objective="sliced",outcome="bad"}', "values": "0+0x14 10+10x5 60+0x20"},
                ],
                "promql_expr_test": [
                    {"expr": "cipo:sli_bad:increase30m", "eval_time": "20m", "exp_samples": [_sample("cipo:sli_bad:increase30m", 3)]},
                    # Prometheus 2 counts both ends of a range when they lie on its steps, as they do here and seldom elsewhere.
                    {"expr": "cipo:sli_total:increase5m", "eval_time": "20m", "exp_samples": [_sample("cipo:sli_total:increase5m", 6)]},
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    promtool("test", "rules", str(tmp_path / "test.yml"))


@needs_promtool
@pytest.mark.slow
def test_what_is_left_of_the_budget_is_recorded_by_sums_over_the_period(tmp_path):
    """A busy hour of 1 bad in 2 000, then ten quiet ones without: the busy one weighs what it saw."""
    promise = objective("spent", 0.999)
    (tmp_path / "rules.yml").write_text(written(prometheus.of_facts(promise)), encoding="utf-8")
    good, bad = "0+1999x60 119940+1x600", "0+1x60 60+0x600"
    left = "round(cipo:slo_error_budget_remaining:ratio, 0.001)"
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f'cipo_sli_events_total{{objective="spent",outcome="{outcome}"}}', "values": values}
                    for outcome, values in (("good", good), ("bad", bad))
                ],
                "promql_expr_test": [
                    {"expr": left, "eval_time": "1h", "exp_samples": [{"labels": '{slo="spent",service="1B/U-C1"}', "value": 0.5}]},
                    # 60 bad in 120 600: an average of hourly ratios would leave 0.955
                    {"expr": left, "eval_time": "11h", "exp_samples": [{"labels": '{slo="spent",service="1B/U-C1"}', "value": 0.502}]},
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    promtool("test", "rules", str(tmp_path / "test.yml"))


def _sample(name, value):
    return {"labels": f'{name}{{slo="sliced",service="1B/U-C1"}}', "value": value}


def test_the_window_of_a_promise_is_its_period():
    assert prometheus.promises(prometheus.of_facts(on_facts()))[0].period == A_MONTH.span
    assert prometheus.promises(errors_by_month())[0].period == timedelta(days=30)
