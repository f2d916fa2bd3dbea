"""For any argument a call returns a result or raises an error of otpkit. Malformed values never reach Redis."""

from __future__ import annotations

from hashlib import sha1, sha256
from itertools import product
from typing import Any

import pytest
from itsdangerous import URLSafeSerializer
from support.rig import PHONE, SECRET, Rig, Untouchable, outcome, wrong

from otpkit import (
    OTP,
    InvalidTokenError,
    MalformedCodeError,
    PhoneError,
    WrongCodeError,
)
from otpkit.core.crypto import Keys


class Sly(str):
    """A text whose length and equality lie."""

    __slots__ = ()

    def __len__(self) -> int:
        return 6

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


NO_PHONES: list[Any] = [None, True, 13800138000, 1.38e10, b"13800138000", ["13800138000"], {"$gt": ""}, object()]
NO_PHONES += ["", " ", "+", "()", "1" * 2**20, "13800138000" + " " * 2**20, "1380013800", "138001380000", "12800138000"]
NO_PHONES += [
    "13800138000\n",
    "\n13800138000",
    "13800138000\0",
    "13800138000\ud800",
    "\ufeff13800138000",
    "138\t00138000",
]
NO_PHONES += [
    "138\u200b00138000",
    "138\u00ad00138000",
    "\u206613800138000",
    "𝟙3800138000",
    "1३800138000",
    "٠٠٨٦١٣٨٠٠١٣٨٠٠٠",
]
NO_PHONES += ["+86+13800138000", "+0086138001380000", "+8613800138000,13900139000", "13800138000;13900139000"]
NO_PHONES += [
    "13800138000' OR 1=1",
    "13800138000#",
    "*13800138000",
    "tel:13800138000",
    "13800138000 ext 5",
    "(13800138000",
]
NO_PHONES += [Sly("not a number")]

PHONES = [
    "13800138000",
    "8613800138000",
    "+8613800138000",
    "008613800138000",
    "+86-138-0013-8000",
    "(+86) 138 0013 8000",
]
PHONES += [
    "１３８００１３８０００",
    "＋８６　138．0013－8000",
    "（138）0013 8000",
    " 138.0013.8000 ",
    "1 3 8 0 0 1 3 8 0 0 0",
]

NO_CODES: list[Any] = [None, True, False, 123456, 123456.0, b"123456", bytearray(b"123456"), ["1"] * 6, ("123456",)]
NO_CODES += [{"code": "123456"}, {"$ne": None}, object(), "", " ", "------", "1" * 2**20, " " * 2**20 + "123456"]
NO_CODES += [
    "１２３４５６",
    "١٢٣٤٥٦",
    "१२३४५६",
    "①②③④⑤⑥",
    "1_23456",
    "+123456",
    "-1234567",
    "12345",
    "1234567",
    "0x1E240",
]
NO_CODES += ["123456\n", "\n123456", "\t123456", "123\t456", "123456\0", "12345\0", "123456\ud800", "12345\ud800"]
NO_CODES += ["123\u00a0456", "123\u2009456", "123\u2010456", "123–456", "123.456", "1,23456", "1e5000", "abcdef"]


def brief(value: object) -> str:
    """Return a short name of a case: its text or its type."""
    return ascii(value[:24]) if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize("phone", NO_PHONES, ids=brief)
def test_what_is_no_phone_is_a_phone_error_in_every_call(untouched: OTP, phone: Any) -> None:
    """Redis is not called. The error does not repeat a long input."""
    calls = (
        untouched.issue,
        untouched.status,
        untouched.standing,
        untouched.delivery,
        untouched.revoke,
        untouched.unblock,
        untouched.erase,
    )
    for call in (*calls, lambda phone: untouched.verify(phone, "123456")):
        with pytest.raises(PhoneError) as caught:
            call(phone)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("phone", PHONES)
