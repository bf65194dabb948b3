"""The elevation: each device where it is, also half a unit high, also in a rack that counts downwards; and nothing gets out of its text."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cipo.facilities.warehouse.elevation import FACE_W, TOP, Device, U, draw_elevation
from cipo.facilities.warehouse.rack import Feed, PowerSum, Rack

SVG = "{http://www.w3.org/2000/svg}"


def rack(**spec):
    return Rack.new("r12", site="fra1", **{"u_height": 42} | spec)


def tree(made, devices):
    return ET.fromstring(draw_elevation(made, devices))


def boxes(root, name):
    """(face, y from the top, height) of every drawing of a device."""
    found = []
    for face, group in zip(("front", "rear"), root.findall(f"{SVG}g"), strict=False):
        for link in group.findall(f"{SVG}a"):
            if link.get("href") == f"/r/assets/{name}":
                rect = link.findall(f"{SVG}rect")[0]
                found.append((face, float(rect.get("y") or "nan") - 1 - TOP, float(rect.get("height") or "nan") + 2))
    return found


def test_a_full_depth_server_is_on_both_faces():
    root = tree(rack(), [Device("srv", "R650", 1, 1)])
    assert boxes(root, "srv") == [("front", 41 * U, U), ("rear", 41 * U, U)]


def test_a_half_unit_device_is_half_as_high_and_at_its_half():
    root = tree(rack(), [Device("blade", "Half", 10.5, 0.5, full_depth=False)])
    assert boxes(root, "blade") == [("front", (43 - 10.5 - 0.5) * U, U / 2)]


def test_a_rack_that_counts_from_the_top_is_drawn_so():
    root = tree(rack(desc_units=True, starting_unit=1), [Device("srv", "R650", 1, 2)])
    assert boxes(root, "srv")[0] == ("front", 0, 2 * U)
    numbers = [text.text for text in root.findall(f"{SVG}g")[0].findall(f"{SVG}text") if (text.text or "").isdigit()]
    assert numbers[:3] == ["1", "2", "3"]


def test_a_rack_may_start_at_another_number():
    root = tree(rack(starting_unit=10, u_height=10), [Device("srv", "R650", 10, 1)])
    assert boxes(root, "srv")[0] == ("front", 9 * U, U)


def test_a_rear_mounted_panel_is_on_the_rear_only():
    assert [face for face, _, _ in boxes(tree(rack(), [Device("p", "Panel", 5, 1, face="rear", full_depth=False)]), "p")] == ["rear"]


def test_a_vertical_pdu_stands_beside_the_rails_and_is_mirrored_on_the_rear():
    root = tree(rack(), [Device("pdu", "AP8886", 1, 0, face="left", full_depth=False)])
    xs = []
    for group in root.findall(f"{SVG}g"):
        frame = next(rect for rect in group.findall(f"{SVG}rect") if float(rect.get("width")) == FACE_W + 1)
        bar = group.find(f"{SVG}a").find(f"{SVG}rect")
        xs.append(float(bar.get("x")) < float(frame.get("x")))
    assert xs == [True, False]


def test_it_says_in_words_what_is_drawn():
    root = tree(rack(), [Device("srv", "R650", 10, 2, lifecycle="Faulty")])
    assert root.find(f"{SVG}title").text == "Rack r12, front and rear elevation"
    assert root.find(f".//{SVG}a/{SVG}title").text == "srv: R650, U10 to U11 (2U), front, full depth, Faulty"
    assert "faulty" in "".join(root.itertext())


def test_what_the_record_has_outside_of_the_rack_is_named_and_not_drawn():
    root = tree(rack(u_height=10), [Device("high", "R650", 40, 1)])
    assert boxes(root, "high") == []
    assert "high" in root.find(f"{SVG}desc").text


def test_the_power_bar_tells_what_is_unknown():
    made = rack(feeds=[Feed(name="A", volts=230, amps=32), Feed(name="B", volts=230, amps=16)])
    made.status.power = PowerSum(typical_w=2000, maximum_w=4000, known=5, unknown=2, smallest_feed_w=2944)
    text = "".join(tree(made, []).itertext())
    assert "2.0 kW typical, 4.0 kW at most of 2.9 kW on one feed; 2 devices of unknown draw" in text


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a&b'c", "^XZ\u202e]]>", "&lt;", "javascript:alert(1)"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name):
    made = rack(room=name[:64])
    root = tree(made, [Device(name, name, 3, 1), Device(name, name, 1, 0, face="right")])
    tags = {element.tag for element in root.iter()}
    assert tags <= {SVG + tag for tag in ("svg", "title", "desc", "defs", "pattern", "rect", "path", "circle", "g", "a", "text")}
    assert all(not attribute.startswith("on") for element in root.iter() for attribute in element.attrib)
    assert all(link.get("href").startswith("/r/assets/") for link in root.iter(f"{SVG}a"))


def test_no_style_is_written_inline_because_the_content_policy_forbids_it():
    drawn = draw_elevation(rack(), [Device("srv", "R650", 1, 1)])
    assert "style" not in drawn


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(0, 20),
    st.booleans(),
    st.lists(
        st.tuples(st.text(max_size=12), st.integers(0, 120), st.integers(0, 12), st.sampled_from(["front", "rear", "left", "right"])),
        max_size=8,
    ),
)
def test_every_drawing_is_well_formed_and_keeps_inside_its_frame(height, start, descending, devices):
    made = rack(u_height=height, starting_unit=start, desc_units=descending)
    shown = [Device(name or "x", name, unit / 2, tall / 2 if face in ("front", "rear") else 0, face) for name, unit, tall, face in devices]
    drawn = draw_elevation(made, shown).replace("\x00", "")
    clean = "".join(char for char in drawn if char in "\t\n\r" or ord(char) >= 0x20)
    root = ET.fromstring(clean)
    for group in root.findall(f"{SVG}g")[:2]:
        for rect in group.iter(f"{SVG}rect"):
            assert TOP - 1 <= float(rect.get("y") or "nan")
            assert float(rect.get("y") or "nan") + float(rect.get("height") or "nan") <= TOP + height * U + 1
