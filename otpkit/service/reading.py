"""How requests are read: within bounds, strictly, and without repeating anything of them."""

from __future__ import annotations

import re
from typing import Final, TypeVar

from otpkit.service._web import BaseModel, Request, ValidationError
from otpkit.service.answers import Refused, refused
from otpkit.web import MEDIA_TYPE, plain_problem

MAX_BODY: Final = 16_384  # bytes
MAX_HEAD: Final = 32_768  # bytes
MAX_HEADERS: Final = 100
# A body that is too long is read on for so many bytes, and dropped: a connection that is closed while its client still
# writes is reset, and most clients then never see the answer.
_DRAINED: Final = 1_048_576
_MAX_KEY: Final = 255  # characters
_MAX_ERRORS: Final = 10
_JSON: Final = re.compile(r'application/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)
_IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]+")
_NAME: Final = re.compile(r"[A-Za-z_]{1,32}")  # that may be repeated: a code or a phone has digits

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """Return the body, of at most `most` bytes; a longer one is refused without keeping it or reading it to its end."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:12]) > _DRAINED:
        raise _too_long(most)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
        elif size > _DRAINED:
            break
    if size > most:
        raise _too_long(most)
    return b"".join(chunks)


async def read_json(request: Request, model: type[M]) -> M:
    """Return the body as a model."""
    if not _JSON.fullmatch(request.headers.get("content-type", "")):
        raise refused(
            415,
            "unsupported_media_type",
            "Not JSON",
            "Send the body as application/json, in UTF-8.",
            {"Accept": "application/json"},
        )
    body = await read_body(request)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        refusal = _unreadable(error)
    # Outside the except block: pydantic's error holds what was sent.
    raise refusal


def idempotency_key(request: Request) -> str | None:
    """Return the header `Idempotency-Key`, or None."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) == 1 and len(given[0]) <= _MAX_KEY and _IDEMPOTENCY_KEY.fullmatch(given[0]):
        return given[0]
    raise invalid("Idempotency-Key", f"Idempotency-Key must be 1 to {_MAX_KEY} visible ASCII characters, given once.")


def invalid(pointer: str, detail: str, kind: str = "value_error") -> Refused:
    """Return what to raise where one field can't be taken."""
    return _invalid(detail, [{"pointer": pointer, "kind": kind}])


def _invalid(detail: str, errors: list[dict[str, str]]) -> Refused:
    return refused(422, "invalid_request", "The request can't be taken", detail, evidence={"errors": errors})


def _unreadable(error: ValidationError) -> Refused:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if any(each["type"] == "json_invalid" for each in found):
        return refused(400, "invalid_json", "Not JSON", "The body is not a JSON document in UTF-8.")
    errors = [{"pointer": _pointer(each["loc"]), "kind": str(each["type"])} for each in found[:_MAX_ERRORS]]
    return _invalid("Some fields are missing, unknown, or not what they must be; see errors.", errors)


def _pointer(location: tuple[object, ...]) -> str:
    parts = (part if isinstance(part, str) and _NAME.fullmatch(part) else "*" for part in location)
    return "/".join(("#", *parts))


def malformed_answer() -> bytes:
    """Return the whole answer to what is no HTTP."""
    return _last_answer(400, "Bad Request", "invalid_http", "Not HTTP", "The request is not HTTP/1.1; see RFC 9112.")


def no_host_answer() -> bytes:
    """Return the whole answer to a request that does not name one host (RFC 9112 §3.2)."""
    return _last_answer(400, "Bad Request", "no_host", "No host", "Send the header Host, once.")


def head_too_long_answer() -> bytes:
    """Return the whole answer to a request whose head does not end (RFC 6585 §5)."""
    detail = f"The request's line and headers have at most {MAX_HEAD} bytes, in at most {MAX_HEADERS} headers."
    return _last_answer(431, "Request Header Fields Too Large", "head_too_long", "The head is too long", detail)


def too_slow_answer() -> bytes:
    """Return the whole answer to a request that does not end in time (RFC 9110 §15.5.9)."""
    return _last_answer(408, "Request Timeout", "too_slow", "Too slow", "The request did not arrive in time.")


def _last_answer(status: int, reason: str, code: str, title: str, detail: str) -> bytes:
    found = plain_problem(status, code, title, detail).json()
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(found)}\r\n"
    return f"{head}cache-control: no-store\r\nconnection: close\r\n\r\n".encode() + found


def _too_long(most: int) -> Refused:
    return refused(
        413,
        "body_too_long",
        "The body is too long",
        f"A body is at most {most} bytes.",
        {"Connection": "close"},
    )
