"""Small drawings made on the server: proportion bars, sparklines, the graph of an office's neighbours. No script, print well.

Colours come from the page's classes; sizes are attributes, because the content policy allows no inline style.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

HATCH = Markup(
    '<pattern id="{id}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" class="f-unknown" opacity=".25"/><rect width="2" height="6" class="f-unknown" opacity=".6"/></pattern>'
)


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a bar: how much, its colour class, and its words."""

    size: float
    css: str
    title: str


def bar(parts: Iterable[Part], *, css: str, label: str, ident: str = "") -> Markup:
    """A proportion bar over 1,000 units. ``f-unknown`` is hatched, so unknown never reads as a colour of its own."""
    shown = [part for part in parts if part.size > 0]
    total = sum(part.size for part in shown)
    out = [Markup('<svg class="{}" viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label="{}">').format(css, label)]
    hatch = f"hatch{ident}"
    if any(part.css == "f-unknown" for part in shown):
        out.append(Markup("<defs>") + HATCH.format(id=hatch) + Markup("</defs>"))
    x = 0.0
    for part in shown:
        width = part.size / total * 1000
        gap = 3 if x + width < 999 else 0
        fill = Markup(' fill="url(#{})"').format(hatch) if part.css == "f-unknown" else Markup(' class="{}"').format(part.css)
        out.append(
            Markup('<rect x="{:.1f}" width="{:.1f}" height="8"{}><title>{}</title></rect>').format(x, max(width - gap, 1), fill, part.title)
        )
        x += width
    if not shown:
        out.append(Markup('<rect width="1000" height="8" class="f-plain" opacity=".15"/>'))
    return Markup("").join([*out, Markup("</svg>")])


def sparkline(values: Sequence[float | None], state: str) -> Markup:
    """The course of a value, with gaps where it was unknown; empty when there is nothing to see."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup("")
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    step = 100 / (len(values) - 1)
    path, pen_down = [], False
    for index, value in enumerate(values):
        if value is None:
            pen_down = False
            continue
        y = 14 - (value - low) / span * 12 if high > low else 8
        path.append(f"{'L' if pen_down else 'M'}{index * step:.1f} {y:.1f}")
        pen_down = True
    return Markup('<svg class="spark t-{}" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true"><path d="{}"/></svg>').format(
        state, " ".join(path)
    )


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An office at the end of an edge."""

    name: str
    detail: str
    href: str


ROW, WIDTH, BOX = 36, 720, 200
TIP = Markup(
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 1l7 3-7 3z" class="f-plain"/></marker></defs>'
)
LINK = Markup('<path class="link" marker-end="url(#tip)" d="M{:.0f} {:.0f}C{:.0f} {:.0f} {:.0f} {:.0f} {:.0f} {:.0f}"/>')


def neighbours(centre: str, serves: Sequence[Neighbour], needs: Sequence[Neighbour]) -> Markup:
    """Who needs the centre on the left, whom it needs on the right; edges with arrow heads. Each box is a link."""
    rows = max(len(serves), len(needs), 1)
    height = rows * ROW + 28
    middle = 28 + (rows * ROW) / 2
    words = f"{centre}: serves {len(serves)}, needs {len(needs)}"
    out = [
        Markup('<svg class="graph" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="group" aria-label="{words}">').format(
            w=WIDTH, h=height, words=words
        ),
        TIP,
        Markup('<text class="cap" x="0" y="12">needs us</text><text class="cap" x="{}" y="12" text-anchor="end">we need</text>').format(
            WIDTH
        ),
    ]
    for side, nodes in (("left", serves), ("right", needs)):
        offset = 28 + (rows - len(nodes)) * ROW / 2
        for index, node in enumerate(nodes):
            y = offset + index * ROW + ROW / 2
            x = 0 if side == "left" else WIDTH - BOX
            start, end = (BOX, WIDTH / 2 - 84) if side == "left" else (WIDTH / 2 + 80, WIDTH - BOX - 4)
            y1, y2 = (y, middle) if side == "left" else (middle, y)
            bend = (start + end) / 2
            out.append(LINK.format(start, y1, bend, y1, bend, y2, end, y2))
            out.append(_box(node, x, y))
    out.append(Markup('<rect class="centre" x="{}" y="{}" width="160" height="32" rx="6"/>').format(WIDTH / 2 - 80, middle - 16))
    out.append(
        Markup('<text class="centre-text" x="{}" y="{}" text-anchor="middle">{}</text>').format(WIDTH / 2, middle + 4, _fit(centre, 22))
    )
    return Markup("").join([*out, Markup("</svg>")])


def _box(node: Neighbour, x: float, y: float) -> Markup:
    return Markup(
        '<a href="{}"><title>{}: {}</title><rect class="node" x="{}" y="{:.0f}" width="{}" height="28" rx="6"/><text x="{}" y="{:.0f}">{}</text></a>'
    ).format(node.href, node.name, node.detail, x + (0.5 if x == 0 else -0.5), y - 14, BOX, x + 10, y + 4, _fit(node.name, 26))


def _fit(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
