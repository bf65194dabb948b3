"""The API as clients meet it: the verbs, the forms of an answer, and refusals that say what to do."""

import asyncio

import orjson
import pytest

from cipo.kernel.store.feed import Feed
from tests.kernel.toy import ANNA, BOX, box, rack

pytestmark = pytest.mark.anyio

BOXES = "/apis/facilities.cipo/v1/toyboxes"
RACKS = "/apis/facilities.cipo/v1/toyracks"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}


async def test_an_object_is_created_read_replaced_patched_and_deleted(api):
    made = await api.post(BOXES, json=box("a"))
    assert made.status_code == 201
    assert made.json()["metadata"]["name"] == "a"
    got = await api.get(f"{BOXES}/a")
    assert got.content == made.content
    whole = got.json()
    whole["spec"]["note"] = "x"
    replaced = await api.put(f"{BOXES}/a", json=whole)
    assert (replaced.status_code, replaced.json()["spec"]["note"]) == (200, "x")
    assert (await api.put(f"{BOXES}/a", json=whole)).json()["reason"] == "Conflict"
    patched = await api.patch(f"{BOXES}/a", json={"spec": {"note": "y"}}, headers=MERGE)
    assert patched.json()["spec"]["note"] == "y"
    ops = [{"op": "test", "path": "/spec/note", "value": "y"}, {"op": "replace", "path": "/spec/note", "value": "z"}]
    patched = await api.patch(f"{BOXES}/a", json=ops, headers={"Content-Type": "application/json-patch+json"})
    assert patched.json()["spec"]["note"] == "z"
    gone = await api.request("DELETE", f"{BOXES}/a", json={"propagationPolicy": "Background"})
    assert gone.json()["status"] == "Success"
    assert gone.json()["details"] == {"name": "a", "group": "facilities.cipo", "kind": "toyboxes", "uid": made.json()["metadata"]["uid"]}
    missing = await api.get(f"{BOXES}/a")
    assert missing.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'toyboxes.facilities.cipo "a" not found',
        "reason": "NotFound",
        "code": 404,
        "details": {"name": "a", "group": "facilities.cipo", "kind": "toyboxes"},
    }


async def test_a_dry_run_answers_and_keeps_nothing(api):
    made = await api.post(BOXES, params={"dryRun": "All"}, json=box("a"))
    assert made.status_code == 201
    assert (await api.get(f"{BOXES}/a")).status_code == 404
    await api.post(BOXES, json=box("a"))
    patched = await api.patch(f"{BOXES}/a", params={"dryRun": "All"}, json={"spec": {"note": "y"}}, headers=MERGE)
    assert patched.json()["spec"]["note"] == "y"
    gone = await api.request("DELETE", f"{BOXES}/a", json={"dryRun": ["All"]})
    assert gone.status_code == 200
    assert (await api.get(f"{BOXES}/a")).json()["spec"]["note"] == ""
    assert "All" in (await api.post(BOXES, params={"dryRun": "Some"}, json=box("b"))).json()["message"]


async def test_unknown_fields_are_refused_warned_about_or_dropped(api):
    bad = box("a", colour="red")
    refused = await api.post(BOXES, params={"fieldValidation": "Strict"}, json=bad)
    assert refused.status_code == 422
    assert 'strict decoding error: unknown field "spec.colour"' in refused.json()["details"]["causes"][0]["message"]
    warned = await api.post(BOXES, params={"fieldValidation": "Warn"}, json=bad)
    assert warned.status_code == 201
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.colour\\""'
    ignored = await api.post(BOXES, params={"fieldValidation": "Ignore"}, json=box("b", colour="red"))
    assert (ignored.status_code, "Warning" in ignored.headers) == (201, False)
    assert (await api.post(BOXES, params={"fieldValidation": "Maybe"}, json=bad)).status_code == 400


