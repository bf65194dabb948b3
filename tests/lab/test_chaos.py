"""Every fault is real on the wire: an ordinary HTTP client outside sees it, and it heals."""

from __future__ import annotations

import time

import httpx
import pytest

from cipo.lab.catalogue import fixtures
from cipo.lab.chaos import Chaos
from cipo.lab.errors import LabError
from cipo.lab.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path, fixtures(["http-echo"]), seed=1) as running:
        yield running


async def get(world: World, **options) -> httpx.Response:
    """One request on a connection of its own: faults strike new connections."""
    async with httpx.AsyncClient(trust_env=False, timeout=options.pop("timeout", 10)) as client:
        return await client.post(world.url("http-echo"), content="x" * 100_000, **options)


async def test_delay_slows_every_new_connection(world):
    world.chaos("http-echo").delay(0.3)
    began = time.monotonic()
    assert (await get(world)).status_code == 200
    assert time.monotonic() - began >= 0.3


async def test_fail_answers_with_the_status(world):
    world.chaos("http-echo").fail(502)
    answer = await get(world)
    assert (answer.status_code, answer.text) == (502, "injected by the lab\n")
    world.chaos("http-echo").heal()
    assert (await get(world)).status_code == 200


async def test_reset_cuts_the_connection(world):
    world.chaos("http-echo").reset()
    with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.ConnectError)):
        await get(world)
    world.chaos("http-echo").heal()
    assert (await get(world)).status_code == 200


async def test_a_stopped_process_is_silent_and_goes_on(world):
    chaos = world.chaos("http-echo")
    chaos.stop()
    assert chaos.words() == "stopped"
    with pytest.raises(httpx.ReadTimeout):
        await get(world, timeout=0.3)
    chaos.heal()
    assert (await get(world)).status_code == 200
    assert chaos.words() == "none"


async def test_a_killed_process_refuses(world):
    world.chaos("http-echo").kill()
    child = world._running["http-echo"].fixture.child
    await child.wait()
    with pytest.raises(httpx.TransportError):
        await get(world)


async def test_a_share_of_connections_suffers_and_the_seed_decides_which(world):
    def drawn(seed: int) -> list[bool]:
        chaos = Chaos("http-echo", seed=seed)
        chaos.fail(503, share=0.5)
        return [chaos.strikes() for _ in range(200)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 60 < sum(drawn(1)) < 140
    chaos = world.chaos("http-echo")
    chaos.fail(503, share=0.5)
    seen = [(await get(world)).status_code for _ in range(20)]
    assert set(seen) == {200, 503}


@pytest.mark.parametrize("wrong", [lambda c: c.delay(-1), lambda c: c.delay(1e9), lambda c: c.fail(404), lambda c: c.reset(share=0)])
def test_a_fault_out_of_bounds_is_refused(wrong):
    with pytest.raises(LabError):
        wrong(Chaos("x", seed=1))


def test_a_fixture_without_a_process_cannot_be_signalled():
    with pytest.raises(LabError, match="no process"):
        Chaos("x", seed=1).kill()


async def test_a_fault_of_an_unknown_fixture_names_the_running_ones(world):
    with pytest.raises(LabError, match="running: http-echo"):
        world.chaos("smtp")
