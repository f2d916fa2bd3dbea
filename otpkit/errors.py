"""The errors that otpkit raises, each with the evidence that its handler needs.

::

    OTPError                      .code a stable word, .status an HTTP hint, .retry_after seconds or None
    ├── ConfigurationError        .problems, one for each wrong field: the deployment is wrong
    ├── PhoneError                .kind: not a mobile number
    │   └── RegionError           .served: a number of a region that is not allowed
    ├── RateLimitError            .scope, .rate, .challenge
    ├── BlockedError              too many consecutive failures
    ├── RefusedError              .reasons: the application's own judgement refused the send
    ├── CaptchaRequiredError      .provider, .parameters, .reasons: nothing was sent
    │   └── CaptchaRejectedError  the answer is wrong, too old, or was used before
    ├── CaptchaUnavailableError   the captcha's provider did not answer
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

``error.problem`` describes what is wrong, and ``error.remedy`` who should do what. Both are for the developer and the
log; ``str(error)`` joins them. ``error.message("en")`` and ``error.message("zh")`` are for the user at the form, with
the texts of `otpkit/languages`. None of them contains a code, a secret or a whole phone number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from otpkit.languages import DEFAULT, duration, languages, texts
from otpkit.models import Challenge

Language: TypeAlias = str  # One of `otpkit.languages.languages()`, such as "en" and "zh".
RateLimitScope = Literal["phone", "ip", "region", "total", "failures", "gateway", "range", "guard_ip"]
RejectionCategory = Literal["account", "configuration", "number", "request", "rate_limit", "quota", "connection"]
RejectionConcern = Literal["gateway", "message"]
PhoneProblem = Literal["spelling", "landline", "unknown"]


def sentence(text: str) -> str:
    """Return a text as a sentence: with a capital letter at the start and a full stop at the end."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def _joined(problem: str, remedy: str) -> str:
    if not remedy or not problem:
        return problem or remedy
    return f"{problem}{'' if problem.endswith(('.', '?')) else '.'} {remedy}"


