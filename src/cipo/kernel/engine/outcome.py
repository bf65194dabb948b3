"""What a reconciler answers: ``Done``, or ``Again`` after a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Done:
    """The world is as the spec wishes; look again when something changes, or at the next resync."""


@dataclass(frozen=True, slots=True)
class Again:
    """Look again after ``after``; it survives restarts, and any change pulls it forward.

    With a ``reason`` it is a wait: the status says so, and until when (``nextReconcile``). Without one it is a look from time to time, which
    writes nothing if it finds nothing new.
    """

    after: timedelta
    reason: str = ""
