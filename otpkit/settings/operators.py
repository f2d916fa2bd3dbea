"""Operators from the settings: the people who may use the console. Only SHA-256 digests of their keys are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeAlias, get_args

from otpkit.errors import ConfigurationError
from otpkit.settings.keys import ApiKey, digest_of

Role: TypeAlias = Literal["viewer", "operator"]

MAX_NAME: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, repr=False)
class Operator:
    """A person who may use the console.

    Args:
        name: their name, which the audit shows: 1 to 64 letters, digits, `.`, `_` and `-`.
        digest: the SHA-256 of their key's text, 32 bytes.
        role: `viewer` may look, `operator` may also act.

    Raises:
        ConfigurationError: a value is wrong.
    """

    name: str
    digest: bytes
    role: Role = "viewer"

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME or not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"The operator's name {self.name!r:.80} is not valid.",
                f"Use 1 to {MAX_NAME} letters, digits, '.', '_' and '-', and begin with a letter or a digit.",
            )
        if self.role not in get_args(Role):
            raise ConfigurationError(
                f"The operator {self.name!r} has the role {self.role!r:.40}.",
                f"Choose one of {', '.join(get_args(Role))}.",
            )

    @classmethod
    def of_digest(cls, name: str, digest: object, role: str = "viewer") -> Self:
        """Return the operator with a key's digest.

        Args:
            name: their name.
            digest: the SHA-256 of the key's text, 64 hexadecimal digits, as `otpkit operator-key` prints it.
            role: `viewer` or `operator`.

        Raises:
            ConfigurationError: a value is wrong.
        """
        return cls(name, digest_of(f"The operator {name!r:.80}", digest), role)  # type: ignore[arg-type]  # __post_init__ checks it

    @property
    def may_act(self) -> bool:
        """True if they may change anything."""
        return self.role == "operator"

    def __repr__(self) -> str:
        return f"Operator(name={self.name!r}, role={self.role!r})"


def require_distinct_operators(operators: Iterable[Operator], keys: Iterable[ApiKey] = ()) -> None:
    """Check that no two operators share a name or a key, and that none has the key of a program.

    Args:
        operators: the operators.
        keys: the API keys of the service.

    Raises:
        ConfigurationError: they do.
    """
    found = tuple(operators)
    for what, values in (("name", {each.name for each in found}), ("key", {each.digest for each in found})):
        if len(values) < len(found):
            raise ConfigurationError(f"Two operators have the same {what}.", f"Use a different {what} for each.")
    programs = {key.digest: key.name for key in keys}
    for each in found:
        if each.digest in programs:
            raise ConfigurationError(
                f"The operator {each.name!r} has the key of the API key {programs[each.digest]!r}.",
                "Make another key with `otpkit operator-key`.",
            )
