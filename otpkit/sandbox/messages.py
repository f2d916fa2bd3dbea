"""Messages as the sandbox keeps them, with their text, their code and the request that sent them. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from otpkit.gateways.base import Channel
from otpkit.gateways.china_time import SHANGHAI
from otpkit.sandbox.calls import CALLS, Api, ProviderName, WireRequest

Status = Literal["waiting", "failed", "delivered"]


# Alibaba's `${code}`, and Tencent Cloud's `{1}`.
_VARIABLE: Final = re.compile(r"\$\{([^{}]+)\}|(?<!\$)\{([0-9]{1,2})\}")
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
    def provider(self) -> ProviderName:
        """The provider whose call sent it."""
        return CALLS[self.api].provider

    @property
    def channel(self) -> Channel:
        """The way it reaches the person: a text or a voice call."""
        return CALLS[self.api].channel

    def status(self, now: float) -> Status:
        """Return how the message stands at `now`, in seconds since the epoch."""
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


MAX_RECORDED: Final = 16_384  # characters of one request; what is beyond them is cut off
MASK: Final = "***"

_SECRET: Final = frozenset(
    {"x-ca-secret", "x-ca-signature", "x-acs-security-token", "x-tc-token", "cookie", "proxy-authorization"}
)
_SECRET_PARAMS: Final = re.compile(r"(?<![^&])(Signature|SecurityToken|Token)=[^&]*")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as a person reads it. `query` is still encoded, `is_cut` says that some of it was left out."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    is_cut: bool

    def as_json(self) -> dict[str, object]:
        """Return what `GET /api/messages` shows of it."""
        return asdict(self)


def recorded(request: WireRequest) -> Recorded:
    """Keep a request; names of headers are in lower case, as they came to us."""
    left, is_cut = MAX_RECORDED, False

    def fit(text: str) -> str:
        nonlocal left, is_cut
        kept = text[:left]
        left, is_cut = left - len(kept), is_cut or len(kept) < len(text)
        return kept

    return Recorded(
        method=fit(request.method),
        path=fit(request.path.decode("latin-1")),
        query=fit(_SECRET_PARAMS.sub(rf"\1={MASK}", request.query.decode("latin-1"))),
        headers={fit(name): fit(value) for name, value in _masked(request) if left},
        body=fit(_SECRET_PARAMS.sub(rf"\1={MASK}", request.body.decode("utf-8", "replace"))),
        is_cut=is_cut,
    )


def _masked(request: WireRequest) -> list[tuple[str, str]]:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.items()]
    return [(name, _mask(name, value)) for name, value in headers]


def _mask(name: str, value: str) -> str:
    if name in _SECRET:
        return MASK
    if name != "authorization":
        return value
    said, equals, _ = value.partition("Signature=")
    return f"{said}{equals}{MASK}" if equals and said.startswith("ACS3-") else MASK
