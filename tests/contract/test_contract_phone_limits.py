"""The limits of a phone count sends and wrong codes over rolling windows, exact to the millisecond."""

from __future__ import annotations

from typing import Any

import pytest
from support.rig import OTHER_PHONE, PHONE, Rig, other_codes, whole, wrong

from otpkit import ExpiredCodeError, Rate, RateLimitError, WrongCodeError


def fail(otp: Any, rig: Rig, times: int, **kwargs: Any) -> None:
    for code in other_codes(rig.outbox[-1].code, times):
        with pytest.raises(WrongCodeError):
            otp.verify(PHONE, code, **kwargs)


def test_a_second_send_within_the_minute_is_refused(rig: Rig, otp: Any) -> None:
    """The error has the scope, the wait and the live challenge. One millisecond too early is refused too."""
    challenge = otp.issue(PHONE)
    rig.advance(59.999)
    with pytest.raises(RateLimitError) as refused:
        otp.issue("138-0013-8000")
    error = refused.value
    assert (error.scope, error.retry_after, error.status, error.code) == ("phone", 1, 429, "rate_limit")
    assert error.challenge.id == challenge.id
    assert (error.challenge.resend_in, error.challenge.sends_left, error.challenge.expires_in) == (1, 9, 240)
    assert len(rig.outbox) == 1
    rig.advance(0.001)
    assert otp.issue(PHONE).sends_left == 8


def test_waiting_exactly_retry_after_is_enough(rig: Rig, otp: Any) -> None:
    """At the highest allowed speed, ten messages fit in a day, and the eleventh is sent a day after the first."""
    born, times = rig.clock.now, []
    while len(times) < 12:
        try:
            otp.issue(PHONE)
            times.append(round(rig.clock.now - born))
        except RateLimitError as error:
            rig.advance(error.retry_after - 0.001)
            with pytest.raises(RateLimitError):
                otp.issue(PHONE)
            rig.advance(0.001)
    minutes = [0, 60, 120, 180, 240]
    hour_later = [3600 + second for second in minutes]
    assert times == [*minutes, *hour_later, 86400, 86460]


def test_a_refused_send_is_not_counted(rig: Rig, otp: Any) -> None:
    """Refused calls do not delay the next send."""
    otp.issue(PHONE)
    for _ in range(5):
        rig.advance(10)
        with pytest.raises(RateLimitError):
            otp.issue(PHONE)
    rig.advance(10)
    assert otp.issue(PHONE).sends_left == 8


def test_sends_are_counted_over_all_purposes_and_binds(rig: Rig, otp: Any) -> None:
    """A refusal shows only the challenge of the same purpose and bind. Other phones are not limited."""
    otp.issue(PHONE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, "login", bind="session")
    assert refused.value.scope == "phone"
    assert refused.value.retry_after == 60
    assert refused.value.challenge is None
    assert otp.issue(OTHER_PHONE).sends_left == 9


def test_a_used_code_still_counts_as_a_send(rig: Rig, otp: Any, proved: Any) -> None:
    """Neither `verify` nor `revoke` refunds the send."""
    proved(otp)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.retry_after, refused.value.challenge) == (60, None)


def test_the_longest_windows_have_the_largest_limits(rig: Rig) -> None:
    """The counter distinguishes 32 sends a day from 33."""
    otp = rig.otp(policy=whole(sends="32/day"))
    for i in range(32):
        assert otp.issue(PHONE).sends_left == 31 - i
        rig.advance(600)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert refused.value.retry_after == 86400 - 32 * 600


def test_two_policies_share_the_history_of_a_phone(rig: Rig) -> None:
    """Each applies its own numbers to the sends and failures of both."""
    loose = rig.otp(policy=whole(sends="32/day", failures="64/day"))
    strict = rig.otp(policy=whole(sends="2/hour", failures="3/hour"))
    loose.issue(PHONE)
    rig.advance(1)
    strict.issue(PHONE)
    fail(loose, rig, 3)
    with pytest.raises(RateLimitError) as refused:
        strict.verify(PHONE, rig.outbox[-1].code)
    assert (refused.value.scope, refused.value.retry_after) == ("failures", 3600)
    with pytest.raises(RateLimitError) as refused:
        strict.issue(PHONE)
    assert refused.value.scope == "failures"
    assert loose.issue(PHONE).sends_left == 29
    assert loose.verify(PHONE, rig.outbox[-1].code)


