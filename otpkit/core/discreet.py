"""`issue(discreet=True)`: what a visitor sees does not depend on what others did with the number.

The script checks the phone's own limits first. So a number that can get no code would never ask for a captcha where any
other number does, and would never reach the visitor's own limits. Here such a number is followed by a decoy: a number
of the same range without a history, for which the same call is decided, and which is sent nothing. What refuses the
decoy refuses the visitor. Otherwise the call's own error is raised, for `otpkit.web.discreet` to hide.
"""

from __future__ import annotations

from typing import Final

from otpkit.core.config import Config
from otpkit.core.crypto import ID_BYTES, encode_id, new_id
from otpkit.core.issue import Issue
from otpkit.core.scripts.guard import Answer
from otpkit.core.scripts.sends import Reserved
from otpkit.core.subject import Subject
from otpkit.effects import Flow, run
from otpkit.errors import BlockedError, CaptchaRejectedError, OTPError, RateLimitError
from otpkit.models import Challenge

_KEPT: Final = frozenset({"ip"})  # The scopes that keep a decoy counted, as its number would.
_OF_NUMBER: Final = frozenset({"phone", "failures"})
_REPEAT_MS: Final = 600_000  # A form is sent twice within this time, and a used answer is remembered at least as long.


def issue_discreetly(issue: Issue) -> Flow[Challenge]:
    """Run a call of `issue`. If only its number's own history refuses it, first raise what refuses its decoy.

    Args:
        issue: the call.

    Raises:
        OTPError: as `OTP.issue` documents.
    """
    error: OTPError
    try:
        return (yield from issue.run())
    except BlockedError as blocked:
        error = blocked
    except RateLimitError as limited:
        if limited.scope not in _OF_NUMBER:
            raise
        error = limited
    yield from _refuse_decoy(issue)
    raise error


def _refuse_decoy(issue: Issue) -> Flow[None]:
    """Raise what refuses the decoy of a call. A form that is sent twice uses its captcha's answer once."""
    config, subject, request = issue.config, issue.subject, issue.request
    key = request.idempotency_key
    operation = new_id() if key is None else subject.operation(b"decoy", key, size=ID_BYTES)
    decoy = _Decoy(issue, _DecoySubject(config, subject, operation))
    if key is None:
        yield from decoy.run()
        return
    passed_key = f"{config.namespace}:{{{encode_id(operation)}}}:a"
    if (yield from _has_passed(config, passed_key)):
        return
    rejected: CaptchaRejectedError | None = None
    decoy.passed_key = passed_key
    try:
        yield from decoy.run()
    except CaptchaRejectedError as error:
        rejected = error
    # The first of two equal forms may have used the answer in the meantime.
    if rejected is not None and not (yield from _has_passed(config, passed_key)):
        raise rejected


def _has_passed(config: Config, passed_key: str) -> Flow[bool]:
    found = yield from run(config.scripts.remember(answer_key=passed_key, now=config.now_arg(), life_ms=0))
    return found is not Answer.UNKNOWN


class _DecoySubject(Subject):
    """A subject with a number's range and region, and with keys that no number has."""

    __slots__ = ()

    def __init__(self, config: Config, subject: Subject, operation: bytes) -> None:
        super().__init__(config, subject.phone, subject.purpose, subject.bind, subject.region)
        self.phone_id = encode_id(operation)
        self.phone_key = f"{config.namespace}:{{{self.phone_id}}}:p"
        self.counter_key = f"{config.namespace}:{{{self.phone_id}}}:c"


class _Decoy(Issue):
    """A call of `issue` that reserves a send and takes it back.

    The visitor's address stays charged, as for a number that a gateway rejects, and the captcha's answer stays used.
    """

    passed_key = ""
    """The key that remembers that the decoy was not refused; "" to remember nothing."""

    def __init__(self, issue: Issue, subject: Subject) -> None:
        super().__init__(issue.config, subject, issue.report, issue.request)
        if issue.screening is not None:  # The answer was judged already, and a provider judges it once.
            self.screening = issue.screening.of_subject(subject)

    def _fixed_in_force(self) -> Flow[None]:
        return None
        yield  # makes this function a flow, without effects

    def _send(self, reserved: Reserved, fixed: object) -> Flow[Challenge]:
        if self.passed_key:  # Before the reservation is gone, by which an equal form knows it.
            config = self.config
            yield from run(
                config.scripts.remember(answer_key=self.passed_key, now=config.now_arg(), life_ms=_REPEAT_MS)
            )
        yield from self._undo(_KEPT, [], reserved_ms=reserved.now_ms)
        return self.subject.challenge(reserved.now_ms, reserved.described)
