"""The community device-type library goes in as it is; what is broken in it is named with its line."""

from __future__ import annotations

import pytest
import yaml

from cipo.facilities.warehouse.asset_model import AssetModel, AssetModelSpec
from cipo.facilities.warehouse.device_types import (
    MODELS,
    RACKS,
    find_files,
    guess_class,
    import_device_types,
    read_file,
    read_text,
)
from cipo.facilities.warehouse.library_yaml import Refused
from cipo.facilities.warehouse.rack import RackModelSpec

pytestmark = pytest.mark.anyio

PANEL = "manufacturer: Generic\nmodel: Panel\nu_height: 1\n"


class Shelf:
    """Keeps what is applied, as an organisation's API would."""

    def __init__(self):
        self.objects = {}

    async def apply(self, kind, obj):
        key = (kind, obj["metadata"]["name"])
        before = self.objects.get(key)
        self.objects[key] = obj
        return "created" if before is None else "unchanged" if before == obj else "configured"


async def test_the_real_library_goes_in_and_a_second_time_changes_nothing(shared_data):
    shelf = Shelf()
    first = await import_device_types(shared_data / "1A", shelf)
    assert (first.created, first.refused) == (38, [])
    second = await import_device_types(shared_data / "1A", shelf)
    assert (second.created, second.configured, second.unchanged) == (0, 0, 38)


