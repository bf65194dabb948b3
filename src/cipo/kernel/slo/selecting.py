"""Which facts a series reads, as PostgreSQL's SQL: by name, time and attributes, every value a parameter.

What the selected facts come to is the compiled expression; selecting is where indexes and JSON differ from engine to engine (``lake`` does it
for DuckDB).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString

from cipo.kernel.slo.objective import Term
from cipo.kernel.slo.register import Series
from cipo.kernel.slo.slices import expression
from cipo.kernel.slo.windows import MINUTE

UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
# ``offset 0`` keeps the look-up by index: a table filled a moment ago has no statistics, and a join would be guessed over all of it.
RUNS: LiteralString = """
from unnest(%(lows)s::timestamptz[], %(highs)s::timestamptz[]) as run(low, high)
cross join lateral (select * from cipo.fact where name = %({name})s and ts >= run.low and ts < run.high offset 0) as f
"""
FACTS: LiteralString = (
    """
select date_bin(%(bin)s, f.ts, 'epoch') at time zone 'UTC' as slice, f.ts at time zone 'UTC' as at, f.value, f.weight,
  case when f.value {op} {limit} then 1 else 0 end as hit
"""
    + RUNS.replace("{name}", "fact")
    + "where not exists (select 1 from cipo.fact_superseded s where s.id = f.id){where}"
)
# A duration ends with the end's fact and belongs to its minute; it began with the subject's last start before that.
DURATIONS: LiteralString = (
    """
select date_bin(%(bin)s, f.ts, 'epoch') at time zone 'UTC' as slice, f.ts at time zone 'UTC' as at,
  cipo.business_seconds(%(calendar)s, began.ts, f.ts) / %(unit_s)s as value, f.weight, 1 as hit
"""
    + RUNS.replace("{name}", "end")
    + """
cross join lateral (
  select b.ts from cipo.fact b where b.name = %(fact)s and b.subject = f.subject and b.ts <= f.ts
    and not exists (select 1 from cipo.fact_superseded s where s.id = b.id) order by b.ts desc limit 1) as began
where not exists (select 1 from cipo.fact_superseded s where s.id = f.id){where}
"""
)
SQL_TESTS: dict[str, LiteralString] = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
TERM_NAMES: tuple[LiteralString, ...] = ("t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7")


def facts_of(series: Series) -> tuple[LiteralString, dict[str, Any]]:
    """The series' facts of the runs ``%(lows)s`` to ``%(highs)s`` as SQL with parameters: slice, at, value, weight, hit."""
    terms, params = condition(series.where)
    if series.end is not None:
        params |= {"fact": series.fact, "end": series.end, "calendar": series.calendar, "unit_s": UNIT_SECONDS.get(series.unit, 1.0)}
        return DURATIONS.replace("{where}", terms), params
    op: LiteralString = SQL_TESTS[series.good.op]
    params |= {"fact": series.fact, "limit": series.good.value}
    return FACTS.replace("{op}", op).replace("{limit}", "%(limit)s").replace("{where}", terms), params


def condition(terms: Sequence[Term]) -> tuple[LiteralString, dict[str, Any]]:
    """Terms as SQL over ``f.attrs``, every value a parameter."""
    text: LiteralString = ""
    params: dict[str, Any] = {}
    for number, term in enumerate(terms):
        key: LiteralString = TERM_NAMES[number]
        params[f"{key}_attr"] = term.attr
        if term.op == "in":
            text += (" and f.attrs->%({k}_attr)s = any(%({k})s::jsonb[])").replace("{k}", key)
            params[key] = [json.dumps(value) for value in term.values]
        elif term.op == "glob":
            text += (" and f.attrs->>%({k}_attr)s like %({k})s").replace("{k}", key)
            params[key] = _like(str(term.values[0]))
        else:
            op: LiteralString = SQL_TESTS[term.op]
            text += (
                (
                    " and case when jsonb_typeof(f.attrs->%({k}_attr)s) = 'number' then (f.attrs->>%({k}_attr)s)::float8 {op} %({k})s else false end"
                )
                .replace("{k}", key)
                .replace("{op}", op)
            )
            params[key] = term.values[0]
    return text, params


def _like(glob: str) -> str:
    """A glob as a pattern of LIKE."""
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def runs(edges: list[datetime], size: int = MINUTE) -> dict[str, list[datetime]]:
    """Sorted edges of slices as runs of neighbours: one look at the index for each run."""
    lows: list[datetime] = []
    highs: list[datetime] = []
    for edge in edges:
        after = edge + timedelta(minutes=size)
        if highs and highs[-1] == edge:
            highs[-1] = after
        else:
            lows.append(edge)
            highs.append(after)
    return {"lows": lows, "highs": highs}


def statement(series: Series) -> tuple[LiteralString, dict[str, Any]]:
    """The statement by which facts become slices, for whoever wants to see it, with its parameters but for the runs of minutes."""
    facts, params = facts_of(series)
    return "with facts as (" + facts.strip() + ") " + expression("buckets" if series.buckets else "slices"), params
