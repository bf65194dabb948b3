"""What ``/proc`` says about a process: whether a recorded pid is still the same process, its memory, its CPU time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory and CPU of one process."""

    pid: int
    parent: int
    name: str
    rss_bytes: int
    cpu_s: float


def started_at(pid: int) -> int | None:
    """Start time in clock ticks since boot, which tells a process from a later one of the same pid; None if there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def usage(pid: int) -> Usage | None:
    """What a process uses now; None if it is gone."""
    fields = _stat(pid)
    if not fields:
        return None
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    name = " ".join(words).strip()[:100] or f"[{pid}]"
    return Usage(pid, int(fields[1]), name, int(fields[21]) * PAGE_BYTES, (int(fields[11]) + int(fields[12])) / TICKS)


def family(root: int) -> list[Usage]:
    """A process and all it started, directly or not."""
    found = [used for entry in Path("/proc").iterdir() if entry.name.isdigit() and (used := usage(int(entry.name)))]
    members, grown = {root}, True
    while grown:
        more = {used.pid for used in found if used.parent in members} - members
        members |= more
        grown = bool(more)
    return [used for used in found if used.pid in members]


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` after the name, which may hold blanks and brackets itself. A zombie has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] == "Z" else fields
