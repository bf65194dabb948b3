"""A small HTTP client for both sides: one request a connection, or one connection kept; several at once by threads."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import local
from typing import Any


@dataclass
class Client:
    """Requests to one server on loopback. ``keep`` reuses a connection (one a thread); the default opens one for each request."""

    port: int
    headers: dict[str, str]
    keep: bool = False
    timeout_s: float = 600
    _local: local = field(default_factory=local)

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body. A kept connection that the server closed is opened anew once."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {**self.headers, **(headers or {})}
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if not self.keep:
            sent["Connection"] = "close"
        for attempt in (1, 2):
            connection = self._connection()
            try:
                connection.request(method, path, body=data, headers=sent)
                answer = connection.getresponse()
                content = answer.read()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                connection.close()
                self._local.connection = None
                if not self.keep or attempt == 2:
                    raise
                continue
            if not self.keep:
                connection.close()
            return answer.status, content
        raise AssertionError("unreachable")

    def _connection(self) -> http.client.HTTPConnection:
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None and self.keep:
            return kept
        fresh = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_s)
        if self.keep:
            self._local.connection = fresh
        return fresh

    def status(self, method: str, path: str) -> int:
        """The status code, or 0 when nobody answers."""
        try:
            return self.request(method, path)[0]
        except OSError:
            return 0

    def must(self, method: str, path: str, body: Any = None, *, wanted: tuple[int, ...] = (200, 201), **more: Any) -> bytes:
        """The body of an answer that has to be a success."""
        status, content = self.request(method, path, body, **more)
        if status not in wanted:
            raise RuntimeError(f"{method} {path}: {status} {content[:500]!r}")
        return content


def times(call: Callable[[Any], Any], arguments: Iterable[Any]) -> list[float]:
    """Seconds of each call, one after the other."""
    taken = []
    for argument in arguments:
        start = time.perf_counter()
        call(argument)
        taken.append(time.perf_counter() - start)
    return taken


def rate(call: Callable[[Any], Any], arguments: Iterable[Any], *, at_once: int) -> float:
    """Calls a second with ``at_once`` under way."""
    listed = list(arguments)
    with ThreadPoolExecutor(at_once) as pool:
        start = time.perf_counter()
        for outcome in pool.map(call, listed):
            del outcome
        return len(listed) / (time.perf_counter() - start)
