"""A KPI's page: the number against its objective in one line, its course, its budget, what hurt it, and every fact behind it with links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from cipo.kernel.errors import ApiError, BadRequest
from cipo.kernel.slo.course import Worst
from cipo.kernel.slo.objective import Objective
from cipo.org.model import Kpi, Unit
from cipo.web import budgets, words
from cipo.web import course as courses
from cipo.web.budgets import Spent
from cipo.web.console import KPI, Console, Visit
from cipo.web.offices import crumbs, visible
from cipo.web.periods import periods
from cipo.web.scorecard import Card

SPANS = (("7d", 7), ("30d", 30), ("90d", 90), ("365d", 365))
FACTS, HURT, DAYS_LISTED = 50, 8, 92


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
    late: bool
    state: str


@dataclass(frozen=True, slots=True)
class Hurt:
    """A slice of time that hurt the number."""

    when: str
    value: str
    n: int
    bad: str
    share: float
    bar: Markup
    href: str
    here: bool


async def promise(console: Console, visit: Visit) -> Response:
    """``GET /kpi/<name>``."""
    kpi, card = await the_card(console, visit)
    span = visit.query("days", courses.DAYS)
    days = dict(SPANS).get(span, 90)
    course = await courses.read(console, visit, kpi, days)
    asked, chosen = course.asked, slice_of(visit)
    worst = await console.kpis.worst(asked, HURT)
    start, end = chosen or (None, None)
    raw = await console.kpis.facts(visit.caller, kpi.name, FACTS, worst=chosen is not None or card.state == "missed", start=start, end=end)
    status = asked.kpi.status.wire()
    spent = budgets.spent(status, console.kpis.tiers(asked), course.days[-days:], "burn")
    unit, manned = console.chart.unit(kpi.unit), kpi.unit in console.registry.units
    sql, params = await console.kpis.query(asked)
    rows = [courses.day_row(kpi, asked.objective, day, span) for day in course.days]
    return await console.page(
        visit,
        "kpi.html",
        crumbs=[*crumbs(console.chart, console.chart.squad(kpi.squad)), (kpi.text, "")],
        live=KPI,
        kpi=kpi,
        card=card,
        verdict=verdict(card, spent, worst, unit, manned=manned),
        distance=distance(card),
        unit=unit,
        manned=manned,
        spans=[(word, word == span) for word, _ in SPANS],
        span=span if span in dict(SPANS) else courses.DAYS,
        picture=courses.picture(kpi, course, days) if any(day.value is not None for day in course.days[-days:]) else Markup(""),
        days=list(reversed(rows[-days:]))[:DAYS_LISTED],
        calendar=courses.calendar(rows[-max(days, courses.HEAT) :]) if any(row.n for row in rows) else Markup(""),
        tally=[(word, sum(row.own_state == word for row in rows[-max(days, courses.HEAT) :])) for word in words.STATES],
        budget=spent,
        worst=[hurt(kpi, asked.objective, one, span, chosen) for one in worst],
        published=periods(kpi, course.published, console),
        facts=[fact_row(console, kpi, asked.objective, one) for one in raw],
        limit=FACTS,
        chosen=chosen and courses.said_span(*chosen),
        measure=measure(kpi, asked.objective),
        sql=sql,
        params=params,
        fact=console.registry.facts.get(kpi.indicator.fact),
    )


async def the_card(console: Console, visit: Visit) -> tuple[Kpi, Card]:
    """The KPI of the address and its state, if the caller may see it."""
    kpi = console.chart.kpi(visit.path("name"))
    visible(console, visit, kpi.department)
    card = (await console.scorecard(visit)).get(kpi.name)
    if card is None:
        raise ApiError(f"the KPI {kpi.name} is in the chart and not on the scorecard; this is a defect in cipo")
    return kpi, card


def verdict(card: Card, spent: Spent | None, worst: Sequence[Worst], unit: Unit, *, manned: bool) -> str:
    """The state as a sentence about what to do."""
    facts = f"over the last {card.kpi.window}, on {words.plural(card.n, 'fact')}"
    if card.state == "unknown":
        if card.n or manned:
            return f"{words.sentence(card.reason)}. Until then it is neither kept nor missed."
        return f"No facts yet: {unit.id} {unit.title} is not staffed. It becomes known when somebody writes the fact {card.kpi.indicator.fact}."
    if card.state == "met":
        return f"Kept {facts}{advice(spent)}"
    if not worst:
        return f"Missed {facts}."
    share = words.number(sum(one.share for one in worst[:3]) * 100, 0)
    rest = f": the worst {min(3, len(worst))} slices hold {share}\u202f% of what went wrong" if len(worst) > 1 else ""
    return f"Missed {facts}. Start with {courses.said_span(worst[0].start, worst[0].end)}{rest}."


def advice(spent: Spent | None) -> str:
    """What the budget of a promise that is kept says about the next change: the end of the sentence."""
    if spent is None or spent.state == "Unknown":
        return ". Nothing to do."
    if spent.firing:
        return f", but the budget burns too fast ({spent.firing[0].name}): stop what changed last."
    return {
        "Healthy": f", with {spent.left} of the budget left. Nothing to do.",
        "Warning": f", with {spent.left} of the budget left: look at what burns it before the next big change.",
        "AtRisk": f", with {spent.left} of the budget left: hold risky changes.",
    }.get(spent.state, ", with its budget spent: hold risky changes until days of it come back.")


def distance(card: Card) -> str:
    """How far the number is from the promise, in its own unit; empty when there is no number."""
    if card.value is None or card.state == "unknown":
        return ""
    gap = abs(card.value - card.kpi.objective.limit)
    if gap == 0:
        return "exactly the promise"
    side = "better" if card.state == "met" else "short" if card.kpi.objective.min is not None else "over"
    unit = " points" if words.share(card.kpi) else ""
    said = words.measured(card.kpi, gap)
    return f"{said.replace(chr(0x202F) + '%', '') if unit else said}{unit} {side}"


def slice_of(visit: Visit) -> tuple[datetime, datetime] | None:
    """``?from=&to=``: which facts to list; None without."""
    start, end = visit.query("from"), visit.query("to")
    if not start and not end:
        return None
    bounds = words.moment(start), words.moment(end)
    if bounds[0] is None or bounds[1] is None or bounds[0] >= bounds[1]:
        raise BadRequest(
            f"from={start[:40]!r} to={end[:40]!r} is no stretch of time; write both such as 2026-10-12T00:00:00Z, the earlier first"
        )
    return bounds[0], bounds[1]


def hurt(kpi: Kpi, objective: Objective, one: Worst, span: str, chosen: tuple[datetime, datetime] | None) -> Hurt:
    """A slice that hurt: by bad events of a share, else by how far its own figure is off."""
    counts = objective.indicator.method == "ratio"
    bad = words.number(one.bad, 0) if counts else short_by(kpi, one.bad)
    bar = Markup('<svg class="sharebar" width="100%" height="8" aria-hidden="true"><rect width="{}%" height="8" rx="2"/></svg>').format(
        f"{max(one.share * 100, 0.5):.1f}"
    )
    return Hurt(
        courses.said_span(one.start, one.end),
        words.measured(kpi, one.value),
        one.n,
        bad,
        one.share,
        bar,
        courses.slice_href(one.start, one.end, span),
        chosen == (one.start, one.end),
    )


def short_by(kpi: Kpi, gap: float) -> str:
    """A distance that is never rounded to nothing."""
    if words.share(kpi):
        return f"{words.number(gap * 100, 2 if gap >= 0.0001 else 6)} points"
    return f"{words.number(gap, 2 if gap >= 0.01 else 6)}{words.unit_suffix(kpi.indicator.unit)}"


def measure(kpi: Kpi, objective: Objective) -> list[tuple[str, str]]:
    """How the number comes about, as pairs of words."""
    data, indicator = objective.data, kpi.indicator.measure
    found = [
        ("Method", f"{kpi.indicator.method}{f' (p{indicator.p:g})' if indicator.p else ''} of {indicator.fact}" + (f" to {indicator.end}" if indicator.end else "")),
        ("Only facts with", ", ".join(f"{name} {' or '.join(map(str, value)) if isinstance(value, list | tuple) else value}" for name, value in (indicator.where or {}).items())),
        ("Good is", str(objective.indicator.good) if kpi.indicator.method == "ratio" else ""),
        ("Window", f"the last {kpi.window}" if isinstance(kpi.window, str) else f"{kpi.window.calendar} from {kpi.window.start:%Y-%m-%d}, {kpi.window.time_zone}"),
        ("Calendar", "24x7: every hour counts" if kpi.calendar == "24x7" else f"{kpi.calendar}: only open hours count"),
        ("Cadence", f"a fact every {kpi.every}; {words.number(kpi.min_coverage * 100, 1)}\u202f% of the minutes must have one" if kpi.every else "facts come when work is done"),
        ("Missing facts count as", {"ignore": "nothing"}.get(kpi.missing, kpi.missing)),
        ("Needs at least", words.plural(kpi.min_samples, "fact")),
        ("Needs coverage", f"{words.number(kpi.coverage.min * 100, 1)}\u202f% of all {kpi.coverage.kind}" if kpi.coverage else ""),
        ("Published", f"{words.number(data.allowed_lateness / timedelta(hours=1), 1)} h after a period ends; later facts make a revision"),
    ]  # fmt: skip
    return [(name, said) for name, said in found if said]


def fact_row(console: Console, kpi: Kpi, objective: Objective, raw: Mapping[str, Any]) -> FactRow:
    """A fact as the table shows it."""
    subject = raw.get("subject") or {}
    gk, name = str(subject.get("gk") or ""), str(subject.get("name") or "")
    fact = console.registry.facts.get(kpi.indicator.fact)
    unit = words.unit_suffix(fact.unit if fact else kpi.indicator.unit) if kpi.indicator.method not in ("ratio", "rate") else ""
    attrs = ", ".join(f"{key} {value}" for key, value in (raw.get("attrs") or {}).items())
    at: datetime = raw["at"]
    recorded = raw.get("recordedAt")
    value, state = float(raw["value"]), ""
    if kpi.indicator.method == "ratio":
        state = "met" if objective.indicator.good.holds(value) == objective.matched_is_good else "missed"
    elif kpi.indicator.method in ("percentile", "mean", "max", "min", "last", "duration"):
        state = "met" if objective.limit.keeps(value) else "missed"
    return FactRow(
        at,
        f"{words.number(value, 4)}{unit}" if kpi.indicator.method != "ratio" else {"met": "good", "missed": "bad"}[state],
        name,
        console.href(gk, name) if gk and name else "",
        attrs,
        int(raw.get("seq") or 0),
        bool(raw.get("simulated")),
        isinstance(recorded, datetime) and recorded - at > timedelta(hours=1),
        state,
    )
