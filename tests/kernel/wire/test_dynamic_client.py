"""The Python ``kubernetes`` client, unchanged: discovery, create, list by pages, watch while another client edits, apply conflict."""

import anyio.to_thread
import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

pytestmark = pytest.mark.anyio

V1 = "facilities.cipo/v1"
COUNT = 300


def body(name, **spec):
    return {"apiVersion": V1, "kind": "ToyBox", "metadata": {"name": name}, "spec": {"serial": f"SN-{name}", **spec}}


def work(server, ca):
    """What a script would do, in a thread of its own."""
    settings = kubernetes.client.Configuration(host=server)
    settings.ssl_ca_cert = str(ca)
    settings.api_key = {"authorization": "Bearer anna"}
    settings.no_proxy = "*"
    settings.proxy = None
    client = DynamicClient(kubernetes.client.ApiClient(settings))
    boxes = client.resources.get(api_version=V1, kind="ToyBox")
    for index in range(COUNT):
        boxes.create(body=body(f"b{index:04}"))
    names, newest, after = [], {}, None
    while True:
        page = boxes.get(limit=50, **({"_continue": after} if after else {}))
        names += [item.metadata.name for item in page["items"]]
        newest |= {item.metadata.name: int(item.metadata.resourceVersion) for item in page["items"]}
        after = page.metadata["continue"]
        if not after:
            break
    assert names == [f"b{index:04}" for index in range(COUNT)]
    version = page.metadata.resourceVersion
    boxes.patch(name="b0000", body={"spec": {"note": "edited"}}, content_type="application/merge-patch+json")
    boxes.delete(name="b0001")
    seen = []
    for event in boxes.watch(resource_version=version, timeout=5):
        told = event["object"].metadata
        if int(told.resourceVersion) > newest[told.name]:  # what the list showed may come again while an older transaction is open
            seen.append((event["type"], told.name))
        if len(seen) == 2:
            break
    assert seen == [("MODIFIED", "b0000"), ("DELETED", "b0001")]
    boxes.server_side_apply(body=body("c", note="one"), name="c", field_manager="m1")
    with pytest.raises(ApiException) as refused:
        boxes.server_side_apply(body=body("c", note="two"), name="c", field_manager="m2")
    assert refused.value.status == 409
    assert "FieldManagerConflict" in refused.value.body
    forced = boxes.server_side_apply(body=body("c", note="two"), name="c", field_manager="m2", force_conflicts=True)
    assert forced.spec.note == "two"
    with pytest.raises(ApiException) as missing:
        boxes.get(name="zz")
    assert missing.value.status == 404


async def test_a_script_with_the_dynamic_client_works_as_against_kubernetes(kubectl):
    await anyio.to_thread.run_sync(work, kubectl.server, kubectl.ca)
