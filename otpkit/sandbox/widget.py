"""The page's half of Turnstile: a script, and the frame with its checkbox. Nothing is loaded from Cloudflare.

Source: https://developers.cloudflare.com/turnstile/get-started/client-side-rendering/ (explicit rendering, callbacks).
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from otpkit.languages import tag, texts
from otpkit.sandbox.inbox import asset_url, static_file, templates
from otpkit.web.visitors import preferred_language

SCRIPT_PATH: Final = "/turnstile/v0/api.js"
_FRAME_PATH: Final = "/turnstile/frame"
# Any site may show the frame, as it may show Cloudflare's. Its answers are right in this sandbox alone.
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def widget_routes() -> list[BaseRoute]:
    """Return the routes of the script and of the frame."""
    return [Route(SCRIPT_PATH, _script), Route(_FRAME_PATH, _frame)]


async def _script(_: Request) -> Response:
    return Response(static_file("turnstile.js"), media_type="text/javascript", headers={"cache-control": "no-store"})


async def _frame(request: Request) -> Response:
    language = preferred_language(request.query_params.get("language", ""))
    html = templates.get_template("turnstile.html").render(
        tag=tag(language),
        label=texts(language)["inbox"]["person"],
        style=asset_url("turnstile.css"),
        script=asset_url("turnstile-frame.js"),
    )
    return HTMLResponse(html, headers=_HEADERS)
