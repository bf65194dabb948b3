"""How an SLO went, drawn on its page: the course of each objective against what is promised, and how its budget burned down.

Read from the slices of its facts, day by day, judged by the rules of now. One over a Prometheus has no course here: its numbers are there.
"""

from __future__ import annotations

from markupsafe import Markup

from cipo.kernel import Ctx
from cipo.kernel.drawing import chart
from cipo.kernel.errors import NotFound
from cipo.kernel.slo import course, longform, register
from cipo.kernel.slo.course import Day
from cipo.kernel.slo.objective import Objective
from cipo.reliability.performance.budgets import unit
from cipo.reliability.performance.service_level_objective import ServiceLevelObjective

DAYS = 90


@unit.picture(ServiceLevelObjective, "Course")
async def course_of(slo: ServiceLevelObjective, ctx: Ctx) -> str:
    """The figure of the window that ended with each day; what was unknown is hatched."""
    found = await _days(slo, ctx)
    drawn = []
    for n, (objective, days) in enumerate(found):
        dots = [_dot(objective, day) for day in days]
        drawn.append(_titled(objective, len(found), chart.course(dots, _axis(objective), label=_label(objective), ident=f"course{n}")))
    return str(Markup("").join(drawn))


@unit.picture(ServiceLevelObjective, "Error budget")
async def budget_of(slo: ServiceLevelObjective, ctx: Ctx) -> str:
    """What was left at the end of each day."""
    found = [(objective, days) for objective, days in await _days(slo, ctx) if sum(day.remaining is not None for day in days) > 1]
    if not found:
        raise NotFound("there is no budget to draw yet: it takes two days with facts")
    drawn = [
        _titled(
            objective, len(found), chart.burn_down([_left(day) for day in days], label=f"{objective.name}: budget left", ident=f"left{n}")
        )
        for n, (objective, days) in enumerate(found)
    ]
    return str(Markup("").join(drawn))


async def _days(slo: ServiceLevelObjective, ctx: Ctx) -> list[tuple[Objective, list[Day]]]:
    """Each objective with its last days; NotFound where there are none here."""
    document, _ = longform.document(slo.name, slo.spec, labels=slo.metadata.labels)
    if document.queries is not None or document.unsupported:
        raise NotFound("its numbers are not kept here, so their course cannot be drawn")
    objectives = [goal.objective for goal in document.goals]
    series = await register.ensure(ctx.db, objectives)
    return [(one, await course.daily(ctx.db, one, series[one.name], ctx.now, DAYS)) for one in objectives]


def _titled(objective: Objective, of: int, drawing: Markup) -> Markup:
    """A drawing under its objective's name, when there are several."""
    return drawing if of == 1 else Markup("<h3>{}</h3>{}").format(objective.name, drawing)


def _axis(objective: Objective) -> chart.Axis:
    share = objective.indicator.method == "ratio"
    return chart.Axis(
        objective.limit.value,
        objective.limit.least,
        f"promised {_said(objective, objective.limit.value)}",
        lambda value: _said(objective, value),
        1.0 if share else None,
    )


def _label(objective: Objective) -> str:
    return f"{objective.name}: course over {DAYS} days against {_said(objective, objective.limit.value)}"


def _dot(objective: Objective, day: Day) -> chart.Dot:
    known = day.value if day.state != "unknown" else None
    return chart.Dot(day.at, known, f"{_date(day)}: {'unknown' if known is None else _said(objective, known)}")


def _left(day: Day) -> chart.Left:
    return chart.Left(day.at, day.remaining, f"{_date(day)}: {'unknown' if day.remaining is None else f'{day.remaining:.1%} left'}")


def _said(objective: Objective, value: float) -> str:
    if objective.indicator.method == "ratio":
        return f"{value * 100:.4f}".rstrip("0").rstrip(".") + "\u202f%"
    unit_of = "" if objective.indicator.unit == "1" else f"\u202f{objective.indicator.unit}"
    return f"{value:.4g}{unit_of}"


def _date(day: Day) -> str:
    return f"{day.at.day} {day.at:%b}"
