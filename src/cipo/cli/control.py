"""``cipo up``, ``down``, ``status``, ``login-link`` and ``kubeconfig``: running the plane of this home, and getting into it.

The supervisor does the work; here is what a person sees of it. Signing in needs nothing but to be able to read ``$CIPO_HOME``.
"""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cipo.cli import output
from cipo.cli.connection import in_database, settings, settings_of_plane
from cipo.cli.errors import CliError, Failed, Unreachable, Usage
from cipo.cli.output import Format, Output

if TYPE_CHECKING:
    from cipo.kernel.settings import Settings

KUBECONFIG_TTL = "90d"


def up(
    port_search: Annotated[bool, typer.Option("--port-search", help="Take the next free port when one is taken.")] = False,
    no_lab: Annotated[bool, typer.Option("--no-lab", help="Without the sample organisation and its world.")] = False,
) -> None:
    """Start everything here: database, API, worker and lab. Ctrl-C stops all of it."""
    from cipo import supervisor  # noqa: PLC0415
    from cipo.kernel.errors import CipoError  # noqa: PLC0415
    from cipo.kernel.settings import SettingsError  # noqa: PLC0415

    here = settings()
    lab = not no_lab and (here.lab or "CIPO_LAB" not in os.environ)
    try:
        code = supervisor.up(replace(here, lab=lab), port_search=port_search, ready=welcome)
    except SettingsError as error:
        raise Usage(str(error)) from error
    except CipoError as error:
        raise Failed(str(error)) from error
    if code:
        raise typer.Exit(code)


def down() -> None:
    """Stop the plane of this home, wherever it was started."""
    from cipo import supervisor  # noqa: PLC0415
    from cipo.kernel.errors import CipoError  # noqa: PLC0415

    here = settings()
    try:
        stopped = supervisor.down(here)
    except PermissionError as error:
        raise Failed(f"cipo of {here.home} belongs to another user", todo="Run as the user who started it.") from error
    except CipoError as error:
        raise Failed(str(error)) from error
    output.say(f"cipo of {here.home} is stopped" if stopped else f"cipo of {here.home} was not running")


def status(how: Output = Format.TABLE) -> None:
    """Show what runs in this home and where it listens. Exit code 3 when it does not run."""
    from cipo import record, supervisor  # noqa: PLC0415
    from cipo.kernel.store import embedded  # noqa: PLC0415

    here = settings()
    plane = record.running(here)
    there = record.as_running(here)
    answers = supervisor.answers(there)
    database = None if here.database_url else embedded.running(here.home)
    parts = [
        _part("supervisor", plane.pid if plane else None),
        _part("database", database) | ({"state": "external", "where": "CIPO_DATABASE_URL"} if here.database_url else {}),
        *(_part(name, pid) for name, pid in (plane.children if plane else {}).items()),
    ]
    for part in parts:
        if part["name"] == "api" and part["pid"]:
            part |= {"state": "ready" if answers else "starting", "where": f"{there.url} {there.tls_url}"}
    if how is Format.TABLE:
        output.table(("part", "state", "process", "where"), [(p["name"], p["state"], p["pid"], p["where"]) for p in parts])
    else:
        output.dump({"home": str(here.home), "ready": answers, "url": there.url, "tlsUrl": there.tls_url, "parts": parts}, how)
    if not answers:
        if plane:
            raise Unreachable(f"cipo does not answer on {there.url}", todo=f"It is starting or in trouble; its logs are in {here.log_dir}.")
        raise Unreachable(f"cipo of {here.home} does not run", todo="Start it with `cipo up`.")


def _part(name: str, pid: int | None) -> dict[str, Any]:
    return {"name": name, "state": "running" if pid else "stopped", "pid": pid, "where": ""}


