"""The sample organisation, end to end: a real API, simulated people, and an inventory accuracy that was measured.

What the count must find follows from the physical world of the seed; nothing here is told to the organisation.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from cipo import lab
from cipo.facilities import world as facilities
from cipo.facilities.sample.physical import things
from cipo.kernel.store.db import Database
from cipo.lab import tramline
from cipo.lab.client import HttpApi
from cipo.lab.errors import LabError
from cipo.lab.proc import usage
from cipo.lab.scenario import Runner, read_scenario
from cipo.lab.stage import Stage, settle_seed
from cipo.lab.world import World
from tests.live import Live

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SEED = 3
SCENARIOS = Path(lab.__file__).parent / "scenarios"


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tramline")


@pytest.fixture(scope="module")
def seeded(live_api: Live, directory: Path) -> Live:
    """Tramline, seeded once; a first attempt is cut off in the middle of receiving."""

    async def play(limit: float | None) -> None:
        async with Stage.open(directory, live_api.base_url, live_api.token, seed=SEED) as stage:
            with anyio.move_on_after(limit) if limit else anyio.CancelScope():
                await tramline.seed(stage)

    anyio.run(play, 4)
    began = time.monotonic()
    anyio.run(play, None)
    assert time.monotonic() - began < 90
    return live_api


async def objects(live: Live, kind: str) -> dict[str, dict]:
    async with HttpApi.open(live.base_url, live.token) as api:
        return {obj["metadata"]["name"]: obj for obj in await api.list(kind)}


async def test_every_machine_came_in_by_scan_and_has_its_place(seeded):
    assets = await objects(seeded, "Asset")
    expected = {thing.label.lower(): thing for thing in things(SEED)}
    assert assets.keys() == expected.keys()
    for name, thing in expected.items():
        location = assets[name]["status"]["location"]
        assert assets[name]["spec"]["serial"] == thing.serial
        assert assets[name]["status"]["received"]["shipment"] == thing.shipment
        if thing.planned.kind == "bin":
            assert location["bin"] == thing.planned.name
        else:
            position = location["rackPosition"]
            assert (position["rack"], position["unit"], position["face"]) == (thing.planned.name, thing.planned.unit, thing.planned.face)


async def test_a_serial_that_the_supplier_got_wrong_is_a_discrepancy_of_its_shipment(seeded):
    shipments = await objects(seeded, "Shipment")
    wrong = {thing.shipment: thing.announced for thing in things(SEED) if thing.announced != thing.serial}
    assert wrong, "choose a seed in which a supplier errs"
    assert {name for name, one in shipments.items() if one["status"]["phase"] == "Discrepant"} == wrong.keys()
    for name, serial in wrong.items():
        assert serial in [lost for entry in shipments[name]["status"]["discrepancies"] for lost in entry["serials"]]


async def test_the_blind_count_finds_exactly_what_is_misplaced(seeded):
    counts = await objects(seeded, "StockCount")
    misplaced = {thing.label.lower() for thing in things(SEED) if thing.actual != thing.planned}
    found = {entry["asset"] for count in counts.values() for entry in count["status"].get("discrepancies", [])}
    assert misplaced, "choose a seed in which something is misplaced"
    assert found == misplaced
    right, total = (sum(count["status"][key] for count in counts.values()) for key in ("correct", "total"))
    assert (right, total) == (len(things(SEED)) - len(misplaced), len(things(SEED)))
    assert {count["spec"]["blind"] for count in counts.values()} == {True}


async def test_everything_was_done_by_simulated_people_and_the_log_says_so(seeded):
    with seeded.client() as client:
        accounts = client.get("/apis/kernel.cipo/v1/serviceaccounts").json()["items"]
    assert {account["metadata"]["name"] for account in accounts if not account["metadata"]["name"].startswith("lab-")} == {
        "mila",
        "omar",
        "sanne",
        "jonas",
        "pieter",
        "lena",
    }
    assert all(account["spec"]["simulated"] for account in accounts)
    rows = await facts_and_events(seeded)
    assert rows["acted without simulated"] == 0
    assert rows["facts without simulated"] == 0
    assert rows["facts"] > 400


async def facts_and_events(live: Live) -> dict[str, int]:
    """Read straight from the store: what a simulated person did must be marked, whatever the API shows."""
    async with Database(live.dsn) as db:
        questions = {
            "acted without simulated": "select count(*) from cipo.event where gk like '%%.facilities.cipo' and actor like 'serviceaccount:%%' and not simulated",
            "facts without simulated": "select count(*) from cipo.fact where name in ('cmdb.count', 'inbound.scan') and not simulated",
            "facts": "select count(*) from cipo.fact where name in ('cmdb.count', 'inbound.scan')",
        }
        return {name: (await db.fetch(sql))[0][0] for name, sql in questions.items()}


async def test_seeding_again_changes_nothing(seeded, directory):
    kinds = ("Site", "Rack", "AssetModel", "Bin", "Shipment", "Asset", "StockCount")
    before = {kind: {name: obj["spec"] for name, obj in (await objects(seeded, kind)).items()} for kind in kinds}
    generations = {kind: {name: obj["metadata"]["generation"] for name, obj in (await objects(seeded, kind)).items()} for kind in kinds}
    async with Stage.open(directory, seeded.base_url, seeded.token) as stage:
        await tramline.seed(stage)
    assert {kind: {name: obj["spec"] for name, obj in (await objects(seeded, kind)).items()} for kind in kinds} == before
    assert {
        kind: {name: obj["metadata"]["generation"] for name, obj in (await objects(seeded, kind)).items()} for kind in kinds
    } == generations


async def test_a_world_that_was_seeded_into_another_database_is_seeded_again(seeded, directory):
    async with Stage.open(directory, seeded.base_url, seeded.token) as stage:
        assert await tramline.seeded(stage)
        done = directory / tramline.DONE_FILE
        kept = done.read_text()
        done.write_text(kept.replace(await stage.organisation(), "another"))
        assert not await tramline.seeded(stage)
        done.write_text(kept)


async def test_the_counter_walks_when_somebody_starts_a_count_with_his_name(seeded, directory):
    async with Stage.open(directory, seeded.base_url, seeded.token) as stage:
        manager = await stage.person(facilities.MANAGER)
        await manager.ensure("StockCount", "ours", {"scope": {"racks": ["lon-r1"]}, "counters": ["omar"]})
        async with anyio.create_task_group() as group:
            group.start_soon(facilities.actors, stage)
            await manager.act("StockCount", "ours", "start", {})
            here = sum(thing.actual.name == "lon-r1" for thing in things(SEED))
            with anyio.fail_after(20):
                async for _, count in manager.watch("StockCount", name="ours", timeout_s=20):
                    if count["status"]["scans"] == here:
                        break
            group.cancel_scope.cancel()
        assert (await manager.act("StockCount", "ours", "close", {}))["status"]["total"] == here


async def test_the_process_of_the_lab_is_small_idle_and_ends_on_sigterm(seeded, directory):
    home = directory.parent / "home"
    (home / "lab" / "tramline").mkdir(parents=True)
    for name in ("seed", "people.json", "seeded.json"):
        (home / "lab" / "tramline" / name).write_bytes((directory / name).read_bytes())
    token = home / "lab" / "admin.token"
    token.write_text(seeded.token)
    env = {**seeded.env, "CIPO_HOME": str(home)}
    process = subprocess.Popen([sys.executable, "-m", "cipo.lab"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: ASYNC220
    try:
        with anyio.fail_after(20):
            while not list((home / "lab").glob("*.world.json")):
                assert process.poll() is None, process.communicate()[0]
                await anyio.sleep(0.05)
        first = usage(process.pid)
        await anyio.sleep(2)  # the span over which idling is measured
        later = usage(process.pid)
        assert first and later
        assert later.rss_bytes < 60 << 20
        assert later.cpu_s - first.cpu_s < 0.2
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0, process.communicate()[0]
    assert list((home / "lab").glob("*.world.json")) == []


async def test_the_scenario_of_receiving_placing_and_counting_plays(seeded, tmp_path):
    scenario = read_scenario(SCENARIOS / "receive-place-count.yaml")
    async with World(tmp_path, [], seed=1) as world, HttpApi.open(seeded.base_url, seeded.token) as api:
        await Runner(world, api).play(scenario)


def test_a_world_keeps_the_seed_it_began_with(tmp_path):
    assert settle_seed(tmp_path / "seed", 5) == 5
    assert settle_seed(tmp_path / "seed", None) == 5
    with pytest.raises(LabError, match="began with seed 5"):
        settle_seed(tmp_path / "seed", 6)


def test_the_same_seed_is_the_same_world_and_another_is_not():
    assert things(1) == things(1)
    assert {thing.serial for thing in things(1)} != {thing.serial for thing in things(2)}
