"""Secrets rotate without a wrong answer: deployed first in the sequence, then last, then the old one is dropped."""

from __future__ import annotations

from typing import Any

import pytest
from contract_world import OTHER_PHONE, PHONE, World, wrong
from secrets_of_tests import SECRET

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
def test_a_live_challenge_survives_each_step(world: World, stage: int) -> None:
    """Issued by the hosts of one stage, verified by those of the next, and the other way about while both run."""
    before, after = world.otp(**STAGES[stage]), world.otp(**STAGES[stage + 1])
    if stage < 2:  # the last step waits until the old codes are gone
        before.issue(PHONE)
        assert after.verify(PHONE, world.outbox[-1].code).phone == PHONE
    after.issue(OTHER_PHONE)
    assert before.verify(OTHER_PHONE, world.outbox[-1].code).phone == OTHER_PHONE


@pytest.mark.parametrize("stage", [0, 1])
def test_a_resend_in_mid_rotation_is_the_same_code(world: World, stage: int) -> None:
    """The record names the secret that it was made with."""
    first = world.otp(**STAGES[stage]).issue(PHONE)
    world.advance(60)
    after = world.otp(**STAGES[stage + 1])
    assert after.issue(PHONE).id == first.id
    assert world.outbox[0].code == world.outbox[1].code
    assert after.verify(PHONE, world.outbox[0].code)


def test_wrong_codes_and_sends_stay_counted_over_a_rotation(world: World) -> None:
    """Limits don't start anew: the pseudonym of a phone stays what it was."""
    world.otp(**STAGES[0]).issue(PHONE)
    (key,) = world.stored()
    with pytest.raises(WrongCodeError):
        world.otp(**STAGES[0]).verify(PHONE, wrong(world.outbox[-1].code))
    for stage in STAGES[1:3]:
        otp = world.otp(**stage)
        with pytest.raises(RateLimitError) as refused:
            otp.issue(PHONE)
        assert (refused.value.retry_after, refused.value.challenge.attempts_left) == (60, 4)
    world.advance(600)
    last = world.otp(**STAGES[3])
    assert last.issue(PHONE).sends_left == 8
    assert [name for name in world.stored() if name.endswith(":p")] == [key]


def test_a_token_of_an_older_secret_is_accepted_until_it_is_dropped(world: World, proved: Any) -> None:
    """By check and by redeem; a stolen secret is dropped at once."""
    proof = proved(world.otp(**STAGES[0]), bind="session")
    for stage in STAGES[1:3]:
        assert world.otp(**stage).check(proof.token, bind="session") == proof
    dropped = world.otp(**STAGES[3])
    for call in (dropped.check, dropped.redeem):
        with pytest.raises(InvalidTokenError):
            call(proof.token, bind="session")
    assert world.otp(**STAGES[2]).redeem(proof.token, bind="session") == proof


def test_the_last_secret_signs(world: World, proved: Any) -> None:
    """Hosts of the first stage read only what the first secret signed, so it is accepted before it is used."""
    first, second, third = (world.otp(**stage) for stage in STAGES[:3])
    proof = proved(second)
    assert first.check(proof.token) == proof
    proof = proved(third, OTHER_PHONE)
    with pytest.raises(InvalidTokenError):
        first.check(proof.token)
    assert second.check(proof.token) == proof


def test_a_dropped_secret_takes_its_live_codes_with_it(world: World) -> None:
    """A code made with a stolen secret is wrong; a resend is a fresh one."""
    first = world.otp(**STAGES[0]).issue(PHONE)
    dropped = world.otp(**STAGES[3])
    with pytest.raises((WrongCodeError, ExpiredCodeError)):
        dropped.verify(PHONE, world.outbox[-1].code)
    world.advance(60)
    fresh = dropped.issue(PHONE)
    assert fresh.id != first.id
    assert fresh.attempts_left == 5
    assert dropped.verify(PHONE, world.outbox[-1].code)


def test_the_index_secret_may_be_any_secret_that_stays(world: World) -> None:
    """It alone decides whose history a phone's is."""
    one = world.otp(secret=OLD, index_secret=NEW, policy=Policy(sends="1/day"))
    two = world.otp(secret=NEW, index_secret=NEW, policy=Policy(sends="1/day"))
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
def test_secrets_that_can_not_work_are_refused(memory_world: World, arguments: Any, match: str) -> None:
    """The error names the field, and shows no secret."""
    with pytest.raises(ConfigurationError, match=match) as refused:
        memory_world.build(**arguments)
    assert OLD not in str(refused.value)


def test_32_bytes_are_enough_and_bytes_are_counted(memory_world: World) -> None:
    """Eleven Chinese characters are 33 bytes; one secret in a sequence needs no index_secret."""
    assert memory_world.otp(secret=SECRET[:32])
    assert memory_world.otp(secret="天地玄黄宇宙洪荒日月盈")
    assert memory_world.otp(secret=[OLD])
