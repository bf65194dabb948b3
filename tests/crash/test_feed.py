"""The change feed under stress: a transaction held open, a reader that does not read, a wake-up that is lost."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from pathlib import Path

import psycopg
import pytest

from cipo.kernel.principal import Caller as Who
from cipo.kernel.principal import Principal
from cipo.kernel.store.db import Database
from cipo.kernel.store.resources import Resources
from cipo.org.authz import ChartAuthorizer
from cipo.org.chart import load
from cipo.plane import registry
from tests.crash.stage import ASSETS, asset, furnish, until
from tests.live import free_port


class Watch:
    """A watch on a raw socket, read line by line, or not at all."""

    def __init__(self, stage, version: str, *, port: int = 0, receive_buffer: int = 0, more: str = "") -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port or stage.port))
        self.socket.settimeout(60)
        head = f"GET {ASSETS}?watch=true&resourceVersion={version}{more} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {stage.token}\r\n"
        self.socket.sendall(f"{head}Cipo-Unit: 1A/U-W2\r\n\r\n".encode())
        self.names: list[str] = []
        self.types: list[str] = []
        self.bookmarks = 0
        self.at: dict[str, float] = {}
        self.error: dict = {}
        self.ended = threading.Event()

    def read(self) -> None:
        """Read to the end; in a thread of its own or here."""
        try:
            for line in self._lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    self.error = event["object"]
                elif event["type"] == "BOOKMARK":
                    self.bookmarks += 1
                else:
                    self.types.append(event["type"])
                    name = event["object"]["metadata"]["name"]
                    self.names.append(name)
                    self.at[name] = time.monotonic()
        except OSError:
            pass
        finally:
            self.ended.set()

    def _lines(self):
        """The lines of a chunked answer."""
        file = self.socket.makefile("rb")
        while file.readline() not in (b"\r\n", b""):
            pass
        rest = b""
        while size := int(file.readline().strip() or b"0", 16):
            rest += file.read(size)
            file.readline()
            *lines, rest = rest.split(b"\n")
            yield from lines

    def in_background(self) -> Watch:
        threading.Thread(target=self.read, daemon=True).start()
        return self

    def close(self) -> None:
        self.socket.close()


def version_of(asking) -> str:
    return asking.must("GET", f"{ASSETS}?limit=1")["metadata"]["resourceVersion"]


def rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def test_a_transaction_held_open_delays_the_feed_until_its_deadline(stage, fault):
    stage.start_api()
    asking = stage.caller()
    furnish(asking)
    watch = Watch(stage, version_of(asking)).in_background()
    asking.must("POST", ASSETS, asset("before"))
    until(lambda: watch.names == ["before"], 5, "the watch runs")
    with psycopg.connect(stage.place.url("cipo_api")) as holder:
        holder.execute("select pg_current_xact_id()")
        start = time.monotonic()
        for number in range(20):
            asking.must("POST", ASSETS, asset(f"during-{number:02}"))
        assert time.monotonic() - start < 5, "writes are not held up"
        until(lambda: len(watch.names) == 21, 15, "the deadline of the role ends the transaction")
        delay = time.monotonic() - start
        with pytest.raises(psycopg.Error):
            holder.execute("select 1")
    assert watch.names == ["before", *(f"during-{number:02}" for number in range(20))]
    assert 5 < delay < 12
    watch.close()
    fault(
        f"transaction held open for ever: ended by its deadline after {delay:.1f} s, the feed then delivered all 20 writes in order, none skipped"
    )


def test_a_late_commit_of_an_early_number_is_not_skipped(stage, fault):
    stage.start_api()
    asking = stage.caller()
    furnish(asking)
    watch = Watch(stage, version_of(asking)).in_background()
    asking.must("POST", ASSETS, asset("early"))
    with psycopg.connect(stage.dsn) as slow:
        # The same row that the write path makes, with its number taken long before its commit.
        slow.execute(
            "with number as (select nextval('cipo.event_seq') as seq), e as (insert into cipo.event"
            " (seq, actor, unit, owner, verb, type, gk, name, uid, generation) select seq, 'x', '1A/U-W2', '1A/U-W2', 'create', 'ADDED',"
            " 'Asset.facilities.cipo', 'late', gen_random_uuid(), 1 from number) insert into cipo.event_body (seq, day, body, cells, labels, fields)"
            " select seq, now()::date, '{\"metadata\":{\"name\":\"late\"}}', '[]', '{}', '{}' from number"
        )
        for number in range(5):
            asking.must("POST", ASSETS, asset(f"later-{number}"))
    until(lambda: len(watch.names) == 7, 10, "all have come")
    assert sorted(watch.names) == ["early", "late", *(f"later-{number}" for number in range(5))]
    watch.close()
    fault("a number taken early and committed late: the watcher sees it, nothing is skipped, nothing comes twice")


def test_what_the_list_saw_and_the_feed_holds_back_does_not_come_twice(stage, fault):
    stage.start_api()
    asking = stage.caller()
    furnish(asking)
    with psycopg.connect(stage.dsn) as holder:
        holder.execute("select pg_current_xact_id()")
        asking.must("POST", ASSETS, asset("held-back"))
        watch = Watch(stage, "", more="&allowWatchBookmarks=true").in_background()
        until(lambda: watch.bookmarks and watch.names, 5, "the list and the first bookmark")
    asking.must("PATCH", f"{ASSETS}/held-back", {"metadata": {"labels": {"a": "b"}}}, Content_Type="application/merge-patch+json")
    until(lambda: len(watch.types) >= 2, 10, "the change comes")
    assert watch.types == ["ADDED", "MODIFIED"]
    watch.close()
    fault("a watch that begins while a transaction is open: what its list showed does not come again")


def test_readers_that_do_not_read_are_cut_off(stage, fault):
    api = stage.start_api()
    asking = stage.caller()
    furnish(asking)
    version = version_of(asking)
    idle = [Watch(stage, version, receive_buffer=4096) for _ in range(20)]
    keen = Watch(stage, version).in_background()
    asking.must("POST", ASSETS, asset("warm"))
    until(lambda: keen.names, 5, "the watch runs")
    before = rss_mb(api.pid)
    slowest, written = 0.0, 0
    peak = before
    for batch in range(30):
        made = [asset(f"b{batch:02}-{number:03}") for number in range(100)]
        for one in made:
            one["metadata"]["annotations"] = {"note": "x" * 1500}
        start = time.monotonic()
        asking.must("POST", ASSETS, {"apiVersion": "facilities.cipo/v1", "kind": "AssetList", "items": made})
        slowest = max(slowest, time.monotonic() - start)
        written += len(made)
        peak = max(peak, rss_mb(api.pid))
        until(lambda written=written: len(keen.names) > written, 20, "the keen reader has it all")
    assert not keen.error
    idle[0].read()
    assert idle[0].error.get("code") == 410 or len(idle[0].names) < written
    assert idle[0].error.get("reason", "Expired") == "Expired"
    grown = peak - before
    assert grown < 150, f"{grown:.0f} MB for {written} writes and {len(idle)} idle readers"
    for watch in [*idle, keen]:
        watch.close()
    how = "410 Expired" if idle[0].error else "a cut connection"
    fault(
        f"{len(idle)} watchers that do not read during {written} writes: ended with {how} after {len(idle[0].names)} lines, "
        f"the API grew by {grown:.0f} MB, the keen watcher saw all, slowest write of 100: {slowest * 1000:.0f} ms"
    )


async def test_a_wake_up_that_is_lost_costs_half_a_second(stage, fault):
    stage.start_api()
    asking = stage.caller()
    furnish(asking)
    watch = Watch(stage, version_of(asking)).in_background()
    asking.must("POST", ASSETS, asset("first"))
    until(lambda: watch.names, 5, "the watch runs")
    lost = []
    async with Database(stage.dsn) as db:
        mute = Resources(db, registry(), ChartAuthorizer(load()), key=secrets.token_bytes(8))  # writes, and tells nobody
        ben = Who(Principal("ben", "user", frozenset({"1A/U-W2"})), unit="1A/U-W2", manager="test")
        kind = mute.registry.kind("Asset.facilities.cipo")
        for number in range(5):
            name = f"mute-{number}"
            await mute.create(ben, kind, asset(name))
            start = time.monotonic()
            until(lambda name=name: name in watch.at, 5, "it is seen all the same")
            lost.append(watch.at[name] - start)
    assert max(lost) < 1.5
    watch.close()
    fault(f"notifications lost: seen after {max(lost) * 1000:.0f} ms at most")


def test_a_listening_connection_that_is_cut_comes_back(stage, fault):
    stage.start_api()
    other = free_port()
    stage.start_api("other", CIPO_PORT=str(other))
    asking = stage.caller(port=other)
    furnish(asking)
    watch = Watch(stage, version_of(asking)).in_background()
    asking.must("POST", ASSETS, asset("first"))
    until(lambda: watch.names, 5, "the watch runs")
    cut = stage.look("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cipo-bell'")
    assert len(cut) == 2
    start = time.monotonic()
    asking.must("POST", ASSETS, asset("while-deaf"))
    until(lambda: "while-deaf" in watch.at, 5, "it is seen all the same")
    delay = watch.at["while-deaf"] - start
    assert delay < 1.5
    until(lambda: len(stage.look("select 1 from pg_stat_activity where application_name = 'cipo-bell'")) == 2, 10, "they listen again")
    watch.close()
    fault(f"LISTEN connections cut: a write of another process seen after {delay * 1000:.0f} ms, both listen again")
