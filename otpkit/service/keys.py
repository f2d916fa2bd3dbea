"""API keys at work: whose key a request carries, and what it may read."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from otpkit.settings.keys import ApiKey, require_distinct, require_receipts_secret, require_strong

__all__ = ["KNOWN", "ApiKey", "Keyring", "require_receipts_secret"]

KNOWN: Final = "otpkit.known"  # In a request's state, once it has shown one of the keys.
_SCHEME: Final = "bearer "


class Keyring:
    """The keys of a service. Raises `ConfigurationError` where two are the same, or have one name."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)
        self._strong: set[bytes] = set()
        require_distinct(self._keys)

    @property
    def purposes(self) -> frozenset[str]:
        """All that any key may be used for."""
        return frozenset().union(*(key.purposes for key in self._keys))

    def readable(self, key: ApiKey) -> frozenset[str] | None:
        """Return the purposes whose events the key may read; None is all there is to read."""
        return key.purposes if key.purposes and key.purposes < self.purposes else None

    def find(self, authorization: str) -> ApiKey | None:
        """Return whose key the header `Authorization` carries, or None. How long it takes tells nothing of any key.

        Raises `ConfigurationError` for one of them that is short, or a placeholder: a digest alone does not show it.
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