async def test_every_refusal_is_a_status(api):
    cases = [
        (await api.get("/apis/nope.cipo/v1/things"), 404, "NotFound"),
        (await api.get("/apis/facilities.cipo/v2/toyboxes"), 404, "NotFound"),
        (await api.get("/apis/facilities.cipo/v1/toyboxes/a/b/c/d"), 404, "NotFound"),
        (await api.get("/openapi/v2"), 404, "NotFound"),
        (await api.delete(BOXES), 405, "MethodNotAllowed"),
        (await api.request("OPTIONS", BOXES), 405, "MethodNotAllowed"),
        (await api.post(BOXES, content=b"{", headers={"Content-Type": "application/json"}), 400, "BadRequest"),
        (await api.post(BOXES, json=[1]), 400, "BadRequest"),
        (await api.post(BOXES, content=b"x", headers={"Content-Type": "text/html"}), 415, "UnsupportedMediaType"),
        (await api.post(BOXES, content=b" " * 2_000_000), 413, "RequestEntityTooLarge"),
        (await api.get(BOXES, params={"limit": "-1"}), 400, "BadRequest"),
        (await api.get(BOXES, params={"limit": "²"}), 400, "BadRequest"),
        (await api.get(BOXES, params={"labelSelector": "a=b=c"}), 400, "BadRequest"),
        (await api.get(BOXES, params={"fieldSelector": "spec.rack=1"}), 400, "BadRequest"),
        (await api.get(BOXES, params={"watch": "perhaps"}), 400, "BadRequest"),
        (await api.get(BOXES, params={"continue": "xyz"}), 410, "Expired"),
        (await api.get(BOXES, params={"watch": "true", "sendInitialEvents": "true"}), 400, "BadRequest"),
        (await api.get(BOXES, headers={"Authorization": "Bearer nobody"}), 401, "Unauthorized"),
        (await api.get(BOXES, headers={"Authorization": "Bearer dora"}), 403, "Forbidden"),
        (await api.get(BOXES, params={"watch": "true"}, headers={"Authorization": "Bearer dora"}), 403, "Forbidden"),
    ]
    for response, code, reason in cases:
        body = response.json()
        assert (response.status_code, body["kind"], body["status"], body["code"], body["reason"]) == (
            code,
            "Status",
            "Failure",
            code,
            reason,
        )
        assert response.headers["X-Request-Id"]


async def test_a_body_without_a_length_is_cut_at_the_limit(api):
    async def endless():
        for _ in range(40):
            yield b" " * 65536

    assert (await api.post(BOXES, content=endless())).status_code == 413


async def test_a_request_keeps_its_number(api):
    assert (await api.get(BOXES, headers={"X-Request-Id": "r-42"})).headers["X-Request-Id"] == "r-42"
    refused = await api.get(BOXES, headers={"X-Request-Id": "r-43", "Authorization": ""})
    assert (refused.status_code, refused.headers["X-Request-Id"]) == (401, "r-43")
    assert "Bearer" in refused.headers["WWW-Authenticate"]
    assert (await api.get(BOXES, headers={"X-Request-Id": "<script>", "Authorization": ""})).headers["X-Request-Id"] != "<script>"


async def test_a_strategic_patch_names_the_three_others(api):
    await api.post(BOXES, json=box("a"))
    refused = await api.patch(f"{BOXES}/a", content=b"{}", headers={"Content-Type": "application/strategic-merge-patch+json"})
    assert refused.status_code == 415
    for media in ("merge-patch+json", "json-patch+json", "apply-patch+yaml"):
        assert media in refused.json()["message"]


async def test_a_kind_that_the_chart_reserves_is_refused_before_it_is_missing(api):
    refused = await api.post("/apis/cloud.cipo/v1/kernelreleases", json={})
    assert (refused.status_code, "1B governance boundary" in refused.json()["message"]) == (403, True)
    assert (await api.get("/apis/cloud.cipo/v1/kernelreleases")).status_code == 404


async def test_lists_come_in_pages_and_by_selectors(api):
    for index in range(5):
        labels = {"site": "ams1" if index % 2 else "fra1"}
        assert (await api.post(BOXES, json={**box(f"b{index}"), "metadata": {"name": f"b{index}", "labels": labels}})).status_code == 201
    names, token = [], None
    while True:
        page = (await api.get(BOXES, params={"limit": "2", **({"continue": token} if token else {})})).json()
        assert page["kind"] == "ToyBoxList"
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == 5 - len(names)
    assert names == [f"b{index}" for index in range(5)]
    some = (await api.get(BOXES, params={"labelSelector": "site in (ams1),!gone"})).json()
    assert [item["metadata"]["name"] for item in some["items"]] == ["b1", "b3"]
    some = (await api.get(BOXES, params={"fieldSelector": "spec.serial=SN-b2,metadata.name!=b1"})).json()
    assert [item["metadata"]["name"] for item in some["items"]] == ["b2"]
    uid = some["items"][0]["metadata"]["uid"]
    assert len((await api.get(BOXES, params={"fieldSelector": f"metadata.uid={uid}"})).json()["items"]) == 1


