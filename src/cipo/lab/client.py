"""The organisation's HTTP API from outside: a small client of the Kubernetes wire, with one person's token.

The lab's people and scenarios use it; it knows nothing that kubectl does not know: it asks discovery for the paths of a kind, waits as
long as ``Retry-After`` says, repeats a request only when that is harmless, and raises what the server answered.
"""

from __future__ import annotations

import builtins
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import anyio
import httpx

from cipo.kernel.world import Json
from cipo.lab.errors import ApiAway, ApiRefused, LabError

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
LIMITS = httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=30)
PATIENCE_S = 60.0
PAUSE_MAX_S = 5.0
PAGE = 500
BUSY = (429, 503, 504)
MANAGER = "cipo-lab"


class HttpApi:
    """One person's view of the API. Cheap to make from another by ``as_person``: the connections are shared."""

    def __init__(self, http: httpx.AsyncClient, token: str, kinds: dict[str, tuple[str, str]] | None = None) -> None:
        self._http = http
        self._token = token
        self._kinds: dict[str, tuple[str, str]] = {} if kinds is None else kinds

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str, *, ca: str | None = None) -> AsyncIterator[Self]:
        """Connect to an API; ``ca`` is the certificate authority's file where the address is TLS."""
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca) if ca else True
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT, limits=LIMITS, verify=verify, trust_env=False) as http:
            yield cls(http, token)

    def as_person(self, token: str) -> HttpApi:
        """The same API with another person's token."""
        return HttpApi(self._http, token, self._kinds)

    async def ready(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until the API says that it is ready."""
        await self._send("GET", "/readyz", patience_s=patience_s)

    async def find(self, kind: str, name: str) -> Json | None:
        """One object, or None."""
        try:
            return await self.get(kind, name)
        except ApiRefused as refused:
            if refused.code == 404:
                return None
            raise

    async def get(self, kind: str, name: str) -> Json:
        """One object."""
        return await self._json("GET", await self._path(kind, name))

    async def list(self, kind: str, *, fields: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> list[Json]:
        """All objects that match."""
        return (await self.listed(kind, fields=fields, labels=labels))[0]

    async def listed(
        self, kind: str, *, fields: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None
    ) -> tuple[builtins.list[Json], str]:
        """All objects that match, page by page, and the version from which a watch may go on."""
        path = await self._path(kind)
        items: builtins.list[Json] = []
        query = _selectors(fields, labels) | {"limit": str(PAGE)}
        while True:
            page = await self._json("GET", path, params=query)
            items += page["items"]
            more = page["metadata"].get("continue")
            if not more:
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = more

    async def ensure(self, kind: str, name: str, spec: Json, *, labels: Mapping[str, str] | None = None) -> bool:
        """Create the object unless one of that name is there; whether it was created now."""
        group, _ = await self._kind(kind)
        metadata: Json = {"name": name} | ({"labels": dict(labels)} if labels else {})
        body = {"apiVersion": f"{group}/v1", "kind": kind.split(".", 1)[0], "metadata": metadata, "spec": spec}
        try:
            await self._json("POST", await self._path(kind), body=body)
        except ApiRefused as refused:
            # The name may be taken, or a claim of the same object be in the way first; a claim of another object is an error.
            if refused.code == 409 and await self.find(kind, name) is not None:
                return False
            raise
        return True

    async def apply(self, obj: Json) -> Json:
        """Server-side apply."""
        kind, group = str(obj.get("kind", "")), str(obj.get("apiVersion", "")).split("/")[0]
        path = await self._path(f"{kind}.{group}", str((obj.get("metadata") or {}).get("name", "")))
        return await self._json("PATCH", path, params={"fieldManager": MANAGER}, body=obj, media="application/apply-patch+yaml")

    async def delete(self, kind: str, name: str) -> None:
        """Delete one object."""
        await self._json("DELETE", await self._path(kind, name))

    async def act(self, kind: str, name: str, action: str, given: Json, *, key: str | None = None) -> Json:
        """Do an action; its own output if it has one, else the object afterwards."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self._json("POST", f"{await self._path(kind, name)}/{action}", body=given, headers=headers, safe=key is not None)
        output: Json = answer["output"] if answer.get("kind") == "ActionResult" else answer
        return output

    async def watch(
        self, kind: str, *, name: str | None = None, since: str | None = None, timeout_s: float
    ) -> AsyncIterator[tuple[str, Json]]:
        """Changes as (type, object) until ``timeout_s`` passed or the server ends the stream."""
        query = {"watch": "true", "timeoutSeconds": str(max(1, int(timeout_s)))} | _selectors(
            {"metadata.name": name} if name else None, None
        )
        if since:
            query["resourceVersion"] = since
        timeout = httpx.Timeout(30.0, connect=5.0, read=timeout_s + 30)
        try:
            async with self._http.stream("GET", await self._path(kind), params=query, headers=self._headers(), timeout=timeout) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise ApiRefused(answer.status_code, _status(answer), f"watch {kind}")
                async for line in answer.aiter_lines():
                    event = json.loads(line)
                    yield event["type"], event["object"]
        except httpx.TransportError as error:
            raise ApiAway(f"{self._http.base_url}: {error!r} while watching {kind}") from error

    async def _path(self, kind: str, name: str = "") -> str:
        group, plural = await self._kind(kind)
        return f"/apis/{group}/v1/{plural}" + (f"/{name}" if name else "")

    async def _kind(self, kind: str) -> tuple[str, str]:
        if kind not in self._kinds:
            await self._discover()
        if kind not in self._kinds:
            raise LabError(f"the API serves no kind {kind!r}, or several of that name; write Kind.group")
        return self._kinds[kind]

    async def _discover(self) -> None:
        found: dict[str, set[tuple[str, str]]] = {}
        for entry in (await self._json("GET", "/apis"))["groups"]:
            group = entry["name"]
            if not group.endswith(".cipo"):
                continue
            for resource in (await self._json("GET", f"/apis/{group}/v1"))["resources"]:
                if "/" not in resource["name"]:
                    for word in (resource["kind"], f"{resource['kind']}.{group}"):
                        found.setdefault(word, set()).add((group, resource["name"]))
        self._kinds.update({word: places.pop() for word, places in found.items() if len(places) == 1})

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}

    async def _json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        media: str = "application/json",
        headers: Mapping[str, str] | None = None,
        safe: bool = True,
    ) -> Json:
        content = None if body is None else json.dumps(body).encode()
        extra = {**(headers or {}), **({"Content-Type": media} if content is not None else {})}
        answer = await self._send(method, path, params=params, content=content, headers=extra, safe=safe and method != "DELETE")
        value: Json = answer.json()
        return value

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        safe: bool = True,
        patience_s: float = PATIENCE_S,
    ) -> httpx.Response:
        """One request. A busy answer means that nothing was done, so it is repeated; a broken line only when harmless (``safe``)."""
        deadline, pause = time.monotonic() + patience_s, 0.1
        while True:
            try:
                answer = await self._http.request(
                    method, path, params=params, content=content, headers={**self._headers(), **(headers or {})}
                )
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                why, answer = f"{error!r}", None
            except httpx.TransportError as error:
                if not safe:
                    raise ApiAway(f"{method} {path}: the line broke ({error!r}); whether it was done is unknown") from error
                why, answer = f"{error!r}", None
            if answer is not None:
                if answer.status_code not in BUSY:
                    if answer.is_error:
                        raise ApiRefused(answer.status_code, _status(answer), f"{method} {path}")
                    return answer
                why = f"it answers {answer.status_code}"
                pause = max(pause, _retry_after(answer))
            if time.monotonic() + pause > deadline:
                raise ApiAway(f"{self._http.base_url}: {why}, for {patience_s:.0f} s; is cipo up?")
            await anyio.sleep(pause)
            pause = min(pause * 2, PAUSE_MAX_S)


def _selectors(fields: Mapping[str, str] | None, labels: Mapping[str, str] | None) -> dict[str, str]:
    query = {}
    if fields:
        query["fieldSelector"] = ",".join(f"{key}={value}" for key, value in fields.items())
    if labels:
        query["labelSelector"] = ",".join(f"{key}={value}" for key, value in labels.items())
    return query


def _status(answer: httpx.Response) -> Json:
    try:
        value = answer.json()
    except ValueError:
        return {"message": answer.text[:200]}
    return value if isinstance(value, dict) else {"message": str(value)[:200]}


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), PAUSE_MAX_S) if text.isdigit() else 0.0
