"""SLOs for ``/metrics``: what they count and how they stood at their last look. Called by the API for each scrape; evaluates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from cipo.kernel.principal import Caller
from cipo.kernel.slo import longform
from cipo.kernel.slo.prometheus import counted_as
from cipo.kernel.store.admission import typed
from cipo.kernel.store.resources import Resources
from cipo.org.metrics import Served
from cipo.reliability.performance.service_level_objective import ServiceLevelObjective


async def of_slos(resources: Resources, caller: Caller) -> list[Served]:
    """The goals on facts of all SLOs that a caller may read; those of a Prometheus are known there."""
    kind = ServiceLevelObjective.info
    if kind.gk not in resources.readable(caller):
        return []
    found = (await resources.list(caller, kind)).items
    return [served for stored in found for served in _served(cast(ServiceLevelObjective, typed(kind, stored.object())))]


def _served(slo: ServiceLevelObjective) -> Iterator[Served]:
    document, _ = longform.document(slo.name, slo.spec, labels=slo.metadata.labels)
    if document.queries is not None or document.unsupported:
        return
    standing = {one.name: one for one in slo.status.objectives}
    for goal in document.goals:
        now = standing.get(goal.objective.name)
        budget = now.budget if now is not None else None
        yield Served(
            replace(goal.objective, name=counted_as(slo.name, goal.objective.name)),
            now.state if now is not None else "unknown",
            now.value if now is not None else None,
            budget.remaining if budget is not None and budget.state != "Unknown" else None,
        )
