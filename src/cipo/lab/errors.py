"""What can go wrong in the lab, in words for the person who started it.

CipoError
└── LabError
    ├── FixtureFailed     a fixture did not become healthy; carries the end of its log
    ├── ApiRefused        the organisation's API said no; carries its Status
    ├── ApiAway           the organisation's API does not answer
    └── ScenarioFailed    a scenario's step did not hold; names file, step and what was seen
"""

from __future__ import annotations

from typing import Any

from cipo.kernel.errors import CipoError
from cipo.kernel.world import RefusedByApi


class LabError(CipoError):
    """Root of the lab's own errors."""


class FixtureFailed(LabError):
    """A fixture could not be started: which, why, and the last lines it logged."""

    def __init__(self, name: str, why: str, log: str = "") -> None:
        super().__init__(f"fixture {name}: {why}" + (f"\nits log ends with:\n{log}" if log else ""))
        self.name = name


class ApiRefused(LabError, RefusedByApi):
    """The API answered with a ``Status``: code, reason, message and causes as the server wrote them."""

    def __init__(self, code: int, status: dict[str, Any], what: str) -> None:
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.causes: list[dict[str, Any]] = list((status.get("details") or {}).get("causes") or [])
        super().__init__(f"{what}: {code} {self.reason}: {status.get('message', '')}".rstrip(": "))


class ApiAway(LabError):
    """The API cannot be reached, or kept answering that it is overloaded."""


class ScenarioFailed(LabError):
    """A step of a scenario did not hold."""
