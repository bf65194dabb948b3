"""Structural schemas: what kubectl can read of any model a unit may write."""

from decimal import Decimal
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from cipo.kernel.errors import ApiError
from cipo.kernel.models import Kind, Model, Ref, Status, field
from cipo.kernel.unit import Department, Registry, Unit
from cipo.kernel.wire import protobuf
from cipo.kernel.wire.discovery import aggregated_version
from cipo.kernel.wire.openapi import group_document, people_document
from cipo.kernel.wire.shape import shape_of

unit = Unit("1A/U-W2")


class Cat(Model):
    """A cat."""

    kind: Literal["cat"] = field("cat", help="What.")


class Dog(Model):
    """A dog."""

    kind: Literal["dog"] = field("dog", help="What.")


class Zoo(Model):
    """A part with the name of a kind."""

    tree: "Tree | None" = field(None, help="A tree.")


class Tree(Model):
    """A tree of trees."""

    name: str = field(help="Name.")
    children: list["Tree"] = field(list, key="name", help="More trees.")


class OddSpec(Model):
    """Everything that a model may hold."""

    one: Literal["x"] = field("x", help="One word.")
    few: Literal["x", "y", 3] = field("x", help="A few words.")
    maybe: int | None = field(None, min=1, help="A number or nothing.")
    either: int | str = field(1, help="A number or a word.")
    ratio: Annotated[float, Field(gt=0, lt=1)] = field(0.5, help="Between.")
    money: Decimal = field(Decimal(1), help="Money.")
    pet: Cat | Dog = field(Cat, help="A pet.")
    map: dict[str, int] = field(dict, help="A map.")
    free: dict = field(dict, help="Anything.")
    pair: tuple[int, int] = field((1, 2), help="Two numbers.")
    zoo: Zoo | None = field(None, help="A part.")
    trees: list[Tree] = field(list, key="name", help="Trees.")
    to: Ref["ZooKind"] | None = field(None, help="Where.")


@unit.kind(short="od", plural="odds")
class Odd(Kind[OddSpec, Status]):
    """Odd."""


class ZooKindSpec(Model):
    """Nothing much."""

    size: int = field(1, help="Size.")


class ZooKind(Kind[ZooKindSpec, Status]):
    """A kind with the name of a part."""


ZooKind.__name__ = "Zoo"
unit.kind(short="zo", plural="zoos")(ZooKind)
REGISTRY = Registry([Department("1A", "facilities", (unit,))])
DOCUMENT = group_document(REGISTRY, "facilities.cipo")
SCHEMAS = DOCUMENT["components"]["schemas"]
SPEC = SCHEMAS["facilities.v1.OddSpec"]["properties"]


def test_each_shape_of_value_has_its_structural_form():
    assert SPEC["one"] == {"description": "One word.", "type": "string", "default": "x", "enum": ["x"]}
    assert SPEC["maybe"] == {"description": "A number or nothing.", "type": "integer", "minimum": 1, "nullable": True}
    assert SPEC["either"]["x-kubernetes-int-or-string"] is True
    assert (SPEC["ratio"]["minimum"], SPEC["ratio"]["exclusiveMinimum"], SPEC["ratio"]["maximum"]) == (0, True, 1)
    assert SPEC["pet"]["x-kubernetes-preserve-unknown-fields"] is True
    assert SPEC["map"]["additionalProperties"] == {"type": "integer"}
    assert SPEC["free"]["x-kubernetes-preserve-unknown-fields"] is True
    assert SPEC["trees"]["x-kubernetes-list-type"] == "map"
    assert SPEC["trees"]["items"] == {"$ref": "#/components/schemas/facilities.v1.Tree"}
    assert SPEC["to"] == {"type": "string", "format": "cipo-ref", "maxLength": 253, "nullable": True, "description": "Where."}


def test_a_part_named_like_a_kind_gives_way_to_it():
    assert SPEC["zoo"] == {"description": "A part.", "nullable": True, "allOf": [{"$ref": "#/components/schemas/facilities.v1.ZooPart"}]}
    assert SCHEMAS["facilities.v1.Zoo"]["x-kubernetes-group-version-kind"][0]["kind"] == "Zoo"


def keys(value):
    if isinstance(value, dict):
        yield from ((key, child, value) for key, child in value.items())
        for child in value.values():
            yield from keys(child)
    elif isinstance(value, list):
        for child in value:
            yield from keys(child)


def test_no_schema_holds_what_openapi_3_0_has_not():
    for key, child, owner in keys(SCHEMAS):
        assert key not in ("const", "anyOf", "$defs", "prefixItems", "oneOf") or not isinstance(child, (list, dict))
        assert child != "null"
        if key == "$ref":
            assert set(owner) == {"$ref"}
            assert child.rpartition("/")[2] in SCHEMAS


def test_every_field_has_a_description():
    for name, schema in SCHEMAS.items():
        if name.startswith("facilities."):
            for member, part in schema.get("properties", {}).items():
                assert part.get("description"), f"{name}.{member}"


def test_the_document_for_people_keeps_full_json_schema():
    document = people_document(REGISTRY)
    assert document["components"]["schemas"]["facilities.v1.OddSpec"]["properties"]["maybe"]["anyOf"]


def test_a_recursive_model_becomes_a_recursive_shape():
    trees = shape_of(Odd.info).child("spec").child("trees")
    assert (trees.merge, trees.keys) == ("list-map", ("name",))
    tree = trees.element
    assert tree is not None
    assert tree.child("children").merge == "list-map"
    assert tree.child("children").element is tree
    assert shape_of(Odd.info).child("spec").child("pair").merge == "atomic"


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json", "v2"),
        ("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", "v2beta1"),
        ("application/json;as=APIGroupDiscoveryList;g=apidiscovery.k8s.io;v=v3,application/json", None),
        ("application/json,application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", None),
        ("", None),
    ],
)
def test_the_aggregated_form_is_given_to_who_asks_first_for_it(accept, version):
    assert aggregated_version(accept) == version


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_question_or_refused(data, magic):
    try:
        protobuf.review((protobuf.MAGIC if magic else b"") + data)
    except ApiError as refused:
        assert refused.code == 400
