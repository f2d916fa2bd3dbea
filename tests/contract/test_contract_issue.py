"""Issue: the fields of a challenge, the message that is sent, and the effects of a resend."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, SECRET, Rig, whole, wrong

from otpkit import (
    Challenge,
    ConfigurationError,
    ExpiredCodeError,
    PhoneError,
    RegionError,
    Template,
    WrongCodeError,
)

LONG = whole(ttl=600, max_age=600, sends="32/day")


def test_a_challenge_says_when_it_ends_and_when_a_resend_may_be(rig: Rig, otp: Any) -> None:
    """The defaults are five minutes of life, a minute between sends, five attempts, and nine more sends today."""
    challenge = otp.issue(PHONE)
    assert challenge == Challenge(
        id=challenge.id,
        phone=PHONE,
        purpose="signup",
        expires_at=rig.at(300),
        expires_in=300,
        resend_at=rig.at(60),
        resend_in=60,
        attempts_left=5,
        sends_left=9,
        delivery="accepted",
        replayed=False,
        gateway="outbox",
    )
    assert challenge.expires_at.utcoffset().total_seconds() == 0


def test_what_is_handed_over_is_the_code_in_the_template(rig: Rig) -> None:
    """The library fills in `{code}` and `{minutes}`. The call's own values are not interpreted."""
    params = {"code": "{code}", "min": "{minutes}", "product": "otpkit"}
    otp = rig.otp(template=Template("SMS_1", sign_name="otpkit", params=params))
    otp.issue("138 0013 8000", params={"product": "{code}"})
    (message,) = rig.outbox
    assert message.phone == PHONE
    assert len(message.code) == 6
    assert message.code.isdigit()
    assert message.params == {"code": message.code, "min": "5", "product": "{code}"}
    assert message.template.code == "SMS_1"
    assert message.sent_at == rig.at()


def test_params_that_the_template_refuses_cost_nothing(rig: Rig, otp: Any) -> None:
    """The error comes before anything is reserved."""
    with pytest.raises(ConfigurationError, match="params"):
        otp.issue(PHONE, params={"code": "123456"})
    assert rig.stored() == []
    assert otp.issue(PHONE).sends_left == 9


def test_an_id_belongs_to_one_challenge_and_shows_nothing(rig: Rig, otp: Any) -> None:
    """A resend keeps the id. Another phone has another id."""
    first = otp.issue(PHONE)
    other = otp.issue(OTHER_PHONE)
    rig.advance(60)
    assert otp.issue(PHONE).id == first.id != other.id
    assert "13800138000" not in first.id
    assert len({message.send_id for message in rig.outbox}) == 3


@pytest.mark.parametrize(
    "spelling", ["13800138000", "86 138-0013-8000", "0086 13800138000", "＋８６１３８００１３８０００"]
)
def test_every_spelling_is_one_phone(rig: Rig, otp: Any, spelling: str) -> None:
    """A code that was sent to one spelling verifies with another."""
    assert otp.issue(spelling).phone == PHONE
    assert otp.verify(PHONE, rig.outbox[-1].code).phone == PHONE


def test_what_is_no_phone_reaches_neither_store_nor_gateway(rig: Rig, otp: Any) -> None:
    """Refused are numbers that are not mobile numbers, and regions that are not allowed."""
    with pytest.raises(PhoneError) as refused:
        otp.issue("010 6552 9988")
    assert not isinstance(refused.value, RegionError)
    with pytest.raises(RegionError):
        otp.issue("+1 202 555 0123")
    assert rig.stored() == []
    assert len(rig.outbox) == 0


def test_a_resend_sends_the_same_code_and_renews_its_life(rig: Rig, otp: Any) -> None:
    """The code ends one ttl from now. The wrong attempts stay counted."""
    first = otp.issue(PHONE)
    code = rig.outbox[-1].code
    with pytest.raises(WrongCodeError) as counted:
        otp.verify(PHONE, wrong(code))
    assert counted.value.attempts_left == 4
    rig.advance(100)
    again = otp.issue(PHONE)
    assert rig.outbox[-1].code == code
    assert (again.id, again.expires_at, again.expires_in) == (first.id, rig.at(300), 300)
    assert (again.attempts_left, again.sends_left) == (4, 8)


