"""The label of an asset and of a bin: a QR code with its words, as SVG that prints.

The code holds the shortest thing that any scanner resolves without a network: our tag, or the place code (see ``scan``). ``segno`` draws
the modules; the frame and the words are ours. The quiet zone is four modules (ISO/IEC 18004 section 9.1).
"""

from __future__ import annotations

from html import escape

import segno

from cipo.facilities.warehouse.asset import Asset
from cipo.facilities.warehouse.bin import Bin
from cipo.facilities.warehouse.cmdb import unit
from cipo.facilities.warehouse.inbound import unit as inbound
from cipo.facilities.warehouse.rack import Rack
from cipo.kernel import Ctx

QUIET = 4
WORDS_W = 210


@unit.picture(Asset, "Label")
async def asset_label(asset: Asset, ctx: Ctx) -> str:
    """The sticker on the thing; an asset without a tag has its serial as code."""
    lines = [asset.spec.model.name, f"S/N {asset.spec.serial_printed or asset.spec.serial}" if asset.spec.serial else "no serial number"]
    return draw_label(asset.spec.tag or asset.spec.serial, asset.spec.tag or asset.spec.serial, lines)


@unit.picture(Rack, "Label")
async def rack_label(rack: Rack, ctx: Ctx) -> str:
    """The sticker on the rack's door."""
    return draw_label(
        f"RACK/{rack.name}",
        rack.name,
        [f"rack in {rack.spec.site.name}", " ".join(part for part in (rack.spec.room, rack.spec.row, rack.spec.position) if part)],
    )


@inbound.picture(Bin, "Label")
async def bin_label(bin_: Bin, ctx: Ctx) -> str:
    """The sticker on the shelf."""
    return draw_label(f"BIN/{bin_.name}", bin_.spec.code, [f"bin of {bin_.spec.warehouse.name}", bin_.spec.type])


def draw_label(code: str, heading: str, lines: list[str]) -> str:
    """A label: QR code on the left, words on the right. Black on white in both schemes, because scanners and printers want it so."""
    qr = segno.make(code, error="m", micro=False)
    side = qr.symbol_size(border=QUIET)[0]
    scale = 120 / side
    dark = "".join(f"M{x + QUIET} {y + QUIET}h1v1h-1z" for y, row in enumerate(qr.matrix) for x, bit in enumerate(row) if bit)
    words = "".join(
        f'<text x="128" y="{60 + 18 * index}" font-size="12" fill="#333">{escape(_fit(line, 32))}</text>'
        for index, line in enumerate(lines[:3])
        if line
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="label" viewBox="0 0 {120 + WORDS_W} 120" width="{120 + WORDS_W}" height="120" role="img" '
        f'aria-label="{escape(f"Label {heading}: QR code {code}")}" font-family="var(--sans,system-ui,sans-serif)">'
        f'<rect width="{120 + WORDS_W}" height="120" rx="4" fill="#fff" stroke="#bbb"/>'
        f'<path transform="scale({scale:.5f})" d="{dark}" fill="#000"/>'
        f'<text x="128" y="36" font-size="18" font-weight="600" fill="#000">{escape(_fit(heading, 20))}</text>{words}</svg>'
    )


def _fit(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
