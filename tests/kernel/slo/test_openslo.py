"""OpenSLO in and out: the four examples of the format's own repository, what is refused and how it is told, and that nothing is lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cipo.kernel.slo import objective as o
from cipo.kernel.slo.document import Document
from cipo.kernel.slo.objective import Budgeting, Limit, Term
from cipo.kernel.slo.openslo import Bundle, OpenSLOError, read, write
from cipo.kernel.slo.windows import Calendar, Rolling
from tests.kernel.slo.documents import documents

NOON = datetime(2022, 1, 1, 12)
SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: api, displayName: The API, labels: {team: b1}}
spec:
  service: kube-api
  indicator:
    metadata: {name: probes}
    spec:
      ratioMetric:
        good: {metricSource: {type: cipo-facts, spec: {fact: k8s.api.probe, where: {cluster: "prod-*"}}}}
        total: {metricSource: {type: cipo-facts, spec: {fact: k8s.api.probe, where: {cluster: "prod-*"}}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: Up, op: gt, target: 0.9995}]
"""
GOOD = '{metricSource: {type: cipo-facts, spec: {fact: k8s.api.probe, where: {cluster: "prod-*"}}}}'


def one(text: str) -> Document:
    return read(text).documents[0]


def refused(text: str) -> list[tuple[int, str, str, str]]:
    with pytest.raises(OpenSLOError) as caught:
        read(text)
    return [(problem.document, problem.field, problem.value, problem.why) for problem in caught.value.problems]


def test_an_slo_over_facts_means_an_objective() -> None:
    document = one(SLO)
    (goal,) = document.goals
    assert (document.name, document.service, document.display_name, document.indicator_name) == ("api", "kube-api", "The API", "probes")
    assert goal.objective.indicator.fact == "k8s.api.probe"
    assert goal.objective.indicator.where == (Term("cluster", "glob", ("prod-*",)),)
    assert (goal.objective.limit, goal.objective.budget_target) == (Limit(">=", 0.9995), 0.9995)  # op says nothing of a ratio
    assert goal.objective.window == Rolling(timedelta(days=30))
    assert goal.objective.labels == {"team": "b1"}


def test_a_threshold_is_a_ratio_of_the_values_that_pass() -> None:
    spec = "thresholdMetric: {metricSource: {type: cipo-facts, spec: {fact: web.latency}}}"
    text = SLO[: SLO.index("      ratioMetric")] + f"      {spec}\n" + SLO[SLO.index("  timeWindow") :]
    (goal,) = one(text.replace("op: gt,", "op: lt, value: 500,")).goals
    assert (goal.objective.indicator.method, goal.objective.indicator.good) == ("ratio", o.Test("<", 500.0))
    assert [(field, why) for _, field, _, why in refused(text.replace("op: gt, ", ""))] == [
        ("spec.objectives[0].op", "is missing; a threshold needs op (lte, lt, gte, gt) and value"),
        ("spec.objectives[0].value", "is missing; a threshold needs op (lte, lt, gte, gt) and value"),
    ]


def test_bad_events_are_good_ones_turned_round() -> None:
    text = SLO.replace("        good: ", "        bad: ")
    assert one(text).goals[0].objective.indicator.good == o.Test("!=", 1.0)
    counted = text.replace("fact: k8s.api.probe, where", 'fact: k8s.api.probe, bad: "value > 300", where', 1)
    assert one(counted).goals[0].objective.indicator.good == o.Test("<=", 300.0)


def test_a_raw_ratio_is_a_mean() -> None:
    text = SLO[: SLO.index("        good")] + f"        raw: {GOOD}\n        rawType: failure\n" + SLO[SLO.index("  timeWindow") :]
    (goal,) = one(text).goals
    assert (goal.objective.indicator.method, goal.objective.limit) == ("mean", Limit("<=", 0.0005))
    (goal,) = one(text.replace("failure", "success")).goals
    assert goal.objective.limit == Limit(">=", 0.9995)


def test_several_objectives_are_several_goals_with_weights_and_slices_of_their_own() -> None:
    objectives = """
  - {displayName: ours, target: 0.995, timeSliceTarget: 0.99, timeSliceWindow: 1m, compositeWeight: 2}
  - {displayName: theirs, targetPercent: 99.9, timeSliceTarget: 0.9, timeSliceWindow: 5}
"""
    text = SLO.replace("Occurrences", "Timeslices").replace(" [{displayName: Up, op: gt, target: 0.9995}]\n", objectives)
    ours, theirs = one(text).goals
    assert (ours.weight, theirs.weight) == (2.0, 1.0)
    assert (ours.objective.name, theirs.objective.name) == ("api-1", "api-2")
    assert theirs.objective.budget_target == 0.999
    assert theirs.objective.budgeting == Budgeting("Timeslices", timedelta(minutes=5), 0.9)


