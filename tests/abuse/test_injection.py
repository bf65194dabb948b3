"""Words meant for the database, a template or a parser, put where names, selectors and tokens go: never a 5xx, never an effect."""

from __future__ import annotations

import base64
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.abuse.conftest import ASSETS, asset

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NASTY = (
    "'; drop table cipo.resource; --", "' or '1'='1", '" or ""="', "%27%20or%201=1", "\\", "%", "_", "%s", "%(name)s", "{0}", "${jndi:ldap://x}",
    "{{7*7}}", "{% raw %}", "<script>alert(1)</script>", "../../etc/passwd", "..%2f..", "a\0b", "a\nb", "\u202e", "é" * 50, "-" * 300, "a" * 5000,
    "$(id)", "`id`", "; select pg_sleep(10)", "1e309", "a=b,c!=d,e in (f)", "a in (", "!a,!b", "=", ",", "==", "a==b==c", "metadata.name=",
    "status.lifecycle=x' or 1=1--", "NULL", "null", "true", "[]", "{}", "\ufeff", "\ud7ff", "🧨",
)  # fmt: skip
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=200), st.tuples(st.sampled_from(NASTY), st.text(max_size=20)).map("".join))


@pytest.fixture(scope="module")
def tables(live_api):
    """Ends by proving that the store is as it was: nothing dropped, nothing added."""

    def look():
        with psycopg.connect(live_api.dsn) as connection:
            names = connection.execute("select count(*) from pg_tables where schemaname in ('cipo', 'public')").fetchone()
            return names, connection.execute("select count(*) from cipo.resource where gk = 'Asset.facilities.cipo'").fetchone()

    before = look()
    yield
    assert look() == before
    assert live_api.processes["api"].poll() is None


def fine(answer) -> None:
    assert answer.status_code < 500, (answer.request.url, answer.text[:500])
    if answer.status_code >= 400 and answer.content:
        assert "psycopg" not in answer.text and "Traceback" not in answer.text


@EXAMPLES
@given(text=texts)
def test_names_in_paths(client, tables, text):
    path = f"{ASSETS}/{quote(text, safe='')}"
    for answer in (
        client.get(path),
        client.delete(path),
        client.post(f"{path}/receive", json={"scan": "x"}),
        client.get(f"/apis/{quote(text, safe='')}/v1/x"),
    ):
        fine(answer)
        if text.strip("/ ") and answer.request.method != "GET":
            assert answer.status_code >= 400


@EXAMPLES
@given(text=texts)
def test_names_in_bodies(client, tables, text):
    answer = client.post(f"{ASSETS}?dryRun=All", json=asset(text, "SINJECT1"))
    fine(answer)
    label = client.post(
        f"{ASSETS}?dryRun=All", json=asset("fine", "SINJECT1") | {"metadata": {"name": "fine", "labels": {"a": text, text[:60]: "b"}}}
    )
    fine(label)
    fine(client.post(f"{ASSETS}?dryRun=All", json=asset("fine", text)))
    fine(client.post(f"{ASSETS}?dryRun=All", json={**asset("fine", "SINJECT1"), text or "x": 1}))


@EXAMPLES
@given(text=texts)
def test_selectors(client, tables, text):
    for parameter in ("labelSelector", "fieldSelector"):
        fine(client.get(ASSETS, params={parameter: text}))
    fine(client.get(ASSETS, params={"fieldSelector": f"spec.serial={text}"}))
    fine(client.get(ASSETS, params={"labelSelector": f"a in ({text})"}))


@EXAMPLES
@given(text=texts, number=st.one_of(texts, st.integers(-(2**70), 2**70).map(str)))
def test_queries(client, tables, text, number):
    fine(client.get(ASSETS, params={"limit": number, "resourceVersion": number}))
    fine(client.get(ASSETS, params={"dryRun": text, "fieldValidation": text, "timeoutSeconds": number}))
    fine(client.get("/search.json", params={"q": text or "x"}))
    fine(client.get("/api/v1/events", params={"fieldSelector": f"involvedObject.name={text}", "limit": number}))
    accept = "".join(c for c in text if "!" <= c <= "~")
    fine(client.get(ASSETS, headers={"Accept": accept or "x"}))


@EXAMPLES
@given(token=st.one_of(texts, st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_continue_tokens(client, tables, token):
    answer = client.get(ASSETS, params={"limit": "1", "continue": token})
    fine(answer)
    assert answer.status_code in (200, 400, 410)


def test_a_continue_token_is_bound_to_its_list(client, live_api):
    for number in range(3):
        client.post(ASSETS, json=asset(f"token-{number}", f"STOKEN{number}"))
    token = client.get(ASSETS, params={"limit": "1"}).json()["metadata"]["continue"]
    assert client.get(ASSETS, params={"limit": "1", "continue": token}).status_code == 200
    elsewhere = client.get("/apis/facilities.cipo/v1/assetmodels", params={"limit": "1", "continue": token})
    assert elsewhere.status_code in (400, 410)
    flipped = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    assert client.get(ASSETS, params={"limit": "1", "continue": flipped}).status_code in (400, 410)
    for number in range(3):
        assert client.delete(f"{ASSETS}/token-{number}").status_code == 200


@EXAMPLES
@given(text=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=100))
def test_headers(client, tables, text):
    value = text.encode("latin-1").strip()
    for name in ("Cipo-Unit", "X-Request-Id", "Idempotency-Key", "Impersonate-User", "Content-Type"):
        headers = [(name.encode(), value)]
        fine(client.request("POST", f"{ASSETS}/nothing/receive", content=b"{}", headers=headers))