async def test_an_injection_in_names_and_selectors_finds_nothing_and_breaks_nothing(api):
    await api.post(BOXES, json=box("a"))
    evil = "a'; drop table cipo.resource; --"
    assert (await api.get(f"{BOXES}/{evil}")).status_code == 404
    assert (await api.get(BOXES, params={"fieldSelector": f"metadata.name={evil}"})).status_code in (200, 400)
    assert (await api.get(BOXES, params={"labelSelector": evil})).status_code == 400
    assert (await api.get(BOXES, params={"continue": evil})).status_code in (400, 410)
    assert (await api.get(f"{BOXES}/%00")).status_code in (400, 404)
    assert (await api.get(f"{BOXES}/a")).status_code == 200


async def test_kubectl_get_gets_a_table_without_parsing(api):
    await api.post(BOXES, json={**box("a"), "metadata": {"name": "a", "labels": {"spec": '},"spec":{'[:0] + "x"}}})
    table = (await api.get(BOXES, headers={"Accept": TABLE})).json()
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Serial", "Phase", "Age"]
    row = table["rows"][0]
    assert row["cells"][:3] == ["a", "SN-a", "New"]
    assert row["cells"][3].endswith("s")
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["labels"] == {"spec": "x"}
    assert "managedFields" not in row["object"]["metadata"]
    full = (await api.get(BOXES, params={"includeObject": "Object"}, headers={"Accept": TABLE})).json()
    assert full["rows"][0]["object"]["spec"]["serial"] == "SN-a"
    none = (await api.get(BOXES, params={"includeObject": "None"}, headers={"Accept": TABLE})).json()
    assert "object" not in none["rows"][0]
    single = (await api.get(f"{BOXES}/a/status", headers={"Accept": TABLE})).json()
    assert single["rows"][0]["cells"][0] == "a"
    partial = (await api.get(BOXES, headers={"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"})).json()
    assert (partial["kind"], partial["items"][0]["metadata"]["name"]) == ("PartialObjectMetadataList", "a")


async def test_apply_by_two_managers_conflicts_and_force_takes_over(api):
    spec = {"apiVersion": "facilities.cipo/v1", "kind": "ToyBox", "metadata": {"name": "a"}, "spec": {"serial": "S", "note": "one"}}
    made = await api.patch(f"{BOXES}/a", params={"fieldManager": "m1"}, json=spec, headers=APPLY)
    assert made.status_code == 201
    same = await api.patch(f"{BOXES}/a", params={"fieldManager": "m1"}, json=spec, headers=APPLY)
    assert (same.status_code, same.json()["metadata"]["resourceVersion"]) == (200, made.json()["metadata"]["resourceVersion"])
    yaml = b"apiVersion: facilities.cipo/v1\nkind: ToyBox\nspec:\n  note: two\n"
    refused = await api.patch(f"{BOXES}/a", params={"fieldManager": "m2"}, content=yaml, headers=APPLY)
    assert refused.status_code == 409
    cause = refused.json()["details"]["causes"][0]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".spec.note")
    assert cause["message"] == 'conflict with "m1" using facilities.cipo/v1'
    forced = await api.patch(f"{BOXES}/a", params={"fieldManager": "m2", "force": "true"}, content=yaml, headers=APPLY)
    assert forced.json()["spec"]["note"] == "two"
    managers = {entry["manager"]: entry["fieldsV1"] for entry in forced.json()["metadata"]["managedFields"]}
    assert managers == {"m1": {"f:spec": {"f:serial": {}}}, "m2": {"f:spec": {"f:note": {}}}}
    nameless = await api.patch(f"{BOXES}/a", json=spec, headers=APPLY)
    assert "fieldManager is required" in nameless.json()["message"]


