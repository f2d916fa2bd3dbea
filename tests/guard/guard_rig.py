"""A rig whose OTPs have a guard, and a captcha whose verdicts the test rules."""

from __future__ import annotations

from typing import Any, ClassVar

from support.rig import Rig, outcome

from otpkit import Challenge, Guard, Policy
from otpkit.captcha.base import Captcha, CaptchaCheck, CaptchaSilent, Verdict
from otpkit.core.scripts.guard import Counts, RegionCounts
from otpkit.effects import Flow
from otpkit.guard.rule import Rule
from otpkit.models import Event

FREE = Policy(ip_sends=None, ip_failures=None, sends="32/day")
WIDE = Rule(range_floor=10**6, address_floor=10**6, network_floor=10**6, short_floor=10**6, day_floor=10**6)
"""A rule that asks nobody, from which each test takes one scope."""
ADDRESS, OTHER_ADDRESS = "198.51.100.7", "198.51.100.8"


class FakeCaptcha(Captcha):
    """A captcha that passes every answer that begins with "ok". `asked` are the answers that it judged."""

    name: ClassVar[str] = "fake"

    def __init__(self, *, single_use: bool = False) -> None:
        self.single_use = single_use  # type: ignore[misc]
        self.is_silent = False
        self.asked: list[str] = []

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        return {"provider": self.name, "purpose": purpose}

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        self.asked.append(answer)
        if self.is_silent:
            raise CaptchaSilent("The provider is silent.", provider=self.name)
        if self.single_use and self.asked.count(answer) > 1:
            return Verdict(passed=False, reason="expired")
        return Verdict(answer.startswith("ok"), "" if answer.startswith("ok") else "wrong")
        yield


class Guarded(Rig):
    """A rig whose OTPs have a guard in the mode `enforce`."""

    def __init__(self, store_url: str, namespace: str) -> None:
        super().__init__(store_url, namespace)
        self.captcha = FakeCaptcha()
        self._numbers = iter(range(10**6))

    def guard(self, **options: Any) -> Guard:
        """Return a guard, with some options changed."""
        return Guard(**{"mode": "enforce", "captcha": self.captcha, "fallback": "refuse", **options})

    def guarded(self, policy: Policy = FREE, **options: Any) -> Any:
        """Return an OTP with a guard. `options` are the guard's."""
        return self.heard(policy=policy, guard=self.guard(**options))

    def phone(self, block: int | None = None) -> str:
        """Return a new phone: of a block of 10,000 numbers, or of a block of its own."""
        number = next(self._numbers)
        return f"+86138{block:04d}{number:04d}" if block is not None else f"+86139{number:04d}{number:04d}"

    def send(self, otp: Any, phone: str, **options: Any) -> str:
        """Issue to a phone; return "sent", or the error's code, or the scope of a limit."""
        result = outcome(otp.issue, phone, **options)
        return "sent" if isinstance(result, Challenge) else getattr(result, "scope", None) or result.code

    def fill(self, otp: Any, count: int, block: int | None = None, **options: Any) -> list[str]:
        """Issue to so many new phones, and return them. An answer to the captcha gets a number behind it."""
        phones = [self.phone(block) for _ in range(count)]
        for phone in phones:
            own = {"captcha": f"{options['captcha']} {phone}"} if "captcha" in options else {}
            assert self.send(otp, phone, **options | own) == "sent"
        return phones

    def verify(self, otp: Any, phone: str, **options: Any) -> None:
        """Verify a phone by the code that it was sent last."""
        code = next(message.code for message in reversed(self.outbox) if message.phone == phone)
        otp.verify(phone, code, **options)

    def count(self, otp: Any, scope: str, subject: str) -> tuple[int, int]:
        """Return the unverified and the verified sends of a scope."""
        found = self.look(otp, scope, subject)
        return found.unverified, found.verified

    def look(self, otp: Any = None, scope: str = "", subject: str = "") -> Any:
        """Return what is counted in a scope; without an OTP, a client of the store."""
        if otp is None:
            return super().look()
        from otpkit.guard.report import LENGTHS_MS, _key_of, _name_of

        config, protection = otp._config, otp._config.protection
        key = _key_of(protection, scope, _name_of(config, protection, scope, subject))
        effect = config.scripts.look(record_key=key, now=config.now_arg(), length_ms=LENGTHS_MS.get(scope, 0))
        found: Counts | RegionCounts = otp._store.run(effect, None)
        return found

    def stored(self, suffix: str = "*") -> list[str]:
        """Return the keys, without those of figures and the audit, which every call leaves with any guard."""
        return [key for key in super().stored(suffix) if "{stats}" not in key and "{audit}" not in key]

    def told(self, name: str) -> list[Event]:
        """Return the events of a name."""
        return [event for event in self.events if event.name == name]
