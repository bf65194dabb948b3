"""Every error cipo raises on purpose, each with the Kubernetes ``Status`` it becomes.

    CipoError
    ├── ApiError                the caller's request cannot be done; carries code, reason and causes
    │   ├── BadRequest 400      the words of the request are wrong
    │   ├── Unauthorized 401    who are you
    │   ├── Forbidden 403       the org chart says no, and why
    │   ├── NotFound 404
    │   ├── MethodNotAllowed 405
    │   ├── AlreadyExists 409   the name is taken
    │   ├── Conflict 409        somebody holds it, refers to it, or wrote in between
    │   ├── InvalidTransition 409  an action that this phase does not allow
    │   ├── Gone 410            the cursor is older than the feed keeps
    │   ├── TooLarge 413
    │   ├── UnsupportedMediaType 415
    │   ├── Invalid 422         the object breaks its schema or its unit's rules: all causes at once
    │   ├── TooManyRequests 429
    │   ├── Overloaded 503      the store is away or busy: try again
    │   ├── TimedOut 504
    │   └── NoStorage 507       the disk is full
    ├── Blocked                 for reconcilers: a person must act
    └── Unavailable             for reconcilers: a system is away

Units raise ``Blocked`` and ``Unavailable``, and ``ctx.refuse`` (an ``Invalid``); the rest is the kernel's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class CipoError(Exception):
    """Root of the errors that carry a sentence for the reader."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why a request failed: which field, what is wrong, in kube's vocabulary of reasons."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def wire(self) -> dict[str, str]:
        """The entry of ``details.causes``."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


@dataclass(frozen=True, slots=True)
class Subject:
    """What the error is about: an object of a kind."""

    kind: str = ""
    group: str = ""
    name: str = ""
    uid: str = ""


class ApiError(CipoError):
    """A refused request. ``status()`` is the body that kubectl prints."""

    code = 500
    reason = "InternalError"
    retry_after: int | None = None

    def __init__(self, message: str, *, causes: tuple[Cause, ...] | list[Cause] = (), subject: Subject | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.causes = tuple(causes)
        self.subject = subject

    def status(self) -> dict[str, Any]:
        """The Kubernetes ``Status`` object (meta/v1)."""
        details: dict[str, Any] = {}
        if self.subject:
            details |= {
                key: value
                for key, value in (
                    ("name", self.subject.name),
                    ("group", self.subject.group),
                    ("kind", self.subject.kind),
                    ("uid", self.subject.uid),
                )
                if value
            }
        if self.causes:
            details["causes"] = [cause.wire() for cause in self.causes]
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        status |= {"reason": self.reason, "code": self.code}
        if details:
            status["details"] = details
        return status


class BadRequest(ApiError):
    """400: syntax, an unknown parameter, or several units and none named."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """401: no valid token or session."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """403: the message names the rule and the missing edge."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """404."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """405."""

    code, reason = 405, "MethodNotAllowed"


class AlreadyExists(ApiError):
    """409: an object of that kind and name is there."""

    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    """409: resourceVersion differs, a claim is held, or somebody refers to the object; causes name who."""

    code, reason = 409, "Conflict"


class InvalidTransition(ApiError):
    """409: the action does not fit the phase; the message names the legal ones."""

    code, reason = 409, "InvalidTransition"


class Gone(ApiError):
    """410: list again."""

    code, reason = 410, "Expired"


class TooLarge(ApiError):
    """413."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """415: the message names the media types that work."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """422: every broken field at once."""

    code, reason = 422, "Invalid"

    @classmethod
    def of(cls, kind: str, group: str, name: str, causes: list[Cause]) -> Invalid:
        """The sentence kubectl users know: ``Asset.facilities.cipo "a" is invalid: …``."""
        label = f"{kind}.{group}" if group else kind
        listed = "; ".join(f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes[:20])
        return cls(f'{label} "{name}" is invalid: {listed}', causes=causes[:100], subject=Subject(kind=kind, group=group, name=name))


class TooManyRequests(ApiError):
    """429."""

    code, reason, retry_after = 429, "TooManyRequests", 1


class Overloaded(ApiError):
    """503: nothing was written; try again."""

    code, reason, retry_after = 503, "ServiceUnavailable", 1


class TimedOut(ApiError):
    """504: the store did not answer in time; nothing was written."""

    code, reason = 504, "Timeout"


class NoStorage(ApiError):
    """507: the disk under the database is full; reads go on."""

    code, reason, retry_after = 507, "InsufficientStorage", 30


class Blocked(CipoError):
    """A reconciler cannot go on until a person acts: says what happened and what to do."""

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__(message)
        self.todo = todo


class Unavailable(CipoError):
    """A system that a reconciler needs is away: says which, and why."""

    def __init__(self, system: str, why: str) -> None:
        super().__init__(f"{system}: {why}")
        self.system = system
        self.why = why
