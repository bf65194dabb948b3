"""Any SLO that can be written, for property tests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from cipo.kernel.slo.budget import POLICIES
from cipo.kernel.slo.document import Document, Goal, Queries
from cipo.kernel.slo.objective import (
    ALWAYS,
    Alerting,
    Budgeting,
    Coverage,
    Data,
    Indicator,
    Limit,
    Missing,
    Objective,
    Term,
    Test,
)
from cipo.kernel.slo.windows import Calendar, Rolling

NAMES = st.from_regex(r"\A[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,6})?\Z")
FACTS = st.from_regex(r"\A[a-z]{1,6}\.[a-z]{1,8}\Z")
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=30).map(str.strip) | st.sampled_from(
    ["", "1e5", "null", "yes", "007", "- a", "#x", "a: b", "'", '"', "<<", "~", "0x1F", "2022-01-01 12:00:00", "&a", "*a", "%", "true"]
)
LABELS = st.dictionaries(NAMES, TEXTS, max_size=3)
SHARES = st.floats(0.0001, 0.9999)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SECONDS = st.integers(1, 10**6).map(lambda n: timedelta(seconds=n))
MINUTES = st.integers(1, 5000).map(lambda n: timedelta(minutes=n))
GIVEN = st.one_of(
    TEXTS,
    st.booleans(),
    st.floats(-1e6, 1e6),
    st.lists(TEXTS, min_size=1, max_size=3),
    st.builds(lambda op, n: f"{op} {n}", st.sampled_from(["<", "<=", ">", ">="]), st.integers(-9, 999)),
    st.just("prod-*"),
)
WHERE = st.dictionaries(NAMES, GIVEN, max_size=3).map(lambda given: tuple(Term.parse(attr, value) for attr, value in sorted(given.items())))
TESTS = st.builds(Test, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMBERS)
WINDOWS = st.one_of(
    st.integers(1, 90).map(lambda n: Rolling(timedelta(days=n))),
    st.builds(
        Calendar,
        st.integers(1, 4),
        st.sampled_from(["d", "w", "M", "Q", "Y"]),
        st.builds(
            datetime, st.integers(2000, 2030), st.integers(1, 12), st.integers(1, 28), st.integers(0, 23), st.sampled_from([0, 15, 30])
        ),
        st.sampled_from(["UTC", "Europe/London", "Asia/Kathmandu", "America/New_York"]),
    ),
)
DATA = st.builds(
    Data,
    allowed_lateness=SECONDS,
    every=SECONDS | st.floats(0.5, 59.5).map(lambda s: timedelta(seconds=round(s, 1))),
    missing=st.sampled_from([Missing(), Missing("bad"), Missing("good")]),
    min_coverage=st.floats(0, 1),
    min_events=st.integers(1, 10**6),
    absent_after=st.none() | SECONDS,
    coverage=st.none() | st.builds(Coverage, st.just("Asset.facilities.cipo"), st.floats(0, 1)),
)
CONFIDENCE = st.none() | st.sampled_from([0.9, 0.95, 0.99])
ALERTING = st.builds(Alerting, st.none() | st.sampled_from(POLICIES), st.integers(0, 100), st.none() | st.integers(1, 1000))
LIMITS = st.builds(Limit, st.sampled_from([">=", ">", "<=", "<"]), SHARES)


@st.composite
def budgetings(draw: Any) -> list[Budgeting]:
    """Of up to three goals, of one method."""
    method = draw(st.sampled_from(["Occurrences", "Timeslices", "RatioTimeslices"]))
    return [
        Budgeting(method)
        if method == "Occurrences"
        else Budgeting(
            method,
            timedelta(minutes=draw(st.integers(1, 60).filter(lambda n: n <= 15 or n % 15 == 0))),
            draw(SHARES) if method == "Timeslices" else None,
        )
        for _ in range(3)
    ]


@st.composite
def indicators(draw: Any) -> Indicator:
    """Over cipo's facts."""
    method = draw(st.sampled_from(["ratio", "ratio", "ratio", "percentile", "mean", "max", "rate", "duration", "last", "durability"]))
    average = method == "duration" and draw(st.booleans())
    return Indicator(
        method,
        draw(FACTS),
        draw(WHERE),
        draw(TESTS) if method == "ratio" else Test(),
        p=draw(st.floats(1, 100)) if method in ("percentile", "duration") and not average else None,
        per=draw(MINUTES) if method == "rate" else None,
        end="end.of" if method == "duration" else None,
        calendar=draw(st.sampled_from([ALWAYS, "office-hours"])),
        unit="1" if method == "ratio" else draw(st.sampled_from(["1", "ms", "d"])),
        average=average,
    )


@st.composite
def documents(draw: Any) -> Document:
    """Of facts, of queries, or of something that cannot be read here."""
    sort = draw(st.sampled_from(["facts", "facts", "queries", "other"]))
    name, window, labels, slices = draw(NAMES), draw(WINDOWS), draw(LABELS), draw(budgetings())
    nothing = Indicator("ratio", "")
    goals = []
    for index in range(draw(st.integers(1, 3))):
        indicator = draw(indicators()) if sort == "facts" else nothing
        objective = Objective(
            draw(st.sampled_from([name, f"{name}-{index + 1}", "other"])),
            indicator,
            draw(LIMITS),
            window,
            draw(st.none() | SHARES),
            slices[index],
            replace(draw(DATA), confidence=draw(CONFIDENCE) if indicator.method == "ratio" else None),
            draw(ALERTING),
            draw(st.sampled_from(["", "1F/U-PC2"])),
            draw(TEXTS),
            draw(st.booleans()),
            draw(st.sampled_from([labels, {"a": "b"}])),
        )
        goals.append(Goal(objective, draw(TEXTS), draw(st.sampled_from([1.0, 0.5, 3.0]))))
    queries = None
    unsupported = source = ""
    if sort == "queries":
        sides = {draw(st.sampled_from(["good", "bad"])): 'sum(rate(a{code="200"}[$window]))'}
        queries = Queries("sum(rate(a[$window]))", **sides, connection=draw(st.sampled_from(["", "prom", "http://prom:9090"])))
    if sort == "other":
        metric = {"metricSource": {"type": "Datadog", "spec": {"query": draw(TEXTS) or "q"}}}
        source = json.dumps({"ratioMetric": {"good": metric, "total": metric}}, sort_keys=True)
        unsupported = "SourceUnsupported: a source of type Datadog cannot be read here; those are cipo-facts, Prometheus, Thanos, Cortex"
    policies = draw(st.lists(NAMES, max_size=2, unique=True))
    return Document(
        name, draw(NAMES), tuple(goals), queries, draw(TEXTS), draw(TEXTS), draw(NAMES | st.just("")), draw(TEXTS),
        tuple(policies), unsupported, source, labels, draw(LABELS),
    )  # fmt: skip