class OTPError(Exception):
    """The base class of all errors of otpkit.

    Args:
        problem: what is wrong, in whole sentences.
        remedy: who should do what; "" if nothing can be done.
        retry_after: seconds after which the same call may succeed, rounded up to a whole number of at least 1; None if
            waiting does not help (RFC 6585 §4, RFC 9110 §10.2.3).
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    _text: ClassVar[str] = "error"  # The key of the message, below `errors` in `otpkit/languages`.

    def __init__(self, problem: str = "", remedy: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(*((problem, remedy) if remedy else (problem,)))
        self.problem = problem
        self.remedy = remedy
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))

    def __str__(self) -> str:
        return _joined(self.problem, self.remedy)

    def message(self, lang: Language = DEFAULT) -> str:
        """Return one or two sentences for the user at the form.

        Args:
            lang: a language of `otpkit.languages.languages()`, such as `"en"` or `"zh"`.

        Returns:
            The text.

        Raises:
            ConfigurationError: otpkit has no texts in the language.
        """
        if lang not in languages():
            known = ", ".join(map(repr, languages()))
            raise ConfigurationError(f"There are no texts in the language {lang!r:.20}.", f"Choose one of {known}.")
        text: str = texts(lang)["errors"][self._key()]
        return text.format(**self._values(lang))

    def _key(self) -> str:
        return self._text

    def _values(self, lang: Language) -> dict[str, object]:
        return {"wait": duration(self.retry_after, lang)} if self.retry_after is not None else {}


class FieldProblem(NamedTuple):
    """One wrong field: an argument, a variable of the environment, or a setting in a file.

    `field` is its name. `problem` and `remedy` are as in `OTPError`. `is_missing` is True if the field was not set.
    """

    field: str
    problem: str
    remedy: str = ""
    is_missing: bool = False

    def __str__(self) -> str:
        return _joined(self.problem, self.remedy)


class ConfigurationError(OTPError):
    """The deployment is wrong, and the developer or operator must change it. It is raised as early as possible.

    `problems` contains each wrong field of a constructor or of settings; it is () if the error is not about fields.
    With several problems, `problem` and `remedy` join their texts.
    """

    code = "configuration"

    def __init__(
        self,
        problem: str = "",
        remedy: str = "",
        *,
        problems: Iterable[FieldProblem] = (),
        retry_after: float | None = None,
    ) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        if self.problems and not problem:
            problem = " ".join(each.problem for each in self.problems)
            remedy = " ".join(dict.fromkeys(each.remedy for each in self.problems if each.remedy))
        super().__init__(problem, remedy, retry_after=retry_after)

    def __str__(self) -> str:
        if len(self.problems) < 2:
            return super().__str__()
        return "\n- ".join(("The settings can't be used:", *map(str, self.problems)))


_MOST_SERVED = 3  # The most country codes that a sentence lists.


class PhoneError(OTPError):
    """The text is not a mobile number.

    `kind` is the reason: `spelling` (its characters or its number of digits), `landline`, or `unknown` (no numbering
    plan has such a number).
    """

    code = "phone"
    status = 422
    _text = "phone"

    def __init__(
        self,
        problem: str = "",
        remedy: str = "",
        *,
        kind: PhoneProblem = "spelling",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, remedy, retry_after=retry_after)
        self.kind = kind

    def _key(self) -> str:
        return self._text if self.kind == "spelling" else f"phone_{self.kind}"


class RegionError(PhoneError):
    """A number of a region that `Policy.regions` does not allow. `served` are the allowed country codes."""

    code = "region"
    _text = "region"

    def __init__(
        self,
        problem: str = "",
        remedy: str = "",
        *,
        served: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, remedy, retry_after=retry_after)
        self.served = served

    def _key(self) -> str:
        return "region_served" if 0 < len(self.served) <= _MOST_SERVED else "region"

    def _values(self, lang: Language) -> dict[str, object]:
        if self._key() == "region":
            return {}
        either: str = texts(lang)["errors"]["or"]
        return {"codes": reduce(lambda first, second: either.format(first=first, second=second), self.served)}


class UsedUpRate(Protocol):
    """The shape of `Rate`, whose module imports this one: at most `limit` in `seconds`."""

    @property
    def limit(self) -> int: ...

    @property
    def seconds(self) -> int: ...


class RateLimitError(OTPError):
    """A limit is used up.

    `scope` is the owner of the limit: the phone's sends, an IP address, a region, all sends in total, the phone's wrong
    codes, the gateway, or what the guard refuses: a range of numbers (`range`) or an address (`guard_ip`). `rate` is
    the rate that is used up; of several, it is the one with the longest wait. For an IPv6 /64 it is the /64's share. It
    is None if a gateway or the guard refuses. `challenge` is the live challenge of the same phone, purpose and bind, or
    None. If there is one, show the form for the code. If there is none and the scope is `phone`, `retry_after` reveals
    when someone else requested a code for the number: `otpkit.web.discreet` answers every stranger alike.
    """

    code = "rate_limit"
    status = 429
    _text = "rate_limit"

    def __init__(
        self,
        problem: str = "",
        remedy: str = "",
        *,
        scope: RateLimitScope = "phone",
        rate: UsedUpRate | None = None,
        retry_after: float | None = None,
        challenge: Challenge | None = None,
    ) -> None:
        super().__init__(problem, remedy, retry_after=retry_after)
        self.scope = scope
        self.rate = rate
        self.challenge = challenge

    def _key(self) -> str:
        return "rate_limit" if self.retry_after is None else "rate_limit_wait"


class BlockedError(OTPError):
    """Too many consecutive wrong codes for this phone. Only `unblock` ends the block (NIST SP 800-63B-4 §3.2.2)."""

    code = "blocked"
    status = 423
    _text = "blocked"


class RefusedError(OTPError):
    """The application's own judgement (`Guard.risk`) refused the send. `reasons` are for the log, not the visitor."""

    code = "refused"
    status = 403
    _text = "refused"

    def __init__(
        self,
        problem: str = "",
        remedy: str = "",
        *,
        reasons: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, remedy, retry_after=retry_after)
        self.reasons = reasons


