"""From a chart file to a ``Department``: safe YAML, short ids made qualified, every mistake with its path.

Only ``chart.load`` calls this. It takes plain YAML (``cipo.kernel.yaml``) of at most 1 MiB, because a chart decides who may do what and
must read the same to a person and to the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cipo.kernel import yaml
from cipo.org.errors import ChartError, ChartProblem
from cipo.org.model import Department

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_VALUES = 50_000
TOP = ("department", "squads", "contracts", "boundaries", "rulings")


def read_department(file: str, text: str) -> Department:
    """The department in one chart file; raises ``ChartError`` with all its problems."""
    raw = _parse(file, text)
    problems = [ChartProblem(file, key, "", f"is not a part of a chart file; those are {', '.join(TOP)}") for key in raw if key not in TOP]
    head = raw.get("department")
    if not isinstance(head, dict):
        problems.append(ChartProblem(file, "department", "", "must be a map with id, name and title"))
    if problems:
        raise ChartError(problems)
    assert isinstance(head, dict)
    try:
        department = Department.model_validate({**head, **_qualified(str(head.get("id", "")), file, raw)})
    except ValidationError as error:
        raise ChartError([_problem(file, raw, detail) for detail in error.errors()]) from error
    if Path(file).stem != department.id:
        why = f"the file of department {department.id} is {department.id}.yaml"
        raise ChartError([ChartProblem(file, "department.id", department.id, why)])
    return department


def _parse(file: str, text: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise ChartError([ChartProblem(file, "", "", f"is larger than {MAX_BYTES >> 20} MiB")])
    try:
        found = yaml.documents(text.encode(), most_values=MAX_VALUES, most_documents=1, depth=MAX_DEPTH)
    except yaml.YamlFault as error:
        raise ChartError([ChartProblem(file, f"line {error.line}" if error.line else "", "", error.why)]) from error
    raw = found[0] if found else None
    if not isinstance(raw, dict):
        raise ChartError([ChartProblem(file, "", "", f"must be a map with {', '.join(TOP)}")])
    return raw


def _qualified(department: str, file: str, raw: dict[str, Any]) -> dict[str, Any]:
    """The rest of the file with each short id written out: ``U-W2`` in 1A becomes ``1A/U-W2``."""

    def full(value: Any) -> Any:
        return f"{department}/{value}" if isinstance(value, str) and "/" not in value else value

    def squad(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        own = full(item.get("id"))
        units = [_merged(unit, squad=own, id=full(unit.get("id"))) if isinstance(unit, dict) else unit for unit in _list(item, "units")]
        kpis = [_merged(kpi, squad=own, unit=full(kpi.get("unit"))) if isinstance(kpi, dict) else kpi for kpi in _list(item, "kpis")]
        return {**item, "id": own, "units": units, "kpis": kpis}

    return {
        "squads": [squad(item) for item in _list(raw, "squads")],
        "contracts": raw.get("contracts") or [],
        "boundaries": [_merged(item, file=file) if isinstance(item, dict) else item for item in _list(raw, "boundaries")],
        "rulings": [
            {**item, "squad": full(item["squad"])} if isinstance(item, dict) and "squad" in item else item for item in _list(raw, "rulings")
        ],
    }


def _merged(item: dict[str, Any], **added: Any) -> dict[str, Any]:
    return {**item, **added}


def _list(raw: dict[str, Any], key: str) -> list[Any]:
    value = raw.get(key)
    return value if isinstance(value, list) else []


def _problem(file: str, raw: dict[str, Any], detail: Any) -> ChartProblem:
    """A Pydantic error as a sentence: path as in the file, the value found there, what would be right."""
    location = [part for part in detail["loc"] if part not in ("function-after", "[key]")]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    value = detail.get("input")
    shown = value if isinstance(value, str | int | float | bool) else ""
    why = str(detail["msg"]).removeprefix("Value error, ")
    match detail["type"]:
        case "extra_forbidden":
            why, shown = "is not known here; check its spelling", ""
        case "missing":
            why, shown = "is missing", ""
        case "string_pattern_mismatch":
            why = f"has the wrong shape; it must match {detail['ctx']['pattern']}"
        case _:
            pass
    prefix = "" if path.startswith(("squads", "contracts", "boundaries", "rulings")) else "department."
    return ChartProblem(file, f"{prefix}{path}", str(shown)[:120], why)
