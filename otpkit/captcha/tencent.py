"""Tencent Cloud's captcha (腾讯云天御验证码), version 2019-07-22: DescribeCaptchaResult.

Sources: https://cloud.tencent.com/document/product/1110/36926 (the call and CaptchaCode),
https://cloud.tencent.com/document/product/1110/84005 (what to do for each CaptchaCode, EvilLevel, trerror_ tickets),
https://cloud.tencent.com/document/product/1110/36841 (the page), https://www.tencentcloud.com/document/product/1159/50367
and https://www.tencentcloud.com/document/product/1159/49680 (outside of mainland China).
The documents list no sources for a Content-Security-Policy. Those here are what the page's script loads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from otpkit.captcha.base import CaptchaCheck, Verdict
from otpkit.captcha.provider import WAIT, Meaning, RemoteCaptcha, Trouble, fields_of, meaning_of, visitor
from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpResponse
from otpkit.errors import ConfigurationError
from otpkit.gateways import validation
from otpkit.gateways.credentials import CredentialsSource, source
from otpkit.gateways.provider import Provider, token
from otpkit.gateways.tencent import signing

__all__ = ["TencentCaptcha"]

VERSION: Final = "2019-07-22"
_PROVIDER: Final = Provider("tencent-captcha", "Tencent Captcha")
_NOWHERE: Final = "0.0.0.0"  # noqa: S104 - UserIp is required, and the application may not know it.
_EVIL: Final = 100
_KEYS: Final = "the operator must check secret_id, secret_key and token"
_PAY: Final = "the account's owner must activate the captcha, or buy a package, in the console"
_REPORT: Final = "the developer must check base_url and the settings, and report it to otpkit if all of it is right"
_CLOCK: Final = "the operator must set this host's clock"

CAPTCHA_CODES: Mapping[int, Meaning] = {
    1: "",
    7: "wrong",  # The randstr is not the ticket's.
    8: "expired",  # The ticket is older than five minutes.
    9: "expired",  # It was used before.
    15: "wrong",  # It is no ticket.
    16: "foreign",  # It is for another CaptchaAppId, or is an emergency ticket of an unknown one.
    21: "score",  # The risk control suspects an attack, or the ticket is an emergency ticket.
    # CaptchaAppId, AppSecretKey and ticket do not match: a ticket of another application's, or a wrong key.
    100: "foreign",
}
"""The documented values of `CaptchaCode`, with their meanings."""
CODES: Mapping[str, Meaning] = {
    # An answer can cause these, so they are no trouble of the deployment's.
    "InvalidParameter*": "wrong",
    "MissingParameter*": Trouble("a parameter is missing", _REPORT, misconfigured=True),
    "AuthFailure*": Trouble("the key is not accepted", _KEYS, misconfigured=True),
    "AuthFailure.SignatureExpire": Trouble("the request's time is wrong by more than 5 minutes", _CLOCK, True),
    "UnauthorizedOperation*": Trouble(
        "the account has no package or is in arrears (无有效套餐包/账号已欠费)", _PAY, True
    ),
    "UnauthorizedOperation.ErrAuth": Trouble("the key may not make this call (鉴权失败)", _KEYS, misconfigured=True),
    "InvalidAction": Trouble("there is no such call", _REPORT, misconfigured=True),
    "NoSuchVersion": Trouble("there is no such version of the API", _REPORT, misconfigured=True),
    "RequestLimitExceeded*": Trouble("there are too many calls", WAIT),
    "InternalError*": Trouble("an error occurred at Tencent Cloud (内部错误)", WAIT),
}
"""The codes of a refused call; `prefix*` is a family. They are also those of the SDK's errorcodes.py."""


