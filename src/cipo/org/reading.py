"""From a chart file to a ``Department``: safe YAML, short ids made qualified, every mistake with its path.

Only ``chart.load`` calls this. It is stricter than YAML: a key given twice, an alias or an anchor, and a file over 1 MiB are refused,
because a chart decides who may do what and must read the same to a person and to the machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cipo.org.errors import ChartError, ChartProblem
from cipo.org.model import Department

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
TOP = ("department", "squads", "contracts", "boundaries", "rulings")

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]  # the C loader has no stub
    """Safe tags only, and no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Construct as usual; a key given twice is refused with both lines."""
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is not text; put it in quotes", key_node.start_mark)
            if key in seen:
                why = f"the key {key!r} was given already in line {seen[key]}; keep one"
                raise yaml.constructor.ConstructorError(None, None, why, key_node.start_mark)
            seen[key] = line
        return super().construct_mapping(node, deep)


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
        _refuse_aliases(file, text)
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506  (a subclass of the safe loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ChartError([ChartProblem(file, where, "", getattr(error, "problem", None) or str(error))]) from error
    if not isinstance(raw, dict):
        raise ChartError([ChartProblem(file, "", "", f"must be a map with {', '.join(TOP)}")])
    return raw


def _refuse_aliases(file: str, text: str) -> None:
    """Refuse aliases (the YAML bomb) and deep nesting before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ChartError([ChartProblem(file, _line(event), "", "anchors and aliases are not allowed in a chart; write it out")])
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ChartError([ChartProblem(file, _line(event), "", f"is nested deeper than {MAX_DEPTH} levels")])


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}" if event.start_mark else ""


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
