"""The verdict table of the dock, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.facilities.warehouse.scan import GS, BadPayload, read
from cipo.facilities.warehouse.verdict import Ask, Known, Line, Owner, judge

GTIN = "06141411234524"
R650 = Line(1, "dell-poweredge-r650", "Dell PowerEdge R650", 2, 0, frozenset({"7XK29P3", "7XK29P4"}))
SWITCH = Line(2, "arista-7050", "Arista 7050", 1, 0)
LINES = (R650, SWITCH)


def ask(payload, lines=LINES, *, known=None, **given):
    return judge(
        read(payload),
        Ask(**given),
        lines,
        known or Known(model_of={GTIN: "dell-poweredge-r650", "7050SX3": "arista-7050", "X1": "other-x1"}),
    )


def owner(name="cipo-000009", **more):
    return Owner(**{"name": name, "model": "dell-poweredge-r650", "here": False, "expected": False, "where": "InStock, bin b1"} | more)


def test_an_announced_serial_is_ok_and_finds_its_line():
    verdict = ask("7xk2 9p3")
    assert (verdict.word, verdict.line, verdict.serial, verdict.accepted) == ("ok", 1, "7XK29P3", True)


def test_a_serial_with_a_data_identifier_is_the_announced_one():
    assert ask("S7XK29P3").serial == "7XK29P3"


def test_a_new_serial_whose_label_names_the_model_is_ok():
    verdict = ask(f"SAR1234567{GS}1P7050SX3")
    assert (verdict.word, verdict.line, verdict.serial) == ("ok", 2, "AR1234567")


def test_a_new_serial_on_a_shipment_of_one_model_is_ok():
    verdict = ask("AR1234567", (SWITCH,))
    assert (verdict.word, verdict.line) == ("ok", 2)


def test_an_asset_that_is_on_its_way_is_received_and_not_made_again():
    known = Known(by_serial={"7XK29P3": owner(expected=True, where="InTransit, nowhere")})
    verdict = ask("7XK29P3", known=known)
    assert (verdict.word, verdict.asset) == ("ok", "cipo-000009")


def test_a_second_scan_is_a_duplicate_and_says_when():
    known = Known(by_serial={"7XK29P3": owner(here=True, when="2026-11-23T18:40:02Z")})
    verdict = ask("7XK29P3", known=known)
    assert verdict.word == "duplicate"
    assert "2026-11-23T18:40:02Z" in verdict.message


def test_a_serial_that_lies_elsewhere_is_already_owned_and_says_where():
    verdict = ask("7XK29P3", known=Known(by_serial={"7XK29P3": owner()}))
    assert verdict.word == "alreadyOwned"
    assert "InStock, bin b1" in verdict.message


def test_a_component_is_told_with_its_parent():
    verdict = ask("7XK29P3", known=Known(by_serial={"7XK29P3": owner(parent="cipo-000001")}))
    assert verdict.word == "isComponentOf"
    assert "cipo-000001" in verdict.message


def test_a_serial_on_the_hold_list_is_stopped_before_anything_else():
    verdict = ask("7XK29P3", known=Known(holds={"7XK29P3": "stolen in Lyon"}))
    assert verdict.word == "hold"
    assert "stolen in Lyon" in verdict.message


def test_an_unknown_serial_on_a_serialised_line_is_not_announced_and_needs_a_reason():
    assert ask("NEW1234", (R650,)).word == "notAnnounced"
    assert ask("NEW1234", (R650,), reason="the vendor sent a spare").word == "ok"


def test_the_article_number_of_another_model_is_wrong_and_says_what_is_expected():
    verdict = ask("X1")
    assert verdict.word == "wrongModel"
    assert "Dell PowerEdge R650, Arista 7050" in verdict.message


def test_a_serial_announced_for_one_model_on_a_label_of_another_is_wrong():
    assert ask(f"S7XK29P3{GS}1P7050SX3").word == "wrongModel"


def test_a_full_line_takes_no_more():
    full = Line(2, "arista-7050", "Arista 7050", 1, 1)
    assert ask("AR1234567", (full,)).word == "overQuantity"
    assert ask("7XK29P3", (Line(1, "m", "M", 1, 1, frozenset({"7XK29P3"})),)).word == "overQuantity"


def test_an_article_number_alone_asks_for_the_serial():
    verdict = ask(f"]C101{GTIN}")
    assert (verdict.word, verdict.line) == ("incomplete", 1)


def test_a_gtin_that_no_model_has_is_unknown_and_says_what_to_do():
    verdict = ask(f"]C101{GTIN}21AB12", known=Known())
    assert verdict.word == "unknownCode"
    assert "add it to the model's gtins" in verdict.message


def test_two_models_fit_and_the_screen_asks():
    verdict = ask("AR1234567", (SWITCH, Line(3, "panel", "Panel", 4, 0)))
    assert verdict.word == "ambiguous"
    assert ask("AR1234567", (SWITCH, Line(3, "panel", "Panel", 4, 0)), line=3).line == 3


def test_two_readings_of_a_serial_are_asked_about_and_the_choice_decides():
    assert ask("S1234567", (SWITCH,)).word == "ambiguous"
    assert ask("S1234567", (SWITCH,), serial="1234567").serial == "1234567"
    assert ask("S1234567", (SWITCH,), serial="S1234567").serial == "S1234567"


@pytest.mark.parametrize("junk", ["0000000", "None", "123"])
def test_a_placeholder_serial_identifies_nothing(junk):
    assert ask(junk, (SWITCH,)).word == "incomplete"


def test_a_thing_without_serial_is_received_by_our_label():
    verdict = ask("7050SX3", (SWITCH,), tag="CIPO-000100")
    assert (verdict.word, verdict.serial) == ("ok", "")


def test_a_label_that_is_in_use_is_refused():
    verdict = ask("AR1234567", (SWITCH,), tag="CIPO-000100", known=Known(by_tag={"CIPO-000100": owner()}))
    assert verdict.word == "alreadyOwned"


def test_a_free_label_asks_for_the_serial_it_goes_on():
    verdict = ask("CIPO-000100")
    assert (verdict.word, verdict.tag) == ("incomplete", "CIPO-000100")


def test_a_used_label_is_a_duplicate():
    assert ask("CIPO-000100", known=Known(by_tag={"CIPO-000100": owner(here=True)})).word == "duplicate"


def test_a_bin_sets_the_place():
    verdict = ask("BIN/dock-1")
    assert (verdict.word, verdict.place) == ("place", "dock-1")


def test_a_rack_is_no_place_to_receive_into():
    assert ask("RACK/r1").word == "unknownCode"


def test_a_package_of_this_shipment_is_named_and_another_is_not_known():
    known = Known(packages={"340123450000000017": "2 × dell-poweredge-r650"})
    assert ask("]C100340123450000000017", known=known).word == "package"
    assert ask("]C100340123450000000017").word == "unknownCode"


def test_a_broken_code_is_bad_and_tells_the_right_digit():
    verdict = ask("]C10106141411234528")
    assert verdict.word == "badCode"
    assert "should be 4" in verdict.message


@given(st.text(max_size=40), st.integers(0, 3), st.integers(0, 3))
def test_only_ok_is_accepted_and_ok_always_has_a_line_with_room(payload, quantity, received):
    line = Line(1, "m", "M", max(quantity, 1), received)
    try:
        verdict = ask(payload, (line,), known=Known())
    except BadPayload:
        return
    if verdict.accepted:
        assert verdict.line == 1
        assert line.room > 0
        assert verdict.serial
