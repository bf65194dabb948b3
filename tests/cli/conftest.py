"""The command line as a person uses it, run inside the test's process; on a real plane where a test asks for ``live_api``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cipo.cli import app
from cipo.cli.connection import acting_as


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Cipo = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that knows nothing but an empty home."""
    for name in ("CIPO_SERVER", "CIPO_TOKEN", "CIPO_CA", "CIPO_AS_UNIT", "CIPO_DATABASE_URL", "CIPO_PORT", "CIPO_TLS_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CIPO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def cipo(home: Path, capsys: pytest.CaptureFixture[str]) -> Cipo:
    """``cipo("get", "assets")`` -> exit code, standard output, standard error."""

    def run(*argv: str) -> Result:
        acting_as.set(None)
        code = app.run(argv)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def here(cipo: Cipo, live_api: Any, monkeypatch: pytest.MonkeyPatch) -> Cipo:
    """The command line on the home of a running plane."""
    for name, value in live_api.env.items():
        if name.startswith("CIPO_"):
            monkeypatch.setenv(name, value)
    return cipo
