"""Signing in and out, choosing the acting unit, and the theme: small forms that set cookies."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cipo.kernel.authn import UNIT_COOKIE, clear_session, set_session
from cipo.kernel.errors import ApiError, BadRequest, Forbidden
from cipo.web.console import Console, Visit
from cipo.web.frame import THEMES

YEAR_S = 365 * 86400


def local(target: str) -> str:
    """A path of this console, or the first page: a link must not lead elsewhere after signing in."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if plain and not parts.scheme and not parts.netloc else "/"


def secure(request: Request) -> bool:
    """Whether the browser came over TLS."""
    return request.url.scheme == "https"


class Door:
    """The pages in front of the sign-in."""

    def __init__(self, console: Console) -> None:
        self.console = console

    async def explain(self, request: Request) -> Response:
        """``GET /sign-in``: how to get a link."""
        return self.console.door("sign-in.html", request, token="", error=None, next=local(request.query_params.get("next", "/")))

    async def knock(self, request: Request) -> Response:
        """``GET /sign-in/<token>`` and ``/login?token=``: a button, so that a link previewer that only reads does not spend the link."""
        token = request.path_params.get("token") or request.query_params.get("token", "")
        return self.console.door("sign-in.html", request, token=token, error=None, next=local(request.query_params.get("next", "/")))

    async def enter(self, request: Request) -> Response:
        """``POST /sign-in/<token>``: spend the link."""
        token = request.path_params["token"]
        target = local(str((await request.form()).get("next") or "/"))
        try:
            issued = await self.console.authn.sign_in(request, token)
        except ApiError as error:
            return self.console.door("sign-in.html", request, status=error.code, token="", error=error, next=target)
        response = RedirectResponse(target, 303)
        set_session(response, issued, secure=secure(request))
        return response

    async def leave(self, request: Request) -> Response:
        """``POST /sign-out``."""
        await self.console.authn.sign_out(request)
        response = RedirectResponse("/sign-in", 303)
        clear_session(response, secure=secure(request))
        response.delete_cookie(UNIT_COOKIE, path="/")
        return response


async def act_as(console: Console, visit: Visit) -> Response:
    """``POST /act-as``: the unit that later requests of this browser act as."""
    form = await visit.form()
    unit = str(form.get("unit") or "")
    if unit and not console.chart.has_unit(unit):
        raise BadRequest(f"{unit[:40]!r} is not a unit of the chart; choose one from the list")
    if unit and unit not in visit.caller.principal.units:
        raise Forbidden(f"{visit.caller.principal.name} does not hold {unit}; ask the lead of its squad")
    response = RedirectResponse(local(str(form.get("next") or "/")), 303)
    if unit:
        response.set_cookie(UNIT_COOKIE, unit, max_age=YEAR_S, path="/", secure=secure(visit.request), httponly=True, samesite="strict")
    else:
        response.delete_cookie(UNIT_COOKIE, path="/")
    return response


async def theme(console: Console, visit: Visit) -> Response:
    """``POST /theme``."""
    form = await visit.form()
    wished = str(form.get("theme") or "auto")
    if wished not in THEMES:
        raise BadRequest(f"theme: {wished[:20]!r} is not one of {', '.join(THEMES)}")
    response = RedirectResponse(local(str(form.get("next") or "/")), 303)
    response.set_cookie("cipo_theme", wished, max_age=YEAR_S, path="/", secure=secure(visit.request), samesite="lax")
    return response
