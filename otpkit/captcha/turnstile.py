"""Cloudflare Turnstile.

Sources: https://developers.cloudflare.com/turnstile/get-started/server-side-validation/ (siteverify, its codes, 2048
characters, 300 seconds, one validation), …/turnstile/get-started/client-side-rendering/widget-configurations/ (action),
…/turnstile/reference/content-security-policy/, …/turnstile/troubleshooting/testing/ (test keys).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

from otpkit.captcha.base import CaptchaCheck, Verdict
from otpkit.captcha.provider import WAIT, Meaning, Trouble, action_of, read_hostnames, read_site_key
from otpkit.captcha.siteverify import COMMON, SiteVerify
from otpkit.core.checks import Checks
from otpkit.effects import Flow
from otpkit.gateways import validation

__all__ = ["Turnstile"]

_ORIGIN: Final = "https://challenges.cloudflare.com"
_ACTION: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_ALWAYS_PASSES: Final = "1x0000000000000000000000000000000AA"


class Turnstile(SiteVerify):
    """Cloudflare Turnstile: a checkbox, or nothing to see.

    It stops scripts without a browser, and most automated browsers. An answer is accepted once and for 300 seconds.
    Its action must be the purpose, so an answer for one purpose is worth nothing for another. A purpose that can't be
    an action (more than 32 characters, or others than letters, digits, `_` and `-`) has its hash as action, which
    `parameters` returns.

    With the public test key that always passes, actions and host names are not checked.

    Args:
        site_key: the widget's site key, which the page shows.
        secret_key: the widget's secret key.
        hostnames: the host names on which the captcha may be solved, such as `www.example.com`; none accepts all that
            the widget allows.
        base_url: the URL to which `/turnstile/v0/siteverify` is appended; `http://` is allowed for loopback only. From
            such a URL, which is a sandbox's, the page also loads its script.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = "turnstile"
    title: ClassVar[str] = "Turnstile"
    codes: ClassVar[Mapping[str, Meaning]] = {
        **COMMON,
        "internal-error": Trouble("an error occurred at Cloudflare", WAIT),
    }
    life_s: ClassVar[int] = 300
    max_answer: ClassVar[int] = 2048

    def __init__(
        self,
        site_key: str,
        secret_key: str,
        *,
        hostnames: str | Iterable[str] = (),
        base_url: str = _ORIGIN,
        timeout: tuple[float, float] | float = (3, 5),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            self.site_key = checks.value("site_key", read_site_key, site_key)
            self._secret_key = checks.value("secret_key", validation.header_value, secret_key)
            self.hostnames = checks.value("hostnames", read_hostnames, hostnames)
            self._connect(checks, base_url, timeout, proxy)
        self.uses_test_keys = secret_key == _ALWAYS_PASSES
        # A proxy of the application's own is not there for visitors, but a sandbox is.
        self._place = self.base_url if self.base_url.startswith("http:") else _ORIGIN
        source = "/".join(self._place.split("/")[:3])
        self.csp = MappingProxyType({"script-src": (source,), "frame-src": (source,)})

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return the site key, the action for `turnstile.render`, the script, and the name of the form field."""
        return {
            "provider": self.name,
            "site_key": self.site_key,
            "action": action_of(purpose, _ACTION),
            "script": f"{self._place}/turnstile/v0/api.js",
            "field": "cf-turnstile-response",
        }

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge one answer: the text of the field `cf-turnstile-response`."""
        return (yield from self._verify("/turnstile/v0/siteverify", answer, check))

    def _passed(self, body: Mapping[str, Any], check: CaptchaCheck) -> Meaning:
        if self.uses_test_keys:
            return ""
        is_foreign = self._is_foreign(body) or body.get("action") != action_of(check.purpose, _ACTION)
        return "foreign" if is_foreign else ""
