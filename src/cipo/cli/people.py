"""``cipo user`` and ``cipo token``: who may sign in. They work on the home's database, before anybody is signed in.

People are made by the CIPO only, that is by whoever can read ``$CIPO_HOME``. A new one gets a link that signs her in once; programs get a
ServiceAccount and its ``issue-token``, or a personal token.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import in_database, settings, settings_of_plane
from cipo.cli.errors import Failed, Usage
from cipo.cli.output import Format, Output

user = typer.Typer(no_args_is_help=True, help="People who may sign in.")
token = typer.Typer(no_args_is_help=True, help="Tokens of people, for programs that act for them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits, dots and dashes.")]
Principal = Annotated[str, typer.Option("--for", help="Whose it is; the organisation's CIPO unless you say.")]


@user.command("create")
def create_user(
    name: Name,
    units: Annotated[
        list[str] | None, typer.Option("--unit", help="A unit she may act as, such as 1A/U-W2; several times for more.")
    ] = None,
    leads: Annotated[list[str] | None, typer.Option("--lead", help="A squad (1A/A-2) or department (1A) she leads; CIPO for all.")] = None,
    how: Output = Format.TABLE,
) -> None:
    """Make a person, or give one other units; prints a link that signs her in once, within 30 minutes."""
    from cipo.kernel import tokens  # noqa: PLC0415

    here = settings_of_plane()
    held, led = _offices(units or [], leads or [])
    if not (held or led):
        raise Usage("she could do nothing; give her a unit (--unit 1A/U-W2) or something to lead (--lead 1A/A-2)")
    if name == tokens.CIPO:
        raise Usage("cipo is the organisation's own sign-in; it holds every unit already. Choose another name")

    async def make(store: tokens.Store) -> tuple[bool, str]:
        new = await tokens.ensure_principal(store, name, units=held, leads=led)
        return new, await tokens.create_login_link(store, here.url, name)

    new, link = in_database(here, make)
    if how is not Format.TABLE:
        output.dump({"name": name, "units": held, "leads": led, "created": new, "link": link}, how)
        return
    output.note(f"{name} {'can sign in now' if new else 'is changed'}: {', '.join(held + led)}. This link works once, for 30 minutes:")
    output.say(link)


@user.command("list")
def list_users(how: Output = Format.TABLE) -> None:
    """List people and service accounts that have signed in or may."""
    from cipo.kernel.tokens import Store  # noqa: PLC0415

    async def read(store: Store) -> list[tuple[Any, ...]]:
        return await store.fetch(
            "select p.name, p.kind, p.units, p.leads, p.disabled_at is not null, max(t.used_at) from cipo.principal p"
            " left join cipo.token t on t.principal = p.name group by p.name order by p.name"
        )

    rows = in_database(settings(), read)
    titles = ("name", "kind", "units", "leads", "disabled", "seen")
    if how is Format.TABLE:
        output.table(titles, [(*row[:5], _ago(row[5])) for row in rows])
    else:
        output.dump([dict(zip(titles, (*row[:5], _iso(row[5])), strict=True)) for row in rows], how)


@user.command("disable")
def disable_user(name: Name) -> None:
    """Shut a person out now: tokens and sessions end. `cipo user create` lets her in again."""
    from cipo.kernel import tokens  # noqa: PLC0415

    ended = in_database(settings(), lambda store: tokens.disable_principal(store, name))
    output.say(f"{name} is disabled; {ended} {'token' if ended == 1 else 'tokens and sessions'} ended")


@token.command("create")
def create_token(
    principal: Principal = "cipo",
    ttl: Annotated[str, typer.Option(help="Time to live: a number and s, m, h or d; at most 365d.")] = "30d",
    label: Annotated[str, typer.Option(help="Where it is used, so that somebody can find it later.")] = "",
    how: Output = Format.TABLE,
) -> None:
    """Make a token; it is shown this once."""
    from cipo.kernel import tokens  # noqa: PLC0415

    async def issue(store: tokens.Store) -> tokens.Issued:
        if principal == tokens.CIPO:
            await tokens.ensure_cipo(store)
        return await tokens.issue_token(store, principal, label, tokens.duration(ttl))

    issued = in_database(settings(), issue)
    if how is Format.TABLE:
        output.note(f"Token of {issued.principal} until {issued.expires_at:%Y-%m-%d %H:%M} UTC; it cannot be shown again.")
        output.say(issued.token)
    else:
        answer = {"id": tokens.token_id(issued.token), "principal": issued.principal, "expires": _iso(issued.expires_at)}
        output.dump({"token": issued.token} | answer, how)


@token.command("list")
def list_tokens(
    principal: Annotated[str | None, typer.Option("--for", help="Of this principal only.")] = None, how: Output = Format.TABLE
) -> None:
    """List tokens and sessions that are alive."""
    from cipo.kernel import tokens  # noqa: PLC0415

    rows = in_database(settings(), lambda store: tokens.list_tokens(store, principal))
    if how is Format.TABLE:
        titles = ("id", "principal", "purpose", "label", "created", "used", "expires")
        lines = [
            (r.id, r.principal, r.purpose, r.label, _ago(r.created_at), _ago(r.used_at), f"{r.expires_at:%Y-%m-%d %H:%M}") for r in rows
        ]
        output.table(titles, lines)
    else:
        output.dump([{key: _iso(value) for key, value in asdict(row).items()} for row in rows], how)


@token.command("revoke")
def revoke_token(
    which: Annotated[str | None, typer.Argument(metavar="[ID|TOKEN]", help="The id from `cipo token list`, or the token itself.")] = None,
    everything_of: Annotated[str | None, typer.Option("--all-of", help="All tokens and sessions of this principal.")] = None,
) -> None:
    """End a token; whoever uses it is signed out within five seconds."""
    from cipo.kernel import tokens  # noqa: PLC0415

    if (which is None) == (everything_of is None):
        raise Usage("say which: an id, or --all-of NAME")

    async def end(store: tokens.Store) -> int:
        return await (tokens.revoke(store, which) if which else tokens.revoke_all(store, principal=everything_of))

    ended = in_database(settings(), end)
    if not ended:
        raise Failed(f"no living token {tokens.redact(which)!r}" if which else f"{everything_of} has no living token")
    output.say(f"{ended} {'token' if ended == 1 else 'tokens'} revoked")


def _offices(units: list[str], leads: list[str]) -> tuple[list[str], list[str]]:
    """Units and leads as the chart writes them; unknown and ambiguous ones are refused."""
    from cipo.org.chart import CIPO, load  # noqa: PLC0415
    from cipo.org.errors import AmbiguousName, ChartError, UnknownName  # noqa: PLC0415

    try:
        chart = load(settings().chart)
        held = [chart.unit(unit).id for unit in units]
        led = [lead if lead == CIPO else chart.resolve(lead).id for lead in leads]
    except (UnknownName, AmbiguousName, ChartError) as error:
        raise Usage(str(error)) from error
    return held, led


def _iso(value: Any) -> Any:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value


def _ago(value: datetime | None) -> str:
    return f"{output.age(value.isoformat())} ago" if value else "never"
