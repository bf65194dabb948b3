"""What an operator may set, read once from the environment by ``cipo`` and handed to every process of the plane.

The supervisor, the API, the worker and the tests take one frozen ``Settings``; nothing else in the kernel reads the environment.
A wrong value is refused with the variable, the value and the remedy, all of them at once. Only the standard library is imported,
because the supervisor must stay small.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from cipo.kernel.errors import CipoError

DEFAULT_PORT = 8080
TLS_OFFSET = 363  # 8080 -> 8443
MAX_PORT = 65535
SEARCH_SPAN = 100  # how many ports after the wished one a search tries
LOG_LEVELS = ("debug", "info", "warning", "error")
WORLD_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")

LogLevel = Literal["debug", "info", "warning", "error"]


class SettingsError(CipoError):
    """One or more settings cannot be used; each line names the variable, its value and what would be right."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class PortTaken(SettingsError):
    """A listener's port is held by another process."""

    def __init__(self, variable: str, host: str, port: int) -> None:
        super().__init__(
            [
                f"{variable}={port}: another process already listens on {host}:{port}; "
                f"stop it, set {variable} to a free port, or pass --port-search to take the next free one"
            ]
        )
        self.port = port


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything configurable about one cipo. Children of the supervisor get the same values through ``environ()``."""

    home: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tls_port: int = DEFAULT_PORT + TLS_OFFSET
    tls_port_given: bool = False
    database_url: str | None = None
    chart: Path | None = None
    lab: bool = False
    world: str = "tramline"
    log_level: LogLevel = "info"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings of this process's environment; raises ``SettingsError`` listing every bad variable."""
        reader = _Reader(os.environ if environ is None else environ)
        port = reader.port("CIPO_PORT", DEFAULT_PORT)
        tls_port = reader.port("CIPO_TLS_PORT", _tls_port_for(port))
        settings = cls(
            home=reader.directory("CIPO_HOME") or default_home(reader.environ),
            host=reader.host("CIPO_HOST", "127.0.0.1"),
            port=port,
            tls_port=tls_port,
            tls_port_given=bool(reader.text("CIPO_TLS_PORT")),
            database_url=reader.database_url("CIPO_DATABASE_URL"),
            chart=reader.existing_directory("CIPO_CHART"),
            lab=reader.switch("CIPO_LAB", default=False),
            world=reader.world("CIPO_WORLD", "tramline"),
            log_level=reader.log_level("CIPO_LOG_LEVEL"),
        )
        if settings.tls_port_given and settings.tls_port and settings.tls_port == settings.port:
            reader.problems.append(f"CIPO_TLS_PORT={tls_port}: is also CIPO_PORT; give the TLS listener a port of its own")
        if reader.problems:
            raise SettingsError(reader.problems)
        return settings

    @property
    def loopback(self) -> bool:
        """Whether the listeners are reachable from this machine only; if not, plain HTTP is never offered."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the console."""
        if self.loopback:
            return f"http://localhost:{self.port}"
        return self.tls_url

    @property
    def tls_url(self) -> str:
        """Where kubectl finds the API; the name is covered by the server certificate."""
        if self.loopback:
            return f"https://localhost:{self.tls_port}"
        wildcard = self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        name = socket.gethostname() if wildcard else self.host
        return f"https://{f'[{name}]' if ':' in name else name}:{self.tls_port}"

    @property
    def log_dir(self) -> Path:
        """One log file a process."""
        return self.home / "log"

    @property
    def run_dir(self) -> Path:
        """Pid file and sockets of the running plane."""
        return self.home / "run"

    @property
    def tls_dir(self) -> Path:
        """The local certificate authority and the server certificate."""
        return self.home / "tls"

    def environ(self) -> dict[str, str]:
        """The variables that make a child process read these very settings."""
        values = {
            "CIPO_HOME": str(self.home),
            "CIPO_HOST": self.host,
            "CIPO_PORT": str(self.port),
            "CIPO_TLS_PORT": str(self.tls_port),
            "CIPO_LAB": "on" if self.lab else "off",
            "CIPO_WORLD": self.world,
            "CIPO_LOG_LEVEL": self.log_level,
        }
        if self.database_url:
            values["CIPO_DATABASE_URL"] = self.database_url
        if self.chart:
            values["CIPO_CHART"] = str(self.chart)
        return values

    def with_free_ports(self, *, search: bool = False) -> Settings:
        """The same settings with ports that can be bound now.

        A taken ``CIPO_PORT`` raises ``PortTaken`` unless ``search``; a TLS port that nobody chose moves to the next free one by itself.
        """
        port = self.port
        if self.loopback:
            port = _settle("CIPO_PORT", self.host, self.port, search=search, avoid=0)
        wished = self.tls_port if self.tls_port_given or port == self.port else _tls_port_for(port)
        tls_port = _settle("CIPO_TLS_PORT", self.host, wished, search=search or not self.tls_port_given, avoid=port)
        return replace(self, port=port, tls_port=tls_port)


