"""A Grafana dashboard of a promise: the value against what is promised, the budget, how fast it burns, and what was bad.

Panels are data; the JSON model is Grafana's (schema 39, read by Grafana 10 and later). Our own few builders instead of Grafana's SDK, which
weighs 5 MB to spell the same dictionaries; a test reads what is made here with that SDK. The same promise gives the same bytes, and a
promise keeps its dashboard's address when it changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from cipo.kernel.slo.budget import Severity
from cipo.kernel.slo.document import Document
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.prometheus import BURN, in_prometheus, promises
from cipo.kernel.slo.promql import decimal, exact, filled, printed, quoted, selector
from cipo.kernel.slo.recorded import BASE, Promise, allowed, bad_name, share_of
from cipo.kernel.slo.windows import shorthand

SCHEMA_VERSION: Final = 39
COLUMNS = 24  # of Grafana's grid
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
COLOURS: Final[dict[Severity, str]] = {"page": "red", "ticket": "orange"}
STATES: Final = ("met", "missed", "unknown")
UNITS: Final = {"1": "percentunit", "ms": "ms", "s": "s", "min": "m", "h": "h", "d": "d"}
"""Grafana's names of our units of measure; others are written as a suffix."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A line of a panel."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Step:
    """From this value on, this colour."""

    colour: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture with its place in the grid."""

    title: str
    sort: Literal["stat", "timeseries", "state-timeline"]
    queries: tuple[Query, ...]
    width: int
    height: int
    unit: str = "short"
    help: str = ""
    steps: tuple[Step, ...] = (Step("green"),)
    bars: bool = False
    lines: bool = False
    """Whether the steps are drawn."""
    low: float | None = None
    high: float | None = None


def uid(name: str) -> str:
    """The dashboard's stable id: Grafana takes at most 40 letters."""
    return f"cipo-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def of_document(document: Document) -> Json:
    """The dashboard of an SLO, over the series that its rules record; NoRules when it has none."""
    panels = [panel for part in in_prometheus(document) for promise in promises(part) for panel in _of_promise(promise)]
    return _dashboard(document.name, document.description or document.display_name, panels, ["cipo", "slo"])


def of_values(document: Document) -> Json:
    """The dashboard of a promise that has no rules, over what ``/metrics`` serves of it."""
    panels = [panel for goal in document.goals for panel in _of_gauges(goal.objective)]
    return _dashboard(document.name, document.description or document.display_name, panels, ["cipo", "kpi"])


def _of_promise(promise: Promise) -> Iterator[Panel]:
    period, base = shorthand(promise.period), promise.windows[0] if BASE not in promise.windows else BASE
    good = {span: printed(filled("1 - share", share=share_of(promise, span))) for span in (promise.windows[0], promise.period)}
    remaining = printed(selector("cipo:slo_error_budget_remaining:ratio", promise.own))
    bad = printed(selector(bad_name(promise.period), promise.own))
    promised = Query(printed(selector("cipo:slo_objective:ratio", promise.own)), "promised")
    what, left = promise.objective.name, (Step("red"), Step("orange", 0.2), Step("green", 0.5))
    yield Panel(f"{what}: good over {period}", "stat", (Query(good[promise.period], "good"),), 6, 4, "percentunit", steps=_kept(promise))
    yield Panel("Promised", "stat", (promised,), 6, 4, "percentunit", steps=(Step("text"),))
    yield Panel("Budget left", "stat", (Query(remaining, "left"),), 6, 4, "percentunit", steps=left)
    yield Panel(f"Bad in {period}", "stat", (Query(bad, "bad"),), 6, 4, steps=(Step("text"),))
    yield Panel(
        "Good against promised",
        "timeseries",
        (*(Query(expr, f"good over {shorthand(span)}") for span, expr in good.items()), promised),
        12,
        9,
        "percentunit",
        "The share of good events; the promise is about the long line.",
        high=1.0,
    )
    yield Panel(
        "Budget left over time", "timeseries", (Query(remaining, "left"),), 12, 9, "percentunit",
        f"1 at the start, 0 when all that {period} allows is spent, below when overspent.", left, lines=True, high=1.0,
    )  # fmt: skip
    yield Panel(
        "Burn rate",
        "timeseries",
        tuple(Query(_burn(promise, span), shorthand(span)) for span in promise.windows),
        16,
        10,
        "none",
        "1 spends the budget exactly by the end of the period. " + " ".join(_tiers(promise)),
        _tier_steps(promise),
        lines=True,
        low=0.0,
    )
    yield Panel(
        "Alerts",
        "state-timeline",
        (Query(f'ALERTS{{alertname={quoted(BURN)},slo={quoted(what)},alertstate="firing"}}', "{{severity}} {{tier}}"),),
        8,
        10,
        steps=(Step("text"), Step("red", 1)),
    )
    yield Panel(
        f"Bad per {shorthand(base)}", "timeseries", (Query(printed(selector(bad_name(base), promise.own)), "bad"),), 24, 7,
        help="Where it hurt.", steps=(Step("red"),), bars=True, low=0.0,
    )  # fmt: skip


