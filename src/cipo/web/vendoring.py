"""``make assets``: fetches the console's third-party scripts from npm, builds them, and writes them into ``static/vendor``.

A maintainer runs it by hand to move to another version; the result is committed with its licences and hashes (``assets.json``), so
neither an installation nor a running console asks a registry for anything. Needs ``npm``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
VENDOR = HERE / "static" / "vendor"
PACKAGES = {"htmx.org": "4.0.1", "echarts": "6.1.0", "zrender": "6.1.0"}
ESBUILD = "esbuild@0.28.2"

# Only what the console draws, with the SVG renderer: half of the full bundle.
PLOTS = """
import { init, graphic, use } from 'echarts/core';
import { LineChart, BarChart, HeatmapChart, ScatterChart } from 'echarts/charts';
import { GridSimpleComponent, TooltipComponent, MarkLineComponent, MarkAreaComponent } from 'echarts/components';
import { SVGRenderer } from 'echarts/renderers';
use([LineChart, BarChart, HeatmapChart, ScatterChart, GridSimpleComponent, TooltipComponent, MarkLineComponent, MarkAreaComponent, SVGRenderer]);
window.echarts = { init, graphic };
"""
FILES = {  # file in static/vendor -> (package, licence, file in node_modules or None when it is built here)
    "htmx.min.js": ("htmx.org", "0BSD", "htmx.org/dist/htmx.min.js"),
    "echarts.min.js": ("echarts", "Apache-2.0", None),
}
LICENCES = {
    "htmx.LICENSE": "htmx.org/LICENSE",
    "echarts.LICENSE": "echarts/LICENSE",
    "echarts.NOTICE": "echarts/NOTICE",
    "zrender.LICENSE": "zrender/LICENSE",
}


def fetch(directory: Path) -> Path:
    """Install the pinned packages into a scratch directory; its node_modules."""
    (directory / "package.json").write_text('{"private": true}')
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
    _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *wanted, ESBUILD], directory)
    return directory / "node_modules"


def build(modules: Path, target: Path) -> None:
    """Bundle the plots' part of ECharts."""
    entry = modules.parent / "plots.js"
    entry.write_text(PLOTS)
    options = ["--bundle", "--minify", "--format=iife", "--target=es2022", "--legal-comments=none"]
    banner = f"--banner:js=/* Apache ECharts {PACKAGES['echarts']} (part), Apache-2.0; see echarts.LICENSE and echarts.NOTICE */"
    _run([str(modules / ".bin" / "esbuild"), str(entry), *options, banner, f"--outfile={target}"], modules.parent)


def main() -> None:
    """Fetch, build, copy, and write down what is there."""
    if not shutil.which("npm"):
        sys.exit("make assets needs npm; install it with: apt-get install npm")
    with tempfile.TemporaryDirectory(prefix="cipo-assets-") as scratch:
        modules = fetch(Path(scratch))
        VENDOR.mkdir(parents=True, exist_ok=True)
        for name, (_, _, source) in FILES.items():
            if source:
                text = (modules / source).read_text()
                (VENDOR / name).write_text(
                    "\n".join(line for line in text.splitlines() if not line.startswith("//# sourceMappingURL")) + "\n"
                )
            else:
                build(modules, VENDOR / name)
        for name, source in LICENCES.items():
            shutil.copyfile(modules / source, VENDOR / name)
    (HERE / "assets.json").write_text(json.dumps(inventory(), indent=2) + "\n")


def inventory() -> dict[str, dict[str, str | int]]:
    """Version, licence, size and hash of each vendored script, as ``assets.json`` holds it."""
    listed: dict[str, dict[str, str | int]] = {}
    for name, (package, licence, _) in FILES.items():
        body = (VENDOR / name).read_bytes()
        listed[name] = {
            "package": package,
            "version": PACKAGES[package],
            "licence": licence,
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
    return listed


def _run(command: list[str], directory: Path) -> None:
    subprocess.run(command, cwd=directory, check=True, timeout=600)  # noqa: S603 - fixed words


if __name__ == "__main__":
    main()
