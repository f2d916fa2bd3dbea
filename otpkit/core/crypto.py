"""Codes, and the keyed hashes that represent phones, codes, purposes and binds at rest.

Keys are derived from a secret for one use each, so that no key can do another's work: `code` (the code of a nonce, and
its digest) and `token` (proofs) from each active secret, `index` (pseudonyms and names) and `device` (device tokens)
from the index secret. The salt of a digest is the subject itself,
length-prefixed, so that two subjects never have the same encoding. Sources: RFC 2104, FIPS 180-4; NIST SP 800-63B-4
§3.1.3.2, which requires at least six random digits.
"""

from __future__ import annotations

import base64
import secrets
from binascii import b2a_base64
from collections.abc import Sequence
from functools import lru_cache, partial
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import NoReturn

from otpkit.core.arguments import check_bind, check_purpose
from otpkit.core.checks import Checks
from otpkit.core.secret import read_secret
from otpkit.errors import ConfigurationError, MalformedCodeError

DIGEST_BYTES = 16  # 128 bits of a keyed hash can't be guessed, and need half the memory of 256.
ID_BYTES = 16
KEY_ID_BYTES = 4
CHALLENGE_FIELD_BYTES = 8
_MIN_START = 12  # In characters: 72 bits.
_VERSION = b"otpkit 1 "
URL_SAFE = bytes.maketrans(b"+/", b"-_")  # base64.urlsafe_b64encode does the same, but takes twice as long.
_SEPARATORS = str.maketrans("", "", " -")


def new_id() -> bytes:
    """Return 128 random bits: an operation id or a nonce."""
    return secrets.token_bytes(ID_BYTES)


def new_ids() -> tuple[bytes, bytes]:
    """Return two ids from one draw: each draw is a system call."""
    drawn = secrets.token_bytes(2 * ID_BYTES)
    return drawn[:ID_BYTES], drawn[ID_BYTES:]


def encode_id(raw: bytes) -> str:
    """Return an id as 22 characters of `[A-Za-z0-9_-]`."""
    return b2a_base64(raw, newline=False).translate(URL_SAFE, b"=").decode()


def decode_id(text: str) -> bytes:
    """Return the id that `encode_id` encoded; raise ValueError for any other text."""
    raw = base64.urlsafe_b64decode(text + "==")
    if len(raw) != ID_BYTES or encode_id(raw) != text:
        raise ValueError("not an id")
    return raw


