"""One `send`: a message with a code that another system made and keeps.

It is an issue without a challenge. Its limits, guard, budgets, gateways and outcomes are those of `issue`. In the place
of a challenge, Redis gets a record without a nonce and a digest, under a name that no purpose and bind have: it ties
the messages of one phone and purpose together, and no code can be verified against it.
"""

from __future__ import annotations

import re
from typing import Final

from otpkit.core.config import Config
from otpkit.core.crypto import CHALLENGE_FIELD_BYTES, encode_id
from otpkit.core.issue import Issue, IssueRequest
from otpkit.core.report import Report
from otpkit.core.scripts.parse import Described
from otpkit.core.scripts.sends import Reserved
from otpkit.core.subject import Subject
from otpkit.effects import Flow
from otpkit.errors import ConfigurationError
from otpkit.models import Sent

_CODE: Final = re.compile(r"[0-9A-Za-z]{4,10}")
_MOST_MINUTES: Final = 60 * 24
_NO_CHALLENGE: Final = bytes(39)
"""A fresh challenge in the format of `phone.lua`, without a nonce, a digest and the id of a key: all of it is zero.

No host has a key with this id, so the next message begins another one, with the same link.
"""


class SentSubject(Subject):
    """A phone and a purpose whose codes another system keeps. It has no challenge."""

    __slots__ = ()

    def __init__(self, config: Config, phone: str, purpose: object, region: str) -> None:
        super().__init__(config, phone, purpose, "", region)
        self.challenge_field = config.keys.name(b"sent", self.purpose, size=CHALLENGE_FIELD_BYTES)

    def live_challenge(self, now_ms: int, described: Described) -> None:
        """Return None: the other system knows if its code is live."""

    def find_challenge(self, device: object = None) -> Flow[None]:
        """Return None, as `live_challenge` does."""
        return None
        yield  # makes this function a flow, without effects


class _Handover(Issue):
    """A call of `issue` whose code was passed in."""

    kind = b"send"
    is_relayed = True

    def __init__(
        self, config: Config, subject: SentSubject, report: Report, request: IssueRequest, code: str, minutes: int
    ) -> None:
        super().__init__(config, subject, report, request)
        self._given = code
        self._life = minutes

    @property
    def _has_fixed_code(self) -> bool:
        return False  # A fixed code is otpkit's own. The other system's is sent to any phone.

    def _fixed_in_force(self) -> Flow[None]:
        return None
        yield  # makes this function a flow, without effects

    def _fresh(self, fixed: object) -> bytes:
        return _NO_CHALLENGE

    def _code(self, reserved: Reserved) -> str:
        return self._given

    def _minutes(self, reserved: Reserved) -> int:
        return self._life or super()._minutes(reserved)


def send(
    config: Config, subject: SentSubject, report: Report, request: IssueRequest, code: object, minutes: object
) -> Flow[Sent]:
    """Check the arguments of `OTP.send`, and return its flow.

    Args:
        config: the configuration.
        subject: the phone and the purpose.
        report: the report of the call.
        request: the arguments that `issue` has too.
        code: the code.
        minutes: its life for the message, or None for that of the policy.

    Raises:
        ConfigurationError: an argument is wrong.
    """
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        # The error never shows it, because it may be a live code.
        raise ConfigurationError(
            "The code to send must be a text of 4 to 10 ASCII digits or letters.", "Pass it without blanks and hyphens."
        )
    if minutes is None:
        minutes = 0
    elif type(minutes) is not int or not 1 <= minutes <= _MOST_MINUTES:
        raise ConfigurationError(
            f"minutes must be a whole number from 1 to {_MOST_MINUTES}.", "Pass the life of the code, or leave it out."
        )
    return _sent(_Handover(config, subject, report, request, code, minutes))


def _sent(handover: _Handover) -> Flow[Sent]:
    found = yield from handover.run()
    handover.report.operation_id = handover.op  # For a replay, that of the earlier send.
    return Sent(
        id=encode_id(handover.op),
        phone=found.phone,
        purpose=found.purpose,
        delivery=found.delivery,
        gateway=found.gateway,
        resend_at=found.resend_at,
        resend_in=found.resend_in,
        sends_left=found.sends_left,
        replayed=found.replayed,
    )
