"""The signed token of a proof, checked without Redis."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import NamedTuple, NotRequired, TypedDict, cast

from itsdangerous import BadData, URLSafeSerializer

from otpkit.core.arguments import DEFAULT_NAMESPACE
from otpkit.core.crypto import Keys, decode_id
from otpkit.errors import InvalidTokenError
from otpkit.models import Proof

_MAX_TOKEN_CHARS = 4096
_INVALID = "This is not a proof token of ours for this namespace, purpose, bind and phone.", "Verify the phone again."


class _Payload(TypedDict):
    """A token's JSON. Its times are server milliseconds."""

    id: str
    phone: str
    purpose: str
    bind: str
    iat: int
    exp: int
    amr: str
    aud: NotRequired[str]
    fixed: NotRequired[bool]


class Claims(NamedTuple):
    """What a token says once its signature holds. Times are server milliseconds."""

    proof_id: bytes
    proof: Proof
    issued_ms: int
    expires_ms: int
    has_audience: bool  # Tokens of the first version have none.


class TokenSigner:
    """Signs proofs and reads tokens: HMAC-SHA-256, a salt of its own; the newest key signs, all active ones verify.

    `audience` is the namespace that the tokens are for (OWASP ASVS 9.2.3, 9.2.4): another one's may share the secret.
    """

    __slots__ = ("_audience", "_keys", "_serializer")

    def __init__(self, keys: Keys, audience: str = DEFAULT_NAMESPACE) -> None:
        self._keys = keys
        self._audience = audience
        self._serializer = URLSafeSerializer(
            keys.tokens,
            salt="otpkit.proof.1",
            signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
        )

    def proof(
        self, proof_id: str, phone: str, purpose: str, bind: str, issued_ms: int, expires_ms: int, fixed: bool
    ) -> Proof:
        """Build the proof of a verify; its token is signed when it is read."""

        def sign(proof: Proof) -> str:
            claims: _Payload = {
                "id": proof_id,
                "phone": phone,
                "purpose": purpose,
                "bind": self._bind_digest(purpose, bind),
                "iat": issued_ms,
                "exp": expires_ms,
                "amr": "sms",
                "aud": self._audience,
            }
            if fixed:
                claims["fixed"] = True
            return str(self._serializer.dumps(claims))

        return Proof(proof_id, phone, purpose, from_ms(issued_ms), from_ms(expires_ms), fixed, sign)

    def read(self, token: object, purpose: str, bind: str, phone: str | None) -> Claims:
        """Return what `token` says; its life is the caller's to judge.

        Raises `InvalidTokenError` for anything that was not signed for this audience, purpose, bind and phone (None:
        any phone). A token that names no audience is read: `Claims.has_audience` says so.
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
            try:
                return cast("_Payload", dict(self._serializer.loads(token)))
            except (BadData, ValueError, TypeError):
                pass
        # Raised outside the except block: an itsdangerous error holds the payload, and so the phone.
        raise InvalidTokenError(*_INVALID)

    def _bind_digest(self, purpose: str, bind: str) -> str:
        digest = self._keys.name(b"bind", purpose, bind, size=12)
        return urlsafe_b64encode(digest).decode()


def from_ms(ms: int) -> datetime:
    """Return server milliseconds as an aware UTC datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)
