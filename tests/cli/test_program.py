"""The program as it is installed: how light it starts, how it completes, and ``cipo up`` from the first start to the last."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cipo.kernel.store.embedded import running

PROGRAM = Path(sys.executable).with_name("cipo")
LINK = re.compile(r"http://localhost:\d+/sign-in/cipo_login_[A-Za-z0-9_-]{43}$", re.MULTILINE)


def program(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *argv], env=os.environ | env, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        (["--version"], ("httpx", "psycopg", "pydantic", "yaml", "rich.console", "starlette", "cipo.lab", "cipo.facilities")),
        (["get", "--help"], ("httpx", "psycopg", "yaml", "starlette", "cipo.lab", "cipo.facilities")),
        (["status"], ("httpx", "psycopg", "yaml", "starlette", "cipo.lab", "cipo.facilities")),
    ],
)
def test_a_simple_command_loads_nothing_it_does_not_need(command: list[str], heavy: tuple[str, ...], tmp_path: Path) -> None:
    code = f"import sys; from cipo.cli.app import run; run({command!r}); print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"CIPO_HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_shell_completes_commands() -> None:
    done = program(_CIPO_COMPLETE="complete_bash", COMP_WORDS="cipo ku", COMP_CWORD="1")
    assert done.stdout.split() == ["kubeconfig"]
    assert "_CIPO_COMPLETE" in program("--show-completion", "bash").stdout + program("--show-completion").stdout


def test_a_closed_pipe_is_no_crash(tmp_path: Path) -> None:
    done = subprocess.run(f"{PROGRAM} org -o json | head -1", shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "[\n"
    assert "Traceback" not in done.stderr


@contextmanager
def started(*argv: str, home: Path, **env: str) -> Iterator[subprocess.Popen[str]]:
    """``cipo up`` until the block ends."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("CIPO_")} | {"CIPO_HOME": str(home), **env}
    process = subprocess.Popen([PROGRAM, "up", *argv], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def link_of(process: subprocess.Popen[str]) -> str:
    """What ``up`` prints, until the link is there whole on one line."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if found := LINK.search(said):
            return found[0]
    raise AssertionError(f"no link in:\n{said}")


@pytest.mark.slow
def test_up_prints_a_link_that_signs_in_and_down_ends_everything(cipo_home: Path) -> None:
    env = {"CIPO_HOME": str(cipo_home)}
    with started("--no-lab", home=cipo_home, CIPO_PORT="0") as process:
        link = link_of(process)
        with httpx.Client() as browser:
            assert browser.post(link).status_code == 303
            assert browser.get(link.partition("/sign-in")[0] + "/").status_code == 200
        shown = program("status", **env)
        assert shown.returncode == 0, shown.stderr
        assert [line.split()[:2] for line in shown.stdout.splitlines()[1:]] == [
            ["supervisor", "running"],
            ["database", "running"],
            ["api", "ready"],
            ["worker", "running"],
        ]
        assert program("get", "units", "-o", "name", **env).stdout.startswith("unit.org.cipo/")
        second = program("up", "--no-lab", **env)
        assert second.returncode == 1
        assert "already runs" in second.stderr
        assert program("down", **env).stdout == f"cipo of {cipo_home} is stopped\n"
        assert process.wait(20) == 0
    assert running(cipo_home) is None
    assert program("status", **env).returncode == 3
    assert "was not running" in program("down", **env).stdout


@pytest.mark.slow
def test_a_taken_port_is_a_usage_error_that_names_the_way_out(cipo_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = program("up", "--no-lab", CIPO_HOME=str(cipo_home), CIPO_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "--port-search" in done.stderr
