"""What slices mean, said once in Ibis and compiled for PostgreSQL, DuckDB, Trino and Spark (``sql/``, committed and tested to be current).

Four questions, each over a table that the engine's own dialect selects and cuts into slices:

==============  ====================================================  =======================================
name            reads                                                 gives, per ``slice``
==============  ====================================================  =======================================
slices          facts(slice, at, value, weight, hit)                  what adds up of the facts
buckets         facts(slice, at, value, weight, hit)                  their histogram (sign, bucket, n)
merged_slices   slices(slice, n, weight, …)                           the same of slices
merged_buckets  buckets(slice, sign, bucket, n)                       the same of histograms
==============  ====================================================  =======================================

Sums are decimals of scale 12, so they are exact: the same facts in any order, split over any slices or regions, give the same sum. Facts
at the same instant are ordered by value, so ``last`` does not depend on who wrote first.

Only this module imports Ibis, which is a tool of development here: the plane runs the committed text and needs neither its 150 MB nor its
two seconds. ``python -m cipo.kernel.slo.expression`` writes the files anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
from ibis import _

from cipo.kernel.slo.buckets import LN_GAMMA

HERE = Path(__file__).parent / "sql"
ENGINES = {
    "postgres": "postgres",
    "duckdb": "duckdb",
    "trino": "trino",
    "spark": "databricks",
}  # Ibis compiles for Spark itself in a session only
EXACT = "decimal(38, 12)"

facts = ibis.table({"slice": "timestamp", "at": "timestamp", "value": "float64", "weight": "int64", "hit": "int64"}, name="facts")
PARTS = {
    "slice": "timestamp", "n": "int64", "weight": "int64", "good": "int64", "total": EXACT, "low": "float64", "high": "float64",
    "last": "float64", "last_at": "timestamp", "filled": "int64",
}  # fmt: skip
slices = ibis.table(PARTS, name="slices")
buckets = ibis.table({"slice": "timestamp", "sign": "int16", "bucket": "int32", "n": "int64"}, name="buckets")


def of_facts() -> Any:
    """Facts to slices. ``good``: weight of the facts that pass the indicator's test."""
    newest = facts.mutate(newest=_.at.max().over(ibis.window(group_by="slice")))
    return newest.group_by("slice").aggregate(
        n=_.count(),
        weight=_.weight.sum(),
        good=(_.weight * _.hit).sum(),
        total=(_.value * _.weight).cast(EXACT).sum(),
        low=_.value.min(),
        high=_.value.max(),
        last=_.value.max(where=_.at == _.newest),
        last_at=_.at.max(),
    )


def of_slices() -> Any:
    """Slices to larger slices. ``filled``: minutes with facts in them."""
    newest = slices.mutate(newest=_.last_at.max().over(ibis.window(group_by="slice")))
    return newest.group_by("slice").aggregate(
        n=_.n.sum(),
        weight=_.weight.sum(),
        good=_.good.sum(),
        total=_.total.sum(),
        low=_.low.min(),
        high=_.high.max(),
        last=_.last.max(where=_.last_at == _.newest),
        last_at=_.last_at.max(),
        filled=_.filled.sum(),
    )


def histogram() -> Any:
    """Facts to the counts of logarithmic buckets (``buckets``: what they are)."""
    sign = ibis.cases((_.value > 0, 1), (_.value < 0, -1), else_=0).cast("int16")
    index = ibis.cases((_.value == 0, 0), else_=(_.value.abs().nullif(0).ln() / LN_GAMMA).ceil().cast("int32"))
    return facts.mutate(sign=sign, bucket=index).group_by(["slice", "sign", "bucket"]).aggregate(n=_.weight.sum())


def of_histograms() -> Any:
    """Histograms to histograms of larger slices."""
    return buckets.group_by(["slice", "sign", "bucket"]).aggregate(n=_.n.sum())


QUESTIONS = {"slices": of_facts, "buckets": histogram, "merged_slices": of_slices, "merged_buckets": of_histograms}


def compiled(engine: str, name: str) -> str:
    """The text for an engine of ``ENGINES``."""
    return str(ibis.to_sql(QUESTIONS[name](), dialect=ENGINES[engine])).strip() + "\n"


def write() -> None:
    """All files anew."""
    for engine in ENGINES:
        (HERE / engine).mkdir(parents=True, exist_ok=True)
        for name in QUESTIONS:
            (HERE / engine / f"{name}.sql").write_text(compiled(engine, name), encoding="utf-8")


if __name__ == "__main__":
    write()