class TencentCaptcha(RemoteCaptcha):
    """Tencent Cloud's captcha (腾讯云天御验证码): a slider or pictures, or nothing to see.

    It stops scripts without a browser, and most automated browsers. It works in mainland China. An answer is accepted
    once and for five minutes. It has no actions: to tie answers to a purpose, use one CaptchaAppId for each purpose.
    The emergency tickets (`trerror_…`) that the page's script makes when it can't reach Tencent Cloud are refused,
    because anybody can write one.

    An answer is a JSON object with the `ticket` and the `randstr` of the page's callback.

    A wrong `app_secret_key` can't be told from tickets of another application: every answer is then `foreign`.

    Args:
        secret_id: the API key's SecretId.
        secret_key: the API key's SecretKey; it is never sent.
        app_id: the CaptchaAppId, which the page shows.
        app_secret_key: the CaptchaAppId's AppSecretKey.
        international: True for an account of tencentcloud.com, False for one of cloud.tencent.com.
        token: the Token of a temporary key; None for a permanent one.
        credentials: a function that returns `Credentials(id, key, token)`, in place of id, key and token; it is called
            for each request, and may be async with AsyncOTP only.
        base_url: the API's URL, to which `/` is appended; None is Tencent Cloud's. `http://` is allowed for loopback
            only.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = _PROVIDER.name
    title: ClassVar[str] = _PROVIDER.title
    probe: ClassVar[str] = '{"ticket": "otpkit-doctor", "randstr": "@otp"}'
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("secret_id", "credentials"), ("secret_key", "credentials"))
    life_s: ClassVar[int] = 300

    def __init__(
        self,
        secret_id: str | None = None,
        secret_key: str | None = None,
        *,
        app_id: int,
        app_secret_key: str,
        international: bool = False,
        token: str | None = None,
        credentials: CredentialsSource | None = None,
        base_url: str | None = None,
        timeout: tuple[float, float] | float = (3, 5),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            names = ("secret_id", "secret_key", "token")
            self._source = checks.of("credentials", source, (secret_id, secret_key, token), credentials, names)
            self.app_id = checks.value("app_id", _read_app_id, app_id)
            self._app_secret_key = checks.value("app_secret_key", validation.header_value, app_secret_key)
            usual = f"https://captcha.{'intl.' if international else ''}tencentcloudapi.com"
            self._connect(checks, usual if base_url is None else base_url, timeout, proxy)
        self._host = self.base_url.partition("://")[2].partition("/")[0]
        self._place = "https://ca.turing.captcha.qcloud.com" if international else "https://turing.captcha.qcloud.com"
        self._script = f"{self._place}/{'TJNCaptcha-global' if international else 'TJCaptcha'}.js"
        assets = "https://global.turing.captcha.gtimg.com" if international else "https://turing.captcha.gtimg.com"
        both = (self._place, assets)
        self.csp = MappingProxyType(
            dict.fromkeys(("script-src", "frame-src", "img-src", "connect-src", "style-src"), both)
        )

    def identity(self, answer: str) -> str:
        """Return the ticket: the same JSON can be written in many ways."""
        fields = fields_of(answer, "ticket", "randstr")
        return answer if fields is None else fields["ticket"]

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return the CaptchaAppId for `new TencentCaptcha(…)`, and the script."""
        return {
            "provider": self.name,
            "app_id": str(self.app_id),
            "script": self._script,
            "field": "captcha",
        }

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge one answer: a JSON object with `ticket` and `randstr`."""
        fields = fields_of(answer, "ticket", "randstr")
        if fields is None:
            return Verdict(False, "malformed")
        if fields["ticket"].startswith("trerror"):
            return Verdict(False, "wrong")
        credentials = yield from self._credentials(_PROVIDER, self._source)
        asked = {
            "CaptchaType": 9,
            "Ticket": fields["ticket"],
            "Randstr": fields["randstr"],
            "UserIp": visitor(check) or _NOWHERE,
            "CaptchaAppId": self.app_id,
            "AppSecretKey": self._app_secret_key,
        }
        body = json.dumps(asked).encode()
        headers = signing.signed_headers(
            credentials,
            service="captcha",
            host=self._host,
            action="DescribeCaptchaResult",
            version=VERSION,
            body=body,
            timestamp=check.now_ms // 1000,
        )
        response, found = yield from self._exchange(self._request("/", headers=headers, body=body))
        return self._judged(_meaning(response, found.get("Response")), self.life_s)


def _meaning(response: HttpResponse, body: object) -> Meaning:
    answer: Mapping[str, Any] = body if isinstance(body, dict) else {}
    error, number = answer.get("Error"), answer.get("CaptchaCode")
    if response.status == 200 and isinstance(number, int) and not isinstance(number, bool):
        meaning = CAPTCHA_CODES.get(number, "wrong")
        # Without a challenge for the visitor (无感验证), CaptchaCode is 1 for attackers too.
        return "score" if meaning == "" and answer.get("EvilLevel") == _EVIL else meaning
    code = token(error.get("Code")) if isinstance(error, dict) else ""
    known = meaning_of(code, CODES)
    if known is not None:
        return known
    return Trouble(f"the call is refused (HTTP {response.status}, {code or 'no code'})", _REPORT, bool(code))


def _read_app_id(field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ConfigurationError(f"{field} is not a whole number.", "Copy it again from the captcha's console.")
    return value
