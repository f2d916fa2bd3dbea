"""Alibaba Cloud's captcha (阿里云验证码 2.0), version 2023-03-05: VerifyIntelligentCaptcha.

Sources: https://help.aliyun.com/zh/captcha/captcha2-0/user-guide/server-access (the call, its endpoints and codes),
https://help.aliyun.com/zh/captcha/captcha2-0/use-cases/server-api-access (the signature V3),
https://help.aliyun.com/zh/captcha/captcha2-0/user-guide/description-of-data-returned-by-the-client (VerifyCode),
https://help.aliyun.com/zh/captcha/captcha2-0/user-guide/new-architecture-for-web-and-h5-client-access (the page).
The documents list no sources for a Content-Security-Policy. Those here are what the page's script loads.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal
from urllib.parse import urlencode

from otpkit.captcha.base import CaptchaCheck, Verdict
from otpkit.captcha.provider import FORM, WAIT, Meaning, RemoteCaptcha, Trouble, meaning_of, read_site_key
from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpResponse
from otpkit.errors import ConfigurationError
from otpkit.gateways.aliyun import signing
from otpkit.gateways.credentials import CredentialsSource, source
from otpkit.gateways.provider import Provider, token

__all__ = ["AliyunCaptcha"]

VERSION: Final = "2023-03-05"
Region = Literal["cn", "sgp"]
_PROVIDER: Final = Provider("aliyun-captcha", "Aliyun Captcha")
_ENDPOINTS: Final[Mapping[str, str]] = {
    "cn": "https://captcha.cn-shanghai.aliyuncs.com",
    "sgp": "https://captcha.ap-southeast-1.aliyuncs.com",
}
_DEVICES: Final[Mapping[str, str]] = {
    "cn": "https://cloudauth-device-dualstack.cn-shanghai.aliyuncs.com",
    "sgp": "https://cloudauth-device-dualstack.ap-southeast-1.aliyuncs.com",
}
_SCRIPT: Final = "https://o.alicdn.com/captcha-frontend/aliyunCaptcha/AliyunCaptcha.js"
_ANSWER: Final = re.compile(r"[ -~]{1,16384}")  # Version 2 of the client sends JSON, version 3 Base64.
_KEY: Final = "the operator must check the AccessKey, or the credentials function"
_GRANT: Final = "the account's owner must grant the RAM user AliyunYundunAFSFullAccess"
_OPEN: Final = "the account's owner must activate the captcha, or pay for it, in the console"
_REPORT: Final = "the developer must check base_url and the settings, and report it to otpkit if all of it is right"
_CLOCK: Final = "the operator must set this host's clock"

VERIFY_CODES: Mapping[str, Meaning] = {
    "T001": "",
    "T005": "",  # The console's test mode, set to pass.
    "T006": "",  # A whitelist of the account's own.
    "F001": "score",  # The risk policy suspects an attack.
    "F002": "wrong",  # CaptchaVerifyParam is empty.
    "F003": "wrong",  # It is malformed.
    "F004": "wrong",  # The console's test mode, set to fail.
    "F005": "foreign",  # Its scene does not exist.
    "F006": "foreign",
    "F008": "expired",  # It was submitted before.
    "F009": "score",  # A virtual device.
    "F010": "score",  # Too many from one address.
    "F011": "score",  # Too many from one device.
    "F012": "foreign",  # Its scene is not `scene_id`.
    "F013": "wrong",  # It lacks a field.
    "F014": "expired",  # There is no such captcha, or it is older than 20 minutes.
    "F015": "wrong",  # Not solved.
    "F016": "foreign",  # The account's rule for URLs.
    "F017": "score",  # The protocol is not kept.
    "F018": "expired",  # Used before (client version 3).
    "F019": "expired",  # Older than 90 seconds (client version 3).
    "F020": "foreign",  # For another scene or account (client version 3).
    "F022": "wrong",  # The encrypted mode's check.
    "F023": "wrong",  # The page could not begin a captcha (client version 2).
    "F024": "score",  # A script that imitates clicks.
}
"""The documented values of `Result.VerifyCode`, with their meanings."""
CODES: Mapping[str, Meaning] = {
    # An answer can cause it, so it is no trouble of the deployment's.
    "InvalidParameter*": "wrong",
    "Missing*": Trouble("a parameter is missing", _REPORT, misconfigured=True),
    "Forbidden*": Trouble("the account or RAM user may not make this call (无权限)", _GRANT, misconfigured=True),
    "Forbidden.AccountAccessDenied": Trouble(
        "the service is not active (未开通服务或已欠费)", _OPEN, misconfigured=True
    ),
    "Forbidden.RAMUserAccessDenied": Trouble("the RAM user may not make this call", _GRANT, misconfigured=True),
    "NoPermission*": Trouble("the RAM user may not make this call", _GRANT, misconfigured=True),
    "InvalidAccessKeyId*": Trouble("the AccessKey does not exist or is disabled", _KEY, misconfigured=True),
    "InvalidSecurityToken*": Trouble("the STS token has expired or is not this AccessKey's", _KEY, misconfigured=True),
    "SignatureDoesNotMatch": Trouble(
        "the signature is wrong: the secret is not this AccessKey's", _KEY, misconfigured=True
    ),
    "IncompleteSignature": Trouble("the signature is malformed", _REPORT, misconfigured=True),
    "InvalidTimeStamp*": Trouble("the request's time is wrong by more than 15 minutes", _CLOCK, misconfigured=True),
    "InvalidAction*": Trouble("there is no such call", _REPORT, misconfigured=True),
    "InvalidVersion": Trouble("there is no such version of the API", _REPORT, misconfigured=True),
    "Throttling*": Trouble("the account makes too many calls (流控)", WAIT),
    "InternalError*": Trouble("an error occurred at Alibaba Cloud (内部错误)", WAIT),
    "ServiceUnavailable*": Trouble("the service is not available", WAIT),
}
"""The codes of a refused call; `prefix*` is a family. https://error-center.alibabacloud.com/status/product/Public."""


