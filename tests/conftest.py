"""Fixtures of the whole suite: a database for each test on one real PostgreSQL, and the rule that CI skips nothing.

One server serves the session and all xdist workers: the embedded one in a temporary home, or the one of ``CIPO_TEST_DATABASE_URL``
(a superuser's URL), with which the suite runs against another PostgreSQL such as Debian's 15. A database costs about 20 ms: it is a
file copy of a template that is migrated once.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from cipo.kernel.store import embedded, migrate
from tests.live import Live, plane

# Tests that kill the server start their own with the real settings; here nothing needs to survive a crash.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200", "shared_buffers": "64MB"}
SESSION = "CIPO_TEST_SESSION"  # the directory that the pytest process and its workers share
PREFIX = "cipo-test-"
EXTERNAL = "CIPO_TEST_DATABASE_URL"
ON_CI = os.environ.get("CI", "").lower() in ("1", "true")

_numbers = itertools.count()
_skipped: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith("CIPO_") and not name.startswith(("CIPO_TEST_", "CIPO_SHARED_"))]:
        del os.environ[name]  # a developer's own settings are not part of the test
    if not hasattr(config, "workerinput"):
        _clear_killed_sessions()
        directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        directory.chmod(0o711)  # the server's own user passes through
        (directory / "pid").write_text(str(os.getpid()))
        os.environ[SESSION] = str(directory)


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    directory = Path(os.environ.pop(SESSION))
    home = directory / "home"
    if home.exists():
        embedded.stop(home)
    if os.environ.get(EXTERNAL) and (directory / "template").exists():
        _drop(os.environ[EXTERNAL], (directory / "template").read_text())
    shutil.rmtree(directory, ignore_errors=True)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """On CI a skipped test is a failure: something it needs was not installed."""
    if ON_CI and _skipped and not hasattr(session.config, "workerinput"):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.section("skipped on CI, where nothing may be skipped", red=True)
            for name in sorted(set(_skipped)):
                reporter.line(name, red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """cipo runs on asyncio only."""
    return "asyncio"


@pytest.fixture(scope="session")
def session_directory() -> Path:
    """Scratch space shared by all workers of this run."""
    return Path(os.environ[SESSION])


@pytest.fixture(scope="session")
def pg_server(session_directory: Path) -> str:
    """The superuser's URL of the session's server, with the template in place."""
    with _one_at_a_time(session_directory / "lock"):
        url = os.environ.get(EXTERNAL) or embedded.start(session_directory / "home", conf=FAST).admin
        marker = session_directory / "template"
        if not marker.exists():
            name = f"cipo_template_{secrets.token_hex(4)}"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            migrate.migrate(_in_database(url, name))
            marker.write_text(name)
    return url


@pytest.fixture
def pg_dsn(pg_server: str, session_directory: Path) -> Iterator[str]:
    """A migrated, empty database of this test's own: the superuser's URL."""
    with _database(pg_server, session_directory) as url:
        yield url


@pytest.fixture(scope="module")
def module_dsn(pg_server: str, session_directory: Path) -> Iterator[str]:
    """A migrated database shared by the tests of one module: the superuser's URL."""
    with _database(pg_server, session_directory) as url:
        yield url


@pytest.fixture
def cipo_home(session_directory: Path) -> Iterator[Path]:
    """An empty CIPO_HOME for a server or a whole plane of this test's own; its server is stopped afterwards.

    Not below ``tmp_path``: pytest closes that to other users, and as root the server runs as another user.
    """
    home = session_directory / f"home-{os.getpid()}-{next(_numbers)}"
    yield home
    if home.exists():
        embedded.stop(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def live_api(module_dsn: str) -> Iterator[Live]:
    """The API and a worker as real processes, on a database of this module's own."""
    with plane(module_dsn) as live:
        yield live


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data handed to the project (device types, request logs); CIPO_SHARED_DATA names it, default ../shared/data."""
    path = Path(os.environ.get("CIPO_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no shared data at {path}; set CIPO_SHARED_DATA")
    return path


def _clear_killed_sessions() -> None:
    """Stop the servers of earlier runs that were killed before they could."""
    for marker in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/pid"):
        try:
            if marker.stat().st_uid != os.geteuid() or Path(f"/proc/{marker.read_text()}").exists():
                continue
            for home in marker.parent.glob("home*"):
                embedded.stop(home)
            shutil.rmtree(marker.parent, ignore_errors=True)
        except (OSError, embedded.StoreError):
            continue  # another run clears it at this moment


@contextmanager
def _database(server: str, session_directory: Path) -> Iterator[str]:
    template = (session_directory / "template").read_text()
    name = f"cipo_test_{os.getpid()}_{next(_numbers)}"
    create = sql.SQL("create database {} template {} strategy file_copy")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield _in_database(server, name)
    finally:
        _drop(server, name)


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _in_database(url: str, name: str) -> str:
    """The same URL for another database of the server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
