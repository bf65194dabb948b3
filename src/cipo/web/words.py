"""How values are said: times, numbers with units, field names, links. Jinja filters and view models use these pure functions.

One place decides how a share, a duration or a moment looks, so the org map, the KPI page and the timeline agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from cipo.org.model import Kpi

STATES = ("met", "missed", "unknown")
STATE_WORDS = {"met": "kept", "missed": "missed", "unknown": "unknown"}
GLYPHS = {"met": "●", "missed": "▲", "unknown": "◌", "warn": "◆"}
STEPS = ((60, "s", 1), (3600, "min", 60), (86400, "h", 3600), (86400 * 60, "d", 86400), (86400 * 730, "months", 86400 * 30))
ACRONYMS = {
    word.lower(): word
    for word in "API ASN BMC CPU DNS EPC GPU GTIN GTINs ID IP KPI MAC MACs PO RFID RMA SQL SSCC TLS U UID URL UUID WEEE".split()
}
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def moment(value: Any) -> datetime | None:
    """A datetime out of what a body or a row holds; None when it is not one."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if not isinstance(value, str) or not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def iso(value: Any) -> str:
    """RFC 3339 in UTC, to the second: what a ``<time>`` element carries."""
    at = moment(value)
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else ""


def stamped(value: Any) -> str:
    """A moment where there is no room for a ``<time>``: ``2026-11-24 13:32:59 UTC``."""
    at = moment(value)
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def ago(value: Any, now: datetime | None = None) -> str:
    """``12 min ago``, ``in 3 h``; the script on the page keeps it true."""
    at = moment(value)
    if at is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    size = abs(seconds)
    if size < 5:
        return "just now"
    words = f"{int(size // (86400 * 365))} years"
    for below, unit, per in STEPS:
        if size < below:
            words = f"{int(size // per)} {unit}"
            break
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def share(kpi: Kpi) -> bool:
    """Whether the number is a share that people write in per cent."""
    return kpi.indicator.unit == "1" and (kpi.indicator.method == "ratio" or "%" in kpi.text)


def number(value: float, places: int = 2) -> str:
    """A number without noise: at most ``places`` decimals, no trailing zeros, thin groups of thousands."""
    text = f"{value:,.{places}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text.replace(",", "\u2009")


def _decimals(value: float) -> int:
    text = f"{value:.10f}".rstrip("0")
    return len(text.partition(".")[2])


def measured(kpi: Kpi, value: float | None) -> str:
    """A KPI's value in its unit, one decimal finer than the promise so that a near miss shows."""
    if value is None:
        return "–"
    if share(kpi):
        limit = _decimals(round(kpi.objective.limit * 100, 8))
        text = number(value * 100, min(limit + 2, 8))
        # 99.9996 % must not round up to a promise of 100 % that was missed.
        if not kpi.objective.met(value) and text == number(kpi.objective.limit * 100, 8):
            text = number(value * 100, 8)
        return f"{text}\u202f%"
    digits = max(2, _decimals(kpi.objective.limit) + 1)
    return f"{number(value, digits)}{unit_suffix(kpi.indicator.unit)}"


def unit_suffix(unit: str) -> str:
    """The unit of measure as it follows a number."""
    return {"1": "", "1/d": " a day"}.get(unit, f"\u202f{unit}")


def promised(kpi: Kpi) -> str:
    """The objective, ``≥ 99.95 %``."""
    objective = kpi.objective
    if share(kpi):
        return f"{objective.sign} {number(objective.limit * 100, 8)}\u202f%"
    return f"{objective.sign} {number(objective.limit, 6)}{unit_suffix(kpi.indicator.unit)}"


def label(path: str) -> str:
    """A field's name for people: ``spec.purchaseOrder`` -> ``Purchase order``."""
    last = path.rsplit(".", 1)[-1].removesuffix("[]")
    return sentence(" ".join(word if word.isupper() else ACRONYMS.get(word.lower(), word.lower()) for word in _HUMP.split(last)))


def kinds_title(kind: str, plural_word: str) -> str:
    """``StockCount``, ``stockcounts`` -> ``Stock counts``."""
    if plural_word.startswith(kind.lower()):
        return humps(kind) + plural_word[len(kind) :]
    if plural_word.startswith(kind.lower()[:-1]):
        return humps(kind)[:-1] + plural_word[len(kind) - 1 :]
    return sentence(plural_word)


def sentence(text: str) -> str:
    """The same words with a capital in front."""
    return text[:1].upper() + text[1:]


def plural(count: int, one: str, many: str = "") -> str:
    """``1 rack``, ``3 racks``."""
    return f"{number(count, 0)} {one if count == 1 else many or one + 's'}"


def humps(word: str) -> str:
    """``InStock`` -> ``In stock``; acronyms stay, and ``Kpi`` becomes one."""
    parts = [ACRONYMS.get(part.lower(), part) for part in _HUMP.split(word)]
    return " ".join([parts[0], *(part if part.isupper() else part.lower() for part in parts[1:])])


def inside(text: str) -> str:
    """The words as they stand inside a sentence: small, but for acronyms."""
    return " ".join(word if len(word) > 1 and word.rstrip("s").isupper() else word.lower() for word in text.split())


def tone(phase: str) -> str:
    """The colour family of a phase: what is broken, what waits, what is done, and the rest."""
    return TONES.get(phase.lower(), "plain")


TONES: Mapping[str, str] = (
    dict.fromkeys(("failed", "faulty", "lost", "blocked", "rejected", "discrepant", "missed", "breached"), "missed")
    | dict.fromkeys(
        ("ready", "inservice", "done", "closed", "accepted", "passed", "received", "active", "met", "instock", "verified", "installed"),
        "met",
    )
    | dict.fromkeys(
        ("testing", "receiving", "counting", "running", "intransit", "pending", "open", "started", "arrived", "allocated"), "warn"
    )
)


def percent_encode(text: str) -> str:
    """A path segment."""
    return quote(text, safe="")
