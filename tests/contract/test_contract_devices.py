"""Devices: a phone's own device may use the parts of its limits that are kept from strangers."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.rig import DAY, HOUR, MINUTE, OTHER_PHONE, PHONE, VISITOR, Rig, other_codes, outcome, together, wrong
from support.secrets import SECRET

from otpkit import (
    BlockedError,
    Challenge,
    ExpiredCodeError,
    FixedCode,
    GatewayRejectedError,
    PhoneError,
    Policy,
    Proof,
    Rate,
    RateLimitError,
    WrongCodeError,
)
from otpkit.core.issue import IssueRequest

OTHER_SECRET = "f3Jq8-Tz2_Lw5Yc9Rb4Nk7Vx1Pd6Mh0Gs"
OPEN = {"sends": "32/day", "failures": "64/day"}


@pytest.fixture
def otp(rig: Rig) -> Any:
    """Give an OTP with the default policy."""
    return rig.otp(policy=Policy())


def enrol(otp: Any, rig: Rig, phone: str = PHONE, **more: Any) -> str:
    """Verify a phone, and return the token of the device."""
    otp.issue(phone, **more)
    device = otp.verify(phone, rig.outbox[-1].code, **more).device
    assert isinstance(device, str)
    return device


def fail(otp: Any, rig: Rig, times: int, **more: Any) -> None:
    """Type `times` wrong codes, with as many challenges as they take."""
    for step in range(1, times + 1):
        if otp.status(PHONE) is None:
            otp.issue(PHONE, **more)
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, wrong(rig.outbox[-1].code, step), **more)


# The token


def test_token_shows_pseudonym_and_no_number(rig: Rig, otp: Any) -> None:
    """It is made of the characters of a cookie, and short: four of them fit into one."""
    device = enrol(otp, rig)
    (key,) = rig.stored(":p")
    pseudonym, time, _ = device.split(".")
    assert key == f"{rig.namespace}:{{{pseudonym}}}:p"
    assert int(time) == rig.clock.now * 1000
    assert "3800138" not in device
    assert len(device) < 128
    assert set(device) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_only_verify_gives_a_token(rig: Rig, otp: Any) -> None:
    """Proofs that are checked or redeemed have none: the device of that form is unknown."""
    otp.issue(PHONE)
    proof = otp.verify(PHONE, rig.outbox[-1].code)
    assert proof.device
    assert otp.check(proof.token).device is None
    assert otp.redeem(proof.token).device is None
    assert proof == otp.check(proof.token)


def test_fixed_code_gives_no_token(rig: Rig) -> None:
    """Anybody may know it."""
    fixed = FixedCode(PHONE, "246810", rig.at(DAY), {"signup"})
    otp = rig.otp(fixed_codes=[fixed])
    otp.issue(PHONE)
    assert otp.verify(PHONE, "246810").device is None


def test_token_survives_a_pickle_and_a_copy(rig: Rig, otp: Any) -> None:
    """Without the key that signed it."""
    otp.issue(PHONE)
    proof = otp.verify(PHONE, rig.outbox[-1].code)
    for again in (pickle.loads(pickle.dumps(proof)), copy.deepcopy(proof)):
        assert (again, again.device, again.token) == (proof, proof.device, proof.token)
    assert proof.device not in repr(proof)


def test_repeated_verify_gives_the_same_token(rig: Rig, otp: Any) -> None:
    """A form that was sent twice is one device."""
    otp.issue(PHONE)
    first = otp.verify(PHONE, rig.outbox[-1].code, idempotency_key="form")
    rig.advance(10)
    assert otp.verify(PHONE, rig.outbox[-1].code, idempotency_key="form").device == first.device


# What is checked


def test_check_gives_the_time_of_the_verification(rig: Rig, otp: Any) -> None:
    """In any spelling of the phone, until the token ends, and it stores nothing."""
    device = enrol(otp, rig)
    verified = rig.at()
    stored = rig.stored()
    rig.advance(20 * DAY)
    assert otp.check_device(device, "138 0013 8000") == verified
    assert verified.tzinfo is UTC
    assert set(rig.stored()) <= set(stored)
    rig.advance(160 * DAY - 0.001)
    assert otp.check_device(device, PHONE) == verified
    rig.advance(0.001)
    assert otp.check_device(device, PHONE) is None


def test_life_is_that_of_the_policy(rig: Rig) -> None:
    """The reader's."""
    otp = rig.otp(policy=Policy(device_ttl=3600))
    device = enrol(otp, rig)
    rig.advance(3599)
    assert otp.check_device(device, PHONE)
    rig.advance(1)
    assert otp.check_device(device, PHONE) is None


