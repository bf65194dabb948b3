"""An event's diff: applied to the old version it gives the new one, and it knows what was there."""

from __future__ import annotations

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from cipo.kernel.store.diff import diff

scalars = st.one_of(st.none(), st.integers(-9, 9), st.text("ab/~", max_size=3))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=4))
objects = st.dictionaries(st.text("ab/~", max_size=2), values, max_size=5)


@given(objects, objects)
def test_the_operations_turn_the_old_into_the_new(old, new):
    ops = [{key: value for key, value in op.items() if key != "was"} for op in diff(old, new)]
    assert jsonpatch.apply_patch(old, ops) == new


def test_it_says_what_was_there():
    old = {"status": {"phase": "New", "note": "x"}, "labels": {"a/b": "1"}}
    new = {"status": {"phase": "Moved"}, "labels": {"a/b": "1", "c~d": "2"}}
    assert diff(old, new) == [
        {"op": "replace", "path": "/status/phase", "value": "Moved", "was": "New"},
        {"op": "remove", "path": "/status/note", "was": "x"},
        {"op": "add", "path": "/labels/c~0d", "value": "2"},
    ]


def test_a_list_that_grows_is_one_addition():
    assert diff({"a": [{"n": 1}, {"n": 2}]}, {"a": [{"n": 1}, {"n": 2}, {"n": 3}]}) == [{"op": "add", "path": "/a/2", "value": {"n": 3}}]
    assert diff({"a": [1, 2, 3]}, {"a": [2, 3]}) == [{"op": "remove", "path": "/a/0", "was": 1}]
    assert diff({"a": 1}, {"a": 1}) == []
