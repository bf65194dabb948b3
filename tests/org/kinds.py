"""Registered kinds and registries as the org code sees them: no kernel needed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Action:
    """An action that leads may approve, or not."""

    approve: bool = False


@dataclass(frozen=True)
class FakeKind:
    """What a decision reads of a kind."""

    kind: str
    group: str
    unit: str
    public: bool = False
    admin: bool = False
    actions: dict[str, Action] = field(default_factory=dict, hash=False)

    @property
    def gk(self) -> str:
        return f"{self.kind}.{self.group}"


@dataclass(frozen=True)
class FakeFact:
    """A declared fact."""

    name: str
    unit_id: str
    unit: str = "1"


@dataclass(frozen=True)
class FakeRegistry:
    """What ``check`` reads of a registry."""

    units: dict[str, object] = field(default_factory=dict)
    kinds: tuple[FakeKind, ...] = ()
    facts: dict[str, FakeFact] = field(default_factory=dict)


ASSET = FakeKind("Asset", "facilities.cipo", "1A/U-W2", actions={"approve": Action(approve=True), "retire": Action()})
TOPIC = FakeKind("KafkaTopic", "data.cipo", "1D/U-DP3")
INCIDENT = FakeKind("Incident", "reliability.cipo", "1F/U-IC2")
SQUAD = FakeKind("Squad", "org.cipo", "kernel/org", public=True)
ACCOUNT = FakeKind("ServiceAccount", "kernel.cipo", "kernel/accounts", admin=True)
