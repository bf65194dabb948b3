"""A KPI's page: the number against its objective in one line, its course with what was unknown, and every fact behind it with links."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.responses import Response

from cipo.kernel.errors import ApiError
from cipo.org.model import Kpi
from cipo.web import words
from cipo.web.console import KPI, Console, Visit
from cipo.web.offices import crumbs, visible
from cipo.web.scorecard import Card

Point = tuple[datetime, float | None, str]
SPANS = (("7d", 7), ("30d", 30), ("90d", 90), ("365d", 365))
FACTS = 50
POINTS_MAX = 400


@dataclass(frozen=True, slots=True)
class FactRow:
    """A measurement that the number stands on."""

    at: datetime
    value: str
    subject: str
    href: str
    attrs: str
    seq: int
    simulated: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time without a number."""

    start: datetime
    end: datetime


async def promise(console: Console, visit: Visit) -> Response:
    """``GET /kpi/<name>``."""
    kpi = console.chart.kpi(visit.path("name"))
    visible(console, visit, kpi.department)
    card = (await console.scorecard(visit)).get(kpi.name)
    if card is None:
        raise ApiError(f"the KPI {kpi.name} is in the chart and not on the scorecard; this is a defect in cipo")
    span = visit.query("days", "90d")
    days = dict(SPANS).get(span, 90)
    history = until_now(thin(await console.kpis.history(visit.caller, kpi.name, days)))
    facts = [fact_row(console, kpi, raw) for raw in await console.kpis.facts(visit.caller, kpi.name, FACTS, worst=card.state == "missed")]
    explained = await console.kpis.explain(visit.caller, kpi.name)
    return await console.page(
        visit,
        "kpi.html",
        crumbs=[*crumbs(console.chart, console.chart.squad(kpi.squad)), (kpi.text, "")],
        live=KPI,
        kpi=kpi,
        card=card,
        verdict=verdict(card),
        budget=budget(card),
        unit=console.chart.unit(kpi.unit),
        manned=kpi.unit in console.registry.units,
        spans=[(word, word == span) for word, _ in SPANS],
        span=span,
        history=list(reversed(history[:-1]))[:100],
        plot=plot(kpi, history) if any(value is not None for _, value, _ in history) else "",
        facts=facts,
        limit=FACTS,
        explained=explained,
        fact=console.registry.facts.get(kpi.indicator.fact),
    )


def verdict(card: Card) -> str:
    """The state as a sentence about what to do."""
    if card.state == "met":
        return f"Kept over the last {card.kpi.window}, on {words.plural(card.n, 'fact')}."
    if card.state == "missed":
        return f"Missed over the last {card.kpi.window}, on {words.plural(card.n, 'fact')}. The facts below say where."
    return f"Unknown: {card.reason}."


def budget(card: Card) -> str:
    """How far the number is from the promise, in its own unit; empty when there is no number."""
    if card.value is None:
        return ""
    gap = abs(card.value - card.kpi.objective.limit)
    if gap == 0:
        return "exactly the promise"
    side = "better" if card.state == "met" else "short"
    unit = " points" if words.share(card.kpi) else ""
    return f"{words.measured(card.kpi, gap).replace(chr(0x202F) + '%', '') if unit else words.measured(card.kpi, gap)}{unit} {side}"


def thin(history: list[Point]) -> list[Point]:
    """At most ``POINTS_MAX`` points, the newest among them."""
    step = max(1, -(-len(history) // POINTS_MAX))
    return history[::-1][::step][::-1]


def until_now(history: list[Point]) -> list[Point]:
    """The last measurement holds until the next one: the course ends now."""
    if not history:
        return history
    _, value, state = history[-1]
    return [*history, (datetime.now(UTC), value, state)]


def gaps(history: list[Point]) -> list[Span]:
    """Stretches in which the state was unknown, up to the next known point."""
    found: list[Span] = []
    start: datetime | None = None
    for at, _, state in history:
        if state == "unknown" and start is None:
            start = at
        elif state != "unknown" and start is not None:
            found.append(Span(start, at))
            start = None
    if start is not None:
        found.append(Span(start, history[-1][0]))
    return found


def plot(kpi: Kpi, history: list[Point]) -> str:
    """What the plot's script draws, as JSON in a data attribute: numbers already in the unit they are shown in."""
    scale = 100 if words.share(kpi) else 1
    return orjson.dumps(
        {
            "points": [[words.iso(at), None if value is None or state == "unknown" else value * scale] for at, value, state in history],
            "gaps": [[words.iso(gap.start), words.iso(gap.end)] for gap in gaps(history)],
            "objective": kpi.objective.limit * scale,
            "promise": words.promised(kpi),
            "unit": "%" if scale == 100 else words.unit_suffix(kpi.indicator.unit).strip(),
        }
    ).decode()


def fact_row(console: Console, kpi: Kpi, raw: dict[str, Any]) -> FactRow:
    """A fact as the table shows it."""
    subject = raw.get("subject") or {}
    gk, name = str(subject.get("gk") or ""), str(subject.get("name") or "")
    fact = console.registry.facts.get(kpi.indicator.fact)
    unit = words.unit_suffix(fact.unit) if fact and kpi.indicator.unit == fact.unit else ""
    attrs = ", ".join(f"{key} {value}" for key, value in (raw.get("attrs") or {}).items())
    at = words.moment(raw["at"]) or datetime.fromtimestamp(0).astimezone()
    return FactRow(
        at,
        f"{words.number(float(raw['value']), 4)}{unit}",
        name,
        console.href(gk, name) if name else "",
        attrs,
        int(raw.get("seq") or 0),
        bool(raw.get("simulated")),
    )
