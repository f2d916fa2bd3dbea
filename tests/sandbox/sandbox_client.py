"""A clock that tests move, and a client, for the tests of the sandbox."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import requests

from otpkit.sandbox import Address, Sandbox

NOON = 1_800_000_000.0 - 1_800_000_000 % 86_400 + 4 * 3600  # 2027-01-15, noon in Shanghai.
TEMPLATES = {
    "SMS_585014": "验证码${code},您正在进行${product}身份验证,打死不要告诉别人哦!",
    "TTS_1": "您的验证码是${code}",
    "a.wav": "您好",
}


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@dataclass
class Client:
    """An HTTP client of one sandbox, and the sandbox itself."""

    address: Address
    sandbox: Sandbox
    clock: Clock
    session: requests.Session = field(default_factory=requests.Session)
    headers = {"X-Ca-Key": "sandbox", "X-Ca-Secret": "sandbox-secret"}  # noqa: RUF012

    def utc(self, after: float = 0) -> str:
        """Return the sandbox's time in the format of signed requests."""
        return f"{datetime.fromtimestamp(self.clock.now + after, UTC):%Y-%m-%dT%H:%M:%SZ}"

    def send(self, phone: str = "13800138000", **params: str | None) -> requests.Response:
        """Call sendSms. A parameter of None is left out."""
        return self.call("sendSms", {**sms(phone), **params})

    def query(self, phone: str = "13800138000", **params: str | None) -> requests.Response:
        """Call querySmsDetail for the first page of the sandbox's noon."""
        return self.call("querySmsDetail", {**lookup(phone), **params})

    def call(self, api: str, params: dict[str, str | None]) -> requests.Response:
        url = f"{self.address.gateway_url}/{api}"
        return self.session.get(url, params=params, headers=self.headers, timeout=10)

    def api(self, method: str, path: str, **options: object) -> requests.Response:
        return self.session.request(method, f"{self.address.base_url}{path}", timeout=10, **options)

    def sent(self, phone: str = "13800138000") -> list[dict[str, object]]:
        """Return the rows of querySmsDetail."""
        return self.query(phone).json()["values"]


def sms(phone: str = "13800138000") -> dict[str, str | None]:
    return {
        "sms_type": "normal",
        "sms_free_sign_name": "阿里大鱼",
        "sms_template_code": "SMS_585014",
        "sms_param": json.dumps({"code": "123456", "product": "alidayu"}),
        "rec_num": phone,
        "extend": "1234",
    }


def lookup(phone: str = "13800138000") -> dict[str, str | None]:
    return {"rec_num": phone, "query_date": "20270115", "current_page": "1", "page_size": "50"}
