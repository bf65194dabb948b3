"""Bodies made to hurt: each is refused in words, in milliseconds, and leaves no memory behind."""

from __future__ import annotations

import json
import statistics
import time

import pytest

from tests.abuse.conftest import ASSETS, asset, resident_mb, worked_s

TIMES = 9
MEDIAN_S = 1.0  # a guard against work that grows with the square of the input; the figure itself is bench's business
GROWTH_MB = 20
YAML = "application/yaml"
JSON = "application/json"

BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
QUADRATIC = "a: &a " + "x" * 100_000 + "\nb: [" + ",".join(["*a"] * 10_000) + "]\n"
HEAD = '{"apiVersion":"facilities.cipo/v1","kind":"Asset","metadata":{"name":"x"},"spec":{"model":"dell-r650","manufacturer":"Dell","serial":"S123"'

BODIES = {
    "yaml bomb": (BOMB, YAML, 400, "anchor"),
    "yaml bomb, quadratic": (QUADRATIC, YAML, 400, "anchor"),
    "yaml merge bomb": ("a: &a {b: c}\n" + "d:\n  <<: *a\n" * 2000, YAML, 400, ""),
    "yaml python object": ("!!python/object/apply:os.system [id]", YAML, 400, "tag"),
    "yaml 10k deep": ("[" * 10_000 + "]" * 10_000, YAML, 400, "deep"),
    "yaml block 10k deep": ("\n".join(" " * n + "a:" for n in range(700)), YAML, 400, "deep"),
    "yaml many documents": ("---\na: b\n" * 5000, YAML, 400, "document"),
    "yaml duplicate keys": ("metadata: {name: a}\nmetadata: {name: b}\n", YAML, 400, "duplicate"),
    "json 10k deep": ("[" * 10_000 + "]" * 10_000, JSON, 400, "deep"),
    "json objects 10k deep": ('{"a":' * 10_000 + "1" + "}" * 10_000, JSON, 400, "deep"),
    "json deep and unbalanced": ("[" * 100_000, JSON, 413, "values"),
    "duplicate keys": (HEAD + ',"serial":"S124"}}', JSON, 400, "duplicate"),
    "duplicate keys, escaped": (HEAD + ',"seria\\u006c":"S124"}}', JSON, 400, "duplicate"),
    "NaN": (HEAD + ',"costCentre":NaN}}', JSON, 400, "JSON"),
    "Infinity": (HEAD + ',"costCentre":-Infinity}}', JSON, 400, "JSON"),
    "number too large": (HEAD + ',"purchase":{"line":1e400}}}', JSON, 400, ""),
    "integer too large": (HEAD + ',"purchase":{"line":' + "9" * 5000 + "}}}", JSON, 400, "64 bits"),
    "NUL, escaped": (HEAD + ',"costCentre":"a\\u0000b"}}', JSON, 400, "NUL"),
    "NUL, raw": (HEAD + ',"costCentre":"a\0b"}}', JSON, 400, ""),
    "half a surrogate": (HEAD + ',"costCentre":"\\ud800"}}', JSON, 400, ""),
    "not UTF-8": (HEAD.encode() + b',"costCentre":"\xff\xfe"}}', JSON, 400, ""),
    "2 MiB": (HEAD + ',"costCentre":"' + "x" * 2 * 1024 * 1024 + '"}}', JSON, 413, "bytes"),
    "a million brackets": ("{}" + ",[]" * 300_000, JSON, 413, "values"),
    "a hundred thousand values": (json.dumps({"spec": {"macs": ["a"] * 100_000}}), JSON, 413, "values"),
    "a long string of escapes": ('{"a":"' + "\\\\" * 200_000 + '"}', JSON, 422, "unknown field"),
    "twenty thousand unknown fields": (json.dumps({f"k{n}": n for n in range(20_000)}), JSON, 422, "unknown field"),
    "twenty thousand unknown fields of spec": (
        json.dumps({"metadata": {"name": "a"}, "spec": {f"k{n}": n for n in range(20_000)}}),
        JSON,
        422,
        "",
    ),
    "a name of a million characters": (json.dumps(asset("a" * 900_000, "S1234")), JSON, 422, "metadata.name"),
    "a serial of 900,000 characters": (json.dumps(asset("a", "S" * 900_000)), JSON, 422, "spec.serial"),
    "labels without end": (json.dumps({"metadata": {"name": "a", "labels": {f"k{n}": "v" for n in range(20_000)}}}), JSON, 422, "labels"),
    "a list": ("[]", JSON, 400, "object"),
    "a number": ("1", JSON, 400, "object"),
    "nothing": ("", JSON, 400, "empty"),
    "a picture": (b"\x89PNG\r\n\x1a\n" * 100, "image/png", 415, "application/json"),
    "gzip in disguise": (b"\x1f\x8b\x08\x00" * 1000, JSON, 400, ""),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_in_words_and_in_time(client, live_api, name):
    content, media, code, word = BODIES[name]
    body = content.encode() if isinstance(content, str) else content
    client.post(ASSETS, content=body, headers={"Content-Type": media})  # warm
    before, worked, taken, answers = resident_mb(live_api), worked_s(live_api), [], []
    for _ in range(TIMES):
        start = time.perf_counter()
        answers.append(client.post(ASSETS, content=body, headers={"Content-Type": media}))
        taken.append(time.perf_counter() - start)
    took = min(statistics.median(taken), (worked_s(live_api) - worked) / TIMES)  # on a busy machine the clock says little
    for answer in answers:
        assert answer.status_code == code, answer.text[:500]
        status = answer.json()
        assert status["kind"] == "Status" and status["code"] == code
        assert word in status["message"]
        assert len(answer.content) < 64 * 1024, "the answer to rubbish is short"
    assert took < MEDIAN_S, f"{took * 1000:.0f} ms"
    assert resident_mb(live_api) - before < GROWTH_MB
    assert client.get(f"{ASSETS}/x").status_code == 404


def test_all_of_it_again_and_again_leaves_no_memory_behind(client, live_api):
    def round_of_abuse() -> None:
        for content, media, _, _ in BODIES.values():
            client.post(ASSETS, content=content.encode() if isinstance(content, str) else content, headers={"Content-Type": media})

    round_of_abuse()
    before = resident_mb(live_api)
    for _ in range(5):
        round_of_abuse()
    assert resident_mb(live_api) - before < GROWTH_MB


def test_a_body_that_lies_about_its_length_is_cut(client):
    def endless():
        for _ in range(64):
            yield b"x" * 65536

    answer = client.post(ASSETS, content=endless(), headers={"Content-Type": JSON})  # chunked: no Content-Length to refuse by
    assert answer.status_code == 413


def test_unknown_fields_name_the_field_that_was_meant(client):
    wrong = asset("a", "S1234")
    wrong["spec"] = {"modle": "dell-r650", "manufactuer": "Dell", "serail": "S1234", "purchase": {"pos": "1"}}
    answer = client.post(ASSETS, json=wrong)
    assert answer.status_code == 422
    causes = {cause["field"]: cause["message"] for cause in answer.json()["details"]["causes"]}
    for field, meant in (("spec.modle", "spec.model"), ("spec.manufactuer", "spec.manufacturer"), ("spec.serail", "spec.serial")):
        assert f"did you mean {meant}?" in causes[field]
    assert "did you mean spec.purchase.po?" in causes["spec.purchase.pos"]
    assert client.get(f"{ASSETS}/a").status_code == 404


@pytest.mark.parametrize("media", ["application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"])
def test_patches_are_bounded_too(client, live_api, media):
    client.post(ASSETS, json=asset("patched", "SPATCHED"))
    query = "?fieldManager=me" if "apply" in media else ""
    bodies = {
        "application/merge-patch+json": '{"metadata":{"labels":' * 1 + "{" + ",".join(f'"k{n}":"v"' for n in range(9000)) + "}}}",
        "application/json-patch+json": json.dumps(
            [{"op": "copy", "from": "/metadata", "path": f"/metadata/labels/a{n}"} for n in range(2000)]
        ),
        "application/apply-patch+yaml": BOMB,
    }
    before, worked, taken = resident_mb(live_api), worked_s(live_api), []
    for _ in range(TIMES):
        start = time.perf_counter()
        answer = client.patch(f"{ASSETS}/patched{query}", content=bodies[media], headers={"Content-Type": media})
        taken.append(time.perf_counter() - start)
        assert 400 <= answer.status_code < 500, answer.text[:300]
    assert min(statistics.median(taken), (worked_s(live_api) - worked) / TIMES) < MEDIAN_S
    assert resident_mb(live_api) - before < GROWTH_MB


def test_a_json_patch_that_doubles_itself_is_refused(client, live_api):
    client.post(ASSETS, json=asset("doubled", "SDOUBLED"))
    ops = [{"op": "add", "path": "/metadata/annotations", "value": {"a": "x" * 1000}}]
    ops += [{"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/c{n}"} for n in range(24)]
    before, start = resident_mb(live_api), time.perf_counter()
    answer = client.patch(f"{ASSETS}/doubled", content=json.dumps(ops), headers={"Content-Type": "application/json-patch+json"})
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert time.perf_counter() - start < 5
    assert resident_mb(live_api) - before < GROWTH_MB
