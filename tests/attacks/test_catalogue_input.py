"""The attack catalogue, rows 10–16, 33 and 34: malformed or hostile phones, codes, tokens and message texts."""

from __future__ import annotations

import base64
import json

import pytest
from support.rig import MINUTE, OTHER_PHONE, PHONE, Rig, outcome, wrong

from otpkit import (
    ConfigurationError,
    ExpiredCodeError,
    ExpiredTokenError,
    InvalidTokenError,
    MalformedCodeError,
    PhoneError,
    RateLimitError,
    Template,
)

FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def test_row_10_another_spelling_of_a_used_code_is_used_as_well(rig: Rig) -> None:
    """Row 10: spaces and hyphens are ignored, and do not allow a second use."""
    otp = rig.heard()
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    assert otp.verify(PHONE, code)
    for spelling in (f" {code}", f"{code} ", f"{code[:3]} {code[3:]}", f"{code[:3]}-{code[3:]}"):
        with pytest.raises(ExpiredCodeError):
            otp.verify(PHONE, spelling)


def test_row_11_digits_of_other_scripts_are_no_digits(rig: Rig) -> None:
    """Row 11: spellings that only `\\d`, `isdigit` or `int` accept are malformed, and count no attempt."""
    otp = rig.heard()
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    for spelling in (
        code.translate(FULL_WIDTH),
        code.translate(ARABIC),
        f"{code}\n",
        f"+{code}",
        f"{code[0]}_{code[1:]}",
        f"\u00a0{code}",
        f"{code}\0",
    ):
        with pytest.raises(MalformedCodeError):
            otp.verify(PHONE, spelling)
    assert otp.status(PHONE).attempts_left == 5


ALIASES = ["13800138000", "138 0013 8000", "138-0013-8000", "8613800138000", "+86 138 0013 8000", "008613800138000"]
ALIASES += ["（138）00138000", "１３８００１３８０００", "+86 (138) 0013.8000", " 13800138000 "]
STRANGE = ["\u200b13800138000", "138\u00a000138000", "\u202e13800138000", "++8613800138000", "tel:+8613800138000"]
STRANGE += ["13800138000;ext=12", "13800138000 x12", "+86 (0)13800138000", "013800138000", "١٣٨٠٠١٣٨٠٠٠"]
STRANGE += ["13800138000\n", "𝟏𝟑𝟖𝟎𝟎𝟏𝟑𝟖𝟎𝟎𝟎", "0086+13800138000"]


def test_row_12_every_accepted_spelling_is_one_phone(rig: Rig) -> None:
    """Row 12, aliasing: a send to one spelling counts for all, and one code verifies with all."""
    otp = rig.heard()
    otp.issue(ALIASES[0])
    for spelling in ALIASES:
        with pytest.raises(RateLimitError):
            otp.issue(spelling)
        assert otp.status(spelling).phone == PHONE
    assert len(rig.stored()) == 1
    assert otp.verify(ALIASES[-1], rig.outbox[-1].code).phone == PHONE


@pytest.mark.parametrize("spelling", STRANGE)
def test_row_12_every_other_spelling_is_refused(memory_rig: Rig, spelling: str) -> None:
    """Row 12, aliasing: a spelling that only a lenient parser accepts gets no separate count."""
    with pytest.raises(PhoneError):
        memory_rig.heard().issue(spelling)
    assert not memory_rig.outbox


@pytest.mark.parametrize("spelling", ["+86138OO138OOO", "138FLOWERS0", "1-380-0138-OOO", "+86 138 0013 8OOO"])
def test_row_13_letters_are_no_digits(memory_rig: Rig, spelling: str) -> None:
    """Row 13, vanity letters: no letter becomes a digit, which could result in another person's number."""
    with pytest.raises(PhoneError):
        memory_rig.heard().issue(spelling)


@pytest.mark.parametrize("code", ["", None, " ", "-", "      ", "null", "undefined"])
@pytest.mark.parametrize("issued", [True, False])
def test_row_14_nothing_is_no_code(memory_rig: Rig, code: object, issued: bool) -> None:
    """Row 14: an empty code is malformed, with or without a live challenge."""
    otp = memory_rig.heard()
    if issued:
        otp.issue(PHONE)
    with pytest.raises(MalformedCodeError):
        otp.verify(PHONE, code)


