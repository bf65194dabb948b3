"""One way to write a serial, a height, a MAC address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cipo.facilities.shapes import bad_serial, check_digit, half_units, junk_serial, maker_key, normal_mac, normal_serial, units_text


@pytest.mark.parametrize(("printed", "claimed"), [("7xk2 9p3", "7XK29P3"), ("  ab\u00a0c1 ", "ABC1"), ("\uff21\uff22\uff23\uff11", "ABC1")])
def test_a_serial_is_claimed_in_one_form(printed, claimed):
    assert normal_serial(printed) == claimed


@pytest.mark.parametrize(
    "junk",
    ["", "  ", "To Be Filled By O.E.M.", "default string", "None", "No Asset Information", "0123456789", "0000000", "x x x x", "AB1"],
)
def test_a_placeholder_is_no_identity(junk):
    assert junk_serial(junk)


@pytest.mark.parametrize("real", ["7XK29P3", "CZ12345678", "S5G8NE0R", "12345679"])
def test_a_real_serial_is_an_identity(real):
    assert junk_serial(real) is None


def test_a_control_character_in_a_serial_is_named():
    assert "control character" in str(bad_serial("AB\x1dCD"))
    assert bad_serial("AB CD 12") is None


@given(st.text(max_size=60))
def test_normalising_a_serial_twice_changes_nothing(text):
    assert normal_serial(normal_serial(text)) == normal_serial(text)


@pytest.mark.parametrize(("units", "halves"), [(0, 0), (0.5, 1), (1, 2), (2.5, 5), (42, 84)])
def test_rack_units_are_whole_halves(units, halves):
    assert half_units(units) == halves


def test_a_third_of_a_unit_is_refused():
    with pytest.raises(ValueError, match=r"0\.3 is not a multiple of 0\.5"):
        half_units(0.3)


def test_units_are_told_without_a_trailing_zero():
    assert [units_text(1.0), units_text(10.5)] == ["1", "10.5"]


@pytest.mark.parametrize("text", ["AA-BB-CC-00-11-22", "aabb.cc00.1122", "aa:bb:cc:00:11:22", "AABBCC001122"])
def test_a_mac_address_has_one_spelling(text):
    assert normal_mac(text) == "aa:bb:cc:00:11:22"


def test_what_is_no_mac_address_is_none():
    assert normal_mac("aa:bb:cc:00:11") is None
    assert normal_mac("gg:bb:cc:00:11:22") is None


def test_a_maker_is_one_however_it_is_spaced():
    assert maker_key("Hewlett  Packard ") == maker_key("hewlett packard")


@pytest.mark.parametrize(("digits", "check"), [("0614141123452", "4"), ("400638133393", "1"), ("34012345000000001", "7")])
def test_gs1_check_digits_of_known_numbers(digits, check):
    assert check_digit(digits) == check
