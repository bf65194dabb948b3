"""Scorecards and single promises to take along: PDF for paper, PNG and SVG for slides. The same figures and drawings as on the pages.

Typesetting is typst's (Apache-2.0, a wheel without any system library), imported when the first export is asked for. Templates get their
data as JSON, so no word of the chart is ever read as markup; fonts are the two files beside the templates and nothing of the system.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anyio
import orjson
from markupsafe import Markup
from starlette.responses import Response

from cipo.kernel.errors import NotFound
from cipo.web import budgets, gauges, promise, words
from cipo.web import course as courses
from cipo.web.console import Console, Visit
from cipo.web.organisation import proportions
from cipo.web.scorecards import Group, Sheet, Tile, sheet

if TYPE_CHECKING:
    import typst

HERE = Path(__file__).parent
TEMPLATES, FONTS = HERE / "typst", HERE / "fonts"
Format = Literal["pdf", "png", "svg"]
MEDIA = {"pdf": "application/pdf", "png": "image/png", "svg": "image/svg+xml"}
PPI = {"scorecard": 144.0, "kpi": 216.0}  # a slide of 640 points becomes 1920 pixels
AT_ONCE = 2
KPI_DAYS = 90
SLIDE = 576

# The light scheme of app.css as plain rules: drawings are the page's, and know classes only.
INKS = """
.f-met{fill:#0a7468}.f-missed{fill:#c2381a}.f-unknown{fill:#6a7276}.f-warn{fill:#8f5b00}.f-plain{fill:#636b6f}.track{fill:#f3f4f3}
.chart path,.spark path{fill:none}.grid{stroke:#e3e5e4}.chart .value{stroke:#2f4bb8;stroke-width:1.75;stroke-linejoin:round}
.chart .promise{stroke:#16191b;stroke-dasharray:5 4}.chart .debt{fill:#c2381a;opacity:.2}.chart .was{stroke:#495054;stroke-dasharray:1 3;stroke-width:1.75}
.chart .now{fill:#2f4bb8;stroke:#fff;stroke-width:2}.chart text{font-family:Inter;font-size:10px;fill:#636b6f}
.chart .promised{fill:#16191b;font-weight:600}.mk path,.mk circle{fill:currentColor}.mk.warn{color:#8f5b00}.mk.seen{color:#495054}
.mk.seen path{fill:#fff;stroke:#495054;stroke-width:1.5}.spark path{stroke-width:5;stroke:#636b6f}.t-met path{stroke:#0a7468}.t-missed path{stroke:#c2381a}
.spark .p{stroke:#636b6f;stroke-width:3;stroke-dasharray:10 10}
"""


async def scorecard(console: Console, visit: Visit) -> Response:
    """``GET /scorecard.pdf`` and ``.png``, with ``?month=2026-10`` as it was published, with ``?of=1B`` of one department."""
    how = _format(visit, ("pdf", "png"))
    made = await sheet(console, visit)
    body = await typeset("scorecard", sheet_data(made), how)
    return file(
        body, how, "-".join(filter(None, ["scorecard", made.office.lower(), str(made.month) if made.month else words.iso(made.as_of)[:10]]))
    )


async def kpi(console: Console, visit: Visit) -> Response:
    """``GET /kpi/<name>.svg``, ``.png`` and ``.pdf``: the number, its promise and its course, to put on a slide."""
    how = _format(visit, ("pdf", "png", "svg"))
    one, card = await promise.the_card(console, visit)
    course = await courses.read(console, visit, one, KPI_DAYS)
    spent = budgets.spent(course.asked.kpi.status.wire(), console.kpis.tiers(course.asked), course.days[-KPI_DAYS:], "burn")
    worst = await console.kpis.worst(course.asked, promise.HURT)
    unit = console.chart.unit(one.unit)
    known = any(day.value is not None for day in course.days[-KPI_DAYS:])
    data = {
        "title": f"{one.text}: {card.shown if card.value is not None else 'unknown'}",
        "eyebrow": f"{one.department} {console.chart.department(one.department).title}",
        "state": card.state,
        "shown": card.shown if card.value is not None else "Unknown",
        "text": one.text,
        "verdict": promise.verdict(card, spent, worst, unit, manned=one.unit in console.registry.units),
        "picture": standalone(courses.picture(one, course, KPI_DAYS, width=SLIDE, height=204)) if known else "",
        "alt": f"{one.text}: course over {KPI_DAYS} days against {words.promised(one)}",
        "days": KPI_DAYS,
        "foot": "; ".join(filter(None, [
            f"{words.plural(card.n, 'fact')} over the last {one.window}",
            budgets.left_words(spent.remaining) if spent and card.state != "unknown" else "",
            "hatched: unknown", "shaded: misses the promise",
        ])),
        "asOf": said_moment(course.asked.now),
    }  # fmt: skip
    return file(await typeset("kpi", data, how), how, one.name)


def sheet_data(made: Sheet) -> dict[str, Any]:
    """What the template prints: the words of the page's own tiles."""
    whose = f"{made.office} {made.title}" if made.office else ""
    title = " ".join(
        filter(None, [f"Scorecard{' of ' + whose if whose else ''}{',' if made.month else ''}", made.when if made.month else ""])
    )
    return {
        "title": title,
        "eyebrow": f"{title}{', as published' if made.month else ''}",
        "when": made.when,
        "now": made.month is None,
        "asOf": said_moment(made.as_of),
        "kept": made.tally.met,
        "missed": made.tally.missed,
        "unknown": made.tally.unknown,
        "total": made.tally.total,
        "tally": made.tally.words,
        "bar": standalone(proportions(made.tally, "propbar"), 1000, 8),
        "departments": [_department(group) for group in made.groups],
    }


def _department(group: Group) -> dict[str, Any]:
    return {
        "title": f"{group.id} {group.title}",
        "kept": group.tally.met,
        "total": group.tally.total,
        "rows": [_row(tile) for tile in group.tiles],
    }


def _row(tile: Tile) -> dict[str, Any]:
    return {
        "state": tile.state,
        "text": tile.kpi.text,
        "reason": words.sentence(tile.reason),
        "restated": f"r{tile.revision}: {tile.became}" if tile.became else "",
        "shown": tile.shown,
        "objective": tile.objective,
        "n": words.number(tile.n, 0),
        "coverage": f"{words.number(tile.coverage * 100, 1)}\u202f%" if tile.coverage is not None else "",
        "revision": tile.revision,
        "spark": standalone(tile.spark),
        "left": tile.left,
        "tone": tile.tone,
        "meter": standalone(gauges.meter(float(tile.budget["remaining"]), str(tile.budget["state"]), width=100)) if tile.budget and tile.left else "",
    }  # fmt: skip


def standalone(drawing: Markup, width: int = 0, height: int = 0) -> str:
    """A drawing of the page as a file of its own: with its namespace, its size and its inks."""
    if not drawing:
        return ""
    size = f' width="{width}" height="{height}"' if width else ""
    return str(drawing).replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg"{size} ', 1).replace(">", f"><style>{INKS}</style>", 1)


def said_moment(at: Any) -> str:
    """``25 Nov 2026 14:08 UTC``."""
    found = words.moment(at)
    return f"{found.day} {found:%b %Y %H:%M} UTC" if found else ""


def file(body: bytes, how: Format, name: str) -> Response:
    """The answer, to be kept under its name."""
    headers = {"Content-Disposition": f'inline; filename="cipo-{name}.{how}"', "Cache-Control": "no-store"}
    return Response(body, media_type=MEDIA[how], headers=headers)


def _format(visit: Visit, known: tuple[Format, ...]) -> Format:
    suffix = visit.request.url.path.rpartition(".")[2]
    for one in known:
        if suffix == one:
            return one
    raise NotFound(f"there is no picture as {suffix[:20]!r}; there is {', '.join(known)}")


async def typeset(template: Literal["scorecard", "kpi"], data: dict[str, Any], how: Format) -> bytes:
    """Set a template, off the event loop, two at a time."""
    given = {"data": orjson.dumps(data).decode(), "long": "1" if how != "pdf" else ""}
    return await anyio.to_thread.run_sync(partial(_compile, template, given, how), limiter=_limiter())


@cache
def _limiter() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(AT_ONCE)


@cache
def _fonts() -> typst.Fonts:
    import typst  # noqa: PLC0415 - 34 MB that only an export needs

    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[FONTS])


def _compile(template: str, given: dict[str, str], how: Format) -> bytes:
    import typst  # noqa: PLC0415

    compiler = typst.Compiler(TEMPLATES / f"{template}.typ", root=TEMPLATES, font_paths=_fonts(), sys_inputs=given)
    made = compiler.compile(format=how, ppi=PPI[template], pdf_standards="ua-1" if how == "pdf" else [])
    if not isinstance(made, bytes):
        raise TypeError(f"{template} came out as {len(made or [])} pages where one was meant")
    return made
