"""What the command line understands and prints, without a server."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cipo.cli import app, output
from cipo.cli.act import with_values
from cipo.cli.errors import Failed, Refused, Usage
from cipo.cli.explain import Book
from cipo.cli.kinds import KindRow, Kinds
from cipo.cli.manifests import read
from cipo.cli.measures import number
from tests.cli.conftest import Cipo

ASSET = KindRow("facilities.cipo", "v1", "Asset", "assets", "asset", ("as",), ("get",), ("status", "putaway"))
UNIT = KindRow("org.cipo", "v1", "Unit", "units", "unit", ("un",), ("get",), ())
PIPELINES = [KindRow(f"{group}.cipo", "v1", "Pipeline", "pipelines", "pipeline", (), (), ()) for group in ("devex", "data")]


def test_a_kind_goes_by_all_its_names() -> None:
    kinds = Kinds([ASSET, UNIT])
    for word in ("as", "asset", "assets", "Asset", "assets.facilities.cipo", "Asset.facilities.cipo", "assets.v1.facilities.cipo"):
        assert kinds.find(word) is ASSET


def test_an_unknown_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(Failed, match="did you mean assets"):
        Kinds([ASSET, UNIT]).find("assests")
    with pytest.raises(Failed, match="cipo kinds"):
        Kinds([ASSET]).find("zebra")


def test_a_name_of_two_kinds_is_refused_with_both() -> None:
    with pytest.raises(Usage, match=r"pipelines.devex.cipo, pipelines.data.cipo"):
        Kinds(PIPELINES).find("pipeline")
    assert Kinds(PIPELINES).find("pipelines.data.cipo") is PIPELINES[1]


def test_a_manifest_in_the_wrong_group_is_told_the_right_one() -> None:
    with pytest.raises(Failed, match=r"it is in facilities.cipo/v1"):
        Kinds([ASSET]).of({"apiVersion": "v1", "kind": "Asset"})
    with pytest.raises(Failed, match="did you mean Asset"):
        Kinds([ASSET]).of({"apiVersion": "facilities.cipo/v1", "kind": "Aset"})


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a?x=1", "", "a b", "a%2f", "\n"])
def test_a_name_cannot_leave_its_path(name: str) -> None:
    with pytest.raises(Usage, match="is not a name"):
        ASSET.of(name)


def test_files_hold_documents_lists_and_directories(tmp_path: Path) -> None:
    one = "apiVersion: v1\nkind: A\nmetadata: {name: %s}\n"
    (tmp_path / "a.yaml").write_text(f"# first\n---\n{one % 'a'}---\n# nothing\n--- # second\n{one % 'b'}")
    items = '{"apiVersion": "v1", "kind": "A", "metadata": {"name": "c"}}'
    (tmp_path / "b.json").write_text(f'{{"apiVersion": "v1", "kind": "List", "items": [{items}]}}')
    (tmp_path / "ignored.txt").write_text("no")
    assert [manifest.name for manifest in read([tmp_path])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("apiVersion: v1\nkind: A\nkind: B\n", "duplicate field"),
        ("a: &x 1\nb: *x\n", "anchor"),
        ("- 1\n", "holds list, not an object"),
        ("kind: A\nmetadata: {name: a}\n", "apiVersion and kind are missing"),
        ("apiVersion: v1\nkind: A\n", "metadata.name is missing"),
        ("apiVersion: v1\nkind: A\nmetadata: x\n", "metadata.name is missing"),
        ("{", "not YAML"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(Usage, match=why) as wrong:
        read([tmp_path / "a.yaml"])
    assert "a.yaml" in str(wrong.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="No such file"):
        read([tmp_path / "none.yaml"])


SCHEMAS: dict[str, Any] = {
    "Input": {
        "properties": {
            "serial": {"type": "string"},
            "count": {"type": "integer"},
            "weight": {"type": "number"},
            "force": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "rack": {"allOf": [{"$ref": "#/components/schemas/Place"}], "description": "where"},
        }
    },
    "Place": {"type": "object", "properties": {"unit": {"type": "number"}, "face": {"type": "string"}}},
}


def given(*pairs: str) -> dict[str, Any]:
    book = Book({"components": {"schemas": SCHEMAS}})
    return with_values({}, pairs, book, book.follow(SCHEMAS["Input"]))


def test_a_value_is_read_as_its_field_declares() -> None:
    assert given("serial=007", "count=7", "weight=1.5", "force=yes", "tags=a,b") == {
        "serial": "007",
        "count": 7,
        "weight": 1.5,
        "force": True,
        "tags": ["a", "b"],
    }
    assert given("serial=123", "serial=a=b") == {"serial": "a=b"}
    assert given("rack.unit=3.5", "rack.face=front") == {"rack": {"unit": 3.5, "face": "front"}}
    assert given('rack:={"unit": 4}') == {"rack": {"unit": 4}}
    assert given("rack={unit: 4}") == {"rack": {"unit": 4}}
    assert given("unknown=5") == {"unknown": "5"}


@pytest.mark.parametrize("pair", ["count=x", "weight=heavy", "force=maybe", "count", "=1", "rack:={"])
def test_a_value_that_does_not_fit_is_refused_with_the_pair(pair: str) -> None:
    with pytest.raises(Usage, match=r"is not|write|not YAML"):
        given(pair)


def test_a_field_inside_a_value_is_refused() -> None:
    with pytest.raises(Usage, match="holds a value already"):
        given("serial=1", "serial.x=2")


def test_as_unit_may_stand_anywhere_but_after_the_dashes() -> None:
    assert app._global_first(["get", "as", "--as-unit", "1A/U-W2"]) == ["--as-unit", "1A/U-W2", "get", "as"]
    assert app._global_first(["get", "--as-unit=1A/U-W2", "as"]) == ["--as-unit=1A/U-W2", "get", "as"]
    assert app._global_first(["do", "--", "--as-unit", "x"]) == ["do", "--", "--as-unit", "x"]


def test_text_from_the_server_cannot_steer_the_terminal() -> None:
    assert output.plain("a\x1b[31mred\x07\r\n") == "a\\x1b[31mred\\x07\\x0d\\x0a"
    assert output.plain("a\u202eb") == "a\\x202eb"
    assert output.plain("Zürich ≥ 95 %") == "Zürich ≥ 95 %"


def test_values_in_a_cell() -> None:
    cells = [None, True, 1.0, 1.5, 2**60 * 1.0, ["a", 1], {"k": "v"}]
    assert [output.plain(cell) for cell in cells] == ["", "true", "1", "1.5", "1.152921504606847e+18", "a,1", "k=v"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (3600, "60m"), (10800, "3h"), (12000, "3h20m"), (36000, "10h"), (200000, "2d")],
)
def test_ages_are_said_as_kubectl_says_them(seconds: int, words: str) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    assert output.age((now - timedelta(seconds=seconds)).isoformat(), now) == words


def test_an_age_that_is_no_time_stays_as_it_is() -> None:
    assert output.age("yesterday") == "yesterday"
    assert output.age((datetime.now(UTC) + timedelta(hours=1)).isoformat()) == "0s"


def test_a_share_is_a_percentage_and_a_missing_value_is_empty() -> None:
    assert (number(0.9995, "1"), number(5.25, "d"), number(None, "1"), number(0.0, "d")) == ("99.95 %", "5.25 d", "", "0 d")


def test_a_table_in_a_pipe_has_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "state"), [("a", "met"), ("longer", "missed")])
    assert capsys.readouterr().out == "NAME     STATE\na        met\nlonger   missed\n"
    output.table(("name",), [], empty="No assets found.")
    assert capsys.readouterr() == ("", "No assets found.\n")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("colour", [True, False])
def test_a_table_on_a_terminal_is_coloured_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch, colour: bool) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    output.table(("name", "state"), [("[red]a[/red]", "met")])
    text = screen.getvalue()
    assert "[red]a[/red]" in text
    assert "● met" in text  # the state is said in a word and a mark, not in colour alone
    assert ("\x1b[32m" in text) is colour


def test_an_invalid_object_is_a_list_of_its_faults() -> None:
    causes = [{"field": "spec.model", "message": "unknown"}, {"field": "spec.serial", "message": "empty"}]
    status = {"code": 422, "reason": "Invalid", "message": "x", "details": {"kind": "Asset", "name": "a", "causes": causes}}
    assert Refused(status).lines() == ['The Asset "a" is invalid:', "* spec.model: unknown", "* spec.serial: empty"]


def test_a_refusal_says_the_reason_its_new_causes_and_the_remedy() -> None:
    status = {"code": 409, "reason": "Conflict", "message": "held by b", "details": {"causes": [{"message": "held by b", "field": "x"}]}}
    assert Refused(status).lines() == ["Error from server (Conflict): held by b"]
    fields = [{"reason": "FieldManagerConflict", "message": "conflict with kubectl", "field": ".spec.model"}]
    lines = Refused({"code": 409, "reason": "Conflict", "message": "Apply failed", "details": {"causes": fields}}).lines()
    assert lines[1:] == ["* .spec.model: conflict with kubectl", "Take the fields over with --force, or leave them to their manager."]
    assert "CIPO_TOKEN" in Refused({"code": 401, "reason": "Unauthorized", "message": "no"}).lines()[-1]


def test_usage_errors_exit_with_2(cipo: Cipo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cipo("nonsense").code == 2
    assert cipo("get").code == 2
    assert cipo("get", "assets", "-o", "xml").code == 2
    monkeypatch.setenv("CIPO_PORT", "x")
    found = cipo("get", "assets")
    assert (found.code, "CIPO_PORT='x'" in found.err) == (2, True)


def test_a_server_without_a_token_and_a_wrong_address_are_usage_errors(cipo: Cipo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIPO_SERVER", "https://cipo.example:8443")
    assert "CIPO_TOKEN" in cipo("get", "assets").err
    monkeypatch.setenv("CIPO_SERVER", "cipo.example")
    found = cipo("get", "assets")
    assert (found.code, "is not an address" in found.err) == (2, True)


def test_nobody_answering_exits_with_3_and_says_what_to_do(cipo: Cipo, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (("get", "assets"), ("login-link",), ("status",), ("kubeconfig",), ("user", "list")):
        found = cipo(*command)
        assert found.code == 3, found
        assert "cipo up" in found.err
    monkeypatch.setenv("CIPO_SERVER", "http://127.0.0.1:9")
    monkeypatch.setenv("CIPO_TOKEN", "x")
    found = cipo("get", "assets")
    assert (found.code, "CIPO_SERVER" in found.err) == (3, True)


def test_help_and_version_work_without_anything(cipo: Cipo) -> None:
    assert cipo("--version").out.startswith("cipo ")
    for command in ((), ("get",), ("do",), ("up",), ("org",), ("kpi",), ("user",), ("token",), ("import",), ("lab",), ("receive",)):
        found = cipo(*command, "--help")
        assert found.code == 0, command
        assert "Usage" in found.out
