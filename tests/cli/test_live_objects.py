"""Objects from the command line, on a running plane: what a person at the warehouse does in a morning."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from cipo.cli import objects
from tests.cli.conftest import Cipo
from tests.live import Live

STORE = """
apiVersion: facilities.cipo/v1
kind: Site
metadata: {name: ams1, labels: {region: eu}}
spec: {code: AMS1, title: Amsterdam}
---
apiVersion: facilities.cipo/v1
kind: Warehouse
metadata: {name: ams1-wh}
spec: {site: ams1}
---
apiVersion: facilities.cipo/v1
kind: Bin
metadata: {name: ams1-a-01}
spec: {warehouse: ams1-wh, code: A-01}
---
apiVersion: facilities.cipo/v1
kind: AssetModel
metadata: {name: acme-s1}
spec: {manufacturer: Acme, model: S1, assetClass: server, formFactor: {uHeight: 1}}
"""
SHIPMENT = """
apiVersion: facilities.cipo/v1
kind: Shipment
metadata: {name: %s}
spec:
  warehouse: ams1-wh
  packages: [{lines: [{line: 1, model: acme-s1, quantity: 3, serials: [%s]}]}]
"""


@pytest.fixture
def store(here: Cipo, tmp_path: Path) -> Cipo:
    """A plane with a site, a warehouse, a bin and a model."""
    (tmp_path / "store.yaml").write_text(STORE)
    found = here("apply", "-f", str(tmp_path / "store.yaml"))
    assert found.code == 0, found.err
    return here


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``types("…")`` is what stands on standard input next."""

    def put(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), newline="\n"))

    return put


def account(name: str, **spec: Any) -> str:
    return json.dumps(
        {"apiVersion": "kernel.cipo/v1", "kind": "ServiceAccount", "metadata": {"name": name}, "spec": {"units": ["1A/U-W2"]} | spec}
    )


def test_apply_creates_then_changes_and_says_which(here: Cipo, types: Any) -> None:
    types(account("applied"))
    assert here("apply", "-f", "-").out == "serviceaccount.kernel.cipo/applied created\n"
    types(account("applied", description="more"))
    assert here("apply", "-f", "-").out == "serviceaccount.kernel.cipo/applied configured\n"
    types(account("applied", description="more"))
    assert here("apply", "-f", "-").out == "serviceaccount.kernel.cipo/applied unchanged\n"
    assert here("get", "sa/applied", "-o", "json").data["spec"]["description"] == "more"


def test_apply_goes_on_after_a_refusal_and_tells_it_by_its_exit_code(here: Cipo, types: Any) -> None:
    types(account("bad", units=["nonsense"]) + "\n---\n" + account("good") + "\n---\n" + account("worse", unit="1A/U-W2"))
    found = here("apply", "-f", "-")
    assert found.code == 1
    assert found.out == "serviceaccount.kernel.cipo/good created\n"
    assert 'The ServiceAccount "bad" is invalid:' in found.err
    assert 'unknown field "spec.unit"' in found.err


def test_a_dry_run_changes_nothing(here: Cipo, types: Any) -> None:
    types(account("dry"))
    assert here("apply", "-f", "-", "--dry-run").out == "serviceaccount.kernel.cipo/dry created (dry run)\n"
    assert here("get", "sa/dry").code == 1


def test_two_managers_conflict_until_one_takes_over(here: Cipo, types: Any) -> None:
    types(account("shared", description="one"))
    here("apply", "-f", "-")
    types(account("shared", description="two"))
    found = here("apply", "-f", "-", "--field-manager", "other")
    assert found.code == 1
    assert "--force" in found.err
    types(account("shared", description="two"))
    assert here("apply", "-f", "-", "--field-manager", "other", "--force").code == 0


