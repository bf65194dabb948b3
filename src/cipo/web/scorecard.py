"""KPI states as the pages show them: the chart's promise joined with the ``Kpi`` resource's last measurement.

Pure: the org map, department, squad, unit and KPI pages and the rail's dots are all made from ``Scorecard``, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cipo.org.chart import Chart
from cipo.org.model import Kpi
from cipo.web import words

State = Literal["met", "missed", "unknown"]


@dataclass(frozen=True, slots=True)
class Card:
    """One promise and whether it is kept."""

    kpi: Kpi
    state: State
    value: float | None
    shown: str
    objective: str
    reason: str
    n: int
    coverage: float | None
    changed: str
    history: tuple[float | None, ...] = ()
    budget: Mapping[str, Any] | None = None
    periods: Sequence[Mapping[str, Any]] = ()

    @property
    def name(self) -> str:
        """The KPI's resource name."""
        return self.kpi.name

    @property
    def href(self) -> str:
        """Its page."""
        return f"/kpi/{self.kpi.name}"


@dataclass(frozen=True, slots=True)
class Tally:
    """How many promises are kept, missed, unknown."""

    met: int = 0
    missed: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        """All promises."""
        return self.met + self.missed + self.unknown

    @property
    def state(self) -> State:
        """The worst that is known; kept only when every promise is kept, because unknown is never green."""
        if self.missed:
            return "missed"
        return "met" if self.total and self.met == self.total else "unknown"

    @property
    def words(self) -> str:
        """``31 of 60 promises kept, 6 missed, 23 unknown``."""
        if not self.total:
            return "no promises in the chart"
        rest = [f"{count} {word}" for count, word in ((self.missed, "missed"), (self.unknown, "unknown")) if count]
        return ", ".join([f"{self.met} of {words.plural(self.total, 'promise')} kept", *rest])


class Scorecard:
    """All cards that a caller may see."""

    def __init__(self, cards: Iterable[Card]) -> None:
        self.cards = tuple(cards)
        self._by_name = {card.name: card for card in self.cards}

    def get(self, name: str) -> Card | None:
        """The card of a KPI, or None when the caller may not see it."""
        return self._by_name.get(name)

    def of(self, office: str) -> tuple[Card, ...]:
        """The cards a unit measures, or a squad or department promised."""
        return tuple(card for card in self.cards if office in (card.kpi.unit, card.kpi.squad, card.kpi.department))

    def tally(self, office: str | None = None) -> Tally:
        """The count for an office, or for all that is visible."""
        cards = self.cards if office is None else self.of(office)
        return tally(cards)


def tally(cards: Iterable[Card]) -> Tally:
    """Count states."""
    states = [card.state for card in cards]
    return Tally(states.count("met"), states.count("missed"), states.count("unknown"))


Lines = Mapping[str, Sequence[tuple[float | None, str]]]


def scorecard(chart: Chart, objects: Iterable[Mapping[str, Any]], hidden: frozenset[str], lines: Lines | None = None) -> Scorecard:
    """Join the chart's KPIs with the stored ``Kpi`` objects; a KPI without an object was never evaluated."""
    status = {str(obj["metadata"]["name"]): obj.get("status") or {} for obj in objects}
    courses = lines or {}
    return Scorecard(card(kpi, status.get(kpi.name, {}), courses.get(kpi.name, ())) for kpi in chart.kpis if kpi.department not in hidden)


def card(kpi: Kpi, status: Mapping[str, Any], line: Sequence[tuple[float | None, str]] = ()) -> Card:
    """One promise with its last measurement."""
    state: State = status["state"] if status.get("state") in words.STATES else "unknown"
    value = status.get("value")
    value = float(value) if isinstance(value, int | float) else None
    reason = str(status.get("reason") or ("" if state != "unknown" else "not evaluated yet"))
    coverage = status.get("coverage")
    return Card(
        kpi,
        state,
        value,
        words.measured(kpi, value),
        words.promised(kpi),
        reason,
        int(status.get("n") or 0),
        float(coverage) if isinstance(coverage, int | float) else None,
        str(status.get("changedAt") or ""),
        tuple(point for point, _ in line[-90:]),
        status.get("budget"),
        tuple(status.get("periods") or ()),
    )