def test_bad_phone_is_an_error_and_bad_token_is_none(otp: Any) -> None:
    """As in every call."""
    with pytest.raises(PhoneError):
        otp.check_device("anything", "12345")
    assert otp.check_device("anything", PHONE) is None


def test_token_serves_every_purpose(rig: Rig, otp: Any) -> None:
    """It is of the phone, not of what the code was for."""
    device = enrol(otp, rig, purpose="payment", bind="order 42")
    for _ in range(9):
        rig.advance(MINUTE if len(rig.outbox) % 4 else HOUR)
        outcome(otp.issue, PHONE, "login")
    assert otp.standing(PHONE).sends_left == 0
    rig.advance(HOUR)
    assert isinstance(otp.issue(PHONE, "login", device=device), Challenge)


def test_rotation_of_the_secret_ends_no_device(rig: Rig, otp: Any) -> None:
    """Its key is derived from the index secret."""
    device = enrol(otp, rig)
    rotated = rig.otp(secret=[OTHER_SECRET], index_secret=SECRET)
    assert rotated.check_device(device, PHONE) == rig.at()
    assert rig.otp(secret=SECRET, index_secret=OTHER_SECRET).check_device(device, PHONE) is None


def bad_tokens(rig: Rig, otp: Any) -> dict[str, Any]:
    """Return what is no token of the phone, by name."""
    device = enrol(otp, rig, phone=OTHER_PHONE)
    elsewhere = rig.otp(namespace=f"{rig.namespace}-b")
    elsewhere.issue(PHONE)
    foreign = elsewhere.verify(PHONE, rig.outbox[-1].code).device
    pseudonym, time, signature = foreign.split(".")
    return {
        "another phone's": device,
        "another namespace's": foreign,
        "later": f"{pseudonym}.{int(time) + 1}.{signature}",
        "without signature": f"{pseudonym}.{time}.",
        "without time": f"{pseudonym}..{signature}",
        "negative": f"{pseudonym}.-{time}.{signature}",
        "of 1 MB": "x" * 1_000_000,
        "with a tail of 1 MB": foreign + "." * 1_000_000,
        "None": None,
        "empty": "",
        "a list": [foreign],
        "bytes": foreign.encode(),
        "a number": 5,
        "with a newline": f"{foreign}\n",
        "with a zero byte": f"\0{foreign}",
        "not ASCII": f"{foreign}é",
        "half a surrogate pair": "\ud800",
        "only separators": "~~~~~~",
        "an object": object(),
    }


def test_bad_token_counts_as_none(rig: Rig, otp: Any) -> None:
    """Whatever it is: no exception, and a stranger's limits."""
    tokens = bad_tokens(rig, otp)
    for name, token in tokens.items():
        assert otp.check_device(token, PHONE) is None, name
    for number in range(7):
        otp.issue(PHONE, device=list(tokens.values())[number])
        rig.advance(MINUTE if number % 4 != 3 else HOUR)
    rig.advance(HOUR)
    for name, token in tokens.items():
        with pytest.raises(RateLimitError) as refused:
            otp.issue(PHONE, device=token)
        assert refused.value.rate == Rate(7, DAY), name
        with pytest.raises(ExpiredCodeError):
            otp.verify(PHONE, "123456", device=token)


