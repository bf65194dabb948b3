"""Reads the community device-type library as it is and brings it in as AssetModels and RackModels.

Who: whoever sets up an organisation, by ``cipo import device-types DIR``. The library is CC0; its files are other people's work, so they
are read with care: no tags, no aliases, no links out of the directory, a limit on size. A field we do not know is a warning, a wrong type
refuses that file with its line, and the rest goes in. Importing twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio.to_thread

from cipo.facilities.shapes import maker_key
from cipo.facilities.warehouse.library_yaml import Entry, Node, Refused, parse
from cipo.kernel import slug

FILE_MAX = 1_000_000
FILES_MAX = 50_000
SOURCE = "NetBox community device-type library"
LICENCE = "CC0-1.0"
MODELS, RACKS = "assetmodels.facilities.cipo", "rackmodels.facilities.cipo"
KILOGRAMS = {"kg": 1.0, "g": 0.001, "lb": 0.45359237, "oz": 0.028349523125}  # international pound, 1959
MILLIMETRES = {"mm": 1.0, "in": 25.4}
SECTIONS: dict[str, str] = {
    "interfaces": "interface",
    "console-ports": "console",
    "console-server-ports": "console-server",
    "power-ports": "power",
    "power-outlets": "outlet",
    "front-ports": "front",
    "rear-ports": "rear",
}
BAYS: dict[str, str] = {"device-bays": "device", "module-bays": "module", "inventory-items": "inventory"}


class Client(Protocol):
    """What the import writes to: an organisation's API."""

    async def apply(self, kind: str, obj: dict[str, Any]) -> str:
        """Create or change one object of ``plural.group``; answers created, configured or unchanged."""


@dataclass(slots=True)
class Read:
    """One file as objects of ours, with what was left out."""

    kind: str
    object: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What an import did."""

    created: int = 0
    configured: int = 0
    unchanged: int = 0
    warnings: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        """Files that went in."""
        return self.created + self.configured + self.unchanged


async def import_device_types(
    directory: Path, client: Client, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Bring all YAML files below a directory in, each on its own; ``progress`` hears how far it is."""
    report = Report()
    files = await anyio.to_thread.run_sync(find_files, directory)
    names: dict[tuple[str, str], str] = {}
    for index, path in enumerate(files):
        shown = path.relative_to(directory).as_posix()
        try:
            read = await anyio.to_thread.run_sync(read_file, path, shown)
            key = (read.kind, read.object["metadata"]["name"])
            if key in names:
                raise Refused(f"describes {key[1]}, which {names[key]} does too")
            names[key] = shown
        except Refused as refused:
            report.refused.append(f"{shown}: {refused}")
        else:
            report.warnings += [f"{shown}: {warning}" for warning in read.warnings]
            outcome = await client.apply(read.kind, read.object)
            setattr(report, outcome, getattr(report, outcome) + 1)
        progress(index + 1, len(files))
    return report


def find_files(directory: Path) -> list[Path]:
    """The YAML files of a library, in order. Links that lead out of the directory are left alone."""
    root = directory.resolve()
    if not root.is_dir():
        raise Refused(f"{directory} is not a directory; name the library's root or its device-types folder")
    found = sorted(
        path for path in directory.rglob("*") if path.suffix in (".yaml", ".yml") and path.is_file() and path.resolve().is_relative_to(root)
    )
    if len(found) > FILES_MAX:
        raise Refused(f"{directory} has {len(found)} files; at most {FILES_MAX}")
    return found


