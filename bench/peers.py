"""cipo beside Nautobot, operation by operation, in one run on one PostgreSQL.

Both are asked by the same client with one request a connection; cipo also with its connection kept, for information. The order alternates
within a round, so that a busy neighbour hits both sides. A ratio is Nautobot's median time over cipo's, never rounded up.
"""

from __future__ import annotations

import json
import random
import secrets
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench import machine, nautobot, plane
from bench.client import Client, rate, times
from bench.place import Postgres

DEVICES = "/api/dcim/devices/"
AT_ONCE = 8
GOALS = {"create one": 20.0, "list 1,000": 30.0, "search by serial": 20.0}


@dataclass(slots=True)
class Row:
    """One operation: seconds of each call on each side."""

    name: str
    own: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        own, peer = statistics.median(self.own), statistics.median(self.peer)
        goal = GOALS.get(self.name)
        return {
            "operation": self.name,
            "cipo_ms": own * 1000,
            "cipo_kept_ms": statistics.median(self.kept) * 1000 if self.kept else None,
            "nautobot_ms": peer * 1000,
            "ratio": peer / own,
            "goal": goal,
            "met": None if goal is None else peer / own >= goal,
            "calls": [len(self.own), len(self.peer)],
        }


class Sides:
    """Both servers, filled alike."""

    def __init__(self, own: plane.Own, peer: nautobot.Peer) -> None:
        self.own, self.kept, self.peer = own.client, own.keeping(), peer.client
        self.describe = peer.device
        self.run = secrets.token_hex(3)
        self.count = 0
        self.bulk = b"[]"

    def names(self, n: int) -> list[str]:
        """Fresh names; both sides get devices of the same name and serial."""
        first, self.count = self.count, self.count + n
        return [f"d-{self.run}-{number:06}" for number in range(first, first + n)]

    @staticmethod
    def serial(name: str) -> str:
        return f"SN{name.replace('-', '').upper()}"

    def create_own(self, client: Client) -> Callable[[str], Any]:
        return lambda name: client.must("POST", plane.ASSETS, plane.asset(name, self.serial(name)))

    def create_peer(self, name: str) -> Any:
        return self.peer.must("POST", DEVICES, self.describe(name, self.serial(name)))

    def bulk_own(self, names: list[str]) -> Any:
        return self.own.must("POST", plane.ASSETS, plane.assets([plane.asset(name, self.serial(name)) for name in names]))

    def bulk_peer(self, names: list[str]) -> None:
        self.bulk = self.peer.must("POST", DEVICES, [self.describe(name, self.serial(name)) for name in names])


def compare(postgres: Postgres, *, rounds: int, calls: int) -> dict[str, Any]:
    """The whole comparison. ``rounds`` of ``calls`` each; the 1,000s once a round."""
    with plane.up(postgres) as own, nautobot.up(postgres) as peer:
        sides = Sides(own, peer)
        rows = {name: Row(name) for name in ("create one", "bulk-create 1,000", "get one", "list 1,000", "search by serial")}
        parallel: dict[str, list[float]] = {"own": [], "peer": []}
        loads: list[float] = []
        _warm(sides)
        for _ in range(rounds):
            loads.append(machine.load())
            _singles(sides, rows, calls)
            names = sides.names(1000)
            rows["bulk-create 1,000"].own += times(sides.bulk_own, [names])
            rows["bulk-create 1,000"].peer += times(sides.bulk_peer, [names])
            _reads(sides, rows, calls)
            for key, create in (("own", sides.create_own(sides.own)), ("peer", sides.create_peer)):
                parallel[key].append(rate(create, sides.names(calls * 4), at_once=AT_ONCE))
        return {
            "machine": machine.describe(postgres.version()),
            "nautobot": nautobot.VERSION,
            "loads": loads,
            "rounds": rounds,
            "calls": calls,
            "rows": [row.result() for row in rows.values()],
            "creates_at_once": {
                "in_flight": AT_ONCE,
                "cipo_per_s": statistics.median(parallel["own"]),
                "nautobot_per_s": statistics.median(parallel["peer"]),
                "ratio": statistics.median(parallel["own"]) / statistics.median(parallel["peer"]),
            },
        }


def _warm(sides: Sides) -> None:
    """Every process and thread of both servers has answered before the clock runs: connections, plans, caches, lazy imports."""
    for create in (sides.create_own(sides.own), sides.create_own(sides.kept), sides.create_peer):
        rate(create, sides.names(60), at_once=AT_ONCE)
    rate(lambda _: sides.peer.must("GET", f"{DEVICES}?limit=5"), range(120), at_once=AT_ONCE)
    rate(lambda _: sides.own.must("GET", f"{plane.ASSETS}?limit=5"), range(120), at_once=AT_ONCE)


def _singles(sides: Sides, rows: dict[str, Row], calls: int) -> None:
    names = sides.names(calls)
    row = rows["create one"]
    row.peer += times(sides.create_peer, names)
    row.own += times(sides.create_own(sides.own), names)
    row.kept += times(sides.create_own(sides.kept), [f"{name}-k" for name in names])


def _reads(sides: Sides, rows: dict[str, Row], calls: int) -> None:
    """Of the thousand that both sides have just been given."""
    listed = json.loads(sides.peer.must("GET", f"{DEVICES}?limit=1000"))["results"]
    if len(listed) != 1000:
        raise RuntimeError(f"Nautobot listed {len(listed)} devices of 1,000; its MAX_PAGE_SIZE is in the way")
    ids = {one["name"]: one["id"] for one in json.loads(sides.bulk)}
    chosen = random.sample(sorted(ids), calls)
    row = rows["get one"]
    row.peer += times(lambda name: sides.peer.must("GET", f"{DEVICES}{ids[name]}/"), chosen)
    row.own += times(lambda name: sides.own.must("GET", f"{plane.ASSETS}/{name}"), chosen)
    row.kept += times(lambda name: sides.kept.must("GET", f"{plane.ASSETS}/{name}"), chosen)

    few = range(max(3, calls // 10))
    row = rows["list 1,000"]
    row.peer += times(lambda _: sides.peer.must("GET", f"{DEVICES}?limit=1000"), few)
    row.own += times(lambda _: sides.own.must("GET", f"{plane.ASSETS}?limit=1000"), few)
    row.kept += times(lambda _: sides.kept.must("GET", f"{plane.ASSETS}?limit=1000"), few)

    row = rows["search by serial"]
    row.peer += times(lambda name: _found(sides.peer.must("GET", f"{DEVICES}?serial={sides.serial(name)}"), name), chosen)
    row.own += times(lambda name: _found(sides.own.must("GET", f"/search.json?q={sides.serial(name)}"), name), chosen)
    row.kept += times(lambda name: _found(sides.kept.must("GET", f"/search.json?q={sides.serial(name)}"), name), chosen)


def _found(answer: bytes, name: str) -> None:
    if name.encode() not in answer:
        raise RuntimeError(f"the search for {name}'s serial did not find it: {answer[:300]!r}")
