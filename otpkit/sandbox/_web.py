"""The one place that imports the web libraries, so that a missing one is named once and well."""

from __future__ import annotations

from otpkit.errors import ConfigurationError

try:
    import h11
    import jinja2
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
    from starlette.routing import BaseRoute, Match, Route
    from starlette.types import Receive, Scope, Send
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError as exc:
    raise ConfigurationError(
        f"The sandbox's server needs {exc.name!r}, which is not installed. Run: pip install 'otpkit[sandbox]'"
    ) from exc

__all__ = [
    "BaseRoute",
    "H11Protocol",
    "HTMLResponse",
    "JSONResponse",
    "Match",
    "Receive",
    "Request",
    "Response",
    "Route",
    "Scope",
    "Send",
    "Starlette",
    "StreamingResponse",
    "h11",
    "jinja2",
    "uvicorn",
]
