"""Errors in Twilio's shape: `code`, `message`, `more_info` and `status`, as the official SDKs read them.

Codes and HTTP statuses are those of https://www.twilio.com/docs/api/errors. The page of 60410 names no status; 403 is
that of 60605, its equivalent for countries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.responses import JSONResponse, Response

from otpkit.errors import (
    BlockedError,
    CaptchaRequiredError,
    CaptchaUnavailableError,
    ConfigurationError,
    GatewayRejectedError,
    MalformedCodeError,
    OTPError,
    PhoneError,
    RateLimitError,
    RefusedError,
    RegionError,
    StoreUnavailableError,
)


class Kind(NamedTuple):
    """A code of Twilio's table of errors, with its HTTP status."""

    code: int
    status: int


AUTHENTICATE: Final = Kind(20003, 401)
METHOD: Final = Kind(20004, 405)
NOT_FOUND: Final = Kind(20404, 404)
TOO_MANY_REQUESTS: Final = Kind(20429, 429)
INTERNAL: Final = Kind(20500, 500)
UNAVAILABLE: Final = Kind(20503, 503)
INVALID: Final = Kind(60200, 400)
MAX_CHECKS: Final = Kind(60202, 429)
MAX_SENDS: Final = Kind(60203, 429)
FEATURE: Final = Kind(60204, 403)
LANDLINE: Final = Kind(60205, 403)
CONCURRENT: Final = Kind(60212, 429)
CHANNEL: Final = Kind(60223, 400)
FRAUD: Final = Kind(60410, 403)
REGION: Final = Kind(60605, 403)


class TwilioError(Exception):
    """Raised to answer a request with one of Twilio's errors. The message repeats nothing that the client sent."""

    def __init__(
        self, kind: Kind, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self._kind, self._status, self._headers = kind, status or kind.status, dict(headers or {})

    def response(self) -> Response:
        """Return the response."""
        code, message = self._kind.code, str(self)
        body = {
            "code": code,
            "message": message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": self._status,
        }
        return JSONResponse(body, self._status, {"Cache-Control": "no-store", **self._headers})


def invalid(parameter: str, detail: str = "") -> TwilioError:
    """Return the error of an invalid parameter. `detail` is a whole sentence."""
    return TwilioError(INVALID, f"Invalid parameter: {parameter}{f'. {detail}' if detail else ''}")


def unsupported(parameter: str) -> TwilioError:
    """Return the error of a parameter that otpkit does not have."""
    return TwilioError(FEATURE, f"Service does not support this feature: {parameter}")


def not_found(path: str) -> TwilioError:
    """Return the error of a resource that there is not. `path` begins after the version."""
    return TwilioError(NOT_FOUND, f"The requested resource {path} was not found")


def of_error(error: OTPError, *, checks: bool) -> TwilioError:
    """Return Twilio's error for one of otpkit.

    Args:
        error: the error of a call.
        checks: True if a code was checked, False if one was to be sent.
    """
    kind, message = _meaning(error, checks=checks)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return TwilioError(kind, message, headers=headers)


def _meaning(error: OTPError, *, checks: bool) -> tuple[Kind, str]:
    match error:
        case RegionError():
            return REGION, "Verification delivery attempt blocked: the number's country is not served."
        case PhoneError(kind="landline"):
            return LANDLINE, "SMS is not supported by landline phone number"
        case PhoneError():
            return INVALID, "Invalid parameter: To"
        case MalformedCodeError():
            return INVALID, "Invalid parameter: Code"
        case RateLimitError():
            return _limit(error, checks=checks)
        case BlockedError():
            return MAX_CHECKS, "Max check attempts reached: the phone is blocked until an operator unblocks it."
        case RefusedError() | CaptchaRequiredError():
            return FRAUD, "Verification delivery attempt blocked by the guard."
        case GatewayRejectedError(category="number"):
            return INVALID, "Invalid parameter: To. No gateway can reach the number."
        case GatewayRejectedError(category="rate_limit"):
            return TOO_MANY_REQUESTS, "Too many requests: the gateway refused the message."
        case GatewayRejectedError() | StoreUnavailableError() | CaptchaUnavailableError():
            return UNAVAILABLE, f"Service unavailable ({error.code}). Nothing was sent or verified."
        case ConfigurationError():
            return INTERNAL, "Internal server error: the service is not configured correctly; see its log."
    return INTERNAL, "Internal server error"


def _limit(error: RateLimitError, *, checks: bool) -> tuple[Kind, str]:
    if error.scope in {"range", "guard_ip"}:
        return FRAUD, "Verification delivery attempt blocked by the guard."
    if error.scope == "failures" or (checks and error.scope == "phone"):
        return MAX_CHECKS, "Max check attempts reached"
    if error.scope == "phone":
        if error.challenge is not None and error.challenge.sends_left > 0:
            return CONCURRENT, "Too many concurrent requests for phone number"
        return MAX_SENDS, "Max send attempts reached"
    return TOO_MANY_REQUESTS, f"Too many requests: the limit of the scope {error.scope} is used up."
