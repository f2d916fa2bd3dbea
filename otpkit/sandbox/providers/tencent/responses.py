"""Tencent Cloud's response envelope. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

from otpkit.sandbox.calls import Api, Headers, WireResponse, json_response
from otpkit.sandbox.phones import country_and_number, e164
from otpkit.sandbox.providers.shared import FailureResponses

# Tencent Cloud's SDKs parse a body as JSON only if the header is exactly this, without a charset.
_JSON: Final[Headers] = ((b"content-type", b"application/json"),)
# Alidayu's codes and Tencent Cloud's, for the rules and the phone numbers that all providers share.
_CODES: Final[Mapping[str, str]] = {
    "50001": "FailedOperation.InsufficientBalanceInSmsPackage",
    "50002": "UnauthorizedOperation.RequestPermissionDeny",
    "50003": "UnauthorizedOperation.SmsSdkAppIdVerifyFail",
    "50004": "UnauthorizedOperation.SdkAppIdIsDisabled",
    "50009": "InvalidParameterValue.IncorrectPhoneNumber",
    "50010": "LimitExceeded.PhoneNumberCountLimit",
    "70001": "FailedOperation.TemplateIncorrectOrUnapproved",
    "70002": "FailedOperation.SignatureIncorrectOrUnapproved",
    "70003": "FailedOperation.TemplateParamSetNotMatchApprovedTemplate",
    "99998": "InvalidParameterValue",
}


class TencentError(Exception):
    """Raised for a call that fails as a whole. `code` is Tencent Cloud's code for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def done(**fields: object) -> WireResponse:
    """Return the response of a successful call."""
    return json_response({"Response": {**fields, "RequestId": str(uuid4())}}, headers=_JSON)


def failed(code: str, message: str, *, status: int = 200) -> WireResponse:
    """Return the response of a call that fails as a whole, with HTTP 200 as documented."""
    return replace(done(Error={"Code": code, "Message": message}), status=status)


def send_status(phone: str, context: str, serial: str = "", code: str = "Ok") -> dict[str, object]:
    """Return the status of one number. A refused number has no serial number and costs nothing."""
    return {
        "SerialNo": serial,
        "PhoneNumber": e164(phone),
        "Fee": 1 if serial else 0,
        "SessionContext": context,
        "Code": code,
        "Message": "send success" if code == "Ok" else code,
        "IsoCode": "CN" if country_and_number(phone)[0] == "86" else "DEF",
    }


def failures(phones: Sequence[str] = (), context: str = "") -> FailureResponses:
    """Return the responses of a failing call. A call that sends refuses each number separately."""

    def refused(_: Api, code: str) -> WireResponse:
        code = _CODES.get(code, code)
        if not phones:
            return failed(code, code)
        return done(SendStatusSet=[send_status(phone, context, code=code) for phone in phones])

    return FailureResponses(
        refused=refused,
        broken=lambda _: failed("InternalError", "An internal error has occurred.", status=500),
        throttled=lambda _: failed("RequestLimitExceeded", "The request rate limit was exceeded."),
        unclear=lambda _: failed("InternalError.OtherError", "Something else failed."),
    )
