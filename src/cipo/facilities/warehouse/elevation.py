"""The rack elevation: front and rear side by side, to the half unit, as SVG that prints.

``draw_elevation`` is pure: rack and devices in, text out. Colours are the page's CSS variables with fallbacks, set as attributes, because
the console's content policy allows no inline style; a pattern says the same as each colour, so nothing is told by colour alone. Names come
from people and makers: every text is escaped, every link quoted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from cipo.facilities.shapes import units_text
from cipo.facilities.warehouse.cmdb import unit
from cipo.facilities.warehouse.lifecycle import Lifecycle
from cipo.facilities.warehouse.rack import Face, Rack
from cipo.facilities.warehouse.rack_load import mounted_in
from cipo.kernel import Ctx

U = 22  # px a rack unit; a half unit still holds a line of 8 px text
FACE_W = 232
GUTTER = 28
SIDE_W = 14
SIDE_SLOTS = 2
GAP = 40
TOP = 44
CHAR = 6.1  # px a character of 11 px text, on the safe side
MODEL_MIN = 8  # characters of a model's name that still say something

INK, INK_2, INK_3 = "var(--ink,#16191b)", "var(--ink-2,#495054)", "var(--ink-3,#636b6f)"
SURFACE, SURFACE_2, LINE, LINE_2 = "var(--surface,#fff)", "var(--surface-2,#f3f4f3)", "var(--line,#e3e5e4)", "var(--line-2,#c9cdcc)"
MET, MISSED, UNKNOWN, WARN, ACCENT = (
    "var(--met,#0a7468)",
    "var(--missed,#c2381a)",
    "var(--unknown,#6a7276)",
    "var(--warn,#8f5b00)",
    "var(--accent,#2f4bb8)",
)


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is drawn: colour, pattern, and its words in the legend."""

    colour: str
    pattern: str  # plain, hatch, dots, cross
    words: str


LOOKS: dict[str, Look] = {
    "serving": Look(MET, "plain", "in service"),
    "installed": Look(ACCENT, "plain", "installed"),
    "reserved": Look(ACCENT, "dots", "reserved or in test"),
    "faulty": Look(MISSED, "cross", "faulty"),
    "leaving": Look(UNKNOWN, "hatch", "retired or leaving"),
}
LOOK_OF: dict[str, str] = {
    "InService": "serving",
    "Installed": "installed",
    "Ready": "reserved",
    "Allocated": "reserved",
    "Testing": "reserved",
    "Faulty": "faulty",
    "AtVendor": "faulty",
}


@dataclass(frozen=True, slots=True)
class Device:
    """A device as it is drawn."""

    name: str
    model: str
    unit: float
    height: float
    face: Face = "front"
    full_depth: bool = True
    lifecycle: Lifecycle = "Installed"

    @property
    def look(self) -> str:
        """Key of its look."""
        return LOOK_OF.get(self.lifecycle, "leaving")

    def words(self) -> str:
        """All about it in a line, for the tooltip and for screen readers."""
        if not self.height:
            where = f"{self.face} side, slot {units_text(self.unit)}"
        else:
            last = self.unit + self.height - 1
            span = f"U{units_text(self.unit)}" if last <= self.unit else f"U{units_text(self.unit)} to U{units_text(last)}"
            where = f"{span} ({units_text(self.height)}U), {self.face}, {'full' if self.full_depth else 'half'} depth"
        return f"{self.name}: {self.model}, {where}, {self.lifecycle}"


@unit.picture(Rack, "Elevation")
async def elevation(rack: Rack, ctx: Ctx) -> str:
    """What stands where, front and rear."""
    devices = []
    for asset, model, mounted in await mounted_in(rack, ctx):
        place = mounted.position
        devices.append(Device(asset.name, model.spec.model, place.unit, place.height, place.face, place.full_depth, asset.status.lifecycle))
    return draw_elevation(rack, devices)


