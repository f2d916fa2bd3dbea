"""Google reCAPTCHA: v2, v3 and Enterprise.

Sources: https://developers.google.com/recaptcha/docs/verify (siteverify, its codes, two minutes, one verification),
https://developers.google.com/recaptcha/docs/v3 (score, action), https://developers.google.com/recaptcha/docs/faq
(www.recaptcha.net, Content-Security-Policy, test keys), https://cloud.google.com/recaptcha/docs/create-assessment-website
and https://cloud.google.com/recaptcha/docs/reference/rest/v1/projects.assessments (Enterprise),
https://cloud.google.com/docs/authentication/api-keys-use (the header X-goog-api-key).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from otpkit.captcha.base import CaptchaCheck, Verdict
from otpkit.captcha.provider import (
    WAIT,
    Meaning,
    Trouble,
    action_of,
    is_token,
    read_hostnames,
    read_site_key,
    visitor,
)
from otpkit.captcha.siteverify import COMMON, SiteVerify
from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpResponse
from otpkit.errors import ConfigurationError
from otpkit.gateways import validation

__all__ = ["ReCaptcha"]

Version = Literal["v2", "v3", "enterprise"]
Domain = Literal["www.google.com", "www.recaptcha.net"]
# The documents allow letters, digits, `/` and `_`. `/` is left out, because a purpose is a single word.
_ACTION: Final = re.compile(r"[A-Za-z0-9_]{1,100}")
_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9.:-]{1,62}")
_TEST_SECRET: Final = "6LeIxAcTAAAAAGG-vFI1TnRWxMZNFuojJ4WifJWe"  # noqa: S105 - It is public.
_ENTERPRISE: Final = "https://recaptchaenterprise.googleapis.com"
_KEYS: Final = "the operator must check api_key and its restrictions, project, and that the API is enabled"
_VERSION: Final = "the operator must set version to that of the keys"
INVALID_REASONS: Mapping[str, Meaning] = {
    "INVALID_REASON_UNSPECIFIED": "wrong",
    "UNKNOWN_INVALID_REASON": "wrong",
    "MALFORMED": "wrong",
    "EXPIRED": "expired",
    "DUPE": "expired",
    "MISSING": "wrong",
    "BROWSER_ERROR": "wrong",
    "UNEXPECTED_ACTION": "foreign",
    "SITE_MISMATCH": "foreign",
}
"""The documented values of `tokenProperties.invalidReason`, with their meanings."""
STATUSES: Mapping[str, Meaning] = {
    # An answer can cause it, so it is no trouble of the deployment's.
    "INVALID_ARGUMENT": "wrong",
    "UNAUTHENTICATED": Trouble("the API key is not accepted", _KEYS, misconfigured=True),
    "PERMISSION_DENIED": Trouble("the API key may not make this call", _KEYS, misconfigured=True),
    "NOT_FOUND": Trouble("there is no such project", _KEYS, misconfigured=True),
    "FAILED_PRECONDITION": Trouble("the project can't be used", _KEYS, misconfigured=True),
    "RESOURCE_EXHAUSTED": Trouble("the project's quota is used up", WAIT),
}
"""The documented statuses of a refused call of Enterprise, with their meanings."""


class ReCaptcha(SiteVerify):
    """Google reCAPTCHA: a checkbox with pictures (v2), or a score and nothing to see (v3, Enterprise).

    v2 stops scripts without a browser, and most automated browsers. v3 and Enterprise never ask the visitor anything:
    a person with a low score can't pass, however often they try. An answer is accepted once and for two minutes.

    The action of v3 and Enterprise must be the purpose, so an answer for one purpose is worth nothing for another. A
    purpose that can't be an action (others than letters, digits and `_`) has its hash as action, which `parameters`
    returns. v2 has no actions: to tie answers to a purpose, use one site key for each purpose.

    Args:
        site_key: the site key, which the page shows.
        secret_key: the secret key of v2 or v3; None for Enterprise.
        version: the version of the keys: `"v2"`, `"v3"` or `"enterprise"`.
        min_score: the lowest score that passes, 0 to 1, where 1 is most likely a person; v2 has no score. For
            Enterprise's checkbox keys, 0 leaves the decision to the checkbox.
        api_key: the Google Cloud API key for Enterprise; None for v2 and v3.
        project: the id of the Google Cloud project for Enterprise; None for v2 and v3.
        domain: the domain from which the page loads reCAPTCHA; `"www.recaptcha.net"` also works in mainland China.
        hostnames: the host names on which the captcha may be solved, such as `www.example.com`; none accepts all that
            the site key allows.
        base_url: the URL to which `/recaptcha/api/siteverify` or `/v1/projects/…/assessments` is appended; None is
            `domain`, or Google Cloud for Enterprise. `http://` is allowed for loopback only.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = "recaptcha"
    title: ClassVar[str] = "reCAPTCHA"
    codes: ClassVar[Mapping[str, Meaning]] = COMMON
    life_s: ClassVar[int] = 120
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("secret_key", "api_key"),)

    def __init__(
        self,
        site_key: str,
        secret_key: str | None = None,
        *,
        version: Version = "v2",
        min_score: float = 0.5,
        api_key: str | None = None,
        project: str | None = None,
        domain: Domain = "www.google.com",
        hostnames: str | Iterable[str] = (),
        base_url: str | None = None,
        timeout: tuple[float, float] | float = (3, 5),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            self.site_key = checks.value("site_key", read_site_key, site_key)
            self.version = checks.value("version", _read_version, version)
            self.domain = checks.value("domain", _read_domain, domain)
            self.min_score = checks.value("min_score", _read_score, min_score)
            if version == "enterprise":
                self._secret_key = checks.value("api_key", validation.header_value, api_key)
                self._project = checks.value("project", _read_project, project)
            else:
                self._secret_key = checks.value("secret_key", validation.header_value, secret_key)
            self.hostnames = checks.value("hostnames", read_hostnames, hostnames)
            usual = _ENTERPRISE if version == "enterprise" else f"https://{domain}"
            self._connect(checks, usual if base_url is None else base_url, timeout, proxy)
        self.uses_test_keys = secret_key == _TEST_SECRET
        self.csp = MappingProxyType(
            {
                "script-src": (f"https://{domain}/recaptcha/", "https://www.gstatic.com/recaptcha/"),
                "frame-src": (f"https://{domain}/recaptcha/", "https://recaptcha.google.com/recaptcha/"),
            }
        )

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return the site key, the version, the script, the name of the form field, and the action, "" for v2."""
        script = "enterprise.js" if self.version == "enterprise" else "api.js"
        query = "" if self.version == "v2" else f"?render={self.site_key}"
        return {
            "provider": self.name,
            "site_key": self.site_key,
            "version": self.version,
            "action": "" if self.version == "v2" else action_of(purpose, _ACTION),
            "script": f"https://{self.domain}/recaptcha/{script}{query}",
            "field": "g-recaptcha-response",
        }

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge one answer: the text of the field `g-recaptcha-response`, or what `execute` returned."""
        if self.version == "enterprise":
            return (yield from self._assess(answer, check))
        return (yield from self._verify("/recaptcha/api/siteverify", answer, check))

    def _passed(self, body: Mapping[str, Any], check: CaptchaCheck) -> Meaning:
        has_score = "score" in body
        if has_score != (self.version == "v3"):
            # With the keys of v3, every answer is a success: the score alone tells people from bots.
            keys = "v3" if has_score else "v2"
            return Trouble(f"the keys are those of {keys}, not of {self.version}", _VERSION, misconfigured=True)
        if self._is_foreign(body) or (has_score and body.get("action") != action_of(check.purpose, _ACTION)):
            return "foreign"
        return self._scored(body.get("score")) if has_score else ""

    def _assess(self, answer: object, check: CaptchaCheck) -> Flow[Verdict]:
        if not is_token(answer, self.max_answer):
            return Verdict(False, "malformed")
        event = {"token": answer, "siteKey": self.site_key, "expectedAction": action_of(check.purpose, _ACTION)}
        if ip := visitor(check):
            event["userIpAddress"] = ip
        headers = {"Content-Type": "application/json", "X-Goog-Api-Key": self._secret_key}
        path = f"/v1/projects/{self._project}/assessments"
        request = self._request(path, headers=headers, body=json.dumps({"event": event}).encode())
        response, body = yield from self._exchange(request)
        return self._judged(self._assessed(response, body, check), self.life_s)

    def _assessed(self, response: HttpResponse, body: Mapping[str, Any], check: CaptchaCheck) -> Meaning:
        if response.status != 200:
            return _refused(response.status, body)
        token = body.get("tokenProperties")
        if not isinstance(token, dict) or not isinstance(token.get("valid"), bool):
            return Trouble("its answer has another form than documented", WAIT)
        if not token["valid"]:
            return INVALID_REASONS.get(str(token.get("invalidReason")), "wrong")
        action = str(token.get("action", "")).lower()  # Google compares without regard to case.
        if self._is_foreign(token) or action != action_of(check.purpose, _ACTION).lower():
            return "foreign"
        risk = body.get("riskAnalysis")
        return self._scored(risk.get("score", 0.0) if isinstance(risk, dict) else None)

    def _scored(self, score: object) -> Meaning:
        is_number = isinstance(score, int | float) and not isinstance(score, bool)
        if not is_number:
            return Trouble("its answer has no score", WAIT)
        return "" if score >= self.min_score else "score"  # type: ignore[operator]


def _refused(status: int, body: Mapping[str, Any]) -> Meaning:
    error = body.get("error")
    error = error if isinstance(error, dict) else {}
    # A key that is not valid is an INVALID_ARGUMENT too. The reason tells it from an answer that is not.
    details = error.get("details")
    reasons = [each.get("reason") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    if any(str(reason).startswith("API_KEY_") for reason in reasons):
        return STATUSES["UNAUTHENTICATED"]
    return STATUSES.get(str(error.get("status")), Trouble(f"the call is refused (HTTP {status})", _KEYS, True))


def _read_version(field: str, value: object) -> str:
    if value not in {"v2", "v3", "enterprise"}:
        raise ConfigurationError(f'{field} must be "v2", "v3" or "enterprise".')
    return str(value)


def _read_domain(field: str, value: object) -> str:
    if value not in {"www.google.com", "www.recaptcha.net"}:
        raise ConfigurationError(f'{field} must be "www.google.com" or "www.recaptcha.net".')
    return str(value)


def _read_score(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"{field} must be a number from 0 to 1.", "Begin with 0.5, as Google advises.")
    return float(value)


def _read_project(field: str, value: object) -> str:
    if not isinstance(value, str) or not _PROJECT.fullmatch(value):
        raise ConfigurationError(f"{field} is not the id of a Google Cloud project.", "Pass one like my-project-1234.")
    return value