def test_changed_token_is_none(rig: Rig, otp: Any) -> None:
    """In each of its characters."""
    device = enrol(otp, rig)
    for place, letter in enumerate(device):
        other = device[:place] + ("A" if letter != "A" else "B") + device[place + 1 :]
        assert otp.check_device(other, PHONE) is None
        assert otp.check_device(device[:place], PHONE) is None
    assert otp.check_device(device, PHONE)


def test_shared_device_shows_up_to_four_tokens(rig: Rig, otp: Any) -> None:
    """Joined by `~`: the latest of the phone counts, and those of other phones don't matter."""
    first = enrol(otp, rig)
    rig.advance(HOUR)
    second, other = enrol(otp, rig), enrol(otp, rig, OTHER_PHONE)
    assert otp.check_device(f"{other}~{first}~junk~{second}", PHONE) == rig.at()
    assert otp.check_device(f"{other}~{first}", OTHER_PHONE) == rig.at()
    assert otp.check_device(f"{other}~{first}~{second}", PHONE) == rig.at()
    assert otp.check_device(f"a~b~c~d~{second}", PHONE) is None


# The thresholds


def test_strangers_guesses_stop_at_fifteen_a_day(rig: Rig, otp: Any) -> None:
    """With the errors of the whole; the device goes on to twenty, and gets in."""
    device = enrol(otp, rig)
    rig.advance(HOUR)
    otp = rig.otp(policy=Policy(sends="32/day", device_failures=5))
    fail(otp, rig, 15)
    otp.issue(PHONE, device=device)
    code = rig.outbox[-1].code
    for call in (lambda: otp.issue(PHONE), lambda: otp.verify(PHONE, code), lambda: otp.issue(PHONE, "login")):
        with pytest.raises(RateLimitError) as refused:
            call()
        assert (refused.value.scope, refused.value.rate) == ("failures", Rate(15, DAY))
    for step in range(1, 5):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, wrong(code, step), device=device)
    assert otp.verify(PHONE, code, device=device)
    otp.issue(PHONE, device=device)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code), device=device)
    with pytest.raises(RateLimitError) as refused:
        otp.verify(PHONE, rig.outbox[-1].code, device=device)
    assert (refused.value.scope, refused.value.rate) == ("failures", Rate(20, DAY))


def test_strangers_sends_stop_at_seven_a_day_and_four_an_hour(rig: Rig, otp: Any) -> None:
    """The device's are ten and five; the carriers' minute is shared."""
    device = enrol(otp, rig)
    for _ in range(3):
        rig.advance(MINUTE)
        challenge = otp.issue(PHONE)
    assert challenge.sends_left == 3
    assert challenge.resend_in == HOUR - 3 * MINUTE
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, device=device)
    assert refused.value.rate == Rate(1, MINUTE)
    rig.advance(MINUTE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.rate) == ("phone", Rate(4, HOUR))
    challenge = otp.issue(PHONE, device=device)
    assert (challenge.sends_left, challenge.resend_in) == (5, HOUR - 4 * MINUTE)
    rig.advance(MINUTE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, device=device)
    assert refused.value.rate == Rate(5, HOUR)
    for left in (1, 0):
        rig.advance(HOUR)
        assert otp.issue(PHONE).sends_left == left
    rig.advance(HOUR)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert refused.value.rate == Rate(7, DAY)
    for left in (2, 1, 0):
        assert otp.issue(PHONE, device=device).sends_left == left
        rig.advance(HOUR)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, device=device)
    assert refused.value.rate == Rate(10, DAY)


