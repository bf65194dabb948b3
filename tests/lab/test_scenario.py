"""Scenarios: a file either plays to its end, or says which step did not hold and what was seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from cipo import lab
from cipo.lab.catalogue import fixtures
from cipo.lab.errors import LabError, ScenarioFailed
from cipo.lab.scenario import Runner, read_scenario
from cipo.lab.world import World

pytestmark = pytest.mark.anyio

FAULTS = """
name: an echo with faults
fixtures: [http-echo]
steps:
  - expect: {connection: http-echo, path: method, equals: GET}
  - do: {fixture: http-echo, fault: fail, status: 503}
  - title: the failure is seen
    expect: {connection: http-echo, status: 503}
  - do: {fixture: http-echo, fault: reset}
  - expect: {connection: http-echo, status: 503}
"""


async def play(tmp_path, text: str) -> list[str]:
    file, told = tmp_path / "scenario.yaml", []
    file.write_text(text)
    scenario = read_scenario(file)
    async with World(tmp_path / "lab", fixtures(scenario.fixtures), seed=1) as world:
        await Runner(world, None, say=told.append).play(scenario)
    return told


async def test_a_scenario_plays_its_steps_in_order(tmp_path):
    told = await play(tmp_path, FAULTS.rpartition("  - do")[0])
    assert [line.strip().split("  ")[1] for line in told] == ["expect http-echo", "fail http-echo", "the failure is seen"]


async def test_the_first_step_that_does_not_hold_is_named_with_what_was_seen(tmp_path):
    with pytest.raises(ScenarioFailed, match=r"an echo with faults, step 5 \(expect http-echo\): http-echo answers ReadError, not 503"):
        await play(tmp_path, FAULTS)


async def test_the_shipped_scenario_of_faults_plays(tmp_path):
    assert len(await play(tmp_path, (Path(lab.__file__).parent / "scenarios" / "webhook-faults.yaml").read_text())) == 13


async def test_wait_holds_on_until_it_is_so(tmp_path):
    text = "name: w\nfixtures: [http-echo]\nsteps:\n  - wait: {connection: http-echo, path: path, equals: /, within: 5}\n"
    assert len(await play(tmp_path, text)) == 1


async def test_wait_gives_up_in_time_and_says_what_was_there(tmp_path):
    text = "name: w\nfixtures: [http-echo]\nsteps:\n  - wait: {connection: http-echo, path: path, equals: /never, within: 0.2}\n"
    with pytest.raises(ScenarioFailed, match=r"after 0\.2 s: path is '/', not '/never'"):
        await play(tmp_path, text)


async def test_a_step_on_the_api_without_an_api_says_so(tmp_path):
    with pytest.raises(ScenarioFailed, match="needs the API"):
        await play(tmp_path, "name: n\nsteps:\n  - do: {kind: Asset, name: a, action: lost, given: {reason: x}}\n")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("name: x\nsteps: [{}]", "exactly one of apply, do, wait, expect"),
        ("name: x\nsteps: [{expect: {kind: A, name: b}, as: eve}]", "'eve' is none of the people"),
        ("name: x\nsteps: [{expect: {kind: A, name: b, pth: c}}]", r"steps.0.expect.pth"),
        ("name: x\nsteps: [{do: {action: go}}]", "give kind, name and action"),
        ("name: x\nname: y\nsteps: []", "twice|duplicate"),
        ("name: [", "scenario.yaml"),
        ("a: &a [1]\nb: *a", "anchor"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, text, place):
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    with pytest.raises(LabError, match=place):
        read_scenario(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LabError, match=r"none\.yaml"):
        read_scenario(tmp_path / "none.yaml")
