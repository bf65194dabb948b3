"""The chart is the one we were given: every squad, unit, KPI, stack, responsibility and dependency, word for word."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cipo.kernel.models import Metadata
from cipo.kernel.slo.objective import where
from cipo.kernel.unit import Registry
from cipo.org.chart import Chart
from cipo.org.kinds import Kpi, KpiSpec, promise, wished
from cipo.org.promises import promised

NOBODY = Registry([])


@pytest.fixture(scope="session")
def given(shared_data: Path) -> list[dict[str, Any]]:
    """The chart as it was handed over, read where it lies."""
    path = shared_data.parent / "seed" / "index.json"
    if not path.exists():
        pytest.skip(f"no chart at {path}; set CIPO_SHARED_DATA")
    read: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return read


def test_it_has_27_squads_70_units_and_45_kpis_and_what_1g_adds_is_marked_derived(chart: Chart) -> None:
    assert len(chart.departments) == 7
    seed = [squad for squad in chart.squads if squad.origin == "seed"]
    assert len(seed) == 27
    assert sum(unit.origin == "seed" for unit in chart.units) == 70
    assert sum(kpi.origin == "seed" for kpi in chart.kpis) == 45
    assert all((squad.origin == "derived") == (squad.department == "1G") for squad in chart.squads)
    assert all((unit.origin == "derived") == (unit.department == "1G") for unit in chart.units)
    assert (len(chart.squads), len(chart.units), len(chart.kpis)) == (31, 82, 61)
    assert all(kpi.origin == "derived" for kpi in chart.kpis if kpi.department == "1G")


def test_departments_bear_their_titles(chart: Chart, given: list[dict[str, Any]]) -> None:
    assert {department.id: department.title for department in chart.departments} == {one["id"]: one["name"] for one in given}


def test_every_squad_is_verbatim(chart: Chart, given: list[dict[str, Any]]) -> None:
    for department in given:
        for asked in department["squads"]:
            squad = chart.squad(f"{department['id']}/{asked['id']}")
            assert squad.title == asked["name"]
            assert [(unit.code, unit.title) for unit in squad.units] == [(unit["id"], unit["name"]) for unit in asked["units"]]
            joint = " <br> " if "<br>" in asked["responsibilities"] else ", "
            assert joint.join(squad.responsibilities) == asked["responsibilities"]
            assert list(squad.stack) == asked["stack"]
            assert [kpi.text for kpi in squad.kpis] == asked["kpis"]
            assert list(squad.dependencies) == asked["dependencies"]


def test_every_dependency_became_a_contract_or_a_ruling(chart: Chart) -> None:
    open_ends = []
    for squad in chart.squads:
        for dependency in squad.dependencies:
            for part in dependency.split("), "):
                word = part if ")" in part or "(" not in part else f"{part})"
                answered = any(word in edge.why and _concerns(chart, squad.id, edge.consumer, edge.provider) for edge in chart.contracts)
                if not answered and not any(ruling.squad == squad.id and ruling.asks == word for ruling in chart.rulings):
                    open_ends.append((squad.id, word))
    assert open_ends == []


def _concerns(chart: Chart, squad: str, *offices: str) -> bool:
    return any(chart.within(squad, office) or chart.within(office, squad) for office in offices)


def test_1a_has_no_edge_to_1f_and_1f_meets_1d_nowhere(chart: Chart) -> None:
    pairs = {frozenset((edge.consumer[:2], edge.provider[:2])) for edge in chart.contracts}
    assert frozenset(("1A", "1F")) not in pairs
    assert frozenset(("1D", "1F")) not in pairs


def test_each_kpi_names_a_fact_a_window_and_a_formula_in_words(chart: Chart) -> None:
    accuracy = chart.kpi("inventory-accuracy")
    assert (accuracy.unit, accuracy.indicator.method, accuracy.indicator.fact) == ("1A/U-W2", "ratio", "cmdb.count")
    assert accuracy.window == "90d"
    assert str(accuracy.objective) == "≥ 1"
    assert accuracy.coverage is not None
    assert (accuracy.coverage.kind, accuracy.coverage.min) == ("Asset.facilities.cipo", 0.95)
    facts = [kpi.indicator.fact for kpi in chart.kpis]
    assert len(facts) == len(set(facts))
    for words in (words for kpi in chart.kpis for words in (kpi.formula, kpi.honest)):
        assert words.endswith(".")
        assert "\n" not in words
    assert len({kpi.honest for kpi in chart.kpis}) == 61


def test_a_probe_that_sleeps_makes_its_promise_unknown(chart: Chart) -> None:
    probed = [kpi for kpi in chart.kpis if kpi.every]
    assert {"api-uptime", "dev-api-uptime", "namenode-uptime", "thanos-availability", "pii-incidents"} <= {kpi.name for kpi in probed}
    assert all(kpi.absent_after for kpi in probed)


def test_what_drags_on_counts_before_it_is_closed(chart: Chart) -> None:
    durations = {kpi.name for kpi in chart.kpis if kpi.indicator.method == "duration"}
    assert durations == {"rma-turnaround", "installation-time", "gdpr-ticket", "cve-mttp", "prr-turnaround"}
    assert all(kpi.calendar == "24x7" for kpi in chart.kpis)


def test_a_kpis_resource_says_to_the_engine_what_the_chart_says(chart: Chart) -> None:
    for kpi in chart.kpis:
        spec = KpiSpec.model_validate(wished(chart, NOBODY)["kpis"][kpi.name])
        asked, read = promise(Kpi(metadata=Metadata(name=kpi.name), spec=spec), NOBODY), kpi.indicator.measure
        assert (asked.name, asked.indicator.method, asked.indicator.fact, asked.indicator.p) == (
            kpi.name,
            kpi.indicator.method,
            read.fact,
            read.p,
        )
        assert (asked.limit.value, asked.limit.least) == (kpi.objective.limit, kpi.objective.min is not None)
        assert all(asked.limit.keeps(value) == kpi.objective.met(value) for value in (kpi.objective.limit, 0.0, 1e9))
        assert asked.indicator.where == where(read.where)
        assert str(asked.window) == (kpi.window if isinstance(kpi.window, str) else kpi.window.calendar)
        assert (asked.data.min_events, asked.data.confidence, asked.staffed) == (kpi.min_samples, kpi.confidence, False)
        assert promised(kpi) == replace(asked, staffed=True)


@pytest.mark.parametrize(
    ("name", "kept", "missed"),
    [("doa-rate", 0.0029, 0.003), ("dev-bootstrap", 0.951, 0.95), ("catalog-coverage", 0.95, 0.9499), ("rma-turnaround", 5.0, 5.1)],
)
def test_the_limit_itself_counts_only_where_the_chart_says_so(chart: Chart, name: str, kept: float, missed: float) -> None:
    objective = chart.kpi(name).objective
    assert objective.met(kept)
    assert not objective.met(missed)