def test_a_calendar_window_begins_at_a_wall_clock_time() -> None:
    calendar = "timeWindow: [{duration: 1M, calendar: {startTime: 2022-01-01 12:00:00, timeZone: America/New_York}}]"
    text = SLO.replace("timeWindow: [{duration: 30d, isRolling: true}]", calendar)
    assert one(text).goals[0].objective.window == Calendar(1, "M", NOON, "America/New_York")
    assert refused(text.replace("1M", "1m"))[0][1:] == (
        "spec.timeWindow[0].duration", "1m", "1m is one minute, no calendar period; month is 1M",
    )  # fmt: skip
    assert "Europe/London" in refused(text.replace("America/New_York", "Mars/Base"))[0][3]
    assert "quarter" in refused(text.replace("12:00:00", "12:07:00"))[0][3]


PROMETHEUS = """
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec: {type: Prometheus, connectionDetails: {url: "http://prom:9090"}}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: requests, displayName: Requests}
spec:
  ratioMetric:
    counter: true
    bad: {metricSource: {metricSourceRef: prom, spec: {query: 'sum(increase(http_requests_total{code=~"5.."}[$window]))'}}}
    total: {metricSource: {metricSourceRef: prom, spec: {query: 'sum(increase(http_requests_total[$window]))'}}}
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast}
spec: {severity: page, condition: {kind: burnrate, op: gte, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m}}
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: wake}
spec:
  alertWhenBreaching: true
  conditions: [{conditionRef: fast}]
  notificationTargets: [{targetRef: duty}]
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: duty}
spec: {target: pager}
---
apiVersion: openslo/v1
kind: Service
metadata: {name: web}
spec: {description: The shop}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: shop}
spec:
  service: web
  indicatorRef: requests
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.999}]
  alertPolicies: [{alertPolicyRef: wake}]
"""


def test_references_between_documents_are_resolved_in_any_order() -> None:
    bundle = read(PROMETHEUS)
    (document,) = bundle.documents
    assert document.queries is not None
    assert (document.queries.connection, document.queries.good) == ("http://prom:9090", None)
    assert document.queries.bad == 'sum(increase(http_requests_total{code=~"5.."}[$window]))'
    assert (document.indicator_name, document.alert_policies) == ("requests", ("wake",))
    assert [one.kind for one in bundle.definitions] == ["DataSource", "AlertCondition", "AlertPolicy", "AlertNotificationTarget", "Service"]
    assert read(write(bundle)) == bundle


