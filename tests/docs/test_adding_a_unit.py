"""The unit of docs/adding-a-unit.md does what the page says."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from cipo.facilities.department import DEPARTMENT
from cipo.kernel.engine.worker import Worker
from cipo.kernel.errors import Conflict, Invalid, InvalidTransition
from cipo.kernel.principal import Caller, Principal
from cipo.kernel.store.db import Database
from cipo.kernel.store.resources import Resources
from cipo.kernel.unit import Department, Registry
from cipo.org import chart
from cipo.org.authz import ChartAuthorizer

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-unit.md"


@pytest.fixture(scope="module")
def snag() -> types.ModuleType:
    """The page's code as a module."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert code
    module = types.ModuleType("snag")
    sys.modules["snag"] = module
    exec(compile(code.group(1), str(PAGE), "exec"), module.__dict__)
    return module


async def test_the_unit_on_the_page_works(snag, pg_dsn):
    registry = Registry([Department("1A", "facilities", (*DEPARTMENT.units, snag.unit))])
    async with Database(pg_dsn) as db:
        store = Resources(db, registry, ChartAuthorizer(chart.load()), key=b"k")
        system = Caller(Principal("system:test", "system"))
        lead = Caller(Principal("lead", "user", frozenset({"1A/U-D3"})), unit="1A/U-D3")
        await store.create(system, registry.by_plural["facilities.cipo", "sites"], {"metadata": {"name": "ams1"}, "spec": {"code": "AMS1"}})
        racks, snags = registry.by_plural["facilities.cipo", "racks"], snag.Snag.info
        await store.create(system, racks, {"metadata": {"name": "r1"}, "spec": {"site": "ams1"}})
        await store.create(lead, snags, {"metadata": {"name": "s1"}, "spec": {"rack": "r1", "severity": "A", "text": "cable loose"}})
        with pytest.raises(Conflict):
            await store.delete(system, racks, "r1")
        worker = Worker(store)
        while await worker.once():
            pass
        assert "put it right" in (await store.get(lead, snags, "s1")).object()["status"]["conditions"][0]["message"]
        with pytest.raises(Invalid):
            await store.patch(lead, snags, "s1", {"spec": {"severity": "C"}}, "merge")
        with pytest.raises(Invalid):
            await store.act(lead, snags, "s1", "clear", {"text": "done"})
        cleared = await store.act(lead, snags, "s1", "clear", {"text": "cable replaced"})
        assert cleared.stored.object()["status"]["phase"] == "Cleared"
        with pytest.raises(InvalidTransition):
            await store.act(lead, snags, "s1", "clear", {"text": "cable replaced"})
        assert await db.fetch("select name, object, attrs from cipo.fact") == [("sat.snags", "s1", {"severity": "A"})]
