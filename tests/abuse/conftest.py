"""A real API process to be rude to, furnished with one model, and its memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live import Live

ASSETS = "/apis/facilities.cipo/v1/assets"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/abuse" in str(item.path):
            item.add_marker(pytest.mark.slow)


def resident_mb(live: Live) -> float:
    """What the API process holds in memory."""
    lines = Path(f"/proc/{live.processes['api'].pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def worked_s(live: Live) -> float:
    """Processor time the API process has used. Unlike the clock it does not count what the neighbours did meanwhile."""
    tasks = Path(f"/proc/{live.processes['api'].pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@pytest.fixture
def client(live_api: Live) -> Iterator[httpx.Client]:
    """A signed-in client acting as 1A/U-W2."""
    with live_api.client(unit="1A/U-W2") as client:
        spec = {"manufacturer": "Dell", "model": "PowerEdge R650", "formFactor": {"uHeight": 1}}
        made = client.post("/apis/facilities.cipo/v1/assetmodels", json={"metadata": {"name": "dell-r650"}, "spec": spec})
        assert made.status_code in (201, 409), made.text
        yield client


def asset(name: str, serial: str) -> dict[str, object]:
    spec = {"model": "dell-r650", "manufacturer": "Dell", "serial": serial}
    return {"apiVersion": "facilities.cipo/v1", "kind": "Asset", "metadata": {"name": name}, "spec": spec}
