"""Tokens are guessed: the guesser waits, who has a good token does not."""

from __future__ import annotations

import statistics
import time

import httpx

from tests.abuse.conftest import ASSETS, resident_mb


def test_whoever_guesses_tokens_has_to_wait(client, live_api):
    codes, taken = [], []
    with httpx.Client(base_url=live_api.base_url) as guesser:
        for number in range(40):
            start = time.perf_counter()
            answer = guesser.get(ASSETS, headers={"Authorization": f"Bearer cipo_pat_{number:040}"})
            taken.append(time.perf_counter() - start)
            codes.append(answer.status_code)
            assert answer.json()["kind"] == "Status"
            if answer.status_code == 429:
                assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert codes[0] == 401
    assert codes[-1] == 429
    assert 429 not in codes[:9], "an honest mistake is not punished at once"
    assert codes.index(429) <= 12
    assert statistics.median(taken) < 1
    assert client.get(ASSETS).status_code == 200, "a token that has worked is not held up by somebody's guessing"


def test_many_guesses_leave_no_memory_behind(client, live_api):
    before = resident_mb(live_api)
    with httpx.Client(base_url=live_api.base_url) as guesser:
        for number in range(1500):
            assert guesser.get(ASSETS, headers={"Authorization": f"Bearer {number:x}{'z' * 40}"}).status_code in (401, 429)
        assert guesser.get(ASSETS, headers={"Authorization": "Bearer " + "x" * 60_000}).status_code in (400, 401, 429, 431)
    assert resident_mb(live_api) - before < 20
    assert client.get(ASSETS).status_code == 200


def test_without_a_token_only_probes_answer(live_api):
    with httpx.Client(base_url=live_api.base_url) as nobody:
        assert nobody.get("/livez").status_code == 200
        for path in (ASSETS, f"{ASSETS}/x", "/apis", "/openapi/v3", "/search.json?q=a", "/api/v1/events", f"{ASSETS}?watch=true"):
            assert nobody.get(path).status_code in (401, 429), path
