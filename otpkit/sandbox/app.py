"""The sandbox as a web application: the gateway, the inbox page, and a JSON interface for tests and tools."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

from otpkit.errors import ConfigurationError
from otpkit.sandbox._web import BaseRoute, JSONResponse, Match, Request, Response, Route, Scope, Starlette
from otpkit.sandbox.access import INERT, body_of, error, foreign
from otpkit.sandbox.answers import Answer
from otpkit.sandbox.assets import asset_routes
from otpkit.sandbox.calls import WireRequest, calls_of
from otpkit.sandbox.faults import fault_from_json
from otpkit.sandbox.inbox import Inbox
from otpkit.sandbox.interface import watch
from otpkit.sandbox.providers import alidayu, twilio
from otpkit.sandbox.providers.alidayu_answers import system_error
from otpkit.sandbox.providers.aliyun import dispatch as aliyun
from otpkit.sandbox.providers.tencent import sms as tencent
from otpkit.sandbox.state import Sandbox
from otpkit.sandbox.wire import WireEndpoint

Endpoint = Callable[[Request], Awaitable[Response]]

GATEWAY_PATH: Final = "/gw/alidayu"
TWILIO_PATH: Final = "/2010-04-01"
_ACTION_HEADERS: Final = frozenset({b"x-acs-action", b"x-tc-action"})
_NO_STORE: Final = {"cache-control": "no-store"}
_LIMIT: Final = re.compile(r"[0-9]{1,9}")


def create_app(
    sandbox: Sandbox, *, extra_routes: Sequence[BaseRoute] = (), allowed_hosts: Collection[str] = ()
) -> Starlette:
    """Build the web application.

    The inbox and `/api` answer to IP addresses, `localhost` and names without a dot only, so that no web site
    can point its own name at this server and read the codes (DNS rebinding); `allowed_hosts` adds names.
    The gateway answers to any name, as it asks for credentials.
    """
    interface = _Interface(sandbox, frozenset(allowed_hosts))
    return Starlette(routes=[*_gateway_routes(sandbox), *interface.routes(), *asset_routes(), *extra_routes])


def _gateway_routes(sandbox: Sandbox) -> list[BaseRoute]:
    known = calls_of("alidayu")
    calls = [Route(f"{GATEWAY_PATH}/{api}", WireEndpoint(partial(alidayu.answer, sandbox, api))) for api in known]
    unknown = system_error(404, "ApiNotFound", f"Known: {', '.join(known)}")
    return [
        *calls,
        Route(f"{GATEWAY_PATH}/{{rest:path}}", WireEndpoint(lambda _: unknown)),
        Route(f"{TWILIO_PATH}/{{rest:path}}", WireEndpoint(partial(twilio.answer, sandbox))),
        _CallsRoute("/", WireEndpoint(partial(_answer_call, sandbox))),
    ]


def _answer_call(sandbox: Sandbox, request: WireRequest) -> Answer:
    """Answer a call of Alibaba Cloud or Tencent Cloud: both have the path `/`."""
    return tencent.answer(sandbox, request) if tencent.speaks(request) else aliyun.answer(sandbox, request)


class _CallsRoute(Route):
    """Takes what names a call, in a header or a parameter, and leaves visits to the inbox, which has the same path."""

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


class _Interface:
    def __init__(self, sandbox: Sandbox, allowed_hosts: frozenset[str]) -> None:
        self._sandbox = sandbox
        self._allowed_hosts = allowed_hosts

    def routes(self) -> list[BaseRoute]:
        inbox = Inbox(self._sandbox)
        return [
            self._route("/", inbox.show),
            self._route("/clear", inbox.clear, "POST", form=True),
            self._route("/faults", inbox.add_fault, "POST", form=True),
            self._route("/faults/clear", inbox.clear_faults, "POST", form=True),
            self._route("/api/events", self.events),
            self._route("/api/messages", self.messages),
            self._route("/api/messages", self.clear_messages, "DELETE"),
            self._route("/api/faults", self.faults),
            self._route("/api/faults", self.add_fault, "POST"),
            self._route("/api/faults", self.clear_faults, "DELETE"),
            self._route("/api/stats", self.stats),
            self._route("/api/stats", self.clear_stats, "DELETE"),
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

    async def events(self, request: Request) -> Response:
        return watch(self._sandbox, request)

    async def messages(self, request: Request) -> Response:
        asked = request.query_params
        phone, limit = asked.get("phone"), asked.get("limit")
        if limit is not None and not _LIMIT.fullmatch(limit):
            raise ConfigurationError(f"'limit' is a whole number, not {limit!r:.40}")
        most = None if limit is None else int(limit)
        found = self._sandbox.messages(phone or None, most, q=asked.get("q", ""))
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


async def _json_body(request: Request) -> object:
    try:
        return json.loads(await body_of(request))
    except (ValueError, RecursionError):
        raise ConfigurationError("the body is not JSON") from None
