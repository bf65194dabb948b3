"""Logarithmic buckets: how a percentile survives being added up.

A value v falls into bucket ``ceil(ln|v| / ln γ)`` of its sign, γ = (1+α)/(1−α) with α = 1 %, and is answered as ``2γ^b/(γ+1)``, which is
within α of every value of that bucket. Two histograms merge by adding counts, in SQL or here, in any order, on any engine. The scheme is
that of DDSketch (Masson, Rim, Lee, VLDB 2019) without its collapsing, and of OpenTelemetry's exponential histograms.

SQL makes the buckets (``expression``); this page reads them. ``bucket_of`` is the same rule in Python, for tests and for small work.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction

ALPHA = 0.01
GAMMA = (1 + ALPHA) / (1 - ALPHA)
LN_GAMMA = math.log(GAMMA)

Bucket = tuple[int, int]
"""(sign, index): (0, 0) holds the zeros."""
Histogram = Mapping[Bucket, int]


def bucket_of(value: float) -> Bucket:
    """The bucket of a finite value."""
    if value == 0:
        return 0, 0
    return (1 if value > 0 else -1), math.ceil(math.log(abs(value)) / LN_GAMMA)


def value_of(bucket: Bucket) -> float:
    """What a bucket answers: within 1 % of every value in it."""
    sign, index = bucket
    return sign * 2 * GAMMA**index / (GAMMA + 1) if sign else 0.0


def merged(histograms: Iterable[Histogram]) -> Counter[Bucket]:
    """All of them added up."""
    total: Counter[Bucket] = Counter()
    for one in histograms:
        total.update(one)
    return total


def rank(p: float, n: int) -> int:
    """The nearest rank of the ``p``-th percentile (0-100) among ``n``: ``ceil(p/100 · n)``, at least 1, without float's rounding."""
    return max(1, math.ceil(Fraction(str(p)) / 100 * n))


def percentile(histogram: Histogram, p: float, low: float, high: float) -> float | None:
    """The ``p``-th percentile (0-100) within 1 %, never outside of the ``low`` and ``high`` that were really seen; None of nothing."""
    n = sum(histogram.values())
    if not n:
        return None
    wanted, seen = rank(p, n), 0
    if wanted == n:
        return high  # the largest is known exactly
    for bucket in sorted(histogram, key=_order):
        seen += histogram[bucket]
        if seen >= wanted:
            return min(max(value_of(bucket), low), high)
    return high


def _order(bucket: Bucket) -> tuple[int, int]:
    """From the lowest value to the highest: a larger index of a negative value is lower."""
    sign, index = bucket
    return sign, sign * index
