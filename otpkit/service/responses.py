"""Build responses: JSON for values, problem documents for errors. None may be cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.responses import Response

from otpkit.errors import CodeError, Language, MalformedCodeError, OTPError, TokenError
from otpkit.service.request_log import REQUEST_ID, TRACE_ID
from otpkit.web import MEDIA_TYPE, Problem, plain_problem, problem
from otpkit.web.schemas import ResponseModel

CONFLICT: Final = 409
_NO_ROUTE: Final = {404: ("not_found", "Not found"), 405: ("method_not_allowed", "Method not allowed")}
_adapter: Final[Callable[[type[ResponseModel]], TypeAdapter[Any]]] = cache(TypeAdapter)


class Refused(Exception):
    """Raised to answer a request with a problem document, before the `AsyncOTP` is called."""

    def __init__(self, refusal: Problem) -> None:
        super().__init__(refusal.body["code"])
        self.problem = refusal


def refused(
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    evidence: Mapping[str, object] | None = None,
) -> Refused:
    """Return the exception for a request that can't be served.

    Args:
        status: the HTTP status.
        code: the problem's stable word.
        title: the problem's title.
        detail: an explanation for the caller's developer.
        headers: more headers.
        evidence: more members of the problem document.
    """
    return Refused(plain_problem(status, code, title, detail, {"Content-Language": "en", **(headers or {})}, evidence))


def problem_response(found: Problem) -> Response:
    """Return the response of a problem document."""
    ids = {"request_id": REQUEST_ID.get(), "trace_id": TRACE_ID.get()}
    found = replace(found, body={**found.body, **{name: each for name, each in ids.items() if each}})
    return Response(found.json(), found.status, dict(found.headers), MEDIA_TYPE)


def no_route_response(error: HTTPException) -> Response:
    """Return the response to a request without a route: 404, or 405 with `Allow`."""
    code, title = _NO_ROUTE.get(error.status_code, ("refused", "The request was refused"))
    headers = {"Content-Language": "en", **(error.headers or {})}
    detail = "See /openapi.json for all paths."
    return problem_response(plain_problem(error.status_code, code, title, detail, headers))


def error_response(error: OTPError, language: Language) -> Response:
    """Return the response to an error. The service's callers are servers with a key, so it names what the guard found.

    A code or a token that is not valid is 409, not 422 or 401. The request is well-formed and its API key is valid,
    but it conflicts with the state in the store (RFC 9110 §15.5.10). So 401 is only about API keys, and 422 means that
    the same request can never succeed.
    """
    found = problem(error, language, for_server=True)
    if isinstance(error, (CodeError, TokenError)) and not isinstance(error, MalformedCodeError):
        found = replace(found, status=CONFLICT, body={**found.body, "status": CONFLICT})
    return problem_response(found)


def json_response(model: type[ResponseModel], value: object, status: int = 200) -> Response:
    """Return a JSON response with the fields of `model`, read from the attributes of `value`."""
    adapter = _adapter(model)
    body = adapter.dump_json(adapter.validate_python(value))
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
