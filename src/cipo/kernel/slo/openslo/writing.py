"""OpenSLO out: always the same bytes for the same bundle, and nothing lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cipo.kernel import yaml
from cipo.kernel.slo.document import Document, Goal, Queries
from cipo.kernel.slo.objective import Indicator, rest
from cipo.kernel.slo.openslo import said
from cipo.kernel.slo.openslo.bundle import Bundle, Definition
from cipo.kernel.slo.openslo.indicators import FACTS, PROMETHEUS, plain, source_spec
from cipo.kernel.slo.openslo.part import Part
from cipo.kernel.slo.openslo.reading import SIGNS, VERSION, Found, Names, document_of
from cipo.kernel.slo.windows import Rolling, Window, shorthand

NAMES_OF_SIGNS = {sign: name for name, sign in SIGNS.items()}
Json = dict[str, Any]


def write(bundle: Bundle) -> str:
    """All documents of a bundle: SLOs first, then what stands around them. ValueError for SLOs that OpenSLO has no form for."""
    bodies = [json.loads(definition.body) for definition in bundle.definitions]
    return yaml.written([*(_slo(document, bundle.definitions) for document in bundle.documents), *bodies])


def _slo(document: Document, definitions: tuple[Definition, ...]) -> Json:
    first = document.goals[0].objective
    for goal in document.goals[1:]:
        if (goal.objective.window, goal.objective.budgeting.method) != (first.window, first.budgeting.method):
            raise ValueError(f"{document.name}: its objectives differ in window or budgeting; write an SLO for each")
    policies = {one.name for one in definitions if one.kind == "AlertPolicy"}
    known = [name for name in document.alert_policies if name in policies]
    body = _in_openslo(document, known, definitions)
    annotations = dict(sorted((*document.annotations.items(), *_unsaid(document, body, known, definitions))))
    if annotations:
        body["metadata"]["annotations"] = annotations
    return body


def _in_openslo(document: Document, policies: list[str], definitions: tuple[Definition, ...]) -> Json:
    """As far as OpenSLO has words."""
    first = document.goals[0].objective
    shared = _indicator(document, first.indicator, definitions)
    spec: Json = _with(description=document.description) | {"service": document.service}
    spec["indicator"] = _with(metadata=_with(name=document.indicator_name, displayName=document.indicator_title)) | {"spec": shared}
    spec["timeWindow"] = [_window(first.window)]
    spec["budgetingMethod"] = first.budgeting.method
    spec["objectives"] = [_objective(document, goal, shared, definitions) for goal in document.goals]
    spec |= _with(alertPolicies=[{"alertPolicyRef": name} for name in policies])
    metadata = {"name": document.name} | _with(displayName=document.display_name, labels=dict(sorted(document.labels.items())))
    return {"apiVersion": VERSION, "kind": "SLO", "metadata": metadata, "spec": spec}


def _unsaid(document: Document, body: Json, policies: list[str], definitions: tuple[Definition, ...]) -> list[tuple[str, str]]:
    """The annotations that are needed, found by reading what was written."""
    names = Names({(one.kind, one.name): Found(one.kind, one.name, Part(json.loads(one.body), "", 0, [])) for one in definitions})
    part = Part(json.loads(json.dumps(body)), "", 0, [])
    again, _ = document_of(part, names, set(), strict=False)
    if again is None:
        raise ValueError(f"{document.name} has no form in OpenSLO: {'; '.join(str(problem) for problem in part.told)}")
    found = list(said.differing([goal.objective for goal in document.goals], [goal.objective for goal in again.goals]))
    if document.queries is not None and again.queries is not None and document.queries.connection != again.queries.connection:
        found.append((said.PREFIX + said.CONNECTION, document.queries.connection))
    others = [name for name in document.alert_policies if name not in policies]
    if others:
        found.append((said.PREFIX + said.ALERT_POLICIES, ",".join(others)))
    return found


def _window(window: Window) -> Json:
    if isinstance(window, Rolling):
        return {"duration": shorthand(window.span), "isRolling": True}
    when = {"startTime": window.start.strftime("%Y-%m-%d %H:%M:%S"), "timeZone": window.zone}
    return {"duration": f"{window.count}{window.unit}", "isRolling": False, "calendar": when}


def _objective(document: Document, goal: Goal, shared: Json, definitions: tuple[Definition, ...]) -> Json:
    objective = goal.objective
    own = _indicator(document, objective.indicator, definitions)
    body = _with(displayName=goal.display_name) | ({"indicator": {"spec": own}} if own != shared else {})
    if "thresholdMetric" in own:
        ratio = objective.indicator.method == "ratio"
        op, value = (objective.indicator.good.op, objective.indicator.good.value) if ratio else (objective.limit.op, objective.limit.value)
        body |= {"op": NAMES_OF_SIGNS[op], "value": plain(value)}
    body["target"] = plain(_target(goal))
    budgeting = objective.budgeting
    if budgeting.slice_target is not None:
        body["timeSliceTarget"] = plain(budgeting.slice_target)
    if budgeting.slice is not None:
        body["timeSliceWindow"] = shorthand(budgeting.slice)
    if goal.weight != 1:
        body["compositeWeight"] = plain(goal.weight)
    return body


def _target(goal: Goal) -> float:
    objective = goal.objective
    if objective.target is not None:
        return objective.target
    if objective.indicator.method != "ratio":
        return 1.0
    return objective.limit.value if objective.limit.least else rest(objective.limit.value)


def _indicator(document: Document, indicator: Indicator, definitions: tuple[Definition, ...]) -> Json:
    if document.unsupported:
        written: Json = json.loads(document.source)
        return written
    if document.queries is not None:
        return {"ratioMetric": _of_queries(document.queries, definitions)}
    spec = source_spec(indicator)
    if indicator.method == "ratio" and indicator.good.op in ("==", "!="):
        good = {"metricSource": {"type": FACTS, "spec": spec | {"good": str(indicator.good)}}}
        return {"ratioMetric": {"good": good, "total": {"metricSource": {"type": FACTS, "spec": spec}}}}
    return {"thresholdMetric": {"metricSource": {"type": FACTS, "spec": spec}}}


def _of_queries(queries: Queries, definitions: tuple[Definition, ...]) -> Json:
    source = _data_source(queries.connection, definitions)
    head = {"metricSourceRef": source} if source else {"type": PROMETHEUS[0]}
    sides: Mapping[str, str | None] = {"good": queries.good, "bad": queries.bad, "total": queries.total}
    return {side: {"metricSource": head | {"spec": {"query": query}}} for side, query in sides.items() if query is not None}


def _data_source(connection: str, definitions: tuple[Definition, ...]) -> str:
    """The first DataSource that means this connection, by its address or its name."""
    for one in definitions:
        if one.kind == "DataSource" and connection:
            spec = json.loads(one.body).get("spec") or {}
            url = (spec.get("connectionDetails") or {}).get("url")
            if spec.get("type") in PROMETHEUS and connection == (url if isinstance(url, str) else one.name):
                return one.name
    return ""


def _with(**fields: Any) -> Json:
    """The fields that say something."""
    return {key: value for key, value in fields.items() if value}
