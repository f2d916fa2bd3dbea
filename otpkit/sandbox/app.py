"""The sandbox as a web application: the gateway, the inbox page, and a JSON interface for tests and tools."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from otpkit.errors import ConfigurationError
from otpkit.sandbox import alibaba, alidayu
from otpkit.sandbox._web import (
    BaseRoute,
    HTMLResponse,
    JSONResponse,
    Match,
    Request,
    Response,
    Route,
    Scope,
    Starlette,
    jinja2,
)
from otpkit.sandbox.alidayu_answers import system_error
from otpkit.sandbox.calls import calls_of
from otpkit.sandbox.faults import fault_from_json
from otpkit.sandbox.magic import magic_table
from otpkit.sandbox.messages import Message, shanghai
from otpkit.sandbox.state import Sandbox
from otpkit.sandbox.wire import MAX_BODY, WireEndpoint

Endpoint = Callable[[Request], Awaitable[Response]]

GATEWAY_PATH: Final = "/gw/alidayu"
INBOX_SIZE: Final = 100  # messages shown
_NO_STORE: Final = {"cache-control": "no-store"}

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def create_app(
    sandbox: Sandbox, *, extra_routes: Sequence[BaseRoute] = (), allowed_hosts: Collection[str] = ()
) -> Starlette:
    """Build the web application.

    The inbox and `/api` answer to IP addresses, `localhost` and names without a dot only, so that no web site
    can point its own name at this server and read the codes (DNS rebinding); `allowed_hosts` adds names.
    The gateway answers to any name, as it asks for credentials.
    """
    interface = _Interface(sandbox, frozenset(allowed_hosts))
    return Starlette(routes=[*_gateway_routes(sandbox), *interface.routes(), *extra_routes])


def _gateway_routes(sandbox: Sandbox) -> list[BaseRoute]:
    known = calls_of("alidayu")
    calls = [Route(f"{GATEWAY_PATH}/{api}", WireEndpoint(partial(alidayu.answer, sandbox, api))) for api in known]
    unknown = system_error(404, "ApiNotFound", f"Known: {', '.join(known)}")
    return [
        *calls,
        Route(f"{GATEWAY_PATH}/{{rest:path}}", WireEndpoint(lambda _: unknown)),
        _AlibabaRoute("/", WireEndpoint(partial(alibaba.answer, sandbox))),
    ]


class _AlibabaRoute(Route):
    """Takes what names a call in a header, and leaves the rest to the inbox, which has the same path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or all(name != alibaba.ACTION for name, _ in scope["headers"]):
            return Match.NONE, {}
        return super().matches(scope)


class _Interface:
    def __init__(self, sandbox: Sandbox, allowed_hosts: frozenset[str]) -> None:
        self._sandbox = sandbox
        self._allowed_hosts = allowed_hosts

    def routes(self) -> list[BaseRoute]:
        return [
            self._route("/", self.inbox),
            self._route("/api/messages", self.messages),
            self._route("/api/messages", self.clear_messages, "DELETE"),
            self._route("/api/faults", self.faults),
            self._route("/api/faults", self.add_fault, "POST"),
            self._route("/api/faults", self.clear_faults, "DELETE"),
            self._route("/api/stats", self.stats),
            self._route("/api/stats", self.clear_stats, "DELETE"),
        ]

    def _route(self, path: str, endpoint: Endpoint, method: str = "GET") -> Route:
        async def guarded(request: Request) -> Response:
            problem = _foreign(request, self._allowed_hosts)
            if problem:
                return _error(problem, 403)
            try:
                return await endpoint(request)
            except ConfigurationError as exc:
                return _error(str(exc), 422)

        return Route(path, guarded, methods=[method])

    async def inbox(self, request: Request) -> Response:
        phone = request.query_params.get("phone", "").strip()
        problem = ""
        messages: list[Message] = []
        try:
            messages = self._sandbox.messages(phone or None)
        except ConfigurationError:
            problem = "This is not a phone number: 11 digits, or +86 and 11 digits."
        return _page(messages, phone, problem, self._sandbox.now())

    async def messages(self, request: Request) -> Response:
        phone, limit = request.query_params.get("phone"), request.query_params.get("limit")
        if limit is not None and not (limit.isascii() and limit.isdigit()):
            raise ConfigurationError(f"'limit' is a whole number, not {limit!r:.40}")
        found = self._sandbox.messages(phone or None, None if limit is None else int(limit))
        now = self._sandbox.now()
        return JSONResponse([message.as_json(now) for message in found], headers=_NO_STORE)

    async def clear_messages(self, _: Request) -> Response:
        return JSONResponse({"deleted": self._sandbox.clear_messages()})

    async def faults(self, _: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in self._sandbox.faults()], headers=_NO_STORE)

    async def add_fault(self, request: Request) -> Response:
        fault = fault_from_json(await _json_body(request))
        self._sandbox.add_fault(fault)
        return JSONResponse(asdict(fault), 201)

    async def clear_faults(self, _: Request) -> Response:
        return JSONResponse({"deleted": self._sandbox.clear_faults()})

    async def stats(self, _: Request) -> Response:
        return JSONResponse(self._sandbox.stats(), headers=_NO_STORE)

    async def clear_stats(self, _: Request) -> Response:
        self._sandbox.clear_stats()
        return JSONResponse({})


def _page(messages: list[Message], phone: str, problem: str, now: float) -> Response:
    nonce = secrets.token_urlsafe(16)
    html = _templates.get_template("inbox.html").render(
        messages=messages[:INBOX_SIZE],
        total=len(messages),
        phone=phone,
        problem=problem,
        now=now,
        nonce=nonce,
        shanghai=shanghai,
        magic_numbers=magic_table(),
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    )
    headers = {"content-security-policy": policy, "referrer-policy": "same-origin", **_NO_STORE}
    return HTMLResponse(html, headers=headers, status_code=422 if problem else 200)


def _foreign(request: Request, allowed_hosts: frozenset[str]) -> str:
    """Say why a request must come from another site's page, or nothing where it does not."""
    host = request.headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if name not in allowed_hosts and not _is_local_name(name):
        return f"{name!r:.80} is not a name of this server; allow it with allowed_hosts"
    origin = request.headers.get("origin")
    if request.method in {"POST", "DELETE"} and origin not in {None, f"http://{host}", f"https://{host}"}:
        return "a page of another site may not do this"
    return ""


def _is_local_name(name: str) -> bool:
    """Say whether no web site can bear this name: only names with a dot are for sale."""
    if name and "." not in name and ":" not in name:
        return True
    if name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _json_body(request: Request) -> object:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ConfigurationError(f"the body is longer than {MAX_BODY} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ConfigurationError("the body is not JSON") from None


def _error(problem: str, status: int) -> Response:
    return JSONResponse({"error": problem}, status)
