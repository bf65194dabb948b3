"""``/metrics``: the promises that a caller may read, for a Prometheus that signs in with a token. Served by the API process.

Counters of good and bad events (``kernel/slo/counter``), and the last verdict of every KPI as gauges. Values come from the KPIs' status:
a scrape never evaluates anything. The rules that ``cipo slo rules`` writes read ``cipo_sli_events_total``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from cipo.kernel.principal import Caller
from cipo.kernel.slo import counter, roll
from cipo.kernel.slo.prometheus import COUNTER
from cipo.kernel.store.admission import typed
from cipo.kernel.store.resources import Resources
from cipo.org.kinds import Kpi, promise

STATES = ("met", "missed", "unknown")


async def exposition(resources: Resources, caller: Caller, accept: str) -> tuple[bytes, str]:
    """The text and its media type, OpenMetrics where the scraper asks for it."""
    kpis = [cast(Kpi, typed(Kpi.info, stored.object())) for stored in (await resources.list(caller, Kpi.info)).items]
    events = await _events(resources, kpis)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once([_counted(events), *_gauges(kpis)]))
    encode, media = choose_encoder(accept)
    return encode(registry), media


async def _events(resources: Resources, kpis: Sequence[Kpi]) -> dict[str, counter.Events]:
    objectives = [one for one in (promise(kpi, resources.registry) for kpi in kpis) if counter.counts(one)]
    return await counter.advance(resources.db, objectives, await roll.ensure(resources.db, objectives))


class _Once(Collector):
    """Families that were made for one answer."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterable[Metric]:
        """Them."""
        return self.families


def _counted(events: dict[str, counter.Events]) -> Metric:
    family = CounterMetricFamily(
        COUNTER, "Events that a promise counts, since its first fact; never decreases.", labels=["objective", "outcome"]
    )
    for name, one in sorted(events.items()):
        family.add_metric([name, "good"], one.good)
        family.add_metric([name, "bad"], one.bad)
    return family


def _gauges(kpis: Sequence[Kpi]) -> Iterator[Metric]:
    value = GaugeMetricFamily(
        "cipo_kpi_value", "The number of a promise as measured last; absent while unknown.", labels=["objective", "unit"]
    )
    limit = GaugeMetricFamily("cipo_kpi_limit", "What is promised of the number.", labels=["objective", "sign"])
    state = GaugeMetricFamily("cipo_kpi_state", "1 for the state that a promise is in.", labels=["objective", "state"])
    remaining = GaugeMetricFamily("cipo_kpi_budget_remaining", "The share of the error budget that is left.", labels=["objective"])
    for kpi in sorted(kpis, key=lambda one: one.name):
        spec, status = kpi.spec, kpi.status
        if status.value is not None:
            value.add_metric([kpi.name, spec.indicator.unit], status.value)
        promised = spec.objective.min if spec.objective.min is not None else spec.objective.max
        if promised is not None:
            limit.add_metric([kpi.name, spec.objective.text.partition(" ")[0]], promised)
        if status.budget is not None and status.budget.state != "Unknown":
            remaining.add_metric([kpi.name], status.budget.remaining)
        for one in STATES:
            state.add_metric([kpi.name, one], float(status.state == one))
    yield from (value, limit, state, remaining)
