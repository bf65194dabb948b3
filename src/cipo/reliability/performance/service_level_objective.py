"""ServiceLevelObjective: a promise to users, measured all the time, with the budget of badness that it allows.

Who: any unit but 1D's writes one; its team reads what is left before a risky change, on-call is told when it burns. Facts are judged by the
kernel's engine, a Prometheus is asked. What fires and how the budget stood is read back from the status, so a restart forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import httpx

from cipo.kernel import Again, Blocked, Column, Ctx, Kind, Model, Status, field
from cipo.kernel.slo import longform, period
from cipo.kernel.slo import look as looking
from cipo.kernel.slo.budget import Count, composite
from cipo.kernel.slo.document import Document, Goal
from cipo.kernel.slo.longform_spec import LongForm
from cipo.kernel.slo.measure import Verdict, judge
from cipo.kernel.slo.standing import BudgetStanding, Standing, State, alike, news, standing
from cipo.kernel.store.admission import Asking
from cipo.org import chart
from cipo.reliability.performance import prometheus
from cipo.reliability.performance.budgets import PERIOD, unit

PERIODS = 12
REST_S = 60.0
WORST: tuple[State, ...] = ("missed", "unknown", "met")


class ServiceLevelObjectiveSpec(LongForm):
    """What is promised, of what, over which time."""


class Ended(Model):
    """A closed period as it was published."""

    objective: str = field(length=253, help="Of which objective.")
    start: str = field(length=40, help="Its beginning.")
    end: str = field(length=40, help="Its end.")
    revision: int = field(help="1 at the close; more when facts came late.")
    value: float | None = field(None, help="The number.")
    state: State = field(help="Whether the promise was kept.")


class Composite(Model):
    """Several objectives as one, by their weights."""

    achieved: float = field(help="The weighted share of what was good.")
    promised: float = field(help="The weighted share that is promised.")


class ServiceLevelObjectiveStatus(Status):
    """What the facts say; at the top of the objective that stands worst."""

    state: State = field("unknown", help="Whether the promise is kept.")
    value: float | None = field(None, help="The number; absent without facts.")
    reason: str = field("not measured yet", length=400, help="Why it is unknown.")
    n: int = field(0, help="How many facts it stands on.")
    coverage: float | None = field(None, help="Which share was looked at (0-1).")
    budget: BudgetStanding | None = field(None, help="The error budget, when the promise allows badness.")
    objectives: list[Standing] = field(list, key="name", each=20, help="Each objective by itself.")
    composite: Composite | None = field(None, help="Of several objectives: all of them as one.")
    periods: list[Ended] = field(list, each=400, help="The last closed periods, newest first.")
    measured_at: str | None = field(None, length=40, help="As of when (UTC).")


@unit.kind(
    short="slo",
    plural="servicelevelobjectives",
    columns=[
        Column("Service", "spec.service"),
        Column("Owner", "spec.owner"),
        Column("State", "status.state"),
        Column("Value", "status.value", "number"),
        Column("Budget", "status.budget.state"),
        Column("Left", "status.budget.remaining", "number"),
        Column("Facts", "status.n", "integer", wide=True),
        Column("Why", "status.reason", wide=True),
    ],
    select=["status.state", "status.budget.state", "spec.owner", "spec.service"],
    phase="status.state",
)
class ServiceLevelObjective(Kind[ServiceLevelObjectiveSpec, ServiceLevelObjectiveStatus]):
    """A promise to users and its error budget."""

    def validate_change(self, old: ServiceLevelObjective | None, ctx: Asking) -> Iterable[tuple[str, str]]:
        """What the engine could not measure, and what the chart forbids."""
        if old is not None and old.spec == self.spec:
            return
        facts = ctx.registry.facts
        _, wrong = longform.document(self.name, self.spec, {name: fact.unit for name, fact in facts.items()})
        yield from ((f"spec.{at}", why) for at, why in wrong)
        organisation = chart.load()
        if self.spec.owner and not organisation.has_unit(self.spec.owner):
            yield "spec.owner", f"{self.spec.owner} is no unit of the chart; write one such as 1B/U-C1"
        elif self.spec.owner:
            yield from _boundary(organisation, "spec.owner", self.spec.owner)
        for at, name in (("source.facts", self.spec.indicator.source.facts), ("end", self.spec.indicator.end)):
            if name in facts:
                yield from _boundary(organisation, f"spec.indicator.{at}", facts[name].unit_id)


def _boundary(organisation: chart.Chart, at: str, of: str) -> Iterable[tuple[str, str]]:
    """No promise reaches across a closed boundary of the chart."""
    for rule in organisation.boundaries:
        if rule.forbid and rule.forbid.total and rule.forbid.consumer == unit.id[:2] and rule.forbid.provider == of[:2]:
            yield at, f"{of} lies behind a boundary: {rule.why}{f'; {rule.instead}' if rule.instead else ''}"


@unit.reconcile(ServiceLevelObjective)
async def measure(slo: ServiceLevelObjective, ctx: Ctx) -> Again:
    """Judge every objective again, and keep what was found."""
    document, _ = longform.document(slo.name, slo.spec, labels=slo.metadata.labels)
    status, before = slo.status, slo.status.model_copy(deep=True)
    if document.unsupported:
        _unknown(status, document.unsupported)
        raise Blocked(document.unsupported, todo="change spec.indicator.source to facts or to a Prometheus, with good and total")
    if document.queries is not None and not document.queries.connection.startswith(("http://", "https://")):
        _unknown(status, "no connection to its Prometheus")
        named = document.queries.connection
        raise Blocked(
            f"{named!r} is no address of a Prometheus" if named else "it does not say which Prometheus to ask",
            todo="write its address in spec.indicator.source.prometheus, such as http://prometheus:9090",
        )
    held = {one.name: one for one in before.objectives}
    found: list[tuple[Goal, Verdict]] = []
    ended: list[Ended] = []
    for goal in document.goals:
        verdict, closed = await _look(slo, document, goal, held.get(goal.objective.name), ctx)
        found.append((goal, verdict))
        ended += closed
    _keep(status, found, ended)
    ctx.note = "; ".join(told for one in status.objectives if (told := news(held.get(one.name, Standing(name=one.name)), one)))
    ctx.reason = "SLOChanged" if ctx.note else ""
    _count_ended(slo, before.periods, ctx)
    status.measured_at = ctx.now_iso()
    fresh = before.measured_at is not None and ctx.since(before.measured_at) < REST_S
    if not ctx.note and fresh and status.periods == before.periods and _alike(before.objectives, status.objectives):
        slo.status = before  # only figures that move with every look: once a minute is enough for the record
    return Again(min(looking.again(goal.objective, verdict) for goal, verdict in found))


async def _look(slo: ServiceLevelObjective, document: Document, goal: Goal, held: Standing | None, ctx: Ctx) -> tuple[Verdict, list[Ended]]:
    """The verdict on one objective, and its closed periods. Those are published under the SLO's name, apart from the chart's KPIs."""
    own = goal.objective.name
    objective = replace(goal.objective, name=f"slo/{slo.name}/{own}")
    state, alerts = (held.budget_state, held.alerts) if held else ("Unknown", [])
    if document.queries is not None:
        try:
            inputs = await prometheus.inputs(objective, document.queries, ctx.now)
        except httpx.InvalidURL as error:
            raise Blocked(
                f"{document.queries.connection!r} is no address: {error}", todo="mend spec.indicator.source.prometheus"
            ) from error
        return judge(objective, inputs, ctx.now, state_before=state, alerts_before=alerts), []
    verdict, series = await looking.look(ctx, objective, state_before=state, alerts_before=alerts)
    published = await period.publish(ctx.db, objective, series, ctx.now)
    return verdict, [
        Ended(objective=own, start=one.start.isoformat(), end=one.end.isoformat(), revision=one.revision, value=one.value, state=one.state)
        for one in published[:PERIODS]
    ]


def _keep(status: ServiceLevelObjectiveStatus, found: list[tuple[Goal, Verdict]], ended: list[Ended]) -> None:
    status.objectives = [standing(goal.objective.name, verdict) for goal, verdict in found]
    status.periods = ended
    worst = min(status.objectives, key=lambda one: WORST.index(one.state))
    status.state, status.value, status.reason = worst.state, worst.value, worst.reason
    status.n, status.coverage, status.budget = worst.n, worst.coverage, worst.budget
    shares = (
        composite(
            (Count(verdict.budget.bad, verdict.budget.total), verdict.budget.target, goal.weight)
            for goal, verdict in found
            if verdict.budget is not None
        )
        if len(found) > 1
        else None
    )
    status.composite = Composite(achieved=shares[0], promised=shares[1]) if shares else None


def _unknown(status: ServiceLevelObjectiveStatus, reason: str) -> None:
    """Nothing is known, and no old figure stays."""
    status.state, status.reason, status.value, status.n, status.coverage = "unknown", reason[:400], None, 0, None
    status.budget = status.composite = None
    status.objectives = []


def _alike(before: list[Standing], after: list[Standing]) -> bool:
    return len(before) == len(after) and all(alike(one, other) for one, other in zip(before, after, strict=True))


def _count_ended(slo: ServiceLevelObjective, before: list[Ended], ctx: Ctx) -> None:
    """Each period that ended since the SLO was there counts once, as it was first published."""
    made = datetime.fromisoformat(slo.metadata.creation_timestamp or ctx.now_iso())
    known = {(one.objective, one.start) for one in before}
    for one in slo.status.periods:
        end = datetime.fromisoformat(one.end)
        if (one.objective, one.start) in known or one.revision > 1 or end <= made:
            continue
        ctx.fact(
            PERIOD,
            0.0 if one.state == "met" else 1.0,
            subject=slo,
            at=end - timedelta(microseconds=1),
            key=f"{slo.metadata.uid}/{one.objective}/{one.start}",
            objective=one.objective,
            state=one.state,
            start=one.start,
        )
