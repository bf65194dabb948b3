"""Scorecards, KPI pages and their exports: what they print are the API's own figures, and what is not known is said."""

from __future__ import annotations

import html
import io
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pypdf
import pytest

from cipo.web import words
from cipo.web.periods import Month
from cipo.web.static import ROOT
from tests.web.stage import Stage, stage

pytestmark = pytest.mark.anyio
WEIGHT = 150_000
"""Bytes of a page with its style sheet and our scripts, packed as they travel; the page itself unpacked."""


@pytest.fixture(scope="module")
async def org(module_dsn: str, anyio_backend: str) -> AsyncIterator[Stage]:
    async with stage(module_dsn) as made:
        yield made


@pytest.fixture
async def cipo(org: Stage) -> AsyncIterator[httpx.AsyncClient]:
    transport, cookies = httpx.ASGITransport(org.app), {"cipo_session": await org.session()}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://cipo.test", cookies=cookies, headers={"accept": "text/html"}
    ) as made:
        yield made


async def kpis(org: Stage) -> dict[str, dict[str, Any]]:
    """Status by name, as the API serves it."""
    items = (await org.resources.list(org.caller(), org.registry.by_gk["Kpi.org.cipo"])).items
    return {item.name: item.object()["status"] for item in items}


def last_month(org: Stage) -> Month:
    return Month(org.now.year, org.now.month).plus(-1)


