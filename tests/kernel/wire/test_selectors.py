"""Selectors: what kubectl's -l and --field-selector mean, and what they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.kernel.errors import BadRequest
from cipo.kernel.wire.selectors import MAX_TERMS, FieldSelector, LabelSelector


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("site=ams1", {"site": "ams1"}, True),
        ("site==ams1", {"site": "fra1"}, False),
        ("site!=ams1", {}, True),
        ("site!=ams1", {"site": "ams1"}, False),
        ("site in (ams1, fra1)", {"site": "fra1"}, True),
        ("site in (ams1)", {}, False),
        ("site notin (ams1)", {}, True),
        ("site notin (ams1,fra1)", {"site": "fra1"}, False),
        ("site", {"site": ""}, True),
        ("!site", {"site": ""}, False),
        ("! site", {}, True),
        ("site=", {"site": ""}, True),
        ("site=,x", {"site": "", "x": "1"}, True),
        ("example.com/tier=a,site in (ams1),!spare", {"example.com/tier": "a", "site": "ams1"}, True),
        ("in in (in)", {"in": "in"}, True),
    ],
)
def test_a_label_selector_means_what_it_means_in_kubernetes(text, labels, expected):
    assert LabelSelector.parse(text).matches(labels) is expected


@pytest.mark.parametrize(
    "text",
    [
        *[
            "=a",
            "a=b=c",
            "a in b",
            "a in (b",
            "a,,b",
            "a in (b c)",
            "a>1",
            "A B",
            "-a=1",
            "a/b/c=1",
            "UPPER.io/x=1",
            "a=b!",
            "a=" + "x" * 64,
            "!",
            "a=\x00",
        ],
        "a in (" + ",".join(map(str, range(65))) + ")",
        ",".join(f"k{i}=1" for i in range(MAX_TERMS + 1)),
        "x" * 5000,
    ],
)
def test_a_wrong_label_selector_is_refused_with_a_remedy(text):
    with pytest.raises(BadRequest) as refused:
        LabelSelector.parse(text)
    assert "labelSelector" in refused.value.message


def test_equalities_become_one_containment_and_values_stay_parameters():
    sql, params = LabelSelector.parse("a=1,b=2,c in (x,y),!d,e!=f").sql("r.labels")
    assert sql.startswith("r.labels @> %s::jsonb and ")
    assert params[0] == '{"a":"1","b":"2"}'
    assert sql.count("%s") == len(params)
    assert "x" not in sql.replace("jsonb", "").replace("exists", "")


def test_two_values_for_one_label_match_nothing_and_stay_two_conditions():
    selector = LabelSelector.parse("a=1,a=2")
    sql, params = selector.sql()
    assert not selector.matches({"a": "1"})
    assert sorted(params) == ['{"a":"1"}', '{"a":"2"}']
    assert sql.count("@>") == 2


def test_a_field_selector_reads_declared_fields_name_and_uid():
    selector = FieldSelector.parse("metadata.name=a,status.phase!=Closed", {"status.phase"})
    assert selector.matches("a", "u", {"status.phase": "Open"})
    assert selector.matches("a", "u", {})
    assert not selector.matches("a", "u", {"status.phase": "Closed"})
    assert not selector.matches("b", "u", {})
    assert selector.only("metadata.name") == "a"


def test_a_field_value_may_hold_escaped_commas_and_equal_signs():
    selector = FieldSelector.parse(r"spec.x=a\,b\=c\\d,spec.y==z", {"spec.x", "spec.y"})
    assert selector.matches("", "", {"spec.x": r"a,b=c\d", "spec.y": "z"})
    assert FieldSelector.parse(str(selector), {"spec.x", "spec.y"}) == selector


@pytest.mark.parametrize("text", ["spec.model=1", "metadata.name", "metadata.name=a=b", "metadata.name=a\\", "=", "metadata.name>1"])
def test_a_wrong_field_selector_is_refused(text):
    with pytest.raises(BadRequest):
        FieldSelector.parse(text, {"status.phase"})


def test_an_undeclared_field_is_refused_with_those_that_work():
    with pytest.raises(BadRequest, match=r"spec\.model.*choose one of metadata\.name, metadata\.uid, status\.phase"):
        FieldSelector.parse("spec.model=1", ["status.phase"])


def test_field_sql_takes_name_and_uid_from_the_same_table():
    sql, params = FieldSelector.parse("metadata.name=a,metadata.uid=no-uuid,s.p!=x,s.q=", ["s.p", "s.q"]).sql("r.fields")
    assert sql == "r.name = %s and false and not (r.fields @> %s::jsonb) and coalesce(r.fields ->> %s, '') = ''"
    assert params == ["a", '{"s.p":"x"}', "s.q"]


def test_a_column_is_never_taken_from_a_stranger():
    with pytest.raises(ValueError, match="column"):
        LabelSelector.parse("a=1").sql("labels; drop table x")


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused(text):
    for parse in (LabelSelector.parse, lambda t: FieldSelector.parse(t, ["a.b"])):
        try:
            selector = parse(text)
        except BadRequest:
            continue
        sql, params = selector.sql()
        assert sql.count("%s") == len(params)


NAMES = st.from_regex(r"[a-z]([a-z0-9]{0,5})", fullmatch=True)


@given(st.dictionaries(NAMES, NAMES, min_size=1, max_size=6))
def test_an_object_is_selected_by_its_own_labels(labels):
    text = ",".join(f"{key}={value}" for key, value in labels.items())
    selector = LabelSelector.parse(text)
    assert selector.matches(labels)
    assert LabelSelector.parse(str(selector)) == selector
