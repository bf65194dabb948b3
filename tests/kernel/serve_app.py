"""A small application for test_serve.py: it counts its own startups and answers slowly, endlessly or never."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cipo.kernel.settings import Settings


class App:
    def __init__(self, home: Path) -> None:
        self.diary = home / "diary"

    def note(self, line: str) -> None:
        with self.diary.open("a") as file:
            file.write(line + "\n")

    async def startup(self) -> None:
        self.note("startup")

    async def shutdown(self) -> None:
        self.note("shutdown")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.note(f"{scope['path']} {scope['type']}")
        if scope["path"] == "/late":
            await asyncio.sleep(0.3)
        if scope["path"] == "/never":
            await asyncio.Event().wait()
        endless = scope["path"] == "/live"
        kind = b"text/event-stream" if endless else b"text/plain"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        try:
            while endless or b"watch=1" in scope["query_string"]:
                await send({"type": "http.response.body", "body": b"event\n", "more_body": True})
                await asyncio.sleep(0.05)
        finally:
            if endless:
                self.note("live page closed")
        await send({"type": "http.response.body", "body": f"{scope['scheme']} {scope['http_version']}".encode()})


def create(settings: Settings) -> App:
    return App(settings.home)