def test_get_prints_tables_names_and_whole_objects(store: Cipo) -> None:
    table = store("get", "sites").out.splitlines()
    assert table[0].split()[0] == "NAME"
    assert table[1].startswith("ams1 ")
    assert len(store("get", "site", "-o", "wide").out.splitlines()[0]) >= len(table[0].rstrip())
    assert store("get", "sites", "-o", "name").out == "site.facilities.cipo/ams1\n"
    whole = store("get", "site/ams1", "-o", "json").data
    assert (whole["kind"], whole["spec"]["title"]) == ("Site", "Amsterdam")
    assert "managedFields" not in whole["metadata"]
    assert "managedFields" in store("get", "site/ams1", "-o", "json", "--show-managed-fields").data["metadata"]
    listed = store("get", "sites,bins", "-o", "json").data
    assert {(item["kind"], item["apiVersion"]) for item in listed["items"]} == {
        ("Site", "facilities.cipo/v1"),
        ("Bin", "facilities.cipo/v1"),
    }
    assert "title: Amsterdam" in store("get", "site", "ams1", "-o", "yaml").out


def test_get_selects_by_labels_and_fields(store: Cipo) -> None:
    assert store("get", "sites", "-l", "region=eu", "-o", "name").out == "site.facilities.cipo/ams1\n"
    assert store("get", "sites", "-l", "region=us").err == "No sites found.\n"
    assert store("get", "kpis", "--field-selector", "spec.unit=1A/U-W2", "-o", "name").out == "kpi.org.cipo/inventory-accuracy\n"
    assert store("get", "sites", "--field-selector", "spec.nonsense=1").code == 1
    assert store("get", "site/ams1", "-l", "a=b").code == 2


def test_what_get_prints_can_be_applied_again(store: Cipo, tmp_path: Path) -> None:
    (tmp_path / "again.yaml").write_text(store("get", "bin/ams1-a-01", "-o", "yaml").out)
    assert store("apply", "-f", str(tmp_path / "again.yaml")).code == 0


def test_missing_objects_and_kinds_are_refused_as_kubectl_does(here: Cipo) -> None:
    found = here("get", "asset/nope")
    assert (found.code, found.err) == (1, 'Error from server (NotFound): assets.facilities.cipo "nope" not found\n')
    assert "did you mean assets" in here("get", "assests").err


def test_delete_by_name_file_and_label_and_not_what_is_referred_to(store: Cipo, types: Any) -> None:
    found = store("delete", "site/ams1")
    assert found.code == 1
    assert 'Warehouse "ams1-wh"' in found.err
    types(account("gone"))
    store("apply", "-f", "-")
    types(account("gone"))
    assert store("delete", "-f", "-").out == 'serviceaccount.kernel.cipo "gone" deleted\n'
    labelled = json.loads(account("gone")) | {"metadata": {"name": "gone", "labels": {"gone": "yes"}}}
    types(json.dumps(labelled))
    store("apply", "-f", "-")
    assert store("delete", "sa", "-l", "gone=yes", "--dry-run").out == 'serviceaccount.kernel.cipo "gone" deleted (dry run)\n'
    assert store("delete", "sa", "-l", "gone=yes").out == 'serviceaccount.kernel.cipo "gone" deleted\n'
    assert store("delete", "sa").code == 2
    assert store("delete").code == 2


def test_an_action_is_done_with_values_of_their_declared_types(here: Cipo, types: Any, live_api: Live) -> None:
    types(account("robot"))
    here("apply", "-f", "-")
    answer = here("do", "sa/robot", "issue-token", "ttl=1h", "label=007", "-o", "json").data
    with live_api.client(token=answer["output"]["token"]) as client:
        assert client.get("/apis/facilities.cipo/v1/assets").status_code == 200
    assert here("get", "sa/robot", "-o", "json").data["status"]["tokens"][0]["label"] == "007"
    assert "revoked: 1" in here("do", "sa/robot", "revoke-tokens").out


def test_an_unknown_action_is_answered_with_the_nearest_and_all(here: Cipo) -> None:
    found = here("do", "sa/robot", "issue-tokn")
    assert (found.code, "did you mean issue-token?" in found.err, "revoke-tokens" in found.err) == (1, True, True)


def test_explain_tells_fields_limits_and_actions(here: Cipo) -> None:
    shown = here("explain", "shipment").out
    assert "KIND:       Shipment" in shown
    assert "ACTIONS:" in shown
    assert "one of dock, shelf, quarantine, rma, ewaste, cage; default shelf" in here("explain", "bin.spec.type").out
    found = here("explain", "bin.spec.typ")
    assert (found.code, "it has warehouse, code, type" in found.err) == (1, True)
    tree = here("explain", "shipment.spec", "--recursive", "-o", "json").data
    assert tree["fields"]["packages"]["fields"]["lines"]["fields"]["quantity"]["type"] == "integer"


