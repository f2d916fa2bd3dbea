"""The sandbox as a web application: the gateways on the wire, the inbox page, and the JSON interface."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from otpkit.errors import ConfigurationError
from otpkit.sandbox.access import INERT, error, foreign, read_body
from otpkit.sandbox.calls import Headers, WireRequest, WireResponse, calls_of
from otpkit.sandbox.inbox import Inbox, asset_routes
from otpkit.sandbox.interface import Interface
from otpkit.sandbox.providers import alidayu, assessments, geetest, siteverify, twilio
from otpkit.sandbox.providers.alidayu import system_error
from otpkit.sandbox.providers.aliyun import dispatch as aliyun
from otpkit.sandbox.providers.tencent import sms as tencent
from otpkit.sandbox.state import Sandbox
from otpkit.sandbox.widget import widget_routes

Endpoint = Callable[[Request], Awaitable[Response]]

GATEWAY_PATH: Final = "/gw/alidayu"
TWILIO_PATH: Final = "/2010-04-01"
_ACTION_HEADERS: Final = frozenset({b"x-acs-action", b"x-tc-action"})
_CAPTCHAS: Final[Mapping[str, Callable[[Sandbox, WireRequest], WireResponse]]] = {
    "/turnstile/v0/siteverify": siteverify.turnstile,
    "/siteverify": siteverify.hcaptcha,
    "/recaptcha/api/siteverify": siteverify.recaptcha,
    "/v1/projects/{project}/assessments": assessments.answer,
    "/validate": geetest.answer,
}
TRANSPORT: Final = "otpkit.sandbox.transport"  # the key of the transport in the request's state, set by `server`
# The values of Sec-Fetch-Site for requests that no other site caused (Fetch Metadata).
_OWN_SITES: Final = frozenset({b"none", b"same-origin"})


def create_app(
    sandbox: Sandbox, *, extra_routes: Sequence[BaseRoute] = (), allowed_hosts: Collection[str] = ()
) -> Starlette:
    """Return the web application.

    Args:
        sandbox: the state to serve.
        extra_routes: routes to add after the sandbox's own.
        allowed_hosts: names to accept for the inbox and `/api`, besides IP addresses, `localhost` and names without a
            dot. The limit stops a web site from pointing its own name at this server to read codes (DNS rebinding).
            The gateways accept any name, because they check credentials.
    """
    pages = _Pages(sandbox, frozenset(allowed_hosts))
    return Starlette(
        routes=[*_gateway_routes(sandbox), *pages.routes(), *asset_routes(), *widget_routes(), *extra_routes]
    )


def _gateway_routes(sandbox: Sandbox) -> list[BaseRoute]:
    known = calls_of("alidayu")
    calls = [Route(f"{GATEWAY_PATH}/{api}", WireEndpoint(partial(alidayu.answer, sandbox, api))) for api in known]
    unknown = system_error(404, "ApiNotFound", f"Known: {', '.join(known)}")
    return [
        *calls,
        Route(f"{GATEWAY_PATH}/{{rest:path}}", WireEndpoint(lambda _: unknown)),
        Route(f"{TWILIO_PATH}/{{rest:path}}", WireEndpoint(partial(twilio.answer, sandbox))),
        *(Route(path, WireEndpoint(partial(answer, sandbox))) for path, answer in _CAPTCHAS.items()),
        _CallsRoute("/", WireEndpoint(partial(_answer_call, sandbox))),
    ]


def _answer_call(sandbox: Sandbox, request: WireRequest) -> WireResponse:
    """Answer a call of Alibaba Cloud or Tencent Cloud. Both use the path `/`."""
    return tencent.answer(sandbox, request) if tencent.speaks(request) else aliyun.answer(sandbox, request)


class _CallsRoute(Route):
    """The route of requests that name a call in a header or a parameter. Other requests to `/` go to the inbox."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not _names_call(scope):
            return Match.NONE, {}
        return super().matches(scope)


