"""The limits of a phone: sends and wrong codes over rolling windows, exact to the millisecond."""

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
    """The refusal says whose limit, how long, and what lives; a millisecond early is refused too."""
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
    """As fast as the limits let it, a day takes ten messages and the eleventh comes a day after the first."""
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
    """Knocking all the time does not put the next send off."""
    otp.issue(PHONE)
    for _ in range(5):
        rig.advance(10)
        with pytest.raises(RateLimitError):
            otp.issue(PHONE)
    rig.advance(10)
    assert otp.issue(PHONE).sends_left == 8


def test_sends_are_counted_over_all_purposes_and_binds(rig: Rig, otp: Any) -> None:
    """The challenge of a refusal is the one of the same purpose and bind alone; another phone is free."""
    otp.issue(PHONE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE, "login", bind="session")
    assert refused.value.scope == "phone"
    assert refused.value.retry_after == 60
    assert refused.value.challenge is None
    assert otp.issue(OTHER_PHONE).sends_left == 9


def test_a_used_code_still_counts_as_a_send(rig: Rig, otp: Any, proved: Any) -> None:
    """Verifying gives no send back, and a revoked challenge none either."""
    proved(otp)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.retry_after, refused.value.challenge) == (60, None)


def test_the_longest_windows_have_the_largest_limits(rig: Rig) -> None:
    """Thirty-two sends a day can be told from thirty-three."""
    otp = rig.otp(policy=whole(sends="32/day"))
    for i in range(32):
        assert otp.issue(PHONE).sends_left == 31 - i
        rig.advance(600)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert refused.value.retry_after == 86400 - 32 * 600


def test_two_policies_share_the_history_of_a_phone(rig: Rig) -> None:
    """Each judges by its own numbers what both have sent and seen fail."""
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
    """The life of a phone's record is a day whoever writes to it last."""
    rig.otp(policy=whole(sends="32/day")).issue(PHONE)
    (key,) = rig.stored()
    before = rig.server.pttl(key)
    rig.advance(1)
    rig.otp(policy=whole(sends="1/second", ttl=30, max_age=120)).issue(PHONE)
    assert before > 86_400_000
    assert rig.server.pttl(key) > 86_400_000


@pytest.mark.parametrize("late_s", [0, 29, 31, 600])
def test_a_late_settlement_shortens_no_life(rig: Rig, late_s: int) -> None:
    """However long the gateway takes to answer."""
    lives: list[int] = []

    def gateway(message: object) -> None:
        lives.append(rig.server.pttl(rig.stored(":p")[0]))
        rig.advance(late_s)

    rig.otp(gateway=gateway).issue(PHONE)
    (key,) = rig.stored(":p")
    assert rig.server.pttl(key) > lives[0] - 5_000 > 86_400_000


def test_wrong_codes_are_counted_over_all_purposes(rig: Rig) -> None:
    """The limit refuses a right code and a new message alike, and ends an hour after the first failure."""
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
    """The day's wrong codes stay counted when one was right in between."""
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
    """The largest limit of failures holds."""
    otp = rig.otp(policy=whole(sends="32/day", failures="64/day", attempts=10))
    for left in (10, 10, 10, 10, 10, 10, 4):
        otp.issue(PHONE)
        rig.advance(1)
        fail(otp, rig, left)
    with pytest.raises(RateLimitError) as refused:
        otp.verify(PHONE, rig.outbox[-1].code)
    assert (refused.value.scope, refused.value.retry_after) == ("failures", 86400 - 6)


def test_a_guess_where_no_challenge_is_costs_the_phone_nothing(rig: Rig) -> None:
    """A stranger can neither block a phone nor use up its failures by guessing at what is not there."""
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
    """Where several limits refuse, waiting as told passes them all."""
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
    """At each moment, whichever of them are used up; the developer reads it too."""
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
    assert told() == (Rate(2, 600), 540)  # the minute's has 60 s to go
    rig.advance(540)
    otp.issue(PHONE)
    assert told() == (Rate(3, 3600), 3000)  # of all three
    rig.advance(60)
    assert told() == (Rate(3, 3600), 2940)  # the others have room again
    rig.advance(2940)
    otp.issue(PHONE)
    assert told() == (Rate(1, 60), 60)  # the hour's next one is 60 s away too


def test_the_shortest_of_rates_that_end_together_is_told(rig: Rig) -> None:
    """Which is enough: the others then allow one more as well."""
    otp = rig.otp(policy=whole(sends="1/minute, 2/2 minutes"))
    otp.issue(PHONE)
    rig.advance(60)
    otp.issue(PHONE)
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.rate, refused.value.retry_after) == (Rate(1, 60), 60)


def test_the_rate_of_wrong_codes_is_told_in_both_calls(rig: Rig) -> None:
    """With its own name in the text, and of a replay's limits as well as of a first call's."""
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
    """Of sends and wrong codes, both used up, the one that takes longer, whichever that is."""
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
