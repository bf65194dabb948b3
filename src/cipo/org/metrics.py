"""``/metrics``: the promises that a caller may read, for a Prometheus that signs in with a token. Served by the API process.

Counters of good and bad events (``kernel/slo/counter``), and the last verdict of every KPI as gauges. Values come from the KPIs' status:
a scrape never evaluates anything. The rules that ``cipo slo rules`` writes read ``cipo_sli_events_total``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from cipo.kernel.principal import Caller
from cipo.kernel.slo import counter, register
from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.prometheus import COUNTER
from cipo.kernel.store.admission import typed
from cipo.kernel.store.db import Database
from cipo.kernel.store.resources import Resources
from cipo.org.kinds import Kpi, promise

STATES = ("met", "missed", "unknown")


@dataclass(frozen=True, slots=True)
class Served:
    """A promise as it stood at its last look; the objective's name is the label."""

    objective: Objective
    state: str
    value: float | None
    remaining: float | None


async def of_kpis(resources: Resources, caller: Caller) -> list[Served]:
    """The chart's promises that a caller may read."""
    kpis = [cast(Kpi, typed(Kpi.info, stored.object())) for stored in (await resources.list(caller, Kpi.info)).items]
    return [
        Served(
            promise(kpi, resources.registry),
            kpi.status.state,
            kpi.status.value,
            budget.remaining if budget is not None and budget.state != "Unknown" else None,
        )
        for kpi in kpis
        for budget in (kpi.status.budget,)
    ]


async def exposition(db: Database, promises: Sequence[Served], accept: str) -> tuple[bytes, str]:
    """The text and its media type, OpenMetrics where the scraper asks for it."""
    counted = [one.objective for one in promises if counter.counts(one.objective)]
    events = await counter.advance(db, counted, await register.ensure(db, counted))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([_counted(events), *_gauges(promises)]))
    encode, media = choose_encoder(accept)
    return encode(registry), media


class _Once(Collector):
    """Families that were made for one answer."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterable[Metric]:
        """Them."""
        return self.families


def _counted(events: dict[str, counter.Events]) -> Metric:
    text = "Events that a promise counts, since its first fact; never decreases."
    family = CounterMetricFamily(COUNTER, text, labels=["objective", "outcome"])
    for name, one in sorted(events.items()):
        family.add_metric([name, "good"], one.good)
        family.add_metric([name, "bad"], one.bad)
    return family


def _gauges(promises: Sequence[Served]) -> Iterator[Metric]:
    value = GaugeMetricFamily(
        "cipo_kpi_value", "The number of a promise as measured last; absent while unknown.", labels=["objective", "unit"]
    )
    limit = GaugeMetricFamily("cipo_kpi_limit", "What is promised of the number.", labels=["objective", "sign"])
    state = GaugeMetricFamily("cipo_kpi_state", "1 for the state that a promise is in.", labels=["objective", "state"])
    remaining = GaugeMetricFamily("cipo_kpi_budget_remaining", "The share of the error budget that is left.", labels=["objective"])
    for one in sorted(promises, key=lambda one: one.objective.name):
        objective = one.objective
        name = objective.name
        if one.value is not None:
            value.add_metric([name, objective.indicator.unit], one.value)
        limit.add_metric([name, str(objective.limit).partition(" ")[0]], objective.limit.value)
        if one.remaining is not None:
            remaining.add_metric([name], one.remaining)
        for word in STATES:
            state.add_metric([name, word], float(one.state == word))
    yield from (value, limit, state, remaining)