def read_file(path: Path, shown: str = "") -> Read:
    """One file of the library as an object of ours. Raises Refused."""
    size = path.stat().st_size
    if size > FILE_MAX:
        raise Refused(f"has {size} bytes; at most {FILE_MAX}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refused("is not UTF-8 text") from error
    return read_text(text, shown or path.name)


def read_text(text: str, shown: str = "") -> Read:
    """A library entry as an object of ours. Raises Refused with the line."""
    node = parse(text)
    keys = {key for key, _ in node.pairs()}
    return _rack_type(node, shown) if keys & {"form_factor", "starting_unit", "mounting_depth", "desc_units"} else _device_type(node, shown)


def _device_type(node: Node, shown: str) -> Read:
    entry = Entry(node)
    warnings: list[str] = []
    manufacturer, model = entry.need("manufacturer").text(120), entry.need("model").text(120)
    height_node = entry.need("u_height")
    height = height_node.number(0, 100)
    if height * 2 != int(height * 2):
        raise Refused(f"line {height_node.line}: {height:g} rack units; heights come in steps of 0.5")
    depth, powered = entry.take("is_full_depth"), entry.take("is_powered")
    part = entry.text("part_number", 120)
    description = entry.text("description", 500)
    comments = entry.text("comments", 4096)
    form: dict[str, Any] = {"uHeight": height, "fullDepth": depth.flag() if depth else True}
    airflow = entry.text("airflow", 32)
    if airflow:
        form["airflow"] = airflow
    weight = _measure(entry, "weight", "weight_unit", KILOGRAMS)
    if weight is not None:
        form["weightKg"] = weight
    ports: list[dict[str, Any]] = []
    for section, kind in SECTIONS.items():
        found = entry.take(section)
        for item in found.items() if found else []:
            ports.append(_port(Entry(item), kind, section, warnings))
    _map_ports(entry, ports, warnings)
    bays: list[dict[str, Any]] = []
    for section, kind in BAYS.items():
        found = entry.take(section)
        for item in found.items() if found else []:
            bays.append(_bay(Entry(item), kind, section, warnings))
    warnings += entry.unknown()
    spec: dict[str, Any] = {
        "manufacturer": manufacturer,
        "model": model,
        "partNumbers": [part] if part else [],
        "assetClass": guess_class(ports, bays, model),
        "formFactor": form,
        "ports": ports,
        "bays": bays,
        "source": {"name": SOURCE, "path": shown[:500], "licence": LICENCE},
    }
    if powered is not None and not powered.flag():
        spec["power"] = {"powered": False}
    words = "\n\n".join(part for part in (description, comments) if part)
    if words:
        spec["comments"] = words[:4096]
    spec["dataBearing"] = spec["assetClass"] in ("server", "disk")
    return Read(MODELS, _object("AssetModel", manufacturer, model, spec), warnings)


def _port(entry: Entry, kind: str, section: str, warnings: list[str]) -> dict[str, Any]:
    port: dict[str, Any] = {"name": entry.need("name").text(64), "kind": kind}
    for theirs, ours, limit in (("type", "type", 64), ("label", "label", 64), ("description", "description", 200)):
        value = entry.text(theirs, limit)
        if value:
            port[ours] = value
    management = entry.take("mgmt_only")
    if management and management.flag():
        port["management"] = True
    positions = entry.take("positions")
    if positions:
        port["positions"] = positions.whole(1, 1024)
    for theirs, ours in (("maximum_draw", "maximumW"), ("allocated_draw", "allocatedW")):
        draw = entry.take(theirs)
        if draw:
            port[ours] = draw.number()
    for theirs, ours, limit in (("feed_leg", "feedLeg", 8), ("power_port", "powerPort", 64)):
        value = entry.text(theirs, limit)
        if value:
            port[ours] = value
    if kind == "front":
        port["maps"] = _own_maps(entry)
    warnings += entry.unknown(f"{section} {port['name']}: ")
    return port


def _own_maps(entry: Entry) -> list[dict[str, Any]]:
    """The mappings that a front port itself gives: one ``rear_port``, or a list ``rear_ports``."""
    rear, position = entry.text("rear_port", 64), entry.take("rear_port_position")
    maps = [{"rear": rear, "rearPosition": position.whole(1, 1024) if position else 1, "position": 1}] if rear else []
    several = entry.take("rear_ports")
    for item in several.items() if several else []:
        maps.append(_mapping(Entry(item), "position"))
    return maps


def _mapping(entry: Entry, own: str) -> dict[str, Any]:
    rear, own_position, position = entry.need("rear_port").text(64), entry.take(own), entry.take("rear_port_position")
    return {
        "rear": rear,
        "rearPosition": position.whole(1, 1024) if position else 1,
        "position": own_position.whole(1, 1024) if own_position else 1,
    }


def _map_ports(entry: Entry, ports: list[dict[str, Any]], warnings: list[str]) -> None:
    """The newer form: a list ``port-mappings`` beside the ports; and mappings must meet ports that exist."""
    fronts = {port["name"]: port for port in ports if port["kind"] == "front"}
    rears = {port["name"] for port in ports if port["kind"] == "rear"}
    found = entry.take("port-mappings")
    for item in found.items() if found else []:
        mapping = Entry(item)
        front = mapping.need("front_port")
        if front.text(64) not in fronts:
            raise Refused(f'line {front.line}: there is no front port "{front.text(64)}"')
        fronts[front.text(64)]["maps"].append(_mapping(mapping, "front_port_position"))
        warnings += mapping.unknown("port-mappings: ")
    for port in fronts.values():
        for one in port["maps"]:
            if one["rear"] not in rears:
                raise Refused(f'line {entry.node.line}: front port {port["name"]} leads to rear port "{one["rear"]}", which is not there')


def _bay(entry: Entry, kind: str, section: str, warnings: list[str]) -> dict[str, Any]:
    bay: dict[str, Any] = {"name": entry.need("name").text(64), "kind": kind}
    for name, limit in (("position", 64), ("label", 64), ("description", 200)):
        value = entry.text(name, limit)
        if value:
            bay[name] = value
    warnings += entry.unknown(f"{section} {bay['name']}: ")
    return bay


def guess_class(ports: list[dict[str, Any]], bays: list[dict[str, Any]], model: str) -> str:
    """The library does not say what a thing is; its sockets do. A guess, to be corrected by hand where it is wrong."""
    kinds = {port["kind"] for port in ports}
    data = [port for port in ports if port["kind"] == "interface" and not port.get("management")]
    if "outlet" in kinds:
        return "pdu"
    if kinds & {"front", "rear"} or (not ports and (bays or "panel" in model.lower())):
        return "panel"
    if len(data) >= 16:
        return "switch"
    return "server" if data or any(port["kind"] == "interface" for port in ports) else "other"


def _rack_type(node: Node, shown: str) -> Read:
    entry = Entry(node)
    manufacturer, model = entry.need("manufacturer").text(120), entry.need("model").text(120)
    descending = entry.take("desc_units")
    spec: dict[str, Any] = {
        "manufacturer": manufacturer,
        "model": model,
        "description": " ".join(part for part in (entry.text("description", 500), entry.text("comments", 500)) if part)[:500],
        "formFactor": entry.text("form_factor", 64),
        "uHeight": entry.need("u_height").whole(1, 100),
        "descUnits": descending.flag() if descending else False,
        "source": {"name": SOURCE, "path": shown[:500], "licence": LICENCE},
    }
    for theirs, ours, low, high in (("starting_unit", "startingUnit", 0, 1000), ("width", "widthIn", 10, 23)):
        found = entry.take(theirs)
        if found:
            spec[ours] = found.whole(low, high)
    unit = entry.take("outer_unit")
    scale = _factor(unit, MILLIMETRES) if unit else 1.0
    for theirs, ours in (("outer_width", "outerWidthMm"), ("outer_height", "outerHeightMm"), ("outer_depth", "outerDepthMm")):
        found = entry.take(theirs)
        if found:
            spec[ours] = round(found.number() * scale, 2)
    mounting = entry.take("mounting_depth")
    if mounting:
        spec["mountingDepthMm"] = mounting.number(0, 5000)  # always millimetres in the library
    weight_unit = entry.take("weight_unit")
    factor = _factor(weight_unit, KILOGRAMS) if weight_unit else 1.0
    for theirs, ours in (("weight", "weightKg"), ("max_weight", "maxWeightKg")):
        found = entry.take(theirs)
        if found:
            spec[ours] = round(found.number() * factor, 2)
    return Read(RACKS, _object("RackModel", manufacturer, model, spec), list(entry.unknown()))


def _measure(entry: Entry, name: str, unit: str, units: dict[str, float]) -> float | None:
    value, of = entry.take(name), entry.take(unit)
    if value is None:
        return None
    return round(value.number() * (_factor(of, units) if of else 1.0), 3)


def _factor(node: Node, units: dict[str, float]) -> float:
    name = node.text(8)
    if name not in units:
        raise Refused(f"line {node.line}: {name} is not a unit; one of {', '.join(units)}")
    return units[name]


def _object(kind: str, manufacturer: str, model: str, spec: dict[str, Any]) -> dict[str, Any]:
    name = slug(f"{maker_key(manufacturer)} {model}")
    return {"apiVersion": "facilities.cipo/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