def test_strangers_are_blocked_at_eighty_in_a_row(rig: Rig) -> None:
    """The device goes on to a hundred, and its right code lifts the block."""
    otp = rig.otp(policy=Policy(**OPEN, device_failures=0, device_sends=()))
    device = enrol(otp, rig)
    rig.advance(DAY)
    fail(otp, rig, 60)
    rig.advance(DAY)
    fail(otp, rig, 20)
    (counter,) = rig.stored(":c")
    assert rig.server.pttl(counter) == -1
    for call in (lambda: otp.issue(PHONE), lambda: otp.verify(PHONE, rig.outbox[-1].code)):
        with pytest.raises(BlockedError):
            call()
    standing = otp.standing(PHONE)
    assert (standing.blocked, standing.device_blocked, standing.consecutive_failures) == (True, False, 80)
    rig.advance(DAY)
    fail(otp, rig, 19, device=device)
    assert rig.server.pttl(counter) == -1
    assert rig.server.get(counter) == b"99"
    otp.issue(PHONE, device=device)
    otp.verify(PHONE, rig.outbox[-1].code, device=device)
    standing = otp.standing(PHONE)
    assert (standing.blocked, standing.consecutive_failures, standing.failures_left) == (False, 0, 45)
    assert otp.issue(PHONE)


def test_device_is_blocked_at_a_hundred(rig: Rig) -> None:
    """As everybody was: NIST's bound holds."""
    otp = rig.otp(policy=Policy(**OPEN, max_consecutive_failures=10, device_consecutive=4))
    device = enrol(otp, rig)
    fail(otp, rig, 6)
    fail(otp, rig, 4, device=device)
    for options in ({}, {"device": device}):
        with pytest.raises(BlockedError):
            otp.issue(PHONE, **options)
        with pytest.raises(BlockedError):
            otp.verify(PHONE, rig.outbox[-1].code, **options)
    assert otp.standing(PHONE).device_blocked
    otp.unblock(PHONE)
    assert otp.issue(PHONE)


def test_right_code_of_a_device_keeps_the_days_failures(rig: Rig) -> None:
    """It ends the row alone."""
    otp = rig.otp(policy=Policy(sends="32/day"))
    device = enrol(otp, rig)
    fail(otp, rig, 15)
    otp.issue(PHONE, device=device)
    otp.verify(PHONE, rig.outbox[-1].code, device=device)
    standing = otp.standing(PHONE)
    assert (standing.consecutive_failures, standing.failures_left, standing.device_failures_left) == (0, 0, 5)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)


def test_zero_keeps_no_part(rig: Rig) -> None:
    """Then a device is like any stranger."""
    otp = rig.otp(policy=Policy(sends="2/day", device_failures=0, device_consecutive=0, device_sends=()))
    device = enrol(otp, rig)
    otp.issue(PHONE)
    for options in ({}, {"device": device}):
        with pytest.raises(RateLimitError) as refused:
            otp.issue(PHONE, **options)
        assert refused.value.rate == Rate(2, DAY)


def test_every_rate_keeps_its_part(rig: Rig) -> None:
    """Of failures in an hour and in a day, and at an address that is counted."""
    otp = rig.otp(policy=Policy(sends="32/day", failures="4/hour, 6/day", device_failures=2))
    device = enrol(otp, rig)
    fail(otp, rig, 2, ip=VISITOR)
    otp.issue(PHONE, ip=VISITOR, device=device)
    with pytest.raises(RateLimitError) as refused:
        otp.verify(PHONE, wrong(rig.outbox[-1].code, 9), ip=VISITOR)
    assert refused.value.rate == Rate(2, HOUR)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code, 9), ip=VISITOR, device=device)
    standing = otp.standing(PHONE)
    assert (standing.failures_left, standing.verify_in) == (1, HOUR)
    assert (standing.device_failures_left, standing.device_verify_in) == (3, 0)


def test_device_does_not_pass_wider_limits(rig: Rig) -> None:
    """An address, a region and the total refuse it like anybody."""
    limits = {"ip_sends": "1/day", "region_sends": {"CN": "2/day"}, "total_sends": "3/day"}
    otp = rig.otp(policy=Policy(**limits))
    device = enrol(otp, rig, ip=VISITOR)
    rig.advance(MINUTE)
    for options, scope in (({"ip": VISITOR}, "ip"), ({}, None), ({"ip": "203.0.113.8"}, "region")):
        answer = outcome(otp.issue, PHONE, device=device, **options)
        assert getattr(answer, "scope", None) == scope
        rig.advance(MINUTE)


