"""A small organisation for the kernel's own tests: two kinds of one unit, one of another department."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from cipo.kernel import Again, Blocked, Claim, Column, Ctx, Department, Done, Kind, Model, RangeClaim, Ref, Status, Unit, field
from cipo.kernel.principal import Caller, Decision, Principal
from cipo.kernel.unit import KindInfo, Registry

unit = Unit("1A/U-W2")
other = Unit("1D/U-DP3")
MOVED = unit.fact("toy.moved", unit="1", attrs={"to": str}, help="A box was moved.")


class RackSpec(Model):
    units: int = field(42, min=1, max=60, help="Height in rack units.")


class RackStatus(Status):
    used: int = field(0, help="Rack units taken.")


@unit.kind(short="tr", plural="toyracks")
class ToyRack(Kind[RackSpec, RackStatus]):
    """A rack."""


class BoxSpec(Model):
    serial: str = field(length=64, help="What is printed on it.", immutable=True)
    rack: Ref[ToyRack] | None = field(None, help="Where it stands.")
    at: int = field(0, min=0, max=100, help="Lowest unit it takes.")
    height: int = field(1, min=1, max=10, help="Units it takes.")
    note: str = field("", length=2000, help="Anything.")


class BoxStatus(Status):
    phase: Literal["New", "Moved", "Gone"] = field("New", help="Where it is in its life.")
    looked: int = field(0, help="How often the reconciler looked.")


@unit.kind(
    short="tb",
    plural="toyboxes",
    columns=[Column("Serial", "spec.serial"), Column("Phase", "status.phase")],
    select=["status.phase", "spec.serial"],
    cascade=["spec.rack"],
)
class ToyBox(Kind[BoxSpec, BoxStatus]):
    """A box with a serial number that stands in a rack."""

    def claims(self):
        yield Claim("toy/serial", self.spec.serial, path="spec.serial")
        if self.spec.rack:
            yield RangeClaim(f"toy/{self.spec.rack.name}", self.spec.at, self.spec.at + self.spec.height, path="spec.at")

    def validate_change(self, old, ctx):
        if self.spec.note == "bad":
            yield "spec.note", "must not be bad; say something good"
        if self.spec.height > 5:
            yield "spec.height", "more than 5 is not liftable; split it"


class Move(Model):
    to: str = field(length=50, help="Where to.")


@unit.action(ToyBox, phase=("New", "Moved"), input=Move, leaves=(MOVED,))
async def move(box: ToyBox, given: Move, ctx: Ctx) -> None:
    """Carry the box away."""
    if given.to == "nowhere":
        raise ctx.refuse("to", given.to, "name a place")
    box.spec.rack = None
    box.status.phase = "Moved"
    ctx.fact(MOVED, 1.0, subject=box, to=given.to)


@unit.action(ToyBox)
async def twin(box: ToyBox, ctx: Ctx) -> Move:
    """Make another one like it."""
    made = await ctx.create(ToyBox.new(f"{box.name}-twin", serial=box.spec.serial + "-T"))
    return Move(to=made.name)


@unit.reconcile(ToyBox)
async def look(box: ToyBox, ctx: Ctx) -> Done | Again:
    """Count the looks."""
    if box.spec.note == "blocked":
        raise Blocked("nobody gave a place", todo="move it")
    if box.spec.note == "boom":
        raise RuntimeError("boom")
    if box.status.looked < 1:
        box.status.looked += 1
    if box.spec.note == "polls":
        return Again(timedelta(minutes=5))
    if box.spec.note == "waits":
        return Again(timedelta(days=2), reason="the maker has it")
    return Done()


class TopicSpec(Model):
    partitions: int = field(1, min=1, help="How many.")


@other.kind(short="tt", plural="toytopics")
class ToyTopic(Kind[TopicSpec, Status]):
    """A topic of 1D."""


REGISTRY = Registry([Department("1A", "facilities", (unit,)), Department("1D", "data", (other,))])
RACK, BOX, TOPIC = ToyRack.info, ToyBox.info, ToyTopic.info


class Anything:
    """Lets a unit do all with its own kinds, and everything to system; 1F and 1D do not see each other."""

    def decide(self, caller: Caller, verb: str, kind: KindInfo, action: str | None = None) -> Decision:
        acting = caller.unit or next(iter(caller.principal.units), "")
        ok = caller.principal.kind == "system" or kind.unit in caller.principal.units
        return Decision(ok, "test", f"{acting} does not own {kind.kind}", acting)

    def hidden(self, caller: Caller) -> frozenset[str]:
        return frozenset({"1D"}) if (caller.unit or "").startswith("1F/") else frozenset()


ANNA = Caller(Principal("anna", "user", frozenset({"1A/U-W2"})), unit="1A/U-W2", manager="test")


def box(name: str, serial: str | None = None, **spec) -> dict:
    return {
        "apiVersion": "facilities.cipo/v1",
        "kind": "ToyBox",
        "metadata": {"name": name},
        "spec": {"serial": serial or f"SN-{name}", **spec},
    }


def rack(name: str) -> dict:
    return {"metadata": {"name": name}, "spec": {"units": 42}}
