"""Getting in: people, tokens, links and the kubeconfig, on a running plane."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import httpx
import pytest
import yaml

from tests.cli.conftest import Cipo
from tests.live import Live

ASSETS = "/apis/facilities.cipo/v1/assets"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def test_a_new_person_gets_a_link_that_signs_her_in_once(here: Cipo, live_api: Live) -> None:
    found = here("user", "create", "anna", "--unit", "U-W2", "--lead", "1A/A-2", "-o", "json").data
    assert (found["units"], found["leads"], found["created"]) == (["1A/U-W2"], ["1A/A-2"], True)
    with httpx.Client(base_url=live_api.base_url) as browser:
        path = found["link"].removeprefix(live_api.base_url)
        assert browser.get(path).status_code == 200  # looking at the page does not spend the link
        entered = browser.post(path, data={"next": "/"})
        assert entered.status_code == 303
        assert "HttpOnly" in entered.headers["set-cookie"]
        assert browser.get(ASSETS).status_code == 200
        assert browser.post(ASSETS, json={}).status_code == 403  # without the CSRF token
    with httpx.Client(base_url=live_api.base_url) as other:
        assert other.post(path).status_code == 401
    again = here("user", "create", "anna", "--unit", "1A/U-W1", "-o", "json").data
    assert (again["created"], again["units"]) == (False, ["1A/U-W1"])


@pytest.mark.parametrize("wrong", [("--unit", "1A/U-X9"), ("--unit", "U-RE1"), (), ("--lead", "9Z")])
def test_a_person_of_no_or_a_wrong_unit_is_refused(here: Cipo, wrong: tuple[str, ...]) -> None:
    assert here("user", "create", "bea", *wrong).code == 2


def test_names_are_checked_and_cipo_is_taken(here: Cipo) -> None:
    assert here("user", "create", "Bea", "--unit", "1A/U-W2").code == 1
    assert here("user", "create", "cipo", "--unit", "1A/U-W2").code == 2


def test_people_are_listed_and_shut_out(here: Cipo, live_api: Live) -> None:
    here("user", "create", "carl", "--unit", "1A/U-W2")
    token = here("token", "create", "--for", "carl", "--ttl", "1h").out.strip()
    with live_api.client(token=token) as client:
        assert client.get(ASSETS).status_code == 200
    assert {row["name"] for row in here("user", "list", "-o", "json").data} >= {"carl", "cipo"}
    assert here("user", "disable", "carl").out == "carl is disabled; 2 tokens and sessions ended\n"
    assert here("token", "create", "--for", "carl").code == 1
    assert here("user", "disable", "nobody").code == 1


def test_tokens_are_made_listed_without_themselves_and_revoked(here: Cipo) -> None:
    made = here("token", "create", "--ttl", "1h", "--label", "laptop", "-o", "json").data
    listed = here("token", "list", "-o", "json")
    assert made["token"] not in listed.out
    assert {row["label"] for row in listed.data if row["id"] == made["id"]} == {"laptop"}
    assert here("token", "revoke", made["id"]).out == "1 token revoked\n"
    assert here("token", "revoke", made["id"]).code == 1
    assert here("token", "revoke").code == 2
    assert "time span" in here("token", "create", "--ttl", "soon").err
    assert here("token", "create", "--ttl", "999d").code == 1


def test_a_token_and_an_address_reach_a_server_from_anywhere(
    here: Cipo, live_api: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = here("token", "create", "--ttl", "1h").out.strip()
    for name in ("CIPO_HOME", "CIPO_DATABASE_URL"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("CIPO_SERVER", live_api.tls_url)
    monkeypatch.setenv("CIPO_TOKEN", token)
    assert here("get", "units").code == 3  # its certificate is not known
    monkeypatch.setenv("CIPO_CA", str(live_api.home / "tls" / "ca.pem"))
    assert here("get", "units").code == 0
    monkeypatch.setenv("CIPO_TOKEN", "cipo_pat_nonsense")
    found = here("get", "units")
    assert (found.code, "Error from server (Unauthorized)" in found.err) == (1, True)


def test_the_kubeconfig_holds_all_that_kubectl_needs(here: Cipo, live_api: Live) -> None:
    config = yaml.safe_load(here("kubeconfig", "--unit", "U-W2", "--ttl", "1h").out)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    assert cluster["server"] == live_api.tls_url
    assert user["as"] == "unit:1A/U-W2"
    trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {user['token']}", "Impersonate-User": user["as"]}
    with httpx.Client(base_url=cluster["server"], verify=trust, headers=headers) as client:
        who = client.post(WHO, json={"kind": "SelfSubjectReview"}).json()["status"]["userInfo"]
    assert (who["username"], who["extra"]) == ("cipo", {"acting-unit": ["1A/U-W2"]})
    assert yaml.safe_load(here("kubeconfig", "--server", "https://cipo.example:8443").out)["clusters"][0]["cluster"]["server"].endswith(
        "example:8443"
    )
    assert here("kubeconfig", "--server", "http://cipo.example").code == 2
    assert here("kubeconfig", "--unit", "1A/U-X9").code == 2


def test_a_login_link_is_for_this_server(here: Cipo, live_api: Live) -> None:
    found = here("login-link")
    assert found.out.startswith(f"{live_api.base_url}/sign-in/cipo_login_")
    assert here("login-link", "--for", "nobody").code == 1