def test_rejected_send_of_a_device_waits_by_its_own_rates(rig: Rig, otp: Any) -> None:
    """And is refunded."""
    device = enrol(otp, rig)
    for _ in range(3):
        rig.advance(MINUTE)
        otp.issue(PHONE)
    rig.advance(MINUTE)
    rig.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", category="rate_limit"))
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, device=device)
    assert (refused.value.scope, refused.value.retry_after) == ("gateway", HOUR - 4 * MINUTE)


def test_idempotent_replay_needs_no_device(rig: Rig, otp: Any) -> None:
    """It is looked up before any limit."""
    device = enrol(otp, rig)
    for _ in range(3):
        rig.advance(MINUTE)
        otp.issue(PHONE)
    rig.advance(MINUTE)
    made = otp.issue(PHONE, device=device, idempotency_key="form")
    again = otp.issue(PHONE, idempotency_key="form")
    assert (again.id, again.replayed, again.sends_left) == (made.id, True, 2)


def test_locked_out_person_gets_in_with_a_device(rig: Rig, otp: Any) -> None:
    """Strangers use up all that they can, every day, and never more than their share."""
    device = enrol(otp, rig)
    for _ in range(8):
        rig.advance(HOUR)
        if isinstance(outcome(otp.issue, PHONE), Challenge):
            for code in other_codes(rig.outbox[-1].code, 5):
                outcome(otp.verify, PHONE, code)
    assert isinstance(outcome(otp.issue, PHONE), RateLimitError)
    otp.issue(PHONE, device=device, bind="mine")
    assert isinstance(otp.verify(PHONE, rig.outbox[-1].code, bind="mine", device=device), Proof)


# Forgetting


def test_forgotten_devices_are_strangers(rig: Rig, otp: Any) -> None:
    """All of that phone, and none of another; a later verification gives a valid token."""
    mine, others = enrol(otp, rig), enrol(otp, rig, OTHER_PHONE)
    rig.advance(0.001)
    otp.forget_devices("138-0013-8000")
    assert otp.check_device(mine, PHONE) is None
    assert otp.check_device(others, OTHER_PHONE)
    rig.advance(MINUTE)
    again = enrol(otp, rig)
    assert otp.check_device(again, PHONE) == rig.at()
    assert otp.check_device(mine, PHONE) is None


def test_token_of_the_same_millisecond_is_forgotten(rig: Rig, otp: Any) -> None:
    """When in doubt, no device is trusted."""
    device = enrol(otp, rig)
    otp.forget_devices(PHONE)
    assert otp.check_device(device, PHONE) is None


def test_one_key_lives_as_long_as_the_tokens(rig: Rig) -> None:
    """In the phone's slot; a second call never shortens its life, and never moves the time back."""
    otp = rig.otp(policy=Policy(device_ttl=400 * DAY))
    device = enrol(otp, rig)
    otp.forget_devices(PHONE)
    (key,) = rig.stored(":d")
    (phone,) = rig.stored(":p")
    assert key.removesuffix(":d") == phone.removesuffix(":p")
    assert 399 * DAY < rig.server.pttl(key) / 1000 <= 400 * DAY
    rig.advance(-HOUR)
    rig.otp(policy=Policy()).forget_devices(PHONE)
    assert 399 * DAY < rig.server.pttl(key) / 1000 <= 400 * DAY
    assert otp.check_device(device, PHONE) is None


