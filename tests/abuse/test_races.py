"""Sixteen writers want the same thing at the same moment: one gets it, the others are told who has it."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg

from tests.abuse.conftest import ASSETS, asset

WRITERS = 16
ROUNDS = 6


def at_once(live_api, ask):
    """What sixteen clients hear, each asking in the same moment."""
    gate = threading.Barrier(WRITERS)

    def one(number: int):
        with live_api.client(unit="1A/U-W2") as client:
            client.get(f"{ASSETS}/warm")
            gate.wait()
            return ask(client, number)

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(one, range(WRITERS)))


def look(live_api, sql):
    with psycopg.connect(live_api.dsn) as connection:
        return connection.execute(sql).fetchall()


def test_one_of_sixteen_gets_a_serial_number(client, live_api):
    for round_ in range(ROUNDS):
        run, serial = secrets.token_hex(3), f"RACE{round_}"
        answers = at_once(live_api, lambda client, n, run=run, serial=serial: client.post(ASSETS, json=asset(f"race-{run}-{n}", serial)))
        assert sorted(answer.status_code for answer in answers) == [201, *[409] * (WRITERS - 1)]
        winner = next(answer.json()["metadata"]["name"] for answer in answers if answer.status_code == 201)
        for answer in answers:
            if answer.status_code == 409:
                cause = answer.json()["details"]["causes"][0]
                assert cause["reason"] == "ClaimTaken" and cause["field"] == "spec.serial"
                assert winner in cause["message"]
    assert look(live_api, "select scope, value from cipo.claim group by 1, 2 having count(*) > 1") == []


def test_one_of_sixteen_gets_a_name(client, live_api):
    for _ in range(ROUNDS):
        run = secrets.token_hex(3)
        answers = at_once(live_api, lambda client, n, run=run: client.post(ASSETS, json=asset(f"name-{run}", f"NAME{run}{n}")))
        assert sorted(answer.status_code for answer in answers) == [201, *[409] * (WRITERS - 1)]
        assert {answer.json()["reason"] for answer in answers if answer.status_code == 409} == {"AlreadyExists"}
        events = look(live_api, f"select count(*) from cipo.event where name = 'name-{run}'")
        assert events == [(1,)]


def test_two_devices_never_take_the_same_units_of_a_rack(client, live_api):
    site, rack = "race-site", "race-rack"
    made = client.post("/apis/facilities.cipo/v1/sites", json={"metadata": {"name": site}, "spec": {"code": "RAC1"}})
    assert made.status_code == 201, made.text
    made = client.post("/apis/facilities.cipo/v1/racks", json={"metadata": {"name": rack}, "spec": {"site": site}})
    assert made.status_code == 201, made.text
    names = [f"rack-race-{number}" for number in range(WRITERS)]
    for name in names:
        assert client.post(ASSETS, json=asset(name, name.upper())).status_code == 201
        received = client.post(f"{ASSETS}/{name}/receive", json={"scan": name.upper()})
        assert received.status_code == 201, received.text
    answers = at_once(
        live_api,
        lambda client, n: client.post(f"{ASSETS}/{names[n]}/place", json={"rack": rack, "unit": 10 + (n % 2) / 2, "face": "front"}),
    )
    assert sorted({answer.status_code for answer in answers}) == [201, 409], [answer.text[:300] for answer in answers]
    assert sum(answer.status_code == 201 for answer in answers) == 1
    overlaps = look(live_api, "select a.uid from cipo.claim_range a join cipo.claim_range b on a.r && b.r and a.uid <> b.uid")
    assert overlaps == []


def test_sixteen_patches_of_one_object_are_all_there(client, live_api):
    client.post(ASSETS, json=asset("patched-by-all", "SPATCHEDBYALL"))
    merge = {"Content-Type": "application/merge-patch+json"}
    answers = at_once(
        live_api,
        lambda client, n: client.patch(f"{ASSETS}/patched-by-all", json={"metadata": {"labels": {f"l{n}": "x"}}}, headers=merge),
    )
    done = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    labels = client.get(f"{ASSETS}/patched-by-all").json()["metadata"]["labels"]
    assert labels == {f"l{n}": "x" for n in done}
    assert len(done) >= 1


def test_one_of_sixteen_wins_by_resource_version(client, live_api):
    version = client.post(ASSETS, json=asset("versioned", "SVERSIONED")).json()["metadata"]["resourceVersion"]
    merge = {"Content-Type": "application/merge-patch+json"}
    answers = at_once(
        live_api,
        lambda client, n: client.patch(
            f"{ASSETS}/versioned", json={"metadata": {"resourceVersion": version, "labels": {"by": f"w{n}"}}}, headers=merge
        ),
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * (WRITERS - 1)]


def test_the_same_key_sixteen_times_is_one_event(client, live_api):
    client.post(ASSETS, json=asset("keyed", "SKEYED"))
    key = {"Idempotency-Key": secrets.token_hex(8)}
    answers = at_once(live_api, lambda client, n: client.post(f"{ASSETS}/keyed/receive", json={"scan": "SKEYED"}, headers=key))
    assert {answer.status_code for answer in answers} == {201}, [answer.text[:200] for answer in answers]
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert look(live_api, "select count(*) from cipo.event where name = 'keyed' and verb = 'receive'") == [(1,)]