def draw_elevation(rack: Rack, devices: Iterable[Device]) -> str:
    """The drawing. Devices outside of the rack's units are named in its description, not drawn."""
    shown = list(devices)
    spec = rack.spec
    inside = [d for d in shown if not d.height or (spec.starting_unit <= d.unit and d.unit + d.height <= spec.end_unit)]
    outside = [d for d in shown if d not in inside]
    key = "elev-" + "".join(c if c.isalnum() else "-" for c in rack.name)
    face_w = GUTTER + SIDE_SLOTS * SIDE_W * 2 + FACE_W
    width, body = 2 * face_w + GAP, spec.u_height * U
    height = TOP + body + 96
    told = f"{len(inside)} devices. Units {spec.starting_unit} to {spec.end_unit - 1}, numbered from the {'top' if spec.desc_units else 'bottom'}."
    if outside:
        told += f" Outside of the rack by the record: {', '.join(d.name for d in outside[:10])}."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="elevation" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="group" aria-labelledby="{key}-t {key}-d" font-family="var(--sans,system-ui,sans-serif)" font-size="11">',
        f'<title id="{key}-t">Rack {escape(rack.name)}, front and rear elevation</title><desc id="{key}-d">{escape(told)}</desc>',
        f"<defs>{''.join(_patterns(key))}</defs>",
    ]
    for index, face in enumerate(("front", "rear")):
        x = index * (face_w + GAP)
        parts.append(f'<g transform="translate({x},0)">')
        parts += _face(rack, inside, "front" if face == "front" else "rear", key)
        parts.append("</g>")
    parts += _foot(rack, inside, width, TOP + body, key)
    parts.append("</svg>")
    return "".join(parts)


def _patterns(key: str) -> Iterator[str]:
    """Each look's fill: the colour at low strength under a pattern in the colour."""
    for name, look in LOOKS.items():
        ground = f'<rect width="8" height="8" fill="{look.colour}" fill-opacity=".14"/>'
        ink = f'stroke="{look.colour}" stroke-opacity=".55"'
        mark = {
            "plain": "",
            "hatch": f'<path d="M0 8L8 0" {ink}/>',
            "cross": f'<path d="M0 8L8 0M0 0L8 8" {ink}/>',
            "dots": f'<circle cx="4" cy="4" r="1.2" fill="{look.colour}" fill-opacity=".55"/>',
        }[look.pattern]
        yield f'<pattern id="{key}-{name}" width="8" height="8" patternUnits="userSpaceOnUse">{ground}{mark}</pattern>'


def _face(rack: Rack, devices: list[Device], face: Face, key: str) -> Iterator[str]:
    """One face: heading, numbers, rails, devices."""
    spec = rack.spec
    body, left = spec.u_height * U, GUTTER + SIDE_SLOTS * SIDE_W
    yield f'<text x="{left}" y="16" font-size="15" font-weight="600" fill="{INK}">{face.capitalize()}</text>'
    if face == "front":
        place = " / ".join(part for part in (rack.spec.site.name, spec.room, spec.row, spec.position) if part)
        yield f'<text x="{left}" y="32" fill="{INK_3}">{escape(_fit(f"{rack.name} in {place}", FACE_W / CHAR))}</text>'
    yield f'<rect x="{left - 0.5}" y="{TOP - 0.5}" width="{FACE_W + 1}" height="{body + 1}" fill="{SURFACE}" stroke="{LINE_2}"/>'
    for row in range(spec.u_height):
        number = spec.starting_unit + row if spec.desc_units else spec.end_unit - 1 - row
        y = TOP + row * U
        if row:
            yield f'<path d="M{left} {y}h{FACE_W}" stroke="{LINE}"/>'
        yield f'<text x="{GUTTER - 6}" y="{y + 14}" text-anchor="end" font-size="10" fill="{INK_3}">{number}</text>'
    for device in devices:
        if device.height == 0:
            yield from _beside(device, face, left, body, key)
        elif device.full_depth or device.face == face:
            yield from _mounted(rack, device, face, left, key)


def _mounted(rack: Rack, device: Device, face: Face, left: float, key: str) -> Iterator[str]:
    spec, h = rack.spec, device.height * U
    from_top = device.unit - spec.starting_unit if spec.desc_units else spec.end_unit - device.unit - device.height
    y, own = TOP + from_top * U, device.face == face
    look = LOOKS[device.look]
    dash = ' stroke-dasharray="3 2"' if look.pattern == "dots" else ""
    size = 11 if h >= U else 8
    room = (FACE_W - 16) / (CHAR * size / 11)
    yield _link(device)
    yield f'<rect x="{left + 1}" y="{y + 1:g}" width="{FACE_W - 2}" height="{h - 2:g}" rx="2" fill="{SURFACE}"/>'
    opacity = "" if own else ' fill-opacity=".5"'
    yield f'<rect x="{left + 1.5}" y="{y + 1.5:g}" width="{FACE_W - 3}" height="{h - 3:g}" rx="2" fill="url(#{key}-{device.look})"{opacity} stroke="{look.colour}"{dash}/>'
    middle = y + h / 2 + size * 0.36
    name = (
        device.name
        if own
        else f"{device.name} ({device.face} side's back)"
        if not device.full_depth
        else f"rear of {device.name}"
        if face == "rear"
        else f"front of {device.name}"
    )
    shown = _fit(name, room)
    yield f'<text x="{left + 8}" y="{middle:.1f}" font-size="{size}" fill="{INK if own else INK_2}">{escape(shown)}</text>'
    model = device.model if device.full_depth else f"½ depth · {device.model}"
    left_over = room - len(shown) - 2
    if own and left_over >= min(len(model), MODEL_MIN):
        yield f'<text x="{left + FACE_W - 8}" y="{middle:.1f}" text-anchor="end" font-size="{size}" fill="{INK_2}">{escape(_fit(model, left_over))}</text>'
    yield "</a>"


