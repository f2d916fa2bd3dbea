"""The parts of the contract that depend on the deployment: spellings of phones and codes, channels, readiness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from otpkit import AsyncOTP, ConfigurationError, Template
from otpkit.aio import config_of, drive_async
from otpkit.characters import PLAIN_TEXT
from otpkit.core.crypto import CHALLENGE_FIELD_BYTES
from otpkit.effects import Flow
from otpkit.phone import MAINLAND, MAX_LENGTH, ONLY_MAINLAND
from otpkit.template import MAX_PARAM

_SEPARATORS: Final = "[-. －．　]*"
_BLANKS: Final = "[ 　]*"


class Capabilities:
    """The properties of an `AsyncOTP` that the contract shows."""

    def __init__(self, otp: AsyncOTP) -> None:
        self._otp = otp
        self._config = config_of(otp)
        speaks = any("voice" in member.gateway.channels for member in self._config.routing.members.values())
        # Every deployment accepts `sms`: a gateway that can only call carries the message as a call.
        self.channels = ["sms", "voice"] if speaks else ["sms"]

    @property
    def phone_schema(self) -> dict[str, Any]:
        """The schema of a phone. If only mainland numbers are served, it is exact, except for parentheses."""
        policy = self._config.policy
        only_mainland = policy.regions == ONLY_MAINLAND and policy.default_region == MAINLAND
        return {"pattern": _mainland() if only_mainland else _any_number(), "maxLength": MAX_LENGTH}

    @property
    def code_schema(self) -> dict[str, Any]:
        """The schema of a code."""
        length = self._config.policy.code_length
        return {"pattern": f"^[- ]*([0-9][- ]*){{{length}}}$", "maxLength": 4 * length}

    @property
    def regions(self) -> list[str]:
        """The regions that are served, sorted."""
        return sorted(self._config.policy.regions)

    @property
    def params_schema(self) -> dict[str, Any]:
        """The schema of `params`: texts for the variables of all templates, except those with the code."""
        names = sorted({name for template in self._templates() for name in _variables(template)})
        value = {"type": "string", "maxLength": MAX_PARAM, "pattern": PLAIN_TEXT}
        known = {"propertyNames": {"enum": names}} if names else {"maxProperties": 0}
        return {"additionalProperties": value, **known}

    def takes(self, purpose: str, params: dict[str, str]) -> bool:
        """Check whether every template of a purpose accepts `params`, as values of variables without the code.

        Args:
            purpose: the purpose.
            params: the values by variable.

        Raises:
            ConfigurationError: the purpose has no template.
        """
        for template in self._templates(purpose):
            if not params.keys() <= _variables(template):
                return False
            try:
                template.sms_params("0" * self._config.policy.code_length, params=params)
            except ConfigurationError:
                return False
        return True

    def max_push(self, gateway: str) -> int:
        """Return how many bytes a gateway's provider may push; raise `ConfigurationError` for an unknown name."""
        return self._config.routing.member(gateway).gateway.max_push

    async def ping(self) -> None:
        """Send a read to the store; raise `StoreUnavailableError` if it fails."""
        await drive_async(self._ping(), self._otp)

    def _ping(self) -> Flow[None]:
        config = self._config
        yield config.scripts.status(
            phone_key=f"{config.namespace}:{{ready}}:p",
            now=config.now_arg(),
            challenge_field=bytes(CHALLENGE_FIELD_BYTES),
        )

    def _templates(self, purpose: str | None = None) -> Iterator[Template]:
        for member in self._config.routing.members.values():
            if purpose is not None or isinstance(member.templates, Template):
                yield member.template_for(purpose or "")
            else:
                yield from member.templates.values()


def _variables(template: Template) -> set[str]:
    return {name for name, value in template.params.items() if "{code}" not in value}


def _mainland() -> str:
    one, rest = _digits("1"), _SEPARATORS.join((_digits("3-9"), *[_digits("0-9")] * 9))
    bare = _digits("8") + _SEPARATORS + _digits("6") + _SEPARATORS
    zeros = (_digits("0") + _SEPARATORS) * 2
    country = f"([+＋]{_BLANKS}{bare}|{zeros}{bare}|{bare})?"
    return f"^{_BLANKS}{country}{one}{_SEPARATORS}{rest}{_BLANKS}$"


def _any_number() -> str:
    digit = _digits("0-9")
    return f"^[ (　（]*[+＋]?[ (　（]*{digit}([-. ()－．　（）]*{digit})*[ )　）]*$"


def _digits(some: str) -> str:
    """Return a class of digits in ASCII or full width."""
    wide = some.translate(str.maketrans("0123456789", "０１２３４５６７８９"))
    return f"[{some}{wide}]"
