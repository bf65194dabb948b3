"""How a command fails, and what it prints then: kubectl's words, all causes, and what to do.

CliError
├── Refused        exit 1: the API said no (its Status is printed)
├── Failed         exit 1: this side could not do it
├── Usage          exit 2: the command was not written right
└── Unreachable    exit 3: nobody answers
"""

from __future__ import annotations

from typing import Any

REFUSED, USAGE, UNREACHABLE = 1, 2, 3

REMEDIES = {
    "Unauthorized": "Set CIPO_TOKEN to a living token (`cipo token create`), or run on the machine that holds CIPO_HOME.",
    "TooManyRequests": "Wait a moment and try again.",
    "Expired": "The list changed too much in between; start it again.",
    "ServiceUnavailable": "Nothing was written. `cipo status` shows what is down.",
}
TAKE_OVER = "Take the fields over with --force, or leave them to their manager."


class CliError(Exception):
    """A failure with its exit code and the lines to print."""

    exit_code = REFUSED

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.todo = todo

    def lines(self) -> list[str]:
        """What goes to standard error."""
        return [f"error: {self.message}", *([self.todo] if self.todo else [])]


class Failed(CliError):
    """This side could not do what was asked."""


class Usage(CliError):
    """The command line is wrong."""

    exit_code = USAGE


class Unreachable(CliError):
    """No server or no database."""

    exit_code = UNREACHABLE


class Refused(CliError):
    """The API's answer was a failure; ``status`` is its Kubernetes Status."""

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(str(status.get("message") or "the server gave no reason"))
        self.status = status

    @property
    def code(self) -> int:
        """The HTTP status."""
        return int(self.status.get("code") or 500)

    @property
    def reason(self) -> str:
        """One word: NotFound, Conflict …"""
        return str(self.status.get("reason") or "InternalError")

    @property
    def causes(self) -> list[dict[str, Any]]:
        """Each broken field."""
        causes = (self.status.get("details") or {}).get("causes") or []
        return [cause for cause in causes if isinstance(cause, dict)]

    def lines(self) -> list[str]:
        """As kubectl prints it: an invalid object as a list of its faults, anything else by reason."""
        details = self.status.get("details") or {}
        bullets = [f"* {cause.get('field', '')}: {cause.get('message', '')}".replace("* : ", "* ") for cause in self.causes]
        if self.reason == "Invalid" and bullets:
            named = f' "{details["name"]}"' if details.get("name") else ""
            lines = [f"The {details.get('kind') or 'input'}{named} is invalid:", *bullets]
        else:
            told = [str(cause.get("message")) in self.message or str(cause.get("field") or "\0") in self.message for cause in self.causes]
            fresh = [bullet for bullet, known in zip(bullets, told, strict=True) if not known]
            lines = [f"Error from server ({self.reason}): {self.message}", *fresh]
        todo = self.todo or REMEDIES.get(self.reason, "")
        if any(cause.get("reason") == "FieldManagerConflict" for cause in self.causes):
            todo = TAKE_OVER
        return [*lines, *([todo] if todo else [])]
