"""How numbers, states and differences are said: pure functions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cipo.kernel.drawing import chart
from cipo.kernel.drawing.canvas import ticks
from cipo.kernel.errors import BadRequest
from cipo.org.chart import load
from cipo.web import budgets, gauges, story, svg, words
from cipo.web.forms import fields_of, fill, parse, walk
from cipo.web.periods import Month
from cipo.web.resource import Relation
from cipo.web.scorecard import Tally, scorecard

CHART = load()
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kpi", "value", "said"),
    [
        ("inventory-accuracy", 1.0, "100\u202f%"),
        ("inventory-accuracy", 0.9875, "98.75\u202f%"),
        ("inventory-accuracy", 0.9999996, "99.99996\u202f%"),
        ("api-uptime", 0.99982, "99.982\u202f%"),
        ("doa-rate", 0.0, "0\u202f%"),
        ("sso-p95", 87.04, "87.04\u202fms"),
        ("deploys-per-day", 21.5, "21.5 a day"),
        ("data-trust", 0.913, "0.91"),
        ("durability", 11.0, "11\u202fnines"),
        ("mttr", None, "–"),
    ],
)
def test_a_number_is_said_in_its_unit_and_never_rounds_into_a_kept_promise(kpi: str, value: float | None, said: str) -> None:
    assert words.measured(CHART.kpi(kpi), value) == said


def test_the_promise_is_said_as_the_chart_means_it() -> None:
    assert words.promised(CHART.kpi("api-uptime")) == "≥ 99.95\u202f%"
    assert words.promised(CHART.kpi("doa-rate")) == "< 0.3\u202f%"
    assert words.promised(CHART.kpi("rma-turnaround")) == "≤ 5\u202fd"


def test_every_kpi_of_the_chart_can_be_said() -> None:
    for kpi in CHART.kpis:
        assert words.promised(kpi)
        assert words.measured(kpi, kpi.objective.limit)


def test_unknown_is_never_green() -> None:
    assert Tally(met=3, unknown=1).state == "unknown"
    assert Tally(met=3, missed=1, unknown=9).state == "missed"
    assert Tally(met=3).state == "met"
    assert Tally().state == "unknown"


def test_a_kpi_without_a_measurement_is_unknown_with_a_reason() -> None:
    score = scorecard(CHART, [], frozenset())
    assert all(card.state == "unknown" and card.reason for card in score.cards)
    assert score.tally().words == f"0 of {len(CHART.kpis)} promises kept, {len(CHART.kpis)} unknown"


def test_a_hidden_department_has_no_card() -> None:
    assert not scorecard(CHART, [], frozenset({"1D"})).of("1D")


def test_moments_are_said_from_now() -> None:
    assert words.ago(NOW - timedelta(seconds=3), NOW) == "just now"
    assert words.ago(NOW - timedelta(minutes=12), NOW) == "12 min ago"
    assert words.ago(NOW + timedelta(hours=3), NOW) == "in 3 h"
    assert words.ago("not a moment", NOW) == "never"


def test_a_difference_is_told_field_by_field() -> None:
    ops = [
        {"op": "replace", "path": "/status/lifecycle", "value": "InStock", "was": "Received"},
        {"op": "add", "path": "/status/location", "value": {"bin": "a", "since": "t"}},
        {"op": "replace", "path": "/status/conditions/0/message", "value": "x", "was": "y"},
        {"op": "remove", "path": "/labels/a~1b"},
    ]
    told = story.differences(ops)
    assert [(d.path, d.before, d.after) for d in told] == [
        ("status.lifecycle", "Received", "InStock"),
        ("status.location.bin", None, "a"),
        ("status.location.since", None, "t"),
        ("labels.a/b", "", None),
    ]


def test_the_timeline_says_moments_to_the_second_and_of_a_hash_the_beginning() -> None:
    assert story.brief("2026-11-25T13:32:59.616075Z") == "2026-11-25 13:32:59 UTC"
    assert story.brief("0731fd6f5c46aa0fa65210078f265dc56eeec0244e891e88c1afb6382a2cbe46") == "0731fd6f5c46aa0f…"
    assert story.brief("eNqrVkrOLMjXNTAwMDI0VbKKVkrKzNNPrUjMLchJ1S3P0EvUNTBU0lFSitVBUmhGrEJzkMKixORs/A==") == "eNqrVkrOLMjXNTAw…"
    assert story.brief("bin/example-wh.a-01") == "bin/example-wh.a-01"
    assert story.brief("a sentence of many words that somebody wrote and wants to be read") == (
        "a sentence of many words that somebody wrote and wants to be read"
    )
    assert story.brief(None) is None


def test_acronyms_stay_large_inside_a_sentence() -> None:
    assert words.inside(words.kinds_title("Kpi", "kpis")) == "KPIs"
    assert words.inside(words.kinds_title("StockCount", "stockcounts")) == "stock counts"
    assert words.inside(words.humps("Kpi")) == "KPI"


def test_an_empty_field_of_a_new_entry_is_no_difference() -> None:
    told = story.differences([{"op": "add", "path": "/status/trail/1", "value": {"unit": "", "place": "bin/a", "codes": ["x", "y"]}}])
    assert [(d.path, d.before, d.after) for d in told] == [("status.trail.1.place", None, "bin/a"), ("status.trail.1.codes", None, "x, y")]


@pytest.mark.parametrize(
    ("path", "kind", "role"),
    [
        ("spec.site", "Site", "Site"),
        ("spec.model", "AssetModel", "Asset model"),
        ("spec.scope.racks[0]", "StockCount", "Stock count, racks"),
    ],
)
def test_a_relation_says_its_field_where_the_kind_does_not(path: str, kind: str, role: str) -> None:
    assert Relation(path, kind, "x", "/r/x").role == role


COUNTED = chart.Axis(5.0, False, "promised ≤ 5 d", lambda value: f"{value:g} d")


def days(values: list[float | None]) -> list[chart.Dot]:
    return [chart.Dot(NOW + timedelta(days=n), value, f"day {n}") for n, value in enumerate(values)]


def test_a_course_hatches_what_was_unknown_and_never_draws_across_it() -> None:
    drawn = chart.course(days([4.0, 4.5, None, None, 6.0, 3.0]), COUNTED)
    assert drawn.count('fill="url(#course-hatch)"') == 1 and "26 Nov to 27 Nov: unknown" in drawn
    assert drawn.count('class="value"') == 2, "one line before the gap and one after it"
    assert "promised ≤ 5 d" in drawn


def test_a_figure_that_was_seen_as_another_is_marked_where_it_was_seen() -> None:
    notes = [chart.Note(NOW + timedelta(days=n), 7.0, f"seen <b> {n}") for n in (1, 2, 3)]
    drawn = chart.course(days([4.0] * 6), COUNTED, notes)
    assert drawn.count('class="mk seen"') == 1 and drawn.count('class="was"') == 1, "a run begins with a mark"
    assert "seen &lt;b&gt; 1" in drawn


def test_a_budget_that_is_overspent_is_cut_and_said() -> None:
    left = [chart.Left(NOW + timedelta(days=n), value, f"day {n}") for n, value in enumerate([1.0, 0.4, -13.8])]
    drawn = chart.burn_down(left)
    assert "M" in drawn and "-13" not in drawn, "nothing is drawn outside of the picture"
    assert budgets.left_words(-13.8) == "error budget overspent by 1\u2009380\u202f%"
    assert budgets.percent(0.004) == "0.4\u202f%", "what is left is never rounded to nothing"


def test_a_day_is_met_missed_or_without_facts_by_its_shape_too() -> None:
    cells = [gauges.Cell(NOW.date() + timedelta(days=n), state, state, "?x") for n, state in enumerate(("met", "missed", "unknown"))]
    drawn = gauges.calendar(cells, label="days")
    assert drawn.count("<a ") == 2 and drawn.count("<path") == 1, "a wedge in what was missed, no link where there is nothing"
    assert drawn.count('tabindex="0"') == 1, "one stop of the tab key"


def test_a_tiles_course_keeps_its_gaps_and_stays_small() -> None:
    drawn = gauges.spark([0.99, None, *[0.98, 0.97] * 44], 0.95, "met")
    assert drawn.count("M") == 3 and len(drawn) < 900
    assert gauges.spark([None, 1.0], 1.0, "met") == ""


def test_a_month_reaches_to_midnight_in_every_zone() -> None:
    october = Month.parse("2026-10")
    assert Month.of(datetime(2026, 11, 1, tzinfo=UTC)) == october
    assert Month.of(datetime(2026, 10, 31, 13, tzinfo=UTC)) == Month.of(datetime(2026, 11, 1, 11, tzinfo=UTC)) == october
    assert october.plus(3).words == "January 2027" and str(october.plus(-10)) == "2025-12"
    for wrong in ("2026-13", "2026", "26-10", "2026-10-01", "' or 1=1", "0000-01"):
        with pytest.raises(BadRequest):
            Month.parse(wrong)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.9991, 1.0), (3.2, 118.0), (1e-9, 2e-9), (5.0, 5.6)])
def test_an_axis_has_a_few_round_numbers_inside_of_its_range(low: float, high: float) -> None:
    found = [tick.at for tick in ticks(low, high, str)]
    assert 2 <= len(found) <= 6 and all(low <= at <= high for at in found)


def test_drawings_escape_what_they_are_given() -> None:
    hostile = "<script>alert(1)</script>"
    drawn = svg.neighbours(hostile, [svg.Neighbour(hostile, hostile, f"/x?{hostile}")], [])
    assert "<script>" not in drawn
    assert "<script>" not in svg.bar([svg.Part(1, "p0", hostile)], css="phasebar", label=hostile)
    assert svg.sparkline([None, 1.0], "met") == ""


def test_a_form_describes_the_object_it_was_filled_from() -> None:
    from cipo.facilities.warehouse.rack import Rack, RackSpec  # noqa: PLC0415

    fields = fields_of(RackSpec, "spec", lambda wanted: Rack.info)
    spec = {"site": "fra1", "uHeight": 42, "descUnits": False, "feeds": [{"name": "A", "volts": 230, "amps": 32}], "maxWeightKg": 900.5}
    fill(fields, spec)
    form = {item.path: item.value for item in walk(fields)}
    assert parse(fields, form) == spec
    assert next(item for item in fields if item.key == "site").control == "ref"
