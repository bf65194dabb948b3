"""``cipo up`` for test_supervisor.py, with small children: python plane_driver.py [--port-search] NAME[=WHAT]..."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cipo import supervisor
from cipo.children import Command
from cipo.kernel.errors import CipoError
from cipo.kernel.settings import Settings


class Ready(BaseHTTPRequestHandler):
    """Answers /readyz and everything else with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        print(format % args, flush=True)


def api() -> None:
    HTTPServer(("127.0.0.1", Settings.from_env().port), Ready).serve_forever()


def worker() -> None:
    """Leaves a process in a session of its own, as a unit's tool might."""
    subprocess.Popen([sys.executable, __file__, "--child", "tool"], start_new_session=True)
    while True:
        signal.pause()


def tool() -> None:
    while True:
        signal.pause()


def stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ignoring SIGTERM", flush=True)
    while True:
        time.sleep(60)


def broken() -> None:
    sys.exit("ModuleNotFoundError: no module named 'nothing'")


def welcome(settings: Settings) -> None:
    print(f"ready {settings.url}", flush=True)


def main(names: list[str]) -> int:
    commands = []
    for name, _, does in (name.partition("=") for name in names if not name.startswith("-")):
        commands.append(Command(name, (sys.executable, __file__, "--child", does or name)))
    prepare = (sys.executable, "-c", "pass")
    try:
        return supervisor.up(Settings.from_env(), children=commands, prepare=prepare, ready=welcome, port_search="--port-search" in names)
    except CipoError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        (Path(Settings.from_env().home) / f"{sys.argv[2]}.started").touch()
        {"api": api, "worker": worker, "tool": tool, "stubborn": stubborn, "broken": broken}[sys.argv[2]]()
    else:
        sys.exit(main(sys.argv[1:]))
