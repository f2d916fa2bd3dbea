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

SEPARATORS: Final = re.compile(r"[\s()+.-]")
_SUBSCRIBER: Final = re.compile(r"(?:86|0086)?(1[0-9]{10})")
_VARIABLE: Final = re.compile(r"\$\{([^{}]+)\}")
_DIGITS: Final = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Sms:
    """A send as it was asked for by `api`: one text for one phone or several.

    Of a voice call, `sign_name` is the number that is shown to the person called. `request` is what asked for it,
    where that came over the wire.
    """

    phones: tuple[str, ...]
    template: str
    sign_name: str
    params: Mapping[str, str]
    text: str
    extend: str
    api: Api = "sendSms"
    request: Recorded | None = field(default=None, repr=False)

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
            **fate,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one phone, or one call.

    `phone` has 11 digits, `sent_at` and `receipt_at` are seconds since the epoch. At `receipt_at` the receipt
    comes in, with `result_code`, and makes the message `delivered` or, with `fails`, `failed`; None is a receipt
    that never comes. `extend` is the sender's own id, and `biz_id` the provider's. `request` is what sent it, where
    it came over the wire.
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
    """Return the 11 digits of any usual spelling of a mainland number, `+86 138 0013 8000` for one.

    Raises:
        ConfigurationError: it is none.
    """
    match = _SUBSCRIBER.fullmatch(SEPARATORS.sub("", phone)) if isinstance(phone, str) else None
    if match is None:
        raise ConfigurationError(f"{phone!r:.40} is not a phone number: give 11 digits, or +86 and 11 digits.")
    return match[1]


def variables(template_text: str) -> set[str]:
    """Return the names of a template's `${variables}`."""
    return set(_VARIABLE.findall(template_text))


def render(template_text: str | None, params: Mapping[str, str]) -> str:
    """Fill a template in; without its text, show the variables so that a person can read them."""
    if template_text is None:
        return ", ".join(f"{name}={value}" for name, value in params.items())
    return _VARIABLE.sub(lambda match: params[match[1]], template_text)


def find_code(params: Mapping[str, str], body: str) -> str | None:
    """Return the code that a message carries: its variable `code`, or the only digits in its text."""
    if "code" in params:
        return params["code"]
    runs = _DIGITS.findall(body)
    return runs[0] if len(runs) == 1 else None


def shanghai(timestamp: float) -> datetime:
    """Return seconds since the epoch as a time in China."""
    return datetime.fromtimestamp(timestamp, SHANGHAI)


def _iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


def biz_id_of(provider: Provider, serial: int) -> str:
    """Return a provider's id of a send, in its own form."""
    match provider:
        case "alidayu":
            return f"{100_000 + serial}^{1_000_000 + serial}"
        case "dysmsapi":
            return f"{100_000_000_000_000_000 + serial}^0"
        case "dyvmsapi":
            return f"{100_000_000_000 + serial}^{200_000_000_000 + serial}"