def test_every_accepted_spelling_is_the_canonical_phone(memory_rig: Rig, phone: str) -> None:
    """Any spelling can issue and verify, and the proof has E.164."""
    otp = memory_rig.heard()
    assert otp.issue(phone).phone == PHONE
    assert otp.status(PHONE).phone == PHONE
    assert memory_rig.outbox[-1].phone == PHONE
    assert otp.verify(phone, memory_rig.outbox[-1].code).phone == PHONE


@pytest.mark.parametrize("code", NO_CODES, ids=brief)
def test_what_is_no_code_reaches_no_redis(untouched: OTP, code: Any) -> None:
    """The code is malformed with any other arguments. The error does not repeat it."""
    for options in ({}, {"ip": "1.2.3.4"}, {"idempotency_key": "form"}, {"bind": "session"}):
        with pytest.raises(MalformedCodeError) as caught:
            untouched.verify(PHONE, code, **options)
        assert "123456" not in str(caught.value)


def test_what_is_no_code_costs_no_attempt(memory_rig: Rig) -> None:
    """Afterwards the challenge still has five attempts. The right code verifies with spaces and hyphens."""
    otp = memory_rig.heard()
    otp.issue(PHONE)
    for code in NO_CODES:
        assert isinstance(outcome(otp.verify, PHONE, code), MalformedCodeError)
    assert otp.status(PHONE).attempts_left == 5
    assert memory_rig.kinds() == {"s": 1, "c": 1}
    code = memory_rig.outbox[-1].code
    assert otp.verify(PHONE, f" {code[:2]}-{code[2:4]} {code[4:]}- ")


def _other_tokens(token: str) -> list[Any]:
    claims = URLSafeSerializer("x").loads_unsafe(token)[1]
    keys = Keys(SECRET, None)
    salted = [
        URLSafeSerializer(
            keys.tokens, salt=salt, signer_kwargs={"key_derivation": "hmac", "digest_method": digest}
        ).dumps(claims)
        for salt, digest in product(("otpkit.proof.1", "itsdangerous", "", "otpkit.proof.2"), (sha1, sha256))
        if (salt, digest) != ("otpkit.proof.1", sha256)
    ]
    plain = [URLSafeSerializer(key).dumps(claims) for key in (SECRET, "", keys.tokens[0])]
    payload, _, signature = token.rpartition(".")
    return [*salted, *plain, f"{payload}.", payload, f".{signature}", f"eyJhbGciOiJub25lIn0.{payload}.", token[:-1]]


NO_TOKENS: list[Any] = [None, True, 1, b"", b"x.y", ["x.y"], {}, object(), "", ".", "..", "x.y", "\0", "\ud800", "é.é"]
NO_TOKENS += ["x" * 2**20, "." * 2**20, "eyJhbGciOiJub25lIn0.e30.", "1234567890123456789012"]


def test_what_is_no_token_of_ours_proves_nothing(memory_rig: Rig) -> None:
    """Other types, other salts, other algorithms, bytes and altered texts are invalid, and do not reach Redis."""
    issuer = memory_rig.heard()
    issuer.issue(PHONE)
    token = issuer.verify(PHONE, memory_rig.outbox[-1].code).token
    otp = memory_rig.heard(redis=Untouchable())
    for odd in (*NO_TOKENS, *_other_tokens(token), token.encode(), token * 2, f" {token}", f"{token}\n", token.upper()):
        for call in (otp.check, otp.redeem):
            with pytest.raises(InvalidTokenError) as caught:
                call(odd)
            assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert otp.check(token).phone == PHONE


def test_a_wrong_code_is_not_repeated_in_its_error(memory_rig: Rig) -> None:
    """The typed code may be the right code of another form."""
    otp = memory_rig.heard()
    otp.issue(PHONE)
    guess = wrong(memory_rig.outbox[-1].code)
    error = outcome(otp.verify, PHONE, guess)
    assert isinstance(error, WrongCodeError)
    assert guess not in f"{error} {error!r} {error.message('en')} {error.message('zh')}"
