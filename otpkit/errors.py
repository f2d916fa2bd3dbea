"""Every error that otpkit raises, each with the evidence that its handler needs.

::

    OTPError                      .code a stable word, .status an HTTP hint, .retry_after seconds or None
    ├── ConfigurationError        the deployment is wrong
    ├── PhoneError                .kind: not a mobile number
    │   └── RegionError           .served: a number of a region that is not allowed
    ├── RateLimitError            .scope, .rate, .challenge
    ├── BlockedError              too many consecutive failures
    ├── CodeError
    │   ├── MalformedCodeError    not N ASCII digits
    │   ├── WrongCodeError        .attempts_left
    │   └── ExpiredCodeError      no live challenge
    ├── TokenError
    │   ├── InvalidTokenError
    │   ├── ExpiredTokenError
    │   └── UsedTokenError
    ├── GatewayRejectedError      .gateway, .gateway_code, .category, .concerns: certainly not sent
    └── StoreUnavailableError     Redis did not answer: nothing is granted, nothing is sent

``str(error)`` is for the developer and the log: what was wrong, who must act, what to do. ``error.message("en")`` and
``error.message("zh")`` are for the person at the form. Neither holds a code, a secret or a whole phone number.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal, Protocol

from otpkit.models import Challenge

Language = Literal["en", "zh"]
RateLimitScope = Literal["phone", "ip", "region", "total", "failures", "gateway"]
RejectionCategory = Literal["account", "configuration", "number", "request", "rate_limit", "quota", "connection"]
RejectionConcern = Literal["gateway", "message"]
PhoneProblem = Literal["spelling", "landline", "unknown"]


class OTPError(Exception):
    """The root of all that otpkit raises.

    `retry_after` is a whole number of seconds, at least 1, after which the same call may succeed; None where waiting
    does not help (RFC 6585 §4, RFC 9110 §10.2.3).
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    _en: ClassVar[str] = "Something went wrong on our side. Please try again later."
    _zh: ClassVar[str] = "系统出了点问题，请稍后再试。"

    def __init__(self, detail: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))

    def message(self, lang: Language = "en") -> str:
        """Return one sentence for the person at the form, in English (`"en"`) or Chinese (`"zh"`)."""
        if lang not in {"en", "zh"}:
            raise ConfigurationError(f"message() speaks 'en' and 'zh', not {lang!r:.20}; pass one of these.")
        text = self._en if lang == "en" else self._zh
        return text.format(wait=_wait(self.retry_after, lang), **self._evidence())

    def _evidence(self) -> dict[str, object]:
        return {}


class ConfigurationError(OTPError):
    """The deployment is wrong: the developer or operator must change it; raised as early as it can be."""

    code = "configuration"


_PHONE_HINTS: dict[PhoneProblem, tuple[str, str]] = {
    "spelling": ("", ""),
    "landline": (" This one is not a mobile.", "该号码不是手机号码。"),
    "unknown": (" There is no such number: check its digits and its country code.", "该号码不存在，请检查号码和区号。"),
}
_MOST_SERVED = 3  # country codes in a sentence


