"""kill -9 of the API at the worst moments: whoever asks again gets AlreadyExists or the same answer, and one event is written."""

from __future__ import annotations

from tests.crash.stage import ASSETS, FRAGILE, ROUNDS, Writers, asset, furnish, until

POINTS = ("before-write", "after-write", "before-answer")


def test_a_create_cut_off_is_there_once_or_not_at_all(stage, fault):
    api = stage.start_api(application=FRAGILE)
    asking = stage.caller()
    furnish(asking)
    for point in POINTS:
        name = f"box-{point}"
        assert asking.ask("POST", ASSETS, asset(name), X_Die=point).status == 0
        assert api.wait(10) == -9
        written = stage.look("select count(*) from cipo.resource where name = %s", name) == [(1,)]
        assert written == (point != "before-write")
        api = stage.start_api(application=FRAGILE)
        again = asking.ask("POST", ASSETS, asset(name))
        assert again.status == (409 if written else 201), again
        assert again.json().get("reason") == ("AlreadyExists" if written else None)
        assert stage.look("select count(*) from cipo.event where name = %s", name) == [(1,)]
        assert stage.look("select count(*) from cipo.claim join cipo.resource using (uid) where name = %s", name) == [(1,)]
    fault(f"API killed {', '.join(POINTS)} of a create: the second try says 201, AlreadyExists, AlreadyExists; one event each")


def test_an_action_cut_off_happens_once_by_its_key(stage, fault):
    api = stage.start_api(application=FRAGILE)
    asking = stage.caller()
    furnish(asking)
    for point in POINTS:
        name = f"box-{point}"
        made = asking.must("POST", ASSETS, asset(name))
        act = ("POST", f"{ASSETS}/{name}/receive", {"scan": made["spec"]["serial"]})
        events = "select count(*) from cipo.event where verb = 'receive' and name = %s"
        assert asking.ask(*act, Idempotency_Key=f"key-{point}", X_Die=point).status == 0
        assert api.wait(10) == -9
        done = point == "before-answer"
        assert stage.look(events, name) == [(int(done),)]
        api = stage.start_api(application=FRAGILE)
        again = asking.ask(*act, Idempotency_Key=f"key-{point}")
        assert again.status == 201, again
        assert ("idempotent-replayed" in again.headers) == done
        third = asking.ask(*act, Idempotency_Key=f"key-{point}")
        assert (third.status, third.headers.get("idempotent-replayed")) == (201, "true")
        assert stage.look(events, name) == [(1,)]
        facts = stage.look("select name, count(*) from cipo.fact where object = %s group by name", name)
        assert facts and all(count == 1 for _, count in facts), facts
    fault(f"API killed {', '.join(POINTS)} of an action: the same Idempotency-Key gives the same answer, one event, one of each fact")


def test_an_api_killed_under_load_loses_nothing_acknowledged(stage, fault):
    stage.start_api()
    asking = stage.caller()
    furnish(asking)
    with Writers(stage) as writers:
        for _ in range(ROUNDS):
            before = len(writers.acknowledged)
            until(lambda before=before: len(writers.acknowledged) > before + 25, 20, "the writers write")
            stage.kill("api")
            stage.start_api()
    assert not writers.wrong, writers.wrong[:3]
    there = {row[0] for row in stage.look("select name from cipo.resource where gk = 'Asset.facilities.cipo'")}
    assert writers.written() <= there
    assert stage.look("select name from cipo.event where type = 'ADDED' group by gk, name having count(*) > 1") == []
    fault(
        f"API killed {ROUNDS}x under 8 writers: {len(writers.acknowledged)} acknowledged, all there; "
        f"{writers.broken} connections broke, {len(writers.already)} of those writes had happened and answer AlreadyExists"
    )
