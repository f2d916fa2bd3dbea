"""Secrets rotate without a wrong answer: the new one is deployed first, moves to the end, then the old one goes."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, Rig, wrong
from support.secrets import SECRET

from otpkit import ConfigurationError, ExpiredCodeError, InvalidTokenError, Policy, RateLimitError, WrongCodeError

OLD = "the old secret, of at least 32 bytes"
NEW = b"the new secret, of at least 32 bytes"
STAGES: list[dict[str, Any]] = [
    {"secret": OLD},
    {"secret": [NEW, OLD], "index_secret": OLD},
    {"secret": (OLD, NEW), "index_secret": OLD},
    {"secret": NEW, "index_secret": OLD},
]


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_live_challenge_survives_each_step(rig: Rig, stage: int) -> None:
    """Hosts of each stage verify codes from hosts of the next stage, and the reverse, while both run."""
    before, after = rig.otp(**STAGES[stage]), rig.otp(**STAGES[stage + 1])
    if stage < 2:  # The last step waits until the old codes have expired.
        before.issue(PHONE)
        assert after.verify(PHONE, rig.outbox[-1].code).phone == PHONE
    after.issue(OTHER_PHONE)
    assert before.verify(OTHER_PHONE, rig.outbox[-1].code).phone == OTHER_PHONE


@pytest.mark.parametrize("stage", [0, 1])
def test_a_resend_in_mid_rotation_is_the_same_code(rig: Rig, stage: int) -> None:
    """The record names the secret of its code."""
    first = rig.otp(**STAGES[stage]).issue(PHONE)
    rig.advance(60)
    after = rig.otp(**STAGES[stage + 1])
    assert after.issue(PHONE).id == first.id
    assert rig.outbox[0].code == rig.outbox[1].code
    assert after.verify(PHONE, rig.outbox[0].code)


def test_wrong_codes_and_sends_stay_counted_over_a_rotation(rig: Rig) -> None:
    """The limits are not reset, because a phone's pseudonym does not change."""
    rig.otp(**STAGES[0]).issue(PHONE)
    (key,) = rig.stored()
    with pytest.raises(WrongCodeError):
        rig.otp(**STAGES[0]).verify(PHONE, wrong(rig.outbox[-1].code))
    for stage in STAGES[1:3]:
        otp = rig.otp(**stage)
        with pytest.raises(RateLimitError) as refused:
            otp.issue(PHONE)
        assert (refused.value.retry_after, refused.value.challenge.attempts_left) == (60, 4)
    rig.advance(600)
    last = rig.otp(**STAGES[3])
    assert last.issue(PHONE).sends_left == 8
    assert [name for name in rig.stored() if name.endswith(":p")] == [key]


def test_a_token_of_an_older_secret_is_accepted_until_it_is_dropped(rig: Rig, proved: Any) -> None:
    """`check` and `redeem` accept it. A stolen secret is dropped at once."""
    proof = proved(rig.otp(**STAGES[0]), bind="session")
    for stage in STAGES[1:3]:
        assert rig.otp(**stage).check(proof.token, bind="session") == proof
    dropped = rig.otp(**STAGES[3])
    for call in (dropped.check, dropped.redeem):
        with pytest.raises(InvalidTokenError):
            call(proof.token, bind="session")
    assert rig.otp(**STAGES[2]).redeem(proof.token, bind="session") == proof


def test_the_last_secret_signs(rig: Rig, proved: Any) -> None:
    """Hosts of the first stage verify only the first secret's signatures.

    So every host accepts the new secret before one signs with it.
    """
    first, second, third = (rig.otp(**stage) for stage in STAGES[:3])
    proof = proved(second)
    assert first.check(proof.token) == proof
    proof = proved(third, OTHER_PHONE)
    with pytest.raises(InvalidTokenError):
        first.check(proof.token)
    assert second.check(proof.token) == proof


def test_a_dropped_secret_takes_its_live_codes_with_it(rig: Rig) -> None:
    """A code of a stolen secret is wrong. A resend sends a fresh code."""
    first = rig.otp(**STAGES[0]).issue(PHONE)
    dropped = rig.otp(**STAGES[3])
    with pytest.raises((WrongCodeError, ExpiredCodeError)):
        dropped.verify(PHONE, rig.outbox[-1].code)
    rig.advance(60)
    fresh = dropped.issue(PHONE)
    assert fresh.id != first.id
    assert fresh.attempts_left == 5
    assert dropped.verify(PHONE, rig.outbox[-1].code)


def test_the_index_secret_may_be_any_secret_that_stays(rig: Rig) -> None:
    """It alone determines the phone's pseudonym, and so the phone's history."""
    one = rig.otp(secret=OLD, index_secret=NEW, policy=Policy(sends="1/day"))
    two = rig.otp(secret=NEW, index_secret=NEW, policy=Policy(sends="1/day"))
    one.issue(PHONE)
    with pytest.raises(RateLimitError):
        two.issue(PHONE)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"secret": [OLD, NEW]}, "index_secret is required"),
        ({"secret": []}, "secret"),
        ({"secret": "x" * 31}, "secret must be at least 32"),
        ({"secret": b"x" * 31}, "secret must be at least 32"),
        ({"secret": [OLD, "short"], "index_secret": OLD}, "secret must be at least 32"),
        ({"secret": [OLD, OLD], "index_secret": OLD}, "twice"),
        ({"secret": OLD, "index_secret": "short"}, "index_secret must be at least 32"),
        ({"secret": None}, "secret"),
        ({"secret": 7}, "secret"),
        ({"secret": [7], "index_secret": OLD}, "secret"),
    ],
)
def test_secrets_that_can_not_work_are_refused(memory_rig: Rig, arguments: Any, match: str) -> None:
    """The error names the field and shows no secret."""
    with pytest.raises(ConfigurationError, match=match) as refused:
        memory_rig.build(**arguments)
    assert OLD not in str(refused.value)


def test_32_bytes_are_enough_and_bytes_are_counted(memory_rig: Rig) -> None:
    """Eleven Chinese characters are 33 bytes. A single secret needs no index_secret."""
    assert memory_rig.otp(secret=SECRET[:32])
    assert memory_rig.otp(secret="天地玄黄宇宙洪荒日月盈")
    assert memory_rig.otp(secret=[OLD])
