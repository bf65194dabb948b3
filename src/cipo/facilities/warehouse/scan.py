"""Reads any barcode of the trade: what was scanned becomes candidates with their reasons, and nothing is guessed.

Used by the dock, the blind count and whoever holds a scanner; pure, no lookups. GS1 element strings, check digits and Digital Links are
``biip``'s; ISO/IEC 15434 envelopes and ANSI MH10.8.2 data identifiers, our own tags and place codes are read here. EPC is read with the
RFID readers, not here.

The order: (1) a GS1 symbology identifier, a leading FNC1 or the printed form ``(01)…``; (2) a GS1 Digital Link or our own URL;
(3) an ISO 15434 envelope, or data identifiers; (4) our tag or a place code; (5) the bare string: a serial number, a part number, and a
GTIN or SSCC if the check digit is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import biip
from biip.gs1_messages import GS1Message

from cipo.facilities.shapes import check_digit

PAYLOAD_MAX = 4096
GS, RS, EOT = "\x1d", "\x1e", "\x04"
What = Literal["serial", "gtin", "part", "sscc", "giai", "tag", "bin", "rack", "quantity", "lot", "vendor"]
Form = Literal["gs1", "digital-link", "url", "iso-15434", "mh10.8.2", "tag", "place", "bare"]

# ISO/IEC 15424: GS1-128, GS1 DataMatrix, GS1 QR, GS1 DataBar and composite, GS1 DotCode.
GS1_SYMBOLOGIES = ("]C1", "]d2", "]Q3", "]e0", "]e1", "]J1")
# GS1 General Specifications, section 3: application identifiers that identify a thing or say how many.
APPLICATION_IDENTIFIERS: dict[str, What] = {
    "00": "sscc",
    "01": "gtin",
    "02": "gtin",
    "10": "lot",
    "21": "serial",
    "30": "quantity",
    "37": "quantity",
    "240": "part",
    "241": "part",
    "8004": "giai",
}
# ANSI MH10.8.2: data identifiers that vendors print on servers and boxes, longest first.
DATA_IDENTIFIERS: dict[str, What] = {"1P": "part", "1T": "lot", "S": "serial", "Q": "quantity", "V": "vendor"}

_TAG = re.compile(r"^CIPO-[0-9]{6,9}$")
_PLACE = re.compile(r"^(BIN|RACK)/([a-z0-9][-a-z0-9.]{0,252})$", re.IGNORECASE)
_OWN_URL = re.compile(r"/a/(CIPO-[0-9]{6,9})$", re.IGNORECASE)
_SYMBOLOGY = re.compile(r"^\][A-Za-z][0-9A-Za-z]")
_PRINTED = re.compile(r"^\(\d{2,4}\)")
_CONTROL = re.compile(r"[\x00-\x03\x05-\x1c\x1f\x7f]")


class BadPayload(ValueError):
    """The payload is no barcode at all: too long, empty, or with control characters."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the payload may be, and why."""

    what: What
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a payload may be. ``fault`` tells what is broken in it, e.g. a check digit; then there may be no candidate."""

    form: Form
    candidates: tuple[Candidate, ...] = ()
    fault: str = ""

    def values(self, what: What) -> list[str]:
        """The values of one sort, in order of likelihood."""
        return [candidate.value for candidate in self.candidates if candidate.what == what]

    def first(self, what: What) -> str:
        """The likeliest value of one sort, or empty."""
        return next(iter(self.values(what)), "")


def read(payload: str, symbology: str = "") -> Reading:
    """Read a payload as a scanner gives it; ``symbology`` is the ISO 15424 identifier if the scanner gives it apart."""
    text = clean(payload)
    if symbology and not text.startswith("]"):
        text = symbology + text
    if text.startswith(GS1_SYMBOLOGIES) or text.startswith(GS) or _PRINTED.match(text):
        return _gs1(text)
    if _SYMBOLOGY.match(text):
        text = text[3:]
    if re.match(r"https?://", text, re.IGNORECASE):
        return _url(text)
    if text.startswith("[)>"):
        return _envelope(text)
    if _TAG.match(text.upper()):
        return Reading("tag", (Candidate("tag", text.upper(), "our tag"),))
    place = _PLACE.match(text)
    if place:
        what: What = "bin" if place[1].upper() == "BIN" else "rack"
        return Reading("place", (Candidate(what, place[2].lower(), f"code of a {what}"),))
    return _bare(text)


def clean(payload: str) -> str:
    """The payload without what keyboards append; raises BadPayload if it cannot be a barcode."""
    if len(payload) > PAYLOAD_MAX:
        raise BadPayload(f"it has {len(payload)} characters; a barcode has at most {PAYLOAD_MAX}")
    text = payload.strip(" \t\r\n")
    if not text:
        raise BadPayload("it is empty; scan again")
    found = _CONTROL.search(text)
    if found:
        raise BadPayload(
            f"it has the control character 0x{ord(found[0]):02x}; set the scanner to send GS as it is, and nothing before or after the code"
        )
    return text


def _gs1(text: str) -> Reading:
    if _PRINTED.match(text):
        try:
            message = GS1Message.parse_hri(text)
        except biip.ParseError as error:
            return Reading("gs1", fault=f"not a GS1 message: {error}")
        return _elements("gs1", message.element_strings)
    try:
        result = biip.parse(text.lstrip(GS) if not text.startswith("]") else text)
    except biip.ParseError as error:
        return Reading("gs1", fault=f"not a GS1 message: {error}")
    if result.gs1_message is None:
        return Reading("gs1", fault=f"not a GS1 message: {result.gs1_message_error or 'no application identifier'}")
    return _elements("gs1", result.gs1_message.element_strings)


def _elements(form: Form, elements: object) -> Reading:
    candidates: list[Candidate] = []
    faults: list[str] = []
    for element in elements:  # type: ignore[attr-defined]  # biip ships no types for its tuples of element strings
        what = APPLICATION_IDENTIFIERS.get(element.ai.ai)
        if what is None:
            continue
        wrong = element.gtin_error or element.sscc_error
        if wrong and what in ("gtin", "sscc"):
            faults.append(_check_digit(what, element.value))
            continue
        value = element.value.zfill(14) if what == "gtin" else element.value
        candidates.append(Candidate(what, value, f"GS1 application identifier {element.ai.ai}"))
        tag = re.search(r"CIPO-[0-9]{6,9}$", value) if what == "giai" else None
        if tag:
            candidates.append(Candidate("tag", tag[0], "our tag in a GIAI"))
    if not candidates and not faults:
        faults.append("it holds nothing that identifies a thing")
    return Reading(form, tuple(candidates), "; ".join(faults))


def _check_digit(what: str, digits: str) -> str:
    right = check_digit(digits[:-1])
    return f"{what.upper()} {digits} has the check digit {digits[-1]}, which should be {right}; one digit is misread"


def _url(text: str) -> Reading:
    try:
        own = _OWN_URL.search(urlsplit(text).path)
    except ValueError as error:
        return Reading("url", fault=f"a broken web address: {error}")
    if own:
        return Reading("url", (Candidate("tag", own[1].upper(), "our label"),))
    try:
        link = biip.parse(text).gs1_digital_link_uri
    except (biip.ParseError, ValueError) as error:
        return Reading("url", fault=f"a web address that is no GS1 Digital Link: {error}")
    if link is None:
        return Reading("url", fault="a web address, but neither a GS1 Digital Link nor our label")
    return _elements("digital-link", link.element_strings)


def _envelope(text: str) -> Reading:
    """ISO/IEC 15434: ``[)>`` RS, then blocks of two digits of format, GS, data elements, RS; EOT at the end."""
    candidates: list[Candidate] = []
    for block in text[3:].strip(RS + EOT).split(RS):
        format_, _, data = block.partition(GS)
        if format_ == "06":
            candidates += _identified(data.split(GS))
        elif format_ == "05":
            candidates += _gs1("]C1" + data).candidates
    if not candidates:
        return Reading("iso-15434", fault="an ISO 15434 envelope without a format 05 or 06 that identifies a thing")
    return Reading("iso-15434", tuple(candidates))


def _identified(elements: list[str]) -> Iterator[Candidate]:
    for element in elements:
        for identifier, what in DATA_IDENTIFIERS.items():
            value = element[len(identifier) :].strip()
            if element.startswith(identifier) and value and (what != "quantity" or value.isdigit()):
                yield Candidate(what, value, f"data identifier {identifier}")
                break


def _bare(text: str) -> Reading:
    if GS in text:
        found = tuple(_identified(text.strip(GS).split(GS)))
        return Reading("mh10.8.2", found) if found else Reading("mh10.8.2", fault="several elements, none with a data identifier we know")
    candidates: list[Candidate] = []
    if text.isascii() and text.isdigit():
        candidates += _numbers(text)
    candidates += _identified([text])
    candidates.append(Candidate("serial", text, "as it stands"))
    candidates.append(Candidate("part", text, "as it stands"))
    return Reading("bare", tuple(candidates))


def _numbers(digits: str) -> Iterator[Candidate]:
    if len(digits) in (8, 12, 13, 14) and check_digit(digits[:-1]) == digits[-1]:
        yield Candidate("gtin", digits.zfill(14), f"{len(digits)} digits with a right check digit")
    if len(digits) == 20 and digits.startswith("00") and check_digit(digits[2:-1]) == digits[-1]:
        yield Candidate("sscc", digits[2:], "00 and 18 digits with a right check digit")
    elif len(digits) == 18 and check_digit(digits[:-1]) == digits[-1]:
        yield Candidate("sscc", digits, "18 digits with a right check digit")
