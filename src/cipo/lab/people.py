"""The lab's people: each is a service account marked as simulated, enrolled over the API, with a token of its own.

Enrolling takes the token of an administrator once; what the people do afterwards they do with their own tokens, so the org chart
decides what they may, and every event carries their name and ``simulated``. Tokens are kept in a file that only the owner can read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio

from cipo.kernel.world import Person
from cipo.lab.client import HttpApi
from cipo.lab.errors import ApiRefused, LabError

ACCOUNT = "ServiceAccount.kernel.cipo"
LIFETIME = "365d"
TOKEN_MAX = 4096
ADMIN_TOKEN = "admin.token"  # noqa: S105 - a file name


class People:
    """Who has been enrolled, and their tokens."""

    def __init__(self, file: Path, admin: HttpApi) -> None:
        self._file = file
        self.admin = admin
        self._apis: dict[str, HttpApi] = {}
        self._lock = anyio.Lock()
        self._tokens: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}

    async def api(self, person: Person) -> HttpApi:
        """The API with this person's token; enrolled or re-enrolled when there is no token that works."""
        async with self._lock:
            if person.name not in self._apis:
                token = self._tokens.get(person.name)
                if token is None or not await self._works(token):
                    token = await self._enrol(person)
                    self._keep(person.name, token)
                self._apis[person.name] = self.admin.as_person(token)
            return self._apis[person.name]

    async def _works(self, token: str) -> bool:
        try:
            await self.admin.as_person(token).list("Department.org.cipo")
        except ApiRefused as refused:
            if refused.code == 401:
                return False
            raise
        return True

    async def _enrol(self, person: Person) -> str:
        spec = {"units": list(person.units), "leads": list(person.leads), "description": person.description, "simulated": True}
        await self.admin.ensure(ACCOUNT, person.name, spec)
        answer = await self.admin.act(ACCOUNT, person.name, "issue-token", {"ttl": LIFETIME, "label": "lab"})
        token = answer.get("token")
        if not isinstance(token, str):
            raise LabError(f"issue-token of {person.name} answered without a token; it has {', '.join(sorted(answer)) or 'nothing'}")
        return token

    def _keep(self, name: str, token: str) -> None:
        self._tokens[name] = token
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self._tokens, file)
        fresh.replace(self._file)


def read_token(file: Path) -> str:
    """The administrator's token in a file."""
    try:
        text = file.read_text()[:TOKEN_MAX].strip()
    except OSError as error:
        raise LabError(f"{file}: {error.strerror}; put the token of an administrator there, or name the file by --token-file") from error
    if not text or any(char.isspace() for char in text):
        raise LabError(f"{file}: holds no token; write one token on one line")
    return text
