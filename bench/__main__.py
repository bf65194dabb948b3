"""``python -m bench [what …]``: peers, lists, library, reconciles, memory, slo, slo-peers; nautobot only sets the peer up. Results also go to JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import library, limits, machine, nautobot, peers, report, slo, slo_peers
from bench.place import Postgres, directory

WHAT = ("peers", "lists", "library", "reconciles", "memory", "slo", "slo-peers")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("what", nargs="*", help="default: all")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the comparison (default 3)")
    parser.add_argument("--calls", type=int, default=50, help="calls of one kind a round (default 50)")
    parser.add_argument("--objects", type=int, default=3000, help="objects to reconcile (default 3000)")
    parser.add_argument("--facts", type=int, default=10_000_000, help="facts in the KPIs (default 10 million)")
    parser.add_argument("--out", default=str(directory() / "results.json"), help="where the JSON goes")
    given = parser.parse_args()
    if given.what == ["nautobot"]:
        nautobot.prepare()
        return 0
    what = given.what or list(WHAT)
    results: dict[str, Any] = {}
    postgres = Postgres()
    try:
        results["machine"] = machine.describe(postgres.version())
        print(report.machine(results["machine"]), flush=True)
        alone: dict[str, Any] = {}
        if "lists" in what:
            alone |= limits.lists_and_watches(postgres, calls=max(200, given.calls))
        if "library" in what:
            alone |= library.script(postgres, calls=max(200, given.calls))
        if "reconciles" in what:
            alone |= limits.reconciles(postgres, objects=given.objects)
        if alone:
            results["alone"] = alone
            print(report.limits(alone), flush=True)
        if "memory" in what:
            results["memory"] = limits.memory()
            print(report.limits(results["memory"]), report.memory(results["memory"]), sep="\n\n", flush=True)
        if "slo" in what:
            results["slo"] = slo.measure(postgres, facts=given.facts)
            print(report.slo(results["slo"]), flush=True)
        if "slo-peers" in what:
            results["slo-peers"] = slo_peers.compare(postgres)
            print(slo_peers.report(results["slo-peers"]), flush=True)
        if "peers" in what:
            results["peers"] = peers.compare(postgres, rounds=given.rounds, calls=given.calls)
            print(report.peers(results["peers"]), flush=True)
    finally:
        postgres.stop()
        Path(given.out).write_text(json.dumps(results, indent=2, ensure_ascii=False))
        print(f"in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