def _beside(device: Device, face: Face, left: float, body: float, key: str) -> Iterator[str]:
    """A device beside the rails: a bar on its side, mirrored on the rear."""
    on_left = (device.face == "left") == (face == "front")
    slot = min(SIDE_SLOTS, max(1, int(device.unit)))
    x = left - slot * SIDE_W if on_left else left + FACE_W + (slot - 1) * SIDE_W
    look = LOOKS[device.look]
    yield _link(device)
    yield f'<rect x="{x + 1.5}" y="{TOP + 0.5}" width="{SIDE_W - 3}" height="{body - 1}" rx="2" fill="url(#{key}-{device.look})" stroke="{look.colour}"/>'
    cx, cy = x + SIDE_W / 2 + 2.5, TOP + body / 2
    yield f'<text x="{cx}" y="{cy}" font-size="8" text-anchor="middle" transform="rotate(-90 {cx} {cy})" fill="{INK_2}">{escape(_fit(device.name, 40))}</text>'
    yield "</a>"


def _link(device: Device) -> str:
    return f'<a href="/r/assets/{escape(quote(device.name, safe=""))}"><title>{escape(device.words())}</title>'


def _foot(rack: Rack, devices: list[Device], width: float, top: float, key: str) -> Iterator[str]:
    """Legend in words, the power bar, the weight."""
    x, y = float(GUTTER), top + 22
    for name in [name for name in LOOKS if any(device.look == name for device in devices)]:
        look = LOOKS[name]
        yield f'<rect x="{x}" y="{y - 9}" width="12" height="10" rx="2" fill="url(#{key}-{name})" stroke="{look.colour}"/>'
        yield f'<text x="{x + 18}" y="{y}" fill="{INK_2}">{look.words}</text>'
        x += 18 + len(look.words) * CHAR + 20
    status, power = rack.status, rack.status.power
    unknown = f"; {power.unknown} device{'s' if power.unknown != 1 else ''} of unknown draw" if power.unknown else ""
    feed = power.smallest_feed_w
    of = f" of {feed / 1000:.1f} kW on one feed" if feed else ""
    words = f"Power: {power.typical_w / 1000:.1f} kW typical, {power.maximum_w / 1000:.1f} kW at most{of}{unknown}"
    yield f'<text x="{GUTTER}" y="{y + 24}" fill="{INK_2}">{escape(words)}</text>'
    if feed:
        yield from _bar(key, width, y + 30, power.typical_w / feed, power.maximum_w / feed, words)
    limit = f" of {rack.spec.max_weight_kg:g} kg" if rack.spec.max_weight_kg else ""
    blank = f"; {status.weight_unknown} of unknown weight" if status.weight_unknown else ""
    free = f"{units_text(status.free_u)}U free" if status.free_u is not None else "free units not computed yet"
    yield f'<text x="{GUTTER}" y="{y + 60}" fill="{INK_2}">{escape(f"Weight: {status.weight_kg:g} kg{limit}{blank}. Room: {free}")}</text>'


def _bar(key: str, width: float, y: float, typical: float, maximum: float, words: str) -> Iterator[str]:
    full = width - 2 * GUTTER
    over = typical > 1
    colour = MISSED if over else WARN if maximum > 1 else MET
    yield f'<g role="img" aria-label="{escape(words)}"><rect x="{GUTTER}" y="{y}" width="{full}" height="8" rx="2" fill="{SURFACE_2}" stroke="{LINE_2}"/>'
    yield f'<rect x="{GUTTER}" y="{y}" width="{full * min(1.0, typical):.1f}" height="8" rx="2" fill="{colour}"/>'
    mark = GUTTER + full * min(1.0, maximum)
    yield f'<path d="M{mark:.1f} {y - 2}v12" stroke="{INK}" stroke-width="2"/></g>'


def _fit(text: str, room: float) -> str:
    length = max(1, int(room))
    return text if len(text) <= length else text[: length - 1] + "…"
