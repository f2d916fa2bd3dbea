"""The base class of captchas, and its values. A captcha checks that a person, or a patient computer, is there.

`verify` has three results:

passed
    A `Verdict` whose `passed` is True.
not passed
    A `Verdict` with a `reason`: the answer is worth nothing, and the visitor needs a new captcha.
no verdict
    A `CaptchaSilent`: the provider gave no usable answer. It says nothing about the visitor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

from otpkit.effects import Flow
from otpkit.frames import without_locals

__all__ = ["Captcha", "CaptchaCheck", "CaptchaSilent", "Verdict"]

Reason: TypeAlias = Literal["", "malformed", "wrong", "expired", "foreign", "score"]
MAX_ANSWER: Final = 16_384  # In characters. Answers have a few thousand; only Cloudflare documents a limit.
LIFE_S: Final = 300  # In seconds.


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptchaCheck:
    """What an answer is checked against.

    Args:
        purpose: the purpose of the code that the visitor asks for.
        ip: the visitor's IP address, or None if the application does not know it.
        now_ms: the current time in milliseconds since the epoch.
    """

    purpose: str
    ip: str | None = field(repr=False)
    now_ms: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """A provider's judgement of one answer.

    Args:
        passed: True if the answer is right.
        reason: "" if it passed; otherwise `malformed` (not an answer of this captcha; the provider was not asked),
            `wrong` (not solved, forged or refused), `expired` (too old, or used before: most providers report both
            alike), `foreign` (for another purpose, site or host name) or `score` (the provider thinks it a bot's).
        life_s: seconds for which this answer could still be accepted, at most. A caller that keeps verdicts keeps
            them for as long.
    """

    passed: bool
    reason: Reason = ""
    life_s: int = LIFE_S


class CaptchaSilent(Exception):
    """The provider gave no usable answer: a timeout, a 5xx, HTML, or a refusal of the deployment's own keys.

    Args:
        problem: what is wrong, a sentence. It contains no key and no answer.
        remedy: who should do what, a sentence.
        provider: the captcha's name.
        misconfigured: True if the provider refused the deployment's own key or settings. Waiting does not help then.
    """

    def __init__(self, problem: str = "", remedy: str = "", *, provider: str = "", misconfigured: bool = False) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy
        self.provider = provider
        self.misconfigured = misconfigured

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}".strip()


class Captcha(ABC):
    """One kind of captcha. It yields effects and does no I/O of its own."""

    name: ClassVar[str]
    """The name in settings, in the registry and in `CaptchaRequiredError.provider`, such as `turnstile`."""
    single_use: ClassVar[bool] = False
    """True if the provider itself accepts an answer once only. A caller that may need the verdict twice keeps it."""
    csp: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """The sources to add to a page's Content-Security-Policy, by directive, as the provider documents them."""
    probe: ClassVar[str] = ""
    """An answer of the right form that is never right, for the doctor; "" if nothing outside is asked. The verdict on
    it shows that the provider answers and accepts the keys; a `CaptchaSilent` shows what is wrong."""
    uses_test_keys: bool = False
    """True if the keys are the provider's public test keys, with which everybody passes."""
    needs: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of constructor arguments that all have defaults. At least one argument of each group is required."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("otpkit."):  # A custom captcha's frames keep their locals.
            without_locals(cls)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins from which a page loads scripts, frames or data; () for a captcha of our own."""
        sources = (source for sources in self.csp.values() for source in sources)
        return tuple(dict.fromkeys("/".join(source.split("/")[:3]) for source in sources if "://" in source))

    def bind_key(self, *keys: bytes) -> Self:
        """Return this captcha with the deployment's own keys. An `OTP` calls it once, when it is built.

        Args:
            keys: the secret keys, newest last. A captcha that signs its own challenges uses the newest, and accepts
                all.

        Returns:
            The captcha to use: a new one if it needs keys, otherwise this one, unchanged.
        """
        return self

    def identity(self, answer: str) -> str:
        """Return the text that identifies an answer, in whatever spelling it comes. This does no I/O.

        Base64 and JSON can spell one answer in many ways. A caller that marks answers as used, or keeps verdicts, does
        so by this text: the answer's own text would let a solved captcha pass once for each spelling.

        Args:
            answer: the text that the visitor's page sent.

        Returns:
            The text. For what is not an answer of this captcha, it is the answer unchanged.
        """
        return answer

    @abstractmethod
    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return what a page needs to show the captcha, as a JSON object without secrets.

        Args:
            purpose: the purpose of the code that the visitor asks for.
            now_ms: the current time in milliseconds since the epoch; None means now, by this host's clock.

        Returns:
            The parameters. `provider` is the captcha's name; the others depend on it.
        """

    @abstractmethod
    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge one answer.

        Args:
            answer: the text that the visitor's page sent. Anything else than text is judged `malformed`.
            check: what to check it against.

        Returns:
            The verdict.

        Raises:
            CaptchaSilent: the provider gave no usable answer.
        """
