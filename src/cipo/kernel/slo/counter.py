"""Good and bad events of a promise since its first fact, as counters for ``/metrics``: they only grow, over restarts and corrections too.

The figure is the sum of the series' days, which the roller keeps current; the highest one served is kept beside it. A correction that
takes events back therefore shows as a counter that stands still until the facts have caught up, never as a reset, which Prometheus would
read as a burst. A late fact counts when it arrives: Prometheus has no other place for it. When a promise is measured anew (another filter,
another test), the counter goes on from where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import LiteralString

from cipo.kernel.slo.objective import Objective
from cipo.kernel.slo.windows import DAY
from cipo.kernel.store.db import Database

COUNTED: LiteralString = """
select asked.objective, asked.series || case when asked.matched_is_good then '+' else '-' end as source,
  coalesce(sum(case when asked.matched_is_good then day.good else day.weight - day.good end), 0) as good,
  coalesce(sum(case when asked.matched_is_good then day.weight - day.good else day.good end), 0) as bad
from unnest(%(names)s::text[], %(series)s::int[], %(least)s::boolean[]) as asked(objective, series, matched_is_good)
left join cipo.slice day on day.series = asked.series and day.size = %(day)s
group by asked.objective, asked.series, asked.matched_is_good
order by asked.objective
"""
ADVANCE: LiteralString = (
    "insert into cipo.sli_counter as held (objective, source, good, bad)"
    + COUNTED
    + """
on conflict (objective) do update set
  source = excluded.source,
  good_before = case when held.source = excluded.source then held.good_before else held.good - excluded.good end,
  bad_before = case when held.source = excluded.source then held.bad_before else held.bad - excluded.bad end,
  good = case when held.source = excluded.source then greatest(held.good, excluded.good + held.good_before) else held.good end,
  bad = case when held.source = excluded.source then greatest(held.bad, excluded.bad + held.bad_before) else held.bad end
where held.source <> excluded.source or excluded.good + held.good_before > held.good or excluded.bad + held.bad_before > held.bad
"""
)


@dataclass(frozen=True, slots=True)
class Events:
    """Events so far."""

    good: int
    bad: int


def counts(objective: Objective) -> bool:
    """Whether its facts are good or bad, one by one."""
    return objective.indicator.method == "ratio"


async def advance(db: Database, objectives: Sequence[Objective], series: Mapping[str, int]) -> dict[str, Events]:
    """Bring the counters up to the slices; those of the objectives that count. ``series``: by the objective's name."""
    wanted = [one for one in objectives if counts(one) and one.name in series]
    names = [one.name for one in wanted]
    given = {"names": names, "series": [series[name] for name in names], "least": [one.matched_is_good for one in wanted], "day": DAY}
    await db.execute(ADVANCE, given)
    rows = await db.fetch("select objective, good, bad from cipo.sli_counter where objective = any(%s) order by objective", (names,))
    return {name: Events(good, bad) for name, good, bad in rows}
