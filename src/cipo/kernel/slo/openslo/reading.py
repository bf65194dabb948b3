"""OpenSLO in: documents, the references between them, and what they mean as objectives. All or nothing, every problem told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from cipo.kernel import yaml
from cipo.kernel.models import NAME_PATTERN
from cipo.kernel.slo.document import Document, Goal
from cipo.kernel.slo.objective import Budgeting, Objective, problems
from cipo.kernel.slo.openslo import said
from cipo.kernel.slo.openslo.bundle import Bundle, Definition, OpenSLOError, Problem
from cipo.kernel.slo.openslo.definitions import SHAPES, check
from cipo.kernel.slo.openslo.indicators import Source, indicator_of
from cipo.kernel.slo.openslo.part import Part, near
from cipo.kernel.slo.windows import Rolling, Window, calendar, duration

VERSION: Final = "openslo/v1"
KINDS: Final = ("SLO", "SLI", *SHAPES)
MAX_BYTES: Final = 1 << 20
MAX_VALUES: Final = 50_000
BUDGETINGS: Final = ("Occurrences", "Timeslices", "RatioTimeslices")
SIGNS: Final = {"lte": "<=", "lt": "<", "gte": ">=", "gt": ">"}
# Where a problem of an objective stands in the document.
PLACES: Final = {
    "objective": "spec.objectives[{n}]",
    "objective.target": "spec.objectives[{n}].target",
    "window": "spec.timeWindow[0].duration",
    "budgeting.slice": "spec.objectives[{n}].timeSliceWindow",
    "budgeting.target": "spec.objectives[{n}].timeSliceTarget",
    "data.every": "metadata.annotations.cipo.dev/every",
    "data.missing": "metadata.annotations.cipo.dev/missing",
    "data.minCoverage": "metadata.annotations.cipo.dev/min-coverage",
}
_NAME = re.compile(NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class Found:
    """A document of the file: its kind, its name, and itself."""

    kind: str
    name: str
    part: Part


@dataclass(frozen=True, slots=True)
class Names:
    """What references may point to, by kind and name."""

    by_kind: dict[tuple[str, str], Found]

    def get(self, kind: str, name: str) -> Found | None:
        """The document that a reference names."""
        return self.by_kind.get((kind, name))

    def resolve(self, at: Part, key: str, kind: str) -> Found | None:
        """The document that a field names; a dangling name is noted."""
        name = at.text(key)
        found = self.get(kind, name)
        if name and found is None:
            known = [one for of, one in self.by_kind if of == kind]
            at.wrong(key, name, f"no {kind} of this name is in the file{near(name, known) or '; add its document'}")
        return found


def read(text: str) -> Bundle:
    """The SLOs and definitions of a text of one or more documents; OpenSLOError with everything that is wrong."""
    told: list[Problem] = []
    if len(text) > MAX_BYTES:
        raise OpenSLOError([Problem(1, "", "", f"the text is larger than {MAX_BYTES >> 20} MiB; split it")])
    try:
        values = yaml.documents(text.encode(), most_values=MAX_VALUES)
    except yaml.YamlFault as error:
        raise OpenSLOError([Problem(1, f"line {error.line}" if error.line else "", "", error.why)]) from error
    found = [one for number, value in enumerate(values, 1) if value is not None and (one := _head(value, number, told))]
    if not found and not told:
        raise OpenSLOError([Problem(1, "", "", "there is no document in the text")])
    names = _index(found, told)
    bundle = _read(found, names)
    if told:
        raise OpenSLOError(sorted(told, key=lambda problem: problem.document))
    return bundle


def _head(value: Any, number: int, told: list[Problem]) -> Found | None:
    part = Part(value, "", number, told)
    if not isinstance(value, dict):
        return None
    version = part.text("apiVersion", needed=True)
    if version and version != VERSION:
        other = version.startswith("openslo/")
        why = f"{version} is another version of OpenSLO; only {VERSION} is read" if other else f"is no OpenSLO; write {VERSION}"
        part.wrong("apiVersion", version, why)
        return None
    kind = part.text("kind", needed=True, among=KINDS)
    return _named(part, kind) if kind else None


def _named(part: Part, kind: str) -> Found:
    metadata = part.part("metadata", needed=True)
    name = metadata.text("name", needed=True) if metadata else ""
    if metadata and name and not _NAME.match(name):
        metadata.wrong("name", name, "use lower-case letters, digits, - and . (RFC 1123)")
    return Found(kind, name, part)


def _index(found: list[Found], told: list[Problem]) -> Names:
    names = Names({})
    for one in found:
        before = names.get(one.kind, one.name)
        if before is not None and one.name:
            why = f"document {before.part.document} is a {one.kind} of this name already; rename one"
            told.append(Problem(one.part.document, "metadata.name", one.name, why))
        names.by_kind.setdefault((one.kind, one.name), one)
    return names


def _read(found: list[Found], names: Names) -> Bundle:
    documents: list[Document] = []
    definitions: list[Definition] = []
    used: set[str] = set()
    for one in found:
        if one.kind == "SLO":
            document, inline = document_of(one.part, names, used)
            if document is not None:
                documents.append(document)
            definitions += inline
    for one in found:
        if one.kind == "SLI" and one.name not in used:
            definitions.append(_spare(one, names))
        elif one.kind in SHAPES:
            definitions.append(check(one.kind, one.name, one.part, names.resolve))
    return Bundle(tuple(documents), tuple(definitions))


def _spare(one: Found, names: Names) -> Definition:
    """An SLI that no SLO of the file refers to: checked like any other, kept as it is."""
    spec = one.part.part("spec", needed=True)
    if spec is not None:
        indicator_of(spec, names.resolve)
        spec.close()
    one.part.close()
    return Definition(one.kind, one.name, json.dumps(one.part.given, sort_keys=True))


def document_of(part: Part, names: Names, used: set[str], *, strict: bool = True) -> tuple[Document | None, list[Definition]]:
    """One SLO. ``used`` collects the SLIs it refers to; ``strict``: whether its objectives are checked too."""
    before = len(part.told)
    part.text("apiVersion"), part.text("kind")
    metadata, spec = part.part("metadata", needed=True), part.part("spec", needed=True)
    if metadata is None or spec is None:
        return None, []
    name, title, labels = metadata.text("name"), metadata.text("displayName"), metadata.texts("labels")
    annotations = metadata.part("annotations")
    own = metadata.texts("annotations")
    window = _window(spec)
    shared = _indicator(spec, names, used)
    method = spec.text("budgetingMethod", needed=True, among=BUDGETINGS)
    promises = spec.parts("objectives")
    if not promises:
        spec.wrong("objectives", None, "is missing; an SLO needs at least one")
    goals: list[tuple[Goal, Source]] = []
    for index, promise in enumerate(promises):
        title_of = name if len(promises) == 1 else f"{name}-{index + 1}"
        source = _own_indicator(promise, names, used) or (shared and shared[0])
        goal = _goal(promise, title_of, source, window, method, labels)
        if goal is not None and source is not None:
            goals.append((goal, source))
    policies, inline = _alert_policies(spec, names)
    service, description = spec.text("service", needed=True), spec.text("description")
    if annotations is not None:
        changed = said.apply([goal.objective for goal, _ in goals], annotations)
        goals = [(replace(goal, objective=objective), source) for (goal, source), objective in zip(goals, changed, strict=True)]
    for one in (metadata, spec, part):
        one.close()
    if shared is None and len(goals) < len(promises) and len(part.told) == before:
        spec.wrong("indicator", None, "is missing; write indicator or indicatorRef")
    if strict and len(part.told) == before:
        _check(part, [goal.objective for goal, _ in goals], own)
    if len(part.told) > before:
        return None, inline
    source = goals[0][1]
    if len(goals) > 1 and (source.queries or source.unsupported) and any(other != source for _, other in goals):
        spec.wrong("objectives", None, "have indicators of their own outside of cipo; write an SLO for each")
        return None, inline
    queries = source.queries
    if queries is not None and (connection := own.get(said.PREFIX + said.CONNECTION)):
        queries = replace(queries, connection=connection)
    named = own.get(said.PREFIX + said.ALERT_POLICIES, "")
    document = Document(
        name=name,
        service=service,
        goals=tuple(goal for goal, _ in goals),
        queries=queries,
        display_name=title,
        description=description,
        indicator_name=shared[1] if shared else "",
        indicator_title=shared[2] if shared else "",
        alert_policies=(*policies, *(one for one in named.split(",") if one)),
        unsupported=source.unsupported,
        source=source.written,
        labels=labels,
        annotations={key: value for key, value in own.items() if not key.startswith(said.PREFIX)},
    )
    return document, inline


def _window(spec: Part) -> Window | None:
    windows = spec.parts("timeWindow")
    if len(windows) != 1:
        spec.wrong("timeWindow", None, "is missing; write one time window" if not windows else "holds several; write one")
        return None
    given = windows[0]
    text, rolling, when = given.text("duration", needed=True), given.flag("isRolling"), given.part("calendar")
    given.close()
    if rolling and when is not None:
        given.wrong("calendar", None, "belongs to a window that is not rolling; remove it, or isRolling")
        return None
    if not rolling and when is None:
        given.wrong("calendar", None, "is missing; a window that is not rolling needs startTime and timeZone, or write isRolling: true")
        return None
    if not text:
        return None
    if when is None:
        return _parsed(given, "duration", text, lambda text: Rolling(duration(text)))
    return _calendar(given, text, when)


def _calendar(given: Part, text: str, when: Part) -> Window | None:
    zone = when.text("timeZone", needed=True)
    start = when.parsed("startTime", _moment, needed=True)
    when.close()
    # The length is told even where the start is wrong.
    length = _parsed(given, "duration", text, lambda text: calendar(text, datetime(2020, 1, 1), "UTC"))  # noqa: DTZ001 - wall-clock
    if length is None or start is None or not zone:
        return None
    if _parsed(when, "timeZone", zone, lambda zone: calendar(text, datetime(2020, 1, 1), zone)) is None:  # noqa: DTZ001 - wall-clock
        return None
    return _parsed(when, "startTime", str(start), lambda _: calendar(text, start, zone))


def _parsed(part: Part, key: str, text: str, parse: Callable[[str], Window]) -> Window | None:
    try:
        return parse(text)
    except ValueError as error:
        part.wrong(key, text, str(error))
        return None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no wall-clock time; write one such as 2026-01-01 00:00:00") from error


def _indicator(spec: Part, names: Names, used: set[str]) -> tuple[Source, str, str] | None:
    """(source, name, title) of the SLO's indicator."""
    inline, named = spec.part("indicator"), spec.has("indicatorRef")
    if inline is not None and named:
        spec.wrong("indicatorRef", spec.given["indicatorRef"], "stands beside an indicator; keep one")
    if inline is None:
        found = names.resolve(spec, "indicatorRef", "SLI")
        if found is None:
            return None
        used.add(found.name)
        inline = Part(found.part.given, "", found.part.document, found.part.told)
        inline.text("apiVersion"), inline.text("kind")
    metadata, body = inline.part("metadata"), inline.part("spec", needed=True)
    inline.close()
    name = title = ""
    if metadata is not None:
        name, title = metadata.text("name"), metadata.text("displayName")
        metadata.plain("labels"), metadata.plain("annotations")
        metadata.close()
    if body is None:
        return None
    source = indicator_of(body, names.resolve)
    body.close()
    return (source, name, title) if source is not None else None


