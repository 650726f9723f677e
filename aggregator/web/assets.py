"""Style, scripts and icon: read once, served from memory under a path with their hash, for ever.

What others wrote lies in ``static/vendor`` with a lock (npm's name, version, licence, SHA-256); nothing is
loaded from another host.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_EVER = "public, max-age=31536000, immutable"
PREFIX = "/static"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, plain and compressed."""

    plain: bytes
    small: bytes
    kind: str


class Assets:
    """All files that pages load."""

    def __init__(self) -> None:
        files = sorted(path for path in STATIC.rglob("*") if path.suffix in TYPES)
        self._files: Mapping[str, Asset] = {
            path.relative_to(STATIC).as_posix(): _read(path) for path in files
        }
        whole = hashlib.sha256()
        for name, asset in self._files.items():
            whole.update(name.encode() + asset.plain)
        self.version = whole.hexdigest()[:16]

    def path(self, name: str) -> str:
        """Return where a file is served.

        Raises:
            KeyError: If there is none of that name.
        """
        _ = self._files[name]
        return f"{PREFIX}/{self.version}/{name}"

    async def serve(self, request: web.Request) -> web.Response:
        """Answer with a file, compressed for those who take it."""
        asset = self._files.get(request.match_info["name"])
        if asset is None or request.match_info["version"] != self.version:
            raise web.HTTPNotFound
        headers = {
            "Content-Type": asset.kind,
            "Cache-Control": FOR_EVER,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=asset.small, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=asset.plain, headers=headers)


def _read(path: Path) -> Asset:
    plain = path.read_bytes()
    return Asset(plain, gzip.compress(plain, mtime=0), TYPES[path.suffix])
