"""The one place that imports the web libraries, so that a missing one is named once and well."""

from __future__ import annotations

from otpkit.errors import ConfigurationError

try:
    import uvicorn
    from fastapi import FastAPI
    from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
    from prometheus_client import CollectorRegistry, Counter, Histogram, Metric, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST
    from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
    from pydantic.json_schema import models_json_schema
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        f"The service needs {missing.name!r}, which is not installed. Run: pip install 'otpkit[service]'"
    ) from missing

__all__ = [
    "CONTENT_TYPE_LATEST",
    "ASGIApp",
    "AfterValidator",
    "BaseModel",
    "ClientDisconnect",
    "CollectorRegistry",
    "ConfigDict",
    "Counter",
    "FastAPI",
    "Field",
    "HTTPException",
    "Histogram",
    "HttpParserError",
    "HttpParserUpgrade",
    "HttpRequestParser",
    "HttpToolsProtocol",
    "Message",
    "Metric",
    "Receive",
    "Request",
    "Response",
    "Route",
    "Scope",
    "Send",
    "ValidationError",
    "generate_latest",
    "models_json_schema",
    "uvicorn",
]
