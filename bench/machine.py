"""What the measurement ran on, and how busy that was."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe(postgres_version: str) -> dict[str, Any]:
    """Date, cores, memory, load and versions."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count(),
        "processor": processor(),
        "memory_gb": round(int(memory.split()[1]) / 1024**2, 1),
        "load": load(),
        "python": platform.python_version(),
        "postgresql": postgres_version,
        "cipo": version("cipo"),
        "system": f"{platform.system()} {platform.release()}",
        "executable": Path(sys.executable).name,
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def load() -> float:
    """The load of the last minute."""
    return round(os.getloadavg()[0], 2)


def family(pids: tuple[int, ...]) -> set[int]:
    """The process ids below these, themselves included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def memory(pid: int) -> tuple[int, int]:
    """PSS (shared pages divided by their users) and RSS of a process, in bytes."""
    pss = rss = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            pss = int(value.split()[0]) * 1024
        elif name == "Rss":
            rss = int(value.split()[0]) * 1024
    return pss, rss