class PhoneError(OTPError):
    """What was typed is not a mobile number.

    `kind` says why: `spelling` (its characters or how many digits it has), `landline`, or `unknown` (no numbering plan
    has such a number).
    """

    code = "phone"
    status = 422
    _en = "Please enter a valid mobile number.{hint_en}"
    _zh = "请输入正确的手机号码。{hint_zh}"

    def __init__(self, detail: str = "", *, kind: PhoneProblem = "spelling", retry_after: float | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.kind = kind

    def _evidence(self) -> dict[str, object]:
        en, zh = _PHONE_HINTS[self.kind]
        return {"hint_en": en, "hint_zh": zh}


class RegionError(PhoneError):
    """A number of a region that `Policy.regions` does not allow. `served` are the country codes of those it does."""

    code = "region"
    _en = "Sorry, numbers of this country or region are not supported.{hint_en}"
    _zh = "抱歉，暂不支持该国家或地区的号码。{hint_zh}"

    def __init__(self, detail: str = "", *, served: tuple[str, ...] = (), retry_after: float | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.served = served

    def _evidence(self) -> dict[str, object]:
        if not 0 < len(self.served) <= _MOST_SERVED:
            return {"hint_en": "", "hint_zh": ""}
        en, zh = " or ".join(self.served), "或 ".join(f"{code} " for code in self.served)
        return {"hint_en": f" Please enter one that begins with {en}.", "hint_zh": f"请输入以 {zh}开头的号码。"}


class UsedUpRate(Protocol):
    """A `Rate` of the policy, which stands above the errors: at most `limit` in `seconds`."""

    @property
    def limit(self) -> int: ...

    @property
    def seconds(self) -> int: ...


class RateLimitError(OTPError):
    """A limit is used up.

    `scope` says whose: of the phone's sends, of an IP address, a region, all sends in total, the phone's wrong codes,
    or the gateway itself. `rate` is the one that is used up, of several the one that takes longest to allow one more
    (for an IPv6 /64 its share); None where a gateway refuses, which does not tell. `challenge` is the live one of the
    same phone, purpose and bind, or None: while there is one, show the form for the code. Where it is None,
    `retry_after` of the scope `phone` tells when others had a code sent to the number: `otpkit.web.discreet` has one
    answer for strangers.
    """

    code = "rate_limit"
    status = 429
    _en = "Too many requests. Please try again {wait}."
    _zh = "操作太频繁，请{wait}再试。"

    def __init__(
        self,
        detail: str = "",
        *,
        scope: RateLimitScope = "phone",
        rate: UsedUpRate | None = None,
        retry_after: float | None = None,
        challenge: Challenge | None = None,
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.scope = scope
        self.rate = rate
        self.challenge = challenge


class BlockedError(OTPError):
    """Too many consecutive wrong codes for this phone; only `unblock` lifts it (NIST SP 800-63B-4 §3.2.2)."""

    code = "blocked"
    status = 423
    _en = "This number is locked after too many wrong codes. Please contact support."
    _zh = "验证码错误次数过多，该号码已被锁定，请联系客服。"


class CodeError(OTPError):
    """The code did not verify."""

    code = "code"
    status = 422


class MalformedCodeError(CodeError):
    """Not as many ASCII digits as a code has; Redis was not asked and no attempt was spent."""

    code = "malformed_code"
    _en = "Please enter the digits of the code exactly as in the message."
    _zh = "请输入短信中的数字验证码。"


class WrongCodeError(CodeError):
    """A wrong code. `attempts_left` is how many more this challenge takes; at 0 a new code must be issued."""

    code = "wrong_code"
    _en = "That code is not right. Attempts left: {attempts_left}."
    _zh = "验证码不正确，还可以尝试 {attempts_left} 次。"
    _used_up: ClassVar[dict[Language, str]] = {
        "en": "That code is not right, and there are no attempts left. Please request a new one.",
        "zh": "验证码不正确，尝试次数已用完，请重新获取。",
    }

    def __init__(self, detail: str = "", *, attempts_left: int = 0) -> None:
        super().__init__(detail)
        self.attempts_left = attempts_left

    def message(self, lang: Language = "en") -> str:
        """Return what to tell the person at the form: to ask for a new code where this one takes no more attempts."""
        text = super().message(lang)
        return text if self.attempts_left else self._used_up[lang]

    def _evidence(self) -> dict[str, object]:
        return {"attempts_left": self.attempts_left}


class ExpiredCodeError(CodeError):
    """No live challenge: never issued, expired, used, revoked or burnt, which are told apart to nobody."""

    code = "expired_code"
    _en = "This code is no longer valid. Please request a new one."
    _zh = "验证码已失效，请重新获取。"


class TokenError(OTPError):
    """The token does not prove what it should."""

    code = "token"
    status = 401
    _en = "Please verify your phone number again."
    _zh = "请重新验证手机号码。"


class InvalidTokenError(TokenError):
    """Not a token of ours, or one for another namespace, purpose, bind or phone."""

    code = "invalid_token"


class ExpiredTokenError(TokenError):
    """The token's life is over."""

    code = "expired_token"


class UsedTokenError(TokenError):
    """The token was redeemed before, or its record is gone (an erased phone, lost data): it fails closed."""

    code = "used_token"


_OF_THE_GATEWAY = frozenset({"account", "quota", "connection"})


class GatewayRejectedError(OTPError):
    """The gateway certainly did not send.

    `gateway` is its name, `gateway_code` its own code for the reason ("" where there is none), `category` says who must
    act: `account` (top up, open the product, check the keys), `configuration` (fix template, signature or settings, or
    have another gateway for a number that this one can't carry), `number` (this number can't be served), `request` (a
    bug on our side), `rate_limit` (wait), `quota` (the account's own daily or monthly allowance is used up, or it makes
    too many calls), `connection` (the gateway could not be reached).

    `concerns` says what the rejection is about: `gateway` is every message, `message` this one alone, by its number,
    region, template or text. A `Failover` counts only the first towards a gateway's rest. Where it is not given,
    `account`, `quota` and `connection` concern the gateway, all others the message.
    """

    code = "gateway_rejected"
    status = 502
    _en = "The message could not be sent. The problem is on our side: please try again {wait}."
    _zh = "短信发送失败，这是我们的问题，请{wait}再试。"
    _number: ClassVar[dict[Language, str]] = {
        "en": "The message could not be sent to this number. Please check it.",
        "zh": "短信无法发送至该号码，请检查号码。",
    }

    def __init__(
        self,
        detail: str = "",
        *,
        gateway: str = "",
        gateway_code: str = "",
        category: RejectionCategory = "request",
        concerns: RejectionConcern | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.gateway = gateway
        self.gateway_code = gateway_code
        self.category: RejectionCategory = category
        self.concerns: RejectionConcern = concerns or ("gateway" if category in _OF_THE_GATEWAY else "message")

    def message(self, lang: Language = "en") -> str:
        """Return one sentence for the person at the form: to check the number only where it is to blame."""
        text = super().message(lang)
        return self._number[lang] if self.category == "number" else text


class StoreUnavailableError(OTPError):
    """Redis did not answer: nothing was granted and nothing is sent."""

    code = "store_unavailable"
    status = 503


_UNITS = ((86400, "day", "天"), (3600, "hour", "小时"), (60, "minute", "分钟"), (1, "second", "秒"))


def _wait(seconds: int | None, lang: Language) -> str:
    if seconds is None:
        return "later" if lang == "en" else "稍后"
    size, en, zh = next(unit for unit in _UNITS if seconds >= unit[0])
    n = math.ceil(seconds / size)
    return f"in {n} {en}{'' if n == 1 else 's'}" if lang == "en" else f"{n}{zh}后"
