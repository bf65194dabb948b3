"""What an asset claims, and what it refuses to be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cipo.facilities.warehouse.asset import Asset, Location, Parent, RackPosition
from cipo.kernel import Claim, RangeClaim


def asset(**spec):
    made = Asset.new("a", model="m", **{"manufacturer": "Dell", "serial_printed": "7xk2 9p3"} | spec)
    made.default()
    return made


def faults(made):
    return dict(made.validate_change(None, None))


def test_the_serial_is_claimed_for_its_maker():
    assert list(asset().claims()) == [Claim("asset/serial/dell", "7XK29P3", "spec.serial")]


def test_a_serial_that_was_given_alone_is_normalised():
    assert asset(serial_printed="", serial="ab 12cd").spec.serial == "AB12CD"


def test_a_placeholder_is_not_claimed_and_needs_a_tag_beside_it():
    made = asset(serial_printed="To be filled by O.E.M.")
    assert list(made.claims()) == []
    assert "placeholder" in faults(made)["spec.tag"]
    tagged = asset(serial_printed="To be filled by O.E.M.", tag="CIPO-000421")
    assert faults(tagged) == {}
    assert list(tagged.claims()) == [Claim("asset/tag", "CIPO-000421", "spec.tag")]


def test_a_serial_needs_its_maker():
    assert "unique with its maker" in faults(asset(manufacturer=""))["spec.manufacturer"]


def test_every_mac_address_is_claimed_in_one_spelling():
    assert Claim("asset/mac", "aa:bb:cc:00:11:22", "spec.macs") in list(asset(macs=["AA-BB-CC-00-11-22"]).claims())
    assert "spec.macs[0]" in faults(asset(macs=["nonsense"]))


def test_it_is_in_one_place():
    made = asset()
    made.status.location = Location(bin="b", parent=Parent(asset="p", bay="1"))
    assert "in one place" in faults(made)["status.location"]


def test_a_full_depth_machine_claims_both_faces_in_half_units():
    made = asset()
    made.settle(Location(rack_position=RackPosition(rack="r1", unit=10, height=2)), "2026-11-23T08:00:00.000000Z")
    path = "status.location.rackPosition"
    assert list(made.claims())[1:] == [
        RangeClaim("rack/r1/front", 20, 24, path, label="U10 front (2U)"),
        RangeClaim("rack/r1/rear", 20, 24, path, label="U10 rear (2U)"),
    ]


def test_a_half_depth_panel_claims_its_own_face():
    position = RackPosition(rack="r1", unit=10.5, height=0.5, face="rear", full_depth=False)
    assert list(position.claims()) == [RangeClaim("rack/r1/rear", 21, 22, "status.location.rackPosition", label="U10.5 rear (0.5U)")]


def test_a_vertical_pdu_claims_a_slot_beside_the_rails():
    position = RackPosition(rack="r1", unit=1, height=0, face="left", full_depth=False)
    assert list(position.claims()) == [Claim("rack/r1/left", "1", "status.location.rackPosition")]


def test_the_trail_keeps_the_latest_places_only():
    made = asset()
    for number in range(30):
        made.settle(Location(bin=f"b{number}"), f"2026-11-23T08:00:{number:02d}.000000Z")
    assert len(made.status.trail) == 20
    assert made.status.trail[-1].place == "bin/b29"


POSITIONS = st.builds(
    RackPosition,
    rack=st.just("r1"),
    unit=st.integers(2, 20).map(lambda n: n / 2),
    height=st.integers(1, 8).map(lambda n: n / 2),
    face=st.sampled_from(["front", "rear"]),
    full_depth=st.booleans(),
)


@settings(max_examples=300)
@given(st.lists(POSITIONS, max_size=12))
def test_half_unit_claims_overlap_exactly_when_the_cells_of_a_grid_do(positions):
    grid: set[tuple[str, int]] = set()
    ranges: list[RangeClaim] = []
    for position in positions:
        faces = ["front", "rear"] if position.full_depth else [position.face]
        cells = {(face, int(position.unit * 2) + step) for face in faces for step in range(int(position.height * 2))}
        claims = list(position.claims())
        overlap = any(one.scope == other.scope and one.lo < other.hi and other.lo < one.hi for one in claims for other in ranges)
        assert overlap == bool(cells & grid)
        if not overlap:
            grid |= cells
            ranges += claims


@pytest.mark.parametrize("tag", ["cipo-1", "CIPO-12", "X-000421", "CIPO-000421 "])
def test_a_tag_has_one_spelling(tag):
    with pytest.raises(ValueError, match="tag"):
        asset(tag=tag)
