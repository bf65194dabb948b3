"""``cipo up``: the embedded PostgreSQL, the API, the worker and the lab under one roof, started in order, kept alive, stopped together.

One process with one thread that sleeps until a child ends, a signal comes, or half a second has passed. It imports the standard library
and little else; what needs the database driver (migrations, the sign-in link) runs in processes of its own. Whatever dies is started
again with growing pauses, PostgreSQL included; the others wait for it by themselves. Nothing that was started here outlives a stop.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType

from cipo import record
from cipo.children import Child, Command, become_reaper, collect, offspring, signal_group, trim
from cipo.kernel.errors import CipoError
from cipo.kernel.settings import Settings
from cipo.kernel.store import embedded
from cipo.record import Running

TICK_S = 0.5
READY_S = 60.0
TRIES_BEFORE_READY = 3  # a child that cannot even start is an error, not something to repeat for ever
CHILDREN_STOP_S = 4.0
DATABASE_STOP_S = 3
TRIM_EVERY_S = 60.0

Say = Callable[[str], None]
Ready = Callable[[Settings], None]


class SupervisorError(CipoError):
    """The plane cannot be started or stopped; says which part, why, and what to do."""


def commands(settings: Settings) -> tuple[Command, ...]:
    """The processes of a plane."""
    python = sys.executable
    found = [Command("api", (python, "-m", "cipo.kernel.serve")), Command("worker", (python, "-m", "cipo.worker"))]
    if settings.lab:
        found.append(Command("lab", (python, "-m", "cipo.lab"), late=True))
    return tuple(found)


def prepare_command() -> tuple[str, ...]:
    """What makes the database ready for these processes."""
    return (sys.executable, "-m", "cipo.prepare")


def up(
    settings: Settings,
    *,
    port_search: bool = False,
    ready: Ready | None = None,
    children: Sequence[Command] | None = None,
    prepare: Sequence[str] | None = None,
    say: Say | None = None,
) -> int:
    """Run the plane until SIGINT or SIGTERM; the exit code. ``ready`` is called, in a process of its own, once the API answers."""
    tell = say or _say
    settings.home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    with record.hold(settings):
        settings.log_dir.mkdir(mode=0o711, exist_ok=True)
        settled = settings.with_free_ports(search=port_search)
        if settled.port != settings.port and settings.port and settings.loopback:
            tell(f"port {settings.port} is taken, using {settled.port}")
        if settled.tls_port != settings.tls_port and settings.tls_port and settings.tls_port_given:
            tell(f"port {settings.tls_port} is taken, using {settled.tls_port}")
        settled = replace(settled, tls_port_given=True)
        plane = _Plane(settled, tell, commands(settled) if children is None else tuple(children))
        return plane.run(prepare_command() if prepare is None else tuple(prepare), ready)


def down(settings: Settings, *, timeout_s: float = 20.0) -> bool:
    """Stop the plane of this home, or a database that a killed supervisor left behind; False if nothing ran."""
    found = record.running(settings)
    if found is not None:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself just now
            os.kill(found.pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while record.running(settings) is not None:
            if time.monotonic() > deadline:
                raise SupervisorError(f"cipo of {settings.home} (process {found.pid}) does not stop; look into {settings.log_dir}")
            time.sleep(0.05)
        return True
    return settings.database_url is None and embedded.stop(settings.home)


class _Plane:
    """One run of ``up``."""

    def __init__(self, settings: Settings, say: Say, wanted: tuple[Command, ...]) -> None:
        self.settings = settings
        self.say = say
        self.children = [Child(command, settings.log_dir / f"{command.name}.log") for command in wanted]
        self.owner = settings.run_dir / "pg.owner"  # there while the database is a supervisor's to stop
        self.stopping = 0
        self.is_ready = False
        self.database_due = 0.0
        self.database_failures = 0
        self.trimmed = time.monotonic()
        self.strangers = offspring()  # children that this process had before, none of our business
        self.bell, self._ring = socket.socketpair()

    def run(self, prepare: tuple[str, ...], ready: Ready | None) -> int:
        become_reaper()
        with self._signals():
            try:
                self._write_record()
                self._start_database()
                if not self.stopping:
                    self._prepare(prepare)
                self._keep_alive(ready)
            finally:
                self._stop()
        return 0

    # --- starting ---------------------------------------------------------------------------------------------------------------

    def _start_database(self) -> None:
        if self.settings.database_url is None and embedded.start(self.settings.home).owned:
            self.owner.write_text(str(os.getpid()))

    def _prepare(self, command: tuple[str, ...]) -> None:
        done = subprocess.run(  # noqa: S603 - our own command
            command, env=self._environ(), stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True, check=False
        )
        if done.returncode:
            words = [line for line in done.stderr.splitlines() if line.strip()] or ["no output"]
            raise SupervisorError(f"the database cannot be prepared: {words[-1]}")
        if done.stdout.strip():
            self.say(done.stdout.strip())

    def _environ(self) -> dict[str, str]:
        return os.environ | self.settings.environ() | {"PYTHONUNBUFFERED": "1"}

    # --- while it runs ----------------------------------------------------------------------------------------------------------

    def _keep_alive(self, ready: Ready | None) -> None:
        give_up = time.monotonic() + READY_S
        while not self.stopping:
            self._collect()
            self._watch_database()
            for child in self.children:
                if child.pid is None and time.monotonic() >= child.due and (self.is_ready or not child.command.late):
                    child.start(self._environ())
                    self._write_record()
            if not self.is_ready:
                self._check_ready(give_up, ready)
            self._trim_logs()
            self._sleep()

    def _sleep(self) -> None:
        now = time.monotonic()
        due = [child.due - now for child in self.children if child.pid is None and child.due > now]
        select.select([self.bell], [], [], min([TICK_S if self.is_ready else 0.05, *due]))
        with contextlib.suppress(BlockingIOError):
            self.bell.recv(4096)

    def _collect(self) -> None:
        """Note who ended, and kill what a dead child left running."""
        for pid, status in collect():
            child = next((child for child in self.children if child.pid == pid), None)
            if child is None:
                continue
            child.ended(status)
            self._kill_strays()
            if not self.is_ready and child.failures >= TRIES_BEFORE_READY and not child.command.late:
                raise SupervisorError(f"the {child.command.name} does not start: {child.last_words()}; the whole story is in {child.log}")
            if not self.stopping:
                self.say(f"{child.command.name} ended ({child.last_exit}: {child.last_words()}); starting it again, its log is {child.log}")

    def _kill_strays(self) -> None:
        """Orphans of dead children are ours since we collect them; all but the database end."""
        known = {child.pid for child in self.children} | {embedded.postmaster(self.settings.home)}
        for pid in offspring() - known - self.strangers:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _watch_database(self) -> None:
        if self.settings.database_url is not None or time.monotonic() < self.database_due:
            return
        if embedded.running(self.settings.home) is not None:
            self.database_failures = 0
            return
        self.say("PostgreSQL is gone; starting it again")
        try:
            self._start_database()
            self.say("PostgreSQL is back")
        except embedded.StoreError as error:
            self.database_failures += 1
            pause = min(2.0**self.database_failures, 30.0)
            self.database_due = time.monotonic() + pause
            self.say(f"{error}; next try in {pause:.0f} s")

    def _check_ready(self, give_up: float, ready: Ready | None) -> None:
        if not any(child.command.name == "api" for child in self.children) or answers(self.settings):
            self.is_ready = True
            self._write_record()
            if ready is not None:
                _in_own_process(ready, self.settings)
        elif time.monotonic() > give_up:
            api = next(child for child in self.children if child.command.name == "api")
            raise SupervisorError(f"the API is not ready after {READY_S:.0f} s: {api.last_words()}; the whole story is in {api.log}")

    def _write_record(self) -> None:
        children = {child.command.name: child.pid for child in self.children}
        record.write(self.settings, Running(os.getpid(), self.settings.port, self.settings.tls_port, self.is_ready, children))

    def _trim_logs(self) -> None:
        if time.monotonic() > self.trimmed + TRIM_EVERY_S:
            self.trimmed = time.monotonic()
            for child in self.children:
                trim(child.log)

    # --- stopping ---------------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Children first, then what they left, then the database if it is ours; a second signal shortens the patience."""
        self.stopping = max(self.stopping, 1)
        alive = [child for child in self.children if child.pid is not None]
        for child in alive:
            signal_group(child.pid or 0, signal.SIGTERM)
        deadline = time.monotonic() + CHILDREN_STOP_S
        while any(child.pid is not None for child in alive) and time.monotonic() < deadline and self.stopping < 2:
            self._sleep()
            for pid, status in collect():
                for child in alive:
                    if child.pid == pid:
                        child.ended(status)
        for child in alive:
            if child.pid is not None:
                signal_group(child.pid, signal.SIGKILL)
        self._kill_strays()
        if self.settings.database_url is None and self.owner.exists():
            embedded.stop(self.settings.home, timeout_s=DATABASE_STOP_S)
            self.owner.unlink()
        collect()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """A signal only rings the bell; the loop decides."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping += 1

        def noticed(_number: int, _frame: FrameType | None) -> None:
            """A child ended; the bell has rung."""

        self._ring.setblocking(False)
        self.bell.setblocking(False)
        numbers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: stop, signal.SIGCHLD: noticed}
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            del numbers[signal.SIGHUP]  # started with nohup
        before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
        bell = signal.set_wakeup_fd(self._ring.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(bell)
            for number, handler in before.items():
                signal.signal(number, handler)
            self.bell.close()
            self._ring.close()


def answers(settings: Settings) -> bool:
    """Whether ``/readyz`` says 200. By hand: an HTTP library would double this process."""
    port = settings.port if settings.loopback else settings.tls_port
    host = settings.host if settings.host not in ("0.0.0.0", "::") else "localhost"  # noqa: S104 - compared, not bound
    try:
        with socket.create_connection((host, port), timeout=2) as plain, _secured(plain, settings) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def _secured(plain: socket.socket, settings: Settings) -> socket.socket:
    if settings.loopback:
        return plain
    import ssl  # noqa: PLC0415 - only beyond loopback

    return ssl.create_default_context(cafile=str(settings.tls_dir / "ca.pem")).wrap_socket(plain, server_hostname="localhost")


def _in_own_process(ready: Ready, settings: Settings) -> None:
    """Call the hook in a fork: what it imports is gone when it is done."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        ready(settings)
        sys.stdout.flush()
        code = 0
    except CipoError as error:
        _say(str(error))
    finally:
        sys.stderr.flush()
        os._exit(code)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
