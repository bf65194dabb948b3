"""Service accounts: how a program signs in. The CIPO makes one, names the units it may act as, and issues its tokens.

A token is shown once, in the answer of ``issue-token``; the database keeps its hash, the event only its id and end. Units and leads are
read from the resource at each sign-in, and tokens go with it when it is deleted, so an account of the same name starts empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cipo.kernel import tokens
from cipo.kernel.ctx import Ctx
from cipo.kernel.models import Column, Kind, Model, Status, field
from cipo.kernel.unit import Unit

ACCOUNTS = Unit("kernel/accounts", group="kernel.cipo")

TOKENS_MAX = 100
NAME_MAX = 200
UNIT = re.compile(r"[A-Za-z0-9-]{1,16}/[A-Za-z0-9-]{1,16}")
LEAD = re.compile(r"CIPO|[A-Za-z0-9-]{1,16}(/[A-Za-z0-9-]{1,16})?")


class ServiceAccountSpec(Model):
    """Who the program is in the organisation."""

    units: list[str] = field(list, each=100, help="Units it may act as, such as 1A/U-W2.")
    leads: list[str] = field(list, each=40, help="Squads and departments whose work it may read as their lead does; CIPO for all.")
    description: str = field("", length=500, help="What the program is for and who answers for it.")
    simulated: bool = field(False, immutable=True, help="A program of the lab: whatever it does is marked as simulated.")


class TokenRecord(Model):
    """A token that was issued, without the token."""

    id: str = field(length=tokens.ID_LENGTH, help="First digits of the token's hash; revoke it by this id.")
    label: str = field("", length=tokens.LABEL_MAX, help="Where it is used.")
    expires_at: str = field(length=40, help="When it ends (UTC).")


class ServiceAccountStatus(Status):
    """Which tokens it has."""

    tokens: list[TokenRecord] = field(list, key="id", each=TOKENS_MAX, help="Tokens issued and not yet expired or revoked.")
    last_issued: str | None = field(None, length=40, help="When the last token was issued (UTC).")


class IssueToken(Model):
    """How long the token lives and where it is used."""

    ttl: str = field("30d", length=7, pattern=r"^[1-9][0-9]{0,5}[smhd]$", help="Time to live: a number and s, m, h or d; at most 365d.")
    label: str = field("", length=tokens.LABEL_MAX, help="Where it is used, so that somebody can find it later.")


class IssuedToken(Model):
    """The token, shown this once."""

    token: str = field(length=100, help="Send it as Authorization: Bearer <token>. It cannot be shown again.")
    id: str = field(length=tokens.ID_LENGTH, help="Its id, for revoking it.")
    expires_at: str = field(length=40, help="When it ends (UTC).")


class RevokedTokens(Model):
    """How many tokens were ended."""

    revoked: int = field(help="Number of tokens that ended.")


@ACCOUNTS.kind(
    short="sa",
    plural="serviceaccounts",
    admin=True,
    columns=[
        Column("Units", "spec.units"),
        Column("Leads", "spec.leads", wide=True),
        Column("Issued", "status.lastIssued", type="date"),
        Column("Description", "spec.description", wide=True),
    ],
)
class ServiceAccount(Kind[ServiceAccountSpec, ServiceAccountStatus]):
    """A program that signs in with a token and acts as the units it is given. Only the CIPO makes and changes one."""

    def validate_change(self, old: ServiceAccount | None, ctx: object) -> Iterable[tuple[str, str]]:
        """Units and leads have the chart's form, and there is at least one of them."""
        if len(self.name) > NAME_MAX:
            yield "metadata.name", f"has {len(self.name)} characters; at most {NAME_MAX}"
        if not (self.spec.units or self.spec.leads):
            yield "spec.units", "is empty, and so is spec.leads: the account could do nothing; name a unit such as 1A/U-W2"
        for path, words, form, right in (
            ("spec.units", self.spec.units, UNIT, "a unit is written with its department, such as 1A/U-W2"),
            ("spec.leads", self.spec.leads, LEAD, "a lead is a department (1A), a squad (1A/A-2) or CIPO"),
        ):
            for index, word in enumerate(words):
                if form.fullmatch(word) is None:
                    yield f"{path}[{index}]", f"{word[:40]!r}: {right}"
                elif word in words[:index]:
                    yield f"{path}[{index}]", f"{word!r} is listed twice; keep one"


@ACCOUNTS.action(ServiceAccount, input=IssueToken, leaves=())
async def issue_token(account: ServiceAccount, wish: IssueToken, ctx: Ctx) -> Model:
    """Issue a token. It is shown once, in the answer."""
    ttl = tokens.duration(wish.ttl)
    alive = [record for record in account.status.tokens if ctx.since(record.expires_at) < 0]
    if len(alive) >= TOKENS_MAX:
        raise ctx.refuse("ttl", wish.ttl, f"the account has {TOKENS_MAX} living tokens; revoke them first (revoke-tokens)")
    store, name = tokens.OnConnection(ctx.connection), f"serviceaccount:{account.name}"
    await tokens.ensure_principal(store, name, kind="service")
    issued = await tokens.issue_token(store, name, wish.label, ttl, prefix=tokens.SERVICE, resource=account.metadata.uid)
    record = TokenRecord(id=tokens.token_id(issued.token), label=wish.label, expires_at=issued.expires_at.isoformat(timespec="seconds"))
    account.status.tokens = [*alive, record]
    account.status.last_issued = ctx.now_iso()
    ctx.note = f"issued token {record.id} until {record.expires_at}"
    return IssuedToken(token=issued.token, id=record.id, expires_at=record.expires_at)


@ACCOUNTS.action(ServiceAccount, danger="Programs that use its tokens are signed out within five seconds.")
async def revoke_tokens(account: ServiceAccount, ctx: Ctx) -> Model:
    """End all tokens of this account."""
    ended = await tokens.revoke_all(tokens.OnConnection(ctx.connection), resource=account.metadata.uid)
    account.status.tokens = []
    ctx.note = f"revoked {ended} {'token' if ended == 1 else 'tokens'}"
    return RevokedTokens(revoked=ended)
