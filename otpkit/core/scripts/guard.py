"""The typed faces of the scripts that only a guard needs."""

from __future__ import annotations

from enum import IntEnum

from otpkit.core.scripts.parse import Raw, count_of
from otpkit.effects import RunScript, Script


class Answer(IntEnum):
    """What is remembered of a captcha's answer."""

    UNKNOWN = 0
    RIGHT = 1
    USED = 2


class Remember(Script[Answer]):
    """The face of remember.lua."""

    __slots__ = ()

    def __call__(self, *, answer_key: str, now: int | str, life_ms: int) -> RunScript[Answer]:
        """Read what is remembered of an answer; remember that it was right unless `life_ms` is 0."""
        return RunScript(self, (answer_key,), (now, life_ms))

    def read(self, reply: Raw, args: Raw) -> Answer:
        """Return what is remembered."""
        return Answer(count_of(reply, 2))