@pytest.mark.parametrize(
    "code", [True, 123456, 1.0, ["1", "2"], {"$ne": ""}, b"123456", bytearray(6), "1" * 2**20, object(), {"1": 1}]
)
def test_row_15_what_is_no_text_is_no_code(memory_rig: Rig, code: object) -> None:
    """Row 15: booleans, numbers, arrays and objects from JSON are malformed, and so is a text of a megabyte."""
    otp = memory_rig.heard()
    otp.issue(PHONE)
    with pytest.raises(MalformedCodeError):
        otp.verify(PHONE, code)
    assert otp.status(PHONE).attempts_left == 5


def test_row_16_a_list_of_codes_is_no_batch(rig: Rig) -> None:
    """Row 16, batching: a list that contains the right code is refused, and each single guess is counted."""
    otp = rig.heard()
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    for batch in ([code], [wrong(code), code], (code,), {code}, f"{wrong(code)},{code}", f"{wrong(code)} {code}"):
        with pytest.raises(MalformedCodeError):
            otp.verify(PHONE, batch)
    assert [outcome(otp.verify, PHONE, wrong(code, step)).attempts_left for step in (1, 2, 3)] == [4, 3, 2]


def test_row_33_a_token_can_be_neither_forged_nor_changed(memory_rig: Rig) -> None:
    """Row 33: a flipped bit, `alg: none`, another purpose, bind or phone, and an expired token are refused."""
    rig = memory_rig
    otp = rig.heard()
    otp.issue(PHONE, bind="session")
    proof = otp.verify(PHONE, rig.outbox[-1].code, bind="session")
    token = proof.token
    payload, _, signature = token.rpartition(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    forged = [f"{header}.{payload}.", f"{payload}.", payload, f"{payload}.{signature[::-1]}", token + "A"]
    # All places except the last: two bits of its character do not belong to the signature.
    forged += [token[:at] + ("B" if token[at] == "A" else "A") + token[at + 1 :] for at in range(len(token) - 1)]
    for each in forged:
        with pytest.raises(InvalidTokenError):
            otp.check(each, bind="session")
    for purpose, options in (
        ("login", {"bind": "session"}),
        ("signup", {"bind": "other"}),
        ("signup", {"bind": "session", "phone": OTHER_PHONE}),
    ):
        for call in (otp.check, otp.redeem):
            with pytest.raises(InvalidTokenError):
                call(token, purpose, **options)
    assert otp.check(token, bind="session", phone="138 0013 8000") == proof
    rig.clock.advance(5 * MINUTE)
    for call in (otp.check, otp.redeem):
        with pytest.raises(ExpiredTokenError):
            call(token, bind="session")


INJECTION = "阿里\n@evil.example #999999"


@pytest.mark.parametrize("value", [INJECTION, "a\rb", "a\u2028b", "a\u202eb", "\0", "\ud800"])
def test_row_34_no_value_adds_a_line_to_a_message(memory_rig: Rig, value: str) -> None:
    """Row 34, message injection: the template refuses it, and so do `params`, before anything is reserved."""
    for build in (
        lambda: Template("SMS_1", sign_name=value),
        lambda: Template("SMS_1", sign_name="x", params={"code": "{code}", "product": value}),
    ):
        with pytest.raises(ConfigurationError):
            build()
    with pytest.raises(ConfigurationError):
        memory_rig.heard().issue(PHONE, params={"product": value})
    assert (memory_rig.stored(), len(memory_rig.outbox)) == ([], 0)


def test_row_34_values_are_taken_literally(memory_rig: Rig) -> None:
    """Row 34: `{code}` in a caller's value stays text, and no caller can set the variable with the code."""
    otp = memory_rig.heard()
    with pytest.raises(ConfigurationError):
        otp.issue(PHONE, params={"code": "999999"})
    otp.issue(PHONE, params={"product": "{code}${code}"})
    assert memory_rig.outbox[-1].params == {"code": memory_rig.outbox[-1].code, "product": "{code}${code}"}