class AliyunCaptcha(RemoteCaptcha):
    """Alibaba Cloud's captcha (阿里云验证码 2.0): a slider, a puzzle, or nothing to see.

    It stops scripts without a browser, and most automated browsers. It works in mainland China. An answer is accepted
    once, and for 90 seconds by version 3 of the client. It has no actions: to tie answers to a purpose, use one scene
    for each purpose. An answer for another scene is refused.

    Args:
        access_key_id: the id of the AccessKey of a RAM user with AliyunYundunAFSFullAccess.
        access_key_secret: the AccessKey's secret; it is never sent.
        scene_id: the scene's id (场景 ID), which the page shows.
        prefix: the account's captcha prefix (身份标), which the page shows.
        region: the region of the instance: `"cn"` is mainland China, `"sgp"` Singapore.
        security_token: the token of a temporary key (STS); None for a permanent one.
        credentials: a function that returns `Credentials(…)`, in place of key, secret and token; it is called for each
            request, and may be async with AsyncOTP only.
        base_url: the API's URL, to which `/` is appended; None is that of `region`. `http://` is allowed for loopback
            only.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = _PROVIDER.name
    title: ClassVar[str] = _PROVIDER.title
    probe: ClassVar[str] = "otpkit-doctor"
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("access_key_id", "credentials"),
        ("access_key_secret", "credentials"),
    )
    life_s: ClassVar[int] = 1200  # Version 2 of the client has 20 minutes, version 3 90 seconds.

    def __init__(
        self,
        access_key_id: str | None = None,
        access_key_secret: str | None = None,
        *,
        scene_id: str,
        prefix: str,
        region: Region = "cn",
        security_token: str | None = None,
        credentials: CredentialsSource | None = None,
        base_url: str | None = None,
        timeout: tuple[float, float] | float = (3, 5),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            static = (access_key_id, access_key_secret, security_token)
            self._source = checks.of("credentials", source, static, credentials)
            self.scene_id = checks.value("scene_id", read_site_key, scene_id)
            self.prefix = checks.value("prefix", read_site_key, prefix)
            self.region = checks.value("region", _read_region, region)
            self._connect(checks, _ENDPOINTS.get(str(region), "") if base_url is None else base_url, timeout, proxy)
        self._host, self._path = signing.place_of(self.base_url)
        self.csp = MappingProxyType(
            {
                "script-src": ("https://o.alicdn.com", "https://g.alicdn.com"),
                "style-src": ("https://g.alicdn.com",),
                "img-src": ("https://static-captcha.aliyuncs.com", "https://static-captcha-sgp.aliyuncs.com"),
                "connect-src": ("https://*.captcha-open.aliyuncs.com", _DEVICES[region]),
            }
        )

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return the scene, the prefix and the region for `initAliyunCaptcha`, and the script."""
        return {
            "provider": self.name,
            "scene_id": self.scene_id,
            "prefix": self.prefix,
            "region": self.region,
            "script": _SCRIPT,
            "field": "captchaVerifyParam",
        }

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge one answer: the text that the page's `success` callback gets, unchanged."""
        if not isinstance(answer, str) or not _ANSWER.fullmatch(answer):
            return Verdict(False, "malformed")
        credentials = yield from self._credentials(_PROVIDER, self._source)
        body = urlencode({"CaptchaVerifyParam": answer, "SceneId": self.scene_id}).encode()
        headers = signing.signed_headers(
            credentials,
            action="VerifyIntelligentCaptcha",
            version=VERSION,
            host=self._host,
            params={},
            date=datetime.fromtimestamp(check.now_ms / 1000, UTC),
            nonce=secrets.token_hex(16),
            path=self._path,
            body=body,
            content_type=FORM,
        )
        response, found = yield from self._exchange(self._request("/", headers=headers, body=body))
        return self._judged(_meaning(response, found), self.life_s)


def _meaning(response: HttpResponse, body: Mapping[str, Any]) -> Meaning:
    result = body.get("Result")
    if response.status == 200 and isinstance(result, dict) and isinstance(result.get("VerifyResult"), bool):
        meaning = VERIFY_CODES.get(token(result.get("VerifyCode")), "wrong")
        if result["VerifyResult"]:
            return ""
        return meaning or "wrong"
    code = token(body.get("Code"))
    known = meaning_of(code, CODES)
    if known is not None:
        return known
    problem = f"the call is refused (HTTP {response.status}, {code or 'no code'})"
    return Trouble(problem, _REPORT, misconfigured=400 <= response.status < 500)


def _read_region(field: str, value: object) -> str:
    if value not in _ENDPOINTS:
        raise ConfigurationError(f'{field} must be "cn" or "sgp".')
    return str(value)
