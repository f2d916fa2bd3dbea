"""Render the pages of the console: the templates, the static files, and the headers of all responses."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.responses import HTMLResponse, Response

from otpkit.core.audit import MAX_TEXT
from otpkit.languages import languages, tag, texts
from otpkit.service.console.sessions import Session
from otpkit.service.console.words import Words, day_of, hour_of, minute_of
from otpkit.web.pages import safe_format

PAGES: Final = (
    ("overview", ""),
    ("number", "/number"),
    ("guard", "/guard"),
    ("gateways", "/gateways"),
    ("audit", "/audit"),
)
"""The pages that the navigation shows, with their paths below the console's."""
DURATIONS: Final = (3600, 43_200, 86_400, 604_800, 2_592_000)
"""The seconds that an override or an open circuit may be chosen to last."""

_HERE: Final = Path(__file__).parent
_TYPES: Final = {"console.css": "text/css", "console.js": "text/javascript"}
_FILES: Final = {name: (_HERE / "static" / name).read_bytes() for name in _TYPES}
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "vary": "accept-language, cookie",
}


def render(
    template: str, words: Words, *, base: str, page: str, status: int = 200, session: Session | None, **values: Any
) -> HTMLResponse:
    """Return a page.

    Args:
        template: the name of the template, without its ending.
        words: the texts and formats of the visitor's language.
        base: the path of the console.
        page: the name of the page in the navigation, or "".
        status: the HTTP status.
        session: the session of the operator, or None.
        values: what the template needs.
    """
    html = (
        _environment()
        .get_template(f"{template}.html")
        .render(
            **{"notice": "", "problem": "", "here": "?"} | values,
            words=words,
            t=words.t,
            base=base,
            page=page,
            pages=PAGES,
            session=session,
            asset=lambda name: asset_url(base, name),
            others=[(each, tag(each), texts(each)["name"]) for each in languages() if each != words.language],
        )
    )
    return HTMLResponse(html, status, HEADERS | {"content-language": words.tag})


def asset_url(base: str, name: str) -> str:
    """Return the URL of a static file. It contains a digest of the contents, so browsers may cache the file forever."""
    return f"{base}/static/{name}?{sha256(_FILES[name]).hexdigest()[:16]}"


def asset(name: str) -> Response | None:
    """Return the response with a static file, or None if there is no such file."""
    if name not in _FILES:
        return None
    headers = {"x-content-type-options": "nosniff", "cache-control": "public, max-age=31536000, immutable"}
    return Response(_FILES[name], media_type=_TYPES[name], headers=headers)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    helpers: Mapping[str, Any] = {
        "sentence": safe_format,
        "minute": minute_of,
        "hour": hour_of,
        "day": day_of,
        "durations": DURATIONS,
        "max_reason": MAX_TEXT,
    }
    environment.globals.update(helpers)
    return environment
