"""Geetest's captcha (极验行为验证), version 4.

Sources: https://docs.geetest.com/gt4/apirefer/api/server (validate, sign_token),
https://docs.geetest.com/gt4/apirefer/errorcode/server (its codes),
https://docs.geetest.com/BehaviorVerification/apirefer/api/web (the page).
The documents list no sources for a Content-Security-Policy. Those here are the servers that gt4.js lists.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

from otpkit.captcha.base import CaptchaCheck, Reason, Verdict
from otpkit.captcha.provider import FORM, WAIT, Meaning, RemoteCaptcha, Trouble, fields_of, is_token, read_site_key
from otpkit.core.checks import Checks
from otpkit.effects import Flow, HttpResponse
from otpkit.gateways import validation
from otpkit.gateways.provider import read_json, text_of

__all__ = ["Geetest"]

_FIELDS: Final = ("lot_number", "captcha_output", "pass_token", "gen_time")
_TIME: Final = re.compile(r"[0-9]{1,16}")
_PLACES: Final = (
    *("https://static.geetest.com", "https://static.geevisit.com", "https://dn-staticdown.qbox.me"),
    *("https://gcaptcha4.geetest.com", "https://gcaptcha4.geevisit.com", "https://gcaptcha4.gsensebot.com"),
)
_ID: Final = "the operator must check captcha_id in Geetest's console"
_EXPIRED: Final = ("expire", "used", "repeat")

# The visitor chooses everything but captcha_id, so only the codes of captcha_id are no verdict.
CODES: Mapping[str, Meaning] = {
    "-50000": "wrong",  # An undefined error, caused by an abnormal request.
    "-50001": "wrong",  # risk_type
    "-50002": "wrong",  # The output can't be decrypted.
    "-50003": "expired",  # It was verified before.
    "-50004": "wrong",
    "-50005": "wrong",  # gen_time
    "-50101": Trouble("captcha_id is missing", _ID, misconfigured=True),
    "-50102": Trouble("captcha_id is not valid", _ID, misconfigured=True),
    "-50103": Trouble("there is no such captcha_id", _ID, misconfigured=True),
    "-50104": Trouble("captcha_id is deleted", _ID, misconfigured=True),
    "-50105": Trouble("captcha_id is paused", _ID, misconfigured=True),
    "-50301": "expired",  # There is no such lot_number any more.
    "-50302": "wrong",
    "-50303": "wrong",
    "-50304": "wrong",
    "-50305": "expired",
    "-50306": "wrong",
    "-50307": "wrong",
    "-50308": "expired",
}
"""The documented codes of a refused call, with their meanings."""


class Geetest(RemoteCaptcha):
    """Geetest's captcha 4 (极验行为验证): a slider, icons, or nothing to see.

    It stops scripts without a browser, and most automated browsers. It works in mainland China. An answer is accepted
    once. It has no actions: to tie answers to a purpose, use one captcha_id for each purpose.

    An answer is the JSON of the page's `getValidate()`.

    A wrong `captcha_key` can't be told from forged answers: Geetest documents no code for it.

    Args:
        captcha_id: the captcha's id, which the page shows.
        captcha_key: the captcha's key; it signs and is never sent.
        base_url: the URL to which `/validate` is appended; `http://` is allowed for loopback only.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = "geetest"
    title: ClassVar[str] = "Geetest"
    probe: ClassVar[str] = '{"lot_number": "0", "captcha_output": "0", "pass_token": "0", "gen_time": "0"}'
    life_s: ClassVar[int] = 600  # Geetest documents no time.
    csp: Mapping[str, tuple[str, ...]] = MappingProxyType(
        dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), _PLACES)
    )

    def __init__(
        self,
        captcha_id: str,
        captcha_key: str,
        *,
        base_url: str = "https://gcaptcha4.geetest.com",
        timeout: tuple[float, float] | float = (3, 5),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            self.captcha_id = checks.value("captcha_id", read_site_key, captcha_id)
            self._captcha_key = checks.value("captcha_key", validation.header_value, captcha_key)
            self._connect(checks, base_url, timeout, proxy)

    def identity(self, answer: str) -> str:
        """Return the lot number: the same JSON can be written in many ways."""
        fields = fields_of(answer, *_FIELDS)
        return answer if fields is None else fields["lot_number"]

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return the captcha_id for `initGeetest4`, and the script."""
        return {
            "provider": self.name,
            "captcha_id": self.captcha_id,
            "script": "https://static.geetest.com/v4/gt4.js",
            "field": "captcha",
        }

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge one answer: the JSON of `getValidate()`."""
        fields = fields_of(answer, *_FIELDS)
        if fields is None or not _TIME.fullmatch(fields["gen_time"]):
            return Verdict(False, "malformed")
        if (read_json(answer).get("captcha_id") or self.captcha_id) != self.captcha_id:
            return Verdict(False, "foreign")
        key, message = self._captcha_key.encode(), fields["lot_number"].encode()
        form = {**fields, "sign_token": hmac.digest(key, message, "sha256").hex()}
        request = self._request(
            "/validate",
            params={"captcha_id": self.captcha_id},
            headers={"Content-Type": FORM},
            body=urlencode(form).encode(),
        )
        response, body = yield from self._exchange(request)
        return self._judged(_meaning(response, body), self.life_s)


def _meaning(response: HttpResponse, body: Mapping[str, Any]) -> Meaning:
    if body.get("status") == "error":
        return CODES.get(text_of(body.get("code")), "wrong")
    match body.get("result"):
        case "success" if response.status == 200:
            return ""
        case "fail":
            return _reason(body.get("reason"))
    return Trouble(f"its answer has another form than documented (HTTP {response.status})", WAIT)


def _reason(text: object) -> Reason:
    """Return the meaning of a reason such as `pass_token expire`. Geetest lists none of them."""
    said = text.lower() if isinstance(text, str) and is_token(text.replace(" ", "_"), 200) else ""
    return "expired" if any(word in said for word in _EXPIRED) else "wrong"
