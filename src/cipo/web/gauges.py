"""Small pictures of a promise: its days as a calendar, a burn rate's bar, a tile's course, what is left of a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from markupsafe import Markup

from cipo.kernel.drawing.canvas import short
from cipo.web import words


@dataclass(frozen=True, slots=True)
class Cell:
    """A day of a calendar: how it went by its own facts, its words, and the page of its facts."""

    at: date
    state: str
    title: str
    href: str


SIDE, GAP, GUTTER, HEAD = 16, 4, 36, 20
WEEKDAYS = ("Mon", "", "Wed", "", "Fri", "", "Sun")


def calendar(cells: Sequence[Cell], *, label: str) -> Markup:
    """Days as squares, a column a week: filled when met, with a wedge when missed, dashed when there was nothing."""
    first = cells[0].at - timedelta(days=cells[0].at.weekday())
    weeks = (cells[-1].at - first).days // 7 + 1
    step = SIDE + GAP
    width, height = GUTTER + weeks * step, HEAD + 7 * step
    out = [
        Markup('<svg class="days" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="group" aria-label="{label}">').format(
            w=width, h=height, label=label
        )
    ]
    out += [
        Markup('<text class="tick" x="0" y="{}" aria-hidden="true">{}</text>').format(HEAD + row * step + 12, name)
        for row, name in enumerate(WEEKDAYS)
        if name
    ]
    month = -1
    last_x = -99
    for cell in cells:
        column, row = divmod((cell.at - first).days, 7)
        x, y = GUTTER + column * step, HEAD + row * step
        if cell.at.month != month and (cell.at.day <= 7 or month < 0):
            if x - last_x >= 28:
                out.append(Markup('<text class="tick" x="{}" y="10" aria-hidden="true">{}</text>').format(x, f"{cell.at:%b}"))
                last_x = x
            month = cell.at.month
        square = Markup('<rect x="{}" y="{}"/>').format(x, y)
        wedge = Markup('<path d="M{} {}l4 7h-8z"/>').format(x + SIDE // 2, y + 4) if cell.state == "missed" else Markup("")
        if cell.state == "unknown":
            out.append(Markup('<g class="d-unknown"><title>{}</title>{}</g>').format(cell.title, square))
        else:
            out.append(
                Markup('<a href="{}" class="d-{}" tabindex="-1"><title>{}</title>{}{}</a>').format(
                    cell.href, cell.state, cell.title, square, wedge
                )
            )
    drawn = str(Markup("").join([*out, Markup("</svg>")]))
    # One stop of the tab key: the newest day; the arrow keys walk from there.
    head, stop, tail = drawn.rpartition('tabindex="-1"')
    return Markup(f'{head}tabindex="0"{tail}' if stop else drawn)  # noqa: S704 - made of escaped pieces above


@dataclass(frozen=True, slots=True)
class Burn:
    """How fast a look-back window burns, and from which rates a tier fires on it."""

    span: str
    rate: float | None
    factors: tuple[tuple[float, str, bool], ...]
    """(factor, tier, whether it fires)"""


def burn_scale(rate: float, most: float) -> float:
    """Where a rate lies on the bar (0-1): logarithmic, because 14 and 1 matter alike."""
    return min(math.log1p(max(rate, 0.0)) / math.log1p(most), 1.0)


def burn_bar(burn: Burn, most: float) -> Markup:
    """One window's bar with a tick at each factor."""
    out = [
        Markup(
            '<svg class="burnbar" width="100%" height="16" aria-hidden="true"><rect class="track" y="4" width="100%" height="8" rx="2"/>'
        )
    ]
    if burn.rate is not None:
        hot = any(fires and burn.rate > factor for factor, _, fires in burn.factors)
        css = "f-missed" if hot else "f-warn" if burn.rate > 1 else "f-met"
        out.append(
            Markup('<rect class="{}" y="4" width="{}%" height="8" rx="2"/>').format(css, short(100 * burn_scale(burn.rate, most), 1))
        )
    out.append(Markup('<rect class="one" x="{}%" width="1" height="16"/>').format(short(100 * burn_scale(1, most), 1)))
    for factor, tier, fires in burn.factors:
        out.append(
            Markup('<rect class="{}" x="{}%" width="2" height="16"><title>{}: {}×</title></rect>').format(
                "f-missed" if fires else "factor", short(100 * burn_scale(factor, most), 1), tier, words.number(factor, 1)
            )
        )
    return Markup("").join([*out, Markup("</svg>")])


def spark(values: Sequence[float | None], limit: float | None, state: str, *, width: int = 0, height: int = 32) -> Markup:
    """A course in a tile with its promise as a line. Relative steps keep it small; empty when there is nothing to see."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup("")
    low, high = min([*known, *([limit] if limit is not None else [])]), max([*known, *([limit] if limit is not None else [])])
    span, unit = (high - low) or 1.0, 4
    scale = height * unit
    across = (len(values) - 1) * unit or 1

    def y(value: float) -> int:
        return round(scale - unit * 2 - (value - low) / span * (scale - unit * 4)) if high > low else scale // 2

    path, before = [], None
    for index, value in enumerate(values):
        if value is None:
            before = None
        elif before is None:
            path.append(f"M{index * unit} {y(value)}")
            before = y(value)
        else:
            path.append(f"l{unit} {y(value) - before}")
            before = y(value)
    promise = Markup('<path class="p" d="M0 {}H{}"/>').format(y(limit), across) if limit is not None else Markup("")
    sized = Markup(' width="{}" height="{}"').format(width, height) if width else Markup("")
    return Markup(
        '<svg class="spark t-{}"{} viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}<path d="{}"/></svg>'
    ).format(state, sized, across, scale, promise, "".join(path))


def meter(remaining: float, state: str, *, width: int = 0) -> Markup:
    """What is left of a budget as a bar that empties; an overspent one is hatched."""
    share = min(max(remaining, 0.0), 1.0)
    css = {"Healthy": "f-met", "Warning": "f-warn", "AtRisk": "f-missed", "Exhausted": "f-missed"}.get(state, "f-unknown")
    sized = Markup('width="{}"').format(width) if width else Markup('width="100%"')
    full = width or 100
    sign = "" if width else "%"
    filled = Markup('<rect class="{}" width="{}{}" height="4" rx="2"/>').format(css, short(share * full), sign) if share else Markup("")
    return Markup(
        '<svg class="meter" {} height="4" aria-hidden="true"><rect class="track" width="{}{}" height="4" rx="2"/>{}</svg>'
    ).format(sized, full, sign, filled)
