"""API keys: who may ask, and for which purposes. Only their SHA-256 digests are kept.

The secret in the URL of receipts is checked here, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Self

from otpkit.core.arguments import check_purpose
from otpkit.core.secret import require_random
from otpkit.errors import ConfigurationError

MIN_KEY_CHARS: Final = 32
KNOWN: Final = "otpkit.known"  # In a request's state, once it has shown one of the keys.
_KEY: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1: what `Authorization: Bearer` can carry
_MIN_RECEIPTS_SECRET: Final = 32  # characters
_URL_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """A key by its digest: `name` is for people, `purposes` is what it may issue, verify and redeem for.

    A key without purposes reads all metrics, and may do nothing else; one that has some reads the events of these, and
    all only where no other key has more. Raises `ConfigurationError`.
    """

    name: str
    digest: bytes
    purposes: frozenset[str]

    def __post_init__(self) -> None:
        if isinstance(self.purposes, str) or not isinstance(self.purposes, Iterable):
            raise ConfigurationError(f'The key {self.name!r} needs purposes, a list such as ["signup"].')
        object.__setattr__(self, "purposes", frozenset(map(check_purpose, self.purposes)))

    @classmethod
    def of(cls, name: str, key: object, purposes: Iterable[str]) -> Self:
        """Return the key whose text is `key`: at least 32 characters, as `otpkit keygen` makes them."""
        _require_strong(name, key)
        return cls(name, sha256(str(key).encode()).digest(), purposes)  # type: ignore[arg-type]  # __post_init__ makes it so

    @classmethod
    def of_digest(cls, name: str, digest: object, purposes: Iterable[str]) -> Self:
        """Return the key whose SHA-256 is `digest`, in hex. Whether it is a strong one shows when it is first used."""
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ConfigurationError(f"The key {name!r} must have the 64 hexadecimal digits of a SHA-256.")
        return cls(name, bytes.fromhex(digest), purposes)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"ApiKey(name={self.name!r}, purposes={sorted(self.purposes)!r})"


class Keyring:
    """The keys of a service. Raises `ConfigurationError` where two are the same, or have one name."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)
        self._strong: set[bytes] = set()
        if not self._keys:
            raise ConfigurationError("There is no API key, so nobody could ask for anything; add one.")
        for what, values in (("name", {k.name for k in self._keys}), ("key", {k.digest for k in self._keys})):
            if len(values) < len(self._keys):
                raise ConfigurationError(f"Two API keys have the same {what}; give each its own.")

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
            _require_strong(found.name, text)
            self._strong.add(given)
        return found


def require_receipts_secret(secret: str) -> None:
    """Raise `ConfigurationError` for a secret that can't stand in the URL of receipts, or that could be guessed."""
    if len(secret) < _MIN_RECEIPTS_SECRET or not set(secret) <= _URL_SAFE:
        raise ConfigurationError(
            f"service.receipts_secret must be at least {_MIN_RECEIPTS_SECRET} characters that a URL can hold; "
            "make one with `otpkit keygen`."
        )
    require_random("service.receipts_secret", secret.encode())


def _require_strong(name: str, key: object) -> None:
    if not isinstance(key, str) or len(key) < MIN_KEY_CHARS or not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"The key {name!r} must be at least {MIN_KEY_CHARS} of A-Z, a-z, 0-9 and -._~+/; "
            "make one with `otpkit keygen`."
        )
    require_random(f"The key {name!r}", key.encode())
