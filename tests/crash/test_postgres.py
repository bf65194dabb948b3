"""kill -9 of PostgreSQL while eight write: what was acknowledged is there, meanwhile 503, and nobody needs a restart."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.crash.stage import ASSETS, MODELS, ROUNDS, Writers, asset, furnish, until


def test_a_killed_postgres_loses_nothing_acknowledged(stage, fault):
    api = stage.start_api()
    asking = stage.caller()
    furnish(asking)
    slowest, killed = 0.0, 0
    with Writers(stage) as writers:
        for _ in range(ROUNDS):
            before, refused = len(writers.acknowledged), len(writers.refused)
            until(lambda before=before: len(writers.acknowledged) > before + 40, 20, "the writers write")
            killed += stage.kill_database()
            until(lambda refused=refused: len(writers.refused) > refused, 20, "somebody is told to try again")
            stage.start_database()
            back, before = time.monotonic(), len(writers.acknowledged)
            until(lambda before=before: len(writers.acknowledged) > before, 15, "writes go on by themselves")
            slowest = max(slowest, time.monotonic() - back)
    assert not writers.wrong, writers.wrong[:3]
    assert slowest < 10
    assert api.poll() is None
    assert writers.broken == 0
    for refused in writers.refused:
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["reason"] == "ServiceUnavailable"
    there = {row[0] for row in stage.look("select name from cipo.resource where gk = 'Asset.facilities.cipo'")}
    assert writers.written() <= there
    twice = stage.look(
        "select name from cipo.event where gk = 'Asset.facilities.cipo' and type = 'ADDED' group by name having count(*) > 1"
    )
    assert twice == []
    orphans = stage.look(
        "select count(*) from cipo.resource r where not exists (select 1 from cipo.event e where e.uid = r.uid and e.seq = r.rv)"
    )
    assert orphans == [(0,)]
    listed = asking.must("GET", f"{ASSETS}?limit=5000")
    assert len(listed["items"]) + listed["metadata"].get("remainingItemCount", 0) == len(there)
    fault(
        f"PostgreSQL killed {ROUNDS}x under 8 writers ({killed} processes): {len(writers.acknowledged)} acknowledged, all there; "
        f"{len(writers.refused)} answers 503; resumed within {slowest:.1f} s"
    )


def test_reads_and_writes_answer_503_while_postgres_is_away(stage, fault):
    stage.start_api()
    asking = stage.caller()
    furnish(asking)
    stage.kill_database()
    questions = [
        ("GET", f"{ASSETS}/nothing", None),
        ("GET", ASSETS, None),
        ("POST", ASSETS, asset("box-1")),
        ("POST", f"{ASSETS}/box-1/receive", {"scan": "SNBOX1"}),
        ("GET", "/readyz", None),
    ]

    def ask(question):
        start = time.monotonic()
        return stage.caller().ask(*question), time.monotonic() - start

    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(ask, questions))
    for question, (got, _) in zip(questions, answers, strict=True):
        assert got.status == 503, (question, got)
        assert "retry-after" in got.headers, question
    slowest = max(taken for _, taken in answers)
    assert asking.ask("GET", "/livez").status == 200
    assert slowest < 8
    stage.start_database()
    until(lambda: asking.ask("GET", f"{MODELS}/dell-r650").status == 200, 10, "reads go on")
    fault(f"PostgreSQL away: reads and writes answer 503 with Retry-After, at the latest after {slowest:.1f} s; /livez stays 200")
