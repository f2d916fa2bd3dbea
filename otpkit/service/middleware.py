"""The middleware around all routes: it counts and logs requests, and answers those that no route answers.

Internal errors are logged without any part of the request.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otpkit.errors import OTPError
from otpkit.service.metrics import Metrics
from otpkit.service.request_log import HEADER, REQUEST_ID, choose_id, log_request
from otpkit.service.responses import no_route_response, problem_response
from otpkit.web import plain_problem

_log = logging.getLogger("otpkit.service")
OTHER: Final = "other"
ROUTE: Final = "otpkit.route"
"""The key in a request's scope of the path of the route that answers it, with its parameters' names, or `OTHER`."""


class ServiceMiddleware:
    """ASGI middleware around the router. Requests are counted by their routes' paths, and have an id.

    A path without parameters is looked up; the router, which tries one route after the other, has all the rest.

    Args:
        app: the router.
        routes: its routes.
        metrics: where requests are counted.
        access_log: True to log each request.
        finish: awaited after the last request, when other settings have replaced these.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[Route],
        metrics: Metrics,
        *,
        access_log: bool = False,
        finish: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._logs = access_log
        self._finish = finish
        self._paths: Mapping[object, str] = {route.endpoint: route.path for route in routes}
        self._plain: Mapping[tuple[str, str], ASGIApp] = {
            (method, route.path): route.endpoint
            for route in routes
            for method in route.methods or ()
            if not route.param_convertors
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        app = None if scope.get("root_path") else self._plain.get((scope["method"], scope["path"]))
        if app is None:
            app = self._app
            scope["app"] = self  # Then the router raises if no route matches, instead of a plain-text response.
        else:
            scope["endpoint"] = app
        request_id = choose_id(scope["headers"])
        REQUEST_ID.set(request_id)
        header = (HEADER, request_id.encode())
        status, size, start = 0, 0, time.perf_counter()

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                route = scope[ROUTE] = self._paths.get(scope.get("endpoint"), OTHER)
                self._metrics.on_answer(route, status, time.perf_counter() - start)
                message = {**message, "headers": [*message.get("headers", ()), header]}
            elif scope["method"] != "HEAD":  # The server leaves its body out.
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._answer(app, scope, receive, counted)
        finally:
            if self._logs:
                log_request(scope, scope.get(ROUTE, OTHER), status, time.perf_counter() - start, size)

    async def finish(self) -> None:
        """Write what is still to be written, after the last request. Other settings have replaced these."""
        if self._finish is not None:
            await self._finish()

    async def _answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ClientDisconnect:
            return  # The client does not wait for a response.
        except HTTPException as error:
            answer = no_route_response(error)
        except Exception as error:  # noqa: BLE001 - any internal error
            log_fault(error)
            answer = problem_response(_FAULT)
        else:
            return
        if ROUTE not in scope:  # No response has begun.
            await answer(scope, receive, send)


def log_fault(error: Exception, what: str = "A request") -> None:
    """Log an internal error by class and position. The text of a foreign exception may hold a code or a phone.

    Args:
        error: the error.
        what: what has failed, as the beginning of a sentence.
    """
    text = f": {error}" if isinstance(error, OTPError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    place = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    _log.error("%s failed with %s%s (%s)", what, type(error).__name__, text, place)


_FAULT = plain_problem(
    500,
    "error",
    "Internal error",
    "Something went wrong on our side. Please try again later.",
    {"Content-Language": "en"},
)