async def test_an_action_runs_once_a_key_and_says_what_is_legal(api):
    await api.post(RACKS, json=rack("r"))
    await api.post(BOXES, json=box("a", rack="r"))
    first = await api.post(f"{BOXES}/a/move", json={"to": "hall"}, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, first.json()["status"]["phase"]) == (201, "Moved")
    again = await api.post(f"{BOXES}/a/move", json={"to": "hall"}, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json()["metadata"]["resourceVersion"] == first.json()["metadata"]["resourceVersion"]
    answered = await api.post(f"{BOXES}/a/twin")
    assert answered.json()["kind"] == "ActionResult"
    assert answered.json()["output"] == {"to": "a-twin"}
    assert answered.json()["object"]["metadata"]["name"] == "a"
    wrong = await api.post(f"{BOXES}/a/move", json={"too": "x"})
    assert (wrong.status_code, "to: Required value" in wrong.json()["message"]) == (422, True)
    unknown = await api.post(f"{BOXES}/a/fly")
    assert (unknown.status_code, "move, twin" in unknown.json()["message"]) == (404, True)
    assert (await api.get(f"{BOXES}/a/move")).status_code == 400
    assert (await api.post(f"{BOXES}/a/status", json={})).status_code == 405


async def test_the_status_is_written_by_its_own_subresource(api):
    made = (await api.post(BOXES, json={**box("a"), "status": {"phase": "Gone"}})).json()
    assert made["status"]["phase"] == "New"
    patched = (await api.patch(f"{BOXES}/a/status", json={"spec": {"note": "no"}, "status": {"phase": "Gone"}}, headers=MERGE)).json()
    assert (patched["status"]["phase"], patched["spec"]["note"]) == ("Gone", "")
    assert patched["metadata"]["generation"] == made["metadata"]["generation"]


async def test_a_thousand_objects_go_in_one_request_or_none(api):
    body = {"kind": "ToyBoxList", "apiVersion": "facilities.cipo/v1", "items": [box(f"b{index}") for index in range(50)]}
    made = await api.post(BOXES, json=body)
    assert (made.status_code, len(made.json()["items"])) == (201, 50)
    body["items"] = [box("new"), box("b1")]
    refused = await api.post(BOXES, json=body)
    assert refused.status_code == 409
    assert (await api.get(f"{BOXES}/new")).status_code == 404
    assert "items[0]" in (await api.post(BOXES, json={**body, "items": [1]})).json()["message"]


# -- discovery and documents


async def test_discovery_answers_with_exactly_the_type_that_kubectl_asks_for(api):
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    found = await api.get("/apis", headers={"Accept": accept})
    assert found.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    group = next(item for item in found.json()["items"] if item["metadata"]["name"] == "facilities.cipo")
    resource = next(item for item in group["versions"][0]["resources"] if item["resource"] == "toyboxes")
    assert resource["scope"] == "Cluster"
    assert resource["shortNames"] == ["tb"]
    assert {part["subresource"] for part in resource["subresources"]} == {"status", "move", "twin"}
    plain = await api.get("/apis")
    assert (plain.headers["Content-Type"], plain.json()["kind"]) == ("application/json", "APIGroupList")
    assert (await api.get("/api")).json()["versions"] == ["v1"]
    assert [item["name"] for item in (await api.get("/api/v1")).json()["resources"]] == ["events"]
    listed = (await api.get("/apis/facilities.cipo/v1")).json()
    assert "toyboxes/status" in [item["name"] for item in listed["resources"]]
    assert (await api.get("/apis/facilities.cipo")).json()["preferredVersion"]["version"] == "v1"
    assert (await api.get("/version")).json()["gitVersion"].startswith("v1.32.0+cipo.")


async def test_openapi_has_what_explain_and_apply_look_for(api):
    index = (await api.get("/openapi/v3")).json()["paths"]["apis/facilities.cipo/v1"]["serverRelativeURL"]
    found = await api.get(index)
    assert "immutable" in found.headers["Cache-Control"]
    document = found.json()
    schema = document["components"]["schemas"]["facilities.v1.ToyBox"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "facilities.cipo", "version": "v1", "kind": "ToyBox"}]
    patch = document["paths"][f"{BOXES}/{{name}}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "facilities.cipo", "version": "v1", "kind": "ToyBox"}
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    spec = document["components"]["schemas"]["facilities.v1.BoxSpec"]["properties"]
    assert spec["rack"]["nullable"] is True
    assert spec["rack"]["type"] == "string"
    assert spec["serial"]["description"] == "What is printed on it."
    assert (await api.get("/openapi/v3/apis/nope.cipo/v1")).status_code == 404
    people = (await api.get("/openapi.json")).json()
    assert people["openapi"] == "3.1.0"
    assert b"x-kubernetes" not in orjson.dumps(people)


async def test_every_reference_in_the_documents_leads_somewhere(api):
    index = (await api.get("/openapi/v3")).json()["paths"]
    for url in [entry["serverRelativeURL"] for entry in index.values()] + ["/openapi.json"]:
        document = (await api.get(url)).json()
        known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert {reference for reference in references(document)} <= known


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


async def test_the_probes_need_no_token(api):
    for path in ("/healthz", "/livez", "/readyz"):
        answer = await api.get(path, headers={"Authorization": ""})
        assert (answer.status_code, answer.text) == (200, "ok")


# -- who am I, what may I, what happened


def pb(number, value):
    """One length-delimited protobuf field."""
    return bytes([number << 3 | 2, len(value)]) + value


def kubectl_question(kind, spec=b""):
    return b"k8s\x00" + pb(1, pb(1, b"v1") + pb(2, kind.encode())) + pb(2, pb(1, b"") + (pb(2, spec) if spec else b""))


@pytest.mark.parametrize(("resource", "subresource", "verb", "allowed"), [
    (b"toyboxes", b"", b"delete", True),
    (b"toyboxes", b"move", b"create", True),
    (b"toyboxes", b"fly", b"create", False),
    (b"toyboxes", b"", b"dance", False),
    (b"nothings", b"", b"get", False),
])  # fmt: skip
async def test_can_i_is_answered_in_kubectls_protobuf_and_in_json(api, resource, subresource, verb, allowed):
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    attributes = pb(2, verb) + pb(3, b"facilities.cipo") + pb(5, resource) + pb(6, subresource)
    body = kubectl_question("SelfSubjectAccessReview", pb(1, attributes))
    answer = await api.post(path, content=body, headers={"Content-Type": "application/vnd.kubernetes.protobuf"})
    assert (answer.status_code, answer.json()["status"]["allowed"]) == (201, allowed)
    asked = {"verb": verb, "group": "facilities.cipo", "resource": resource, "subresource": subresource}
    spec = {"resourceAttributes": {key: value.decode() if isinstance(value, bytes) else value for key, value in asked.items()}}
    answer = await api.post(path, json={"kind": "SelfSubjectAccessReview", "spec": spec})
    assert answer.json()["status"]["allowed"] is allowed


async def test_can_i_says_why_not(api):
    spec = {"resourceAttributes": {"verb": "create", "group": "cloud.cipo", "resource": "kernelreleases"}}
    answer = await api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json={"spec": spec})
    assert "1B governance boundary" in answer.json()["status"]["reason"]
    spec = {"resourceAttributes": {"verb": "get", "group": "data.cipo", "resource": "toytopics"}}
    answer = await api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json={"spec": spec})
    assert answer.json()["status"] == {"allowed": False, "reason": "1A/U-W2 does not own ToyTopic"}
    for bad in ({}, {"kind": "Other"}, {"spec": 1}, [1]):
        assert (await api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=bad)).status_code == 400


