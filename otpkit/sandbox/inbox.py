"""The inbox page with its style, script and forms. The forms work without script: POST, then redirect to the page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qsl

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from otpkit.errors import ConfigurationError, Language
from otpkit.languages import DEFAULT, languages, tag, texts
from otpkit.sandbox.access import INERT, body_of
from otpkit.sandbox.calls import APIS, PROVIDERS
from otpkit.sandbox.faults import MAX_TIMES, SENT_BY_DEFAULT, Fault, magic_table
from otpkit.sandbox.messages import Message, Status, shanghai
from otpkit.sandbox.state import Sandbox
from otpkit.web.visitors import preferred_language

PATH: Final = "/static"

_TYPES: Final = {
    "inbox.css": "text/css",
    "inbox.js": "text/javascript",
    "turnstile.css": "text/css",
    "turnstile.js": "text/javascript",
    "turnstile-frame.js": "text/javascript",
}
_FILES: Final = {name: (Path(__file__).parent / "static" / name).read_bytes() for name in _TYPES}


def asset_url(name: str) -> str:
    """Return the URL of a static file. It contains a digest of the contents, so browsers may cache the file forever."""
    return f"{PATH}/{name}?{sha256(_FILES[name]).hexdigest()[:16]}"


def static_file(name: str) -> bytes:
    """Return the contents of a static file."""
    return _FILES[name]


def asset_routes() -> list[BaseRoute]:
    """Return the routes of all files."""
    return [Route(f"{PATH}/{name}", _serve) for name in _FILES]


async def _serve(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    headers = INERT | {"cache-control": "max-age=31536000, immutable"}
    return Response(_FILES[name], media_type=_TYPES[name], headers=headers)


INBOX_SIZE: Final = 100  # messages shown
LONGEST_TEXT: Final = 200  # characters of a text shown before its details are opened
LONGEST_NAME: Final = 40  # characters of a signature that are shown and read aloud
LONGEST_CODE: Final = 12  # A longer value is not a code to type, so it is not shown as one.

_CHINESE: Final = re.compile("[\u4e00-\u9fff]")
_TIMES: Final = re.compile(r"[0-9]{1,9}")
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "vary": "accept-language",
}

templates: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Inbox:
    """The inbox page of one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def show(self, request: Request) -> Response:
        """Show all messages, or those that `phone` and `q` select."""
        return self._page(request)

    async def clear(self, request: Request) -> Response:
        """Forget all messages."""
        self._sandbox.clear_messages()
        return _back(request)

    async def add_fault(self, request: Request) -> Response:
        """Queue the fault that the form describes."""
        form = await _form(request)
        try:
            self._sandbox.add_fault(_fault(form))
        except ConfigurationError as exc:
            return self._page(request, form, str(exc))
        return _back(request)

    async def clear_faults(self, request: Request) -> Response:
        """Forget the queued faults."""
        self._sandbox.clear_faults()
        return _back(request)

    def _page(self, request: Request, typed: Mapping[str, str] | None = None, fault_problem: str = "") -> Response:
        phone, q = (request.query_params.get(name, "").strip() for name in ("phone", "q"))
        problem, messages, language = "", list[Message](), _language(request)
        t = texts(language)["inbox"]
        try:
            messages = self._sandbox.messages(phone or None, q=q)
        except ConfigurationError:
            problem = t["not_a_phone"]
        html = templates.get_template("inbox.html").render(
            **_CONSTANTS,
            **_constants(language),
            lang=request.query_params.get("lang", ""),
            messages=messages[:INBOX_SIZE],
            total=len(messages),
            phone=phone,
            q=q,
            query=f"?{request.url.query}" if request.url.query else "",
            problem=problem,
            faults=self._sandbox.faults(),
            # The error itself is English.
            fault_problem=fault_problem and (fault_problem if language == DEFAULT else t["wrong_fault"]),
            typed=typed or {},
            now=self._sandbox.now(),
        )
        return HTMLResponse(html, 422 if problem or fault_problem else 200, _HEADERS)


def _language(request: Request) -> Language:
    """Return the language from `?lang=`, else the browser's."""
    chosen = request.query_params.get("lang", "")
    return chosen if chosen in languages() else preferred_language(request.headers.get("accept-language", ""))


def _back(request: Request) -> Response:
    """Redirect to the page with the form. Reloading that page does not send the form again."""
    query = request.url.query
    return Response(status_code=303, headers={"location": f"/?{query}" if query else "/"})


async def _form(request: Request) -> Mapping[str, str]:
    try:
        pairs = parse_qsl((await body_of(request)).decode("ascii", "replace"), max_num_fields=20)
    except ValueError:
        raise ConfigurationError("The form has too many fields.", "Send fewer.") from None
    return {name: value.strip() for name, value in pairs if value.strip()}


def _fault(form: Mapping[str, str]) -> Fault:
    """Build the fault of a form. An empty field counts as absent. `Fault` checks the values."""
    fields: dict[str, Any] = {name: form.get(name) for name in ("fault", "api", "phone")}
    times: Any = form.get("times", "1")
    return Fault(times=int(times) if _TIMES.fullmatch(times) else times, **fields)


@lru_cache(maxsize=10 * INBOX_SIZE)
def _bubble(message: Message, status: Status, language: Language) -> str:
    """Return the HTML of a message. It is cached: every open page requests it, and must not slow the gateway down."""
    return cast("str", _message_template().bubble(message, status, texts(language)["inbox"]))


@cache
def _message_template() -> Any:
    return templates.get_template("message.html").make_module(dict(_CONSTANTS))


_CONSTANTS: Final[Mapping[str, Any]] = {
    "apis": APIS,
    "asset_url": asset_url,
    "bubble": _bubble,
    "longest_code": LONGEST_CODE,
    "longest_name": LONGEST_NAME,
    "longest_text": LONGEST_TEXT,
    "max_times": MAX_TIMES,
    "providers": PROVIDERS,
    "shanghai": shanghai,
    "tag_of": lambda text: tag("zh") if _CHINESE.search(text) else "",
}


@cache
def _constants(language: Language) -> Mapping[str, Any]:
    return {
        "choices": {name: Fault(name).described(language) for name in SENT_BY_DEFAULT},
        "language": language,
        "magic_numbers": tuple(magic_table(language)),
        "t": texts(language)["inbox"],
        "tag": tag(language),
    }
