"""`create_app` is an ASGI application, which can be mounted under a path of another one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from support.service import KEY, KEYS, PHONE, SECRET, TEMPLATE

from otpkit import AsyncOTP
from otpkit.service import create_app
from otpkit.testing import Outbox


@pytest.fixture
async def app() -> AsyncIterator[ASGIApp]:
    """Return a site that serves otpkit under `/phones`."""
    async with AsyncOTP("memory://", Outbox(), TEMPLATE, SECRET) as otp:
        yield Starlette(routes=[Mount("/phones", create_app(otp, KEYS))])


async def asked(app: ASGIApp, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], Any]:
    """Return the status, the headers and the JSON of a response."""
    sent: list[Any] = []
    headers = [(b"host", b"x"), (b"authorization", b"Bearer " + KEY.encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path}
    more = {"raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": headers}

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope | more | {"client": ("203.0.113.9", 1), "server": ("x", 80)}, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, json.loads(b"".join(each["body"] for each in sent[1:]))


async def test_mounted_service_sends_a_code(app: ASGIApp) -> None:
    status, headers, challenge = await asked(
        app, "POST", "/phones/v1/challenges", json.dumps({"phone": PHONE}).encode()
    )
    assert (status, headers["cache-control"]) == (201, "no-store")
    assert (challenge["phone"], challenge["delivery"]) == (PHONE, "accepted")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/phones/v2/challenges", 404, "not_found"),
        ("DELETE", "/phones/v1/challenges", 405, "method_not_allowed"),
    ],
)
async def test_mounted_service_has_its_own_problems(
    app: ASGIApp, method: str, path: str, status: int, code: str
) -> None:
    found, headers, problem = await asked(app, method, path)
    assert (found, headers["content-type"], problem["code"]) == (status, "application/problem+json", code)
