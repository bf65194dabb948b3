"""Dashboards: Grafana's own model reads them whole, and every query in them is one that is recorded or served."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from cipo.kernel.slo import grafana, prometheus, promql
from cipo.kernel.slo.document import Document, Goal
from cipo.kernel.slo.objective import Indicator, Limit
from tests.kernel.slo.promises import errors_by_month, latency, objective, on_facts

GOLDEN = Path(__file__).parents[2] / "golden" / "slo" / "dashboard.json"
DOCUMENTS = [prometheus.of_facts(on_facts()), latency(), errors_by_month()]
VALUES = [
    replace(objective("rma-p95"), indicator=Indicator("percentile", "rma.turnaround", p=95.0, unit="d"), limit=Limit("<=", 5.0)),
    replace(objective("cost"), indicator=Indicator("sum", "spend.paid", unit="EUR"), limit=Limit("<", 10.0), target=0.9),
]
MADE = [*map(grafana.of_document, DOCUMENTS), *(grafana.of_values(Document(one.name, "", (Goal(one),))) for one in VALUES)]


def queries(dashboard) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_a_promise_always_gives_the_same_dashboard():
    assert json.dumps(grafana.of_document(prometheus.of_facts(on_facts())), indent=1) + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_a_promise_keeps_its_address_when_it_changes():
    uids = {grafana.of_document(prometheus.of_facts(objective("a", target)))["uid"] for target in (0.9, 0.999)}
    assert len(uids) == 1
    assert len({made["uid"] for made in MADE}) == len(MADE)
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", made["uid"]) for made in MADE)


@pytest.mark.parametrize("made", MADE, ids=lambda made: made["title"])
def test_the_model_of_grafana_reads_it_and_writes_it_back_whole(made):
    assert lost(made, json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(json.loads(json.dumps(made)))))) == []


def lost(ours, theirs, at="") -> list[str]:
    """Paths of ours that the model does not know or has as something else."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [
            path for key, value in ours.items() for path in (lost(value, theirs[key], f"{at}.{key}") if key in theirs else [f"{at}.{key}"])
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [path for n, pair in enumerate(zip(ours, theirs, strict=True)) for path in lost(*pair, f"{at}[{n}]")]
    return [] if ours == theirs else [at]


@pytest.mark.parametrize("made", MADE, ids=lambda made: made["title"])
def test_every_query_is_promql(made):
    assert [promql.printed(promql.parsed(query)) for query in queries(made)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_series_on_a_dashboard_is_recorded_by_the_rules_of_the_promise(document):
    (group,) = prometheus.groups([document])
    recorded = {rule.record for rule in group.rules}
    used = set(re.findall(r"cipo:[a-z_:]+[0-9a-z]*", " ".join(queries(grafana.of_document(document)))))
    assert used <= recorded


@pytest.mark.parametrize("made", MADE, ids=lambda made: made["title"])
def test_panels_do_not_overlap_and_stay_in_the_grid(made):
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < grafana.COLUMNS
        taken |= cells
