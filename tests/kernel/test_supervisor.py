"""The plane starts in order, heals what dies, and leaves no process behind, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import pytest

from cipo import record, supervisor
from cipo.kernel.settings import Settings
from cipo.kernel.store import embedded

DRIVER = Path(__file__).with_name("plane_driver.py")


def eventually(check: Callable[[], bool], what: str, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)  # between looks, not instead of them


def processes(home: Path) -> dict[int, str]:
    """Everything alive that belongs to this home, by its environment or its command."""
    mark, found = os.fsencode(home), {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "environ").read_bytes() + (path / "cmdline").read_bytes()
            state = (path / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if mark in words and state != "Z":
            found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
    return found


@dataclass
class Planes:
    """Starts ``cipo up`` on one home and looks at it from outside."""

    home: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, port=0, tls_port=0)

    def start(self, *names: str, port: int = 0) -> subprocess.Popen[bytes]:
        environment = os.environ | replace(self.settings, port=port).environ()
        process = subprocess.Popen([sys.executable, DRIVER, *names], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.started.append(process)
        return process

    def ready(self, *names: str) -> subprocess.Popen[bytes]:
        process = self.start(*names)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready http://localhost:"), process.communicate(timeout=20)[1].decode()
        return process

    def child(self, name: str) -> int:
        """The child's process id, once it runs."""
        found: list[int] = []

        def runs() -> bool:
            now = record.running(self.settings)
            pid = now.children.get(name) if now else None
            if pid and Path(f"/proc/{pid}").exists():
                found.append(pid)
            return bool(found)

        eventually(runs, f"{name} does not run")
        return found[0]


@pytest.fixture
def planes(cipo_home: Path) -> Iterator[Planes]:
    cipo_home.mkdir(mode=0o711)
    planes = Planes(cipo_home)
    yield planes
    for process in planes.started:
        process.kill()
        process.communicate(timeout=20)
    embedded.stop(cipo_home)
    for pid in processes(cipo_home):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_process_and_takes_less_than_ten_seconds(planes: Planes, number: signal.Signals) -> None:
    process = planes.ready("api", "worker", "stubborn")
    eventually((planes.home / "tool.started").exists, "the worker's tool did not start")
    assert embedded.running(planes.home) is not None
    begun = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == 0
    assert time.monotonic() - begun < 10
    assert processes(planes.home) == {}
    assert record.running(planes.settings) is None


def test_a_plane_of_well_behaved_children_stops_at_once(planes: Planes) -> None:
    process = planes.ready("api")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert time.monotonic() - begun < 10


def test_a_killed_child_is_started_again_and_what_it_left_is_killed(planes: Planes) -> None:
    planes.ready("api", "worker")
    worker = planes.child("worker")
    eventually(lambda: any("tool" in command for command in processes(planes.home).values()), "no tool")
    tool = next(pid for pid, command in processes(planes.home).items() if "tool" in command)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: planes.child("worker") != worker, "the worker was not started again")
    eventually(lambda: tool not in processes(planes.home), "the dead worker's tool lives on")


def test_a_killed_database_comes_back_with_its_rows(planes: Planes) -> None:
    planes.ready("api")
    url = embedded.Place(planes.home).url("postgres")
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select 1 as n")
    before = embedded.running(planes.home)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    eventually(lambda: embedded.running(planes.home) not in (None, before), "PostgreSQL did not come back")
    with psycopg.connect(url) as connection:
        assert connection.execute("select n from kept").fetchone() == (1,)


def test_a_killed_supervisor_takes_its_children_along_and_the_next_one_adopts_the_database(planes: Planes) -> None:
    first = planes.ready("api", "worker")
    children = [planes.child("api"), planes.child("worker")]
    database = embedded.running(planes.home)
    first.kill()
    first.wait(20)
    eventually(lambda: not set(children) & set(processes(planes.home)), "children outlive their supervisor")
    assert embedded.running(planes.home) == database
    second = planes.ready("api")
    assert embedded.running(planes.home) == database
    second.send_signal(signal.SIGINT)
    assert second.wait(20) == 0
    assert embedded.running(planes.home) is None


def test_a_database_that_ran_before_is_left_running(planes: Planes) -> None:
    embedded.start(planes.home)
    process = planes.ready("api")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert embedded.running(planes.home) is not None


def test_a_second_up_says_who_runs_already(planes: Planes) -> None:
    first = planes.ready("api")
    found = record.running(planes.settings)
    assert found is not None
    second = planes.start("api")
    _, said = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"cipo already runs in {planes.home} as process {first.pid} on http://localhost:{found.port}".encode() in said
    assert b"`cipo down`" in said


def test_down_stops_the_plane_of_a_home(planes: Planes) -> None:
    process = planes.ready("api", "worker")
    assert supervisor.down(planes.settings) is True
    assert process.wait(20) == 0
    assert processes(planes.home) == {}
    assert supervisor.down(planes.settings) is False


def test_down_stops_a_database_left_by_a_killed_supervisor(planes: Planes) -> None:
    process = planes.ready("api")
    process.kill()
    process.wait(20)
    assert supervisor.down(planes.settings) is True
    assert embedded.running(planes.home) is None


def test_a_lock_that_outlives_a_killed_supervisor_is_no_plane(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with record.hold(settings):  # as a child would that was forked when it was killed, or another reader's glance
        record.write(settings, record.Running(dead.pid, 1, 2))
        assert record.running(settings) is None
        record.write(settings, record.Running(os.getpid(), 1, 2))
        assert record.running(settings) is not None


def test_an_api_that_cannot_start_ends_the_plane_with_its_own_words(planes: Planes) -> None:
    process = planes.start("api=broken", "worker")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"the api does not start: ModuleNotFoundError: no module named 'nothing'; the whole story is in" in said
    assert processes(planes.home) == {}


def test_a_child_that_keeps_dying_is_reported_with_its_own_words(planes: Planes) -> None:
    process = planes.ready("api", "worker=broken")
    assert process.stderr is not None
    assert b"worker ended (exit code 1: ModuleNotFoundError: no module named 'nothing'); starting it again" in process.stderr.readline()


def test_a_taken_port_moves_only_when_a_search_is_wanted(planes: Planes) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        refused = planes.start("api", port=taken)
        assert f"CIPO_PORT={taken}: another process already listens".encode() in refused.communicate(timeout=30)[1]
        moved = planes.start("--port-search", "api", port=taken)
        assert moved.stdout is not None
        line = moved.stdout.readline().decode()
        port = int(line.rsplit(":", 1)[1])
        assert port > taken
        assert record.as_running(replace(planes.settings, port=taken)).port == port


def test_the_supervisor_stays_small(planes: Planes) -> None:
    process = planes.ready("api")
    status = Path(f"/proc/{process.pid}/status").read_text()
    resident_kb = int(status.split("VmRSS:")[1].split()[0])
    assert resident_kb < 40 * 1024
