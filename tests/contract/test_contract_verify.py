"""Verify is one step: a right code is consumed, and a wrong one is counted."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, Rig, other_codes, wrong

from otpkit import ExpiredCodeError, MalformedCodeError, OTPError, PhoneError, Policy, Proof, WrongCodeError


def test_a_proof_says_whose_phone_for_what_and_until_when(rig: Rig, otp: Any) -> None:
    """It is truthy, has the phone in E.164, and lives five minutes from the verification."""
    otp.issue("138 0013 8000", "login")
    rig.advance(100)
    proof = otp.verify("86-13800138000", rig.outbox[-1].code, "login")
    assert isinstance(proof, Proof)
    assert proof
    assert (proof.phone, proof.purpose, proof.fixed) == (PHONE, "login", False)
    assert (proof.verified_at, proof.expires_at) == (rig.at(), rig.at(300))
    assert PHONE not in repr(proof)
    assert proof.token not in repr(proof)


def test_a_code_is_used_up(rig: Rig, otp: Any) -> None:
    """The second verification finds no challenge, as if none had existed."""
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    otp.verify(PHONE, code)
    assert otp.status(PHONE) is None
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code)


@pytest.mark.parametrize(
    ("purpose", "bind"), [("login", "session"), ("signup", "another"), ("signup", ""), ("signupsession", "")]
)
def test_a_code_is_worth_nothing_for_another_purpose_or_bind(rig: Rig, otp: Any, purpose: str, bind: str) -> None:
    """The attempt does not count against the challenge."""
    otp.issue(PHONE, "signup", bind="session")
    code = rig.outbox[-1].code
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code, purpose, bind=bind)
    assert otp.status(PHONE, "signup", bind="session").attempts_left == 5
    assert otp.verify(PHONE, code, "signup", bind="session")


def test_a_code_of_one_phone_is_worth_nothing_on_another(rig: Rig, otp: Any) -> None:
    """Both phones have a live challenge, and each accepts only its own code."""
    otp.issue(PHONE)
    otp.issue(OTHER_PHONE)
    one, other = (message.code for message in list(rig.outbox))
    if one != other:
        with pytest.raises(WrongCodeError):
            otp.verify(OTHER_PHONE, one)
    assert otp.verify(OTHER_PHONE, other).phone == OTHER_PHONE
    assert otp.verify(PHONE, one).phone == PHONE


def test_wrong_codes_count_down_and_burn_the_challenge(rig: Rig, otp: Any) -> None:
    """After the fifth wrong code, the right one is refused. A fresh challenge has a new code and all attempts."""
    first = otp.issue(PHONE)
    code = rig.outbox[-1].code
    for left, typed in zip((4, 3, 2, 1, 0), other_codes(code, 5), strict=True):
        with pytest.raises(WrongCodeError) as counted:
            otp.verify(PHONE, typed)
        assert (counted.value.attempts_left, counted.value.code, counted.value.status) == (left, "wrong_code", 422)
    assert otp.status(PHONE) is None
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code)
    rig.advance(60)
    fresh = otp.issue(PHONE)
    assert fresh.id != first.id
    assert fresh.attempts_left == 5
    assert otp.verify(PHONE, rig.outbox[-1].code)


def test_three_wrong_beside_a_right_one(rig: Rig, otp: Any) -> None:
    """The right code is accepted after three wrong ones."""
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    for typed in other_codes(code, 3):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, typed)
    assert otp.verify(PHONE, code)


@pytest.mark.parametrize("attempts", [1, 10])
def test_a_challenge_takes_as_many_wrong_codes_as_the_policy_says(rig: Rig, attempts: int) -> None:
    """One and ten are the bounds."""
    otp = rig.otp(policy=Policy(attempts=attempts))
    assert otp.issue(PHONE).attempts_left == attempts
    code = rig.outbox[-1].code
    for typed in other_codes(code, attempts):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, typed)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code)


def test_a_burnt_challenge_leaves_the_others_alone(rig: Rig) -> None:
    """Wrong codes for a challenge without a bind do not end the challenge with a secret bind."""
    otp = rig.otp(policy=Policy(sends="5/hour", attempts=1))
    otp.issue(PHONE)
    otp.issue(PHONE, bind="secret")
    open_code, secret_code = (message.code for message in list(rig.outbox))
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(open_code))
    assert otp.status(PHONE) is None
    assert otp.verify(PHONE, secret_code, bind="secret")


def test_a_code_lives_until_its_end_and_no_longer(rig: Rig, otp: Any) -> None:
    """It verifies a millisecond before its end, and not at its end."""
    otp.issue(PHONE)
    otp.issue(OTHER_PHONE)
    rig.advance(299.999)
    assert otp.status(PHONE).expires_in == 0
    assert otp.verify(PHONE, rig.outbox[0].code)
    rig.advance(0.001)
    with pytest.raises(ExpiredCodeError):
        otp.verify(OTHER_PHONE, rig.outbox[1].code)


def test_never_issued_expired_used_revoked_and_burnt_are_all_the_same(rig: Rig) -> None:
    """The error reveals nothing to a person who guesses."""
    otp = rig.otp(policy=Policy(attempts=1))
    phones = [f"+861390013900{i}" for i in range(5)]
    for phone in phones[1:]:
        otp.issue(phone)
    codes = ["123456", *(message.code for message in list(rig.outbox))]
    otp.verify(phones[2], codes[2])
    otp.revoke(phones[3])
    with pytest.raises(WrongCodeError):
        otp.verify(phones[4], wrong(codes[4]))
    rig.advance(300)  # phones[1] expires.
    told = set()
    for phone, code in zip(phones, codes, strict=True):
        with pytest.raises(OTPError) as gone:
            otp.verify(phone, code)
        told.add((type(gone.value), str(gone.value), gone.value.retry_after))
    assert [kind for kind, *_ in told] == [ExpiredCodeError]


@pytest.mark.parametrize("typed", ["{0}", " {0} ", "{1}-{2}", "{1} {2}", "- {1} - {2} -"])
def test_blanks_and_hyphens_are_dropped(rig: Rig, otp: Any, typed: str) -> None:
    """People type codes with them."""
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    assert otp.verify(PHONE, typed.format(code, code[:3], code[3:]))


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "12345a", "１２３４５６", "123\u00a0456", 123456, None, b"123456"]
)
def test_what_is_no_code_goes_no_further(rig: Rig, typed: Any) -> None:
    """The store is not called, and no attempt is counted."""
    client = rig.client(wrap=rig.breakable)
    otp = rig.otp(redis=client)
    otp.issue(PHONE)
    client.broken = True
    with pytest.raises(MalformedCodeError) as refused:
        otp.verify(PHONE, typed)
    assert (refused.value.code, refused.value.status) == ("malformed_code", 422)
    client.broken = False
    assert otp.status(PHONE).attempts_left == 5


def test_what_is_no_phone_is_told_first(rig: Rig, otp: Any) -> None:
    """An invalid phone is reported before an invalid code. `issue` checks the phone first too."""
    with pytest.raises(PhoneError):
        otp.verify("12345", "123456")
    assert rig.stored() == []


def test_all_lengths_verify(rig: Rig) -> None:
    """Codes have six to ten digits, and leading zeros are kept."""
    for length in range(6, 11):
        otp = rig.otp(policy=Policy(code_length=length, sends="32/day"))
        otp.issue(PHONE)
        code = rig.outbox[-1].code
        assert len(code) == length
        assert otp.verify(PHONE, code)
