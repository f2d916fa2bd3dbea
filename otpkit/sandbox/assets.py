"""The page's style and script. Each has its contents' digest in its URL, so that a browser may keep it for good."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from otpkit.sandbox._web import BaseRoute, Request, Response, Route
from otpkit.sandbox.access import INERT

PATH: Final = "/static"

_TYPES: Final = {"inbox.css": "text/css", "inbox.js": "text/javascript"}
_FILES: Final = {name: (Path(__file__).parent / "static" / name).read_bytes() for name in _TYPES}


def asset_url(name: str) -> str:
    """Return where a file is found, as long as it is what it is now."""
    return f"{PATH}/{name}?{sha256(_FILES[name]).hexdigest()[:16]}"


def asset_routes() -> list[BaseRoute]:
    """Return the routes of all files."""
    return [Route(f"{PATH}/{name}", _serve) for name in _FILES]


async def _serve(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    headers = INERT | {"cache-control": "max-age=31536000, immutable"}
    return Response(_FILES[name], media_type=_TYPES[name], headers=headers)
