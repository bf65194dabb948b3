"""Questions about oneself: ``kubectl auth can-i``, ``auth can-i --list`` and ``auth whoami``, in JSON or kubectl's protobuf."""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from cipo.kernel.errors import ApiError, BadRequest
from cipo.kernel.principal import Caller
from cipo.kernel.unit import KindInfo
from cipo.kernel.wire import protobuf
from cipo.kernel.wire.decode import decode
from cipo.kernel.wire.request import JSON, Wire, body, json

AUTHORIZATION: Final = "authorization.k8s.io/v1"
AUTHENTICATION: Final = "authentication.k8s.io/v1"
VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete")


async def access_review(wire: Wire, request: Request, caller: Caller) -> Response:
    """SelfSubjectAccessReview: may I, and by which rule."""
    question = await _question(request, "SelfSubjectAccessReview")
    spec = question.get("spec") or {}
    allowed, reason = _answer(wire, caller, spec)
    return _review("SelfSubjectAccessReview", AUTHORIZATION, spec, {"allowed": allowed, "reason": reason})


async def rules_review(wire: Wire, request: Request, caller: Caller) -> Response:
    """SelfSubjectRulesReview: all that I may."""
    question = await _question(request, "SelfSubjectRulesReview")
    rules: list[dict[str, Any]] = []
    for kind in wire.registry.kinds:
        verbs = [verb for verb in VERBS if _may(wire, caller, verb, kind)[0]]
        if verbs:
            rules.append({"verbs": verbs, "apiGroups": [kind.group], "resources": [kind.plural]})
        actions = [f"{kind.plural}/{action}" for action in kind.actions if _may(wire, caller, "act", kind, action)[0]]
        if actions:
            rules.append({"verbs": ["create"], "apiGroups": [kind.group], "resources": actions})
    open_to_all = [{"verbs": ["get"], "nonResourceURLs": ["/api", "/apis", "/healthz", "/livez", "/openapi/*", "/readyz", "/version"]}]
    answer = {"resourceRules": rules, "nonResourceRules": open_to_all, "incomplete": False}
    return _review("SelfSubjectRulesReview", AUTHORIZATION, question.get("spec") or {}, answer)


async def self_review(wire: Wire, request: Request, caller: Caller) -> Response:
    """SelfSubjectReview: who am I."""
    await _question(request, "SelfSubjectReview")
    who = caller.principal
    groups = ["system:authenticated", *(f"unit:{unit}" for unit in sorted(who.units)), *(f"lead:{lead}" for lead in sorted(who.leads))]
    user: dict[str, Any] = {"username": who.name, "groups": groups}
    if caller.unit:
        user["extra"] = {"acting-unit": [caller.unit]}
    return _review("SelfSubjectReview", AUTHENTICATION, None, {"userInfo": user})


async def _question(request: Request, kind: str) -> dict[str, Any]:
    media = request.headers.get("content-type", JSON).partition(";")[0].strip()
    content = await body(request)
    value = protobuf.review(content) if media == protobuf.MEDIA_TYPE else decode(content, media)
    if not isinstance(value, dict) or value.get("kind") not in (kind, None):
        raise BadRequest(f"the body must be a {kind}")
    if not isinstance(value.get("spec") or {}, dict):
        raise BadRequest("spec must be an object")
    return value


def _answer(wire: Wire, caller: Caller, spec: dict[str, Any]) -> tuple[bool, str]:
    attributes = spec.get("resourceAttributes")
    if not isinstance(attributes, dict):
        if isinstance(spec.get("nonResourceAttributes"), dict):
            allowed = spec["nonResourceAttributes"].get("verb") == "get"
            return allowed, "every signed-in caller may read these paths" if allowed else "these paths can only be read"
        raise BadRequest("spec needs resourceAttributes or nonResourceAttributes")
    verb, group, plural, part = (str(attributes.get(key) or "") for key in ("verb", "group", "resource", "subresource"))
    kind = wire.registry.by_plural.get((group, plural))
    if kind is None:
        return _unbuilt(wire, caller, verb, group, plural)
    if part and part != "status":
        if part not in kind.actions or verb not in ("create", "act"):
            return False, f"{kind.plural} has no {part!r} to {verb}; its actions are: {', '.join(sorted(kind.actions)) or 'none'}"
        return _may(wire, caller, "act", kind, part)
    if verb not in VERBS:
        return False, f"{verb!r} is not a verb here; the verbs are {', '.join(VERBS)}"
    return _may(wire, caller, verb, kind)


def _unbuilt(wire: Wire, caller: Caller, verb: str, group: str, plural: str) -> tuple[bool, str]:
    """A kind that is not served: the boundary's reason if the chart names it, else that there is none."""
    if (group, plural) == ("", "events") and verb in ("get", "list"):
        return True, "the events of kinds that you may read"
    if wire.boundary is not None:
        try:
            wire.boundary(caller, verb, group, plural)
        except ApiError as refusal:
            return False, refusal.message
    return False, f"the server has no resource {plural!r} in group {group!r}"


def _may(wire: Wire, caller: Caller, verb: str, kind: KindInfo, action: str | None = None) -> tuple[bool, str]:
    try:
        decision = wire.resources.may(caller, verb, kind, action)
    except ApiError as refusal:  # the acting unit itself is wrong, or must be named
        return False, refusal.message
    return decision.allowed, decision.reason or decision.rule


def _review(kind: str, version: str, spec: dict[str, Any] | None, answer: dict[str, Any]) -> Response:
    review = {"kind": kind, "apiVersion": version, "metadata": {"creationTimestamp": None}, "status": answer}
    return json(orjson.dumps(review | ({"spec": spec} if spec is not None else {})), 201)
