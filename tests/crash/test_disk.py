"""A full disk: writes answer 507, reads go on, and all heals by itself when there is room again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from cipo.kernel.store import embedded
from tests.crash.stage import ASSETS, Caller, Stage, asset, furnish, staged, until

SIZE_MB = 320
CONF = {"min_wal_size": "96MB", "max_wal_size": "128MB"}  # so much log is kept ready that the data's files are full first


@pytest.fixture
def small(cipo_home: Path):
    """A stage whose database lies on a small file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("a file system of 320 MB to fill: only root can mount it")
    disk = cipo_home / "pg"
    cipo_home.mkdir(mode=0o711, parents=True)
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}M,mode=0711", "cipo-crash", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        with staged(cipo_home, **CONF) as stage:
            yield stage
            embedded.stop(cipo_home)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(stage: Stage) -> Path:
    """Use up what is left of the disk."""
    ballast = stage.home / "pg" / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            pass
        try:
            while True:
                file.write(b"\0" * 512)
        except OSError:
            pass
    return ballast


def big(number: int):
    made = asset(f"big-{number:05}")
    made["metadata"]["annotations"] = {"note": os.urandom(50_000).hex()}
    return made


def test_a_full_disk_refuses_writes_and_heals(small, fault):
    api = small.start_api()
    asking: Caller = small.caller()
    furnish(asking)
    for number in range(10):
        asking.must("POST", ASSETS, big(number))
    ballast = fill(small)
    acknowledged = [f"big-{number:05}" for number in range(10)]
    refused = None
    for number in range(10, 400):
        got = asking.ask("POST", ASSETS, big(number))
        if got.status == 507:
            refused = got
            break
        assert got.status == 201, got
        acknowledged.append(f"big-{number:05}")
    assert refused is not None, "the disk never filled"
    assert refused.json()["reason"] == "InsufficientStorage"
    assert int(refused.headers["retry-after"]) >= 1
    for _ in range(5):
        assert asking.ask("POST", ASSETS, big(9999)).status == 507
    assert len(asking.must("GET", ASSETS)["items"]) == len(acknowledged)
    assert asking.must("GET", f"{ASSETS}/big-00003")["metadata"]["name"] == "big-00003"
    ballast.unlink()
    until(lambda: asking.ask("POST", ASSETS, big(9999)).status == 201, 10, "writes go on once there is room")
    there = {row[0] for row in small.look("select name from cipo.resource where gk = 'Asset.facilities.cipo'")}
    assert there == {*acknowledged, "big-09999"}
    assert api.poll() is None
    fault(
        f"disk full: writes answer 507 with Retry-After, reads go on, {len(acknowledged)} acknowledged are there, writes go on once there is room"
    )


def test_a_disk_too_full_for_the_log_itself_loses_nothing(small, fault):
    """Then PostgreSQL stops in order not to lie, as after a crash; the supervisor's next start finds all that was acknowledged."""
    api = small.start_api()
    asking = small.caller()
    furnish(asking)
    acknowledged = [f"small-{number:05}" for number in range(20)]
    for name in acknowledged:
        asking.must("POST", ASSETS, asset(name))
    ballast = fill(small)
    statuses: dict[int, int] = {}
    for number in range(20, 4000):
        got = asking.ask("POST", ASSETS, asset(f"small-{number:05}"))
        statuses[got.status] = statuses.get(got.status, 0) + 1
        if got.status == 201:
            acknowledged.append(f"small-{number:05}")
        if got.status == 503:
            break
        # A refused write leaves its mark in the log too, and so do writes of other sizes; both use up what is left.
        small_log(small)
    ballast.unlink()

    def healed() -> bool:
        small.start_database()  # as the supervisor does whenever it finds the server gone
        return asking.ask("POST", ASSETS, asset("afterwards")).status in (201, 409)

    until(healed, 15, "writes go on once there is room")
    there = {row[0] for row in small.look("select name from cipo.resource where gk = 'Asset.facilities.cipo'")}
    assert {*acknowledged, "afterwards"} <= there
    assert set(statuses) <= {201, 503, 507}, statuses
    assert api.poll() is None
    fault(f"disk too full for the log: {statuses}; all {len(acknowledged)} acknowledged are there after the restart")


def small_log(stage: Stage) -> None:
    """Somebody else's writing uses up the log's room."""
    with contextlib.suppress(psycopg.Error), psycopg.connect(stage.dsn, autocommit=True) as connection:
        connection.execute("select pg_logical_emit_message(false, 'test', repeat('x', 400000))")