def test_every_problem_is_told_with_document_field_value_and_remedy() -> None:
    wrong = (
        PROMETHEUS.replace(
            "metricSourceRef: prom, spec: {query: 'sum(increase(http_requests_total[", "metricSourceRef: prom, spec: {query: 'x(["
        )
        .replace("conditionRef: fast", "conditionRef: fats")
        .replace("budgetingMethod: Occurrences", "budgetingMethod: Occurences")
        .replace("target: 0.999", "target: 99.9")
        .replace("{alertPolicyRef: wake}", "{alertPolicyRef: wakes}")
        .replace("service: web", "sevice: web")
    )
    assert refused(wrong) == [
        (4, "spec.conditions[0].conditionRef", "fats", "no AlertCondition of this name is in the file; did you mean fast?"),
        (7, "spec.budgetingMethod", "Occurences", "must be one of Occurrences, Timeslices, RatioTimeslices; did you mean Occurrences?"),
        (7, "spec.objectives[0].target", "99.9", "must lie between 0 and 1, such as 0.999"),
        (7, "spec.alertPolicies[0].alertPolicyRef", "wakes", "no AlertPolicy of this name is in the file; did you mean wake?"),
        (7, "spec.service", "", "is missing"),
        (7, "spec.sevice", "web", "is not known here; did you mean service?"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "field", "why"),
    [
        ("openslo/v1\n", "openslo/v1alpha\n", "apiVersion", "openslo/v1alpha is another version of OpenSLO; only openslo/v1 is read"),
        ("openslo/v1\n", "v2alpha\n", "apiVersion", "is no OpenSLO; write openslo/v1"),
        ("kind: SLO", "kind: SL0", "kind", "did you mean SLO"),
        ("name: api,", "name: The_API,", "metadata.name", "RFC 1123"),
        ("target: 0.9995", "target: 1", "spec.objectives[0].target", "leaves no budget"),
        ("target: 0.9995", "target: 0.9, targetPercent: 90", "spec.objectives[0].target", "keep one"),
        ("target: 0.9995", "tarket: 0.9", "spec.objectives[0].tarket", "did you mean target"),
        ("Occurrences", "Timeslices", "spec.objectives[0].timeSliceWindow", "is missing"),
        ("isRolling: true", "isRolling: false", "spec.timeWindow[0].calendar", "isRolling: true"),
        ("duration: 30d", "duration: 1M", "spec.timeWindow[0].duration", "differs by the calendar"),
        ("type: cipo-facts, spec: {fact: k8s", "type: Prometheus, spec: {fact: k8s", "spec.indicator.spec.ratioMetric.total", "another source"),
        ("total: {metricSource", "totals: {metricSource", "spec.indicator.spec.ratioMetric.totals", "did you mean total"),
        ("{team: b1}", "{team: b1}, annotations: {cipo.dev/evry: 1m}", "metadata.annotations.cipo.dev/evry", "did you mean every"),
        ("{team: b1}", "{team: b1}, annotations: {cipo.dev/every: soon}", "metadata.annotations.cipo.dev/every", "is no duration"),
        ("{team: b1}", "{team: b1}, annotations: {cipo.dev/missing: bad}", "metadata.annotations.cipo.dev/missing", "cadence"),
        ("[{displayName", "&a [{displayName", "line 15", "anchor &a is not taken"),
        ("kind: SLO", "kind: SLO\nkind: SLO", "", 'duplicate field "kind"'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where_it_stands(old: str, new: str, field: str, why: str) -> None:
    assert old in SLO
    found = refused(SLO.replace(old, new, 1))
    assert any(at == field and why in told for _, at, _, told in found), found


def test_both_sides_of_a_ratio_must_differ_and_come_from_one_place() -> None:
    same = PROMETHEUS.replace('{code=~"5.."}', "")
    assert any("the query of bad too" in why for *_, why in refused(same))
    apart = SLO.replace("fact: k8s.api.probe, where", "fact: k8s.api.call, where", 1)
    assert any("must read the same facts" in why for *_, why in refused(apart))


def test_another_source_is_imported_and_says_that_it_cannot_be_read() -> None:
    document = one(SLO.replace("cipo-facts", "Datadog"))
    assert document.unsupported.startswith("SourceUnsupported: a source of type Datadog")
    assert read(write(Bundle((document,)))).documents == (document,)


EXAMPLES: dict[str, Any] = {
    "budgeting-method_occurences-slo.yaml": ("search-slo", Rolling(timedelta(days=14))),
    "budgeting-method_ratio-timeslices.yaml": ("main-page", Rolling(timedelta(days=14))),
    "treat-low-traffic-as-equally-important_timeslices-slo.yaml": (
        "service-availability", Calendar(1, "w", NOON, "America/New_York"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("file", EXAMPLES)
def test_an_example_of_the_formats_own_repository_is_read(shared_data: Path, file: str) -> None:
    bundle = read((shared_data / "1F" / "openslo" / file).read_text(encoding="utf-8"))
    (document,) = bundle.documents
    assert (document.name, document.goals[0].objective.window) == EXAMPLES[file]
    assert document.unsupported.startswith("SourceUnsupported: a source of type Any")
    assert write(read(write(bundle))) == write(bundle)


def test_the_example_that_means_a_month_and_writes_a_minute_is_refused(shared_data: Path) -> None:
    text = (shared_data / "1F" / "openslo" / "budgeting-method_timeslices-slo.yaml").read_text(encoding="utf-8")
    assert refused(text) == [(1, "spec.timeWindow[0].duration", "1m", "1m is one minute, no calendar period; month is 1M")]
    assert len(one(text.replace("duration: 1m #", "duration: 1M #")).goals) == 2


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(documents(), min_size=1, max_size=3, unique_by=lambda document: document.name).map(tuple))
def test_nothing_is_lost_on_the_way_out_and_in(several: tuple[Document, ...]) -> None:
    bundle = Bundle(several)
    text = write(bundle)
    again = read(text)
    assert again == bundle
    assert write(again) == text
