"""The JSON calls of a purpose, as a blueprint."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from otpkit import OTP
from otpkit.frames import without_locals
from otpkit.web import MAX_BODY, drive
from otpkit.web.bodies import read_bounded_from
from otpkit.web.json_calls import Client, JsonCall, JsonCalls, JsonRequest, calls_of


def json_blueprint(
    blueprint: Blueprint, purpose: str, otp: OTP, client: Callable[[], Client], *, discreet: bool
) -> Blueprint:
    """Add the calls of `PhoneVerification.json_blueprint` to a blueprint, and return it.

    `client` returns what the application knows about the client of the current request.
    """

    @without_locals
    def answer(call: JsonCall[Any]) -> Response:
        asked = JsonRequest(
            content_type=request.headers.get("Content-Type", ""),
            read=_read,
            client=client,
            key=request.headers.get("Idempotency-Key"),
        )
        found = drive(JsonCalls(purpose, otp.policy, discreet).answer(call, asked), otp)
        return Response(found.body, found.status, dict(found.headers))

    for call in calls_of(discreet=discreet):
        blueprint.add_url_rule(call.path, call.name, partial(answer, call), methods=["POST"])
    return blueprint


def _read() -> bytes | None:
    """Return the body, or None if it is too long. The application may have read it before, for a check of its own."""
    if request.content_length is not None and request.content_length <= MAX_BODY:
        return request.get_data()
    return read_bounded_from(request.stream.read, MAX_BODY)
