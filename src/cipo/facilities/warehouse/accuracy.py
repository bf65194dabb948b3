"""How true the record is: compares a blind count with what was expected, netting out moves that went through the record meanwhile.

Pure. ``count`` gathers the parts and calls ``compare`` once, at close. The rule: at the moment of a thing's first scan, the record said
one place; the thing is correct if it was scanned there. A thing that was expected and never scanned is missing, unless the record moved
it during the count (then nobody could know where to look, and it leaves the sum). Accuracy = correct ÷ |expected ∪ found|.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Outcome = Literal["correct", "missing", "unexpected", "wrongPlace", "wrongSerial", "unreadable"]


@dataclass(frozen=True, slots=True)
class Spot:
    """A place, and the unit or bay in it if that is known."""

    place: str
    unit: str = ""

    def holds(self, seen: Spot) -> bool:
        """Whether something scanned at ``seen`` is here; a count that gives no unit is compared by place alone."""
        return self.place == seen.place and (not seen.unit or not self.unit or self.unit == seen.unit)

    def text(self) -> str:
        """``rack/r12 U10``."""
        return f"{self.place} U{self.unit}" if self.unit and self.place.startswith("rack/") else self.place


@dataclass(frozen=True, slots=True)
class Sighting:
    """The first scan of an asset."""

    asset: str
    spot: Spot
    at: datetime
    serial_differs: bool = False


@dataclass(frozen=True, slots=True)
class Stay:
    """The record moved the asset here at this moment."""

    since: datetime
    spot: Spot


@dataclass(frozen=True, slots=True)
class Line:
    """One thing's outcome."""

    asset: str
    outcome: Outcome
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Result:
    """All outcomes, and the assets that left the sum because the record moved them."""

    lines: tuple[Line, ...]
    netted: tuple[str, ...]

    @property
    def correct(self) -> int:
        """Things that are right."""
        return sum(line.outcome == "correct" for line in self.lines)


def spot_at(moment: datetime, base: Spot | None, stays: Iterable[Stay]) -> Spot | None:
    """Where the record had the asset at a moment, from where it had it at the start and its moves since."""
    spot = base
    for stay in sorted(stays, key=lambda stay: stay.since):
        if stay.since <= moment:
            spot = stay.spot
    return spot


def compare(started: datetime, expected: Mapping[str, Spot], sightings: Mapping[str, Sighting], moves: Mapping[str, list[Stay]]) -> Result:
    """The outcome for each of expected ∪ found. ``moves``: each asset's moves through the record; those before ``started`` do not matter."""
    lines: list[Line] = []
    netted: list[str] = []
    for asset in sorted(expected.keys() | sightings.keys()):
        base, seen = expected.get(asset), sightings.get(asset)
        since = [stay for stay in moves.get(asset, []) if stay.since > started]
        if seen is None:
            if since:
                netted.append(asset)
            elif base is not None:
                lines.append(Line(asset, "missing", base.text(), ""))
            continue
        truth = spot_at(seen.at, base, since)
        lines.append(Line(asset, _outcome(truth, base, seen), truth.text() if truth else "", seen.spot.text()))
    return Result(tuple(lines), tuple(netted))


def _outcome(truth: Spot | None, base: Spot | None, seen: Sighting) -> Outcome:
    if truth is None or (base is None and not truth.holds(seen.spot)):
        return "unexpected"
    if not truth.holds(seen.spot):
        return "wrongPlace"
    return "wrongSerial" if seen.serial_differs else "correct"
