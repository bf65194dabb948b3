"""Create, edit and delete: forms from the schema or YAML, and always the consequence first. An edit shows the difference of a server-side
dry run before it is applied; a delete lists who refers to the object."""

from __future__ import annotations

from typing import Any

from starlette.responses import RedirectResponse, Response

from cipo.kernel.errors import ApiError, BadRequest, Cause, Conflict
from cipo.kernel.store.read import REFS_MAX
from cipo.kernel.unit import KindInfo
from cipo.kernel.wire.decode import decode_yaml
from cipo.web import forms, story, words
from cipo.web.console import Console, Visit
from cipo.web.forms import Field, fields_of, target_of
from cipo.web.listing import bare, kind_of
from cipo.web.offices import unit_crumbs
from cipo.web.resource import permissions, relations

NAME = "metadata.name"
LABELS = "metadata.labels"


def controls(console: Console, info: KindInfo, *, new: bool) -> list[Field]:
    """The spec's controls, with the name in front when it is still to be chosen."""
    head = [Field(LABELS, "yaml", "Labels", "One a line, key: value. Lists and watches select by them.")]
    if new:
        head.insert(0, Field(NAME, "text", "Name", "Unique among its kind: lower-case letters, digits, - and .", required=True, length=253))
    return [*head, *fields_of(info.spec_cls, "spec", target_of(console.registry.target, info))]


def described(fields: list[Field], form: dict[str, Any]) -> dict[str, Any]:
    """The object that the form describes."""
    head = [item for item in fields if not item.path.startswith("spec.")]
    spec = forms.parse([item for item in fields if item.path.startswith("spec.")], form)
    return {"metadata": forms.parse(head, form), "spec": spec}


async def new(console: Console, visit: Visit) -> Response:
    """``GET`` and ``POST /new/<kind>``."""
    info = kind_of(console, visit.path("kind"))
    console.resources.allow(visit.caller, "create", info)
    fields = controls(console, info, new=True)
    text, error, causes = template_yaml(info), None, []
    if visit.request.method == "POST":
        form = dict(await visit.form())
        text = str(form.get("manifest") or text)
        forms.refill(fields, form)
        try:
            obj = manifest(text, info) if "manifest" in form else described(fields, form)
            written = await console.resources.create(visit.caller, info, obj)
            return RedirectResponse(console.href(info.gk, written.stored.name), 303)
        except ApiError as failure:
            error, causes = failure, forms.mark(fields, failure.causes)
    else:
        forms.fill(fields, {"labels": {}})
        for item in forms.walk(fields):
            item.value = item.default
    return await console.page(
        visit,
        "new.html",
        status=error.code if error else 200,
        crumbs=[
            *unit_crumbs(console.chart, info.unit),
            (words.kinds_title(info.kind, info.plural), f"/k/{console.kind_path(info)}"),
            ("New", ""),
        ],
        info=info,
        fields=fields,
        yaml=text,
        as_yaml=visit.query("as") == "yaml",
        error=error,
        causes=causes,
    )


async def edit(console: Console, visit: Visit) -> Response:
    """``GET`` and ``POST /r/<kind>/<name>/edit``: check shows what would change, apply does it."""
    info = kind_of(console, visit.path("kind"))
    name = visit.path("name")
    stored = await console.resources.get(visit.caller, info, name)
    old = stored.object()
    console.resources.allow(visit.caller, "update", info, name=name)
    fields = controls(console, info, new=False)
    text, checked, error, causes = forms.to_yaml(editable(old)), None, None, []
    as_yaml = visit.query("as") == "yaml"
    _fill(fields, old)
    if visit.request.method == "POST":
        form = dict(await visit.form())
        as_yaml = "manifest" in form and form.get("mode") == "yaml"
        text = str(form.get("manifest") or text)
        if "manifest" not in form:
            forms.refill(fields, form)
        try:
            obj = manifest(text, info) if "manifest" in form else _merged(old, described(fields, form), str(form.get("version") or ""))
            written = await console.resources.replace(visit.caller, info, name, obj, dry_run=form.get("step") != "apply")
            if form.get("step") == "apply":
                return RedirectResponse(f"{console.href(info.gk, name)}?done=edit", 303)
            text = forms.to_yaml(obj)
            if not as_yaml:
                _fill(fields, obj)
            checked = story.compared(old, written.stored.object())
        except ApiError as failure:
            error, causes = failure, forms.mark(fields, failure.causes)
    return await console.page(
        visit,
        "edit.html",
        status=error.code if error else 200,
        crumbs=_crumbs(console, info, name, "Edit"),
        info=info,
        stored=stored,
        fields=fields,
        yaml=text,
        as_yaml=as_yaml,
        checked=checked,
        error=error,
        causes=causes,
        href=console.href(info.gk, name),
    )