async def test_progress_is_told_file_by_file(shared_data):
    heard = []
    await import_device_types(shared_data / "1A" / "rack-types", Shelf(), progress=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_ports_and_bays_equal_an_independent_count(shared_data):
    sections = ["interfaces", "console-ports", "console-server-ports", "power-ports", "power-outlets", "front-ports", "rear-ports"]
    for path in find_files(shared_data / "1A" / "device-types"):
        plain = yaml.safe_load(path.read_text())
        spec = read_file(path).object["spec"]
        for section, kind in zip(sections, ["interface", "console", "console-server", "power", "outlet", "front", "rear"], strict=True):
            names = [str(port["name"]) for port in plain.get(section) or []]
            assert [port["name"] for port in spec["ports"] if port["kind"] == kind] == names, path.name
        bays = sum(len(plain.get(section) or []) for section in ("device-bays", "module-bays", "inventory-items"))
        assert len(spec["bays"]) == bays
        assert spec["formFactor"]["uHeight"] == plain["u_height"]


def test_what_is_read_passes_the_kinds_own_rules(shared_data):
    for path in find_files(shared_data / "1A"):
        read = read_file(path)
        if read.kind == MODELS:
            model = AssetModel.model_construct(spec=AssetModelSpec.model_validate(read.object["spec"]))
            assert list(AssetModel.validate_change(model, None, None)) == [], path.name
        else:
            RackModelSpec.model_validate(read.object["spec"])


def test_the_sorts_of_things_are_guessed_from_their_sockets(shared_data):
    found = {
        read_file(path).object["metadata"]["name"]: read_file(path).object["spec"]["assetClass"]
        for path in find_files(shared_data / "1A" / "device-types")
    }
    assert found["dell-poweredge-r650"] == found["dell-poweredge-r750"] == found["hpe-proliant-dl360-gen10-plus"] == "server"
    assert found["mellanox-sn3700c"] == found["cisco-nexus-93180yc-fx3"] == "switch"
    assert found["apc-ap8886"] == found["raritan-px3-5729r"] == "pdu"
    assert found["corning-edge-01u"] == found["generic-lc-24-port-fiber-patch-panel"] == "panel"
    assert guess_class([], [], "X") == "other"


def test_racks_come_as_rack_models_with_the_dirt_of_the_real_world(shared_data):
    read = read_file(shared_data / "1A" / "rack-types" / "APC-AR3300.yaml", "APC-AR3300.yaml")
    assert read.kind == RACKS
    spec = read.object["spec"]
    assert (spec["uHeight"], spec["mountingDepthMm"], spec["maxWeightKg"], spec["outerDepthMm"]) == (42, 191, 1701, 1200)


MAPPED = [{"rear": "R1", "rearPosition": 2, "position": 1}]


@pytest.mark.parametrize(
    "front",
    [
        "front-ports:\n  - {name: F1, type: lc, rear_port: R1, rear_port_position: 2}\n",
        "front-ports:\n  - {name: F1, type: lc}\nport-mappings:\n  - {front_port: F1, rear_port: R1, rear_port_position: 2}\n",
        "front-ports:\n  - {name: F1, type: lc, rear_ports: [{position: 1, rear_port: R1, rear_port_position: 2}]}\n",
    ],
    ids=["the old form", "a list beside the ports", "a list on the port"],
)
def test_every_way_to_map_a_front_port_gives_the_same(front):
    read = read_text(PANEL + front + "rear-ports:\n  - {name: R1, type: mpo, positions: 12}\n")
    port = next(port for port in read.object["spec"]["ports"] if port["kind"] == "front")
    assert port["maps"] == MAPPED
    assert read.warnings == []


def test_an_unknown_field_is_a_warning_with_its_line():
    read = read_text(PANEL + "interfaces:\n  - name: eth0\n    colour: red\nflavour: mint\n")
    assert read.warnings == [
        "line 6: interfaces eth0: colour is not known and was left out",
        "line 7: flavour is not known and was left out",
    ]


def test_units_of_weight_become_kilograms():
    assert read_text(PANEL + "weight: 10\nweight_unit: lb\n").object["spec"]["formFactor"]["weightKg"] == pytest.approx(4.536)


REFUSED = [
    ("manufacturer: X\nmodel: Y\nu_height: 0.3\n", "line 3: 0.3 rack units"),
    ("manufacturer: X\nmodel: Y\nu_height: tall\n", "line 3: a number is needed"),
    ("manufacturer: X\nu_height: 1\n", "model is missing"),
    (PANEL + "weight: -1\n", "line 4: -1 is not between"),
    (PANEL + "is_full_depth: maybe\n", "line 4: true or false is needed"),
    (PANEL + "interfaces: eth0\n", "line 4: a list is needed"),
    (PANEL + "interfaces:\n  - [a]\n", "line 5: a mapping is needed"),
    (PANEL + "model: Again\n", "line 4: model is there twice"),
    (PANEL + "front-ports:\n  - {name: F1, rear_port: R9}\n", 'leads to rear port "R9"'),
    (PANEL + "weight: 1\nweight_unit: stone\n", "line 5: stone is not a unit"),
    (PANEL + "comments: &a x\nmodel2: *a\n", "line 4: anchors and aliases"),
    (PANEL + "comments: !!python/object/apply:os.system [id]\n", "line 4: tags like"),
    (PANEL + "interfaces: " + "[" * 40, "nested deeper"),
    ("manufacturer: [", "line 1"),
    ("- a\n", "a mapping is needed"),
    ("", "is empty"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[row[1] for row in REFUSED])
def test_what_is_wrong_is_refused_with_its_line(text, why):
    with pytest.raises(Refused) as refused:
        read_text(text)
    assert why in str(refused.value)


async def test_a_broken_file_does_not_stop_the_rest(tmp_path):
    (tmp_path / "a.yaml").write_text(PANEL)
    (tmp_path / "b.yaml").write_text("manufacturer: X\nmodel: Y\nu_height: tall\n")
    (tmp_path / "c.yml").write_text(PANEL)
    (tmp_path / "d.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "e.yaml").write_text(PANEL.replace("Panel", "Other"))
    (tmp_path / "big.yaml").write_text("# " + "x" * 1_000_001)
    report = await import_device_types(tmp_path, Shelf())
    assert report.created == 2
    assert sorted(line.split(":")[0] for line in report.refused) == ["b.yaml", "big.yaml", "c.yml", "d.yaml"]


def test_a_link_out_of_the_library_is_not_followed(tmp_path):
    secret = tmp_path / "secret.yaml"
    secret.write_text(PANEL)
    library = tmp_path / "library"
    library.mkdir()
    (library / "link.yaml").symlink_to(secret)
    assert find_files(library) == []


def test_what_is_no_directory_is_said():
    with pytest.raises(match="is not a directory"):
        find_files(__import__("pathlib").Path("/nowhere/at/all"))
