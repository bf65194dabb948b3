"""Results as people read them: tables on the terminal, and the same in Markdown for docs/measured."""

from __future__ import annotations

from typing import Any

from bench.limits import GOALS


def verdict(met: bool | None) -> str:
    """Met, MISSED, or nothing where there is no goal."""
    return "" if met is None else "met" if met else "MISSED"


def peers(result: dict[str, Any]) -> str:
    lines = ["| operation | cipo | cipo, connection kept | Nautobot | ratio | goal | |", "|---|---:|---:|---:|---:|---:|---|"]
    for row in result["rows"]:
        kept = "" if row["cipo_kept_ms"] is None else f"{row['cipo_kept_ms']:.2f} ms"
        goal = "" if row["goal"] is None else f"≥ {row['goal']:.0f}×"
        ratio = int(row["ratio"] * 10) / 10
        lines.append(
            f"| {row['operation']} | {row['cipo_ms']:.2f} ms | {kept} | {row['nautobot_ms']:.1f} ms | {ratio}× | {goal} | {verdict(row['met'])} |"
        )
    many = result["creates_at_once"]
    lines.append(
        f"| creates, {many['in_flight']} in flight | {many['cipo_per_s']:.0f}/s | | {many['nautobot_per_s']:.1f}/s | {int(many['ratio'] * 10) / 10}× | | |"
    )
    return "\n".join(lines)


def limits(result: dict[str, Any]) -> str:
    """The rows of whatever was measured."""
    lines = ["| measure | value | limit | |", "|---|---:|---:|---|"]
    for name, words, unit, at_most in (
        ("list_10k_ms", "list of 10,000 assets, one answer, median", "ms", True),
        ("list_10k_by_500_ms", "the same by 500 a page", "ms", None),
        ("bulk_1000_ms", "bulk-create 1,000, median of 10", "ms", None),
        ("create_ms", "create one among 10,000, median", "ms", None),
        ("get_ms", "get one among 10,000, median", "ms", None),
        ("watch_p50_ms", "write to watcher, median", "ms", None),
        ("watch_p95_ms", "write to watcher, p95", "ms", True),
        ("reconciles_per_s", "reconciles a second with a status write, one worker", "/s", False),
        ("memory_mb", "memory of the whole plane at rest (PSS)", "MB", True),
        ("first_answer_s", "first start on an empty home: until the port answers", "s", None),
    ):
        if name not in result:
            continue
        value, limit = result[name], GOALS.get(name)
        met = None if limit is None or at_most is None else value < limit if at_most else value >= limit
        bound = "" if limit is None else f"{'<' if at_most else '≥'} {limit:.0f} {unit}"
        lines.append(f"| {words} | {value:.1f} {unit} | {bound} | {verdict(met)} |")
    return "\n".join(lines)


def slo(result: dict[str, Any]) -> str:
    """The KPI engine at size."""
    step = result["increment"]
    rows = [
        ("all scorecards from slices, median of 5", f"{result['scorecards_s']:.3f} s", "< 1 s", result["scorecards_s"] < 1),
        ("the same half a year earlier, with half the history", f"{result['half_history_s']:.3f} s", "", None),
        ("facts of ten minutes rolled", f"{step['roll_facts_a_second']:,.0f}/s", "≥ 50,000/s", step["roll_facts_a_second"] >= 50_000),
        ("a year rolled at once", f"{result['roll_facts_a_second']:,.0f}/s", "", None),
        ("slices", f"{result['slices']:,} ({result['size_slices_mb']:,.0f} MB; facts {result['size_facts_mb']:,.0f} MB)", "", None),
        ("count and mean of one KPI's 30 days over facts", f"{result['raw_full_scan_s']:.3f} s", "", None),
    ]
    lines = [f"| {result['facts']:,} facts | value | limit | |", "|---|---:|---:|---|"]
    return "\n".join(lines + [f"| {words} | {value} | {limit} | {verdict(met)} |" for words, value, limit, met in rows])


def memory(result: dict[str, Any]) -> str:
    lines = ["| process | PSS | RSS |", "|---|---:|---:|"]
    lines += [f"| `{row['process']}` | {row['pss_mb']:.1f} MB | {row['rss_mb']:.1f} MB |" for row in result["processes"]]
    return "\n".join(lines)


def machine(result: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in result.items())
