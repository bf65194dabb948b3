"""Looking things up in the chart, and what a wrong chart answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cipo.kernel.errors import BadRequest
from cipo.org.chart import CIPO, PACKAGED, Chart, load
from cipo.org.errors import AmbiguousName, ChartError, UnknownName

Amended = Callable[[str, str, str], Path]


def test_offices_are_found_by_their_qualified_id(chart: Chart) -> None:
    assert chart.department("1A").group == "facilities.cipo"
    assert chart.department("facilities").id == "1A"
    assert chart.squad("1A/A-2").package == "warehouse"
    assert chart.unit("1A/U-W2").module == "warehouse.cmdb"
    assert chart.members("1A/A-2") == {"1A/U-W1", "1A/U-W2", "1A/U-W3"}
    assert len(chart.members(CIPO)) == 82
    assert chart.above("1A/U-W2") == ("1A/U-W2", "1A/A-2", "1A", CIPO)
    assert chart.owner_of("1A", "Asset") == "1A/U-W2"


def test_a_bare_id_serves_where_it_is_unique(chart: Chart) -> None:
    assert chart.resolve("U-W2") is chart.unit("1A/U-W2")
    assert chart.resolve("F-6") is chart.squad("1F/F-6")
    assert chart.resolve("1G") is chart.department("1G")


@pytest.mark.parametrize("name", ["U-RE1", "U-RE2"])
def test_an_ambiguous_bare_id_is_refused_with_both_meanings(chart: Chart, name: str) -> None:
    for look_up in (chart.resolve, chart.unit):
        with pytest.raises(AmbiguousName, match=f"1C/{name}, 1F/{name}"):
            look_up(name)


def test_an_unknown_name_offers_the_nearest_and_is_the_callers_mistake(chart: Chart) -> None:
    with pytest.raises(UnknownName, match=r"no unit '1A/U-W22'; did you mean 1A/U-W2") as caught:
        chart.unit("1A/U-W22")
    assert isinstance(caught.value, BadRequest)


def test_contracts_of_a_unit_run_both_ways(chart: Chart) -> None:
    edges = chart.contracts_of("1A/U-W2")
    assert {str(edge) for edge in edges} >= {"1A/U-W1 -> 1A/U-W2", "1A/U-W2 -> 1A/U-W1", "1G -> 1A", "1B/U-C2 -> 1A/U-W2"}
    assert "1A/U-D1 -> 1A/U-W3" not in {str(edge) for edge in edges}
    assert all(chart.within("1A/U-W2", edge.consumer) for edge in chart.needs_of("1A/U-W2"))


def test_kpis_of_a_squad_and_of_the_unit_that_measures(chart: Chart) -> None:
    assert [kpi.name for kpi in chart.kpis_of("1C/C-1")] == ["ltfc", "catalog-coverage"]
    assert {kpi.name for kpi in chart.kpis_of("1C/U-CI2")} == {"ltfc", "deploys-per-day"}
    assert len(chart.kpis_of("1F")) == 9


def test_the_chart_is_read_once(chart: Chart) -> None:
    assert load(PACKAGED) is chart


def test_an_organisations_own_chart_is_named_by_the_environment(amended: Amended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIPO_CHART", str(amended("1A.yaml", "title: Vendor Relations", "title: Suppliers")))
    assert load().unit("1A/U-V1").title == "Suppliers"


def test_a_chart_without_1g_needs_its_edges_gone_too(amended: Amended) -> None:
    directory = amended("1A.yaml", "boundaries: []", "boundaries: []")
    (directory / "1G.yaml").unlink()
    with pytest.raises(ChartError) as caught:
        load(directory)
    assert {problem.value for problem in caught.value.problems} >= {"1G", "1G/G-2", "1G/G-4"}


WRONG = [
    pytest.param(
        "1C.yaml", "from: 1C/C-3, to: 1F,", "from: 1C/C-9, to: 1F,", "1C.yaml", ".from", "1C/C-9", "did you mean 1C/C-", id="no such squad"
    ),
    pytest.param(
        "1C.yaml",
        "to: 1B/B-1, kinds: {Cluster:",
        "to: 1B/B-1, kinds: {Clutser:",
        "1C.yaml",
        ".kinds",
        "Clutser",
        "Cluster",
        id="no such kind",
    ),
    pytest.param(
        "1A.yaml", "{from: 1A/U-V2, to: 1G", "{from: 1B/U-C1, to: 1G", "1A.yaml", ".from", "1B/U-C1", "1B.yaml", id="in another's file"
    ),
    pytest.param("1A.yaml", "unit: U-W3", "unit: U-W9", "1A.yaml", "squads[1].kpis[1].unit", "1A/U-W9", "U-W", id="measured by nobody"),
    pytest.param("1A.yaml", "max: 5}", "max: 5, min: 1}", "1A.yaml", "squads[1].kpis[1].objective", "", "exactly one", id="two limits"),
    pytest.param(
        "1A.yaml",
        "p: 95",
        "p: 195",
        "1A.yaml",
        "squads[0].kpis[1].indicator.percentile.p",
        "195",
        "less than or equal to 100",
        id="no percentile",
    ),
    pytest.param("1A.yaml", "window: 365d", "window: 365 days", "1A.yaml", "squads[0].kpis[0].window", "365 days", "90d", id="no window"),
    pytest.param("1A.yaml", "stack: []", "stak: []", "1A.yaml", "squads[0].stak", "", "not known", id="misspelt key"),
    pytest.param("1A.yaml", "id: 1A,", "id: 1Z,", "1A.yaml", "department.id", "1Z", "1Z.yaml", id="wrong file"),
    pytest.param("1B.yaml", "sole: 1B", "sole: 1Y", "1B.yaml", "boundaries[0].sole", "1Y", "is no department", id="boundary of nobody"),
    pytest.param(
        "1D.yaml",
        "name: job-fail",
        "name: rma-turnaround",
        "1D.yaml",
        "squads[0].kpis[1].name",
        "rma-turnaround",
        "1A.yaml",
        id="KPI twice",
    ),
    pytest.param("1A.yaml", "kinds: [Rma, ", "kinds: [Asset, Rma, ", "1A.yaml", "(Asset)", "1A Asset", "already", id="kind of two units"),
    pytest.param("1A.yaml", "boundaries: []", "boundries: []", "1A.yaml", "boundries", "", "is not a part", id="misspelt part"),
    pytest.param(
        "1F.yaml", "{calendar: 1Q,", "{calendar: 1m,", "1F.yaml", "squads[3].kpis[0].window", "", "month is 1M", id="a minute for a month"
    ),
    pytest.param(
        "1F.yaml", "timeZone: UTC", "timeZone: Mars/Base", "1F.yaml", "squads[3].kpis[0].window", "", "tz database", id="no time zone"
    ),
    pytest.param("1C.yaml", ", per: 1d", "", "1C.yaml", "squads[1].kpis[0].indicator", "", "rate needs per", id="rate without per"),
    pytest.param(
        "1A.yaml", "end: rma.closed, ", "", "1A.yaml", "squads[1].kpis[1].indicator", "", "duration needs end", id="duration without end"
    ),
    pytest.param(
        "1A.yaml", "end: rma.closed", "end: rma.opened", "1A.yaml", "duration.end", "rma.opened", "the same fact", id="ends as it begins"
    ),
    pytest.param("1F.yaml", "missing: bad", "missing: worst", "1F.yaml", ".missing", "worst", "must match", id="no such policy of missing"),
    pytest.param(
        "1A.yaml",
        "min_samples: 10",
        "missing: bad",
        "1A.yaml",
        "squads[0].kpis[0].missing",
        "bad",
        "cadence",
        id="missing without a cadence",
    ),
    pytest.param("1D.yaml", "good: value <= 1}", "good: 1 or less}", "1D.yaml", ".good", "1 or less", "value == 1", id="no test"),
    pytest.param("1C.yaml", "where: {env: dev}", "where: {env: []}", "1C.yaml", ".where", "", "a list of texts", id="no condition"),
    pytest.param("1B.yaml", "{min: 0.9995}", "{min: 99.95}", "1B.yaml", ".objective", "", "no share", id="per cent for a share"),
    pytest.param(
        "1B.yaml", "every: 10s", "alerting: {policy: google-90d}", "1B.yaml", "alerting.policy", "google-90d", "google-30d", id="no policy"
    ),
    pytest.param("1C.yaml", "slice: 5m", "slice: 4d", "1C.yaml", "budgeting.slice", "4d", "tenth", id="a slice too long"),
    pytest.param(
        "1A.yaml", "    honest: A list price", "    # A list price", "1A.yaml", ".honest", "", "missing", id="nothing said of honesty"
    ),
    pytest.param("1A.yaml", "[act:fulfil]", "[act:fulfil, grant]", "1A.yaml", "kinds", "grant", "must match", id="no verb"),
]


@pytest.mark.parametrize(("file", "old", "new", "named", "path", "value", "remedy"), WRONG)
def test_a_wrong_chart_is_refused_with_file_path_value_and_remedy(
    amended: Amended, file: str, old: str, new: str, named: str, path: str, value: str, remedy: str
) -> None:
    with pytest.raises(ChartError) as caught:
        load(amended(file, old, new))
    found = [problem for problem in caught.value.problems if problem.file == named and path in problem.path]
    assert found, str(caught.value)
    assert any(value in problem.value and remedy in problem.why for problem in found), str(caught.value)


def test_a_contract_across_a_boundary_is_refused_where_it_is_written(amended: Amended) -> None:
    edge = '{from: 1F/U-OB1, to: 1D/U-DP3, kinds: {KafkaTopic: read}, why: "just this once"}'
    with pytest.raises(
        ChartError, match=r"1F.yaml: contracts\[0\].*crosses a boundary.*does not directly interface.*1F.yaml: boundaries\[0\]"
    ):
        load(amended("1F.yaml", "contracts:\n", f"contracts:\n- {edge}\n"))


HOSTILE = [
    pytest.param("a: &a [1]\nb: *a\n", "anchor &a is not taken", id="alias"),
    pytest.param("department: {id: 1A}\ndepartment: {id: 1B}\n", "duplicate field", id="key twice"),
    pytest.param("department: !!python/object/apply:os.system [id]\n", "tag .* is not taken", id="object tag"),
    pytest.param("[" * 500, "nested more than 20 levels", id="deep"),
    pytest.param("- 1\n", "must be a map", id="a list"),
    pytest.param("department: {id: 1A\n", "expected", id="not YAML"),
    pytest.param("#" * (1 << 20) + "##", "larger than 1 MiB", id="huge"),
    pytest.param("", "must be a map", id="empty"),
    pytest.param("1: 2\n", "is not a part", id="a number as key"),
]


@pytest.mark.parametrize(("text", "why"), HOSTILE)
def test_a_hostile_file_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "1A.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ChartError, match=why):
        load(tmp_path)


def test_bytes_that_are_no_text_and_a_missing_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ChartError, match="holds no chart files; CIPO_CHART"):
        load(tmp_path / "nowhere")
    (tmp_path / "1A.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ChartError, match="UTF-8"):
        load(tmp_path)


def test_all_problems_of_all_files_are_told_at_once(amended: Amended) -> None:
    amended("1A.yaml", "p: 95", "p: 0")
    directory = amended("1D.yaml", "p: 99", "p: 101")
    with pytest.raises(ChartError) as caught:
        load(directory)
    assert {problem.file for problem in caught.value.problems} == {"1A.yaml", "1D.yaml"}
