"""Scenarios: YAML files of steps that demo and tests play alike, against the HTTP API and the fixtures of a World.

A step is exactly one of ``apply`` (an object, or a list), ``do`` (an action of a resource, or a fault of a fixture), ``wait`` (until a
field has a value) and ``expect`` (now). ``as`` names one of the scenario's people; ``refused`` says that the step must fail, and how.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import anyio
import httpx
from pydantic import Field, ValidationError, model_validator

from cipo.kernel.errors import BadRequest
from cipo.kernel.models import Model, field
from cipo.kernel.unit import dotted
from cipo.kernel.wire.decode import decode_yaml
from cipo.kernel.world import Json, Person
from cipo.lab.client import HttpApi
from cipo.lab.errors import ApiRefused, LabError, ScenarioFailed
from cipo.lab.people import People
from cipo.lab.world import World

WITHIN_S = 10.0
ASK_EVERY_S = 0.1
MISSING = object()


class Actor(Model):
    """A person of the scenario."""

    units: list[str] = field(list, each=100, help="Units the person may act as.")
    leads: list[str] = field(list, each=40, help="Squads and departments the person leads.")


class Do(Model):
    """An action of a resource, or a fault of a fixture."""

    kind: str = field("", length=253, help="Kind, or Kind.group.")
    name: str = field("", length=253, help="The resource.")
    action: str = field("", length=64, help="The action's name.")
    given: dict[str, Any] = field(dict, help="The action's input.")
    fixture: str = field("", length=64, help="A fixture whose chaos to turn.")
    fault: Literal["", "delay", "fail", "reset", "stop", "cont", "kill", "heal"] = field("", help="What befalls the fixture.")
    seconds: float = field(1.0, min=0, max=300, help="Of a delay.")
    status: int = field(503, min=500, max=599, help="Of a failure.")
    share: float = field(1.0, min=0.001, max=1, help="Of the connections that suffer.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.action) == bool(self.fault) or (self.action and not (self.kind and self.name)) or (self.fault and not self.fixture):
            raise ValueError("give kind, name and action; or fixture and fault")
        return self


class Look(Model):
    """Where to look and what should be there: a field of a resource, or an answer of a fixture."""

    kind: str = field("", length=253, help="Kind, or Kind.group.")
    name: str = field("", length=253, help="The resource.")
    path: str = field("", length=500, help="Dotted path, e.g. status.phase; empty: that the resource is there.")
    connection: str = field("", length=64, help="A connection of a fixture, asked by GET.")
    status: int = field(200, min=0, max=599, help="The HTTP status that the connection should answer; 0: none, the line is cut or silent.")
    equals: Any = Field(default=MISSING, description="The value that should be there.")
    within: float = field(WITHIN_S, min=0, max=3600, help="Seconds to wait.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.connection) == bool(self.kind and self.name):
            raise ValueError("give kind and name; or connection")
        return self


class Refused(Model):
    """How a step must fail."""

    code: int = field(min=400, max=599, help="HTTP status.")
    reason: str = field("", length=64, help="The Status's reason.")
    field_: str = Field(default="", alias="field", description="A field that the causes name.")


class Step(Model):
    """One thing done or looked at."""

    title: str = field("", length=200, help="Shown while it runs.")
    as_: str = Field(default="", alias="as", description="One of the scenario's people; empty: the administrator.")
    apply: dict[str, Any] | list[dict[str, Any]] | None = field(None, help="An object or several, by server-side apply.")
    do: Do | None = field(None, help="An action or a fault.")
    wait: Look | None = field(None, help="Until it is so.")
    expect: Look | None = field(None, help="That it is so now.")
    refused: Refused | None = field(None, help="The step must be refused like this.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.apply, self.do, self.wait, self.expect)) != 1:
            raise ValueError("a step is exactly one of apply, do, wait, expect")
        return self

    @property
    def words(self) -> str:
        """What it is about, when it has no title."""
        if self.title:
            return self.title
        if self.do:
            return f"{self.do.action} {self.do.kind}/{self.do.name}" if self.do.action else f"{self.do.fault} {self.do.fixture}"
        look = self.wait or self.expect
        if look:
            return f"{'wait for' if self.wait else 'expect'} {look.connection or f'{look.kind}/{look.name} {look.path}'}".strip()
        return "apply"


class Scenario(Model):
    """A file of steps."""

    name: str = field(length=120, help="What it shows.")
    fixtures: list[str] = field(list, each=50, help="Fixtures that must run.")
    people: dict[str, Actor] = field(dict, help="Who acts.")
    steps: list[Step] = field(each=1000, help="In order.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for index, step in enumerate(self.steps):
            if step.as_ and step.as_ not in self.people:
                raise ValueError(f"steps[{index}].as: {step.as_!r} is none of the people ({', '.join(self.people) or 'there are none'})")
        return self


def read_scenario(file: Path) -> Scenario:
    """A scenario from its file; every mistake is reported with its place."""
    try:
        return Scenario.model_validate(decode_yaml(file.read_bytes()))
    except OSError as error:
        raise LabError(f"{file}: {error.strerror}") from error
    except BadRequest as error:
        raise LabError(f"{file}: {error}") from error
    except ValidationError as error:
        places = "\n".join(f"  {'.'.join(map(str, e['loc'])) or 'scenario'}: {e['msg']}" for e in error.errors()[:20])
        raise LabError(f"{file} is not a scenario:\n{places}") from error


class Runner:
    """Plays a scenario. ``api`` is the administrator's; without one, only fixtures can be spoken to."""

    def __init__(self, world: World, api: HttpApi | None, *, say: Callable[[str], None] = print) -> None:
        self._world = world
        self._api = api
        self._say = say
        self._people = People(world.directory / "scenario.people.json", api) if api else None

    async def play(self, scenario: Scenario) -> None:
        """All steps in order; the first that does not hold ends it."""
        for index, step in enumerate(scenario.steps, 1):
            began = time.monotonic()
            try:
                await self._step(scenario, step)
            except (LabError, httpx.HTTPError) as error:
                raise ScenarioFailed(f"{scenario.name}, step {index} ({step.words}): {error}") from error
            self._say(f"{index:3}  {step.words}  {time.monotonic() - began:.2f} s")

    async def _step(self, scenario: Scenario, step: Step) -> None:
        try:
            await self._act(scenario, step)
        except ApiRefused as refused:
            if step.refused is None:
                raise
            _compare(step.refused, refused)
            return
        if step.refused is not None:
            raise ScenarioFailed(f"was done, but should have been refused with {step.refused.code} {step.refused.reason}".rstrip())

    async def _act(self, scenario: Scenario, step: Step) -> None:
        if step.apply is not None:
            api = await self._as(scenario, step)
            for obj in step.apply if isinstance(step.apply, list) else [step.apply]:
                await api.apply(obj)
        elif step.do is not None and step.do.fault:
            self._fault(step.do)
        elif step.do is not None:
            await (await self._as(scenario, step)).act(step.do.kind, step.do.name, step.do.action, step.do.given)
        elif step.wait is not None:
            await self._wait(scenario, step, step.wait)
        elif step.expect is not None:
            seen = await self._see(scenario, step, step.expect)
            if not _holds(step.expect, seen):
                raise ScenarioFailed(_differs(step.expect, seen))

    async def _as(self, scenario: Scenario, step: Step) -> HttpApi:
        if self._api is None or self._people is None:
            raise LabError("this step needs the API; give its address and a token")
        if not step.as_:
            return self._api
        actor = scenario.people[step.as_]
        person = Person(f"lab-{step.as_}", tuple(actor.units), f"Plays {step.as_} in the scenario {scenario.name}.", tuple(actor.leads))
        return await self._people.api(person)

    def _fault(self, do: Do) -> None:
        chaos = self._world.chaos(do.fixture)
        match do.fault:
            case "delay":
                chaos.delay(do.seconds)
            case "fail":
                chaos.fail(do.status, share=do.share)
            case "reset":
                chaos.reset(share=do.share)
            case "stop":
                chaos.stop()
            case "cont":
                chaos.cont()
            case "kill":
                chaos.kill()
            case _:
                chaos.heal()

    async def _wait(self, scenario: Scenario, step: Step, look: Look) -> None:
        deadline, seen = time.monotonic() + look.within, None
        while True:
            seen = await self._see(scenario, step, look)
            if _holds(look, seen):
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise ScenarioFailed(f"after {look.within:g} s: {_differs(look, seen)}")
            if look.connection or seen is None:
                await anyio.sleep(min(ASK_EVERY_S, left))
            else:
                await self._change(scenario, step, look, seen, left)

    async def _change(self, scenario: Scenario, step: Step, look: Look, seen: Json, left: float) -> None:
        """Sleep on a watch until the resource has another version, or time is up."""
        api = await self._as(scenario, step)
        version = seen["metadata"]["resourceVersion"]
        with anyio.move_on_after(left):
            async for _, obj in api.watch(look.kind, name=look.name, since=version, timeout_s=left):
                if obj.get("metadata", {}).get("resourceVersion") != version:
                    return

    async def _see(self, scenario: Scenario, step: Step, look: Look) -> Json | None:
        if look.kind:
            return await (await self._as(scenario, step)).find(look.kind, look.name)
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=max(1.0, look.within)) as http:
                answer = await http.get(self._world.url(look.connection))
        except httpx.TransportError as error:
            return {"httpStatus": 0, "error": type(error).__name__}
        return {"httpStatus": answer.status_code, "body": _body(answer)}


