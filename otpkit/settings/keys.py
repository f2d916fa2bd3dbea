"""API keys from the settings, and the secret in the URL of receipts. Only SHA-256 digests of keys are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from otpkit.core.arguments import check_purpose
from otpkit.core.secret import require_random
from otpkit.errors import ConfigurationError

MIN_KEY_CHARS: Final = 32
_KEY: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1: the characters that `Authorization: Bearer` allows
_MIN_RECEIPTS_SECRET: Final = 32  # characters
_URL_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """An API key, stored as a digest.

    A key without purposes reads all metrics and can do nothing else. A key with purposes reads the events of these
    purposes. If it has the purposes of all keys together, it reads all metrics.

    Args:
        name: a name for people.
        digest: the SHA-256 of the key's text, 32 bytes.
        purposes: the purposes that the key may issue, verify and redeem for.
        known: True if the key's owner is trusted to say that a number is verified for an account, as `known` of
            `OTP.issue`.
        operator: True if the key's owner may read the audit and forget the devices of a phone.

    Raises:
        ConfigurationError: `purposes` is not a collection of valid purposes.
    """

    name: str
    digest: bytes
    purposes: frozenset[str]
    known: bool = False
    operator: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.purposes, str) or not isinstance(self.purposes, Iterable):
            raise ConfigurationError(f"The key {self.name!r} has no purposes.", 'Pass a list such as ["signup"].')
        object.__setattr__(self, "purposes", frozenset(map(check_purpose, self.purposes)))

    @classmethod
    def of(
        cls, name: str, key: object, purposes: Iterable[str], *, known: bool = False, operator: bool = False
    ) -> Self:
        """Return the API key with a text.

        Args:
            name: a name for people.
            key: the text, at least 32 characters, as from `otpkit keygen`.
            purposes: the purposes that the key may be used for.
            known: True if the key's owner is trusted to say that a number is known.
            operator: True if the key's owner may read the audit and forget the devices of a phone.

        Raises:
            ConfigurationError: the text is too short or not random, or a purpose is not valid.
        """
        require_strong(name, key)
        digest = sha256(str(key).encode()).digest()
        return cls(name, digest, purposes, known, operator)  # type: ignore[arg-type]  # __post_init__ converts it

    @classmethod
    def of_digest(
        cls, name: str, digest: object, purposes: Iterable[str], *, known: bool = False, operator: bool = False
    ) -> Self:
        """Return the API key with a digest. A weak key is detected only on its first use.

        Args:
            name: a name for people.
            digest: the SHA-256 of the key's text, 64 hexadecimal digits.
            purposes: the purposes that the key may be used for.
            known: True if the key's owner is trusted to say that a number is known.
            operator: True if the key's owner may read the audit and forget the devices of a phone.

        Raises:
            ConfigurationError: the digest or a purpose is not valid.
        """
        return cls(name, digest_of(f"The key {name!r}", digest), purposes, known, operator)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return f"ApiKey(name={self.name!r}, purposes={sorted(self.purposes)!r})"


def digest_of(owner: str, text: object) -> bytes:
    """Return the 32 bytes of a SHA-256 that is written as 64 hexadecimal digits.

    Args:
        owner: the beginning of an error's sentence.
        text: the digits.

    Raises:
        ConfigurationError: they are not valid.
    """
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise ConfigurationError(
            f"{owner} must have a SHA-256 of 64 hexadecimal digits.",
            "Write the SHA-256 of the key, as `sha256sum` prints it.",
        )
    return bytes.fromhex(text)


def require_distinct(keys: Iterable[ApiKey]) -> None:
    """Check that there is a key, and that names and keys are unique.

    Raises:
        ConfigurationError: they are not.
    """
    found = tuple(keys)
    if not found:
        raise ConfigurationError("There is no API key, so no client could use the service.", "Add one.")
    for what, values in (("name", {key.name for key in found}), ("key", {key.digest for key in found})):
        if len(values) < len(found):
            raise ConfigurationError(f"Two API keys have the same {what}.", f"Use a different {what} for each.")


def require_receipts_secret(secret: str) -> None:
    """Check that a secret can be in the URL of receipts and can't be guessed.

    Raises:
        ConfigurationError: it is too short, has other characters, or is not random.
    """
    if len(secret) < _MIN_RECEIPTS_SECRET or not set(secret) <= _URL_SAFE:
        raise ConfigurationError(
            f"service.receipts_secret must be at least {_MIN_RECEIPTS_SECRET} characters that a URL can hold.",
            "Make one with `otpkit keygen`.",
        )
    require_random("service.receipts_secret", secret.encode())


def require_strong(name: str, key: object) -> None:
    if not isinstance(key, str) or len(key) < MIN_KEY_CHARS or not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"The key {name!r} must be at least {MIN_KEY_CHARS} of A-Z, a-z, 0-9 and -._~+/.",
            "Make one with `otpkit keygen`.",
        )
    require_random(f"The key {name!r}", key.encode())
