"""The store: what is written, refused, seen by watchers and left behind."""

from __future__ import annotations

import asyncio

import pytest

from cipo.kernel.errors import AlreadyExists, BadRequest, Conflict, Forbidden, Gone, Invalid, InvalidTransition, NotFound
from cipo.kernel.principal import Caller, Principal
from cipo.kernel.store.db import Database
from cipo.kernel.store.feed import Feed
from cipo.kernel.store.resources import Resources
from cipo.kernel.wire.selectors import FieldSelector, LabelSelector
from tests.kernel.toy import ANNA, BOX, RACK, REGISTRY, TOPIC, Anything, box, rack

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(pg_dsn):
    async with Database(pg_dsn) as db:
        yield Resources(db, REGISTRY, Anything(), key=b"k")


async def facts(store):
    return await store.db.fetch("select name, value, object, attrs from cipo.fact")


async def test_an_object_is_stored_as_it_will_be_served(store):
    written = await store.create(ANNA, BOX, box("a"))
    got = await store.get(ANNA, BOX, "a")
    assert got.body == written.stored.body
    obj = got.object()
    assert obj["metadata"]["resourceVersion"] == str(got.rv)
    assert obj["metadata"]["generation"] == 1
    assert obj["spec"] == {"serial": "SN-a", "at": 0, "height": 1, "note": ""}
    assert obj["status"]["phase"] == "New"
    assert obj["metadata"]["managedFields"][0]["manager"] == "test"


async def test_a_name_can_be_used_once(store):
    await store.create(ANNA, BOX, box("a"))
    with pytest.raises(AlreadyExists) as error:
        await store.create(ANNA, BOX, box("a", "X"))
    assert error.value.status()["reason"] == "AlreadyExists"


async def test_a_serial_number_can_be_held_once_and_the_holder_is_named(store):
    await store.create(ANNA, BOX, box("a", "SN1"))
    with pytest.raises(Conflict) as error:
        await store.create(ANNA, BOX, box("b", "SN1"))
    assert error.value.causes[0].field == "spec.serial"
    assert 'ToyBox "a"' in error.value.causes[0].message