def _own_indicator(promise: Part, names: Names, used: set[str]) -> Source | None:
    if not promise.has("indicator") and not promise.has("indicatorRef"):
        return None
    found = _indicator(promise, names, used)
    return found[0] if found else None


def _goal(promise: Part, name: str, source: Source | None, window: Window | None, method: str, labels: dict[str, str]) -> Goal | None:
    title = promise.text("displayName")
    op, value = promise.text("op", among=SIGNS), promise.number("value")
    target = _target(promise)
    budgeting = _budgeting(promise, method)
    weight = promise.number("compositeWeight")
    if weight is not None and weight <= 0:
        promise.wrong("compositeWeight", weight, "must be above 0")
    promise.close()
    if source is not None and source.threshold:
        for key, given in (("op", op), ("value", value)):
            if given in ("", None):
                promise.wrong(key, None, "is missing; a threshold needs op (lte, lt, gte, gt) and value")
    if source is None or window is None or target is None or budgeting is None or (source.threshold and (not op or value is None)):
        return None
    indicator, limit, share = source.promised(SIGNS.get(op, ""), value, target)
    objective = Objective(name, indicator, limit, window, share, budgeting, labels=labels)
    return Goal(objective, title, 1.0 if weight is None else weight)


def _target(promise: Part) -> float | None:
    target, percent = promise.number("target"), promise.number("targetPercent")
    if (target is None) == (percent is None):
        promise.wrong("target", target, "is missing" if target is None else "stands beside targetPercent; keep one")
        return None
    key, share = ("target", target) if percent is None else ("targetPercent", float(Decimal(str(percent)) / 100))
    assert share is not None
    if not 0 <= share <= 1:
        promise.wrong(
            key, promise.given[key], "must lie between 0 and 1, such as 0.999" if key == "target" else "must lie between 0 and 100"
        )
        return None
    return share


