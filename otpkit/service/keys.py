"""Find the API key of a request, and the purposes that it may read."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from otpkit.settings.keys import ApiKey, require_distinct, require_receipts_secret, require_strong

__all__ = ["KNOWN", "ApiKey", "Keyring", "require_receipts_secret"]

KNOWN: Final = "otpkit.known"  # in a request's state, the name of the valid API key that it has shown
_SCHEME: Final = "bearer "


class Keyring:
    """The API keys of a service.

    Raises:
        ConfigurationError: two keys are equal or have the same name.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)
        self._strong: set[bytes] = set()
        require_distinct(self._keys)

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes of all keys."""
        return frozenset().union(*(key.purposes for key in self._keys))

    def readable(self, key: ApiKey) -> frozenset[str] | None:
        """Return the purposes whose events the key may read, or None for all metrics."""
        return key.purposes if key.purposes and key.purposes < self.purposes else None

    def find(self, authorization: str) -> ApiKey | None:
        """Return the API key in the header `Authorization`, or None. The time it takes reveals nothing about any key.

        Raises:
            ConfigurationError: the key is too short, or a placeholder. The configured digest alone does not show this.
        """
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        text = authorization[len(_SCHEME) :].strip(" ")
        given = sha256(text.encode("utf-8", "surrogatepass")).digest()
        found = None
        for key in self._keys:
            if compare_digest(key.digest, given):
                found = key
        if found is not None and given not in self._strong:
            require_strong(found.name, text)
            self._strong.add(given)
        return found