async def test_sixteen_writers_race_for_one_serial_and_one_wins(store):
    results = await asyncio.gather(*(store.create(ANNA, BOX, box(f"b{n}", "SN1")) for n in range(16)), return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert all(isinstance(result, Conflict) for result in results if isinstance(result, Exception))


async def test_ranges_of_one_scope_never_overlap(store):
    await store.create(ANNA, RACK, rack("r1"))
    await store.create(ANNA, RACK, rack("r2"))
    await store.create(ANNA, BOX, box("a", rack="r1", at=10, height=4))
    with pytest.raises(Conflict) as error:
        await store.create(ANNA, BOX, box("b", rack="r1", at=13, height=1))
    assert "13-14 is taken by" in error.value.message
    assert 'ToyBox "a"' in error.value.message
    await store.create(ANNA, BOX, box("c", rack="r1", at=14, height=1))
    await store.create(ANNA, BOX, box("d", rack="r2", at=10, height=4))
    moved = await store.patch(ANNA, BOX, "a", {"spec": {"at": 20}}, "merge")
    assert moved.changed
    await store.create(ANNA, BOX, box("b", rack="r1", at=10, height=4))


async def test_a_reference_needs_its_target_and_keeps_it(store):
    with pytest.raises(Invalid) as error:
        await store.create(ANNA, BOX, box("a", rack="nowhere"))
    assert error.value.causes[0].field == "spec.rack"
    await store.create(ANNA, RACK, rack("r1"))
    await store.create(ANNA, BOX, box("a", rack="r1"))
    with pytest.raises(Conflict) as error:
        await store.delete(ANNA, RACK, "r1")
    assert 'ToyBox "a" (spec.rack)' in error.value.message
    outgoing, _ = await store.refs(ANNA, (await store.get(ANNA, BOX, "a")).uid)
    assert [(row.path, row.name) for row in outgoing] == [("spec.rack", "r1")]
    deleted = await store.delete(ANNA, RACK, "r1", propagation="Foreground")
    assert deleted.gone
    with pytest.raises(NotFound):
        await store.get(ANNA, BOX, "a")


async def test_all_errors_come_at_once_with_the_field_that_was_meant(store):
    bad = {"metadata": {"name": "Bad Name", "labels": {"a b": "x"}}, "spec": {"serial": "x", "hight": 3, "at": -1}}
    with pytest.raises(Invalid) as error:
        await store.create(ANNA, BOX, bad)
    fields = {cause.field: cause.message for cause in error.value.causes}
    assert {"metadata.name", "metadata.labels", "spec.hight", "spec.at"} <= fields.keys()
    assert "did you mean spec.height?" in fields["spec.hight"]
    with pytest.raises(Invalid) as error:
        await store.create(ANNA, BOX, box("a", note="bad", height=7))
    assert [cause.field for cause in error.value.causes] == ["spec.note", "spec.height"]


async def test_unknown_fields_can_be_warned_about_or_dropped(store):
    warned = await store.create(ANNA, BOX, box("a", colour="red"), validation="Warn")
    assert warned.warnings == ['unknown field "spec.colour"']
    assert "colour" not in warned.stored.object()["spec"]
    assert (await store.create(ANNA, BOX, box("b", colour="red"), validation="Ignore")).warnings == []


async def test_an_immutable_field_cannot_change(store):
    await store.create(ANNA, BOX, box("a"))
    with pytest.raises(Invalid) as error:
        await store.patch(ANNA, BOX, "a", {"spec": {"serial": "Y"}}, "merge")
    assert error.value.causes[0].field == "spec.serial"


async def test_a_write_that_changes_nothing_leaves_no_event(store):
    first = await store.create(ANNA, BOX, box("a"))
    again = await store.patch(ANNA, BOX, "a", {"spec": {"height": 1}}, "merge")
    assert not again.changed
    assert again.stored.rv == first.stored.rv
    assert len(await store.events(ANNA, name="a")) == 1


async def test_a_stale_version_is_refused_and_a_patch_without_one_is_not(store):
    first = (await store.create(ANNA, BOX, box("a"))).stored.object()
    await store.patch(ANNA, BOX, "a", {"spec": {"note": "1"}}, "merge")
    first["spec"]["note"] = "2"
    with pytest.raises(Conflict) as error:
        await store.replace(ANNA, BOX, "a", first)
    assert "please apply your changes to the latest version" in error.value.message
    results = await asyncio.gather(*(store.patch(ANNA, BOX, "a", {"metadata": {"labels": {f"l{n}": "x"}}}, "merge") for n in range(5)))
    assert all(result.changed for result in results)
    assert len((await store.get(ANNA, BOX, "a")).labels) == 5


async def test_generation_counts_specs_and_status_has_its_own_door(store):
    await store.create(ANNA, BOX, box("a"))
    await store.patch(ANNA, BOX, "a", {"spec": {"note": "n"}, "status": {"phase": "Gone"}}, "merge")
    got = (await store.get(ANNA, BOX, "a")).object()
    assert got["metadata"]["generation"] == 2
    assert got["status"]["phase"] == "New"
    await store.patch(ANNA, BOX, "a", {"spec": {"note": "no"}, "status": {"phase": "Gone"}}, "merge", subresource="status")
    got = (await store.get(ANNA, BOX, "a")).object()
    assert (got["metadata"]["generation"], got["status"]["phase"], got["spec"]["note"]) == (2, "Gone", "n")


async def test_a_dry_run_sees_conflicts_and_writes_nothing(store):
    await store.create(ANNA, BOX, box("a", "SN1"))
    with pytest.raises(Conflict):
        await store.create(ANNA, BOX, box("b", "SN1"), dry_run=True)
    assert (await store.create(ANNA, BOX, box("b", "SN2"), dry_run=True)).stored.name == "b"
    with pytest.raises(NotFound):
        await store.get(ANNA, BOX, "b")


async def test_an_action_is_one_transaction_with_its_facts_and_event(store):
    await store.create(ANNA, BOX, box("a"))
    acted = await store.act(ANNA, BOX, "a", "move", {"to": "hall 2"})
    assert acted.stored.object()["status"]["phase"] == "Moved"
    assert await facts(store) == [("toy.moved", 1.0, "a", {"to": "hall 2"})]
    events = await store.events(ANNA, name="a")
    assert [event.verb for event in events] == ["move", "create"]
    assert events[0].actor == "anna"
    assert {"op": "replace", "path": "/status/phase", "value": "Moved", "was": "New"} in events[0].diff
    with pytest.raises(Invalid):
        await store.act(ANNA, BOX, "a", "move", {"to": "nowhere"})
    assert len(await facts(store)) == 1


async def test_an_action_outside_its_phase_names_the_legal_ones(store):
    await store.create(ANNA, BOX, box("a"))
    await store.patch(ANNA, BOX, "a", {"status": {"phase": "Gone"}}, "merge", subresource="status")
    with pytest.raises(InvalidTransition) as error:
        await store.act(ANNA, BOX, "a", "move", {"to": "x"})
    assert "Legal now: twin" in error.value.message


async def test_an_action_that_fails_half_way_leaves_nothing(store):
    await store.create(ANNA, BOX, box("a"))
    await store.create(ANNA, BOX, box("b", "SN-a-T"))
    with pytest.raises(Conflict):
        await store.act(ANNA, BOX, "a", "twin")
    with pytest.raises(NotFound):
        await store.get(ANNA, BOX, "a-twin")


async def test_the_same_idempotency_key_gives_the_same_answer_once(store):
    await store.create(ANNA, BOX, box("a"))
    results = await asyncio.gather(*(store.act(ANNA, BOX, "a", "twin", idempotency_key="k1") for _ in range(4)))
    assert {result.output["to"] for result in results} == {"a-twin"}
    assert sum(not result.repeated for result in results) == 1
    with pytest.raises(Invalid):
        await store.act(ANNA, BOX, "a", "move", {"to": "x"}, idempotency_key="k1")


async def test_many_are_created_together_or_not_at_all(store):
    with pytest.raises(Conflict):
        await store.create_many(ANNA, BOX, [box("a", "S1"), box("b", "S2"), box("c", "S1")])
    assert (await store.list(ANNA, BOX)).items == []
    made = await store.create_many(ANNA, BOX, [box(f"n{n:03}", f"S{n}") for n in range(200)])
    assert len(made) == 200
    with pytest.raises(BadRequest):
        await store.create_many(ANNA, BOX, [{}] * 1001)


async def test_lists_walk_by_name_in_pages_and_select(store):
    await store.create_many(
        ANNA, BOX, [box(f"n{n:03}") | {"metadata": {"name": f"n{n:03}", "labels": {"even": str(n % 2 == 0)}}} for n in range(25)]
    )
    page = await store.list(ANNA, BOX, limit=10)
    names = [item.name for item in page.items]
    assert page.remaining == 15
    while page.continue_:
        page = await store.list(ANNA, BOX, limit=10, continue_=page.continue_)
        names += [item.name for item in page.items]
    assert names == [f"n{n:03}" for n in range(25)]
    even = await store.list(ANNA, BOX, labels=LabelSelector.parse("even=True"))
    assert len(even.items) == 13
    one = await store.list(ANNA, BOX, fields=FieldSelector.parse("spec.serial=SN-n007", BOX.select))
    assert [item.name for item in one.items] == ["n007"]
    with pytest.raises(Gone):
        await store.list(ANNA, BOX, continue_="A" * 60)


async def test_what_the_chart_refuses_is_refused_everywhere(store):
    with pytest.raises(Forbidden):
        await store.create(ANNA, TOPIC, {"metadata": {"name": "t"}, "spec": {}})
    with pytest.raises(Forbidden):
        await store.list(ANNA, TOPIC)
    data = Caller(Principal("dp", "user", frozenset({"1D/U-DP3"})), unit="1D/U-DP3")
    await store.create(data, TOPIC, {"metadata": {"name": "secret-topic"}, "spec": {}})
    assert await store.search(ANNA, "secret") == []
    assert await store.events(ANNA) == []
    everything = Caller(Principal("x", "system"), unit="1F/U-OB1")
    assert (await store.list(everything, TOPIC)).items == []
    with pytest.raises(Forbidden):
        await store.get(everything, TOPIC, "secret-topic")


async def test_search_finds_serials_and_names_by_their_start(store):
    await store.create(ANNA, BOX, box("alpha", "SN0042"))
    assert [hit.name for hit in await store.search(ANNA, "sn00")] == ["alpha"]
    assert [hit.name for hit in await store.search(ANNA, "alp")] == ["alpha"]
    assert await store.search(ANNA, "100%") == []


async def test_a_watch_sees_each_change_once_in_order_and_selection(store):
    async with asyncio.TaskGroup() as group:
        feed = Feed(store.db)
        store.core.wake = feed.wake
        running = group.create_task(feed.run())
        await feed.ready()
        rv = (await store.list(ANNA, BOX)).rv
        seen: list = []
        done = asyncio.Event()

        async def watch():
            async for change in feed.subscribe(store, ANNA, [BOX], after=rv, labels=LabelSelector.parse("keep=yes")):
                if change.type != "BOOKMARK":
                    seen.append((change.type, change.stored.name))
                if len(seen) == 4:
                    done.set()
                    return

        group.create_task(watch())
        await store.create(ANNA, BOX, box("a") | {"metadata": {"name": "a", "labels": {"keep": "yes"}}})
        await store.create(ANNA, BOX, box("b"))
        await store.patch(ANNA, BOX, "b", {"metadata": {"labels": {"keep": "yes"}}}, "merge")
        await store.patch(ANNA, BOX, "a", {"metadata": {"labels": {"keep": "no"}}}, "merge")
        await store.delete(ANNA, BOX, "b")
        await asyncio.wait_for(done.wait(), 5)
        running.cancel()
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("DELETED", "b")]


async def test_a_held_transaction_delays_the_feed_and_nothing_is_skipped(store):
    feed = Feed(store.db)
    store.core.wake = feed.wake
    running = asyncio.create_task(feed.run())
    await feed.ready()
    rv = (await store.list(ANNA, BOX)).rv
    seen: list[str] = []

    async def watch():
        async for change in feed.subscribe(store, ANNA, [BOX], after=rv):
            if change.type != "BOOKMARK":
                seen.append(change.stored.name)

    watching = asyncio.create_task(watch())
    async with store.db.transaction() as conn:
        await conn.execute("select pg_current_xact_id()")  # an open writing transaction
        await store.create(ANNA, BOX, box("a"))
        await asyncio.wait({watching}, timeout=0.7)
        assert seen == []
    for _ in range(100):
        if seen:
            break
        await asyncio.wait({watching}, timeout=0.05)
    assert seen == ["a"]
    watching.cancel()
    running.cancel()
