"""The console's own files: hashed once at start, served with an address that changes with the content, so browsers keep them for ever."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib import resources as packages
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from cipo.kernel.errors import NotFound

ROOT = Path(__file__).parent / "static"
IMMUTABLE = "public, max-age=31536000, immutable"
FRESH = "no-cache"
GZIP_FROM = 1024
UNIT_FILES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".mp3": "audio/mpeg",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    body: bytes
    packed: bytes | None
    media: str
    digest: str


class Assets:
    """All files under ``static``, read once."""

    def __init__(self, root: Path = ROOT) -> None:
        self._files = {
            str(path.relative_to(root)): _asset(path.read_bytes(), path.name) for path in sorted(root.rglob("*")) if path.is_file()
        }

    def url(self, name: str) -> str:
        """The address of a file; KeyError for a file that is not there, so a typo fails the page's test."""
        return f"/static/{name}?v={self._files[name].digest}"

    def serve(self, request: Request) -> Response:
        """``GET /static/<path>``."""
        asset = self._files.get(request.path_params["path"])
        if asset is None:
            raise NotFound(f"there is no file {request.path_params['path'][:200]!r}")
        return respond(request, asset, immutable=request.query_params.get("v") == asset.digest)


def unit_file(request: Request, packages_known: frozenset[str]) -> Response:
    """``GET /assets/unit/<package>/<squad>/<file>``: a script or picture that stands beside a unit's page."""
    package, squad, name = (request.path_params[key] for key in ("package", "squad", "file"))
    suffix = Path(name).suffix
    if package not in packages_known or not squad.isidentifier() or "/" in name or name.startswith(".") or suffix not in UNIT_FILES:
        raise NotFound(f"there is no file {name[:200]!r}")
    try:
        body = (packages.files(f"cipo.{package}.{squad}") / "pages" / name).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError, IsADirectoryError) as error:
        raise NotFound(f"there is no file {name[:200]!r}") from error
    return respond(request, _asset(body, name), immutable=False)


def respond(request: Request, asset: Asset, *, immutable: bool) -> Response:
    """The file, 304 when the browser has it, packed when the browser can unpack."""
    headers = {"ETag": f'"{asset.digest}"', "Cache-Control": IMMUTABLE if immutable else FRESH, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    body = asset.body
    if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = asset.packed
    return Response(body, media_type=asset.media, headers=headers)


def _asset(body: bytes, name: str) -> Asset:
    media = UNIT_FILES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    text = media.startswith("text/") or media in ("image/svg+xml", "application/json")
    packed = gzip.compress(body, 6, mtime=0) if text and len(body) >= GZIP_FROM else None
    return Asset(body, packed, media, hashlib.sha256(body).hexdigest()[:12])
