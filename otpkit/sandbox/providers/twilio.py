"""Twilio's resources Messages and Calls, made and fetched. No I/O.

It sends texts, so the sandbox's templates and signatures say nothing here. A call's text is what its TwiML says; the
TwiML behind a `Url` is not fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from otpkit.errors import ConfigurationError
from otpkit.sandbox.answers import Answer, spoilt
from otpkit.sandbox.calls import Api, WireRequest
from otpkit.sandbox.messages import Message, Sms, subscriber
from otpkit.sandbox.providers.reading import form_of
from otpkit.sandbox.providers.twilio_answers import FAILURES, created, failed, resource, shown
from otpkit.sandbox.receipts import checked_url
from otpkit.sandbox.state import Sandbox

MAX_BODY: Final = 1_600  # characters
_PATH: Final = re.compile(rb"/2010-04-01/Accounts/(?P<account>\w+)/(?P<kind>Messages|Calls)(?:/(?P<sid>\w+))?\.json")
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_TAGS: Final = re.compile(r"<[^>]*>")
_SPELLED: Final = re.compile(r"(?<=[0-9])[, ]+(?=[0-9])")


class _Codes(NamedTuple):
    """What a resource's errors are called."""

    no_to: str
    no_from: str
    no_text: str
    bad_callback: str


_KINDS: Final[Mapping[str, tuple[Api, Api, _Codes]]] = {
    "Messages": ("twilio.CreateMessage", "twilio.FetchMessage", _Codes("21604", "21603", "21602", "21609")),
    "Calls": ("twilio.CreateCall", "twilio.FetchCall", _Codes("21201", "21213", "21205", "21626")),
}


class _Refused(Exception):
    """A request that Twilio refuses; `code` is its code for the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def answer(sandbox: Sandbox, request: WireRequest) -> Answer:
    """Answer one request."""
    try:
        return _answer(sandbox, request)
    except _Refused as no:
        return failed(no.code)


def _answer(sandbox: Sandbox, request: WireRequest) -> Answer:
    found = _PATH.fullmatch(request.path)
    is_made = found is not None and not found["sid"]
    if found is None or request.method != ("POST" if is_made else "GET"):
        raise _Refused("20404")
    create, fetch, codes = _KINDS[found["kind"].decode()]
    fields = dict(parse_qsl(form_of(request).decode("latin-1"), keep_blank_values=True))
    phone = _phone(fields.get("To", ""))
    sandbox.count(create if is_made else fetch, [] if phone is None else [phone])
    if not sandbox.knows_account(*_credentials(request)):
        raise _Refused("20003")
    if found["account"].decode() != sandbox.account_sid:
        raise _Refused("20404")
    if not is_made:
        return _fetch(sandbox, fetch, found["sid"].decode())
    sms = _read(create, fields, phone, codes)
    sid, fault = sandbox.submit(sms, request)
    made = _as_made(sandbox, sms, sid)
    return spoilt(created(resource(made, sandbox.now(), sandbox.account_sid)), create, fault, FAILURES)


def _fetch(sandbox: Sandbox, api: Api, sid: str) -> Answer:
    message = next((each for each in sandbox.messages() if each.provider == "twilio" and each.biz_id == sid), None)
    fault = sandbox.take_fault(api, () if message is None else (message.phone,))
    if message is None:
        return spoilt(failed("20404"), api, fault, FAILURES)
    return spoilt(shown(resource(message, sandbox.now(), sandbox.account_sid)), api, fault, FAILURES)


def _read(api: Api, fields: Mapping[str, str], phone: str | None, codes: _Codes) -> Sms:
    is_call = api == "twilio.CreateCall"
    sender = fields.get("From") or ("" if is_call else fields.get("MessagingServiceSid", ""))
    text = _spoken(fields) if is_call else fields.get("Body", "")
    for value, code in ((fields.get("To"), codes.no_to), (sender, codes.no_from), (text, codes.no_text)):
        if not value:
            raise _Refused(code)
    if phone is None:
        raise _Refused("21211")
    if len(text) > MAX_BODY and not is_call:
        raise _Refused("21617")
    callback = fields.get("StatusCallback", "")
    try:
        checked_url(callback or None)
    except ConfigurationError:
        raise _Refused(codes.bad_callback) from None
    return Sms((phone,), "", sender, {}, text, "", api, callback=callback)


def _as_made(sandbox: Sandbox, sms: Sms, sid: str) -> Message:
    """Return the resource of a send, kept or not."""
    return sms.message_to(
        sms.phones[0], id=0, biz_id=sid, sent_at=sandbox.now(), receipt_at=None, fails=False, result_code=""
    )


def _spoken(fields: Mapping[str, str]) -> str:
    """Return what a call says, once, its digits as one number; where its TwiML is elsewhere, the URL."""
    if "Twiml" not in fields:
        return fields.get("Url", "")
    said = dict.fromkeys(each.strip() for each in _TAGS.split(fields["Twiml"]) if each.strip())
    return _SPELLED.sub("", " ".join(said))


def _phone(number: str) -> str | None:
    try:
        return subscriber(number) if _NUMBER.fullmatch(number) else None
    except ConfigurationError:
        return None


def _credentials(request: WireRequest) -> tuple[str, str]:
    kind, _, encoded = request.header("authorization").partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode() if kind.lower() == "basic" else ""
    except (binascii.Error, ValueError):
        text = ""
    user, _, password = text.partition(":")
    return user, password
