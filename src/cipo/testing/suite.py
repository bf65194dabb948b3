"""The suite every kind gets by being named.

    class TestSite(KindSuite):
        kind = Site
        def spec(self, n): return {"title": f"Site {n}", "region": "eu"}

``needs`` lists what must exist first, ``change`` is a merge patch of the spec that is allowed. All goes through HTTP, as kubectl would.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from cipo.kernel.models import Kind
from cipo.kernel.unit import KindInfo
from cipo.testing.plane import Person, path, running

STRANGER = "1F/U-OB1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.mark.anyio
class KindSuite:
    """Create, strict fields, explain text, table, watch, conflict, dry run, apply, delete, authorisation."""

    kind: ClassVar[type[Kind[Any, Any]]]
    deletable: ClassVar[bool] = True
    stranger: ClassVar[str] = STRANGER

    def spec(self, n: int) -> dict[str, Any]:
        """A valid spec; different for each ``n``."""
        raise NotImplementedError

    def needs(self) -> list[tuple[type[Kind[Any, Any]], str, dict[str, Any]]]:
        """Objects that must exist first: (kind, name, spec)."""
        return []

    def change(self) -> dict[str, Any] | None:
        """A merge patch of the spec that is allowed, or None when the spec cannot change."""
        return None

    @property
    def info(self) -> KindInfo:
        """What was declared about the kind."""
        return self.kind.info

    @pytest.fixture
    async def cipo(self, pg_dsn: str) -> AsyncIterator[Person]:
        """The CIPO on a fresh plane on which everything needed exists."""
        async with running(pg_dsn) as person:
            for kind, name, spec in self.needs():
                made = await person.create(kind.info, name, spec)
                assert made.status_code == 201, made.text
            yield person

    async def test_it_is_created_read_and_found_in_the_list(self, cipo: Person) -> None:
        made = await cipo.create(self.info, "one", self.spec(1))
        assert made.status_code == 201, made.text
        body = await cipo.get(self.info, "one")
        assert body["metadata"]["generation"] == 1
        assert body == made.json()
        listed = (await cipo.call("GET", path(self.info))).json()
        assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]
        assert listed["kind"] == f"{self.info.kind}List"

    async def test_an_unknown_field_is_refused_by_name(self, cipo: Person) -> None:
        refused = await cipo.create(self.info, "one", {**self.spec(1), "noSuchField": 1})
        assert refused.status_code == 422
        causes = refused.json()["details"]["causes"]
        assert any(cause["field"] == "spec.noSuchField" for cause in causes)

    async def test_every_field_explains_itself(self, cipo: Person) -> None:
        openapi = (await cipo.call("GET", f"/openapi/v3/apis/{self.info.group}/{self.info.version}")).json()
        mine = [
            schema
            for schema in openapi["components"]["schemas"].values()
            if any(gvk["kind"] == self.info.kind for gvk in schema.get("x-kubernetes-group-version-kind", ()))
        ]
        assert len(mine) == 1
        assert mine[0]["description"]
        assert {"spec", "status", "metadata"} <= mine[0]["properties"].keys()

    async def test_its_table_has_its_columns(self, cipo: Person) -> None:
        await cipo.create(self.info, "one", self.spec(1))
        table = (await cipo.call("GET", path(self.info), headers={"Accept": TABLE})).json()
        assert table["kind"] == "Table"
        titles = [column["name"].lower() for column in table["columnDefinitions"]]
        assert titles[0] == "name"
        assert [column.title.lower() for column in self.info.columns] == titles[1 : 1 + len(self.info.columns)]
        assert len(table["rows"][0]["cells"]) == len(titles)

    async def test_a_name_is_used_once_and_a_dry_run_writes_nothing(self, cipo: Person) -> None:
        dry = await cipo.create(self.info, "one", self.spec(1), dryRun="All")
        assert dry.status_code == 201, dry.text
        assert (await cipo.call("GET", path(self.info, "one"))).status_code == 404
        await cipo.create(self.info, "one", self.spec(1))
        again = await cipo.create(self.info, "one", self.spec(1))
        assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")

    async def test_the_same_apply_changes_nothing_and_another_manager_conflicts(self, cipo: Person) -> None:
        applied = {
            "apiVersion": self.info.api_version,
            "kind": self.info.kind,
            "metadata": {"name": "one", "labels": {"a": "1"}},
            "spec": self.spec(1),
        }
        url, headers = path(self.info, "one"), {"Content-Type": "application/apply-patch+yaml"}
        first = await cipo.call("PATCH", url, params={"fieldManager": "m1"}, json=applied, headers=headers)
        assert first.status_code == 201, first.text
        same = await cipo.call("PATCH", url, params={"fieldManager": "m1"}, json=applied, headers=headers)
        assert same.json()["metadata"]["resourceVersion"] == first.json()["metadata"]["resourceVersion"]
        other = {**applied, "metadata": {"name": "one", "labels": {"a": "2"}}}
        refused = await cipo.call("PATCH", url, params={"fieldManager": "m2"}, json=other, headers=headers)
        assert refused.status_code == 409
        assert refused.json()["details"]["causes"][0]["reason"] == "FieldManagerConflict"

    async def test_a_stale_write_is_refused(self, cipo: Person) -> None:
        await cipo.create(self.info, "one", self.spec(1))
        old = await cipo.get(self.info, "one")
        patch = {"metadata": {"labels": {"touched": "yes"}}, **({"spec": self.change()} if self.change() else {})}
        url = path(self.info, "one")
        patched = await cipo.call("PATCH", url, json=patch, headers={"Content-Type": "application/merge-patch+json"})
        assert patched.status_code == 200, patched.text
        assert patched.json()["metadata"]["labels"]["touched"] == "yes"
        refused = await cipo.call("PUT", url, json={**old, "metadata": {**old["metadata"], "labels": {"other": "x"}}})
        assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")

    async def test_what_is_referred_to_stays_and_the_rest_can_go(self, cipo: Person) -> None:
        await cipo.create(self.info, "one", self.spec(1))
        uid = (await cipo.get(self.info, "one"))["metadata"]["uid"]
        outgoing, _ = await cipo.plane.resources.reader.refs(uid)
        for row in outgoing:
            kept = await cipo.call("DELETE", path(cipo.plane.registry.kind(row.gk), row.name))
            assert kept.status_code == 409, kept.text
            assert "one" in kept.json()["message"]
        if self.deletable:
            gone = await cipo.call("DELETE", path(self.info, "one"))
            assert gone.status_code == 200, gone.text
            assert (await cipo.call("GET", path(self.info, "one"))).status_code == 404

    async def test_a_unit_without_a_contract_is_refused_on_every_verb(self, cipo: Person) -> None:
        await cipo.create(self.info, "one", self.spec(1))
        decision = cipo.plane.authorizer.decide_names(self.stranger, "get", self.info.kind, self.info.unit.split("/")[0])
        if decision.allowed:
            pytest.fail(f"{self.stranger} may read {self.info.kind}; name another stranger for this suite")
        stranger = cipo.acting(self.stranger)
        for method, url in (("GET", path(self.info, "one")), ("GET", path(self.info)), ("DELETE", path(self.info, "one"))):
            refused = await stranger.call(method, url)
            assert refused.status_code == 403, (method, refused.text)
            assert any(word in refused.json()["message"] for word in self.stranger.split("/"))
        assert (await stranger.create(self.info, "two", self.spec(2))).status_code == 403
        found = (await stranger.call("GET", "/search.json", params={"q": "one"})).json()["items"]
        assert [hit for hit in found if hit["gk"] == self.info.gk] == []