def test_a_late_first_message_still_works_after_a_resend(rig: Rig, otp: Any) -> None:
    """The first message's code also verifies after its first five minutes, because the resend has the same code."""
    otp.issue(PHONE)
    late = rig.outbox[0].code
    rig.advance(290)
    otp.issue(PHONE)
    rig.advance(290)
    assert otp.verify(PHONE, late).phone == PHONE


def test_a_life_over_all_resends_ends_with_max_age(rig: Rig, otp: Any) -> None:
    """A code that was resent at 4:00 and 8:00 expires at exactly 10:00."""
    first = otp.issue(PHONE)
    born = rig.clock.now
    for _ in range(2):
        rig.advance(240)
        last = otp.issue(PHONE)
    assert last.expires_at.timestamp() == born + 600
    assert (last.id, last.expires_in) == (first.id, 120)
    rig.clock.now = born + 600
    assert otp.status(PHONE) is None
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[-1].code)


@pytest.mark.parametrize(("age", "is_same"), [(540, True), (540.001, False)])
def test_with_less_than_a_minute_of_max_age_left_a_fresh_code_is_sent(rig: Rig, age: float, is_same: bool) -> None:
    """The fresh code has a whole life and all attempts, and the old code no longer verifies."""
    otp = rig.otp(policy=LONG)
    first = otp.issue(PHONE)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[0].code))
    rig.advance(age)
    second = otp.issue(PHONE)
    assert (second.id == first.id) is is_same
    assert second.expires_in == (60 if is_same else 600)
    assert second.attempts_left == (4 if is_same else 5)
    if not is_same and rig.outbox[0].code != rig.outbox[1].code:
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, rig.outbox[0].code)
    assert otp.verify(PHONE, rig.outbox[1].code)


def test_another_length_asks_for_a_fresh_code(rig: Rig) -> None:
    """A host with 8 digits can't resend a code with 6. The limits of the phone are shared."""
    short, long = rig.otp(), rig.otp(policy=whole(code_length=8))
    first = short.issue(PHONE)
    rig.advance(60)
    second = long.issue(PHONE)
    assert second.id != first.id
    assert second.sends_left == 8
    assert [len(message.code) for message in rig.outbox] == [6, 8]
    assert long.verify(PHONE, rig.outbox[1].code).phone == PHONE


def test_a_host_without_the_secret_sends_a_fresh_code(rig: Rig) -> None:
    """The host can't derive the old code. Its own code verifies."""
    rig.otp().issue(PHONE)
    rig.advance(60)
    newer = rig.otp(secret="a secret that the first host lacks......", index_secret=SECRET)
    assert newer.issue(PHONE).sends_left == 8
    assert newer.verify(PHONE, rig.outbox[1].code).phone == PHONE


def test_purposes_and_binds_have_challenges_of_their_own(rig: Rig) -> None:
    """Each has at most one challenge, and all share the phone's limit of sends."""
    otp = rig.otp(policy=LONG)
    one, two, three = (otp.issue(PHONE), otp.issue(PHONE, "login"), otp.issue(PHONE, "login", bind="session"))
    assert len({one.id, two.id, three.id}) == 3
    assert [one.sends_left, two.sends_left, three.sends_left] == [31, 30, 29]
    for args, message in zip((("signup", ""), ("login", ""), ("login", "session")), list(rig.outbox), strict=True):
        assert otp.verify(PHONE, message.code, args[0], bind=args[1]).purpose == args[0]


def test_by_the_servers_clock_times_are_the_servers(rig: Rig) -> None:
    """Without `clock`, the store's TIME decides."""
    otp = rig.otp(clock=None)
    before = rig.server.time()
    challenge = otp.issue(PHONE)
    after = rig.server.time()
    start = challenge.expires_at.timestamp() - 300
    assert before[0] - 1 <= start <= after[0] + 1
    assert challenge.expires_in in {299, 300}
    assert challenge.resend_in in {59, 60}
    assert otp.status(PHONE).id == challenge.id
    proof = otp.verify(PHONE, rig.outbox[-1].code)
    assert otp.check(proof.token) == proof == otp.redeem(proof.token)
