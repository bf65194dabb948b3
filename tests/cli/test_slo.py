"""``cipo slo``: tests without a server, OpenSLO in and out of a real plane."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Cipo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "03-slo"


def test_the_example_holds_without_a_server(cipo: Cipo) -> None:
    done = cipo("slo", "test", str(EXAMPLES / "test.yaml"))
    assert (done.code, done.out.splitlines()[-1]) == (0, "3 of 3 expectations hold")


def trial(directory: Path, **change: object) -> Path:
    given = yaml.safe_load((EXAMPLES / "test.yaml").read_text(encoding="utf-8"))
    for part in ("facts", "expect"):
        for one in given[part]:
            one["at"] = one["at"].isoformat()
    given |= {"slo": yaml.safe_load((EXAMPLES / "slo.yaml").read_text(encoding="utf-8")), **change}
    file = directory / "trial.yaml"
    file.write_text(json.dumps(given), encoding="utf-8")
    return file


def test_an_expectation_that_does_not_hold_is_told_with_both_figures(cipo: Cipo, tmp_path: Path) -> None:
    expect = [{"at": "2026-03-03T00:59:00Z", "state": "missed", "value": 0.99, "remaining": 0.5, "alerts": [], "budget": "Healthy", "n": 1}]
    done = cipo("slo", "test", str(trial(tmp_path, expect=expect)))
    assert done.code == 1
    assert done.out.splitlines()[1:] == [
        "      state: expected missed, found met",
        "      n: expected 1, found 3000",
        "      budget: expected Healthy, found AtRisk",
        "      alerts: expected none, found page-quick",
        "      remaining: expected 0.5, found 0.387755",
        "0 of 1 expectations hold",
    ]


def test_an_alert_ends_after_two_calm_looks_and_five_minutes(cipo: Cipo, tmp_path: Path) -> None:
    facts = [{"at": "2026-03-01T00:00:00Z", "step": "1m", "good": ["10x2880", "0x60", "10x60"], "total": 10}]
    slower = ["page-slow", "ticket-quick", "ticket-slow"]
    expect = [{"at": f"2026-03-03T01:{minute:02d}:00Z", "alerts": ["page-quick", *slower]} for minute in (0, 4, 8)]
    expect.append({"at": "2026-03-03T01:09:00Z", "alerts": slower})  # the last bad minute left the 5 minutes at 01:04
    assert cipo("slo", "test", str(trial(tmp_path, facts=facts, expect=expect))).code == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"facts": [{"at": "2026-03-01T00:00:00Z", "good": 11, "total": 10}]}, "step 1 has 11 good of 10"),
        ({"facts": [{"at": "2026-03-01T00:00:00Z", "good": ["10y3"], "total": 10}]}, "'10y3' is no number; write one, or how often it comes, such as 100x60"),
        ({"facts": [{"at": "2026-03-01T00:00:00Z", "good": [1, 2], "total": [3, 4, 5]}]}, "holds 2 steps, the other 3"),
        ({"facts": [{"at": "2026-03-01T00:00:00Z", "god": 1}]}, "facts.0.god"),
        ({"slo": {"apiVersion": "openslo/v1", "kind": "SLO"}}, "metadata: is missing"),
        ({"slo": {"kind": "ServiceLevelObjective", "spec": {"service": "x"}}}, "spec.indicator: Field required"),
        ({"expect": [{"at": "2026-03-01T00:00:00Z", "objective": "other"}]}, "there is no objective 'other'; those are example-records"),
    ],
)  # fmt: skip
def test_a_test_that_cannot_run_says_where(cipo: Cipo, tmp_path: Path, change: dict[str, object], why: str) -> None:
    done = cipo("slo", "test", str(trial(tmp_path, **change)))
    assert done.code == 1
    assert why in done.err, done.err


def test_openslo_goes_in_and_out_of_a_plane(here: Cipo, tmp_path: Path) -> None:
    file = str(EXAMPLES / "openslo.yaml")
    dry = here("slo", "import", "--dry-run", file)
    assert (dry.code, dry.out) == (0, "servicelevelobjective.reliability.cipo/example-receiving created (dry run)\n")
    assert here("slo", "show", "example-receiving").code == 1
    assert here("slo", "import", file).out == "servicelevelobjective.reliability.cipo/example-receiving created\n"
    assert here("slo", "import", file).out == "servicelevelobjective.reliability.cipo/example-receiving unchanged\n"
    out = tmp_path / "out.yaml"
    out.write_text(here("slo", "export", "example-receiving").out, encoding="utf-8")
    assert here("slo", "import", str(out)).out == "servicelevelobjective.reliability.cipo/example-receiving unchanged\n"
    assert here("slo", "export").out == out.read_text(encoding="utf-8")
    out.write_text(out.read_text(encoding="utf-8").replace("target: 0.95", "target: 0.9"), encoding="utf-8")
    changed = here("slo", "import", "--dry-run", str(out))
    assert changed.out.splitlines() == [
        "servicelevelobjective.reliability.cipo/example-receiving configured (dry run)",
        "  - spec.objective.target: 0.95",
        "  + spec.objective.target: 0.9",
    ]
    assert [one["name"] for one in here("slo", "list", "-o", "json").data] == ["example-receiving"]
    table = here("slo", "list").out.splitlines()
    assert table[0].split() == ["NAME", "SERVICE", "STATE", "VALUE", "OBJECTIVE", "BUDGET", "LEFT", "ALERTS", "WHY"]
    assert "≥ 95 %" in table[1]
    shown = here("slo", "show", "example-receiving").out
    assert "over     1M in Europe/Berlin" in shown


def test_the_examples_own_form_is_applied(here: Cipo) -> None:
    done = here("apply", "--dry-run", "-f", str(EXAMPLES / "slo.yaml"))
    assert (done.code, done.out) == (0, "servicelevelobjective.reliability.cipo/example-records created (dry run)\n")


def test_one_refusal_keeps_all_of_them_out(here: Cipo, tmp_path: Path) -> None:
    good = (EXAMPLES / "openslo.yaml").read_text(encoding="utf-8").replace("example-receiving", "first")
    bad = (
        good[good.index("---\napiVersion: openslo/v1\nkind: SLI") :]
        .replace("name: first", "name: second")
        .replace("dock-to-stock", "other")
    )
    file = tmp_path / "both.yaml"
    file.write_text(good + bad.replace("inbound.dock_to_stock", "inbound.dock_to_shelf"), encoding="utf-8")
    done = here("slo", "import", str(file))
    assert done.code == 1
    assert "no unit declares a fact 'inbound.dock_to_shelf'; did you mean inbound.dock_to_stock?" in done.err
    assert here("get", "slo", "first").code == 1
    file.write_text(good.replace("duration: 1M", "duration: 1m"), encoding="utf-8")
    assert (
        "document 3: spec.timeWindow[0].duration = '1m': 1m is one minute, no calendar period; month is 1M"
        in here("slo", "import", str(file)).err
    )