class CaptchaRequiredError(OTPError):
    """A captcha must be solved before a code is sent. Nothing was sent, and no limit was charged.

    `provider` is the captcha's name, such as `turnstile`. `parameters` is what a page needs to show it, as a JSON
    object without secrets. `reasons` are the scopes that are over their allowance: `range`, `ip`, `net`, `region`,
    `total` or `guesses`; `always`; or the words of `Guard.risk`. They are for the log, not for the visitor.
    """

    code = "captcha_required"
    status = 403
    _text = "captcha_required"

    def __init__(
        self,
        problem: str = "",
        remedy: str = "",
        *,
        provider: str = "",
        parameters: Mapping[str, object] | None = None,
        reasons: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, remedy, retry_after=retry_after)
        self.provider = provider
        self.parameters = dict(parameters or {})
        self.reasons = reasons


class CaptchaRejectedError(CaptchaRequiredError):
    """The captcha's answer is wrong, too old, or was used before. `parameters` are those of a new captcha."""

    code = "captcha_rejected"
    _text = "captcha_rejected"


class CaptchaUnavailableError(OTPError):
    """The captcha's provider did not answer, and `Guard.fallback` is `"refuse"`. Nothing was sent."""

    code = "captcha_unavailable"
    status = 503
    _text = "captcha_unavailable"


class CodeError(OTPError):
    """The code did not verify."""

    code = "code"
    status = 422


class MalformedCodeError(CodeError):
    """The text does not have the digits of a code. Redis was not called, and no attempt was used."""

    code = "malformed_code"
    _text = "malformed_code"


class WrongCodeError(CodeError):
    """A wrong code. `attempts_left` is how many more wrong codes the challenge accepts; at 0, issue a new code."""

    code = "wrong_code"
    _text = "wrong_code"

    def __init__(self, problem: str = "", remedy: str = "", *, attempts_left: int = 0) -> None:
        super().__init__(problem, remedy)
        self.attempts_left = attempts_left

    def _key(self) -> str:
        return "wrong_code" if self.attempts_left else "wrong_code_last"

    def _values(self, lang: Language) -> dict[str, object]:
        return {"attempts_left": self.attempts_left}


class ExpiredCodeError(CodeError):
    """No live challenge: never issued, expired, used, revoked or used up. The error does not reveal which."""

    code = "expired_code"
    _text = "expired_code"


class TokenError(OTPError):
    """The token does not prove what it should."""

    code = "token"
    status = 401
    _text = "token"


class InvalidTokenError(TokenError):
    """The token is not otpkit's, or is for another namespace, purpose, bind or phone."""

    code = "invalid_token"


class ExpiredTokenError(TokenError):
    """The token has expired."""

    code = "expired_token"


class UsedTokenError(TokenError):
    """The token was already redeemed, or its record is gone (erased phone, lost data). It fails closed."""

    code = "used_token"


_OF_THE_GATEWAY = frozenset({"account", "quota", "connection"})


class GatewayRejectedError(OTPError):
    """The gateway certainly did not send the message.

    `gateway` is its name, `gateway_code` its own error code or "". `category` shows who must act:

    - `account`: top up, activate the product, or check the keys.
    - `configuration`: correct the template, signature or settings, or add a gateway for numbers that this one can't
      reach.
    - `number`: this number can't be served.
    - `request`: the request was malformed, which is a bug.
    - `rate_limit`: wait.
    - `quota`: the account's daily or monthly allowance is used up, or it makes too many calls.
    - `connection`: the gateway could not be reached.

    `concerns` is the scope of the rejection: `gateway` is every message, `message` only this one, because of its
    number, region, template or text. A `Failover` counts only `gateway` when it decides to rest a gateway. By default,
    `account`, `quota` and `connection` concern the gateway, all others the message.
    """

    code = "gateway_rejected"
    status = 502
    _text = "gateway_rejected"

    def __init__(
        self,
        problem: str = "",
        remedy: str = "",
        *,
        gateway: str = "",
        gateway_code: str = "",
        category: RejectionCategory = "request",
        concerns: RejectionConcern | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(problem, remedy, retry_after=retry_after)
        self.gateway = gateway
        self.gateway_code = gateway_code
        self.category: RejectionCategory = category
        self.concerns: RejectionConcern = concerns or ("gateway" if category in _OF_THE_GATEWAY else "message")

    def _key(self) -> str:
        if self.category == "number":
            return "gateway_rejected_number"
        return "gateway_rejected" if self.retry_after is None else "gateway_rejected_wait"


class StoreUnavailableError(OTPError):
    """Redis did not answer, so nothing was granted and nothing is sent."""

    code = "store_unavailable"
    status = 503
