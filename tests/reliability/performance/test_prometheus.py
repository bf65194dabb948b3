"""Counts from a real Prometheus (Debian's), whose samples were written by promtool."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from cipo.kernel import Unavailable
from cipo.kernel.slo.document import Queries
from cipo.kernel.slo.measure import judge
from cipo.kernel.slo.objective import Budgeting, Indicator, Limit, Objective
from cipo.kernel.slo.windows import Rolling
from cipo.reliability.performance import prometheus

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
NOW = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=3)
HOURS = 30
BAD, ALL = 'sum(increase(requests_total{code="500"}[$window]))', "sum(increase(requests_total[$window]))"
OBJECTIVE = Objective("web", Indicator("ratio", ""), Limit(">=", 0.99), Rolling(timedelta(days=1)))


def samples() -> str:
    """100 requests a minute; in the last hour ten of them fail."""
    lines = ["# TYPE requests counter", "# HELP requests Requests."]
    begin = NOW - timedelta(hours=HOURS)
    for code in ("200", "500"):
        count = 0
        for minute in range(HOURS * 60 + 1):
            burning = minute > (HOURS - 1) * 60
            count += {"200": 90 if burning else 100, "500": 10 if burning else 0}[code]
            lines.append(f'requests_total{{code="{code}"}} {count} {(begin + timedelta(minutes=minute)).timestamp():.0f}')
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("prometheus is not on PATH; install Debian's package prometheus")
    here: Path = tmp_path_factory.mktemp("prometheus")
    (here / "samples").write_text(samples(), encoding="utf-8")
    (here / "empty.yml").write_text("{}", encoding="utf-8")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", here / "samples", here / "data"], check=True, capture_output=True
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [
        "prometheus", f"--config.file={here / 'empty.yml'}", f"--storage.tsdb.path={here / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.retention.time=365d",
    ]  # fmt: skip
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            ready(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/-/ready").is_success:
                return
        time.sleep(0.1)
    raise AssertionError("Prometheus did not start")


async def test_its_counts_are_judged_as_facts_are(url: str) -> None:
    found = await prometheus.inputs(OBJECTIVE, Queries(ALL, bad=BAD, connection=url), NOW)
    verdict = judge(OBJECTIVE, found, NOW)
    assert verdict.value == pytest.approx(1 - 600 / 144_000, rel=0.001)
    assert verdict.state == "met"
    assert verdict.budget is not None
    assert verdict.budget.remaining == pytest.approx(1 - 600 / 1440, abs=0.01)
    assert verdict.budget.burn["1h"] == pytest.approx(10, rel=0.05)
    assert [alert.tier for alert in verdict.budget.alerts] == []


async def test_good_and_bad_queries_say_the_same(url: str) -> None:
    good = 'sum(increase(requests_total{code="200"}[$window]))'
    by_bad = await prometheus.inputs(OBJECTIVE, Queries(ALL, bad=BAD, connection=url), NOW)
    by_good = await prometheus.inputs(OBJECTIVE, Queries(ALL, good=good, connection=url), NOW)
    assert by_good.counts[timedelta(hours=1)].bad == pytest.approx(by_bad.counts[timedelta(hours=1)].bad, rel=0.01)


async def test_slices_of_time_come_by_range_queries(url: str) -> None:
    sliced = Objective(
        "web", OBJECTIVE.indicator, OBJECTIVE.limit, OBJECTIVE.window, 0.9, Budgeting("Timeslices", timedelta(minutes=5), 0.95)
    )
    found = await prometheus.inputs(sliced, Queries(ALL, bad=BAD, connection=url), NOW)
    verdict = judge(sliced, found, NOW)
    assert len(found.of_slices) == 285 + NOW.minute % 15 // 5  # of the day that ends with this quarter of an hour, those that are over
    assert verdict.budget is not None
    assert verdict.budget.bad == pytest.approx(12, abs=1)


async def test_nothing_is_no_figure(url: str) -> None:
    nothing = Queries("sum(increase(nobody[$window]))", bad="sum(increase(nothing[$window]))", connection=url)
    found = await prometheus.inputs(OBJECTIVE, nothing, NOW)
    assert found.totals is None
    assert found.counts == {}
    assert judge(OBJECTIVE, found, NOW).state == "unknown"


@pytest.mark.parametrize(
    ("total", "why"),
    [("sum(increase(requests_total[$window])", "refused sum"), ("increase(requests_total[$window])", "put sum\\(\\) around it")],
)
async def test_a_query_that_does_not_work_is_told(url: str, total: str, why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        await prometheus.inputs(OBJECTIVE, Queries(total, bad=BAD, connection=url), NOW)


async def test_no_answer_is_no_figure() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await prometheus.inputs(OBJECTIVE, Queries(ALL, bad=BAD, connection="http://127.0.0.1:9"), NOW)