def test_a_delivery_is_received_by_scan_with_a_verdict_a_line(store: Cipo, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SHIPMENT % ("s1", "ACM0000011, ACM0000012"))
    store("apply", "-f", str(tmp_path / "s.yaml"))
    (tmp_path / "codes").write_bytes(b"ACM0000011\r\nBIN/ams1-a-01\n\nACM0000012\nACM0000012\n\x01bad\n")
    found = store("receive", "s1", "--scan", str(tmp_path / "codes"))
    assert [line.split()[1] for line in found.out.splitlines()] == ["ok", "place", "ok", "duplicate"]
    assert found.code == 1  # the broken code was refused, on standard error
    assert "control character" in found.err
    assert "received 2 of 3, Receiving" in found.err
    held = {item["spec"]["serial"]: item["status"]["location"].get("bin") for item in store("get", "assets", "-o", "json").data["items"]}
    assert held == {"ACM0000011": None, "ACM0000012": "ams1-a-01"}
    assert "ACM0000012" in store("search", "ACM0000012").out
    assert store("search", "ACM0000012", "-o", "json").data[0]["gk"] == "Asset.facilities.cipo"


def test_verdicts_for_programs_are_json_lines(store: Cipo, tmp_path: Path, types: Any) -> None:
    (tmp_path / "s.yaml").write_text(SHIPMENT % ("s2", "ACM0000021"))
    store("apply", "-f", str(tmp_path / "s.yaml"))
    types("ACM0000021\nACM0000029\n")
    found = store("receive", "s2", "--scan", "-", "-o", "json", "--complete")
    verdicts = [json.loads(line) for line in found.out.splitlines()]
    assert [(verdict["payload"], verdict["accepted"]) for verdict in verdicts] == [("ACM0000021", True), ("ACM0000029", False)]
    assert store("get", "shipment/s2", "-o", "json").data["status"]["phase"] == "Discrepant"


def test_events_tell_who_did_what(store: Cipo) -> None:
    rows = store("events", "site/ams1").out.splitlines()
    assert rows[0].split() == ["AGE", "WHAT", "OBJECT", "BY", "MESSAGE"]
    assert "site/ams1" in rows[1]
    assert store("events", "--limit", "3", "-o", "json").data[0]["involvedObject"]["kind"]


def test_promises_are_rows_with_state_value_and_reason(here: Cipo) -> None:
    rows = {row["name"]: row for row in here("kpi", "-o", "json").data}
    assert rows["inventory-accuracy"].keys() == {"name", "unit", "text", "state", "value", "objective", "n", "reason"}
    assert rows["inventory-accuracy"]["text"] == "100% inventory accuracy"
    assert rows["inventory-accuracy"]["unit"] == "1A/U-W2"
    assert {row["state"] for row in rows.values()} <= {"met", "missed", "unknown"}
    assert here("kpi", "--of", "1A/A-2").out.count("\n") == 3
    explained = here("kpi", "explain", "inventory-accuracy")
    assert "blind counts" in explained.out
    assert "select" in explained.out
    assert here("kpi", "explain", "nothing").code == 1


def test_the_scorecard_is_a_table_data_or_a_picture(here: Cipo, tmp_path: Path) -> None:
    figures = here("kpi", "scorecard", "-o", "json").data
    assert len(figures["kpis"]) == figures["kept"] + figures["missed"] + figures["unknown"]
    assert f"{figures['kept']} of {len(figures['kpis'])} promises kept" in here("kpi", "scorecard").out
    assert "not published" in here("kpi", "scorecard", "--of", "1B", "--month", "2020-01").out
    for name, begins in (("a.pdf", b"%PDF-1.7"), ("a.png", b"\x89PNG")):
        assert here("kpi", "scorecard", "-f", str(tmp_path / name)).code == 0
        assert (tmp_path / name).read_bytes().startswith(begins)
    assert here("kpi", "scorecard", "-f", "a.gif").code == 2
    assert "is no month" in here("kpi", "scorecard", "--month", "soon").err