def decode_start(text: str) -> bytes:
    """Return the beginning of an id from at least 12 characters of `encode_id`; raise ValueError for any other text."""
    if len(text) == 22:
        return decode_id(text)
    start = text[: len(text) // 4 * 4]
    raw = base64.urlsafe_b64decode(start)
    if len(start) < _MIN_START or len(raw) > ID_BYTES or encode_id(raw) != start:
        raise ValueError("not the beginning of an id")
    return raw


def clean_code(code: object, length: int) -> str:
    """Return the digits of a typed code, without blanks (U+0020) and hyphens.

    Raises:
        MalformedCodeError: the rest is not exactly `length` ASCII digits.
    """
    if isinstance(code, str) and len(code) <= 4 * length:
        digits = str(code).translate(_SEPARATORS)
        if len(digits) == length and digits.isascii() and digits.isdigit():
            return digits
    raise MalformedCodeError(
        f"A code is {length} ASCII digits in a str. Nothing was counted.",
        "Pass the text that the user typed, unchanged.",
    )


def pack(*parts: str) -> bytes:
    """Join texts, each preceded by its length, so that two different sequences never result in the same bytes."""
    packed = ""
    for part in parts:
        packed += f"{len(part)}:{part}"
    return packed.encode("utf-8", "surrogatepass")


class Mac:
    """HMAC-SHA-256 with one key (RFC 2104), for messages that begin with `prefix`.

    It keeps the hash states of the key, which is twice as fast as computing them for each message.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes, prefix: bytes = b"") -> None:
        block = key.ljust(sha256().block_size, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._inner.update(prefix)
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def __call__(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


class CodeKey:
    """The key of one secret that derives codes from nonces, and digests from codes."""

    __slots__ = ("_mac", "id")

    def __init__(self, secret: bytes) -> None:
        self._mac = Mac(_derive(secret, b"code"))
        self.id = _derive(secret, b"key id")[:KEY_ID_BYTES]

    def code(self, nonce: bytes, subject: bytes, length: int) -> str:
        """Return the code of a nonce: uniform over all numbers of `length` digits (256 bits modulo 10^length)."""
        number = int.from_bytes(self._mac(b"code" + nonce + subject), "big")
        return f"{number % 10**length:0{length}d}"

    def digest(self, subject: bytes, code: str) -> bytes:
        """Return the digest that Redis stores for a code."""
        return self._mac(b"hash" + subject + code.encode())[:DIGEST_BYTES]

    def challenge(self, nonce: bytes, subject: bytes, code: str, *, fixed: bool = False) -> bytes:
        """Return a fresh challenge in the format of `phone.lua`, without its time."""
        return nonce + self.digest(subject, code) + self.id + bytes((0, len(code), fixed))


class Keys:
    """All keys of an `OTP`: a code key and a token key for each active secret, newest last; the index and device keys.

    Raises:
        ConfigurationError: a secret is missing, too short or not random.
    """

    __slots__ = (
        *("_index", "_mac_of", "by_id", "captchas", "codes", "consoles", "current", "device", "fallback_captchas"),
        *("ids", "phone"),
        *("place_remembered", "tokens"),
    )

    def __init__(self, secret: str | bytes | Sequence[str | bytes], index_secret: str | bytes | None) -> None:
        with Checks() as checks:
            active = checks.of("secret", _read_secrets, secret)
            if index_secret is not None:
                index = checks.of("index_secret", read_secret, "index_secret", index_secret)
            elif checks.passed("secret") and len(active) > 1:
                checks.add(
                    "index_secret",
                    "index_secret is required with several secrets. Without it, every limit would be reset.",
                    "Pass the first secret that was used with this Redis.",
                )
        if index_secret is None:
            index = active[0]
        self.codes = tuple(map(CodeKey, active))
        self.current = self.codes[-1]  # The key for new codes.
        self.by_id = {key.id: key for key in self.codes}
        self.ids = b"".join(self.by_id)
        self.tokens = [_derive(raw, b"token") for raw in active]
        # Two kinds, so that a challenge of the fallback is worth nothing to the captcha that it stands in for.
        self.captchas = tuple(_derive(raw, b"captcha") for raw in active)
        self.fallback_captchas = tuple(_derive(raw, b"fallback captcha") for raw in active)
        self.consoles = tuple(_derive(raw, b"console") for raw in active)
        index_key = _derive(index, b"index")
        self.device = Mac(_derive(index, b"device"))
        self._index, self.phone = Mac(index_key), Mac(index_key, b"phone\0")
        self._mac_of = partial(Mac, index_key)
        self.place_remembered = lru_cache(maxsize=64)(self.place)  # For the few purposes that calls use.

    def name(self, kind: bytes, *parts: str, size: int = ID_BYTES) -> bytes:
        """Return the keyed hash that represents `parts` at rest. Each `kind` results in a different hash."""
        return self.name_packed(kind, pack(*parts))[:size]

    def beginning(self, kind: bytes, *parts: str) -> Mac:
        """Return the MAC of names whose first parts are these. Pass it the rest, packed."""
        return self._mac_of(kind + b"\0" + pack(*parts))

    def name_packed(self, kind: bytes, packed: bytes) -> bytes:
        """Return the same as `name`, for parts that `pack` has already joined."""
        return self._index(kind + b"\0" + packed)[:ID_BYTES]

    def place(self, purpose: object, bind: object) -> tuple[str, str, bytes, bytes]:
        """Return a purpose, a bind, both packed, and their challenge field: the name for both at rest.

        Raises:
            ConfigurationError: the purpose or the bind is not valid text.
        """
        checked_purpose, checked_bind = check_purpose(purpose), check_bind(bind)
        packed = pack(checked_purpose, checked_bind)
        # "slot" is the name from the first version. It can't change, because stored hashes depend on it.
        return checked_purpose, checked_bind, packed, self.name_packed(b"slot", packed)[:CHALLENGE_FIELD_BYTES]

    def digests(self, subject: bytes, code: str) -> bytes:
        """Return, for each key, the digest that Redis stores for a code, followed by the key's id."""
        found = self.current.digest(subject, code) + self.current.id
        for key in self.codes[:-1]:
            found += key.digest(subject, code) + key.id
        return found

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are never pickled")


def _derive(secret: bytes, use: bytes) -> bytes:
    return hmac_digest(secret, _VERSION + use, sha256)


def _read_secrets(secret: object) -> list[bytes]:
    if isinstance(secret, (str, bytes)):
        return [read_secret("secret", secret)]
    if not isinstance(secret, Sequence) or not secret:
        raise ConfigurationError(
            "secret must be a str or bytes of at least 32 bytes, or a sequence of them.",
            "Make one with `otpkit keygen`. If there are several, pass the newest last.",
        )
    found = [read_secret("secret", item) for item in secret]
    if len(set(found)) != len(found):
        raise ConfigurationError("secret contains the same value twice.", "Name each active secret once, newest last.")
    return found