async def test_whoami_and_the_list_of_rules(api):
    body = kubectl_question("SelfSubjectReview")
    media = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    answer = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", content=body, headers=media)
    assert answer.json()["status"]["userInfo"] == {
        "username": "anna", "groups": ["system:authenticated", "unit:1A/U-W2"], "extra": {"acting-unit": ["1A/U-W2"]},
    }  # fmt: skip
    rules = await api.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", json={"spec": {"namespace": "default"}})
    listed = rules.json()["status"]["resourceRules"]
    assert {"verbs": ["create"], "apiGroups": ["facilities.cipo"], "resources": ["toyboxes/move", "toyboxes/twin"]} in listed
    assert not [rule for rule in listed if rule["apiGroups"] == ["data.cipo"]]
    cut = await api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", content=body[:-3] + b"\xff", headers=media)
    assert cut.status_code == 400


async def test_describe_finds_the_events_of_an_object_and_strangers_find_none(api):
    made = (await api.post(BOXES, json=box("a"))).json()
    await api.post(BOXES, json=box("b"))
    await api.patch(f"{BOXES}/a", json={"spec": {"note": "x"}}, headers=MERGE)
    selector = f"involvedObject.name=a,involvedObject.namespace=,involvedObject.kind=ToyBox,involvedObject.uid={made['metadata']['uid']}"
    accept = {"Accept": "application/vnd.kubernetes.protobuf,application/json"}
    found = (await api.get("/api/v1/events", params={"fieldSelector": selector, "limit": "500"}, headers=accept)).json()
    assert found["kind"] == "EventList"
    assert [(event["reason"], event["type"]) for event in found["items"]] == [("Patch", "Normal"), ("Create", "Normal")]
    assert "spec.note" in found["items"][0]["message"]
    page = (await api.get("/api/v1/namespaces/default/events", params={"limit": "2"})).json()
    rest = (await api.get("/api/v1/namespaces/default/events", params={"limit": "2", "continue": page["metadata"]["continue"]})).json()
    assert len(page["items"]) + len(rest["items"]) == 3
    table = (await api.get("/api/v1/events", headers={"Accept": TABLE})).json()
    assert table["rows"][0]["cells"][3] == "toybox/a"
    stranger = (await api.get("/api/v1/events", headers={"Authorization": "Bearer dora"})).json()
    assert stranger["items"] == []


