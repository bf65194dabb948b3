"""The fields of an SLO's long form, as people write them. ``longform`` says what they mean."""

from __future__ import annotations

from typing import Any, Literal

from cipo.kernel.models import Model, field
from cipo.kernel.slo.budget import POLICIES
from cipo.kernel.slo.objective import ALWAYS, Method

SPAN = r"^[0-9]+(\.[0-9]+)?(s|m|h|d|w)$"
PERIOD = r"^[1-9][0-9]{0,4}[mhdwMQY]$"
WALL_CLOCK = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$"


class SourceSpec(Model):
    """Where the numbers come from: cipo's own facts, or a Prometheus."""

    facts: str = field("", length=80, help="The fact that is read; for a duration the one that begins it.")
    prometheus: str = field("", length=500, help="Address of a Prometheus, Thanos or Cortex, such as http://prometheus:9090; or its name.")
    good: str = field("", length=8000, help="PromQL of the good events, with $window inside its brackets.")
    bad: str = field("", length=8000, help="PromQL of the bad events, in place of good.")
    total: str = field("", length=8000, help="PromQL of all events.")
    unsupported: str = field("", length=500, help="Why the source of an imported SLO cannot be read here.")
    written: str = field("", length=16000, help="The indicator of an imported SLO as it was written, as JSON.")


class IndicatorSpec(Model):
    """How the numbers become one."""

    source: SourceSpec = field(help="Where the numbers come from.")
    where: dict[str, Any] = field(
        dict, help="Attributes that facts must have: a value, a list of values, a glob, or a comparison such as >= 3."
    )
    type: Method = field("ratio", help="How the facts are put together.")
    good: str = field("value == 1", length=80, help="Which facts of a ratio are good.")
    p: float | None = field(None, min=0, max=100, help="Which percentile (0-100).")
    per: str | None = field(None, pattern=SPAN, help="The unit of time of a rate, such as 1d.")
    end: str | None = field(None, length=80, help="The fact that ends a duration.")
    average: bool = field(False, help="Whether a duration is the mean instead of a percentile.")
    calendar: str = field(ALWAYS, length=80, help="The business calendar in which durations are measured.")
    unit: str = field("1", length=16, help="Unit of measure of the number.")
    name: str = field("", length=253, help="Its name in OpenSLO.")
    title: str = field("", length=500, help="Its title in OpenSLO.")


class BudgetingSpec(Model):
    """How badness is counted."""

    method: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = field(
        "Occurrences", help="By events, by bad slices of time, or by the mean of slices."
    )
    slice: str | None = field(None, pattern=SPAN, help="Length of a slice of time, such as 1m.")
    target: float | None = field(None, min=0, max=1, help="The share that makes a slice good.")


class ObjectiveSpec(Model):
    """What is promised."""

    op: Literal["gte", "gt", "lte", "lt"] = field("gte", help="How the number compares with what is promised.")
    value: float | None = field(None, help="The promised number, of anything but a ratio.")
    unit: str | None = field(None, length=16, help="Unit of measure of the promised number; the indicator's own if absent.")
    target: float = field(help="The share of good events or slices that is promised, such as 0.999; 1 of a number that has no budget.")
    good: str | None = field(None, length=80, help="Which facts are good for this objective, where the indicator's own test is not meant.")
    name: str = field("", length=253, help="Its name; the SLO's own if absent.")
    title: str = field("", length=500, help="A title for people.")
    text: str = field("", length=400, help="The promise in words.")
    weight: float = field(1.0, help="Its weight among several.")
    slice: str | None = field(None, pattern=SPAN, help="Length of its slices, where they differ from budgeting.slice.")
    slice_target: float | None = field(
        None, min=0, max=1, help="The share that makes its slices good, where it differs from budgeting.target."
    )


class WindowSpec(Model):
    """Over which time: rolling, or a calendar period."""

    rolling: str | None = field(None, pattern=PERIOD, help="The last so much, such as 30d.")
    calendar: str | None = field(None, pattern=PERIOD, help="A calendar period such as 1M or 1Q.")
    start: str | None = field(None, pattern=WALL_CLOCK, help="When a calendar period began, as a wall-clock time.")
    time_zone: str = field("UTC", length=64, help="The zone whose wall clock it is.")


class CoverageSpec(Model):
    """Which share of a kind's resources must have been looked at."""

    kind: str = field(length=120, help="The kind, such as Asset.facilities.cipo.")
    share: float = field(min=0, max=1, help="Which share.")


class DataSpec(Model):
    """How complete the facts must be."""

    allowed_lateness: str = field("1h", pattern=SPAN, help="How late a fact may come before it makes a revision.")
    every: str | None = field(None, pattern=SPAN, help="The cadence at which facts are due; absent where work is done whenever it comes.")
    missing: Literal["ignore", "bad", "good", "hold"] = field("ignore", help="What a minute without a due fact counts as.")
    hold: str | None = field(None, pattern=SPAN, help="With missing hold: for how long the last ratio counts on.")
    min_coverage: float = field(0.95, min=0, max=1, help="Which share of the due facts is needed to say anything.")
    min_events: int = field(1, min=0, max=10**9, help="How many facts are needed to say anything.")
    absent_after: str | None = field(None, pattern=SPAN, help="After how long without facts the state is unknown.")
    coverage: CoverageSpec | None = field(None, help="Which share of a kind's resources must have been looked at.")
    confidence: float | None = field(None, min=0.5, max=1, help="How sure a share must be before it is met, such as 0.95.")


class AlertingSpec(Model):
    """When a burning budget is told."""

    policy: str | None = field(None, length=40, help=f"The tiers: {', '.join(POLICIES)}; by the window if absent.")
    min_bad_events: int = field(3, min=0, max=10**9, help="How many bad events it takes.")
    absolute: int | None = field(None, min=1, max=10**9, help="So many bad events in six hours are always a ticket.")


class LongForm(Model):
    """An SLO in cipo's own words."""

    service: str = field(length=253, help="The service that is promised.")
    owner: str = field("", length=40, help="The unit that promises, such as 1B/U-C1; any but 1D's.")
    description: str = field("", length=4000, help="What is promised, for people.")
    title: str = field("", length=500, help="A title for people.")
    indicator: IndicatorSpec = field(help="What is measured.")
    budgeting: BudgetingSpec = field(BudgetingSpec, help="How badness is counted.")
    objective: ObjectiveSpec | None = field(None, help="What is promised.")
    objectives: list[ObjectiveSpec] = field(list, each=20, help="Or several promises over the same indicator.")
    window: WindowSpec = field(help="Over which time.")
    data: DataSpec = field(DataSpec, help="How complete the facts must be.")
    alerting: AlertingSpec = field(AlertingSpec, help="When a burning budget is told.")
    alert_policies: list[str] = field(list, each=20, help="Names of OpenSLO alert policies that came with it; cipo warns by its own tiers.")
