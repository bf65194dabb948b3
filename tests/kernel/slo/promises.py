"""Promises that the tests of rules and dashboards are about, and the ones that Hypothesis makes up."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import strategies as st

from cipo.kernel.slo.document import Document, Goal, Queries
from cipo.kernel.slo.objective import Alerting, Budgeting, Data, Indicator, Limit, Objective
from cipo.kernel.slo.promql import quoted
from cipo.kernel.slo.windows import Calendar, Rolling, Window

A_MONTH = Rolling(timedelta(days=30))
MINUTE = timedelta(minutes=1)


def objective(name: str = "api-uptime", target: float = 0.999, window: Window = A_MONTH, **more: object) -> Objective:
    return Objective(name, Indicator("ratio", "k8s.api.probe"), Limit(">=", target), window, owner="1B/U-C1", **more)  # type: ignore[arg-type]


def on_facts() -> Objective:
    return objective(data=Data(every=MINUTE), labels={"department": "1B", "not a label": "x"})


def latency() -> Document:
    """Good within a second, by histogram buckets; counted in minutes."""
    requests = 'sum(rate(http_request_duration_seconds_count{job="checkout"}[$window]))'
    quick = 'sum(rate(http_request_duration_seconds_bucket{job="checkout",le="1"}[$window]))'
    goal = objective("checkout-latency", 0.99, Rolling(timedelta(days=28)), budgeting=Budgeting("Timeslices", MINUTE, 0.95))
    return Document("checkout-latency", "checkout", (Goal(goal),), Queries(total=requests, good=quick))


def errors_by_month() -> Document:
    """Bad out of all, by the calendar, with a tier that counts."""
    window = Calendar(1, "M", datetime(2026, 1, 1), "Europe/London")
    goal = objective("cart-errors", 0.9, window, alerting=Alerting(min_bad_events=5, absolute=50))
    total = 'http_requests_total{job="cart"}'
    queries = Queries(total=f"increase({total}[$window])", bad=f'increase({total[:-1]},code=~"5.."}}[$window])')
    return Document("cart-errors", "cart", (Goal(goal),), queries, labels={"team": "{{ shop }}"})


# -- made up

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
METRICS = st.sampled_from(["http_requests_total", "bad", "total", "hole", "share", "job:requests:count"])
WINDOWS = st.sampled_from(
    [
        Rolling(timedelta(hours=1)),
        Rolling(timedelta(hours=12)),
        Rolling(timedelta(days=7)),
        Rolling(timedelta(days=28)),
        Rolling(timedelta(days=90)),
        Calendar(1, "Q", datetime(2026, 1, 1)),
        Calendar(2, "w", datetime(2026, 1, 5), "America/New_York"),
    ]
)
BUDGETINGS = st.one_of(
    st.just(Budgeting()),
    st.builds(lambda m, t: Budgeting("Timeslices", timedelta(minutes=m), t), st.integers(1, 120), st.sampled_from([0.5, 0.99, 1.0])),
    st.builds(lambda m: Budgeting("RatioTimeslices", timedelta(minutes=m)), st.sampled_from([1, 5, 15, 60])),
)


@st.composite
def queries(draw: st.DrawFn) -> Queries:
    """A ratio over one counter, in the ways that people write it."""

    def counter(more: str = "") -> str:
        matchers = draw(st.dictionaries(st.sampled_from(["job", "le", "code", "quantile"]), st.one_of(TEXTS, st.just("1"), st.just("1.0"))))
        inside = ",".join(
            [*(f"{name}{draw(st.sampled_from(['=', '!=']))}{quoted(value)}" for name, value in matchers.items()), *more.split()]
        )
        call = draw(st.sampled_from(["increase", "rate"]))
        offset = draw(st.sampled_from(["", " offset 1h", " offset -5m", " @ end()", " @ 1700000000"]))
        plain = f"{call}({draw(METRICS)}{{{inside}}}[$window]{offset})"
        around = draw(st.sampled_from(["{}", "sum({})", "sum by (job) ({})", "({} + {})", "-{}", "sum({}) or vector(0)"]))
        return around.replace("{}", plain)

    total, part = counter(), counter('part="some"')
    return Queries(total=total, good=part) if draw(st.booleans()) else Queries(total=total, bad=part)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    goal = objective(
        draw(st.one_of(NAMES, TEXTS)),
        draw(st.floats(0.001, 0.99999)),
        draw(WINDOWS),
        budgeting=draw(BUDGETINGS),
        alerting=Alerting(min_bad_events=draw(st.integers(1, 1000)), absolute=draw(st.none() | st.integers(1, 10**6))),
        data=Data(every=draw(st.sampled_from([None, MINUTE, timedelta(hours=1)]))),
    )
    labels = draw(st.dictionaries(st.one_of(st.sampled_from(["team", "slo", "__name__", "1x"]), TEXTS), TEXTS, max_size=3))
    return Document(goal.name, draw(TEXTS), (Goal(goal),), draw(queries()), labels=labels)
