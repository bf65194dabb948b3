"""Durability in nines, from what was counted: objects at risk, and objects lost.

With ``lost`` of ``exposure`` object-years the annual loss rate is at most the upper 95 % Poisson bound ÷ exposure (Garwood 1936), so the
answer is what the evidence supports and no more: nothing lost in a thousand object-years shows 2.5 nines, not eleven. A modelled
durability is another fact with its own indicator (``min``), shown as modelled.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def poisson_upper(count: int, confidence: float = CONFIDENCE) -> float:
    """The largest mean under which ``count`` or fewer events still have a chance of 1 − ``confidence``."""
    low, high = float(count), count + 10 * math.sqrt(count + 1) + 10
    for _ in range(100):
        middle = (low + high) / 2
        if _at_most(count, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(count: int, mean: float) -> float:
    """The Poisson distribution function, summed in logarithms."""
    if mean <= 0:
        return 1.0
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


def nines(lost: int, exposure: float) -> float | None:
    """−log10 of the annual probability of losing an object, at most; None without exposure. ``exposure`` in object-years."""
    if exposure <= 0:
        return None
    rate = poisson_upper(lost) / exposure
    return max(0.0, -math.log10(-math.expm1(-rate)))
