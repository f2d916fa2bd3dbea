"""Find the operator whose key was typed."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest

from otpkit.errors import ConfigurationError
from otpkit.settings.keys import require_strong
from otpkit.settings.operators import Operator, require_distinct_operators


class Operators:
    """The people who may use the console.

    Args:
        operators: the people; at least one.

    Raises:
        ConfigurationError: there is none, or two share a name or a key.
    """

    def __init__(self, operators: Iterable[Operator]) -> None:
        found = tuple(operators)
        self._by_name = {each.name: each for each in found}
        require_distinct_operators(found)
        if not found:
            raise ConfigurationError("The console has no operator.", "Add one: `otpkit operator-key NAME` prints it.")

    def named(self, name: str) -> Operator | None:
        """Return the operator with a name, or None."""
        return self._by_name.get(name)

    def find(self, key: str) -> Operator | None:
        """Return the operator with a key, or None. The time it takes reveals nothing about any key.

        Raises:
            ConfigurationError: the key is too short, or a placeholder. The configured digest alone does not show this.
        """
        given = sha256(key.encode("utf-8", "surrogatepass")).digest()
        found = None
        for each in self._by_name.values():
            if compare_digest(each.digest, given):
                found = each
        if found is not None:
            require_strong(found.name, key)
        return found