def default_home(environ: Mapping[str, str]) -> Path:
    """Where data lives unless CIPO_HOME says otherwise: the system's place for root, the user's for everybody else."""
    if os.geteuid() == 0:
        return Path("/var/lib/cipo")
    data = environ.get("XDG_DATA_HOME", "")
    base = Path(data) if data.startswith("/") else Path(environ.get("HOME") or Path.home()) / ".local" / "share"
    return base / "cipo"


def is_loopback(host: str) -> bool:
    """Whether an address or name stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls_port_for(port: int) -> int:
    if port == 0:
        return 0
    return port + TLS_OFFSET if port + TLS_OFFSET <= MAX_PORT else port - TLS_OFFSET


def _settle(variable: str, host: str, wished: int, *, search: bool, avoid: int) -> int:
    """The wished port, or the first free one after it; 0 asks the system for any."""
    if wished == 0:
        while (port := _bindable(host, 0)) in (None, avoid):
            continue
        return port
    last = min(wished + SEARCH_SPAN, MAX_PORT) if search else wished
    for port in range(wished, last + 1):
        if port != avoid and _bindable(host, port) is not None:
            return port
    if search:
        raise SettingsError([f"{variable}={wished}: no free port from {wished} to {last} on {host}; set {variable} to a free one"])
    raise PortTaken(variable, host, wished)


def _bindable(host: str, port: int) -> int | None:
    """The port number if a listener could bind it now, None if somebody holds it."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise SettingsError([f"CIPO_HOST={host}: {error.strerror or error}; set an address of this machine"]) from error
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise SettingsError([f"port {port} on {host}: this user may not bind it; choose a port above 1023"]) from error
            raise SettingsError([f"CIPO_HOST={host}: {error.strerror}; set an address of this machine"]) from error
        return int(probe.getsockname()[1])


class _Reader:
    """Reads variables and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[str] = []

    def text(self, name: str) -> str:
        return self.environ.get(name, "").strip()

    def port(self, name: str, default: int) -> int:
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit()) or int(text[:6]) > MAX_PORT:
            self.problems.append(f"{name}={text!r}: is not a port; set a number from 0 (any free one) to {MAX_PORT}")
            return default
        return int(text)

    def switch(self, name: str, *, default: bool) -> bool:
        text = self.text(name).lower()
        if text in ("", "1", "0", "on", "off", "true", "false", "yes", "no"):
            return default if not text else text in ("1", "on", "true", "yes")
        self.problems.append(f"{name}={text!r}: is neither on nor off; set on or off")
        return default

    def directory(self, name: str) -> Path | None:
        text = self.text(name)
        if not text:
            return None
        path = Path(text).expanduser()
        if "\n" in text or "\0" in text:
            self.problems.append(f"{name}={text!r}: holds a line break; set a plain path")
        elif path.exists() and not path.is_dir():
            self.problems.append(f"{name}={text!r}: is not a directory; set a directory, it is created when missing")
        return Path(os.path.abspath(path))  # noqa: PTH100 - keeps symlinks as the operator wrote them

    def existing_directory(self, name: str) -> Path | None:
        path = self.directory(name)
        if path is not None and not path.exists():
            self.problems.append(f"{name}={str(path)!r}: no such directory; set the directory that holds the chart's YAML files")
        return path

    def host(self, name: str, default: str) -> str:
        text = self.text(name) or default
        if re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", text) is None:
            self.problems.append(f"{name}={text!r}: is not a host; set an address of this machine such as 127.0.0.1 or 0.0.0.0")
        return text

    def database_url(self, name: str) -> str | None:
        text = self.text(name)
        if text and not text.startswith(("postgresql://", "postgres://")):
            scheme = text.split("://", 1)[0][:30] if "://" in text else "no scheme"
            self.problems.append(
                f"{name}: starts with {scheme!r}; set postgresql://user:password@host:5432/database (PostgreSQL 15 or newer)"
            )
        return text or None

    def world(self, name: str, default: str) -> str:
        text = self.text(name) or default
        if not WORLD_NAME.fullmatch(text):
            self.problems.append(f"{name}={text!r}: is not a sample organisation's name; set one such as {default}")
        return text

    def log_level(self, name: str) -> LogLevel:
        text = self.text(name).lower() or "info"
        if text not in LOG_LEVELS:
            self.problems.append(f"{name}={text!r}: is not a log level; set one of {', '.join(LOG_LEVELS)}")
            return "info"
        return cast("LogLevel", text)
