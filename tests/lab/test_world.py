"""The World starts fixtures in order, each behind a gate, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cipo.lab.catalogue import fixtures
from cipo.lab.errors import FixtureFailed, LabError
from cipo.lab.fixture import ConnectionSpec, Fixture, Program
from cipo.lab.proc import family, started_at, usage
from cipo.lab.world import World, ordered, read_state, running_worlds

pytestmark = pytest.mark.anyio


class Mute(Program):
    """Runs, says one line, never listens; has a child of its own."""

    name = "mute"
    provides = (ConnectionSpec("mute", "http"),)

    def command(self, directory, ports):
        return ("sh", "-c", "echo I will not answer; sleep 1000 & echo $! > child; wait")


class Missing(Program):
    name = "missing"
    debian_package = "frr"

    def command(self, directory, ports):
        return ("no-such-program-of-cipo",)


class Short(Program):
    name = "short"
    provides = (ConnectionSpec("short", "http"),)

    def command(self, directory, ports):
        return ("sh", "-c", "echo config is wrong; exit 3")


def gone(pid: int) -> bool:
    return usage(pid) is None


def until(condition, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


async def test_a_fixture_answers_through_its_gate(tmp_path, http):
    async with World(tmp_path, fixtures(["http-echo"]), seed=1) as world:
        answer = await http.post(world.url("http-echo") + "/a/b?c=1", content=b"hello", headers={"X-One": "1"})
        assert answer.json() | {"headers": None} == {"method": "POST", "path": "/a/b?c=1", "body": "hello", "headers": None}
        assert answer.json()["headers"]["x-one"] == "1"
        assert (tmp_path / "http-echo.log").exists()


async def test_the_gate_is_not_the_fixtures_own_port(tmp_path):
    async with World(tmp_path, fixtures(["http-echo"]), seed=1) as world:
        own = world._running["http-echo"].fixture.port("http-echo")
        assert f":{own}" not in world.url("http-echo")


async def test_a_large_body_passes_unharmed(tmp_path, http):
    async with World(tmp_path, fixtures(["http-echo"]), seed=1) as world:
        body = "x" * (1 << 20)
        assert (await http.post(world.url("http-echo"), content=body)).json()["body"] == body
        assert (await http.post(world.url("http-echo"), content=body + "y")).status_code == 413


async def test_webhooks_are_kept_in_memory_and_on_disk(tmp_path, http):
    async with World(tmp_path, fixtures(["webhook-sink"]), seed=1) as world:
        hook = world.url("webhook-sink").removesuffix("/received")
        assert (await http.post(hook + "/alerts", json={"alert": 1})).status_code == 204
        assert [entry["body"] for entry in (await http.get(hook + "/received")).json()] == ['{"alert":1}']
        assert json.loads((tmp_path / "webhook-sink" / "received.jsonl").read_text())["path"] == "/alerts"


async def test_nothing_is_left_when_the_world_ends(tmp_path):
    async with World(tmp_path, fixtures(["http-echo", "webhook-sink"]), seed=1):
        state = running_worlds(tmp_path)[0]
        pids = [fixture["pid"] for fixture in state["fixtures"]]
        assert state["pid"] == os.getpid()
        assert all(not gone(pid) for pid in pids)
    assert all(gone(pid) for pid in pids)
    assert running_worlds(tmp_path) == []


async def test_a_fixture_that_never_answers_fails_with_its_log_and_takes_its_children_along(tmp_path):
    with pytest.raises(FixtureFailed, match=r"mute: not healthy after 1 s\n.*\nI will not answer"):
        async with World(tmp_path, [*fixtures(["http-echo"]), Mute()], seed=1, deadline_s=1):
            pass
    child = int((tmp_path / "mute" / "child").read_text())
    assert until(lambda: gone(child))
    assert [used for used in family(os.getpid()) if "http_echo" in used.name] == []


async def test_a_fixture_that_ends_at_once_fails_with_its_exit_code(tmp_path):
    with pytest.raises(FixtureFailed, match=r"ended with 3\n.*\nconfig is wrong"):
        async with World(tmp_path, [Short()], seed=1):
            pass


async def test_a_missing_program_names_its_package(tmp_path):
    with pytest.raises(FixtureFailed, match="not installed; install the Debian package frr"):
        async with World(tmp_path, [Missing()], seed=1):
            pass


async def test_a_second_world_of_the_same_label_is_refused(tmp_path):
    async with World(tmp_path, [], seed=1):
        with pytest.raises(LabError, match="runs already"):
            async with World(tmp_path, [], seed=1):
                pass
        assert len(running_worlds(tmp_path)) == 1


async def test_a_state_file_of_a_dead_process_is_ignored(tmp_path):
    (tmp_path / "fixtures.world.json").write_text(json.dumps({"pid": os.getpid(), "started": (started_at(os.getpid()) or 0) - 1}))
    assert read_state(tmp_path / "fixtures.world.json") == {}
    async with World(tmp_path, [], seed=1):
        pass


async def test_a_killed_world_leaves_no_process(tmp_path):
    script = (
        "import anyio, sys\nfrom pathlib import Path\nfrom cipo.lab.catalogue import fixtures\nfrom cipo.lab.world import World\n"
        "async def main():\n"
        "    async with World(Path(sys.argv[1]), fixtures(['http-echo']), seed=1):\n"
        "        print('up', flush=True)\n        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)  # noqa: ASYNC220
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        pid = running_worlds(tmp_path)[0]["fixtures"][0]["pid"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert until(lambda: gone(pid))


class Stub(Fixture):
    """A fixture of which only the name and the needs matter."""

    def __init__(self, name: str, *needs: str) -> None:
        self.name, self.needs = name, needs  # type: ignore[misc]

    async def start(self, directory: Path, ports):
        raise NotImplementedError

    async def stop(self) -> None:
        return


def test_fixtures_start_after_those_they_need():
    order = [one.name for one in ordered([Stub("c", "b"), Stub("a"), Stub("b", "a")])]
    assert order.index("a") < order.index("b") < order.index("c")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ([Stub("a", "b")], "fixture a needs 'b'"),
        ([Stub("a"), Stub("a")], "two fixtures are called 'a'"),
        ([Stub("a", "b"), Stub("b", "a")], "in a circle"),
    ],
)
def test_a_world_that_cannot_be_ordered_says_why(wrong, sentence):
    with pytest.raises(LabError, match=sentence):
        ordered(wrong)


def test_an_unknown_fixture_lists_the_known_ones():
    with pytest.raises(LabError, match="choose from clock, http-echo, webhook-sink"):
        fixtures(["htp-echo"])
