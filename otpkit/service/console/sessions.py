"""Signed cookies and form tokens of the console. Nothing about a session is stored on the server.

A session holds the operator's name and a digest of their key's digest. When the operator is removed or gets another
key, the session ends with the next request. Each kind of value says its kind, so none can stand in for another.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from otpkit.core.config import Config
from otpkit.core.serializer import ProofSerializer
from otpkit.service.console.operators import Operators
from otpkit.settings.operators import Operator

LIFE: Final = 8 * 3600  # seconds
NUMBER_LIFE: Final = 900  # seconds that a number stays looked up
FORM_LIFE: Final = 3600  # seconds that the form for the key may stay open
_MAX_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in operator, and the random id of the session."""

    operator: Operator
    id: str


class Sessions:
    """Write and read signed values.

    Args:
        config: the checked arguments of the `OTP`: its secrets sign, and its clock measures lives.
        operators: the people who may sign in.
    """

    def __init__(self, config: Config, operators: Operators) -> None:
        self._serializer = ProofSerializer(config.keys.consoles)
        self._config = config
        self._operators = operators

    def begin(self, operator: Operator) -> str:
        """Return the cookie of a new session."""
        return self.seal("session", LIFE, who=operator.name, key=_mark(operator), id=secrets.token_urlsafe(16))

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie. Return None if it is over, or its operator has another key or is gone."""
        claims = self.open("session", cookie)
        operator = None if claims is None else self._operators.named(str(claims.get("who")))
        if claims is None or operator is None or claims.get("key") != _mark(operator):
            return None
        return Session(operator, str(claims["id"]))

    def form_token(self, session_id: str) -> str:
        """Return the token for the forms of a session. It holds as long as the session."""
        return self.seal("form", LIFE, id=session_id)

    def is_form_token(self, session_id: str, token: str) -> bool:
        """Return True if a form's token belongs to the session."""
        claims = self.open("form", token)
        return claims is not None and claims.get("id") == session_id

    def seal(self, kind: str, life: int, **claims: str) -> str:
        """Return a signed value.

        Args:
            kind: what it is for.
            life: seconds that it holds.
            claims: its contents.
        """
        ends = self._config.host_ms() // 1000 + life
        return self._serializer.write({"kind": kind, "of": self._config.namespace, "ends": ends, **claims})

    def open(self, kind: str, text: str) -> Mapping[str, Any] | None:
        """Return the contents of a signed value, or None if it is not valid, too old, or of another kind."""
        claims = self._serializer.read(text) if 0 < len(text) <= _MAX_CHARS and text.isascii() else None
        if claims is None or claims.get("kind") != kind or claims.get("of") != self._config.namespace:
            return None
        return claims if self._config.host_ms() // 1000 < claims["ends"] else None


def _mark(operator: Operator) -> str:
    return sha256(b"otpkit console " + operator.digest).hexdigest()[:32]