def _kept(promise: Promise) -> tuple[Step, ...]:
    return Step("red"), Step("green", promise.target)


def _burn(promise: Promise, span: timedelta) -> str:
    return printed(filled(f"share / {allowed(promise)}", share=share_of(promise, span)))


def _tiers(promise: Promise) -> Iterator[str]:
    for tier in promise.tiers:
        factor = decimal(exact(round(tier.factor, 3)))
        yield f"{tier.severity} {tier.name}: above {factor} over {shorthand(tier.long)} and {shorthand(tier.short)}."


def _tier_steps(promise: Promise) -> tuple[Step, ...]:
    """The lowest factor of each severity, rising: where a ticket is written, where somebody is woken."""
    lowest: dict[Severity, float] = {}
    for tier in promise.tiers:
        lowest[tier.severity] = min(tier.factor, lowest.get(tier.severity, tier.factor))
    steps = sorted((round(factor, 3), COLOURS[severity]) for severity, factor in lowest.items())
    return Step("green"), *(Step(colour, factor) for factor, colour in steps)


def _of_gauges(objective: Objective) -> Iterator[Panel]:
    chosen, indicator = f"{{objective={quoted(objective.name)}}}", objective.indicator
    unit = UNITS.get(indicator.unit, f"suffix: {indicator.unit}")
    value = Query(f"max(cipo_kpi_value{chosen})", "measured")
    promised = Query(f"max(cipo_kpi_limit{chosen})", f"promised {objective.limit}")
    state = tuple(Query(f"max(cipo_kpi_state{{objective={quoted(objective.name)},state={quoted(one)}}})", one) for one in STATES)
    kept = (
        (Step("red"), Step("green", objective.limit.value))
        if objective.limit.least
        else (Step("green"), Step("red", objective.limit.value))
    )
    yield Panel(f"{objective.name} over {objective.window}", "stat", (value,), 8, 4, unit, objective.text, kept)
    yield Panel("Promised", "stat", (promised,), 8, 4, unit, steps=(Step("text"),))
    yield Panel("State", "state-timeline", state, 8, 4, steps=(Step("transparent"), Step("blue", 1)))
    yield Panel("Measured against promised", "timeseries", (value, promised), 24, 10, unit, objective.text)
    if objective.budget_target is not None:
        left = Query(f"max(cipo_kpi_budget_remaining{chosen})", "left")
        yield Panel("Budget left", "timeseries", (left,), 24, 8, "percentunit", steps=(Step("red"), Step("green", 0)), lines=True, high=1.0)


# -- Grafana's own shapes


def _dashboard(name: str, description: str, panels: Sequence[Panel], tags: Sequence[str]) -> Json:
    return {
        "uid": uid(name),
        "title": f"Promise: {name}",
        "description": description,
        "tags": list(tags),
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}]},
        "annotations": {"list": []},
        "panels": [_panel(number, panel, place) for number, (panel, place) in enumerate(zip(panels, _places(panels), strict=True), 1)],
    }


def _places(panels: Sequence[Panel]) -> Iterator[tuple[int, int]]:
    """Left to right, a new row when the next does not fit."""
    x = y = tallest = 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        yield x, y
        x, tallest = x + panel.width, max(tallest, panel.height)


def _panel(number: int, panel: Panel, place: tuple[int, int]) -> Json:
    return {
        "id": number,
        "type": panel.sort,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": {"x": place[0], "y": place[1], "w": panel.width, "h": panel.height},
        "targets": [_target(letter, query) for letter, query in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", panel.queries, strict=False)],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": OPTIONS[panel.sort],
    }


OPTIONS: Final[dict[str, Json]] = {
    "stat": {"colorMode": "value", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}},
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "state-timeline": {
        "showValue": "never",
        "mergeValues": True,
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    },
}


def _target(letter: str, query: Query) -> Json:
    return {"refId": letter, "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend, "range": True, "instant": False}


def _field(panel: Panel) -> Json:
    field: Json = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": [{"color": one.colour, "value": one.value} for one in panel.steps]},
    }
    if panel.low is not None:
        field["min"] = panel.low
    if panel.high is not None:
        field["max"] = panel.high
    if panel.sort == "timeseries":
        field["color"] = {"mode": "palette-classic"}
        field["custom"] = {
            "drawStyle": "bars" if panel.bars else "line",
            "fillOpacity": 60 if panel.bars else 0,
            "lineWidth": 1,
            "spanNulls": False,
            "thresholdsStyle": {"mode": "dashed" if panel.lines else "off"},
        }
    else:
        field["color"] = {"mode": "thresholds"}
    return field
