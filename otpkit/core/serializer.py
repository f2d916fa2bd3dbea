"""The wire format of tokens: itsdangerous's, with the signing key derived once."""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Any, Final

from itsdangerous import BadData, Signer, URLSafeSerializer
from itsdangerous.signer import SigningAlgorithm

from otpkit.core.crypto import URL_SAFE, Mac

_SALT: Final = b"otpkit.proof.1"
_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Algorithm(SigningAlgorithm):
    """HMAC-SHA-256 that keeps the hash states of each key."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._macs = {key: Mac(key) for key in keys}

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        """Return the signature of a value."""
        return self._macs[key](value)


class ProofSerializer(URLSafeSerializer):
    """A serializer with the wire format of itsdangerous, in a third of the time.

    For each token, itsdangerous would derive a key, make a signer, and try to compress the payload. This class writes
    no compressed tokens, but reads them.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(keys, _SALT)
        derived = [hmac_digest(key, _SALT, sha256) for key in keys]  # The same as Signer(key_derivation="hmac").
        self._signer = Signer(derived, _SALT, key_derivation="none", algorithm=_Algorithm(derived))

    def make_signer(self, salt: str | bytes | None = None) -> Signer:
        """Return the shared signer."""
        return self._signer

    def dump_payload(self, obj: Any, *_args: object, **_options: object) -> bytes:
        """Return claims in the encoding of a token."""
        return b2a_base64(_write_json(obj).encode(), newline=False).translate(URL_SAFE, b"=")

    def write(self, claims: Mapping[str, Any]) -> str:
        """Return the token of claims."""
        return str(self.dumps(claims))

    def read(self, token: str) -> dict[str, Any] | None:
        """Return the claims of a token, or None if its signature or its format is invalid."""
        try:
            return dict(self.loads(token))
        except (BadData, ValueError, TypeError):
            return None  # Not raised: an itsdangerous error holds the payload, and so the phone.
