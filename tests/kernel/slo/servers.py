"""Real Prometheus and Alertmanager processes for tests, on ports of the operating system's choice and directories of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import yaml

T = TypeVar("T")
PATIENCE_S = 60.0
PROGRAMS = ("prometheus", "prometheus-alertmanager", "promtool")
missing = [name for name in PROGRAMS if shutil.which(name) is None]
needs_servers = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@dataclass(frozen=True)
class Server:
    """A running one."""

    url: str
    process: subprocess.Popen[bytes]

    def get(self, path: str, **params: str) -> Any:
        answer = httpx.get(f"{self.url}{path}", params=params, timeout=30, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()

    @property
    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def until(there: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """What ``there`` gives as soon as it gives something."""
    deadline = time.monotonic() + patience_s
    while not (found := there()):
        assert time.monotonic() < deadline, f"{what} did not happen in {patience_s:g} s"
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def _running(words: list[str], port: int, log: Path) -> Iterator[Server]:
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, cwd=log.parent, env={"PATH": os.environ["PATH"], "HOME": str(log.parent)})
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: _ready(server, log), f"{words[0]} ready")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def _ready(server: Server, log: Path) -> bool:
    assert server.process.poll() is None, log.read_text(errors="replace")[-3000:]
    try:
        return httpx.get(f"{server.url}/-/ready", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def alertmanager(home: Path) -> Iterator[Server]:
    """One without a cluster and with nobody to tell."""
    port, config = free_port(), home / "alertmanager.yml"
    config.write_text(yaml.safe_dump({"route": {"receiver": "nobody", "group_wait": "0s"}, "receivers": [{"name": "nobody"}]}))
    words = [
        "prometheus-alertmanager", f"--config.file={config}", f"--storage.path={home / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    with _running(words, port, home / "alertmanager.log") as server:
        yield server


@contextmanager
def prometheus(home: Path, rules: str, *, tells: Server | None = None, every: str = "1s") -> Iterator[Server]:
    """One that evaluates ``rules`` over what was put into ``home / "data"`` before."""
    port, config = free_port(), home / "prometheus.yml"
    (home / "rules.yml").write_text(rules, encoding="utf-8")
    plain: dict[str, Any] = {"global": {"evaluation_interval": every, "scrape_interval": "1m"}, "rule_files": [str(home / "rules.yml")]}
    if tells is not None:
        plain["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [tells.url.removeprefix("http://")]}]}]}
    config.write_text(yaml.safe_dump(plain))
    words = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={home / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.retention.time=10y", "--rules.alert.resend-delay=1s",
    ]  # fmt: skip
    with _running(words, port, home / "prometheus.log") as server:
        yield server


def backfill(home: Path, counter: str, series: Iterable[tuple[dict[str, str], Iterable[tuple[datetime, float]]]]) -> None:
    """Samples of the past as blocks of a Prometheus that has not started yet."""
    family, file = counter.removesuffix("_total"), home / "samples.txt"
    with file.open("w", encoding="utf-8") as out:
        out.write(f"# TYPE {family} counter\n")
        for labels, samples in series:
            inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
            out.writelines(f"{counter}{{{inside}}} {value:g} {at.timestamp():.3f}\n" for at, value in samples)
        out.write("# EOF\n")
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(home / "data")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