def seen(page: str) -> str:
    """The words of a page."""
    return html.unescape(re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", page)))


async def test_every_tile_shows_the_apis_figure_and_an_unknown_one_its_reason(org: Stage, cipo: httpx.AsyncClient) -> None:
    page = (await cipo.get("/scorecard")).text
    states = await kpis(org)
    for kpi in org.chart.kpis:
        status = states[kpi.name]
        tile = re.search(rf'<a[^>]*href="/kpi/{kpi.name}".*?</a>', page, re.S)
        assert tile, kpi.name
        said = seen(tile[0])
        if status["state"] == "unknown":
            assert "kept" not in said and status["reason"].removeprefix("no facts yet: ") in said
            assert words.measured(kpi, status.get("value")) not in said or status.get("value") is None
        else:
            assert f"is-{status['state']}" in tile[0] and words.measured(kpi, status["value"]) in said
            assert f"{words.number(status['n'], 0)} fact" in said
        if status["state"] != "unknown" and (budget := status.get("budget")):
            assert "error budget left" in tile[0] and f"{words.number(abs(budget['remaining']) * 100, 0)}"[:1] in said
    met = sum(status["state"] == "met" for status in states.values())
    assert f"{met} of {len(states)} promises kept" in page


async def test_a_filter_and_a_department_are_in_the_address(cipo: httpx.AsyncClient) -> None:
    missed = (await cipo.get("/scorecard?state=missed")).text
    assert "is-missed" in missed and "is-met" not in missed and 'class="unknowns"' not in missed
    cloud = (await cipo.get("/scorecard/1B")).text
    assert "/kpi/api-uptime" in cloud and "/kpi/ltfc" not in cloud
    squad = (await cipo.get("/scorecard/1B/B-1")).text
    assert "/kpi/api-uptime" in squad and "/kpi/packet-loss" not in squad
    assert (await cipo.get("/scorecard/9Z")).status_code in (400, 404)
    assert (await cipo.get("/scorecard?month=2026-13")).status_code == 400


async def test_a_closed_month_shows_what_was_published_with_its_revision(org: Stage, cipo: httpx.AsyncClient) -> None:
    month = last_month(org)
    page = (await cipo.get(f"/scorecard?month={month}")).text
    found = await org.kpis.published(org.caller(), *month.reach)
    assert found["api-uptime"][0].revision == 2, "facts came late"
    for kpi in org.chart.kpis:
        if kpi.name in found and found[kpi.name][0].state != "unknown":
            tile = re.search(rf'<a[^>]*href="/kpi/{kpi.name}".*?</a>', page, re.S)
            assert tile and words.measured(kpi, found[kpi.name][0].value) in seen(tile[0]), kpi.name
    assert "r2" in page and "became" in page and "late or corrected fact" in page
    assert "not published" in page, "promises without facts say so"
    empty = seen((await cipo.get("/scorecard?month=2020-01")).text)
    assert "0 of" in empty and "not published" in empty


async def test_the_page_says_value_budget_rates_and_what_to_do(org: Stage, cipo: httpx.AsyncClient) -> None:
    status = (await kpis(org))["thanos-availability"]
    kpi = org.chart.kpi("thanos-availability")
    page = (await cipo.get(f"/kpi/{kpi.name}")).text
    said = seen(page)
    assert words.measured(kpi, status["value"]) in said and words.promised(kpi) in said
    for rate in status["budget"]["burn"].values():
        assert rate is None or f"{words.number(rate, 2 if rate < 10 else 0)}×" in said
    firing = {alert["tier"] for alert in status["budget"]["alerts"]}
    assert firing, "the stage has an incident that is going on"
    for row in re.findall(r"<li( class=\"on\")?>.*?<b>([a-z-]+)</b>", page.split('class="tiers"')[1].split("</ul>")[0], re.S):
        assert bool(row[0]) == (row[1] in firing)
    assert "Start with" in said and "Signed" in said


async def test_days_and_slices_equal_the_engines_and_open_their_facts(org: Stage, cipo: httpx.AsyncClient) -> None:
    kpi = org.chart.kpi("storage-latency-p95")
    page = (await cipo.get(f"/kpi/{kpi.name}")).text
    asked = await org.kpis.measured(org.caller(), kpi.name)
    days = await org.kpis.daily(asked, 90)
    table = page.split('id="history"')[1].split("</table>")[0]
    for day in days[-30:-1]:
        row = re.search(rf">{day.at:%Y-%m-%d}</a>.*?</tr>", table, re.S)
        assert row and words.measured(kpi, day.value) in seen(row[0]) and words.measured(kpi, day.own) in seen(row[0])
    worst = await org.kpis.worst(asked, 8)
    assert worst, "the stage has an incident"
    first = f"?from={worst[0].start:%Y-%m-%d}&to={worst[0].end:%Y-%m-%d}"
    assert f'href="{html.escape(first)}#facts"' in page
    slice_page = (await cipo.get(f"/kpi/{kpi.name}{first}")).text
    facts = await org.kpis.facts(org.caller(), kpi.name, 50, worst=True, start=worst[0].start, end=worst[0].end)
    assert slice_page.split('id="facts-list"')[1].count("<tr data-row>") == len(facts) > 0
    assert "Facts of" in slice_page and "/events?before=" in slice_page
    for wrong in ("?from=x&to=y", "?from=2026-02-02&to=2026-02-01", "?from=2026-02-02"):
        assert (await cipo.get(f"/kpi/{kpi.name}{wrong}")).status_code == 400


async def test_facts_lead_to_their_resource_and_event(cipo: httpx.AsyncClient) -> None:
    page = (await cipo.get("/kpi/inventory-accuracy")).text.split('id="facts-list"')[1]
    assert re.search(r'href="/r/assets/cipo-\d{6}"', page)
    assert re.search(r'href="/events\?before=(\d+)#(\d+)"', page)


async def test_what_was_unknown_is_hatched_and_a_revision_names_its_causes(cipo: httpx.AsyncClient) -> None:
    page = (await cipo.get("/kpi/api-uptime")).text
    assert 'fill="url(#course-hatch)"' in page.split('id="course"')[1].split("</figure>")[0] or "d-unknown" in page
    assert "revision 2" in page and "became" in page and re.search(r"event \d+</a>", page)
    assert 'class="mk warn"' in page, "the figure that was published first is marked on the course"


async def test_an_unstaffed_promise_says_who_is_missing_and_what_would_measure_it(cipo: httpx.AsyncClient) -> None:
    page = seen((await cipo.get("/kpi/durability")).text)
    assert "is not staffed" in page and "storage.durability.nines" in page and "Unknown" in page
    assert "Kept" not in page.split("Published")[0]


async def test_the_scorecard_as_pdf_holds_the_pages_figures(org: Stage, cipo: httpx.AsyncClient) -> None:
    month = last_month(org)
    for query in ("", f"?month={month}"):
        figures = (await cipo.get(f"/scorecard.json{query}")).json()
        answer = await cipo.get(f"/scorecard.pdf{query}")
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/pdf"
        assert ".pdf" in answer.headers["content-disposition"]
        document = pypdf.PdfReader(io.BytesIO(answer.content))
        text = squeezed("".join(page.extract_text() for page in document.pages))
        for row in figures["kpis"]:
            assert squeezed(row["text"]) in text, row["name"]
            if row["state"] != "unknown":
                assert squeezed(row["shown"]) in text, row["name"]
        rest = "".join(f",{figures[word]}{word}" for word in ("missed", "unknown") if figures[word])
        assert squeezed(f"{figures['kept']} of {len(figures['kpis'])} promises kept{rest}") in text
        assert squeezed("Unknown is a state of its own") in text and f"Page1of{len(document.pages)}" in text
        assert ("r2:" in text and squeezed(month.words) in text) == bool(query)


def squeezed(text: str) -> str:
    """Without white space: a PDF keeps lines and thin spaces as it likes."""
    return re.sub(r"\s", "", text)


async def test_pictures_are_pictures(cipo: httpx.AsyncClient) -> None:
    sheet = await cipo.get("/scorecard.png")
    assert sheet.content.startswith(b"\x89PNG") and int.from_bytes(sheet.content[16:20]) > 1000
    slide = await cipo.get("/kpi/api-uptime.png")
    assert (int.from_bytes(slide.content[16:20]), int.from_bytes(slide.content[20:24])) == (1920, 1080)
    drawn = await cipo.get("/kpi/api-uptime.svg")
    assert drawn.content.startswith(b"<svg") and b"<script" not in drawn.content
    one = pypdf.PdfReader(io.BytesIO((await cipo.get("/kpi/durability.pdf")).content))
    assert "Unknown" in one.pages[0].extract_text() and "not staffed" in one.pages[0].extract_text()
    assert (await cipo.get("/kpi/none.png")).status_code in (400, 404)


async def test_programs_are_answered_in_json(org: Stage, cipo: httpx.AsyncClient) -> None:
    asks = {"accept": "application/json"}
    figures = (await cipo.get("/scorecard.json", headers=asks)).json()
    states = await kpis(org)
    assert {row["name"]: (row["state"], row["value"]) for row in figures["kpis"]} == {
        name: (status["state"], status.get("value")) for name, status in states.items()
    }
    refused = await cipo.get("/scorecard.json?month=soon", headers=asks)
    assert refused.status_code == 400 and "2026-10" in refused.json()["message"]


async def test_pages_stay_light(cipo: httpx.AsyncClient) -> None:
    for path in ("/kpi/api-uptime", "/kpi/storage-latency-p95?days=365d", "/scorecard"):
        page = await cipo.get(path)
        beside = [name for name in ("app.css", "app.js", "course.js") if name in page.text]
        packed = [await cipo.get(f"/static/{name}", headers={"accept-encoding": "gzip"}) for name in beside]
        assert len(page.content) + sum(int(one.headers.get("content-length", 0)) for one in packed) < WEIGHT, path
    assert not (ROOT / "vendor" / "echarts.min.js").exists()