def test_acting_as_a_unit_of_1f_is_refused_with_the_rule(here: Cipo) -> None:
    for command in (("get", "assets", "--as-unit", "1F/U-OB1"), ("--as-unit", "U-OB1", "get", "assets")):
        found = here(*command)
        assert found.code == 1
        assert "Error from server (Forbidden)" in found.err
        assert "U-OB1 (1F) has no contract to read Asset of 1A" in found.err


def test_the_device_type_library_goes_in_and_again_changes_nothing(here: Cipo, shared_data: Path) -> None:
    first = here("import", "device-types", str(shared_data / "1A"), "-o", "json").data
    assert first["created"] >= 38
    assert first["refused"] == []
    again = here("import", "device-types", str(shared_data / "1A"), "-o", "json").data
    assert (again["created"], again["configured"], again["unchanged"]) == (0, 0, first["created"])
    assert here("import", "device-types", "/nonexistent").code == 2


def test_edit_sends_what_the_editor_left(store: Cipo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i s/Amsterdam/Haarlem/")
    assert store("edit", "site/ams1").out == "site.facilities.cipo/ams1 edited\n"
    assert store("get", "site/ams1", "-o", "json").data["spec"]["title"] == "Haarlem"
    assert store("edit", "site/ams1").err == "Nothing was changed.\n"
    monkeypatch.setenv("EDITOR", "sed -i 's/code: AMS1/code: bad code/'")
    found = store("edit", "site/ams1")
    assert found.code == 1
    kept = Path(found.err.strip().splitlines()[-1].removeprefix("Your text is kept in ").removesuffix("."))
    assert "code: bad code" in kept.read_text()
    kept.unlink()
    monkeypatch.setenv("EDITOR", "false")
    assert "nothing was sent" in store("edit", "site/ams1").err


@contextmanager
def changing(live: Live, name: str) -> Iterator[None]:
    """Changes one service account until the block ends."""
    done = threading.Event()

    def work() -> None:
        with live.client() as client:
            n = 0
            while not done.wait(0.1):
                n += 1
                body = {"spec": {"description": f"version {n}"}}
                headers = {"Content-Type": "application/merge-patch+json"}
                client.patch(f"/apis/kernel.cipo/v1/serviceaccounts/{name}", json=body, headers=headers).raise_for_status()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_watch_prints_changes_as_they_happen(here: Cipo, live_api: Live, types: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    class Enough(KeyboardInterrupt):
        """What Ctrl-C raises."""

    def show(self: Any, kind: str, row: dict[str, Any]) -> None:
        seen.append((kind, row["spec"]["description"]))
        if len(seen) == 3:
            raise Enough

    types(account("watched"))
    here("apply", "-f", "-")
    monkeypatch.setattr(objects._Changes, "_show", show)
    with changing(live_api, "watched"):
        assert here("watch", "sa/watched", "-o", "json").code == 0
    assert [kind for kind, _ in seen] == ["MODIFIED"] * 3
    assert len({description for _, description in seen}) == 3


def test_a_watch_does_not_show_again_what_the_list_has_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The feed may hold a change back that the list saw, and bring it afterwards."""
    changes = objects._Changes(cast(Any, None), objects.ObjectFormat.JSON)
    changes._known = {"u": 5}
    for kind, version in (("ADDED", "5"), ("MODIFIED", "6"), ("DELETED", "6")):
        changes.changed({"type": kind, "object": {"metadata": {"uid": "u", "resourceVersion": version}}})
    assert [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()] == ["MODIFIED", "DELETED"]


def test_a_kept_token_that_died_is_replaced(here: Cipo, live_api: Live) -> None:
    assert here("get", "sites").code == 0
    kept = json.loads((live_api.home / "run" / "cli-token").read_text())
    assert (live_api.home / "run" / "cli-token").stat().st_mode & 0o777 == 0o600
    assert here("token", "revoke", kept["token"]).code == 0
    with httpx.Client(base_url=live_api.base_url, headers={"Authorization": f"Bearer {kept['token']}"}) as client:
        while client.get("/apis/facilities.cipo/v1/sites").status_code != 401:
            threading.Event().wait(0.2)  # what is revoked beside the API dies within five seconds
    assert here("get", "sites").code == 0
    assert json.loads((live_api.home / "run" / "cli-token").read_text())["token"] != kept["token"]
