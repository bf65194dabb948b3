"""The two large pictures of a promise, drawn on the server: its course against the limit, and how its budget burned down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from cipo.kernel.drawing.canvas import TOP, Canvas, day_words, runs, short, ticks


@dataclass(frozen=True, slots=True)
class Dot:
    """A day of a course: the figure of the window that ended with it."""

    at: datetime
    value: float | None
    title: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something to mark on a course: what was seen, or published, and differs."""

    at: datetime
    value: float
    title: str
    shape: str = "seen"


@dataclass(frozen=True, slots=True)
class Axis:
    """How a course is measured: what is promised, whether more is better, and how a number is said on the axis."""

    limit: float
    least: bool
    promise: str
    say: Callable[[float], str]
    top: float | None = None
    """A number that can not be passed, such as 100 %."""


def course(
    dots: Sequence[Dot],
    axis: Axis,
    notes: Sequence[Note] = (),
    *,
    height: int = 264,
    width: int | None = None,
    label: str = "",
    ident: str = "course",
) -> Markup:
    """The value day by day with the promise's line, what missed it shaded, what was unknown hatched, and marks where a figure differed."""
    canvas = Canvas(height, ident, width)
    low, high = _range([dot.value for dot in dots if dot.value is not None] + [note.value for note in notes], axis)
    n = max(len(dots), 1)

    def spot(index: int, value: float) -> tuple[float, float]:
        return (index + 0.5) / n, canvas.y(value, low, high)

    promised = canvas.y(axis.limit, low, high)
    for tick in ticks(low, high, axis.say):
        y = canvas.y(tick.at, low, high)
        canvas.level("grid", y)
        if abs(y - promised) > 11:
            canvas.text("tick", 0, y - 4, tick.text)
    for first, last in runs([dot.value is None for dot in dots], wanted=True):
        canvas.hatch(first / n, (last + 1) / n, f"{day_words(dots[first].at)} to {day_words(dots[last].at)}: unknown")
    lines = []
    for first, last in runs([dot.value is None for dot in dots], wanted=False):
        points = [spot(index, dots[index].value or 0.0) for index in range(first, last + 1)]
        lines.append(points if first < last else [(first / n, points[0][1]), ((first + 1) / n, points[0][1])])
    _debts(canvas, lines, promised, least=axis.least)
    canvas.level("promise", promised)
    for points in lines:
        canvas.line("value", points)
    canvas.text("promised", 1, promised - 5 if promised > TOP + 36 else promised + 15, axis.promise, "end", -4)
    canvas.dates([dot.at for dot in dots])
    if dots and dots[-1].value is not None:
        share, y = spot(n - 1, dots[-1].value)
        canvas.outer.append(Markup('<circle class="now" cx="{}" cy="{}" r="3"/>').format(canvas.at(share), short(y)))
    canvas.columns([dot.title for dot in dots])
    _notes(canvas, dots, notes, spot)
    return canvas.draw("course", label)


def _debts(canvas: Canvas, lines: Sequence[Sequence[tuple[float, float]]], promised: float, *, least: bool) -> None:
    """Shade what lies between the line and the promise on the wrong side of it."""
    begin, size = (promised, canvas.floor - promised) if least else (0.0, promised)
    canvas.inner.append(
        Markup('<clipPath id="{}-clip"><rect x="0" y="{}" width="{}" height="{}"/></clipPath>').format(
            canvas.ident, short(begin), canvas.x(1), short(max(size, 0))
        )
    )
    for points in lines:
        area = [*points, (points[-1][0], promised), (points[0][0], promised)]
        canvas.inner.append(Markup('<path class="debt" clip-path="url(#{}-clip)" d="{}Z"/>').format(canvas.ident, canvas.path(area)))


def _notes(canvas: Canvas, dots: Sequence[Dot], notes: Sequence[Note], spot: Callable[[int, float], tuple[float, float]]) -> None:
    """A mark for each published figure that was revised; for days that were seen as another number a dotted line that begins with a mark."""
    place = {dot.at.date(): index for index, dot in enumerate(dots)}
    placed = sorted(
        ((found, note.shape, note) for note in notes if (found := place.get(note.at.date())) is not None), key=lambda one: one[:2]
    )
    run: list[tuple[float, float]] = []
    for order, (index, shape, note) in enumerate(placed):
        run.append(spot(index, note.value))
        goes_on = order + 1 < len(placed) and placed[order + 1][0] == index + 1 and placed[order + 1][1] == shape == "seen"
        if shape != "seen" or len(run) == 1:
            canvas.mark(shape, "seen" if shape == "seen" else "warn", *run[-1], note.title)
        if not goes_on:
            if len(run) > 1:
                canvas.line("was", run)
            run = []


@dataclass(frozen=True, slots=True)
class Left:
    """What was left of a budget at the end of a day (1 is all of it, below 0 overspent)."""

    at: datetime
    remaining: float | None
    title: str


DEEPEST = -1.0


def burn_down(days: Sequence[Left], *, height: int = 208, width: int | None = None, label: str = "", ident: str = "burn") -> Markup:
    """The budget day by day, with the bands in which somebody is warned; an overspent one is cut at minus 100 %."""
    canvas = Canvas(height, ident, width)
    known = [day.remaining for day in days if day.remaining is not None]
    low = max(DEEPEST, min([0.0, *known]))
    low, high, n = (low - 0.06 if low < 0 else 0.0), 1.0, max(len(days), 1)
    for css, top, bottom in (("band-warn", 0.5, 0.2), ("band-risk", 0.2, 0.0), ("band-spent", 0.0, low)):
        y = canvas.y(top, low, high)
        canvas.inner.append(
            Markup('<path class="{}" d="M0 {y}H{x}V{b}H0Z"/>').format(css, y=short(y), x=canvas.x(1), b=short(canvas.y(bottom, low, high)))
        )
    for at, text in ((1.0, "100\u202f%"), (0.5, "50\u202f%, warning"), (0.0, "spent"), (0.2, "20\u202f%, at risk")):
        y = canvas.y(at, low, high)
        canvas.level("grid" if at else "promise", y)
        if at != 0.2 or canvas.y(0, low, high) - y > 16:
            canvas.text("tick", 0, y - 4, text)
    missing = [day.remaining is None for day in days]
    for first, last in runs(missing, wanted=True):
        canvas.hatch(first / n, (last + 1) / n, f"{day_words(days[first].at)} to {day_words(days[last].at)}: unknown")
    for first, last in runs(missing, wanted=False):
        points = [((index + 0.5) / n, canvas.y(max(days[index].remaining or 0.0, low), low, high)) for index in range(first, last + 1)]
        area = [*points, (points[-1][0], canvas.y(0, low, high)), (points[0][0], canvas.y(0, low, high))]
        canvas.inner.append(Markup('<path class="fill" d="{}Z"/>').format(canvas.path(area)))
        canvas.line("value", points)
    canvas.dates([day.at for day in days])
    canvas.columns([day.title for day in days])
    return canvas.draw("burndown", label)


def _range(values: Sequence[float], axis: Axis) -> tuple[float, float]:
    known = [*values, axis.limit]
    low, high = min(known), max(known)
    pad = (high - low or abs(high) or 1.0) * 0.12
    top = high + pad if axis.top is None or high + pad < axis.top else max(axis.top, high)
    # A mark on the very edge would be cut: a little air above what can not be passed.
    if axis.top is not None and top == axis.top:
        top += pad * 0.4
    return (max(low - pad, 0.0) if low >= 0 else low - pad), top
