"""The protocol `siteverify`, which reCAPTCHA began and hCaptcha and Turnstile speak: a form in, JSON out.

The answer's `success` decides. If it is false, `error-codes` has the reasons.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from otpkit.captcha.base import MAX_ANSWER, CaptchaCheck, Verdict
from otpkit.captcha.provider import FORM, Meaning, RemoteCaptcha, Trouble, is_token, visitor
from otpkit.effects import Flow

_KEYS = "the operator must copy the secret key again from the provider's console"
# Codes that all three document alike.
COMMON: Mapping[str, Meaning] = {
    "missing-input-secret": Trouble("the secret key is missing", _KEYS, misconfigured=True),
    "invalid-input-secret": Trouble("the secret key is not accepted", _KEYS, misconfigured=True),
    "missing-input-response": "wrong",
    "invalid-input-response": "wrong",
    # An answer can cause it, so it is no trouble of the provider's.
    "bad-request": "wrong",
    "timeout-or-duplicate": "expired",
}


def _precedence(meaning: Meaning) -> int:
    return 2 if not isinstance(meaning, Trouble) else 0 if meaning.misconfigured else 1


class SiteVerify(RemoteCaptcha):
    """A captcha that is verified by `siteverify`."""

    probe: ClassVar[str] = "otpkit-doctor"
    codes: ClassVar[Mapping[str, Meaning]]
    """The documented codes of `error-codes`, with their meanings."""
    life_s: ClassVar[int]
    """Seconds for which the provider accepts an answer."""
    max_answer: ClassVar[int] = MAX_ANSWER
    """The longest answer, in characters."""

    site_key: str
    _secret_key: str

    def _verify(self, path: str, answer: object, check: CaptchaCheck) -> Flow[Verdict]:
        if not is_token(answer, self.max_answer):
            return Verdict(False, "malformed")
        fields = {"secret": self._secret_key, "response": str(answer), **self._fields()}
        if ip := visitor(check):
            fields["remoteip"] = ip
        request = self._request(path, headers={"Content-Type": FORM}, body=urlencode(fields).encode())
        response, body = yield from self._exchange(request)
        match body.get("success"):
            case True if response.status == 200:
                return self._judged(self._passed(body, check), self.life_s)
            case False:
                return self._judged(self._refusal(body.get("error-codes")), self.life_s)
        raise self._unreadable(response)

    def _fields(self) -> dict[str, str]:
        """Return further fields of the form."""
        return {}

    def _refusal(self, codes: object) -> Meaning:
        """Return what the codes mean. A refused key comes first: it says nothing about the visitor."""
        listed = codes if isinstance(codes, list) else []
        known: list[Meaning] = [self.codes.get(str(code), "wrong") for code in listed]
        known.sort(key=_precedence)
        return known[0] if known else "wrong"

    @abstractmethod
    def _passed(self, body: Mapping[str, Any], check: CaptchaCheck) -> Meaning:
        """Return what an answer means that says `success`."""

    def _is_foreign(self, body: Mapping[str, Any]) -> bool:
        """Return True if the captcha was solved on another host than `hostnames`."""
        return bool(self.hostnames) and str(body.get("hostname")).lower() not in self.hostnames
