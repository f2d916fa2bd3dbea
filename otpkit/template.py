"""The message of a one-time code as the gateway approved it: its variables, its text, and its number of SMS parts.

No value of a variable can add a line, a variable or a further substitution to a message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, NoReturn

from otpkit.characters import INVISIBLE
from otpkit.core.checks import Checks
from otpkit.errors import ConfigurationError, sentence

_TEMPLATE_CODE = re.compile(r"[A-Za-z0-9_-]+")
_VARIABLE_NAME = re.compile(r"[A-Za-z0-9_]+")
_BODY_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
_PLACEHOLDER = re.compile(r"\{(?:code|minutes)\}")
_SIGN_MARKS = re.compile(r"[【】\"'“”‘’「」『』]")
_BRACKETS = re.compile(r"[【】]")
MAX_PARAM = (
    64  # In characters, for the values of one message: a visitor may have typed them, and each part costs money.
)
# 3GPP TS 23.038 §6.2.1: the default alphabet, and the extension table, whose characters cost two septets.
_GSM7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENDED = frozenset("\f^{}\\[~]|€")
# The sizes of a single message, and of each part of a longer one (3GPP TS 23.040 §9.2.3.24.1).
_GSM7_SEPTETS = (160, 153)
_UCS2_UNITS = (70, 67)  # In units of 16 bits.


class _Unsigned(str):
    """The `sign_name` of a template without one. An empty `sign_name` that was passed in is a mistake."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Template:
    """An approved template.

    Args:
        code: its id at the gateway.
        sign_name: the approved signature without 【】 or quotes. Leave it out if the gateway adds none, as with Twilio.
        params: a value for each template variable. `{code}` and `{minutes}` in it are replaced, and at least one value
            contains `{code}`. A variable whose value comes from `issue(params=…)` must be here too, with its default.
        body: the approved text without the signature, with its variables as `${name}`. With it, the variables are
            checked, and the message can be shown and counted. Gateways that have templates do not send it; all others
            send it as it is written.

    Raises:
        ConfigurationError: a field is malformed, or a value has a `{word}` other than these two. With `body`, also if
            `params` has a variable too many or too few.
    """

    code: str
    sign_name: str = _Unsigned()
    params: Mapping[str, str] = field(default_factory=lambda: {"code": "{code}"})
    body: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        with Checks() as checks:
            checks.of("code", _check_template_code, self.code)
            checks.of("sign_name", _check_sign_name, self.sign_name)
            params = checks.of("params", _check_own_params, self.params)
            if self.body is not None:
                checks.of("body", _check_body, self.body)
            if self.body is not None and checks.passed("params", "body"):
                checks.of("params", _check_same_variables, set(_BODY_VARIABLE.findall(self.body)), set(params))
        object.__setattr__(self, "params", params)

    def sms_params(self, code: str, *, minutes: int = 5, params: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return every template variable with its value.

        Args:
            code: the code, ASCII digits or letters.
            minutes: the life of the code.
            params: values for this message only, used literally. They replace the template's values or, without
                `body`, are added to them.

        Returns:
            The values by variable.

        Raises:
            ConfigurationError: a value is not a str, has more than 64 characters, or contains a line break, a control
                or an invisible character; or its variable is the one with the code, or is not in `body`.
        """
        _check_code(code)
        _check_minutes(minutes)
        filled = {
            name: value.replace("{code}", code).replace("{minutes}", str(minutes))
            for name, value in self.params.items()
        }
        if params is not None:
            filled.update(self._checked_overrides(params))
        return filled

    def sms_param(self, code: str, *, minutes: int = 5, params: Mapping[str, str] | None = None) -> str:
        """Return `sms_params` as the JSON object that gateways expect, with readable Chinese."""
        return json.dumps(
            self.sms_params(code, minutes=minutes, params=params), ensure_ascii=False, separators=(",", ":")
        )

    def render(
        self, code: str, *, minutes: int = 5, params: Mapping[str, str] | None = None, signed: bool = True
    ) -> str:
        """Return the message as the phone shows it: `【sign】text`, or only the text without a `sign_name`.

        Args:
            code: the same as for `sms_params`, like `minutes` and `params`.
            signed: True if the gateway adds the signature (`Gateway.adds_signature`); False returns the text that all
                other gateways send.

        Returns:
            The message.

        Raises:
            ConfigurationError: as for `sms_params`, and for a template without `body`.
        """
        filled = self.sms_params(code, minutes=minutes, params=params) if self.body is not None else {}
        return self.fill(filled, signed=signed)

    def fill(self, filled: Mapping[str, str], *, signed: bool = True) -> str:
        """Return the message of `render` from given values, for a gateway that sends texts.

        Args:
            filled: the values by variable, from `sms_params` or a `Message`.
            signed: True to put `【sign】` in front, as some providers require; False returns the text as written.

        Returns:
            The message.

        Raises:
            ConfigurationError: the template has no `body`.
        """
        if self.body is None:
            _refuse("Template.body is not set, so there is no text to show", "pass body= with the approved text")
        # Substitute in one pass, so that values are never searched for variables.
        text = _BODY_VARIABLE.sub(lambda match: filled[match[1]], self.body)
        return f"【{self.sign_name}】{text}" if signed and self.sign_name else text

    def segments(
        self, code: str, *, minutes: int = 5, params: Mapping[str, str] | None = None, signed: bool = True
    ) -> int:
        """Return the number of SMS parts for the message of `render`, with the same arguments."""
        return count_segments(self.render(code, minutes=minutes, params=params, signed=signed))

    def _checked_overrides(self, params: Mapping[str, str]) -> dict[str, str]:
        overrides = _checked_params(params, "params")
        for name, value in overrides.items():
            if len(value) > MAX_PARAM:
                _refuse(f"params: the value of {name!r:.60} has more than {MAX_PARAM} characters", "shorten it")
            if "{code}" in self.params.get(name, ""):
                _refuse(f"params: {name!r} is the variable that carries the code", "leave it out")
            if self.body is not None and name not in self.params:
                _refuse(f"params: {name!r:.60} is not a variable of Template.body", "leave it out, or correct its name")
        return overrides

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy can't be pickled.
        return partial(Template, body=self.body), (self.code, self.sign_name, dict(self.params))


def count_segments(text: str) -> int:
    """Return the number of SMS parts that `text` needs.

    A text in the GSM 7-bit alphabet has 160 septets, or 153 in each of several parts (`[]{}^~\\|€` and the form feed
    cost two). Any other text has 70 UTF-16 units, or 67 in each of several parts. Neither an escape nor a surrogate
    pair is split between two parts. Source: 3GPP TS 23.038 §6.2.1, TS 23.040 §9.2.3.24.1.
    """
    costs, (single, part) = _costs(text)
    return 1 if sum(costs) <= single else _count_parts(costs, part)


def _costs(text: str) -> tuple[list[int], tuple[int, int]]:
    if all(c in _GSM7_BASIC or c in _GSM7_EXTENDED for c in text):
        return [2 if c in _GSM7_EXTENDED else 1 for c in text], _GSM7_SEPTETS
    return [2 if c > "\uffff" else 1 for c in text], _UCS2_UNITS


def _count_parts(costs: Iterable[int], size: int) -> int:
    parts, room = 0, 0
    for cost in costs:
        if cost > room:
            parts, room = parts + 1, size
        room -= cost
    return parts


def _check_template_code(code: object) -> None:
    if not isinstance(code, str) or not _TEMPLATE_CODE.fullmatch(code):
        _refuse(
            f"Template.code {code!r:.40} is not a template id",
            "copy it from the gateway's console, like 'SMS_585014'",
        )


def _check_sign_name(sign_name: object) -> None:
    remedy = "pass the approved signature bare, like '阿里大鱼'"
    if isinstance(sign_name, _Unsigned):
        return
    if not isinstance(sign_name, str) or not sign_name:
        _refuse("Template.sign_name is empty or not a str", remedy)
    if _SIGN_MARKS.search(sign_name):
        _refuse("Template.sign_name contains 【】 or quotes", remedy)
    if sign_name != sign_name.strip():
        _refuse("Template.sign_name begins or ends with a blank", remedy)
    if INVISIBLE.search(sign_name):
        _refuse("Template.sign_name contains a control or invisible character", remedy)


def _checked_params(params: object, where: str) -> dict[str, str]:
    """Return a copy of `params` after checking that every name and value is allowed in a message."""
    if not isinstance(params, Mapping):
        _refuse(f"{where} is a {type(params).__name__:.40}", "pass a mapping of variable names to str")
    copy = dict(params)
    for name, value in copy.items():
        if not isinstance(name, str) or not _VARIABLE_NAME.fullmatch(name):
            _refuse(f"{where}: {name!r:.60} is not a variable name", "use ASCII letters, digits and underscores")
        if not isinstance(value, str):
            _refuse(f"{where}: the value of {name!r:.60} is a {type(value).__name__:.40}", "pass a str")
        if INVISIBLE.search(value):
            _refuse(
                f"{where}: the value of {name!r:.60} contains a line break, a control or an invisible character",
                "remove it",
            )
    return copy


def _check_own_params(params: object) -> Mapping[str, str]:
    """Return a read-only copy of a template's `params` after checking its values."""
    copy = _checked_params(params, "Template.params")
    for name, value in copy.items():
        _check_placeholders(name, value)
    if not any("{code}" in value for value in copy.values()):
        _refuse("Template.params has no value that contains {code}", 'write params={"code": "{code}"}')
    return MappingProxyType(copy)


def _check_placeholders(name: str, value: str) -> None:
    remedy = "write {code} or {minutes}, nothing else in braces"
    if "${" in value:
        _refuse(f"Template.params: the value of {name!r:.60} contains a '${{'", remedy + " and no $ before them")
    rest = _PLACEHOLDER.sub("", value)
    if "{" in rest or "}" in rest:
        _refuse(
            f"Template.params: the value of {name!r:.60} contains an unknown placeholder or a stray brace",
            remedy,
        )


def _check_body(body: object) -> None:
    if not isinstance(body, str) or not body:
        _refuse("Template.body is empty or not a str", "pass the approved text, or leave it out")
    if _BRACKETS.search(body):
        _refuse("Template.body contains 【】", "leave the signature out, the gateway puts it in front")
    if INVISIBLE.search(body.replace("\n", "")):
        _refuse("Template.body contains a control or invisible character", "remove it")
    if "${" in _BODY_VARIABLE.sub("", body):
        _refuse(
            "Template.body contains a malformed variable",
            "write ${name} with ASCII letters, digits and underscores",
        )


def _check_same_variables(in_body: set[str], in_params: set[str]) -> None:
    if missing := sorted(in_body - in_params):
        _refuse(
            f"Template.params lacks {missing[0]!r:.60}, a variable of Template.body",
            "add it; for a variable of issue(params=…), add its default",
        )
    if surplus := sorted(in_params - in_body):
        _refuse(
            f"Template.params has {surplus[0]!r:.60}, which is not a variable of Template.body",
            "remove it, or correct its name",
        )


def _check_code(code: object) -> None:
    # The error never shows it, because it may be a live code.
    if not isinstance(code, str) or not (code.isascii() and code.isalnum()):
        _refuse("The code to fill in is not a str of ASCII digits or letters", "pass the code as it is typed")


def _check_minutes(minutes: object) -> None:
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 1:
        _refuse(f"minutes is {minutes!r:.20}", "pass a whole number of at least 1")


def _refuse(problem: str, remedy: str) -> NoReturn:
    raise ConfigurationError(f"{problem}.", sentence(remedy))