def _names_call(scope: Scope) -> bool:
    if b"Action=" in scope["query_string"]:
        return True
    return any(
        name in _ACTION_HEADERS or (name == b"content-type" and _is_form(value)) for name, value in scope["headers"]
    )


def _is_form(content_type: bytes) -> bool:
    return content_type.lower().startswith(b"application/x-www-form-urlencoded")


class _Pages:
    """The routes of the inbox and the JSON interface. Each refuses requests from other sites."""

    def __init__(self, sandbox: Sandbox, allowed_hosts: frozenset[str]) -> None:
        self._sandbox = sandbox
        self._allowed_hosts = allowed_hosts

    def routes(self) -> list[BaseRoute]:
        inbox, interface = Inbox(self._sandbox), Interface(self._sandbox)
        return [
            self._route("/", inbox.show),
            self._route("/clear", inbox.clear, "POST", form=True),
            self._route("/faults", inbox.add_fault, "POST", form=True),
            self._route("/faults/clear", inbox.clear_faults, "POST", form=True),
            self._route("/api/events", interface.events),
            self._route("/api/messages", interface.messages),
            self._route("/api/messages", interface.clear_messages, "DELETE"),
            self._route("/api/faults", interface.faults),
            self._route("/api/faults", interface.add_fault, "POST"),
            self._route("/api/faults", interface.clear_faults, "DELETE"),
            self._route("/api/captchas", interface.solve_captcha, "POST"),
            self._route("/api/stats", interface.stats),
            self._route("/api/stats", interface.clear_stats, "DELETE"),
        ]

    def _route(self, path: str, endpoint: Endpoint, method: str = "GET", *, form: bool = False) -> Route:
        async def guarded(request: Request) -> Response:
            response = await self._answer(request, endpoint, form=form)
            for header, value in INERT.items():
                response.headers.setdefault(header, value)
            return response

        return Route(path, guarded, methods=[method])

    async def _answer(self, request: Request, endpoint: Endpoint, *, form: bool) -> Response:
        problem = foreign(request, self._allowed_hosts, form=form)
        if problem:
            return error(problem, 403)
        try:
            return await endpoint(request)
        except ConfigurationError as exc:
            return error(str(exc), 422)


class WireEndpoint:
    """A bare ASGI application for provider calls. It builds no request object and uses no thread, for speed."""

    def __init__(self, answer: Callable[[WireRequest], WireResponse]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Refuse requests from other sites' pages: they could sign with the default secret."""
        headers = dict(scope["headers"])
        body = await read_body(receive) if scope["method"] == "POST" else b""
        if body is None:
            answer = WireResponse(413, b"")
        elif headers.get(b"sec-fetch-site", b"none") not in _OWN_SITES:
            answer = WireResponse(403, b"")
        else:
            path = scope.get("raw_path") or scope["path"].encode()
            answer = self._answer(WireRequest(scope["method"], path, scope["query_string"], headers, body))
        await hand_over(answer, scope, receive, send)


async def hand_over(answer: WireResponse, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response the way it requires: late, whole, cut in half or not at all."""
    if answer.delay and await _gone_within(answer.delay, receive):
        return
    if answer.ending == "drop":
        _transport(scope).abort()
        await _gone(receive)
        return
    length = (b"content-length", str(len(answer.body)).encode())
    await _start(answer.status, (*answer.headers, length), send)
    if answer.ending == "whole":
        await send({"type": "http.response.body", "body": answer.body})
        return
    half = answer.body[: len(answer.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    _transport(scope).close()
    await _gone(receive)


async def _start(status: int, headers: Headers, send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


def _transport(scope: Scope) -> asyncio.Transport:
    transport = scope.get("state", {}).get(TRANSPORT)
    if transport is None:
        raise ConfigurationError(
            "This server can't close a connection on demand.", "Use otpkit.sandbox.serve or running."
        )
    return transport  # type: ignore[no-any-return]


async def _gone(receive: Receive) -> None:
    """Wait until the client has disconnected. On an earlier return, the server would log an incomplete response."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _gone_within(seconds: float, receive: Receive) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _gone(receive)
            return True
    return False
