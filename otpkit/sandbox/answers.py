"""What goes back over the wire, whole or spoilt by a fault. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from otpkit.sandbox.calls import Api
from otpkit.sandbox.faults import Fault

Headers = tuple[tuple[bytes, bytes], ...]
Ending = Literal["whole", "half", "drop"]

JSON: Final[Headers] = ((b"content-type", b"application/json; charset=utf-8"),)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, and how it is handed over: after `delay` seconds; whole, cut in half, or not at all."""

    status: int
    body: bytes
    headers: Headers = JSON
    delay: float = 0.0
    ending: Ending = "whole"


@dataclass(frozen=True, slots=True)
class Failures:
    """How a provider words what may go wrong with a call.

    `refused` has a code, `broken` is an HTTP 500, `throttled` comes before the call is reached, and `unclear`
    says neither that the message was taken nor that it was not.
    """

    refused: Callable[[Api, str], Answer]
    broken: Callable[[Api], Answer]
    throttled: Callable[[Api], Answer]
    unclear: Callable[[Api], Answer]


def spoilt(answer: Answer, api: Api, fault: Fault | None, failures: Failures) -> Answer:
    """Return what a fault makes of the answer that the call would have had; None makes nothing of it."""
    if fault is None:
        return answer
    return replace(_replaced(answer, api, fault, failures), delay=fault.answer_delay)


def _replaced(answer: Answer, api: Api, fault: Fault, failures: Failures) -> Answer:
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


def json_answer(content: dict[str, object], *, status: int = 200, headers: Headers = JSON) -> Answer:
    """Return an answer whose body is a JSON object, Chinese left readable."""
    return Answer(status, json.dumps(content, ensure_ascii=False).encode(), headers)
