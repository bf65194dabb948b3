"""A resource's page: where it is in its life, what is wrong, what may be done and why not, its values, relations, pictures and story."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from cipo.kernel.errors import ApiError, Cause
from cipo.kernel.store.admission import typed
from cipo.kernel.store.read import REFS_MAX, EventRow, RefRow
from cipo.kernel.store.write import Stored
from cipo.kernel.unit import ActionInfo, KindInfo
from cipo.web import forms, story, words
from cipo.web.console import KPI, Console, Visit, log
from cipo.web.forms import Field, fields_of, target_of
from cipo.web.listing import bare, kind_of, phase_of
from cipo.web.offices import unit_crumbs

EVENTS = 50
SUGGESTIONS = 100
INPUT = "in"


@dataclass(slots=True)
class Button:
    """An action as a button: its form, what it leaves behind, or why it cannot be done now."""

    info: ActionInfo
    href: str
    why_not: str = ""
    fields: list[Field] = field(default_factory=list)
    key: str = ""
    causes: list[Cause] = field(default_factory=list)
    error: str = ""
    open: bool = False

    @property
    def label(self) -> str:
        """Its name as a person says it."""
        return words.sentence(self.info.name.replace("-", " "))


@dataclass(frozen=True, slots=True)
class Relation:
    """Another resource at the end of a reference."""

    path: str
    kind: str
    name: str
    href: str

    @property
    def role(self) -> str:
        """Its kind, and the field that refers where that says more: ``Stock count, racks``."""
        kind, field = words.humps(self.kind), words.label(re.sub(r"\[\d+\]", "", self.path))
        return kind if kind.lower().endswith(field.lower()) else f"{kind}, {field.lower()}"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of the resource, or why it cannot be drawn."""

    title: str
    svg: Markup
    error: str = ""


async def resource(console: Console, visit: Visit) -> Response:
    """``GET /r/<kind>/<name>``."""
    info = kind_of(console, visit.path("kind"))
    if info.gk == KPI:
        return RedirectResponse(console.href(KPI, visit.path("name")), 303)
    stored = await console.resources.get(visit.caller, info, visit.path("name"))
    if visit.query("as") in ("yaml", "json"):
        return _plain(stored, visit.query("as"))
    return await show(console, visit, info, stored)


async def act(console: Console, visit: Visit) -> Response:
    """``POST /r/<kind>/<name>/act/<action>``: run an action; its errors come back beside the fields."""
    info = kind_of(console, visit.path("kind"))
    name, action = visit.path("name"), visit.path("action")
    form = dict(await visit.form())
    stored = await console.resources.get(visit.caller, info, name)
    declared = info.actions.get(action)
    asked = fields_of(declared.input, INPUT, target_of(console.registry.target, info)) if declared and declared.input else []
    try:
        given = forms.parse(asked, form)
        acted = await console.resources.act(visit.caller, info, name, action, given, idempotency_key=str(form.get("key") or "") or None)
    except ApiError as error:
        if declared is None or error.code == 401:
            raise
        return await show(console, visit, info, stored, failed=(action, form, error))
    if acted.output:
        return await show(console, visit, info, acted.stored, output=(action, acted.output))
    return RedirectResponse(f"{console.href(info.gk, name)}?done={words.percent_encode(action)}", 303)


async def show(
    console: Console,
    visit: Visit,
    info: KindInfo,
    stored: Stored,
    *,
    failed: tuple[str, dict[str, Any], ApiError] | None = None,
    output: tuple[str, dict[str, Any]] | None = None,
) -> Response:
    """The page, also after an action that failed or answered."""
    obj = stored.object()
    events = await console.resources.events(visit.caller, gk=info.gk, uid=stored.uid, limit=EVENTS)
    outgoing, incoming = await console.resources.refs(visit.caller, stored.uid)
    links = {ref.path: console.href(ref.gk, ref.name) for ref in outgoing}
    buttons = await action_buttons(console, visit, info, obj, failed)
    waiting = await console.resources.waiting(visit.caller, uid=stored.uid)
    phase = phase_of(info, obj)
    return await console.page(
        visit,
        "resource.html",
        status=failed[2].code if failed else 200,
        crumbs=[
            *unit_crumbs(console.chart, info.unit),
            (words.kinds_title(info.kind, info.plural), f"/k/{console.kind_path(info)}"),
            (stored.name, ""),
        ],
        live=",".join(sorted({info.gk, *(ref.gk for ref in (*outgoing, *incoming))})),
        info=info,
        stored=stored,
        obj=obj,
        phase=phase,
        steps=story.steps(info, obj, events),
        statements=story.statements(obj),
        waiting=waiting,
        buttons=[button for button in buttons if not button.why_not],
        closed=[button for button in buttons if button.why_not],
        wished=story.rows(obj.get("spec") or {}, "spec", links),
        actual=story.rows(obj.get("status") or {}, "status", links),
        outgoing=relations(console, outgoing),
        incoming=relations(console, incoming),
        refs_max=REFS_MAX,
        drawings=await drawings(console, visit, info, obj),
        timeline=story.timeline(events, info.phase),
        more=len(events) == EVENTS,
        yaml=forms.to_yaml(bare(obj)),
        may=permissions(console, visit, info),
        done=visit.query("done"),
        output=output,
        last=last_change(events),
    )