def test_no_policy_shortens_what_another_remembers(rig: Rig) -> None:
    """A phone's record lives for a day or more, for any policy that writes to it."""
    rig.otp(policy=whole(sends="32/day")).issue(PHONE)
    (key,) = rig.stored()
    before = rig.server.pttl(key)
    rig.advance(1)
    rig.otp(policy=whole(sends="1/second", ttl=30, max_age=120)).issue(PHONE)
    assert before > 86_400_000
    assert rig.server.pttl(key) > 86_400_000


@pytest.mark.parametrize("late_s", [0, 29, 31, 600])
def test_a_late_settlement_shortens_no_life(rig: Rig, late_s: int) -> None:
    """A gateway may take any time to answer."""
    lives: list[int] = []

    def gateway(message: object) -> None:
        lives.append(rig.server.pttl(rig.stored(":p")[0]))
        rig.advance(late_s)

    rig.otp(gateway=gateway).issue(PHONE)
    (key,) = rig.stored(":p")
    assert rig.server.pttl(key) > lives[0] - 5_000 > 86_400_000


def test_wrong_codes_are_counted_over_all_purposes(rig: Rig) -> None:
    """The limit refuses a right code and a new message, and ends an hour after the first failure."""
    otp = rig.otp(policy=whole(sends="32/day", failures="4/hour"))
    otp.issue(PHONE)
    fail(otp, rig, 2)
    rig.advance(100)
    live = otp.issue(PHONE, "login", bind="session")
    fail(otp, rig, 2, purpose="login", bind="session")
    with pytest.raises(RateLimitError) as refused:
        otp.verify(PHONE, rig.outbox[-1].code, "login", bind="session")
    assert (refused.value.scope, refused.value.retry_after) == ("failures", 3500)
    assert (refused.value.challenge.id, refused.value.challenge.attempts_left) == (live.id, 3)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.retry_after) == ("failures", 3500)
    assert len(rig.outbox) == 2
    rig.advance(3499.999)
    with pytest.raises(RateLimitError):
        otp.issue(PHONE)
    rig.advance(0.001)
    otp.issue(PHONE)
    assert otp.verify(PHONE, rig.outbox[-1].code).phone == PHONE


def test_a_right_code_gives_no_failure_back(rig: Rig) -> None:
    """A success in between does not reset the day's wrong codes."""
    otp = rig.otp(policy=whole(sends="32/day", failures="3/day"))
    otp.issue(PHONE)
    fail(otp, rig, 2)
    assert otp.verify(PHONE, rig.outbox[-1].code)
    otp.issue(PHONE)
    fail(otp, rig, 1)
    with pytest.raises(RateLimitError) as refused:
        otp.verify(PHONE, rig.outbox[-1].code)
    assert refused.value.scope == "failures"


def test_sixty_four_failures_a_day_are_told_from_sixty_five(rig: Rig) -> None:
    """The largest limit of failures is exact."""
    otp = rig.otp(policy=whole(sends="32/day", failures="64/day", attempts=10))
    for left in (10, 10, 10, 10, 10, 10, 4):
        otp.issue(PHONE)
        rig.advance(1)
        fail(otp, rig, left)
    with pytest.raises(RateLimitError) as refused:
        otp.verify(PHONE, rig.outbox[-1].code)
    assert (refused.value.scope, refused.value.retry_after) == ("failures", 86400 - 6)


def test_a_guess_where_no_challenge_is_costs_the_phone_nothing(rig: Rig) -> None:
    """Guesses without a challenge neither block a phone nor use up its failures."""
    otp = rig.otp(policy=whole(failures="1/day", max_consecutive_failures=1))
    for purpose in ("signup", "login", "signup"):
        with pytest.raises(ExpiredCodeError):
            otp.verify(PHONE, "123456", purpose)
    assert rig.stored() == []
    otp.issue(PHONE, bind="the person's session")
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, rig.outbox[-1].code)
    assert otp.status(PHONE, bind="the person's session").attempts_left == 5
    assert otp.verify(PHONE, rig.outbox[-1].code, bind="the person's session")


