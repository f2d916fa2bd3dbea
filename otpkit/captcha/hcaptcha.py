"""hCaptcha.

Source: https://docs.hcaptcha.com/ (siteverify and the table of its codes, Content-Security-Policy, test keys). The
codes of older versions of that table are still understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from otpkit.captcha.base import CaptchaCheck, Verdict
from otpkit.captcha.provider import Meaning, Trouble, read_hostnames, read_site_key
from otpkit.captcha.siteverify import COMMON, SiteVerify
from otpkit.core.checks import Checks
from otpkit.effects import Flow
from otpkit.gateways import validation

__all__ = ["HCaptcha"]

_ORIGINS: Final = ("https://hcaptcha.com", "https://*.hcaptcha.com")
_TEST_SECRET: Final = "0x0000000000000000000000000000000000000000"  # noqa: S105 - It is public.


class HCaptcha(SiteVerify):
    """hCaptcha: a checkbox, and pictures for suspected bots.

    It stops scripts without a browser, and most automated browsers. An answer is accepted once and for 120 seconds.
    hCaptcha has no actions: to tie answers to a purpose, use one site key for each purpose.

    Args:
        site_key: the site key, which the page shows. An answer for another site key is refused.
        secret_key: the account's secret key.
        hostnames: the host names on which the captcha may be solved, such as `www.example.com`; none accepts all that
            the site key allows.
        base_url: the URL to which `/siteverify` is appended; `http://` is allowed for loopback only.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = "hcaptcha"
    title: ClassVar[str] = "hCaptcha"
    codes: ClassVar[Mapping[str, Meaning]] = {
        **COMMON,
        "expired-input-response": "expired",
        "already-seen-response": "expired",
        "invalid-or-already-seen-response": "expired",
        "invalid-remoteip": "wrong",
        "missing-remoteip": Trouble(
            "it needs the visitor's IP address", "the developer must pass ip= to issue", misconfigured=True
        ),
        "sitekey-secret-mismatch": Trouble(
            "the site key does not belong to the secret key",
            "the operator must copy both again from hCaptcha's dashboard",
            misconfigured=True,
        ),
        "not-using-dummy-passcode": Trouble(
            "the secret key is the public test key, and the answer is not the test answer",
            "the operator must set the account's own secret key",
            misconfigured=True,
        ),
    }
    life_s: ClassVar[int] = 120
    csp: Mapping[str, tuple[str, ...]] = MappingProxyType(
        dict.fromkeys(("script-src", "frame-src", "style-src", "connect-src"), _ORIGINS)
    )

    def __init__(
        self,
        site_key: str,
        secret_key: str,
        *,
        hostnames: str | Iterable[str] = (),
        base_url: str = "https://api.hcaptcha.com",
        timeout: tuple[float, float] | float = (3, 5),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            self.site_key = checks.value("site_key", read_site_key, site_key)
            self._secret_key = checks.value("secret_key", validation.header_value, secret_key)
            self.hostnames = checks.value("hostnames", read_hostnames, hostnames)
            self._connect(checks, base_url, timeout, proxy)
        self.uses_test_keys = secret_key == _TEST_SECRET

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return the site key, the script, and the name of the form field."""
        return {
            "provider": self.name,
            "site_key": self.site_key,
            "script": "https://js.hcaptcha.com/1/api.js",
            "field": "h-captcha-response",
        }

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge one answer: the text of the field `h-captcha-response`."""
        return (yield from self._verify("/siteverify", answer, check))

    def _fields(self) -> dict[str, str]:
        return {"sitekey": self.site_key}

    def _passed(self, body: Mapping[str, Any], check: CaptchaCheck) -> Meaning:
        return "foreign" if self._is_foreign(body) else ""
