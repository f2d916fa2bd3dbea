"""otpkit's own captcha: the visitor's device computes for a second. No third party, no cookie, nothing to store.

The formats are ALTCHA's, so its widgets and libraries work too. Format 1: https://altcha.org/docs/server-integration/,
format 2: https://altcha.org/docs/v2/proof-of-work-captcha, both as in altcha-lib-py (altcha/v1.py, altcha/v2.py).

A challenge is signed with a key of the deployment and says its purpose and its end. The random number in it is found by
trying all numbers from 0. Each try is one SHA-256.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Any, ClassVar, Final, Self

from otpkit.captcha.base import Captcha, CaptchaCheck, Reason, Verdict
from otpkit.core.checks import Checks
from otpkit.effects import Flow
from otpkit.errors import ConfigurationError
from otpkit.gateways.provider import read_json

__all__ = ["ProofOfWork"]

ALGORITHM: Final = "SHA-256"
MAX_DIFFICULTY: Final = 100_000_000
_MAX_TTL: Final = 3600
_MAX_ANSWER: Final = 4096  # In characters. An answer has some 600.
_USE: Final = b"otpkit proof of work"
_KEY_BYTES: Final = 32  # of format 2's derived key. Its first half is given to the visitor.

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ID: Final = re.compile(r"[0-9a-f]{32}")
# The salt ends with "&", and the number has digits alone: there is one way only to cut their text in two.
_SALT: Final = re.compile(r"[0-9a-f]{24}\?expires=(?P<expires>[0-9]{10,12})&purpose=(?P<purpose>[0-9a-f]{16})&")
_PURPOSE: Final = re.compile(r"[0-9a-f]{16}")
_MAX_COUNTER: Final = 2**32 - 1
_PARAMETERS: Final = frozenset({"algorithm", "cost", "data", "expiresAt", "keyLength", "keyPrefix", "nonce", "salt"})


class ProofOfWork(Captcha):
    """Proof of work: the visitor's device computes, and the visitor waits.

    It raises the cost of scripts that post to forms, such as bombing tools (短信轰炸). It does not stop people who earn
    by each message: a second of computing costs a thousandth of what a message pays. It asks nothing of the visitor,
    works in every browser with JavaScript, and can't be failed.

    An answer is tied to its purpose and its end, not to a phone or an address. Nothing is stored for a challenge, so an
    answer is right as often as it comes: the guard marks it as used, by its `identity`.

    An `OTP` keys it from its `secret`. The key of ALTCHA's libraries is the text
    `hmac.digest(key, b"otpkit proof of work", "sha256").hex()`, where `key` is that of `bind_key`.

    Args:
        difficulty: the largest number that can be the solution, 1 to 100,000,000. Half of it is tried on average, each
            try being one SHA-256. The default is 500,000 hashes on average and 1,000,000 at most: 0.4 s and 0.8 s at
            the 1.2 million hashes a second that otpkit's script makes in Chromium on a server's core. Cheap phones
            take several times as long, a native program less than 0.1 s of one core.
        ttl: seconds for which a challenge is valid, 30 to 3600. It contains the time to solve it and to send the form.
        format: ALTCHA's format of new challenges: 1 for all its widgets up to version 2 and for otpkit's pages, 2 for
            version 3. Answers in both are accepted.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    name: ClassVar[str] = "proof-of-work"
    single_use: ClassVar[bool] = False
    csp: Mapping[str, tuple[str, ...]] = {"worker-src": ("blob:",)}  # The page makes its worker from its own script.

    def __init__(self, difficulty: int = 1_000_000, *, ttl: int = 600, format: int = 1) -> None:  # noqa: A002
        with Checks() as checks:
            self.difficulty = checks.of("difficulty", _whole, "difficulty", difficulty, 1, MAX_DIFFICULTY)
            self.ttl = checks.of("ttl", _whole, "ttl", ttl, 30, _MAX_TTL)
            self.format = checks.of("format", _whole, "format", format, 1, 2)
        self._keys: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"ProofOfWork({self.difficulty!r}, ttl={self.ttl!r}, format={self.format!r})"

    def bind_key(self, *keys: bytes) -> Self:
        """Return a captcha like this one with keys. It signs with the newest, and accepts answers signed with any.

        Args:
            keys: the secret keys, newest last.
        """
        bound = type(self)(self.difficulty, ttl=self.ttl, format=self.format)
        bound._keys = tuple(hmac_digest(key, _USE, sha256).hex().encode() for key in keys)
        return bound

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        """Return a fresh challenge, as ALTCHA's widgets take it, and the name of their form field.

        Args:
            purpose: the purpose that the answer will be for.
            now_ms: the current time in milliseconds since the epoch; None means now, by this host's clock.

        Returns:
            The challenge under `challenge`. `difficulty` is the number of hashes at most, for a progress bar.

        Raises:
            ConfigurationError: the captcha has no key.
        """
        now = time.time() if now_ms is None else now_ms / 1000
        make = self._first_format if self.format == 1 else self._second_format
        challenge = make(_tag(purpose), int(now) + self.ttl, secrets.randbelow(self.difficulty + 1))
        return {"provider": self.name, "challenge": challenge, "difficulty": self.difficulty, "field": "altcha"}

    def identity(self, answer: str) -> str:
        """Return the challenge that an answer solves. Base64 and JSON can spell one solution in many ways."""
        payload = _payload(answer)
        challenge = payload.get("challenge")
        if isinstance(challenge, dict):
            challenge = challenge.get("signature")
        return challenge if isinstance(challenge, str) and _HASH.fullmatch(challenge) else answer

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        """Judge one answer: the text of the field `altcha`. Nothing outside is asked.

        Raises:
            ConfigurationError: the captcha has no key.
        """
        self._newest()
        payload = _payload(answer)
        is_second = isinstance(payload.get("challenge"), dict)
        reason, expires = (self._judge_second if is_second else self._judge_first)(payload, _tag(check.purpose))
        left_ms = expires * 1000 - check.now_ms
        if not reason and left_ms <= 0:
            reason = "expired"
        return Verdict(not reason, reason, max(1, min(-(-left_ms // 1000), _MAX_TTL)))
        yield  # This makes the function a generator. The flow has no effects.

    def _newest(self) -> bytes:
        if not self._keys:
            raise ConfigurationError(
                "The proof of work has no key.", "Pass it to Guard(captcha=…), or use what bind_key(key) returns."
            )
        return self._keys[-1]

    def _is_signed(self, message: str, signature: str) -> bool:
        """Check a signature, in hex, against all keys."""
        return any(compare_digest(_sign(key, message), signature) for key in self._keys)

    # Format 1: the challenge is the hash of a salt and a number, and is signed.

    def _first_format(self, tag: str, expires: int, number: int) -> dict[str, object]:
        salt = f"{secrets.token_hex(12)}?expires={expires}&purpose={tag}&"
        challenge = _hash(salt, number)
        return {
            "algorithm": ALGORITHM,
            "challenge": challenge,
            "maxnumber": self.difficulty,
            "salt": salt,
            "signature": _sign(self._newest(), challenge),
        }

    def _judge_first(self, payload: Mapping[str, Any], tag: str) -> tuple[Reason, int]:
        salt, challenge = _text(payload, "salt", _SALT), _text(payload, "challenge", _HASH)
        signature, number = _text(payload, "signature", _HASH), _count(payload, "number")
        found = _SALT.fullmatch(salt)
        if found is None or not challenge or number < 0 or payload.get("algorithm") != ALGORITHM:
            return "malformed", 0
        if not compare_digest(_hash(salt, number), challenge) or not self._is_signed(challenge, signature):
            return "wrong", 0
        return "" if found["purpose"] == tag else "foreign", int(found["expires"])

    # Format 2: the parameters are signed as canonical JSON, and a key derived from a counter begins with `keyPrefix`.

    def _second_format(self, tag: str, expires: int, number: int) -> dict[str, object]:
        nonce, salt = secrets.token_hex(16), secrets.token_hex(16)
        parameters = {
            "algorithm": ALGORITHM,
            "cost": 1,
            "data": {"purpose": tag},
            "expiresAt": expires,
            "keyLength": _KEY_BYTES,
            "keyPrefix": _derive(salt, nonce, number)[:_KEY_BYTES],
            "nonce": nonce,
            "salt": salt,
        }
        return {"parameters": parameters, "signature": _sign(self._newest(), _canonical(parameters))}

    def _judge_second(self, payload: Mapping[str, Any], tag: str) -> tuple[Reason, int]:
        challenge, solution = payload["challenge"], payload.get("solution")
        parameters = challenge.get("parameters")
        if not isinstance(parameters, dict) or not isinstance(solution, dict) or not _is_ours(parameters):
            return "malformed", 0
        counter = _count(solution, "counter")
        if counter < 0:
            return "malformed", 0
        derived = _derive(parameters["salt"], parameters["nonce"], counter)
        is_solved = derived.startswith(parameters["keyPrefix"]) and solution.get("derivedKey") == derived
        if not is_solved or not self._is_signed(_canonical(parameters), _text(challenge, "signature", _HASH)):
            return "wrong", 0
        return "" if parameters["data"]["purpose"] == tag else "foreign", parameters["expiresAt"]


def _payload(answer: object) -> Mapping[str, Any]:
    """Return the JSON object of an answer in Base64, or {} if it is anything else."""
    if not isinstance(answer, str) or not 0 < len(answer) <= _MAX_ANSWER or not answer.isascii():
        return {}
    try:
        found = read_json(base64.b64decode(answer, validate=True))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _tag(purpose: str) -> str:
    """Return a short hash of a purpose. It is no secret: it keeps the challenge short, whatever the purpose."""
    return sha256(purpose.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _hash(salt: str, number: int) -> str:
    return sha256(f"{salt}{number}".encode()).hexdigest()


def _derive(salt: str, nonce: str, counter: int) -> str:
    message = bytes.fromhex(salt) + bytes.fromhex(nonce) + counter.to_bytes(4, "big")
    return sha256(message).hexdigest()


def _sign(key: bytes, message: str) -> str:
    return hmac_digest(key, message.encode(), sha256).hex()


def _canonical(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, sort_keys=True, separators=(",", ":"))


def _is_ours(parameters: Mapping[str, Any]) -> bool:
    """Check that parameters have the form of `_second_format`. Their signature shows that they are from it."""
    data = parameters.get("data")
    return (
        parameters.keys() == _PARAMETERS
        and all(_text(parameters, name, _ID) for name in ("nonce", "salt", "keyPrefix"))
        and all(_count(parameters, name) > 0 for name in ("cost", "keyLength", "expiresAt"))
        and parameters["algorithm"] == ALGORITHM
        and isinstance(data, dict)
        and data.keys() == {"purpose"}
        and bool(_text(data, "purpose", _PURPOSE))
    )


def _text(fields: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) and form.fullmatch(value) else ""


def _count(fields: Mapping[str, Any], name: str) -> int:
    """Return a whole number of 32 bits, or -1 for any other value."""
    value = fields.get(name)
    return value if type(value) is int and 0 <= value <= _MAX_COUNTER else -1


def _whole(field: str, value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ConfigurationError(f"{field} must be a whole number from {low:,} to {high:,}.")
    return value
