"""The scan resolver, row by row: what each sort of code is read as, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cipo.facilities.warehouse.scan import EOT, GS, RS, BadPayload, read


def told(payload, symbology=""):
    reading = read(payload, symbology)
    return reading.form, [(one.what, one.value) for one in reading.candidates]


GTIN, SSCC = "06141411234524", "340123450000000017"

ROWS = [
    # what is printed, payload, form, candidates
    ("GS1-128 with GTIN, serial, part", f"]C101{GTIN}21ABC123{GS}240R650", "gs1", [("gtin", GTIN), ("serial", "ABC123"), ("part", "R650")]),
    ("GS1 DataMatrix", f"]d201{GTIN}21Z9Y8X7", "gs1", [("gtin", GTIN), ("serial", "Z9Y8X7")]),
    ("GS1 QR", f"]Q301{GTIN}10LOT7", "gs1", [("gtin", GTIN), ("lot", "LOT7")]),
    ("leading FNC1 sent as GS", f"{GS}01{GTIN}21Z9Y8", "gs1", [("gtin", GTIN), ("serial", "Z9Y8")]),
    ("GS1 as printed below the bars", f"(01){GTIN}(21)AB12", "gs1", [("gtin", GTIN), ("serial", "AB12")]),
    ("SSCC on a pallet", f"]C100{SSCC}", "gs1", [("sscc", SSCC)]),
    ("GIAI that ends in our tag", "]C18004614141CIPO-000421", "gs1", [("giai", "614141CIPO-000421"), ("tag", "CIPO-000421")]),
    ("count of pieces", f"]C102{GTIN}3712", "gs1", [("gtin", GTIN), ("quantity", "12")]),
    ("GS1 Digital Link", f"https://id.gs1.org/01/{GTIN}/21/AB12", "digital-link", [("gtin", GTIN), ("serial", "AB12")]),
    ("our label as a web address", "https://cipo.example/a/cipo-000421", "url", [("tag", "CIPO-000421")]),
    (
        "ISO 15434 envelope, format 06",
        f"[)>{RS}06{GS}S7XK29P3{GS}1PR650{GS}Q1{GS}1TL47{GS}VDELL{RS}{EOT}",
        "iso-15434",
        [("serial", "7XK29P3"), ("part", "R650"), ("quantity", "1"), ("lot", "L47"), ("vendor", "DELL")],
    ),
    ("ISO 15434 envelope, format 05", f"[)>{RS}05{GS}01{GTIN}21AB12{RS}{EOT}", "iso-15434", [("gtin", GTIN), ("serial", "AB12")]),
    ("data identifiers without an envelope", f"S7XK29P3{GS}1PR650", "mh10.8.2", [("serial", "7XK29P3"), ("part", "R650")]),
    ("a serial that may have an identifier", "S7XK29P3", "bare", [("serial", "7XK29P3"), ("serial", "S7XK29P3"), ("part", "S7XK29P3")]),
    ("our tag", "cipo-000421", "tag", [("tag", "CIPO-000421")]),
    ("a bin", "BIN/fra1-wh.a-03", "place", [("bin", "fra1-wh.a-03")]),
    ("a rack", "rack/R12", "place", [("rack", "r12")]),
    ("a bare serial", "7XK29P3", "bare", [("serial", "7XK29P3"), ("part", "7XK29P3")]),
    ("Code 128 with its identifier", "]C07XK29P3", "bare", [("serial", "7XK29P3"), ("part", "7XK29P3")]),
    (
        "a UPC-A on a carton",
        "614141123452",
        "bare",
        [("gtin", "00614141123452"), ("serial", "614141123452"), ("part", "614141123452")],
    ),
    ("digits with a wrong check digit are a serial", "614141123453", "bare", [("serial", "614141123453"), ("part", "614141123453")]),
    (
        "an EAN-13 on a carton",
        "4006381333931",
        "bare",
        [("gtin", "04006381333931"), ("serial", "4006381333931"), ("part", "4006381333931")],
    ),
    ("an SSCC without its symbology", f"00{SSCC}", "bare", [("sscc", SSCC), ("serial", f"00{SSCC}"), ("part", f"00{SSCC}")]),
]


@pytest.mark.parametrize(("payload", "form", "candidates"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_reads(payload, form, candidates):
    assert told(payload) == (form, candidates)


def test_the_symbology_may_come_apart():
    assert told(f"01{GTIN}21AB12", "]C1") == ("gs1", [("gtin", GTIN), ("serial", "AB12")])


def test_a_wrong_check_digit_is_told_with_the_right_one():
    reading = read("]C10106141411234528")
    assert reading.candidates == ()
    assert "which should be 4" in reading.fault


def test_a_wrong_sscc_is_told_with_the_right_one():
    assert "which should be 7" in read("]C100340123450000000018").fault


@pytest.mark.parametrize("payload", ["https://example.com/", "http://[broken", "https://id.gs1.org/01/124"])
def test_a_web_address_that_says_nothing_is_a_fault_and_not_a_guess(payload):
    reading = read(payload)
    assert not reading.candidates
    assert reading.fault


@pytest.mark.parametrize(
    ("payload", "why"),
    [("", "empty"), (" \r\n", "empty"), ("x" * 4097, "4097 characters"), ("AB\x00CD", "0x00"), ("\x1b[31mAB", "0x1b"), ("AB\nCD", "0x0a")],
)
def test_what_is_no_barcode_is_refused(payload, why):
    with pytest.raises(BadPayload, match=why):
        read(payload)


def test_what_a_keyboard_wedge_appends_is_dropped():
    assert told("7XK29P3\r\n") == told("7XK29P3")


def test_sql_and_html_are_bare_strings_like_any_other():
    hostile = "'; drop table asset; --<script>"
    assert told(hostile)[1] == [("serial", hostile), ("part", hostile)]


@settings(max_examples=400, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=80)
    | st.from_regex(r"\A\]C1[0-9]{2,30}\Z")
    | st.from_regex(r"\A\[\)>\x1e0[56]\x1d.{0,40}\Z")
)
def test_no_payload_breaks_the_reader(payload):
    try:
        reading = read(payload)
    except BadPayload:
        return
    assert reading.candidates or reading.fault
