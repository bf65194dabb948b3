"""The embedded PostgreSQL: private, shared by its starters, patient, and without loss when it is killed."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cipo.kernel.store import embedded
from cipo.kernel.store.place import Place, StoreError, find_package


def family(postmaster: int) -> list[int]:
    """The postmaster and its children."""
    pids = [postmaster]
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        if int(fields[1]) == postmaster:
            pids.append(int(path.parent.name))
    return pids


def alive(pid: int) -> bool:
    """Whether the process still runs; its uncollected remains do not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids: list[int], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "processes survived"
        os.sched_yield()


def scalar(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_the_first_start_makes_a_private_server_and_the_second_finds_it(cipo_home: Path) -> None:
    first = embedded.start(cipo_home)
    begun = time.monotonic()
    second = embedded.start(cipo_home)
    assert time.monotonic() - begun < 10
    assert (first.owned, second.owned) == (True, False)
    assert first.api == second.api
    place = Place(cipo_home)
    assert stat.S_IMODE(place.sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE(place.password.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.data.stat().st_mode) == 0o700
    assert scalar(first.admin, "show listen_addresses") == ""
    assert scalar(first.admin, "show data_checksums") == "on"
    assert scalar(first.admin, "select datlocale from pg_database where datname = 'cipo'") == "C.UTF-8"


def test_nobody_gets_in_without_the_password(cipo_home: Path) -> None:
    url = embedded.start(cipo_home).api
    password = Place(cipo_home).password.read_text().strip()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "wrong"))
    with pytest.raises(psycopg.OperationalError, match="no password"):
        psycopg.connect(url.replace(f":{password}", ""))


def test_each_role_has_its_deadline(cipo_home: Path) -> None:
    urls = embedded.start(cipo_home)
    assert scalar(urls.api, "show transaction_timeout") == "10s"
    assert scalar(urls.api, "show lock_timeout") == "5s"
    assert scalar(urls.worker, "show transaction_timeout") == "1min"
    assert scalar(urls.read, "show default_transaction_read_only") == "on"
    assert scalar(urls.api, "show idle_in_transaction_session_timeout") == "15s"


