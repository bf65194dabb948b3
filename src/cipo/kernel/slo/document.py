"""An SLO as a document: one service, one window, one or more goals, and where its numbers come from.

``openslo`` reads and writes OpenSLO, ``ServiceLevelObjective`` is cipo's own long form, ``prometheus`` makes rules of it; all of them meet
here. A goal is an ``Objective``; those of a document with a Prometheus source are evaluated by Prometheus, whose queries stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cipo.kernel.slo.objective import Objective


@dataclass(frozen=True, slots=True)
class Queries:
    """PromQL of a ratio: ``total`` and one of ``good`` and ``bad``; each holds ``$window`` inside its brackets."""

    total: str
    good: str | None = None
    bad: str | None = None
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """One objective of a document, with its weight in the composite."""

    objective: Objective
    display_name: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Document:
    """An SLO. ``alert_policies``: names it refers to; ``unsupported``: why its source cannot be read here, when it cannot.

    ``source`` is then the indicator as it was written, as JSON, so that it is not lost.
    """

    name: str
    service: str
    goals: tuple[Goal, ...]
    queries: Queries | None = None
    display_name: str = ""
    description: str = ""
    indicator_name: str = ""
    indicator_title: str = ""
    alert_policies: tuple[str, ...] = ()
    unsupported: str = ""
    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