def test_erased_phone_keeps_that_one_key(rig: Rig, otp: Any) -> None:
    """A stolen token is worth nothing afterwards; the key shows neither number nor purpose."""
    device = enrol(otp, rig)
    otp.erase(PHONE)
    (key,) = rig.stored()
    assert key.endswith(":d")
    assert 179 * DAY < rig.server.pttl(key) / 1000 <= 180 * DAY
    assert otp.check_device(device, PHONE) is None
    assert otp.issue(PHONE, device=device).sends_left == 6


def test_unblock_forgets_no_device(rig: Rig, otp: Any) -> None:
    """It is the person's."""
    device = enrol(otp, rig)
    otp.unblock(PHONE)
    assert otp.check_device(device, PHONE)


def test_forgetting_tells_an_event(rig: Rig) -> None:
    """Checking tells none."""
    otp = rig.heard()
    otp.forget_devices(PHONE)
    otp.check_device("x", PHONE)
    assert [(event.name, event.operation) for event in rig.events] == [
        ("devices_forgotten", "forget_devices"),
        ("operator", "forget_devices"),
    ]


# Side by side


def test_fifty_strangers_and_ten_devices_keep_to_their_parts(rig: Rig) -> None:
    """At the same time, neither takes one more than its threshold."""
    otp = rig.otp(policy=Policy(sends="20/day", device_sends="5/day"))
    device = enrol(otp, rig)
    answers = together(50, lambda number: otp.issue(PHONE, bind=f"s{number}"))
    assert sum(isinstance(each, Challenge) for each in answers) == 14
    answers = together(10, lambda number: otp.issue(PHONE, bind=f"d{number}", device=device))
    assert sum(isinstance(each, Challenge) for each in answers) == 5
    assert len(rig.outbox) == 20


def test_guesses_of_both_at_once_never_pass_the_total(rig: Rig) -> None:
    """Strangers stop at fifteen, all at twenty."""
    otp = rig.otp(policy=Policy(sends="32/day", attempts=10))
    device = enrol(otp, rig)
    binds = [f"b{number}" for number in range(6)]
    codes = {}
    for bind in binds:
        otp.issue(PHONE, bind=bind)
        codes[bind] = rig.outbox[-1].code

    def guess(number: int) -> Any:
        bind = binds[number % 6]
        options = {"device": device} if number % 2 else {}
        return otp.verify(PHONE, wrong(codes[bind], number + 1), bind=bind, **options)

    answers = together(40, guess)
    stranger = [each for number, each in enumerate(answers) if number % 2 == 0]
    counted = [isinstance(each, WrongCodeError) for each in answers]
    assert sum(counted) == 20
    assert sum(isinstance(each, WrongCodeError) for each in stranger) <= 15
    assert otp.standing(PHONE).device_failures_left == 0


def test_without_device_no_command_more(rig: Rig, otp: Any) -> None:
    """A call without a token passes no key of devices, nor does one with a wrong token."""
    seen: list[tuple[str, ...]] = []
    flows = getattr(otp, "target", otp)._flows
    for device in (None, "junk", 5):
        flow = flows.issue(IssueRequest(PHONE, "signup", "", None, None, None, "sms", None, device))
        seen.append(next(flow).keys)
        flow = flows.verify(PHONE, "123456", "signup", "", None, None, None, device)
        seen.append(next(flow).keys)
    assert len({tuple(keys) for keys in seen}) == 1
    assert not [key for keys in seen for key in keys if key.endswith(":d")]


def test_expired_challenge_is_no_stranger_to_anyone(rig: Rig, otp: Any) -> None:
    """A device changes nothing where no code is live."""
    device = enrol(otp, rig)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "123456", device=device)
    assert otp.standing(PHONE).device_failures_left == 20


def test_datetime_is_comparable_with_now(rig: Rig, otp: Any) -> None:
    """`don't ask again for 30 days` is one comparison of aware datetimes."""
    device = enrol(otp, rig)
    last = otp.check_device(device, PHONE)
    assert last is not None
    assert last > datetime.fromtimestamp(rig.clock.now, UTC) - timedelta(days=30)