def test_the_longest_wait_is_the_one_that_is_told(rig: Rig) -> None:
    """When several limits refuse, waiting for `retry_after` satisfies all of them."""
    otp = rig.otp(policy=whole(sends="1/hour", failures="1/10 minutes"))
    otp.issue(PHONE)
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(rig.outbox[-1].code))
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.scope, refused.value.retry_after) == ("phone", 3600)
    rig.advance(3600)
    assert otp.issue(PHONE)


def test_of_several_rates_of_sends_the_one_that_takes_longest_is_told(rig: Rig) -> None:
    """It is the right one at any moment and for any set of used-up rates. The error's text names it too."""
    otp = rig.otp(policy=whole(sends="1/minute, 2/10 minutes, 3/hour"))

    def told() -> tuple[Rate | None, int | None]:
        with pytest.raises(RateLimitError) as refused:
            otp.issue(PHONE)
        assert f"Policy.sends and device_sends allow ({refused.value.rate})." in str(refused.value)
        return refused.value.rate, refused.value.retry_after

    otp.issue(PHONE)
    assert told() == (Rate(1, 60), 60)
    rig.advance(60)
    otp.issue(PHONE)
    assert told() == (Rate(2, 600), 540)  # The minute's rate would end sooner, in 60 s.
    rig.advance(540)
    otp.issue(PHONE)
    assert told() == (Rate(3, 3600), 3000)  # All three rates are used up.
    rig.advance(60)
    assert told() == (Rate(3, 3600), 2940)  # The other two rates allow a send again.
    rig.advance(2940)
    otp.issue(PHONE)
    assert told() == (Rate(1, 60), 60)  # The hour's rate also allows a send in 60 s.


def test_the_shortest_of_rates_that_end_together_is_told(rig: Rig) -> None:
    """Its wait is enough: the other rates then allow one more call too."""
    otp = rig.otp(policy=whole(sends="1/minute, 2/2 minutes"))
    otp.issue(PHONE)
    rig.advance(60)
    otp.issue(PHONE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.rate, refused.value.retry_after) == (Rate(1, 60), 60)


def test_the_rate_of_wrong_codes_is_told_in_both_calls(rig: Rig) -> None:
    """The text names this limit, on a replay too."""
    otp = rig.otp(policy=whole(sends="32/day", failures="2/10 minutes, 3/day"))
    otp.issue(PHONE)
    fail(otp, rig, 2)
    for call in (lambda: otp.verify(PHONE, rig.outbox[-1].code), lambda: otp.issue(PHONE, idempotency_key="form")):
        with pytest.raises(
            RateLimitError, match=r"Policy\.failures and device_failures allow \(2/600 seconds\)\."
        ) as refused:
            call()
        assert (refused.value.scope, refused.value.rate) == ("failures", Rate(2, 600))
    rig.advance(600)
    otp.issue(PHONE)
    fail(otp, rig, 1)
    with pytest.raises(RateLimitError) as refused:
        otp.verify(PHONE, rig.outbox[-1].code)
    assert (refused.value.scope, refused.value.rate) == ("failures", Rate(3, 86400))


def test_the_rate_is_that_of_the_limit_that_is_told(rig: Rig) -> None:
    """When sends and wrong codes are both used up, the rate is that of the longer wait."""
    for sends, failures, scope, rate in (
        ("1/hour", "1/10 minutes", "phone", Rate(1, 3600)),
        ("1/10 minutes", "1/hour", "failures", Rate(1, 3600)),
    ):
        otp = rig.otp(policy=whole(sends=sends, failures=failures))
        otp.issue(PHONE)
        fail(otp, rig, 1)
        with pytest.raises(RateLimitError) as refused:
            otp.issue(PHONE)
        assert (refused.value.scope, refused.value.rate, refused.value.retry_after) == (scope, rate, 3600)
        otp.erase(PHONE)
