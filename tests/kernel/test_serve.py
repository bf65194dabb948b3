"""One process, two listeners, one application; a stop is quick and polite."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from cipo.kernel.settings import Settings


@dataclass
class Served:
    """A running API process with the little application."""

    settings: Settings
    process: subprocess.Popen[bytes]

    @property
    def diary(self) -> list[str]:
        path = self.settings.home / "diary"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, line: str, count: int = 1) -> None:
        deadline = time.monotonic() + 10
        while self.diary.count(line) < count:
            assert time.monotonic() < deadline, f"{line} is not in {self.diary}"
            assert self.process.poll() is None
            os.sched_yield()

    def stop(self) -> float:
        """Seconds that a polite stop takes."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        return time.monotonic() - begun


def answering(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            assert time.monotonic() < deadline, f"nothing answers at {url}"
        else:
            return


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    settings = Settings(home=tmp_path, port=0, tls_port=0).with_free_ports()
    environment = os.environ | settings.environ() | {"PYTHONPATH": str(Path(__file__).parent)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "cipo.kernel.serve", "serve_app:create"], env=environment, stderr=log)
    try:
        answering(settings.url)
        yield Served(settings, process)
    finally:
        process.kill()
        process.wait(10)


@dataclass
class Client(threading.Thread):
    """Reads one answer in the background and keeps what came, or what went wrong."""

    url: str
    body: bytes = b""
    status: int = 0
    error: Exception | None = field(default=None)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        try:
            with httpx.stream("GET", self.url, timeout=20) as response:
                self.status = response.status_code
                for part in response.iter_bytes():
                    self.body += part
        except httpx.HTTPError as error:
            self.error = error


def test_http_and_tls_share_one_application_started_once(served: Served) -> None:
    trusted = ssl.create_default_context(cafile=str(served.settings.tls_dir / "ca.pem"))
    assert httpx.get(served.settings.url).text == "http 1.1"
    assert httpx.get(served.settings.tls_url, verify=trusted).text == "https 1.1"
    assert served.diary.count("startup") == 1
    served.stop()
    assert served.diary.count("shutdown") == 1
    assert not any("lifespan" in line for line in served.diary)


def test_a_stop_ends_streams_lets_requests_finish_and_takes_less_than_three_seconds(served: Served) -> None:
    live, watch = Client(served.settings.url + "/live"), Client(served.settings.url + "/things?watch=1")
    late, never = Client(served.settings.url + "/late"), Client(served.settings.url + "/never")
    clients = (live, watch, late, never)
    for client in clients:
        client.start()
    for line in ("/live http", "/things http", "/late http", "/never http"):
        served.wait_for(line)
    assert served.stop() < 3
    for client in clients:
        client.join(10)
    assert (live.status, live.error, live.body[-6:]) == (200, None, b"event\n")
    assert (watch.status, watch.error, watch.body[-6:]) == (200, None, b"event\n")
    assert (late.status, late.body) == (200, b"http 1.1")
    assert (never.status, never.body) == (503, b"cipo is stopping; try again in a moment\n")
    assert served.diary[-1] == "shutdown"
    assert "live page closed" in served.diary


def test_an_idle_process_stops_at_once(served: Served) -> None:
    assert served.stop() < 1


def test_a_taken_port_ends_the_process_with_a_sentence(served: Served, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "other", port=served.settings.port, tls_port=served.settings.tls_port)
    settings.home.mkdir()
    environment = os.environ | settings.environ() | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-m", "cipo.kernel.serve", "serve_app:create"], env=environment, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert f"the API cannot be served: CIPO_PORT={settings.port}: another process already listens".encode() in done.stderr
    assert not (settings.home / "diary").exists()


def test_beyond_loopback_nothing_answers_in_clear(tmp_path: Path) -> None:
    ports = Settings(home=tmp_path, port=0, tls_port=0).with_free_ports()
    settings = Settings(home=tmp_path, host="0.0.0.0", port=ports.port, tls_port=ports.tls_port)
    environment = os.environ | settings.environ() | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, "-m", "cipo.kernel.serve", "serve_app:create"], env=environment)
    served = Served(settings, process)
    try:
        served.wait_for("startup")
        deadline = time.monotonic() + 10
        while True:
            try:
                trusted = ssl.create_default_context(cafile=str(settings.tls_dir / "ca.pem"))
                assert httpx.get(f"https://127.0.0.1:{settings.tls_port}", verify=trusted).status_code == 200
                break
            except (OSError, httpx.TransportError):
                assert time.monotonic() < deadline
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{settings.port}")
    finally:
        process.kill()
        process.wait(10)
