"""Value types of the department's trade: money, serial numbers, rack units, MAC addresses.

Every squad of 1A uses them, so that a serial is normalised in one way and a height means the same in a rack, on a model and on a
picture. Pure; no kinds here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import Field

from cipo.kernel import Model, field

SERIAL_MAX = 128
FOLDS_MAX = 8
HALF = 0.5

# A height or a position in rack units (EIA-310: 44.45 mm), in steps of a half.
RackUnits = Annotated[float, Field(multiple_of=HALF)]

# What firmware and agents write where no serial was programmed. Folded as normal_serial() folds, so one spelling covers all.
JUNK_SERIALS = frozenset(
    {
        "TOBEFILLEDBYO.E.M.",
        "TOBEFILLEDBYOEM",
        "DEFAULTSTRING",
        "NONE",
        "NULL",
        "N/A",
        "NOTSPECIFIED",
        "NOTAPPLICABLE",
        "NOTAVAILABLE",
        "NOASSETINFORMATION",
        "NOASSETTAG",
        "SYSTEMSERIALNUMBER",
        "CHASSISSERIALNUMBER",
        "SERIALNUMBER",
        "UNKNOWN",
        "INVALID",
        "0123456789",
        "123456789",
        "1234567890",
    }
)
SERIAL_MIN = 4

_MAC = re.compile(r"^[0-9a-f]{12}$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Money(Model):
    """An amount in a currency; the amount is a decimal string, so no cent is lost on the way."""

    amount: str = field(length=24, pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$", help="Decimal number with a point, e.g. 8350.00.")
    currency: str = field(pattern=r"^[A-Z]{3}$", help="ISO 4217 code, e.g. EUR.")


def normal_serial(printed: str) -> str:
    """The form of a serial number that is claimed: NFKC, upper case, without blanks.

    Dropping a blank can let the characters around it compose, so it is done until nothing changes.
    """
    serial = printed
    for _ in range(FOLDS_MAX):
        folded = "".join(unicodedata.normalize("NFKC", serial).upper().split())
        if folded == serial:
            break
        serial = folded
    return serial


def junk_serial(serial: str) -> str | None:
    """Why this serial cannot identify a thing, or None if it can."""
    serial = normal_serial(serial)
    if not serial:
        return "it is empty"
    if serial in JUNK_SERIALS:
        return "it is a maker's placeholder, the same on many machines"
    if len(set(serial)) == 1:
        return "it is one character repeated"
    if len(serial) < SERIAL_MIN:
        return f"it has fewer than {SERIAL_MIN} characters"
    return None


def bad_serial(printed: str) -> str | None:
    """What is wrong with the spelling of a serial number, or None."""
    if _CONTROL.search(printed):
        return "has a control character; scan it again with the scanner in keyboard mode"
    if len(normal_serial(printed)) > SERIAL_MAX:
        return f"is longer than {SERIAL_MAX} characters"
    return None


def maker_key(manufacturer: str) -> str:
    """A manufacturer's name as part of a claim's scope: ``Hewlett Packard`` and ``hewlett  packard`` are one."""
    return " ".join(unicodedata.normalize("NFKC", manufacturer).lower().split())


def normal_mac(text: str) -> str | None:
    """``AA-BB-CC-00-11-22`` or ``aabb.cc00.1122`` as ``aa:bb:cc:00:11:22``; None if it is no MAC address."""
    digits = re.sub(r"[:.\-\s]", "", text.lower())
    if not _MAC.match(digits):
        return None
    return ":".join(digits[index : index + 2] for index in range(0, 12, 2))


def half_units(units: float) -> int:
    """Rack units as whole halves: 2.5 -> 5. Raises ValueError for 0.3."""
    halves = units / HALF
    if halves != int(halves):
        raise ValueError(f"{units} is not a multiple of {HALF} rack units")
    return int(halves)


def units_text(units: float) -> str:
    """``10`` or ``10.5``: no trailing zero."""
    return f"{units:g}"


def check_digit(digits: str) -> str:
    """The GS1 check digit that follows these digits (General Specifications 7.9: weights 3 and 1, from the right)."""
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits)))
    return str(-total % 10)
