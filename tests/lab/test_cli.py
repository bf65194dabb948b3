"""``cipo lab`` from a shell: what it starts it also ends, and what it cannot do it says in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cipo.lab.world import running_worlds

PROGRAM = [sys.executable, "-c", "from cipo.lab.cli import app; app(prog_name='cipo lab')"]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    keep = {key: value for key, value in os.environ.items() if not key.startswith("CIPO_")}
    return keep | {"CIPO_HOME": str(tmp_path), "COLUMNS": "200"}


def run(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_up_prints_addresses_that_answer_and_down_ends_it(env, tmp_path):
    process = subprocess.Popen([*PROGRAM, "up", "http-echo"], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert httpx.get(url, trust_env=False).json()["method"] == "GET"
        assert url in run(env, "status").stdout
        assert "http_echo" in run(env, "top", "--seconds", "0.1").stdout
        second = run(env, "up", "http-echo")
        assert (second.returncode, "runs already" in second.stderr) == (1, True)
        assert "ended fixtures" in run(env, "down").stdout
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
    assert running_worlds(tmp_path / "lab") == []
    assert "no world runs here" in run(env, "status").stdout


def test_a_scenario_that_fails_exits_1_and_names_the_step(env, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("name: wrong\nfixtures: [http-echo]\nsteps:\n  - expect: {connection: http-echo, status: 404}\n")
    done = run(env, "scenario", str(file))
    assert done.returncode == 1
    assert done.stderr == "error: wrong, step 1 (expect http-echo): http-echo answers 200, not 404\n"


def test_a_scenario_that_holds_exits_0(env, tmp_path):
    file = tmp_path / "right.yaml"
    file.write_text("name: right\nfixtures: [http-echo]\nsteps:\n  - expect: {connection: http-echo}\n")
    done = run(env, "scenario", str(file))
    assert (done.returncode, "all 1 steps held" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("up", "smtp"), "there is no fixture 'smtp'; choose from clock, http-echo, webhook-sink"),
        (("scenario", "none.yaml"), "none.yaml: No such file or directory"),
        (("seed",), "put the token of an administrator there, or name the file by --token-file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(env, words, sentence):
    done = run(env, *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_setting_is_said_like_everything_else(env):
    done = run(env | {"CIPO_PORT": "eighty"}, "status")
    assert (done.returncode, "CIPO_PORT" in done.stderr) == (1, True)


def test_the_lab_process_without_a_token_says_which_file_it_wants(env):
    done = subprocess.run([sys.executable, "-m", "cipo.lab"], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "admin.token" in done.stderr
    assert "Traceback" not in done.stderr
