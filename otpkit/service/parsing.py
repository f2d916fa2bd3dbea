"""Parse the body and the idempotency key of requests. No error repeats what the client sent."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from otpkit.service.responses import Refused, refused
from otpkit.web import MAX_BODY
from otpkit.web.bodies import read_bounded

_DRAINED: Final = 1_048_576  # bytes read from a body that is too long
_MAX_KEY: Final = 255  # characters
_MAX_ERRORS: Final = 10
_JSON: Final = re.compile(r'application/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]+")
_NAME: Final = re.compile(r"[A-Za-z_]{1,32}")  # Only such names are repeated in errors: codes and phones have digits.

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """Return the body.

    Args:
        request: the request.
        limit: the maximum length in bytes. A longer body is not kept, and read only up to 1 MiB.

    Raises:
        Refused: it is too long.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:12]) > _DRAINED:
        raise _too_long(limit)
    body = await read_bounded(request.stream(), limit, drain=_DRAINED)
    if body is None:
        raise _too_long(limit)
    return body


def require_json(request: Request) -> None:
    """Check that the body is said to be JSON.

    Raises:
        Refused: it is not.
    """
    if not _JSON.fullmatch(request.headers.get("content-type", "")):
        raise refused(
            415,
            "unsupported_media_type",
            "Not JSON",
            "Send the body as application/json in UTF-8.",
            {"Accept": "application/json"},
        )


async def read_json(request: Request, model: type[M]) -> M:
    """Return the body as a model.

    Raises:
        Refused: it is not JSON, too long, or does not fit the model.
    """
    require_json(request)
    body = await read_body(request)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        refusal = _unreadable(error)
    # Raise outside the except block, because pydantic's error holds the client's input.
    raise refusal


def idempotency_key(request: Request) -> str | None:
    """Return the header `Idempotency-Key`, or None.

    Raises:
        Refused: it is not a valid key, or it occurs twice.
    """
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) == 1 and len(given[0]) <= _MAX_KEY and _IDEMPOTENCY_KEY.fullmatch(given[0]):
        return given[0]
    raise invalid("Idempotency-Key", f"Idempotency-Key must be 1 to {_MAX_KEY} visible ASCII characters, sent once.")


def invalid(pointer: str, detail: str, kind: str = "value_error") -> Refused:
    """Return the exception for one invalid field. `pointer` is a JSON pointer into the body, or a header's name."""
    return _invalid(detail, [{"pointer": pointer, "kind": kind}])


def _invalid(detail: str, errors: list[dict[str, str]]) -> Refused:
    return refused(422, "invalid_request", "The request is not valid", detail, evidence={"errors": errors})


def _unreadable(error: ValidationError) -> Refused:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(each["type"] == "json_invalid" for each in found):
        return refused(400, "invalid_json", "Not JSON", "The body is not a JSON document in UTF-8.")
    errors = [{"pointer": _pointer(each["loc"]), "kind": str(each["type"])} for each in found[:_MAX_ERRORS]]
    return _invalid("Some fields are missing, unknown or not valid; see `errors`.", errors)


def _pointer(location: tuple[object, ...]) -> str:
    parts = (part if isinstance(part, str) and _NAME.fullmatch(part) else "*" for part in location)
    return "/".join(("#", *parts))


def _too_long(limit: int) -> Refused:
    return refused(
        413,
        "body_too_long",
        "The body is too long",
        f"A body may have at most {limit} bytes.",
        {"Connection": "close"},
    )
