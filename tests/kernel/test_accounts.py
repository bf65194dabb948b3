"""Service accounts: made by the CIPO, signed in by a token that is shown once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cipo.kernel import tokens
from cipo.kernel.accounts import ACCOUNTS
from cipo.kernel.errors import Invalid
from cipo.kernel.principal import Caller, Decision, Principal
from cipo.kernel.store.db import Database
from cipo.kernel.store.resources import Acted, Resources
from cipo.kernel.unit import KindInfo, Registry

pytestmark = pytest.mark.anyio
CIPO = Caller(Principal("cipo", "user", leads=frozenset({"CIPO"})))


class Anything:
    """A chart that allows everything."""

    def decide(self, caller: Caller, verb: str, kind: KindInfo, action: str | None = None) -> Decision:
        return Decision(True, "test", "allowed", kind.unit)

    def hidden(self, caller: Caller) -> frozenset[str]:
        return frozenset()


@pytest.fixture
async def resources(pg_dsn: str) -> AsyncIterator[Resources]:
    async with Database(pg_dsn) as db:
        yield Resources(db, Registry([], [ACCOUNTS]), Anything(), key=b"k" * 32)


async def make(resources: Resources, name: str = "ci", **spec: Any) -> None:
    kind = resources.registry.kind("ServiceAccount.kernel.cipo")
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": {"units": ["1A/U-W2"]} | spec}
    await resources.create(CIPO, kind, body)


async def act(resources: Resources, action: str, given: dict[str, Any] | None = None, **how: Any) -> Acted:
    return await resources.act(CIPO, resources.registry.kind("ServiceAccount.kernel.cipo"), "ci", action, given or {}, **how)


async def look_up(resources: Resources, token: str) -> Principal | None:
    known = await tokens.look_up(resources.db, token, "api")
    return known.principal if known else None


async def test_its_token_signs_in_with_the_units_that_the_account_has_now(resources: Resources) -> None:
    await make(resources, leads=["1A/A-2"])
    output = (await act(resources, "issue-token", {"ttl": "1h", "label": "runner"})).output
    assert output is not None
    assert output["token"].startswith("cipo_sa_")
    principal = await look_up(resources, output["token"])
    assert principal == Principal("serviceaccount:ci", "service", frozenset({"1A/U-W2"}), frozenset({"1A/A-2"}))
    kind = resources.registry.kind("ServiceAccount.kernel.cipo")
    await resources.patch(CIPO, kind, "ci", {"spec": {"units": ["1C/U-P1"], "leads": []}}, "merge")
    principal = await look_up(resources, output["token"])
    assert principal is not None
    assert principal.units == {"1C/U-P1"}
    assert principal.leads == frozenset()


async def test_a_program_of_the_lab_is_marked_as_simulated(resources: Resources) -> None:
    await make(resources, simulated=True)
    output = (await act(resources, "issue-token")).output
    assert output is not None
    principal = await look_up(resources, output["token"])
    assert principal is not None
    assert principal.simulated


async def test_the_token_is_nowhere_in_the_database(resources: Resources) -> None:
    await make(resources)
    acted = await act(resources, "issue-token", {}, idempotency_key="k1")
    assert acted.output is not None
    token = acted.output["token"]
    stem = token.removeprefix("cipo_sa_")
    assert stem not in acted.stored.body.decode()
    for (table,) in await resources.db.fetch("select table_name from information_schema.tables where table_schema = 'cipo'"):
        rows = await resources.db.fetch(f"select t::text from cipo.{table} t where t::text like %s", (f"%{stem}%",))
        assert not rows, f"the token is in {table}"
    again = await act(resources, "issue-token", {}, idempotency_key="k1")
    assert again.repeated
    assert again.output is not None
    assert again.output["token"] == "cipo_sa_…"
    (note,) = (await resources.db.fetch("select message from cipo.event where verb = 'issue-token'"))[0]
    assert acted.output["id"] in note


async def test_tokens_end_by_revoking_and_with_the_account(resources: Resources) -> None:
    await make(resources)
    issued = [(await act(resources, "issue-token")).output for _ in range(2)]
    revoked = await act(resources, "revoke-tokens")
    assert revoked.output == {"revoked": 2}
    assert revoked.stored.object()["status"].get("tokens", []) == []
    assert [await look_up(resources, output["token"]) for output in issued if output] == [None, None]
    last = (await act(resources, "issue-token")).output
    assert last is not None
    await resources.delete(CIPO, resources.registry.kind("ServiceAccount.kernel.cipo"), "ci")
    await make(resources)
    assert await look_up(resources, last["token"]) is None


async def test_a_refused_dry_run_and_a_bad_time_leave_no_token(resources: Resources) -> None:
    await make(resources)
    await act(resources, "issue-token", dry_run=True)
    for ttl in ("366d", "59s", "1y", ""):
        with pytest.raises(Invalid, match="ttl"):
            await act(resources, "issue-token", {"ttl": ttl})
    assert await resources.db.fetch("select count(*) from cipo.token") == [(0,)]


async def test_an_account_without_units_or_with_malformed_ones_is_refused(resources: Resources) -> None:
    with pytest.raises(Invalid, match="could do nothing"):
        await make(resources, units=[])
    with pytest.raises(Invalid) as refused:
        await make(resources, units=["U-W2", "1A/U-W1", "1A/U-W1"], leads=["everything!"])
    assert [cause.field for cause in refused.value.causes] == ["spec.units[0]", "spec.units[2]", "spec.leads[0]"]
