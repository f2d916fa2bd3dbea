"""The sandbox's messages, with their text, their code and the request that sent them. No I/O, no clock."""

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
    """One send as `api` requested it: one text to one or several phones.

    For a voice call, `sign_name` is the number shown to the person called. `request` is the HTTP request that caused
    the send, or None if the send did not come over the wire. `callback` is the URL for its receipts, or "".
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
        """Return the message to one of the phones. `fate` holds the fields of `Message` that `Sms` does not have."""
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
    """One text message to one phone, or one voice call.

    `phone` has 11 digits; outside the mainland it is `+` and all digits. `sent_at` and `receipt_at` are seconds since
    the epoch. At `receipt_at` the receipt arrives with `result_code`: the message becomes `failed` if `fails`, else
    `delivered`. If `receipt_at` is None, no receipt ever arrives. `extend` is the sender's own id, `biz_id` the
    provider's. `request` is the HTTP request that sent it, or None. `callback` is the URL that its receipt is pushed
    to, or "".
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
        """The provider whose call sent the message."""
        return CALLS[self.api].provider

    @property
    def channel(self) -> Channel:
        """The channel: `sms` or `voice`."""
        return CALLS[self.api].channel

    def status(self, now: float) -> Status:
        """Return the message's status at `now`, in seconds since the epoch."""
        if self.receipt_at is None or now < self.receipt_at:
            return "waiting"
        return "failed" if self.fails else "delivered"

    def as_json(self, now: float) -> dict[str, object]:
        """Return the message as `GET /api/messages` shows it, with its status at `now` (seconds since the epoch)."""
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
    """Return the template filled in. If its text is unknown (None), return the variables as `name=value, …`."""
    if template_text is None:
        return ", ".join(f"{name}={value}" for name, value in params.items())
    return _VARIABLE.sub(lambda match: params[match[1] or match[2]], template_text)


def find_code(params: Mapping[str, str], body: str) -> str | None:
    """Return the code of a message, or None.

    It is the variable `code`, else the variable `1` if it is all digits, else the only run of digits in `body`.
    """
    if "code" in params:
        return params["code"]
    if _DIGITS.fullmatch(params.get("1", "")):
        return params["1"]
    runs = _DIGITS.findall(body)
    return runs[0] if len(runs) == 1 else None


def shanghai(timestamp: float) -> datetime:
    """Return a time in seconds since the epoch as a datetime in China's time zone."""
    return datetime.fromtimestamp(timestamp, SHANGHAI)


def _iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


MAX_RECORDED: Final = 16_384  # characters of one request; the rest is cut off
MASK: Final = "***"

_SECRET: Final = frozenset(
    {"x-ca-secret", "x-ca-signature", "x-acs-security-token", "x-tc-token", "cookie", "proxy-authorization"}
)
_SECRET_PARAMS: Final = re.compile(r"(?<![^&])(Signature|SecurityToken|Token)=[^&]*")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An HTTP request as a person reads it. `query` is still encoded. `is_cut`: a part of the request was cut off."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    is_cut: bool

    def as_json(self) -> dict[str, object]:
        """Return the request as `GET /api/messages` shows it."""
        return asdict(self)


def recorded(request: WireRequest) -> Recorded:
    """Return a copy of a request with secrets and signatures masked, cut to `MAX_RECORDED` characters."""
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
    head, equals, _ = value.partition("Signature=")
    return f"{head}{equals}{MASK}" if equals and head.startswith("ACS3-") else MASK
