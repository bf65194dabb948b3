"""``cipo org`` and ``check`` read the chart itself; they work without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cipo


def test_the_tree_shows_departments_squads_units_and_promises(cipo: Cipo) -> None:
    shown = cipo("org").out
    for words in (
        "1A Facilities & Physical Infrastructure",
        "1A/A-2 Warehouse & Inventory",
        "1A/U-W2 CMDB",
        "100% inventory accuracy",
        "not staffed",
    ):
        assert words in shown
    assert cipo("org", "tree", "1A").out.count("Core Cloud") == 0


def test_each_promise_says_how_it_is_measured_and_why_that_is_honest(cipo: Cipo) -> None:
    shown = cipo("org", "tree", "1A", "--promises").out
    for words in (
        "formula 95th percentile over RMAs",
        "honest A mean would bury",
        "window 90d, calendar 24x7",
        "facts rma.opened, rma.closed",
    ):
        assert words in shown
    said = cipo("org", "tree", "1F", "-o", "json").data
    kpis = [kpi for department in said for squad in department["squads"] for kpi in squad["kpis"]]
    assert all(kpi["formula"] and kpi["honest"] and kpi["facts"] and kpi["method"] for kpi in kpis)
    assert next(kpi["window"] for kpi in kpis if kpi["name"] == "slo-miss") == "calendar 1Q"


def test_every_squad_unit_and_promise_of_the_given_chart_is_there_with_its_text(cipo: Cipo, shared_data: Path) -> None:
    said = {department["id"]: department for department in cipo("org", "-o", "json").data}
    for department in json.loads((shared_data.parent / "seed" / "index.json").read_text()):
        squads = {squad["id"].partition("/")[2]: squad for squad in said[department["id"]]["squads"]}
        for squad in department["squads"]:
            ours = squads[squad["id"]]
            assert ours["name"] == squad["name"]
            units = {unit["id"].partition("/")[2]: unit["name"] for unit in ours["units"]}
            assert {unit["id"]: unit["name"] for unit in squad["units"]}.items() <= units.items()
            assert set(squad["kpis"]) <= {kpi["text"] for kpi in ours["kpis"]}
    assert said["1G"]["origin"] == "seed"
    assert {squad["origin"] for squad in said["1G"]["squads"]} == {"derived"}


def test_a_wrong_office_is_a_usage_error_with_the_nearest(cipo: Cipo) -> None:
    found = cipo("org", "tree", "9Z")
    assert found.code == 2
    assert "9Z" in found.err


def test_contracts_are_listed_with_their_reason_and_the_boundaries(cipo: Cipo) -> None:
    shown = cipo("org", "contracts").out
    assert "1F never meets 1D" in shown
    found = cipo("org", "contracts", "1A", "-o", "json").data
    assert all({"from", "to", "kinds", "why", "inForce"} <= edge.keys() for edge in found["contracts"])


@pytest.mark.parametrize(
    ("question", "code", "rule"),
    [
        (("1A/U-W2", "update", "assets"), 0, "owner"),
        (("U-W2", "putaway", "Asset"), 0, "owner"),
        (("CIPO", "list", "assets"), 0, "lead"),
        (("1F/U-OB1", "list", "assets"), 1, "no-contract"),
        (("1F/U-OB1", "get", "Topic.data.cipo"), 1, "boundary:forbid"),
        (("1C/U-P1", "create", "KernelRelease"), 1, "boundary:sole"),
        (("1F/U-OB1", "get", "kpis"), 0, "public"),
    ],
)
def test_the_chart_answers_who_can(cipo: Cipo, question: tuple[str, ...], code: int, rule: str) -> None:
    found = cipo("org", "can", *question, "-o", "json")
    assert (found.code, found.data["rule"]) == (code, rule)
    assert found.data["reason"]


def test_unknown_and_ambiguous_names_are_usage_errors(cipo: Cipo) -> None:
    for question in (("1A/U-X9", "get", "assets"), ("U-RE1", "get", "assets"), ("1A/U-W2", "get", "zebras")):
        assert cipo("org", "can", *question).code == 2


def test_the_installation_keeps_to_the_chart(cipo: Cipo, tmp_path: Path) -> None:
    found = cipo("check", "--write-importlinter", str(tmp_path / "rules"))
    assert found.code == 0, found.out
    assert "0 errors" in found.out
    assert "root_package = cipo" in (tmp_path / "rules").read_text()


def test_a_broken_chart_is_told_with_its_place(cipo: Cipo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1A.yaml").write_text("department: {id: 1A}\n")
    monkeypatch.setenv("CIPO_CHART", str(tmp_path))
    found = cipo("check")
    assert found.code == 1
    assert "1A.yaml" in found.err
