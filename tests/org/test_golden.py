"""The whole matrix of the chart against the committed one.

To accept a change: ``CIPO_TEST_UPDATE_GOLDEN=1 pytest tests/org/test_golden.py``, then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

from cipo.kernel.accounts import ACCOUNTS
from cipo.kernel.engine import routine
from cipo.kernel.unit import Registry
from cipo.org import kinds
from cipo.org.chart import Chart
from cipo.org.matrix import matrix
from tests.org.kinds import FakeKind

PLATFORM = Registry([], (routine.unit, ACCOUNTS, kinds.unit)).kinds
"""The kinds no department owns. A department's own are listed in the chart: ``cipo check`` names one that is not."""
GOLDEN = Path(__file__).parent.parent / "golden" / "authz.txt"


def test_who_may_do_what_is_what_was_reviewed(chart: Chart) -> None:
    text = matrix(chart, PLATFORM)
    if os.environ.get("CIPO_TEST_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), "the chart gives or takes a right; read the difference, then update the file"


def test_the_matrix_covers_every_unit_and_every_kind(chart: Chart) -> None:
    text = matrix(chart)
    assert text.startswith("82 units x ")
    assert all(f"\n{department} {kind} ({owner})\n" in text for (department, kind), owner in chart.owners.items())
    for kind in ("KernelRelease", "CniConfig", "CsiDriver", "GpuNodePool"):
        assert f"\n1B {kind} (no unit yet)\n" in text


def test_a_registered_kind_that_the_chart_does_not_list_gets_its_block(chart: Chart) -> None:
    text = matrix(chart, [FakeKind("Zone", "facilities.cipo", "1A/U-W2")])
    block = text.split("1A Zone (")[1].split("\n\n")[0]
    assert "allow owner            everything                               1A/U-W2" in block
