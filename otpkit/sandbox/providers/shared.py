"""Parse parameters and apply faults to responses, for all providers. No I/O.

`otherwise` is the provider's error code for a value that can't be parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

from otpkit.gateways.china_time import SHANGHAI
from otpkit.sandbox.calls import Api, Unacceptable, WireRequest, WireResponse
from otpkit.sandbox.faults import Fault
from otpkit.sandbox.messages import shanghai
from otpkit.sandbox.phones import recipient

Params = Mapping[str, str]

MAX_PAGE_SIZE: Final = 50  # rows
HISTORY: Final = timedelta(days=30)

_DAY: Final = re.compile(r"[0-9]{8}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_MOST_COUNTED: Final = 1_000  # numbers counted in one request
_BETWEEN_NUMBERS: Final = re.compile(r'[\s,"\[\]]+')


def decode(*encoded: bytes) -> dict[str, str] | None:
    """Return the parameters of a query and a form, or None if they are not UTF-8, too many, or contain duplicates."""
    try:
        pairs = [
            pair
            for text in encoded
            for pair in parse_qsl(text.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=100)
        ]
    except ValueError:
        return None
    params = dict(pairs)
    return params if len(params) == len(pairs) else None


def form_of(request: WireRequest) -> bytes:
    """Return a request's body if it is a form, still encoded, else b""."""
    kind = request.header("content-type").partition(";")[0].strip().lower()
    return request.body if kind == "application/x-www-form-urlencoded" else b""


def numbers_in(params: Params | None, *names: str) -> set[str]:
    """Return the phone numbers in a request, even if the rest of it is invalid."""
    listed = [each for name in names for each in _BETWEEN_NUMBERS.split((params or {}).get(name, ""), _MOST_COUNTED)]
    return {phone for phone in map(recipient, listed) if phone is not None}


def template_values(text: str, otherwise: str) -> dict[str, str]:
    """Parse a template's variables from JSON: an object whose values are strings. An empty text is no variables."""
    return checked_values(read_json(text, otherwise), otherwise) if text else {}


def checked_values(values: object, otherwise: str) -> dict[str, str]:
    """Return `values` if they are an object whose values are strings."""
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise Unacceptable(otherwise)
    return values


def read_json(text: str, otherwise: str) -> object:
    """Decode JSON that can be encoded again."""
    try:
        decoded: object = json.loads(text)
        json.dumps(decoded, ensure_ascii=False).encode()  # Half of a surrogate pair can't be encoded.
    except (ValueError, RecursionError):
        raise Unacceptable(otherwise) from None
    return decoded


def recent_day(text: str, now: float, otherwise: str) -> date:
    """Parse a day such as `20151215`. It must be one of the last 30 days in China."""
    today = shanghai(now).date()
    try:
        day = datetime.strptime(text if _DAY.fullmatch(text) else "", "%Y%m%d").replace(tzinfo=SHANGHAI).date()
    except ValueError:
        raise Unacceptable(otherwise) from None
    if not today - HISTORY <= day <= today:
        raise Unacceptable(otherwise)
    return day


def whole_number(text: str, otherwise: str, *, most: int | None = None) -> int:
    """Parse a whole number from 1 to `most` (None: no limit)."""
    number = int(text) if _COUNT.fullmatch(text) else 0
    if number < 1 or (most is not None and number > most):
        raise Unacceptable(otherwise)
    return number


def time_text(timestamp: float) -> str:
    """Return a time in seconds since the epoch as the providers write it: `2015-12-15 08:00:00`, in China."""
    return f"{shanghai(timestamp):%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class FailureResponses:
    """A provider's responses to a call that fails.

    `refused` reports a code. `broken` is an HTTP 500. `throttled` comes before the call is reached. `unclear` does not
    show whether the message was accepted.
    """

    refused: Callable[[Api, str], WireResponse]
    broken: Callable[[Api], WireResponse]
    throttled: Callable[[Api], WireResponse]
    unclear: Callable[[Api], WireResponse]


def apply_fault(answer: WireResponse, api: Api, fault: Fault | None, failures: FailureResponses) -> WireResponse:
    """Return a response as a fault changes it. Without a fault, return it unchanged."""
    if fault is None:
        return answer
    return replace(_replaced(answer, api, fault, failures), delay=fault.answer_delay)


def _replaced(answer: WireResponse, api: Api, fault: Fault, failures: FailureResponses) -> WireResponse:
    match fault.fault:
        case "reject":
            return failures.refused(api, fault.code or "")
        case "http_500":
            return failures.broken(api)
        case "throttled":
            return failures.throttled(api)
        case "success_false":
            return failures.unclear(api)
        case "not_json":
            return replace(answer, body=b"<html><body>It works!</body></html>")
        case "drop":
            return replace(answer, ending="drop")
        case "half":
            return replace(answer, ending="half")
        case "late" | "receipt_failed" | "receipt_never" | "receipt_twice" | "receipt_late" | "lost":
            return answer
