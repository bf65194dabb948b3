"""One line a fault: what was broken, how often, and what came of it. ``make crash`` prints them at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.stage import Stage, staged


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/crash" in str(item.path):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def stage(cipo_home: Path) -> Iterator[Stage]:
    """A home of this test's own with a running PostgreSQL."""
    with staged(cipo_home) as it:
        yield it


@pytest.fixture
def fault(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say what was survived."""
    return lambda words: record_property("fault", words)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a fault."""
    lines = []
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            if "tests/crash/" in report.nodeid and (report.when == "call" or outcome == "error"):
                words = dict(report.user_properties).get("fault") or report.nodeid.rpartition("::")[2].removeprefix("test_").replace(
                    "_", " "
                )
                lines.append(f"{'survived' if outcome == 'passed' else 'NOT SURVIVED':12} {words} ({report.duration:.1f} s)")
    if lines:
        terminalreporter.section("faults")
        for line in sorted(lines):
            terminalreporter.line(line)
