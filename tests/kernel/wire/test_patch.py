"""Merge and JSON patches, with the RFCs' own examples."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.kernel.errors import ApiError, BadRequest, Invalid, TooLarge, UnsupportedMediaType
from cipo.kernel.wire.patch import json_patch, merge, patch_type


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_rfc(target, patch, result):
    assert merge(target, patch) == result


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, JSON)
def test_merging_twice_is_merging_once_and_leaves_the_inputs_alone(target, patch):
    before = repr((target, patch))
    once = merge(target, patch)
    assert merge(once, patch) == once
    assert repr((target, patch)) == before


def test_json_patch_does_all_six_operations():
    target = {"spec": {"model": "a", "ports": [1, 2]}, "metadata": {"labels": {"x/y": "1"}}}
    ops = [
        {"op": "test", "path": "/spec/model", "value": "a"},
        {"op": "replace", "path": "/spec/model", "value": "b"},
        {"op": "add", "path": "/spec/ports/-", "value": 3},
        {"op": "copy", "from": "/spec/model", "path": "/spec/twin"},
        {"op": "move", "from": "/spec/twin", "path": "/spec/other"},
        {"op": "remove", "path": "/metadata/labels/x~1y"},
    ]
    assert json_patch(target, ops) == {"spec": {"model": "b", "ports": [1, 2, 3], "other": "b"}, "metadata": {"labels": {}}}
    assert target["spec"]["model"] == "a"


def test_a_failing_test_is_refused_as_kubernetes_does_and_nothing_is_done():
    target = {"spec": {"model": "a"}}
    with pytest.raises(Invalid) as refused:
        json_patch(target, [{"op": "remove", "path": "/spec/model"}, {"op": "test", "path": "/spec", "value": {"model": "a"}}])
    assert refused.value.code == 422
    assert "the server rejected our request due to an error in our request" in refused.value.message
    assert refused.value.causes[0].field == "spec"
    assert target == {"spec": {"model": "a"}}


@pytest.mark.parametrize("op", [{"op": "remove", "path": "/nope"}, {"op": "replace", "path": "/spec/x", "value": 1}])
@pytest.mark.parametrize("value", [{}, {"spec": 1}, {"spec": []}])
def test_a_missing_path_is_unprocessable(op, value):
    with pytest.raises(Invalid, match="operation 0"):
        json_patch(value, [op])


@pytest.mark.parametrize(
    "ops",
    [
        {},
        "x",
        [1],
        [{}],
        [{"op": "add", "path": "/a"}],
        [{"op": "eval", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "move", "path": "/a"}],
        [{"op": [], "path": "/a"}],
        [{"op": "remove", "path": "/" + "a" * 2000}],
    ],
)
def test_a_malformed_patch_is_a_bad_request(ops):
    with pytest.raises(BadRequest):
        json_patch({"a": 1}, ops)


def test_too_many_operations_and_copies_of_copies_are_stopped_early():
    with pytest.raises(TooLarge):
        json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 1001)
    began = time.perf_counter()
    with pytest.raises(TooLarge):
        json_patch({"a": ["x" * 1000]}, [{"op": "copy", "from": "/a", "path": "/a/-"}] * 1000)
    assert time.perf_counter() - began < 1


POINTERS = st.sampled_from(["", "/", "/a", "/a/0", "/a/-", "/a/b", "/b~1c", "/a/99", "/a/-1", "/a/x/y"])
OPS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
    optional={"from": POINTERS, "value": JSON},
)


@given(st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), st.lists(OPS, max_size=5))
def test_any_patch_works_or_is_refused(target, ops):
    before = repr(target)
    try:
        json_patch(target, ops)
    except ApiError as refused:
        assert refused.code in (400, 413, 422)
    assert repr(target) == before


def test_the_media_type_decides_and_strategic_merge_names_the_three_others():
    assert patch_type("application/merge-patch+json; charset=utf-8") == "merge"
    assert patch_type("application/json-patch+json") == "json"
    assert patch_type("application/apply-patch+yaml") == "apply"
    for media in ("application/strategic-merge-patch+json", "application/json", ""):
        with pytest.raises(UnsupportedMediaType, match=r"merge-patch\+json, application/json-patch\+json, application/apply-patch\+yaml"):
            patch_type(media)