# -- watch


async def test_a_watch_shows_what_is_there_and_then_each_change(api):
    await api.post(BOXES, json=box("a"))
    async with api.watching(BOXES) as watch:
        assert (await watch.next())["object"]["metadata"]["name"] == "a"
        await api.post(BOXES, json=box("b"))
        event = await watch.next()
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")
        await api.patch(f"{BOXES}/b", json={"spec": {"note": "x"}}, headers=MERGE)
        event = await watch.next()
        assert (event["type"], event["object"]["spec"]["note"]) == ("MODIFIED", "x")
        await api.delete(f"{BOXES}/b")
        assert (await watch.next())["type"] == "DELETED"


async def test_a_watch_from_a_lists_version_misses_nothing(api):
    version = (await api.get(BOXES)).json()["metadata"]["resourceVersion"]
    for index in range(3):
        await api.post(BOXES, json=box(f"b{index}"))
    async with api.watching(BOXES, resourceVersion=version or "0", timeoutSeconds=30) as watch:
        names = [(await watch.next())["object"]["metadata"]["name"] for _ in range(3)]
    assert sorted(names) == ["b0", "b1", "b2"]


async def test_a_selector_makes_leaving_a_deletion(api):
    await api.post(BOXES, json={**box("a"), "metadata": {"name": "a", "labels": {"site": "x"}}})
    async with api.watching(BOXES, labelSelector="site=x") as watch:
        assert (await watch.next())["type"] == "ADDED"
        await api.post(BOXES, json=box("other"))
        await api.patch(f"{BOXES}/a", json={"metadata": {"labels": {"site": "y"}}}, headers=MERGE)
        event = await watch.next()
        assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "a")


