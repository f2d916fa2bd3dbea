"""Solved captchas: the answers that the providers' widgets would make, and whether an answer is still good.

No I/O and no lock: the sandbox holds the lock.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal, get_args

from otpkit.errors import ConfigurationError

CaptchaName = Literal["turnstile", "hcaptcha", "recaptcha", "aliyun-captcha", "tencent-captcha", "geetest"]
# Seconds for which each provider accepts an answer. Geetest documents no time.
LIVES: Final[Mapping[CaptchaName, int]] = {
    "turnstile": 300,
    "hcaptcha": 120,
    "recaptcha": 120,
    "aliyun-captcha": 90,
    "tencent-captcha": 300,
    "geetest": 600,
}
MAX_SOLVED: Final = 10_000  # The oldest are dropped.
State = Literal["good", "unknown", "expired", "used"]


@dataclass(frozen=True, slots=True)
class SolvedCaptcha:
    """A captcha that a visitor solved.

    Args:
        provider: the captcha's name, as in otpkit's settings, such as `turnstile`.
        site_key: the site key, scene, CaptchaAppId or captcha_id that it is for; None is any.
        action: the action of Turnstile and reCAPTCHA v3 and Enterprise; None for a captcha without one.
        hostname: the host name of the page.
        score: the score of reCAPTCHA v3 and Enterprise, 0 to 1; None for v2.
        age: seconds since it was solved.

    Raises:
        ConfigurationError: an unknown provider, or a value of another type.
    """

    provider: CaptchaName
    site_key: str | None = None
    action: str | None = None
    hostname: str = "localhost"
    score: float | None = None
    age: float = 0.0

    def __post_init__(self) -> None:
        if self.provider not in get_args(CaptchaName):
            names = ", ".join(get_args(CaptchaName))
            raise ConfigurationError(f"Unknown captcha {self.provider!r:.40}.", f"Use one of {names}.")
        for name in ("site_key", "action", "hostname"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "hostname"):
                raise ConfigurationError(f"{name!r} is {value!r:.40}.", "Send a string.")
        for name in ("score", "age"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise ConfigurationError(f"{name!r} is {value!r:.40}.", "Send a number.")


FIELDS: Final = tuple(each.name for each in fields(SolvedCaptcha))


def captcha_from_json(data: object) -> SolvedCaptcha:
    """Build a solved captcha from a decoded JSON object.

    Raises:
        ConfigurationError: not an object, or an unknown field, or a wrong value.
    """
    if not isinstance(data, dict) or "provider" not in data:
        raise ConfigurationError("A captcha must be a JSON object.", 'Send one like {"provider": "turnstile"}.')
    unknown = sorted(set(data) - set(FIELDS))
    if unknown:
        raise ConfigurationError(f"Unknown field {unknown[0]!r:.40}.", f"Use one of {', '.join(FIELDS)}.")
    return SolvedCaptcha(**data)


class Captchas:
    """The answers that were made, and which of them were used."""

    def __init__(self) -> None:
        self._solved: dict[str, tuple[SolvedCaptcha, float]] = {}
        self._used: set[str] = set()

    def solve(self, captcha: SolvedCaptcha, now: float) -> str:
        """Return a new answer, as the page of the provider's widget would send it. `now` is seconds since the epoch."""
        made = secrets.token_hex(16)
        self._solved[made] = (captcha, now - captcha.age)
        while len(self._solved) > MAX_SOLVED:
            oldest = next(iter(self._solved))
            del self._solved[oldest]
            self._used.discard(oldest)
        match captcha.provider:
            case "tencent-captcha":
                return json.dumps({"ticket": made, "randstr": f"@{made[:4]}"})
            case "geetest":
                lot = {"lot_number": made, "captcha_output": f"out{made}", "pass_token": f"pass{made}"}
                return json.dumps({"captcha_id": captcha.site_key, **lot, "gen_time": str(int(now - captcha.age))})
        return made

    def find(self, provider: CaptchaName, token: str, now: float) -> tuple[SolvedCaptcha | None, State]:
        """Return the solved captcha of a token, and its state. It is None if the provider made no such token."""
        captcha, made_at = self._solved.get(token, (None, 0.0))
        if captcha is None or captcha.provider != provider:
            return None, "unknown"
        if token in self._used:
            return captcha, "used"
        return captcha, "expired" if now - made_at > LIVES[provider] else "good"

    def use(self, token: str) -> None:
        """Mark a token as used."""
        if token in self._solved:
            self._used.add(token)
