"""``make assets``: fetches the console's third-party script and the exports' fonts from npm, and writes them into the tree.

A maintainer runs it by hand to move to another version; the result is committed with its licences and hashes (``assets.json``), so
neither an installation nor a running console asks a registry for anything. Needs ``npm``, and for the fonts fontTools with brotli.
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
VENDOR, FONTS = HERE / "static" / "vendor", HERE / "fonts"
PACKAGES = {"htmx.org": "4.0.1", "inter-ui": "4.1.1"}
FILES = {  # where it is kept -> (package, licence, file in node_modules)
    VENDOR / "htmx.min.js": ("htmx.org", "0BSD", "htmx.org/dist/htmx.min.js"),
    FONTS / "Inter-Regular.ttf": ("inter-ui", "OFL-1.1", "inter-ui/web/Inter-Regular.woff2"),
    FONTS / "Inter-SemiBold.ttf": ("inter-ui", "OFL-1.1", "inter-ui/web/Inter-SemiBold.woff2"),
}
LICENCES = {VENDOR / "htmx.LICENSE": "htmx.org/LICENSE", FONTS / "Inter.LICENSE": "inter-ui/LICENSE.txt"}

# Latin, Greek and Cyrillic, signs and shapes: a third of the family's size.
LETTERS = "U+0020-007E,U+00A0-024F,U+0370-03FF,U+0400-045F,U+2000-206F,U+2070-209F,U+20A0-20BF,U+2190-2193,U+2200-22FF,U+25A0-25FF"
UNPACK = """
import sys
from fontTools import subset
from fontTools.ttLib import TTFont
source, target, letters = sys.argv[1:]
subset.main([source, f"--unicodes={letters}", "--layout-features=kern,tnum,ccmp,mark,mkmk,locl,liga,calt", f"--output-file={target}"])
font = TTFont(target, recalcTimestamp=False)
font.flavor = None
font.save(target)
"""


def fetch(directory: Path) -> Path:
    """Install the pinned packages into a scratch directory; its node_modules."""
    (directory / "package.json").write_text('{"private": true}')
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
    _run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *wanted], directory)
    return directory / "node_modules"


def main() -> None:
    """Fetch, copy, and write down what is there."""
    if not shutil.which("npm"):
        sys.exit("make assets needs npm; install it with: apt-get install npm")
    with tempfile.TemporaryDirectory(prefix="cipo-assets-") as scratch:
        modules = fetch(Path(scratch))
        for target, (_, _, source) in FILES.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.suffix == ".ttf":
                _run([sys.executable, "-c", UNPACK, str(modules / source), str(target), LETTERS], Path(scratch))
            else:
                lines = (modules / source).read_text().splitlines()
                target.write_text("\n".join(line for line in lines if not line.startswith("//# sourceMappingURL")) + "\n")
        for target, source in LICENCES.items():
            shutil.copyfile(modules / source, target)
    (HERE / "assets.json").write_text(json.dumps(inventory(), indent=2) + "\n")


def inventory() -> dict[str, dict[str, str | int]]:
    """Version, licence, size and hash of each vendored file, as ``assets.json`` holds it."""
    listed: dict[str, dict[str, str | int]] = {}
    for target, (package, licence, _) in FILES.items():
        body = target.read_bytes()
        listed[target.name] = {
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
