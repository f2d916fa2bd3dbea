"""What the sandbox keeps of a message, and how its text and code come about. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, Literal

from otpkit.errors import ConfigurationError
from otpkit.sandbox.calls import CALLS, Api, Channel, Provider
from otpkit.sandbox.recording import Recorded

Status = Literal["waiting", "failed", "delivered"]

# China has one zone and has had no daylight saving since 1991, so no time zone database is needed.
SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")

SEPARATORS: Final = re.compile(r"[\s().-]")
_SUBSCRIBER: Final = re.compile(r"(?:\+?86|0086)?(1[0-9]{10})")
# Numbers of other regions: those of Hong Kong, Macau and Taiwan without `+` too, as the providers' documents have them.
_NEARBY: Final = r"85[23][0-9]{8}|886[0-9]{9}"
_ELSEWHERE: Final = re.compile(rf"(?:\+|00)(?!86|85[23])([1-9][0-9]{{6,14}})|(?:\+|00)?({_NEARBY})")
# Alibaba's `${code}`, and Tencent Cloud's `{1}`.
_VARIABLE: Final = re.compile(r"\$\{([^{}]+)\}|(?<!\$)\{([0-9]{1,2})\}")
# The ITU's country codes (E.164): those of one digit and of two; all others have three.
_COUNTRY: Final = re.compile(r"\+(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[0-9]{3})([0-9]+)")
_DIGITS: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Sms:
    """A send as it was asked for by `api`: one text for one phone or several.

    Of a voice call, `sign_name` is the number that is shown to the person called. `request` is what asked for it,
    where that came over the wire, and `callback` the URL to which it has its receipts pushed, where it names one.
    """

    phones: tuple[str, ...]
    template: str
    sign_name: str
    params: Mapping[str, str]
    text: str
    extend: str
    api: Api = "sendSms"
    request: Recorded | None = field(default=None, repr=False)
    callback: str = field(default="", repr=False)

    def message_to(self, phone: str, **fate: Any) -> Message:
        """Return the message to one of the phones; `fate` is the rest of its fields."""
        return Message(
            phone=phone,
            code=find_code(self.params, self.text.removeprefix(f"【{self.sign_name}】")),
            text=self.text,
            params=self.params,
            template=self.template,
            sign_name=self.sign_name,
            extend=self.extend,
            api=self.api,
            request=self.request,
            callback=self.callback,
            **fate,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one phone, or one call.

    `phone` has 11 digits, or `+` and all digits outside the mainland. `sent_at` and `receipt_at` are seconds since the
    epoch. At `receipt_at` the receipt comes in, with `result_code`, and makes the message `delivered` or, with
    `fails`, `failed`; None is a receipt that never comes. `extend` is the sender's own id, and `biz_id` the provider's.
    `request` is what sent it, where it came over the wire, and `callback` the URL that its receipt is pushed to, where
    it names one.
    """

    id: int
    phone: str
    code: str | None
    text: str
    params: Mapping[str, str] = field(hash=False)
    template: str
    sign_name: str
    extend: str
    biz_id: str
    sent_at: float
    receipt_at: float | None
    fails: bool
    result_code: str
    api: Api
    request: Recorded | None = field(default=None, repr=False, hash=False)
    callback: str = field(default="", repr=False, hash=False)

    @property
    def provider(self) -> Provider:
        """Whose call sent it."""
        return CALLS[self.api].provider

    @property
    def channel(self) -> Channel:
        """How it reaches the person."""
        return CALLS[self.api].channel

    def status(self, now: float) -> Status:
        """Say how the message stands at `now`, in seconds since the epoch."""
        if self.receipt_at is None or now < self.receipt_at:
            return "waiting"
        return "failed" if self.fails else "delivered"

    def as_json(self, now: float) -> dict[str, object]:
        """Return what `GET /api/messages` shows of it."""
        return {
            "id": self.id,
            "provider": self.provider,
            "channel": self.channel,
            "phone": self.phone,
            "code": self.code,
            "text": self.text,
            "params": dict(self.params),
            "template": self.template,
            "sign_name": self.sign_name,
            "extend": self.extend,
            "biz_id": self.biz_id,
            "sent_at": _iso(self.sent_at),
            "status": self.status(now),
            "receipt": self._receipt(now),
            "request": None if self.request is None else self.request.as_json(),
        }

    def _receipt(self, now: float) -> dict[str, object] | None:
        if self.receipt_at is None or self.status(now) == "waiting":
            return None
        return {"result_code": self.result_code, "received_at": _iso(self.receipt_at)}


def subscriber(phone: str) -> str:
    """Return the 11 digits of any usual spelling of a mainland number, `+86 138 0013 8000` for one; or a number of
    another region as `+` and its digits.

    Raises:
        ConfigurationError: it is neither.
    """
    digits = SEPARATORS.sub("", phone) if isinstance(phone, str) else ""
    if (match := _SUBSCRIBER.fullmatch(digits)) is not None:
        return match[1]
    if (match := _ELSEWHERE.fullmatch(digits)) is not None:
        return f"+{match[1] or match[2]}"
    raise ConfigurationError(f"{phone!r:.40} is not a phone number: give 11 digits, or +86 and 11 digits.")


def e164(phone: str) -> str:
    """Return a message's phone as E.164."""
    return phone if phone.startswith("+") else f"+86{phone}"


def country_and_number(phone: str) -> tuple[str, str]:
    """Return the country code of a message's phone, and the rest."""
    found = _COUNTRY.fullmatch(e164(phone))
    return ("", phone) if found is None else (found[1], found[2])


def variables(template_text: str) -> set[str]:
    """Return the names of a template's variables."""
    return {found[1] or found[2] for found in _VARIABLE.finditer(template_text)}


def render(template_text: str | None, params: Mapping[str, str]) -> str:
    """Fill a template in; without its text, show the variables so that a person can read them."""
    if template_text is None:
        return ", ".join(f"{name}={value}" for name, value in params.items())
    return _VARIABLE.sub(lambda match: params[match[1] or match[2]], template_text)


def find_code(params: Mapping[str, str], body: str) -> str | None:
    """Return the code that a message carries: its variable `code`, its variable `1` of digits, or its only digits."""
    if "code" in params:
        return params["code"]
    if _DIGITS.fullmatch(params.get("1", "")):
        return params["1"]
    runs = _DIGITS.findall(body)
    return runs[0] if len(runs) == 1 else None


def shanghai(timestamp: float) -> datetime:
    """Return seconds since the epoch as a time in China."""
    return datetime.fromtimestamp(timestamp, SHANGHAI)


def _iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


def biz_id_of(provider: Provider, serial: int, channel: Channel = "sms") -> str:
    """Return a provider's id of a send, in its own form."""
    match provider:
        case "alidayu":
            return f"{100_000 + serial}^{1_000_000 + serial}"
        case "dysmsapi":
            return f"{100_000_000_000_000_000 + serial}^0"
        case "dyvmsapi":
            return f"{100_000_000_000 + serial}^{200_000_000_000 + serial}"
        case "tencent":
            return f"5000:{10**27 + serial}"
        case "twilio":
            return f"{'CA' if channel == 'voice' else 'SM'}{serial:032x}"
