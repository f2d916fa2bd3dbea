"""The settings of a class, read from its constructor's signature and the `Args:` of its docstring.

An argument is a setting if text can express its value: a text, numbers, or a flag. Functions and other objects are
skipped.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from otpkit.errors import ConfigurationError

Kind = Literal["text", "flag", "whole", "number", "numbers", "json", "list"]
"""The form of a setting's value. `numbers` is one number or two; `json` is a JSON object, and `list` a JSON list."""

_EXPECTED: Final[dict[Kind, str]] = {
    "whole": "a whole number",
    "number": "a number",
    "numbers": "a number, or two",
}
_WHOLE: Final = re.compile(r"-?[0-9]{1,9}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_ARGUMENT: Final = re.compile(r"^    (\w+): (.*?)(?=^ {,4}\S|\Z)", re.MULTILINE | re.DOTALL)
_FIRST_CLAUSE: Final = re.compile(r".*?(?=;|\. |\.$|$)")


class Parameter(NamedTuple):
    """One setting: its name, the form of its value, its description, and whether it is required."""

    name: str
    kind: Kind
    about: str = ""
    required: bool = False

    def read(self, text: str) -> Any:
        """Return the value of a setting's text.

        Args:
            text: the text of the environment variable or the settings file.

        Returns:
            A str, a bool, a number, or a tuple of two numbers, by `kind`.

        Raises:
            ConfigurationError: the kind is a number and the text is not.
        """
        words = text.split()
        if self.kind in {"text", "json", "list"}:
            return text
        if self.kind == "flag":
            return text == "1"
        pattern = _WHOLE if self.kind == "whole" else _NUMBER
        most = 2 if self.kind == "numbers" else 1
        if not 0 < len(words) <= most or not all(map(pattern.fullmatch, words)):
            raise ConfigurationError(f"{self.name} must be {_EXPECTED[self.kind]}.")
        numbers = [int(word) if _WHOLE.fullmatch(word) else float(word) for word in words]
        return numbers[0] if len(numbers) == 1 else tuple(numbers)


def parameters_of(build: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the settings of a class by name, in the order of its constructor's arguments."""
    about = _descriptions(build)
    found = {}
    for argument in inspect.signature(build, eval_str=True).parameters.values():
        kind = _kind(argument.annotation)
        if kind is not None and argument.kind is not argument.VAR_POSITIONAL:
            is_required = argument.default is argument.empty
            found[argument.name] = Parameter(argument.name, kind, about.get(argument.name, ""), is_required)
    return found


def _kind(annotation: Any) -> Kind | None:
    choices = {annotation}
    if get_origin(annotation) in {Union, UnionType}:
        choices = set(get_args(annotation)) - {NoneType}
    if bool in choices:
        return "flag"
    if str in choices or any(get_origin(each) is Literal for each in choices):
        return "text"
    if any(get_origin(each) is tuple for each in choices) and float in choices:
        return "numbers"
    if float in choices:
        return "number"
    return "whole" if int in choices else None


def _descriptions(build: Callable[..., Any]) -> dict[str, str]:
    _, _, arguments = (inspect.getdoc(build) or "").partition("\nArgs:\n")
    texts = {name: " ".join(text.split()) for name, text in _ARGUMENT.findall(arguments)}
    return {name: match[0] for name, text in texts.items() if (match := _FIRST_CLAUSE.match(text))}