def welcome(here: Settings) -> None:
    """What ``up`` says once everything runs: where the console is, how to get in, what to try next."""
    from rich.panel import Panel  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    try:
        link = sign_in_link(here)
    except CliError as error:
        output.note("\n".join(error.lines()))
        return
    lines = Text.assemble(
        ("Console  ", "dim"), (here.url, "bold"), "\n",
        ("TLS      ", "dim"), (here.tls_url, "bold"), "\n",
        ("Data     ", "dim"), str(here.home), "\n\n",
        ("Try      ", "dim"), "cipo kpi\n         cipo get assets\n         cipo kubeconfig > k; KUBECONFIG=k kubectl get assets",
    )  # fmt: skip
    output.console().print(Panel(lines, title="cipo is running", title_align="left", expand=False, padding=(1, 2)))
    # Outside the panel, on a line of its own: a link that is cut or wrapped cannot be followed.
    print(f"Sign in with this link, once, within 30 minutes (`cipo login-link` prints another):\n\n  {link}\n", flush=True)


def login_link(
    principal: Annotated[str, typer.Option("--for", help="Who signs in; the organisation's CIPO unless you say.")] = "cipo",
    how: Output = Format.TABLE,
) -> None:
    """Print a link that signs a person in once, within 30 minutes."""
    here = settings_of_plane()
    link = sign_in_link(here, principal)
    if how is Format.TABLE:
        output.note(f"This link signs in as {principal}, once, within 30 minutes:")
        output.say(link)
    else:
        output.dump({"principal": principal, "link": link, "expiresInSeconds": 1800}, how)


def kubeconfig(
    unit: Annotated[str, typer.Option("--unit", help="Act as this unit in every request.")] = "",
    server: Annotated[str, typer.Option("--server", help="Another address of the TLS listener, such as https://cipo.example:8443.")] = "",
    principal: Annotated[str, typer.Option("--for", help="Whose token it holds; the organisation's CIPO unless you say.")] = "cipo",
    ttl: Annotated[str, typer.Option(help="How long its token lives: a number and s, m, h or d.")] = KUBECONFIG_TTL,
) -> None:
    """Print a kubeconfig with the certificate authority and a fresh token: cipo kubeconfig > k; KUBECONFIG=k kubectl get assets."""
    from cipo.kernel import tokens  # noqa: PLC0415

    here = settings_of_plane()
    if server and not server.startswith("https://"):
        raise Usage(f"--server={server}: kubectl sends a token over TLS only; write an https:// address")
    authority = here.tls_dir / "ca.pem"
    try:
        certificate = authority.read_bytes()
    except FileNotFoundError as error:
        raise Unreachable(f"{authority} is not there yet", todo="It is made at the first start: `cipo up`.") from error
    except OSError as error:
        raise Failed(f"{authority}: {error.strerror}", todo="Run as the user who started cipo.") from error
    acting = _unit(here, unit) if unit else ""

    async def issue(store: tokens.Store) -> str:
        if principal == tokens.CIPO:
            await tokens.ensure_cipo(store)
        return (await tokens.issue_token(store, principal, "kubeconfig", tokens.duration(ttl))).token

    user: dict[str, Any] = {"token": in_database(here, issue)} | ({"as": f"unit:{acting}"} if acting else {})
    cluster = {"server": server or here.tls_url, "certificate-authority-data": base64.b64encode(certificate).decode()}
    name = f"cipo-{acting.replace('/', '-')}" if acting else "cipo"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cipo", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "cipo", "user": name}}],
        "current-context": name,
    }
    print(output.to_yaml(config), end="")


def sign_in_link(here: Settings, principal: str = "cipo") -> str:
    """A fresh single-use link to this home's console."""
    from cipo.kernel import tokens  # noqa: PLC0415

    return in_database(here, lambda store: tokens.create_login_link(store, here.url, principal))


def _unit(here: Settings, unit: str) -> str:
    from cipo.kernel.errors import BadRequest  # noqa: PLC0415
    from cipo.org.chart import load  # noqa: PLC0415

    try:
        return load(here.chart).unit(unit).id
    except BadRequest as error:
        raise Usage(error.message) from error
