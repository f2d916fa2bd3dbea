"""The limits of IP addresses, regions and all sends, on one server and, with one more round trip, on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.rig import PHONE, VISITOR, LoopThread, Rig, wrong

from otpkit import (
    ExpiredCodeError,
    GatewayRejectedError,
    MalformedCodeError,
    Policy,
    Rate,
    RateLimitError,
    WrongCodeError,
)
from otpkit.store.aio import AsyncStore
from otpkit.store.sync import SyncStore

NEXT = [f"+861390013{i:04d}" for i in range(200)]
"""Phones. Each send uses a fresh one, so that no phone's own limit applies."""


@pytest.fixture(params=["one server", "cluster"])
def rig(
    request: pytest.FixtureRequest,
    is_async: bool,
    backend: str,
    store_url: str,
    namespace: str,
    loop_thread: LoopThread,
) -> Iterator[Rig]:
    """Yield a rig whose wide limits are charged in the phone's script, or one by one as on a cluster."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "cluster":
            for store in (SyncStore, AsyncStore):
                patch.setattr(store, "clustered", True)
        rig = Rig(store_url, namespace, loop_thread if is_async else None, is_by_url=backend.endswith("by URL"))
        yield rig
        rig.close()


def refusal(call: Any, *args: Any, **kwargs: Any) -> RateLimitError:
    with pytest.raises(RateLimitError) as refused:
        call(*args, **kwargs)
    error: RateLimitError = refused.value
    return error


def test_an_address_may_send_so_many_an_hour(rig: Rig) -> None:
    """The limit counts over all phones. Waiting for `retry_after` is enough, and hours begin by UTC."""
    otp = rig.otp(policy=Policy(ip_sends="3/hour"))
    rig.advance(600)
    for phone in NEXT[:3]:
        otp.issue(phone, ip=VISITOR)
    error = refusal(otp.issue, PHONE, ip=VISITOR)
    assert (error.scope, error.retry_after, error.challenge) == ("ip", 3000, None)
    assert refusal(otp.issue, NEXT[0], ip=VISITOR).challenge.phone == NEXT[0]
    otp.issue(PHONE, ip="203.0.113.8")
    otp.issue(NEXT[4])
    rig.advance(error.retry_after - 0.001)
    refusal(otp.issue, NEXT[5], ip=VISITOR)
    rig.advance(0.001)
    assert otp.issue(NEXT[5], ip=VISITOR)


def test_an_ipv6_network_is_one_visitor_with_a_fifth(rig: Rig) -> None:
    """A /64 shares one count. The next /64 has its own."""
    otp = rig.otp(policy=Policy(ip_sends="10/hour", ip_failures="5/hour"))
    otp.issue(NEXT[0], ip="2001:db8:1:2::1")
    otp.issue(NEXT[1], ip="2001:db8:1:2:ffff::2")
    assert refusal(otp.issue, NEXT[2], ip="2001:db8:1:2::3").scope == "ip"
    otp.issue(NEXT[2], ip="2001:db8:1:3::1")
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "123456", ip="2001:db8:1:2::1")
    assert refusal(otp.verify, PHONE, "123456", ip="2001:db8:1:2:ffff::1").scope == "ip"


def test_a_share_is_never_less_than_one(rig: Rig) -> None:
    """A fifth of three is rounded up to one."""
    otp = rig.otp(policy=Policy(ip_sends="3/hour"))
    otp.issue(NEXT[0], ip="2001:db8::1")
    assert refusal(otp.issue, NEXT[1], ip="2001:db8::2").scope == "ip"


def test_the_default_shares_are_20_and_30(rig: Rig) -> None:
    """An IPv4 address has 100 and 150 an hour. An IPv6 /64 has a fifth."""
    otp = rig.otp()
    for phone in NEXT[:20]:
        otp.issue(phone, ip="2001:db8::1")
    assert refusal(otp.issue, NEXT[20], ip="2001:db8::1").scope == "ip"
    for _ in range(30):
        with pytest.raises(ExpiredCodeError):
            otp.verify(PHONE, "123456", ip="2001:db8::1")
    assert refusal(otp.verify, PHONE, "123456", ip="2001:db8::1").scope == "ip"


def test_an_ipv4_address_mapped_into_ipv6_is_that_address(rig: Rig) -> None:
    """It has the whole share, and the same count as its plain form."""
    otp = rig.otp(policy=Policy(ip_sends="2/hour"))
    otp.issue(NEXT[0], ip=VISITOR)
    otp.issue(NEXT[1], ip=f"::ffff:{VISITOR}")
    assert refusal(otp.issue, NEXT[2], ip=VISITOR).scope == "ip"
    assert refusal(otp.issue, NEXT[2], ip=f"::ffff:{VISITOR}").scope == "ip"


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
    ],
)
def test_a_proxys_address_is_not_counted_and_an_event_says_so(rig: Rig, ip: str) -> None:
    """A count for the proxy would block the whole site."""
    otp = rig.heard(policy=Policy(ip_sends="1/hour", ip_failures="1/hour"))
    for phone in NEXT[:3]:
        otp.issue(phone, ip=ip)
        with pytest.raises(WrongCodeError):
            otp.verify(phone, wrong(rig.outbox[-1].code), ip=ip)
    named = [(event.name, event.operation) for event in rig.events if event.name == "ip_not_counted"]
    assert named == [("ip_not_counted", "issue"), ("ip_not_counted", "verify")] * 3
    assert rig.stored(":w") == []


def test_a_visitors_address_raises_no_such_event(rig: Rig) -> None:
    """A call without an address raises none either."""
    otp = rig.heard()
    otp.issue(NEXT[0], ip=VISITOR)
    otp.issue(NEXT[1])
    assert [event.name for event in rig.events] == ["issued", "issued"]


def test_an_address_may_guess_so_often(rig: Rig) -> None:
    """Wrong codes and guesses without a challenge count.

    Right codes, malformed codes and refusals by the limit don't.
    """
    otp = rig.otp(policy=Policy(ip_failures="3/hour"))
    for phone in NEXT[:5]:
        otp.issue(phone)
        assert otp.verify(phone, rig.outbox[-1].code, ip=VISITOR)
        with pytest.raises(MalformedCodeError):
            otp.verify(phone, "12345", ip=VISITOR)
    challenge = otp.issue(PHONE)
    code = rig.outbox[-1].code
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(code), ip=VISITOR)
    for phone in NEXT[:2]:
        with pytest.raises(ExpiredCodeError):
            otp.verify(phone, "123456", ip=VISITOR)
    error = refusal(otp.verify, PHONE, code, ip=VISITOR)
    assert (error.scope, error.retry_after, error.challenge.id) == ("ip", 3600, challenge.id)
    assert error.challenge.attempts_left == 4
    assert otp.verify(PHONE, code, ip="203.0.113.8").phone == PHONE
    rig.advance(3600)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code, ip=VISITOR)


def test_a_region_and_all_sends_have_utc_days(rig: Rig) -> None:
    """This limits an SMS bill: sends are refused until midnight, for any phone and address."""
    rig.advance(80_000)
    otp = rig.otp(policy=Policy(region_sends={"CN": "2/day"}, total_sends="3/day", regions={"CN", "HK"}))
    otp.issue(NEXT[0])
    otp.issue(NEXT[1])
    error = refusal(otp.issue, NEXT[2], ip=VISITOR)
    assert (error.scope, error.retry_after) == ("region", 6400)
    otp.issue("+852 6123 4567")
    error = refusal(otp.issue, "+852 6123 4568")
    assert (error.scope, error.retry_after) == ("total", 6400)
    rig.advance(6399.999)
    refusal(otp.issue, NEXT[2])
    rig.advance(0.001)
    assert otp.issue(NEXT[2])


def test_several_rates_of_one_limit_all_hold(rig: Rig) -> None:
    """The minute's and the hour's rates are counted separately."""
    otp = rig.otp(policy=Policy(total_sends="1/minute, 2/hour"))
    otp.issue(NEXT[0])
    error = refusal(otp.issue, NEXT[1])
    assert (error.rate, error.retry_after) == (Rate(1, 60), 60)
    rig.advance(60)
    otp.issue(NEXT[1])
    error = refusal(otp.issue, NEXT[2])
    assert (error.rate, error.retry_after) == (Rate(2, 3600), 3540)


@pytest.mark.parametrize("scope", ["phone", "ip", "region", "total"])
def test_when_one_limit_refuses_none_is_charged(rig: Rig, scope: str) -> None:
    """After any number of refusals, the other limits are unchanged."""
    rates = {"phone": 3, "ip": 3, "region": 3, "total": 3} | {scope: 1}
    policy = Policy(
        sends=f"{rates['phone']}/day",
        ip_sends=f"{rates['ip']}/day",
        region_sends={"CN": f"{rates['region']}/day"},
        total_sends=f"{rates['total']}/day",
    )
    otp = rig.otp(policy=policy)
    otp.issue(PHONE, ip=VISITOR)
    for _ in range(5):
        assert refusal(otp.issue, PHONE, ip=VISITOR).scope == scope
    others = rig.otp(policy=Policy(sends="3/day", ip_sends="3/day", region_sends={"CN": "3/day"}, total_sends="3/day"))
    assert others.issue(PHONE, ip=VISITOR).sends_left == 1
    assert others.issue(PHONE, ip=VISITOR).sends_left == 0
    refusal(others.issue, PHONE, ip=VISITOR)


RETURNED = {
    "account": "ipr",
    "configuration": "ipr",
    "request": "ipr",
    "connection": "ipr",
    "number": "r",
    "rate_limit": "",
}


@pytest.mark.parametrize("category", RETURNED)
def test_what_a_rejection_gives_back_depends_on_whose_fault_it_was(rig: Rig, category: Any) -> None:
    """Most rejections refund all limits.

    A bad number stays charged to the phone and the address; a carrier's limit to all.
    """
    policy = Policy(sends="1/day", ip_sends="1/day", region_sends={"CN": "1/day"}, total_sends="1/day")
    otp = rig.otp(policy=policy)
    rig.outbox.reject_next(GatewayRejectedError("asked", gateway="outbox", category=category))
    with pytest.raises(RateLimitError if category == "rate_limit" else GatewayRejectedError):
        otp.issue(PHONE, ip=VISITOR)
    kept = {"number": ["phone", "ip"], "rate_limit": ["phone", "ip", "region", "total"]}.get(category, [])
    calls = {
        "phone": lambda: rig.otp(policy=Policy(sends="1/day")).issue(PHONE),
        "ip": lambda: rig.otp(policy=Policy(ip_sends="1/day")).issue(NEXT[0], ip=VISITOR),
        "region": lambda: rig.otp(policy=Policy(region_sends={"CN": "1/day"})).issue(NEXT[1]),
        "total": lambda: rig.otp(policy=Policy(total_sends="1/day")).issue(NEXT[2]),
    }
    for scope, call in calls.items():
        if scope in kept:
            assert refusal(call).scope == scope
        else:
            assert call().delivery == "accepted"


def test_a_rejection_after_the_window_gives_nothing_to_the_next_one(rig: Rig) -> None:
    """A charge from before midnight is not refunded to the new day."""
    policy = Policy(total_sends="2/day")
    otp = rig.otp(policy=policy)
    rig.advance(86400 - 5)

    def slow(message: Any) -> None:
        rig.advance(10)
        otp.issue(NEXT[1])
        raise GatewayRejectedError("asked", gateway="slow", category="account")

    with pytest.raises(GatewayRejectedError):
        rig.otp(policy=policy, gateway=slow).issue(NEXT[0])
    otp.issue(NEXT[2])
    assert refusal(otp.issue, NEXT[3]).scope == "total"


def test_a_key_finds_its_send_before_any_limit_is_looked_at(rig: Rig) -> None:
    """A form that is sent twice gets its answer even if the address or the site is over its limit by then."""
    otp = rig.otp(policy=Policy(ip_sends="1/hour", total_sends="1/hour"))
    first = otp.issue(PHONE, ip=VISITOR, idempotency_key="form 1")
    again = otp.issue(PHONE, ip=VISITOR, idempotency_key="form 1")
    assert (again.id, again.replayed, again.delivery) == (first.id, True, "accepted")
    assert len(rig.outbox) == 1


def test_a_form_that_is_verified_twice_gets_its_answer_twice(rig: Rig) -> None:
    """This holds even if the address has used up its failures by then."""
    otp = rig.otp(policy=Policy(ip_failures="2/hour"))
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(code), ip=VISITOR, idempotency_key="form 1")
    proof = otp.verify(PHONE, code, ip=VISITOR, idempotency_key="form 2")
    with pytest.raises(ExpiredCodeError):
        otp.verify(NEXT[0], "123456", ip=VISITOR)
    assert refusal(otp.verify, NEXT[0], "123456", ip=VISITOR).scope == "ip"
    assert otp.verify(PHONE, code, ip=VISITOR, idempotency_key="form 2") == proof
    with pytest.raises(WrongCodeError) as counted:
        otp.verify(PHONE, wrong(code), ip=VISITOR, idempotency_key="form 1")
    assert counted.value.attempts_left == 4


def test_the_rate_that_is_used_up_is_told(rig: Rig) -> None:
    """The error has the scope and the rate with the longest wait. Its text names them for the developer."""
    limits = {
        "ip": Policy(sends="9/day", ip_sends="1/10 minutes, 5/day"),
        "region": Policy(sends="9/day", region_sends={"CN": "1/10 minutes, 5/day"}),
        "total": Policy(sends="9/day", total_sends="1/10 minutes, 5/day"),
    }
    for (scope, policy), phone in zip(limits.items(), NEXT, strict=False):
        otp = rig.otp(policy=policy)
        otp.issue(phone, ip=VISITOR)
        error = refusal(otp.issue, phone, ip=VISITOR)
        assert (error.scope, error.rate, error.retry_after) == (scope, Rate(1, 600), 600)
        assert "(1/600 seconds)" in str(error)
        rig.advance(600)


def test_of_several_limits_the_one_that_takes_longest_is_told_with_its_rate(rig: Rig) -> None:
    """The limits of the phone, the address, the region and all sends are used up together."""
    rates = {"ip_sends": "1/hour", "region_sends": {"CN": "1/minute"}, "total_sends": "1/minute"}
    otp = rig.otp(policy=Policy(sends="1/minute", **rates))
    otp.issue(PHONE, ip=VISITOR)
    error = refusal(otp.issue, PHONE, ip=VISITOR)
    assert (error.scope, error.rate, error.challenge.phone) == ("ip", Rate(1, 3600), PHONE)
    error = refusal(otp.issue, NEXT[0])
    assert (error.scope, error.rate) == ("region", Rate(1, 60))
    otp = rig.otp(policy=Policy(sends="1/2 hours", **rates))
    error = refusal(otp.issue, PHONE, ip=VISITOR)
    assert (error.scope, error.rate, error.retry_after) == ("phone", Rate(1, 7200), 7200)


def test_of_an_addresss_and_a_phones_wrong_codes_the_longer_wait_is_told(rig: Rig) -> None:
    """Neither call is charged to the address."""
    for ip_failures, failures, scope, rate in (
        ("2/hour", "2/10 minutes", "ip", Rate(2, 3600)),
        ("2/minute", "2/10 minutes", "failures", Rate(2, 600)),
    ):
        otp = rig.otp(policy=Policy(sends="9/day", ip_failures=ip_failures, failures=failures))
        challenge = otp.issue(PHONE)
        code = rig.outbox[-1].code
        for _ in range(2):
            with pytest.raises(WrongCodeError):
                otp.verify(PHONE, wrong(code), ip=VISITOR)
        error = refusal(otp.verify, PHONE, code, ip=VISITOR)
        assert (error.scope, error.rate, error.challenge.id) == (scope, rate, challenge.id)
        assert error.retry_after == rate.seconds
        rig.advance(3600)


def test_of_a_windows_rates_the_longest_wait_is_told_until_the_end(rig: Rig) -> None:
    """A window by UTC may end before the wait of a shorter one does. The wait decides, not the length of the window."""
    rig.advance(86400 - 100)
    otp = rig.otp(policy=Policy(sends="9/day", total_sends="1/hour, 1/7 minutes"))
    otp.issue(NEXT[0])
    error = refusal(otp.issue, NEXT[1])
    end = -(-rig.clock.now // 420) * 420
    assert end - rig.clock.now > 100
    assert (error.rate, error.retry_after) == (Rate(1, 420), end - rig.clock.now)
    rig.advance(101)
    assert refusal(otp.issue, NEXT[1]).rate == Rate(1, 420)


def test_a_network_is_told_its_share_of_guesses_and_of_sends(rig: Rig) -> None:
    """A /64 has a fifth, and its errors show that. An IPv4 address has the whole."""
    otp = rig.otp(policy=Policy(ip_sends="5/hour", ip_failures="5/day"))
    otp.issue(NEXT[0], ip="2001:db8::1")
    assert refusal(otp.issue, NEXT[1], ip="2001:db8::2").rate == Rate(1, 3600)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, "123456", ip="2001:db8::1")
    error = refusal(otp.verify, PHONE, "123456", ip="2001:db8::1")
    assert (error.scope, error.rate) == ("ip", Rate(1, 86400))
    for _ in range(5):
        with pytest.raises(ExpiredCodeError):
            otp.verify(PHONE, "123456", ip=VISITOR)
    assert refusal(otp.verify, PHONE, "123456", ip=VISITOR).rate == Rate(5, 86400)


def test_a_gateways_limit_has_no_rate(rig: Rig) -> None:
    """The gateway does not report one."""
    rig.outbox.reject_next(GatewayRejectedError("asked", gateway="outbox", category="rate_limit"))
    error = refusal(rig.otp().issue, PHONE)
    assert (error.scope, error.rate) == ("gateway", None)