async def test_initial_events_end_with_a_marked_bookmark(api):
    await api.post(BOXES, json=box("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watching(BOXES, **query) as watch:
        assert (await watch.next())["type"] == "ADDED"
        mark = await watch.next()
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert mark["object"]["kind"] == "ToyBox"


async def test_a_watched_table_has_its_headings_once(api):
    await api.post(BOXES, json=box("a"))
    async with api.watching(BOXES, accept=TABLE) as watch:
        first = (await watch.next())["object"]
        assert (first["kind"], len(first["columnDefinitions"])) == ("Table", 4)
        await api.post(BOXES, json=box("b"))
        second = (await watch.next())["object"]
        assert second["columnDefinitions"] == []
        assert second["rows"][0]["cells"][:3] == ["b", "SN-b", "New"]
        assert second["rows"][0]["cells"][3].endswith("s")


async def test_a_version_that_is_too_old_or_not_yet_is_an_error_event(api):
    async with api.watching(BOXES, resourceVersion=999999) as watch:
        event = await watch.next()
        assert await watch.status == 200
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await watch.next() is None


async def test_a_watch_ends_when_its_time_is_up(api):
    async with api.watching(BOXES, timeoutSeconds=1) as watch:
        assert await watch.next() is None


async def test_a_watcher_that_has_gone_leaves_nothing_behind(api, served):
    feed = served[2]
    async with api.watching(BOXES) as watch:
        await watch.status
        await api.post(BOXES, json=box("a"))
        await watch.next()
        assert len(feed._watchers) == 1
    assert not feed._watchers


async def until(condition):
    """Wait for a condition, at most ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


async def test_a_watcher_that_does_not_read_is_cut_and_told(api, served, monkeypatch):
    monkeypatch.setattr("cipo.kernel.store.feed.QUEUE_MAX", 5)
    _, resources, feed = served
    async with api.watching(BOXES) as watch:
        await watch.status
        await api.post(BOXES, json=box("first"))
        await watch.next()
        watch.reading.clear()
        for index in range(12):
            await resources.create(ANNA, BOX, box(f"b{index}"))
        await until(lambda: not feed._watchers)
        watch.reading.set()
        events = []
        while (event := await watch.next()) is not None:
            events.append(event)
        assert events[-1]["type"] == "ERROR"
        assert events[-1]["object"]["code"] == 410


async def test_a_watcher_that_takes_no_byte_is_dropped(api, monkeypatch):
    monkeypatch.setattr("cipo.kernel.wire.watch.SEND_S", 0.2)
    await api.post(BOXES, json=box("a"))
    async with api.watching(BOXES) as watch:
        watch.reading.clear()
        await watch.status
        tasks = [task for task in asyncio.all_tasks() if "Starlette" in repr(task.get_coro())]
        await asyncio.wait(tasks, timeout=5)
        assert all(task.done() for task in tasks)


ODD_METADATA = (
    {"managedFields": "x"}, {"managedFields": [1]}, {"managedFields": [{"manager": 1}]}, {"ownerReferences": "x"}, {"ownerReferences": [{"uid": 1}]},
    {"generateName": 1}, {"generateName": "Bad Name"}, {"name": 7}, {"name": None}, {"labels": [1]}, {"labels": {"a": 1}}, {"annotations": {"a": 1}},
    {"finalizers": {"a": 1}}, {"uid": 1}, {"resourceVersion": {}}, {"generation": "x"}, {"creationTimestamp": 5}, {"deletionTimestamp": "now"}, "x", [], 5,
)  # fmt: skip


async def test_no_metadata_however_odd_is_a_defect(api):
    for index, metadata in enumerate(ODD_METADATA):
        name = f"n{index}"
        body = {**box(name), "metadata": {"name": name, **metadata} if isinstance(metadata, dict) else metadata}
        made = await api.post(BOXES, json=body)
        assert made.status_code in (201, 400, 422), made.text
        if made.status_code != 201:
            assert (await api.post(BOXES, json=box(name))).status_code == 201
        for content in ({"metadata": metadata}, {**box(name), "metadata": metadata}):
            patched = await api.patch(f"{BOXES}/{name}", json=content, headers=MERGE)
            assert patched.status_code in (200, 400, 409, 422), patched.text
        applied = await api.patch(f"{BOXES}/{name}", params={"fieldManager": "m", "force": "true"}, json=body, headers=APPLY)
        assert applied.status_code in (200, 400, 409, 422), applied.text
        replaced = await api.put(f"{BOXES}/{name}", json=body)
        assert replaced.status_code in (200, 400, 409, 422), replaced.text


async def test_the_feeds_reader_ends_when_it_is_cancelled_at_any_moment(served):
    resources = served[1]
    for pause in range(40):
        feed = Feed(resources.db)
        reader = asyncio.create_task(feed.run())
        await feed.ready()
        feed.wake()
        await asyncio.sleep(pause / 2000)
        reader.cancel()
        done, _ = await asyncio.wait({reader}, timeout=5)
        assert done
