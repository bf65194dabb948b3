"""What pictures of numbers over time are drawn on: a stretching plot with texts that keep their size, axes, hatching, marks.

Without a width, shapes lie in a nested drawing that stretches with the page while texts and marks keep their size at shares of the width;
with a width everything is in points, which every renderer understands. Colours are the page's classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from markupsafe import Markup

STRETCH = 1000
TOP, BOTTOM = 12, 24
SHAPES = {
    "met": Markup('<circle r="4"/>'),
    "missed": Markup('<path d="M0-5l5 9h-10z"/>'),
    "unknown": Markup('<circle r="3.5" fill="none" stroke-dasharray="2 1.6"/>'),
    "warn": Markup('<path d="M0-5l5 5-5 5-5-5z"/>'),
    "seen": Markup('<path d="M0-4l4 4-4 4-4-4z" fill="none"/>'),
}


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and its words; ``minor`` ones leave first when there is little room."""

    at: float
    text: str
    minor: bool = False


@dataclass(slots=True)
class Canvas:
    """One picture of ``height`` points; ``width`` None: as wide as the page gives."""

    height: int
    ident: str
    width: int | None = None
    inner: list[Markup] = field(default_factory=list)
    under: list[Markup] = field(default_factory=list)
    outer: list[Markup] = field(default_factory=list)

    @property
    def floor(self) -> float:
        """The lower edge of the plot."""
        return self.height - BOTTOM

    def x(self, share: float) -> str:
        """Inside the stretching drawing."""
        return short(share * (self.width or STRETCH))

    def at(self, share: float) -> str:
        """Outside of it."""
        return short(share * self.width) if self.width else f"{short(share * 100, 2)}%"

    def y(self, value: float, low: float, high: float) -> float:
        """Upwards from ``low`` to ``high``."""
        return TOP + (self.floor - TOP) * (1 - (value - low) / ((high - low) or 1))

    def line(self, css: str, points: Iterable[tuple[float, float]]) -> None:
        """Points joined up."""
        self.inner.append(Markup('<path class="{}" d="{}"/>').format(css, self.path(points)))

    def path(self, points: Iterable[tuple[float, float]]) -> str:
        """As the commands of a path."""
        return "".join(f"{'L' if n else 'M'}{self.x(share)} {short(y)}" for n, (share, y) in enumerate(points))

    def level(self, css: str, y: float) -> None:
        """A line all across."""
        self.inner.append(Markup('<path class="{}" d="M0 {y}H{}"/>').format(css, self.x(1), y=short(y)))

    def text(self, css: str, share: float, y: float, text: str, anchor: str = "start", dx: float = 0) -> None:
        """Words that keep their size."""
        self.outer.append(
            Markup('<text class="{}" x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(
                css, self.at(share), short(y), anchor, Markup(' dx="{}"').format(short(dx)) if dx else "", text
            )
        )

    def mark(self, shape: str, css: str, share: float, y: float, title: str) -> None:
        """A small figure with a title."""
        self.outer.append(
            Markup('<svg x="{}" y="{}" overflow="visible" class="mk {}"><title>{}</title>{}</svg>').format(
                self.at(share), short(y), css, title, SHAPES[shape]
            )
        )

    def hatch(self, start: float, end: float, title: str) -> None:
        """A stretch without a number."""
        self.under.append(
            Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="url(#{}-hatch)"><title>{}</title></rect>').format(
                self.at(start), TOP, self.at(end - start), short(self.floor - TOP), self.ident, title
            )
        )

    def hover(self, columns: Iterable[tuple[float, float, str]]) -> None:
        """What a pointer at ``(start, end)`` reads."""
        rows = [
            Markup('<rect x="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                self.at(start), self.at(end - start), self.height, title
            )
            for start, end, title in columns
        ]
        self.outer.append(Markup('<g class="hover">') + Markup("").join(rows) + Markup("</g>"))

    def columns(self, titles: Sequence[str]) -> None:
        """One column a day for a pointer, at most about ninety; an exported picture has none."""
        n = len(titles)
        step = max(1, n // 92)
        if self.width is None:
            self.hover((index / n, min(index + step, n) / n, titles[min(index + step, n) - 1]) for index in range(0, n, step))

    def dates(self, days: Sequence[datetime]) -> None:
        """The axis of time."""
        n = len(days)
        if not n:
            return
        if n <= 10:
            marks = list(range(n))
        elif n <= 45:
            marks = [index for index, at in enumerate(days) if at.weekday() == 0]
        elif n <= 130:
            marks = [index for index, at in enumerate(days) if at.day in (1, 15)]
        else:
            marks = [index for index, at in enumerate(days) if at.day == 1]
        for order, index in enumerate(marks):
            share = (index + 0.5) / n
            if share < 0.02 or share > 0.97:
                continue
            at = days[index]
            text = f"{at:%b}" + (f" {at:%Y}" if at.month == 1 else "") if n > 130 else f"{at.day} {at:%b}"
            self.text("tick alt" if order % 2 else "tick", share, self.height - 6, text, "middle")
            self.inner.append(
                Markup('<path class="grid" d="M{x} {}V{}"/>').format(short(self.floor), short(self.floor + 4), x=self.x(share))
            )

    def draw(self, css: str, label: str) -> Markup:
        """The whole picture."""
        width = Markup('width="{0}" viewBox="0 0 {0} {1}"').format(self.width, self.height) if self.width else Markup('width="100%"')
        stretched = self.width or STRETCH
        return Markup("").join(
            [
                Markup('<svg class="chart {}" {} height="{}" role="img" aria-label="{}">').format(css, width, self.height, label),
                Markup(
                    '<defs><pattern id="{}-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
                    '<rect width="6" height="6" class="f-unknown" opacity=".08"/><rect width="1.5" height="6" class="f-unknown" opacity=".5"/></pattern></defs>'
                ).format(self.ident),
                *self.under,
                Markup('<svg width="{}" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">').format(
                    self.width or "100%", self.height, stretched, self.height
                ),
                *self.inner,
                Markup("</svg>"),
                *self.outer,
                Markup("</svg>"),
            ]
        )


def ticks(low: float, high: float, say: Callable[[float], str], wanted: int = 4) -> list[Tick]:
    """Round numbers inside a range."""
    raw = (high - low) / wanted or 1.0
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * one for one in (1, 2, 2.5, 5, 10) if size * one >= raw)
    first = math.ceil(low / step) * step
    return [Tick(at, say(at)) for n in range(wanted + 3) if (at := round(first + n * step, 12)) <= high]


def runs(flags: Sequence[bool], *, wanted: bool) -> list[tuple[int, int]]:
    """(first, last) of each run of equal flags that are as wanted."""
    found: list[tuple[int, int]] = []
    for index, flag in enumerate(flags):
        if flag is not wanted:
            continue
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found


def day_words(at: datetime) -> str:
    """``12 Oct``."""
    return f"{at.astimezone(UTC).day} {at.astimezone(UTC):%b}"


def short(value: float, places: int = 1) -> str:
    """A number for a drawing: few places, no trailing zeros."""
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