def last_change(events: list[EventRow]) -> EventRow | None:
    """The newest line of the story."""
    return events[0] if events else None


def permissions(console: Console, visit: Visit, info: KindInfo) -> dict[str, str]:
    """Why this caller may not update or delete; empty words when they may."""
    answers = {}
    for verb in ("update", "delete"):
        try:
            decision = console.resources.may(visit.caller, verb, info)
            answers[verb] = "" if decision.allowed else decision.reason
        except ApiError as error:
            answers[verb] = error.message
    return answers


async def action_buttons(
    console: Console, visit: Visit, info: KindInfo, obj: dict[str, Any], failed: tuple[str, dict[str, Any], ApiError] | None
) -> list[Button]:
    """Every action of the kind, with its form or the reason why not."""
    phase = phase_of(info, obj)
    base = console.href(info.gk, str(obj["metadata"]["name"]))
    buttons = []
    for action in info.actions.values():
        button = Button(action, f"{base}/act/{action.name}", key=secrets.token_urlsafe(12))
        if action.phases and phase not in action.phases:
            button.why_not = f"only while {_either(action.phases)}; it is {words.humps(phase).lower() or 'in no phase'}"
        try:
            decision = console.resources.may(visit.caller, "act", info, action.name)
            button.why_not = button.why_not if decision.allowed else decision.reason
        except ApiError as error:
            button.why_not = error.message
        if not button.why_not and action.input is not None:
            button.fields = fields_of(action.input, INPUT, target_of(console.registry.target, info))
            forms.fill(button.fields, {})
        if failed and failed[0] == action.name:
            _fail(button, failed[1], failed[2])
        buttons.append(button)
    return buttons


def _fail(button: Button, form: dict[str, Any], error: ApiError) -> None:
    button.open = True
    button.key = str(form.get("key") or button.key) if error.code not in (409, 422) else button.key
    forms.refill(button.fields, form)
    button.causes = forms.mark(button.fields, error.causes, f"{INPUT}.")
    button.error = error.message if button.causes or not error.causes else ""


def _either(phases: tuple[str, ...]) -> str:
    shown = [words.humps(phase).lower() for phase in phases]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def relations(console: Console, refs: list[RefRow]) -> list[Relation]:
    """References with their pages."""
    return [Relation(ref.path, ref.gk.split(".", 1)[0], ref.name, console.href(ref.gk, ref.name)) for ref in refs]


async def drawings(console: Console, visit: Visit, info: KindInfo, obj: dict[str, Any]) -> list[Drawing]:
    """The kind's pictures; one that fails says so and does not take the page along."""
    made = []
    for picture in info.pictures:
        try:
            svg = await picture.fn(typed(info, obj), console.resources.context(visit.caller))
            made.append(Drawing(picture.title, Markup(svg)))  # noqa: S704 - drawn by a unit's own code, which escapes what it is given
        except ApiError as error:
            made.append(Drawing(picture.title, Markup(""), error.message))
        except Exception as error:
            log.exception("picture.failed", kind=info.gk, name=obj["metadata"]["name"], picture=picture.title)
            made.append(Drawing(picture.title, Markup(""), f"the drawing failed ({type(error).__name__}); the API's log has the reason"))
    return made


async def suggest(console: Console, visit: Visit) -> Response:
    """``GET /suggest/<kind>``: names for a reference field, as options of its list."""
    info = kind_of(console, visit.path("kind"))
    typed_in = next((value for key, value in visit.request.query_params.items() if value), "").strip()[:200]
    if typed_in:
        names = [hit.name for hit in await console.resources.search(visit.caller, typed_in, limit=SUGGESTIONS) if hit.gk == info.gk]
    else:
        names = [item.name for item in (await console.resources.list(visit.caller, info, limit=SUGGESTIONS)).items]
    return console.fragment("options.html", names=names)


def _plain(stored: Stored, form: str) -> Response:
    obj = bare(stored.object())
    if form == "json":
        return Response(stored.body, media_type="application/json", headers={"Cache-Control": "no-store"})
    return Response(forms.to_yaml(obj), media_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})