def test_starters_at_the_same_moment_share_one_server(cipo_home: Path) -> None:
    results: list[embedded.Dsn] = []
    threads = [threading.Thread(target=lambda: results.append(embedded.start(cipo_home))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(result.owned for result in results) == [False, False, False, True]
    assert len({result.admin for result in results}) == 1


class Writers:
    """Threads that insert numbers one commit at a time and remember which the server acknowledged."""

    def __init__(self, url: str, count: int) -> None:
        self.acknowledged: list[int] = []
        self._url, self._next, self._lock = url, iter(range(10**9)), threading.Lock()
        self._threads = [threading.Thread(target=self._write) for _ in range(count)]

    def _write(self) -> None:
        try:
            with psycopg.connect(self._url, autocommit=True) as connection:
                while True:
                    with self._lock:
                        number = next(self._next)
                    connection.execute("insert into kept values (%s)", [number])
                    self.acknowledged.append(number)
        except psycopg.Error:
            return  # the server was killed: what is not acknowledged may be lost

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(30)

    def wait_for(self, rows: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.acknowledged) < rows:
            assert time.monotonic() < deadline, f"only {len(self.acknowledged)} rows"
            os.sched_yield()


def test_no_acknowledged_row_is_lost_when_every_process_is_killed(cipo_home: Path) -> None:
    url = embedded.start(cipo_home).admin
    with psycopg.connect(url) as connection:
        connection.execute("create table kept (n bigint primary key)")
    postmaster = embedded.running(cipo_home)
    assert postmaster is not None
    with Writers(url, 4) as writers:
        writers.wait_for(400)
        victims = family(postmaster)
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
    wait_until_gone(victims)
    assert embedded.running(cipo_home) is None
    assert embedded.start(cipo_home).owned
    with psycopg.connect(url) as connection:
        found = {n for (n,) in connection.execute("select n from kept")}
    assert set(writers.acknowledged) <= found
    assert len(found - set(writers.acknowledged)) <= 4  # at most one commit a writer was under way


def test_a_server_whose_postmaster_alone_was_killed_starts_again(cipo_home: Path) -> None:
    url = embedded.start(cipo_home).admin
    postmaster = embedded.running(cipo_home)
    assert postmaster is not None
    with psycopg.connect(url, autocommit=True) as connection:
        os.kill(postmaster, signal.SIGKILL)
        wait_until_gone([postmaster])
        assert embedded.start(cipo_home).owned
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    assert scalar(url, "select 1") == 1


def test_stop_ends_every_process_and_says_whether_there_was_one(cipo_home: Path) -> None:
    embedded.start(cipo_home)
    postmaster = embedded.running(cipo_home)
    assert postmaster is not None
    processes = family(postmaster)
    assert embedded.stop(cipo_home) is True
    wait_until_gone(processes)
    assert embedded.running(cipo_home) is None
    assert embedded.stop(cipo_home) is False


def test_a_half_made_data_directory_is_made_again(cipo_home: Path) -> None:
    half = Place(cipo_home).root / "18.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert scalar(embedded.start(cipo_home).admin, "select 1") == 1


@pytest.mark.parametrize(
    ("directory", "version", "remedy"), [("18", "17", r"mv \S+ \S+\.old"), ("16", "16", r"pg_upgrade -b \S+/pginstall/bin")]
)
def test_data_of_another_version_is_refused_with_the_command(cipo_home: Path, directory: str, version: str, remedy: str) -> None:
    data = cipo_home / "pg" / directory
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text(f"{version}\n")
    with pytest.raises(StoreError, match=rf"written by PostgreSQL {version} and this cipo brings 18; .*{remedy}"):
        embedded.start(cipo_home)


@pytest.fixture
def long_home(cipo_home: Path) -> Iterator[Path]:
    home = cipo_home / ("deep" * 25)
    yield home
    embedded.stop(home)


def test_a_path_too_long_for_a_socket_gets_a_private_directory_elsewhere(long_home: Path) -> None:
    cipo_home = long_home.parent
    cipo_home.mkdir(mode=0o711)
    url = embedded.start(long_home).admin
    sockets = Place(long_home).sockets
    assert len(str(sockets)) < 60
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert scalar(url, "select 1") == 1
    embedded.stop(long_home)
    assert not sockets.exists()


def test_a_socket_directory_prepared_by_somebody_else_is_refused(long_home: Path) -> None:
    long_home.parent.mkdir(mode=0o711)
    Place(long_home).sockets.symlink_to(long_home.parent)
    try:
        with pytest.raises(StoreError, match="belongs to another user"):
            embedded.start(long_home)
    finally:
        Place(long_home).sockets.unlink()


def test_a_home_that_the_servers_user_cannot_reach_is_refused_with_the_remedy(cipo_home: Path) -> None:
    closed = cipo_home / "closed"
    closed.mkdir(parents=True, mode=0o700)
    cipo_home.chmod(0o711)
    if os.geteuid() == 0:
        with pytest.raises(StoreError, match=rf"may not pass through {closed}; run `chmod o\+x {closed}`"):
            embedded.start(closed / "home")
    else:  # an ordinary user's server runs as that user and reaches what the user reaches
        assert scalar(embedded.start(closed / "home").admin, "select 1") == 1
        embedded.stop(closed / "home")


def test_programs_that_the_servers_user_cannot_reach_are_copied_into_the_home(cipo_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = find_package()
    closed = cipo_home / "closed"
    closed.mkdir(parents=True, mode=0o700)
    cipo_home.chmod(0o711)
    shutil.copytree(package / "pginstall18", closed / package.name / "pginstall18", ignore=shutil.ignore_patterns("include"))
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    monkeypatch.setattr("cipo.kernel.store.place.find_package", lambda: closed / package.name)
    home = cipo_home / "home"
    assert scalar(embedded.start(home).admin, "select 1") == 1
    assert bool(list(Place(home).root.glob("programs-*"))) == (os.geteuid() == 0)
    embedded.stop(home)


def test_an_operators_own_settings_have_the_last_word(cipo_home: Path) -> None:
    embedded.start(cipo_home)
    embedded.stop(cipo_home)
    (Place(cipo_home).root / "local.conf").write_text("work_mem = '7MB'\n")
    assert scalar(embedded.start(cipo_home).admin, "show work_mem") == "7MB"


def test_a_wrong_setting_is_reported_with_the_servers_own_words(cipo_home: Path) -> None:
    embedded.start(cipo_home)
    embedded.stop(cipo_home)
    (Place(cipo_home).root / "local.conf").write_text("work_mem = 'much'\n")
    with pytest.raises(StoreError, match=r"does not start: .*postgres\.log"):
        embedded.start(cipo_home)


def test_a_process_connects_to_an_external_server_with_its_roles_deadlines(pg_dsn: str) -> None:
    url = embedded.dsn(Path("/nonexistent"), pg_dsn, "cipo_api")
    assert scalar(url, "show statement_timeout") == "10s"
    assert scalar(url, "show lock_timeout") == "5s"
    assert scalar(url, "show idle_in_transaction_session_timeout") == "15s"


def test_a_home_without_a_database_says_how_to_get_one(cipo_home: Path) -> None:
    with pytest.raises(StoreError, match="start it with `cipo up`"):
        embedded.dsn(cipo_home, None)
