"""What a share of few events really proves: the exact binomial interval (Clopper and Pearson 1934).

``budget.wilson_lower`` is the quick bound of the alert tiers; this is the careful one, for a promise that is only met when it is proven:
nothing failed among 1,000 machines still allows 0.37 %.
"""

from __future__ import annotations

import math

STEPS = 60
"""Halvings of the unit interval: finer than a float of this size can tell."""


def bounds(count: int, total: int, confidence: float) -> tuple[float, float]:
    """The two-sided interval of the share of which ``count`` out of ``total`` were seen; everything from 0 to 1 of nothing."""
    if total <= 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    lower = 0.0 if count == 0 else 1 - _upper(total - count, total, tail)
    return lower, 1.0 if count == total else _upper(count, total, tail)


def _upper(count: int, total: int, tail: float) -> float:
    """The largest share under which ``count`` or fewer still have the chance ``tail``."""
    low, high = count / total, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _at_most(count, total, middle) > tail:
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, total: int, share: float) -> float:
    """The binomial distribution function, by the continued fraction of the incomplete beta (Numerical Recipes, 6.4)."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return 0.0
    return _beta(total - count, count + 1, 1 - share)


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function."""
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1) / (a + b + 2):
        return 1 - front * _fraction(b, a, 1 - x) / b
    return front * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Lentz's method; a few dozen terms for the sizes that occur, some hundreds for millions of events."""
    tiny = 1e-300
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1), tiny)
    found = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / _not_zero(1 + even * d, tiny), _not_zero(1 + even / c, tiny)
        found *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _not_zero(1 + odd * d, tiny), _not_zero(1 + odd / c, tiny)
        found *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return found


def _not_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
