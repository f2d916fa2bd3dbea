"""Signed tokens of proofs. They are checked without Redis."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from hmac import compare_digest
from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict, cast

from otpkit.core.arguments import DEFAULT_NAMESPACE
from otpkit.core.crypto import Keys, decode_id
from otpkit.errors import InvalidTokenError
from otpkit.models import Proof

if TYPE_CHECKING:
    from otpkit.core.serializer import ProofSerializer

    # Only for type checkers, to save import time.
    class _Payload(TypedDict):
        """The JSON of a token. Times are server milliseconds."""

        id: str
        phone: str
        purpose: str
        bind: str
        iat: int
        exp: int
        amr: str
        aud: NotRequired[str]
        fixed: NotRequired[bool]


_MAX_TOKEN_CHARS = 4096
_from_timestamp = datetime.fromtimestamp
_INVALID = "This is not a valid proof token for this namespace, purpose, bind and phone.", "Verify the phone again."


class Claims(NamedTuple):
    """The claims of a token with a valid signature. Times are server milliseconds."""

    proof_id: bytes
    proof: Proof
    issued_ms: int
    expires_ms: int
    has_audience: bool  # False for tokens of the first version.


class TokenSigner:
    """A signer of proofs and reader of tokens: HMAC-SHA-256 with a salt of its own.

    The newest key signs; all active keys verify. `audience` is the namespace of the tokens (OWASP ASVS 9.2.3, 9.2.4),
    because another namespace may use the same secret.
    """

    __slots__ = ("_audience", "_bind_remembered", "_keys", "_serializer")

    def __init__(self, keys: Keys, audience: str = DEFAULT_NAMESPACE) -> None:
        self._keys = keys
        self._audience = audience
        self._serializer: ProofSerializer | None = None
        self._bind_remembered = lru_cache(maxsize=64)(self._bind_digest)  # For the few purposes without a bind.

    def proof(
        self,
        proof_id: str,
        phone: str,
        purpose: str,
        bind: str,
        issued_ms: int,
        expires_ms: int,
        fixed: bool,
        device: Callable[[Proof], str] | None = None,
    ) -> Proof:
        """Return the proof of a verification. Its tokens are signed when they are read; `device` signs the device's."""

        def sign(proof: Proof) -> str:
            claims: _Payload = {
                "id": proof_id,
                "phone": phone,
                "purpose": purpose,
                "bind": self._bind_digest(purpose, bind) if bind else self._bind_remembered(purpose, ""),
                "iat": issued_ms,
                "exp": expires_ms,
                "amr": "sms",
                "aud": self._audience,
            }
            if fixed:
                claims["fixed"] = True
            return self._serialize().write(claims)

        verified_at, expires_at = _from_timestamp(issued_ms / 1000, UTC), _from_timestamp(expires_ms / 1000, UTC)
        return Proof(proof_id, phone, purpose, verified_at, expires_at, fixed, sign, _device=device)

    def read(self, token: object, purpose: str, bind: str, phone: str | None) -> Claims:
        """Return the claims of `token`. The caller checks the times.

        Args:
            token: the token as text.
            purpose: the expected purpose.
            bind: the expected bind.
            phone: the expected phone (E.164); None accepts any phone.

        Raises:
            InvalidTokenError: the token was not signed for this audience, purpose, bind and phone. A token without an
                audience is accepted: check `Claims.has_audience`.
        """
        claims = self._load(token)
        if (
            claims.get("purpose") != purpose
            or not compare_digest(str(claims.get("bind")).encode(), self._bind_digest(purpose, bind).encode())
            or (phone is not None and claims.get("phone") != phone)
            or claims.get("aud", self._audience) != self._audience
        ):
            raise InvalidTokenError(*_INVALID)
        issued_ms, expires_ms = claims["iat"], claims["exp"]
        proof = Proof(
            claims["id"],
            claims["phone"],
            purpose,
            from_ms(issued_ms),
            from_ms(expires_ms),
            claims.get("fixed") is True,
            str(token),
        )
        return Claims(decode_id(claims["id"]), proof, issued_ms, expires_ms, "aud" in claims)

    def _load(self, token: object) -> _Payload:
        if isinstance(token, str) and len(token) <= _MAX_TOKEN_CHARS:
            claims = self._serialize().read(token)
            if claims is not None:
                return cast("_Payload", claims)
        raise InvalidTokenError(*_INVALID)

    def _serialize(self) -> ProofSerializer:
        """Return the serializer. The first call makes it."""
        serializer = self._serializer
        if serializer is None:
            from otpkit.core.serializer import ProofSerializer  # itsdangerous takes time to import.

            serializer = self._serializer = ProofSerializer(self._keys.tokens)
        return serializer

    def _bind_digest(self, purpose: str, bind: str) -> str:
        digest = self._keys.name(b"bind", purpose, bind, size=12)
        return urlsafe_b64encode(digest).decode()


def from_ms(ms: int) -> datetime:
    """Return server milliseconds as an aware UTC datetime."""
    return _from_timestamp(ms / 1000, UTC)


def to_ms(time: datetime) -> int:
    """Return the server milliseconds that `from_ms` made a datetime of."""
    return round(time.timestamp() * 1000)
