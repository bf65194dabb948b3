"""The packaged chart, its authorizer, and copies of the chart that a test may spoil."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cipo.org.authz import ChartAuthorizer
from cipo.org.chart import PACKAGED, Chart, load


@pytest.fixture(scope="session")
def chart() -> Chart:
    return load(PACKAGED)


@pytest.fixture(scope="session")
def authorizer(chart: Chart) -> ChartAuthorizer:
    return ChartAuthorizer(chart)


@pytest.fixture
def amended(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """A copy of the chart with one piece of text replaced: ``amended("1A.yaml", old, new)``."""
    copy = tmp_path / "chart"
    shutil.copytree(PACKAGED, copy)

    def replace(file: str, old: str, new: str) -> Path:
        path = copy / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return copy

    return replace
