"""The chart against the code: what ``cipo check`` finds, and the import rules made from the contracts."""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cipo
from cipo.kernel.unit import Registry
from cipo.org.chart import Chart, load
from cipo.org.check import Problem, check, importlinter, unstaffed, write_importlinter
from tests.org.kinds import ASSET, FakeFact, FakeKind, FakeRegistry

Amended = Callable[[str, str, str], Path]
COUNT = {"cmdb.count": FakeFact("cmdb.count", "1A/U-W2")}
OWN = (ASSET, *(FakeKind(kind, "facilities.cipo", "1A/U-W2") for kind in ("AssetModel", "Rack", "RackModel", "Site", "StockCount")))


def rules(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(problem.level, problem.rule, problem.subject) for problem in problems]


def test_no_code_is_no_problem_it_is_not_staffed(chart: Chart) -> None:
    assert check(chart, FakeRegistry()) == []
    assert check(chart, Registry([])) == []
    assert len(unstaffed(chart, FakeRegistry())) == 82


def test_a_unit_that_keeps_to_the_chart_passes(chart: Chart) -> None:
    registry = FakeRegistry(units={"1A/U-W2": object()}, kinds=OWN, facts=COUNT)
    assert check(chart, registry) == []
    assert "1A/U-W2" not in unstaffed(chart, registry)


def test_every_difference_is_found_with_what_to_do(chart: Chart) -> None:
    registry = FakeRegistry(
        units={"1A/U-W2": object(), "1A/U-W8": object(), "kernel/slo": object()},
        kinds=(
            FakeKind("Rma", "facilities.cipo", "1A/U-W2"),
            FakeKind("AssetModel", "data.cipo", "1A/U-W2"),
            FakeKind("Rack", "facilities.cipo", "1A/U-W2"),
            FakeKind("Site", "facilities.cipo", "1A/U-W2"),
            FakeKind("Zone", "facilities.cipo", "1A/U-W2"),
            FakeKind("Routine", "kernel.cipo", "kernel/slo"),
        ),
        facts={"rma.opened": FakeFact("rma.opened", "1A/U-W2")},
    )
    found = check(chart, registry)
    assert rules(found) == [
        ("error", "coverage-kind", "KPI inventory-accuracy"),
        ("error", "fact-not-declared", "KPI inventory-accuracy"),
        ("error", "fact-owner", "KPI rma-turnaround"),
        ("error", "kind-group", "AssetModel.data.cipo"),
        ("error", "kind-owner", "Rma.facilities.cipo"),
        ("error", "unit-not-in-chart", "1A/U-W8"),
        ("warning", "kind-not-built", "Asset.facilities.cipo"),
        ("warning", "kind-not-built", "AssetModel.facilities.cipo"),
        ("warning", "kind-not-listed", "Zone.facilities.cipo"),
    ]
    assert "1A/U-W2 registers it, the chart gives it to 1A/U-W3; register it there, or move Rma in 1A.yaml" in str(found[4])


def test_a_promise_must_be_in_its_facts_unit_of_measure(chart: Chart) -> None:
    registry = FakeRegistry(units={"1C/U-R1": object()}, facts={"mesh.request": FakeFact("mesh.request", "1C/U-R1", "s")})
    found = [problem for problem in check(chart, registry) if problem.rule == "promise"]
    assert rules(found) == [("error", "promise", "KPI mesh-p99")]
    assert "in 1C.yaml, squads[2].kpis[0].indicator.unit (ms): the fact mesh.request is in s, the objective in ms" in str(found[0])


def test_a_named_tier_that_can_never_fire_is_a_warning(amended: Amended) -> None:
    on_time = "    objective: {min: 0.90}\n    formula: Departures"
    directory = amended("1C.yaml", on_time, on_time.replace("    formula", "    alerting: {policy: google-30d}\n    formula"))
    found = check(load(directory), FakeRegistry())
    assert rules(found) == [("warning", "tier-never-fires", "KPI on-time-release")]
    assert "in 1C.yaml, squads[4].kpis[1].alerting: tier page-quick can never fire at target 0.9 (needs error ratio 1.44)" in str(found[0])


def test_a_policy_without_a_share_warns_of_nothing(amended: Amended) -> None:
    directory = amended("1C.yaml", "    objective: {min: 20}\n", "    objective: {min: 20}\n    alerting: {policy: google-28d}\n")
    assert [problem.why.partition(": ")[2] for problem in check(load(directory), FakeRegistry())] == [
        "names the alert policy google-28d, but promises no share, so nothing burns"
    ]


# Import rules -------------------------------------------------------------------------------------------------------


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(text)
    return parser


def test_rules_are_made_for_the_packages_that_exist(chart: Chart, tmp_path: Path) -> None:
    write_importlinter(tmp_path / "rules.ini", chart)
    parser = parsed((tmp_path / "rules.ini").read_text(encoding="utf-8"))
    package = Path(cipo.__file__).parent
    layers = parser["importlinter:contract:layers"]["layers"]
    assert "cipo.org\ncipo.kernel" in layers
    for department in chart.departments:
        assert (f"cipo.{department.name}" in layers) == (package / department.name / "__init__.py").exists()


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A small code base in the shape of ours."""
    files = {
        "kernel/__init__.py": "",
        "org/__init__.py": "import acme.kernel",
        "facilities/__init__.py": "from acme.finops.kinds import PriceBook",
        "finops/__init__.py": "",
        "finops/kinds.py": "from acme.finops.planning import PriceBook",
        "finops/planning.py": "PriceBook = object",
        "reliability/__init__.py": "",
        "data/__init__.py": "",
        "cli/__init__.py": "import acme.facilities, acme.org",
        "__init__.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "acme" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    return tmp_path / "acme"


def lint(package: Path, chart: Chart) -> tuple[int, str]:
    config = package.parent / ".importlinter"
    config.write_text(importlinter(chart, package), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--config", str(config), "--no-cache"],
        cwd=package.parent,
        env={"PYTHONPATH": str(package.parent), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def test_code_that_keeps_to_the_contracts_passes(acme: Path, chart: Chart) -> None:
    code, output = lint(acme, chart)
    assert code == 0, output
    assert "1A does not import 1G (by its kinds only) KEPT" in output


@pytest.mark.parametrize(
    ("file", "text", "broken"),
    [
        ("reliability/guard.py", "import acme.data", "1F does not import 1D (boundary of the chart) BROKEN"),
        ("data/alerts.py", "import acme.reliability", "1D does not import 1F (boundary of the chart) BROKEN"),
        ("facilities/capex.py", "import acme.finops.planning", "1A does not import 1G (by its kinds only) BROKEN"),
        ("facilities/racking.py", "import acme.reliability", "1A does not import 1F (no contract) BROKEN"),
        ("kernel/store.py", "import acme.org", "web, cli, lab > departments > org > kernel BROKEN"),
        ("org/chart.py", "import acme.facilities", "web, cli, lab > departments > org > kernel BROKEN"),
    ],
)
def test_an_import_past_a_contract_is_named(acme: Path, chart: Chart, file: str, text: str, broken: str) -> None:
    (acme / file).write_text(f"{text}\n", encoding="utf-8")
    code, output = lint(acme, chart)
    assert code == 1, output
    assert broken in output
    assert file.removesuffix(".py").replace("/", ".") in output
