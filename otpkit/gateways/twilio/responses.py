"""Parsing of Twilio's answers and status callbacks: pure functions that return a receipt, a delivery, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from otpkit.effects import HttpResponse
from otpkit.errors import GatewayRejectedError
from otpkit.gateways.base import Delivery, Receipt
from otpkit.gateways.provider import json_object, mail_date, matched, phone, seconds, text_of, token
from otpkit.gateways.twilio.errors import KEYS, PROVIDER, REFUSALS, UNCERTAIN

SEND_ID: Final = "send_id"  # A parameter in the query of the callback's URL.
SID: Final = re.compile(r"(?:SM|MM|CA)[0-9A-Za-z]{32}")
_ORIGIN: Final = re.compile(r"https?://(?!.*[0-9]{7})[A-Za-z0-9.-]{1,64}(?::[0-9]{1,5})?(?=[/?#]|$)")
_SEND_ID: Final = re.compile(r"[A-Za-z0-9_-]{15,22}")

_State = Literal["pending", "delivered", "failed"]
_STATES: Final[dict[str, _State]] = {
    # MessageStatus of a message. `sent` means that the carrier accepted it.
    "accepted": "pending",
    "scheduled": "pending",
    "queued": "pending",
    "sending": "pending",
    "sent": "pending",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
    # CallStatus of a call. `completed` means that a person or a machine answered.
    "initiated": "pending",
    "ringing": "pending",
    "in-progress": "pending",
    "completed": "delivered",
    "busy": "failed",
    "no-answer": "failed",
}


def judge_send(response: HttpResponse) -> Receipt | GatewayRejectedError:
    """Return the receipt of a message or a call, or an error if it was certainly not sent."""
    if 400 <= response.status < 500:
        return _refused(response) or PROVIDER.uncertain()
    body = json_object(response) if response.status in {200, 201} else {}
    code = token(body.get("error_code"))
    # The resource was created as failed, so Twilio sent nothing.
    if body.get("status") == "failed":
        return PROVIDER.refused(REFUSALS[code], code) if code in REFUSALS else PROVIDER.uncertain()
    sid = matched(SID, body.get("sid"))
    return Receipt(PROVIDER.name, sid) if sid else PROVIDER.uncertain()


def judge_trace(response: HttpResponse) -> Delivery | GatewayRejectedError | None:
    """Return the delivery that Twilio reports, or an error if it refused the query.

    Return None if Twilio does not know the message (404), or if the refusal leaves the state uncertain.
    """
    if response.status == 404:
        return None
    if 400 <= response.status < 500:
        return _refused(response)
    body = json_object(response) if response.status == 200 else {}
    sent_at = mail_date(body.get("date_sent") or body.get("start_time"))
    return _delivery(body.get("status"), body.get("error_code"), sent_at=sent_at)


def _refused(response: HttpResponse) -> GatewayRejectedError | None:
    code, wait = token(json_object(response).get("code")), seconds(response.headers.get("retry-after"))
    if code in REFUSALS:
        return PROVIDER.refused(REFUSALS[code], code, wait)
    if code in UNCERTAIN:
        return None
    if response.status == 429:
        return PROVIDER.refused(REFUSALS["20429"], code, wait)
    problem = f"the request is refused (HTTP {response.status})"
    if response.status == 401:
        return PROVIDER.rejection("account", problem, KEYS, code)
    act = "look up the error code at twilio.com/docs" if code else "check base_url and account_sid"
    return PROVIDER.rejection("request", problem, f"the operator must {act}", code)


def read_form(body: bytes) -> list[tuple[str, str]] | None:
    """Return the parameters of a pushed form, or None if the body is not a form."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        return None


def origin(url: str) -> str:
    """Return a URL's scheme and host for the log. The path may contain a secret, and a forged host a phone number."""
    found = _ORIGIN.match(url)
    return f" as received, {found[0]}/…" if found else ""


def read_push(params: Mapping[str, str], url: str) -> Delivery | None:
    """Return the delivery in a status callback, or None if the parameters are not those of one."""
    sid = matched(SID, params.get("MessageSid") or params.get("CallSid"))
    send_id = dict(parse_qsl(urlsplit(url).query)).get(SEND_ID)
    status = params.get("MessageStatus") or params.get("CallStatus")
    if not sid or _STATES.get(status or "") is None:
        return None
    return _delivery(
        status,
        params.get("ErrorCode"),
        phone=phone(params.get("To")),
        send_id=matched(_SEND_ID, send_id),
        message_id=sid,
    )


def _delivery(status: object, error_code: object, **known: Any) -> Delivery:
    state = _STATES.get(text_of(status))
    reason = token(error_code) if state == "failed" else ""
    return Delivery(state=state or "unknown", gateway=PROVIDER.name, result_code=reason, **known)
