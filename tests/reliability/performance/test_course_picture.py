"""An SLO's page draws how it went, from its facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cipo.kernel.errors import NotFound
from cipo.kernel.principal import SYSTEM
from cipo.kernel.store.admission import typed
from cipo.testing import Person
from tests.reliability.performance.test_service_level_objective import SLO, SPEC, cipo, merged

__all__ = ["cipo"]  # the fixture
pytestmark = pytest.mark.anyio
DAY = "insert into cipo.fact (ts, name, unit, value, attrs, seq) select %s - n * interval '1 minute', 'cmdb.count', '1A/U-W2', %s, '{}', 1 from generate_series(1, %s) as n"


async def drawn(cipo: Person, title: str, patch: dict[str, Any] | None = None) -> str:
    """The picture of an SLO, as its page asks for it."""
    assert (await cipo.create(SLO, "s", merged(SPEC, patch or {}))).status_code == 201
    await cipo.reconcile()
    slo = typed(SLO, await cipo.get(SLO, "s"))
    (picture,) = (one for one in SLO.pictures if one.title == title)
    return await picture.fn(slo, cipo.plane.resources.context(SYSTEM))


def noon(back: int) -> datetime:
    return (datetime.now(UTC) - timedelta(days=back)).replace(hour=12, minute=0)


async def told(cipo: Person) -> None:
    """The ten days before today, of which the fifth last was bad."""
    for back in range(1, 11):
        at = noon(back)
        await cipo.plane.db.execute(DAY, (at, 1.0, 50))
        if back == 5:
            await cipo.plane.db.execute(DAY, (at, 0.0, 50))


async def test_the_course_shows_each_day_and_hatches_what_was_unknown(cipo: Person) -> None:
    await told(cipo)
    svg = await drawn(cipo, "Course")
    assert "promised 99\u202f%" in svg and "hatch" in svg
    bad = noon(5)
    assert f"{bad.day} {bad:%b}: 85.7143\u202f%" in svg  # six days of 50 good, 50 bad: 300 of 350


async def test_the_budget_burns_down_and_is_cut_where_it_is_overspent(cipo: Person) -> None:
    await told(cipo)
    svg = await drawn(cipo, "Error budget", {"objective": {"target": 0.8}})
    bad = noon(5)
    assert f"{bad.day} {bad:%b}: 28.6% left" in svg  # 50 bad of the 70 that 350 allow
    assert "unknown" in svg


async def test_without_facts_nothing_is_drawn_and_it_says_why(cipo: Person) -> None:
    with pytest.raises(NotFound, match="two days with facts"):
        await drawn(cipo, "Error budget")


async def test_what_a_prometheus_keeps_is_not_drawn_here(cipo: Person) -> None:
    total, bad = "sum(increase(a[$window]))", "sum(increase(b[$window]))"
    with pytest.raises(NotFound, match="not kept here"):
        await drawn(
            cipo, "Course", {"indicator": {"source": {"facts": "", "prometheus": "http://127.0.0.1:9", "total": total, "bad": bad}}}
        )
