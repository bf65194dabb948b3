"""Tables and metadata cut out of stored bytes; ages as kubectl writes them."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.kernel.errors import BadRequest
from cipo.kernel.models import Column, Kind, Model, Status, field
from cipo.kernel.store.write import Stored
from cipo.kernel.unit import Department, Registry, Unit
from cipo.kernel.wire import table

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
unit = Unit("1A/U-W2")


class ClockSpec(Model):
    """A clock."""

    due: str = field("", help="When.")


@unit.kind(short="cl", plural="clocks", columns=[Column("Due", "spec.due", type="date"), Column("More", "spec.due", wide=True)])
class Clock(Kind[ClockSpec, Status]):
    """A clock."""


REGISTRY = Registry([Department("1A", "facilities", (unit,))])


def stored(metadata, cells=b"[]", created=NOW):
    body = {"apiVersion": "facilities.cipo/v1", "kind": "Clock", "metadata": metadata, "spec": {"due": "x"}, "status": {}}
    return Stored("u", "Clock.facilities.cipo", metadata["name"], 7, 1, "1A/U-W2", {}, {}, orjson.dumps(body), cells, created)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (599, "9m59s"), (600, "10m"), (10_799, "179m")],
        *[(3 * 3600, "3h"), (11_000, "3h3m"), (8 * 3600, "8h"), (47 * 3600, "47h"), (48 * 3600, "2d"), (50 * 3600, "2d2h")],
        *[(8 * 86400, "8d"), (729 * 86400, "729d"), (731 * 86400, "2y1d"), (3000 * 86400, "8y")],
    ],
)
def test_an_age_has_two_units_while_they_matter(seconds, text):
    assert table.age(NOW - timedelta(seconds=seconds), NOW) == text


TEXT = st.text(st.sampled_from('ab",:{}[]\\} specmanagdFl'), max_size=30) | st.sampled_from(
    ['},"spec":{', ',"managedFields":[', '"metadata":', "spec"]
)


@given(st.dictionaries(TEXT, TEXT, max_size=3), st.dictionaries(TEXT, TEXT, max_size=3), st.booleans())
def test_metadata_is_cut_out_whole_whatever_its_strings_hold(labels, annotations, managed):
    metadata = {"name": "a", "creationTimestamp": "2026-11-23T11:00:00Z", "labels": labels, "annotations": annotations}
    owners = [
        {"manager": "m", "fieldsV1": {"f:spec": {"f:due": {}}, "f:metadata": {"f:annotations": {f"f:{key}": {} for key in annotations}}}}
    ]
    item = stored({**metadata, **({"managedFields": owners} if managed else {})}, created=datetime.fromtimestamp(0, UTC))
    partial = orjson.loads(table.partial(item))
    assert partial == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    assert table.created(item) == NOW - timedelta(hours=1)


def test_a_date_column_is_shown_as_an_age_and_a_wide_one_only_on_request():
    item = stored({"name": "a"}, b'["2026-11-23T11:58:00Z","2026"]')
    shown = orjson.loads(table.table(Clock.info, [item], NOW + timedelta(seconds=5), table.Wish("table"), {}))
    assert shown["rows"][0]["cells"] == ["a", "2m5s", "2026", "5s"]
    assert [(column["name"], column["priority"]) for column in shown["columnDefinitions"]] == [
        ("Name", 0),
        ("Due", 0),
        ("More", 1),
        ("Age", 0),
    ]
    broken = stored({"name": "a"}, b'["soon",null]')
    assert orjson.loads(table.table(Clock.info, [broken], NOW, table.Wish("table"), {}))["rows"][0]["cells"] == [
        "a",
        "<unknown>",
        None,
        "0s",
    ]


@pytest.mark.parametrize(
    ("accept", "view", "version"),
    [
        ("", "object", "v1"),
        ("*/*", "object", "v1"),
        ("application/json", "object", "v1"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "table", "v1"),
        ("application/json;as=Table;g=meta.k8s.io;v=v1beta1", "table", "v1beta1"),
        ("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1, application/json;as=Table;g=meta.k8s.io;v=v1", "table", "v1"),
        ("application/vnd.kubernetes.protobuf,application/json", "object", "v1"),
        ("application/json, application/json;as=Table;v=v1;g=meta.k8s.io", "object", "v1"),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "partial", "v1"),
    ],
)
def test_the_first_form_that_the_client_lists_and_we_have_is_taken(accept, view, version):
    wanted = table.wish(accept)
    assert (wanted.view, wanted.version) == (view, version)


def test_an_unknown_include_is_refused():
    with pytest.raises(BadRequest, match="includeObject"):
        table.wish("", "Everything")