def _body(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text[:1000]


def _holds(look: Look, seen: Json | None) -> bool:
    if seen is None:
        return False
    if look.connection and seen["httpStatus"] != look.status:
        return False
    value = _at(look, seen)
    return value == look.equals if look.equals is not MISSING else (not look.path or value is not None)


def _at(look: Look, seen: Json) -> Any:
    source = seen.get("body") if look.connection else seen
    return dotted(source, look.path) if look.path else source


def _differs(look: Look, seen: Json | None) -> str:
    if seen is None:
        return f"there is no {look.kind}/{look.name}"
    if look.connection and seen["httpStatus"] != look.status:
        return f"{look.connection} answers {seen['httpStatus'] or seen['error']}, not {look.status}"
    wished = "something" if look.equals is MISSING else repr(look.equals)
    return f"{look.path or 'the answer'} is {_at(look, seen)!r}, not {wished}"


def _compare(wished: Refused, refused: ApiRefused) -> None:
    fields = [str(cause.get("field", "")) for cause in refused.causes]
    if (
        refused.code != wished.code
        or (wished.reason and refused.reason != wished.reason)
        or (wished.field_ and wished.field_ not in fields)
    ):
        told = f"{wished.code} {wished.reason} {wished.field_}".strip()
        raise ScenarioFailed(f"was refused, but with {refused} (fields: {', '.join(fields) or 'none'}) instead of {told}") from refused
