"""The cases computed by hand (``vectors``), rolled and judged on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cipo.kernel.slo import budget, register
from tests.kernel.slo.vectors import VECTORS, Vector

pytestmark = pytest.mark.anyio


def found(verdict, key):
    """A field of the verdict, or of its budget."""
    if key == "alerts":
        return {alert.tier for alert in verdict.budget.alerts}
    return getattr(verdict.budget, key.removeprefix("budget_")) if key.startswith("budget_") else getattr(verdict, key)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
async def test_the_engine_answers_as_the_pencil_does(ground, vector: Vector):
    name = ground.name()
    asked = replace(vector.objective, name=name, indicator=replace(vector.objective.indicator, fact=name))
    await register.ensure(ground.db, [asked])  # facts come while it is measured, not before
    await ground.db.execute("update cipo.series set keep = interval '100 years'")  # its minutes, though the case lies in the past
    for step in vector.steps:
        await ground.tell(name, list(step.facts))
        verdict = await ground.verdict(asked, step.now)
        for key, expected in step.answer.items():
            if isinstance(expected, float):
                assert found(verdict, key) == pytest.approx(expected, rel=vector.within or 1e-12), key
            else:
                assert found(verdict, key) == expected, key


def test_why_a_tier_cannot_fire_is_said_with_what_could():
    fast = budget.policy("google-30d")[0]
    why = budget.unreachable(fast, 0.90)
    assert why == (
        "tier page-quick can never fire at target 0.9 (needs error ratio 1.44); the largest usable factor is below 10, it has 14.4"
    )
