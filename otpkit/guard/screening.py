"""Screen one call of `issue`: the application's own judgement, the captcha's answer, and what the script then finds."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Final, Protocol, Self, TypeAlias

from otpkit.captcha.base import MAX_ANSWER, Captcha, CaptchaCheck, CaptchaSilent, Verdict
from otpkit.core.audit import count_event
from otpkit.core.config import Config
from otpkit.core.figures import add_refusal
from otpkit.core.report import Report
from otpkit.core.scripts.guard import Answer
from otpkit.core.scripts.parse import Raw
from otpkit.core.scripts.sends import CaptchaAsked, Refused
from otpkit.core.subject import Subject
from otpkit.effects import Call, Emit, Flow, NotStarted, RunScript, outbound, run
from otpkit.errors import (
    CaptchaRejectedError,
    CaptchaRequiredError,
    CaptchaUnavailableError,
    OTPError,
    RateLimitError,
    RefusedError,
)
from otpkit.guard.elsewhere import EXEMPT, Counting, Flags
from otpkit.guard.options import Decision, RiskContext
from otpkit.guard.protection import RANGE_DIGITS, Protection
from otpkit.guard.report import note

SCOPES: Final[Mapping[int, str]] = {1: "range", 2: "ip", 4: "net", 8: "region", 16: "total", 32: "guesses"}
"""The scopes by their values in judge.lua."""
_ASKED, _PASSED, _WOULD_REFUSE = 64, 128, 256
_MARGIN_MS: Final = 60_000  # An answer is remembered for longer than it could be accepted.
_KEPT_MS: Final = 600_000  # A provider that accepts an answer once refuses it from then on; only its verdict is kept.
_RETRY = "Ask the visitor to solve the captcha, and call again with the answer."


Arguments: TypeAlias = tuple[str, tuple[str, ...], str, int | str]
"""The guard's argument of reserve.lua, its keys, the key of a captcha's answer, and for how long that is remembered."""
NO_ARGUMENTS: Final[Arguments] = "", (), "", ""


class Visit(Protocol):
    """What the guard must know of a call, beside its subject: the arguments of `issue`."""

    @property
    def ip(self) -> object: ...

    @property
    def captcha(self) -> object: ...

    @property
    def known(self) -> bool: ...

    @property
    def channel(self) -> str: ...


class Screening:
    """The guard's part of one call of `issue`."""

    # Class attributes: most calls set none of them, and every call makes a screening.
    _asked: tuple[str, ...] = ()  # The reasons to ask for a captcha in any case.
    _answer = "required"  # Or passed, rejected, unavailable.
    _reason = ""
    _failure = ""
    _answer_key = ""
    _remember_ms: int | str = ""  # For how long the answer is remembered as used.
    is_asked = False  # True once the application and the provider were asked.
    counting: Counting | None = None
    """The scopes, if they lie on other nodes than the phone."""

    def __init__(self, protection: Protection, config: Config, subject: Subject, report: Report, visit: Visit) -> None:
        self._protection = protection
        self._config = config
        self._report = report
        self._visit = visit
        self.bind(subject)

    def bind(self, subject: Subject) -> None:
        """Judge a subject: its range, its region, and the keys of its phone."""
        protection, config, visit = self._protection, self._config, self._visit
        self._subject = subject
        self._range = protection.range_of(subject.phone[:-RANGE_DIGITS], subject.region)
        self._keys = self._range.keys if visit.ip is None else self._range.keys + protection.address_keys(str(visit.ip))
        if config.clustered:
            if protection.is_on:
                self.counting = Counting(config, protection, self._keys)
            self._keys = ()

    @property
    def _captcha(self) -> Captcha:
        return self._protection.captcha_for(self._subject.purpose)

    @property
    def has_questions(self) -> bool:
        """True if the application or a captcha's provider must be asked before the send is reserved."""
        return not self.is_asked and (self._visit.captcha is not None or self._protection.asks)

    def of_subject(self, subject: Subject) -> Self:
        """Return the same screening for another subject, about which nobody is asked again."""
        found = copy(self)
        found.is_asked = True
        found.bind(subject)
        return found

    def before(self) -> Flow[None]:
        """Ask the application and the captcha's provider, before anything is reserved.

        Raises:
            CaptchaRejectedError: the answer is too long to be one.
            RefusedError: the application refuses the send.
        """
        if self._protection.is_on:
            self._refuse_long()
            if self._protection.guard.ask == "always":
                self._asked = ("always",)
            yield from self._judge_risk()
            if self._visit.captcha not in (None, ""):
                yield from self._check_answer(str(self._visit.captcha))

    def arguments(self) -> Arguments:
        """Return the arguments and keys of the script that reserves the send."""
        protection, visit = self._protection, self._visit
        if not protection.is_on:
            return NO_ARGUMENTS
        if not (visit.captcha or visit.known or protection.has_safe or protection.asks or self.counting):
            return self._range.guard, self._keys, "", ""  # Nearly all sends.
        _, captcha, known, is_safe, refuses, asked = self._flags()
        counting, verdict = self.counting, ""
        if counting is not None:
            verdict = counting.verdict()
            captcha = "u" if counting.is_used else captcha
        guard = protection.argument(
            captcha=captcha, known=known, is_safe=is_safe, refuses=refuses, is_asked=asked, region=self._subject.region
        )
        # On a cluster, the answer was used up before.
        answer_key = self._answer_key if counting is None else ""
        return guard + verdict, self._keys, answer_key, self._remember_ms

    def counts(self, operation: bytes) -> list[RunScript[Raw]]:
        """Return the scripts that count the send on other nodes."""
        if self.counting is None:
            return []
        return self.counting.calls(operation, self._flags(), self._answer_key, self._remember_ms)

    def _flags(self) -> Flags:
        protection, subject, visit = self._protection, self._subject, self._visit
        captcha = "n"
        if self._answer == "passed":
            captcha = "p"
        elif self._answer == "unavailable" and protection.fallback == "allow":
            captcha = "w"
        is_safe = protection.has_safe and protection.is_safe(subject.phone, visit.ip)
        many = self._range.has_many_ranges
        return Flags(protection.letter, captcha, visit.known, is_safe, many, bool(self._asked))

    def uncounting(self) -> tuple[str, tuple[str, ...]]:
        """Return the guard's argument and keys of a script that no longer counts the send."""
        return "1", self._keys

    def is_news(self, judged: int) -> bool:
        """Return True if `found` has something to report."""
        return judged != 0 or self._answer == "unavailable"  # A device that is exempt is news on a cluster.

    def observes(self, judged: int) -> bool:
        """Return True if the guard only observes, and would have asked for a captcha or refused."""
        return self._protection.is_on and not self._protection.enforces and judged % _PASSED > 0

    def found(self, judged: int) -> Flow[None]:
        """Report what the script found for a send that it reserved."""
        if judged & EXEMPT and self.counting is not None:
            yield from self.counting.exempt()
        reasons = self._reasons(judged)
        if self._answer == "unavailable":
            yield from self._tell("captcha", "unavailable", reasons, self._failure)
        if not reasons:
            return
        if not self._protection.enforces:
            more = ("refused",) if judged & _WOULD_REFUSE else ()
            yield from self._tell("guard", "observed", (*reasons, *more))
            yield from self._note("observed", reasons)
        elif judged & _PASSED:
            yield from self._tell("captcha", "passed", reasons)

    def error(self, reply: Refused | CaptchaAsked) -> Flow[OTPError]:
        """Report that the script refuses the send or asks for a captcha, and return the error."""
        return (yield from (self._refused(reply) if isinstance(reply, Refused) else self._captcha_asked(reply)))

    def _refused(self, reply: Refused) -> Flow[OTPError]:
        reasons = self._reasons(reply.judged)
        yield from self._tell("guard", "refused", (reply.scope, *(each for each in reasons if each != reply.scope)))
        yield from self._note("refused", (reply.scope,))
        seconds = max(1, -(-reply.wait_ms // 1000))
        return RateLimitError(
            f"The guard refuses the scope {reply.scope}: too few of its codes were verified. Nothing was sent.",
            f"The same call may succeed in {seconds} s, with a captcha.",
            scope=reply.scope,
            retry_after=seconds,
            challenge=None if reply.described is None else self._subject.live_challenge(reply.now_ms, reply.described),
        )

    def _captcha_asked(self, reply: CaptchaAsked) -> Flow[OTPError]:
        reasons = self._reasons(reply.judged)
        answer = "rejected" if reply.is_used else self._answer
        yield from self._tell("guard", "captcha", reasons)
        yield from self._note("captcha", reasons)
        yield from self._tell("captcha", answer, reasons, self._failure if answer == "unavailable" else "")
        protection, captcha = self._protection, self._captcha
        if answer == "unavailable":
            if not isinstance(protection.fallback, Captcha):
                return CaptchaUnavailableError(
                    f"{self._failure} Nothing was sent.",
                    "Try again later, or set Guard.fallback to a captcha that needs no provider.",
                )
            captcha = protection.fallback
        parameters = captcha.parameters(self._subject.purpose, self._config.host_ms())
        details: dict[str, Any] = {"provider": captcha.name, "parameters": parameters, "reasons": reasons}
        if answer == "rejected":
            why = "used before" if reply.is_used else self._reason or "wrong"
            return CaptchaRejectedError(
                f"The captcha's answer was rejected ({why}). Nothing was sent.", _RETRY, **details
            )
        return CaptchaRequiredError(
            f"A captcha is required ({', '.join(reasons)}). Nothing was sent.", _RETRY, **details
        )

    def _refuse_long(self) -> None:
        answer = self._visit.captcha
        if answer is None or (isinstance(answer, str) and len(answer) <= MAX_ANSWER):
            return
        captcha = self._captcha
        raise CaptchaRejectedError(
            f"The captcha's answer is not a text of at most {MAX_ANSWER} characters. Nothing was sent.",
            _RETRY,
            provider=captcha.name,
            parameters=captcha.parameters(self._subject.purpose, self._config.host_ms()),
            reasons=("malformed",),
        )

    def _judge_risk(self) -> Flow[None]:
        guard = self._protection.guard
        if guard.risk is None:
            return
        visit, subject = self._visit, self._subject
        ip = None if visit.ip is None else str(visit.ip)
        context = RiskContext(
            phone=subject.phone,
            purpose=subject.purpose,
            region=subject.region,
            ip=ip,
            known=visit.known,
            channel=visit.channel,
        )
        failure = ""
        try:
            decision = yield from outbound("risk", _called(Call(guard.risk, context)))
        except Exception as error:  # noqa: BLE001 - Whatever it raises, `on_risk_error` decides.
            failure = type(error).__name__
        if not failure and not isinstance(decision, Decision):
            try:
                decision = Decision(decision)
            except OTPError:
                failure = "its result"
        if failure:
            decision = Decision(guard.on_risk_error, ("risk_error",))
            yield Emit(
                self._report.event("guard", "error", "risk_error", reasons=("risk_error",)),
                warning=f"Guard.risk failed ({failure}), so the send is judged by on_risk_error. Correct it.",
            )
        if decision.outcome == "captcha":
            self._asked += decision.reasons or ("risk",)
        elif decision.outcome == "refuse":
            reasons = ("risk", *decision.reasons)
            if not self._protection.enforces:
                yield from self._tell("guard", "observed", (*reasons, "refused"))
                return
            yield from self._tell("guard", "refused", reasons)
            yield from count_event(self._config, "guard_refused", phone_id=self._subject.phone_id, scope="risk")
            yield from add_refusal(self._config, self._report.operation_id, self._subject.region, "grefused")
            raise RefusedError(
                "Guard.risk refused the send. Nothing was sent.", "Look at the reasons of the event.", reasons=reasons
            )

    def _check_answer(self, answer: str) -> Flow[None]:
        """Judge a captcha's answer: by the verdict that was kept, by the fallback, or by its provider."""
        captcha, fallback = self._captcha, self._protection.fallback
        second = fallback if isinstance(fallback, Captcha) else None
        # A fallback of our own is judged first: no request is needed, and its challenges are given out only while the
        # provider is silent.
        is_local = second is not None and not second.origins
        if second is not None and is_local:
            yield from self._judged_by(second, answer)
            if self._answer == "passed":
                return
        if (yield from self._judged_by(captcha, answer)):
            return
        if second is not None and not is_local:
            yield from self._judged_by(second, answer)
        if self._answer != "passed":
            self._answer = "unavailable"

    def _judged_by(self, captcha: Captcha, answer: str) -> Flow[bool]:
        """Judge an answer by one captcha; return False if its provider is silent."""
        key, config = self._protection.answer_key(captcha, self._subject.purpose, answer), self._config
        kept = Answer.UNKNOWN
        if captcha.single_use:
            kept = yield from run(config.scripts.remember(answer_key=key, now=config.now_arg(), life_ms=0))
        if kept is Answer.UNKNOWN:
            verdict = yield from self._verdict(captcha, answer)
            if verdict is None:
                return False
            self._reason = verdict.reason
            if not verdict.passed:
                self._answer = "rejected"
                return True
            life_ms = verdict.life_s * 1000 + _MARGIN_MS
            if captcha.single_use:
                yield from run(config.scripts.remember(answer_key=key, now=config.now_arg(), life_ms=life_ms))
        else:
            life_ms = _KEPT_MS
        # A used answer too is passed on: the script first looks whether this very call was answered before.
        self._answer, self._answer_key, self._remember_ms = "passed", key, max(life_ms, _KEPT_MS)
        return True

    def _verdict(self, captcha: Captcha, answer: str) -> Flow[Verdict | None]:
        visit, failure = self._visit, ""
        check = CaptchaCheck(
            purpose=self._subject.purpose,
            ip=None if visit.ip is None else str(visit.ip),
            now_ms=self._config.host_ms(),
        )
        try:
            return (yield from outbound(f"captcha-{captcha.name}", captcha.verify(answer, check)))
        except CaptchaSilent as silent:
            failure = str(silent) or "The provider did not answer."
        except NotStarted as busy:
            failure = f"{busy}."
        except Exception as error:  # noqa: BLE001 - A captcha of the application's own may raise anything.
            failure = f"{type(error).__name__} was raised."
        self._failure = f"The captcha {captcha.name} gave no verdict. {failure}"
        return None

    def _note(self, outcome: str, scopes: tuple[str, ...]) -> Flow[None]:
        yield from note(self._config, self._protection, self._subject, self._visit.ip, outcome, scopes)

    def _reasons(self, judged: int) -> tuple[str, ...]:
        scopes = tuple(name for bit, name in SCOPES.items() if judged & bit)
        return scopes + (self._asked if judged & _ASKED else ())

    def _tell(self, name: str, outcome: str, reasons: tuple[str, ...], warning: str = "") -> Flow[None]:
        if warning or self._config.listener is not None:
            detail = reasons[0] if reasons else ""
            yield Emit(self._report.event(name, outcome, detail, scope=detail, reasons=reasons), warning)


def _called(call: Call) -> Flow[Any]:
    return (yield call)
