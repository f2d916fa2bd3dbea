"""The middleware around all routes: it counts requests, and answers those that no route answers.

Internal errors are logged without any part of the request.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otpkit.errors import OTPError
from otpkit.service.metrics import Metrics
from otpkit.service.responses import no_route_response, problem_response
from otpkit.web import plain_problem

_log = logging.getLogger("otpkit.service")
OTHER: Final = "other"
ROUTE: Final = "otpkit.route"
"""The key in a request's scope of the path of the route that answers it, with its parameters' names, or `OTHER`."""


class ServiceMiddleware:
    """ASGI middleware around the router. Requests are counted by their routes' paths.

    A path without parameters is looked up; the router, which tries one route after the other, has all the rest.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[Route], metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
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
        status, start = 0, time.perf_counter()

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                route = scope[ROUTE] = self._paths.get(scope.get("endpoint"), OTHER)
                self._metrics.on_answer(route, status, time.perf_counter() - start)
            await send(message)

        try:
            await app(scope, receive, counted)
        except ClientDisconnect:
            return  # The client does not wait for a response.
        except HTTPException as error:
            answer = no_route_response(error)
        except Exception as error:  # noqa: BLE001 - any internal error
            log_fault(error)
            answer = problem_response(_FAULT)
        else:
            return
        if not status:
            await answer(scope, receive, counted)


def log_fault(error: Exception) -> None:
    """Log an internal error by class and position. The text of a foreign exception may hold a code or a phone."""
    text = f": {error}" if isinstance(error, OTPError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    place = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    _log.error("A request failed with %s%s (%s)", type(error).__name__, text, place)


_FAULT = plain_problem(
    500,
    "error",
    "Internal error",
    "Something went wrong on our side. Please try again later.",
    {"Content-Language": "en"},
)