def _budgeting(promise: Part, method: str) -> Budgeting | None:
    share = promise.number("timeSliceTarget")
    text = promise.given.get("timeSliceWindow")
    size: timedelta | None = None
    if isinstance(text, int | float):
        promise.number("timeSliceWindow")  # a bare number is in minutes
        size = timedelta(minutes=text)
    else:
        size = promise.parsed("timeSliceWindow", duration)
    if not method:
        return None
    sliced = method != "Occurrences"
    if sliced and size is None:
        if not promise.has("timeSliceWindow"):
            promise.wrong("timeSliceWindow", None, f"is missing; {method} needs the length of a slice, such as 1m")
        return None
    if method == "Timeslices" and share is None:
        promise.wrong("timeSliceTarget", None, "is missing; Timeslices needs the share that makes a slice good")
        return None
    return Budgeting(method, size if sliced else None, share if method == "Timeslices" else None)  # type: ignore[arg-type]  # checked


def _alert_policies(spec: Part, names: Names) -> tuple[list[str], list[Definition]]:
    found: list[str] = []
    inline: list[Definition] = []
    for index, given in enumerate(spec.items("alertPolicies")):
        key = f"alertPolicies[{index}]"
        if isinstance(given, str):
            given = {"alertPolicyRef": given}  # noqa: PLW2901 - the short form that OpenSLO's own examples use
        part = Part(given, spec.at(key), spec.document, spec.told)
        if part.has("alertPolicyRef"):
            policy = names.resolve(part, "alertPolicyRef", "AlertPolicy")
            part.close()
            found += [policy.name] if policy else []
        elif part.given:
            part.text("kind", needed=True, among=("AlertPolicy",))
            one = _named(part, "AlertPolicy")
            if names.get("AlertPolicy", one.name):
                part.wrong("metadata.name", one.name, "is the name of another AlertPolicy of the file; refer to it, or rename this one")
            inline.append(check("AlertPolicy", one.name, part, names.resolve))
            names.by_kind.setdefault(("AlertPolicy", one.name), one)
            found.append(one.name)
    return found, inline


def _check(part: Part, objectives: list[Objective], annotations: dict[str, str]) -> None:
    """What the engine itself has against the objectives, with the fields of the document."""
    known: set[tuple[str, str]] = set()
    for index, objective in enumerate(objectives):
        open_ended = said.PREFIX + "limit" in annotations or f"{said.PREFIX}limit.{index + 1}" in annotations
        if objective.indicator.method == "ratio" and objective.budget_target is None and not open_ended:
            field, why = f"spec.objectives[{index}].target", "leaves no budget; it must lie between 0 and 1, such as 0.999"
            part.wrong(field, objective.limit.value, why)
        for at, why in problems(objective):
            place = (PLACES.get(at, "spec.indicator").format(n=index), why)
            if place not in known:
                known.add(place)
                part.wrong(place[0], None, why)