async def delete(console: Console, visit: Visit) -> Response:
    """``GET`` and ``POST /r/<kind>/<name>/delete``: who refers to it, then the deed."""
    info = kind_of(console, visit.path("kind"))
    name = visit.path("name")
    stored = await console.resources.get(visit.caller, info, name)
    _, incoming = await console.resources.refs(visit.caller, stored.uid)
    error: ApiError | None = None
    if visit.request.method == "POST":
        form = await visit.form()
        how = "Foreground" if form.get("cascade") else "Background"
        try:
            await console.resources.delete(visit.caller, info, name, uid=str(form.get("uid") or "") or None, propagation=how)
            return RedirectResponse(f"/k/{console.kind_path(info)}", 303)
        except (Conflict, BadRequest) as failure:
            error = failure
    goes = {row.uid for row in incoming if row.path in console.registry.kind(row.gk).cascade}
    return await console.page(
        visit,
        "delete.html",
        status=error.code if error else 200,
        crumbs=_crumbs(console, info, name, "Delete"),
        info=info,
        stored=stored,
        stays=relations(console, [row for row in incoming if row.uid not in goes]),
        goes=relations(console, [row for row in incoming if row.uid in goes]),
        refs_max=REFS_MAX,
        why_not=permissions(console, visit, info)["delete"],
        error=error,
        href=console.href(info.gk, name),
    )


def manifest(text: str, info: KindInfo) -> dict[str, Any]:
    """The object of a YAML editor."""
    obj = decode_yaml(text.encode())
    if not isinstance(obj, dict):
        raise BadRequest(f"write one {info.kind} with metadata and spec", causes=[Cause("", "the text is not an object")])
    return obj


def editable(obj: dict[str, Any]) -> dict[str, Any]:
    """What an editor shows: the version guards against somebody else's change in between; status is not edited."""
    kept = ("name", "labels", "annotations", "finalizers", "resourceVersion")
    metadata = {key: value for key, value in bare(obj)["metadata"].items() if key in kept}
    return {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), "metadata": metadata, "spec": obj.get("spec") or {}}


def template_yaml(info: KindInfo) -> str:
    """A first text for a new object: what is required, and nothing else."""
    required = info.spec_cls.model_json_schema(by_alias=True).get("required", [])
    return forms.to_yaml({"apiVersion": info.api_version, "kind": info.kind, "metadata": {"name": ""}, "spec": dict.fromkeys(required, "")})


def _merged(old: dict[str, Any], new_parts: dict[str, Any], version: str) -> dict[str, Any]:
    obj = editable(old)
    obj["metadata"]["labels"] = new_parts["metadata"].get("labels") or {}
    if version:
        obj["metadata"]["resourceVersion"] = version
    obj["spec"] = new_parts["spec"]
    return obj


def _fill(fields: list[Field], obj: dict[str, Any]) -> None:
    forms.fill([item for item in fields if item.path.startswith("spec.")], obj.get("spec") or {})
    forms.fill([item for item in fields if item.path.startswith("metadata.")], obj.get("metadata") or {})


def _crumbs(console: Console, info: KindInfo, name: str, last: str) -> list[tuple[str, str]]:
    return [
        *unit_crumbs(console.chart, info.unit),
        (words.kinds_title(info.kind, info.plural), f"/k/{console.kind_path(info)}"),
        (name, console.href(info.gk, name)),
        (last, ""),
    ]
