"""Building an OTP raises configuration errors that name the field and the remedy."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
import redis
import redis.asyncio
from support.rig import MEMORY, PHONE, VISITOR, Rig

from otpkit import ConfigurationError, OTPError, Policy, Rate


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "http://localhost", "redis:/localhost", "memory:", "memory://x", "redis://localhost:port/0"],
)
def test_a_url_that_names_no_store_is_refused(memory_rig: Rig, url: str) -> None:
    """The error states which values are valid."""
    with pytest.raises(ConfigurationError, match=r"redis.*redis://localhost:6379/0"):
        memory_rig.build(redis=url)


def test_a_url_is_not_shown(memory_rig: Rig) -> None:
    """The URL may contain the password. The original error contains it too, so it is not chained."""
    with pytest.raises(ConfigurationError) as refused:
        memory_rig.build(redis="redis://user:hunter22@localhost:port/0")
    assert "hunter22" not in str(refused.value)
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)


@pytest.mark.parametrize("client", [None, 7, object(), redis.Redis, redis.ConnectionPool()])
def test_what_is_no_client_is_refused(memory_rig: Rig, client: Any) -> None:
    """A class and a pool are not clients."""
    with pytest.raises(ConfigurationError, match="redis must be"):
        memory_rig.build(redis=client)


def test_the_other_shells_client_is_refused(memory_rig: Rig) -> None:
    """The error names the shell that accepts it."""
    twins = (
        (fakeredis.FakeRedis, redis.Redis) if memory_rig.is_async else (fakeredis.FakeAsyncRedis, redis.asyncio.Redis)
    )
    for twin in twins:
        with pytest.raises(ConfigurationError, match=r"\bOTP takes" if memory_rig.is_async else "AsyncOTP"):
            memory_rig.build(redis=twin())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"namespace": ""}, "namespace must be"),
        ({"namespace": "a b"}, "namespace must be"),
        ({"namespace": "a:b"}, "namespace must be"),
        ({"namespace": "{a}"}, "namespace must be"),
        ({"namespace": "a\n"}, "namespace must be"),
        ({"namespace": "é"}, "namespace must be"),
        ({"namespace": None}, "namespace must be"),
        ({"policy": None}, "policy must be a Policy"),
        ({"policy": {"ttl": 60}}, "policy must be a Policy"),
        ({"on_event": "log"}, "on_event must be"),
        ({"listeners": "log"}, "listeners must be"),
        ({"listeners": [print, 5]}, "listeners: number 2 is not"),
        ({"clock": 1_700_000_000}, "clock must be"),
        ({"fixed_codes": ["123456"]}, "fixed_codes must hold FixedCode"),
    ],
)
def test_each_argument_is_checked_when_built(memory_rig: Rig, arguments: Any, match: str) -> None:
    """The error comes when the OTP is built, not at the first visitor's call."""
    with pytest.raises(ConfigurationError, match=match) as refused:
        memory_rig.build(**arguments)
    assert isinstance(refused.value, OTPError)
    assert (refused.value.code, refused.value.status) == ("configuration", 500)


@pytest.mark.parametrize(
    "ip", ["", "localhost", "203.0.113.7:80", "203.0.113.0/24", "1.2.3", "2001:db8::x", 7, object()]
)
def test_an_ip_that_is_none_is_an_error_before_anything_is_counted(rig: Rig, otp: Any, ip: Any) -> None:
    """The caller's code is wrong: it passed on a proxy's header without parsing it."""
    with pytest.raises(ConfigurationError, match="ip must be"):
        otp.issue(PHONE, ip=ip)
    with pytest.raises(ConfigurationError, match="ip must be"):
        otp.verify(PHONE, "123456", ip=ip)
    assert rig.stored() == []
    assert otp.issue(PHONE, ip=VISITOR).sends_left == 9


@pytest.mark.parametrize("bind", [None, 7, b"session", ["session"]])
def test_a_bind_is_a_text(memory_rig: Rig, bind: Any) -> None:
    """Every call with a `bind` refuses other types."""
    otp = memory_rig.otp()
    otp.issue(PHONE)
    token = otp.verify(PHONE, memory_rig.outbox[-1].code).token
    calls = (
        lambda: otp.issue(PHONE, bind=bind),
        lambda: otp.verify(PHONE, "123456", bind=bind),
        lambda: otp.check(token, bind=bind),
        lambda: otp.redeem(token, bind=bind),
        lambda: otp.status(PHONE, bind=bind),
        lambda: otp.delivery(PHONE, bind=bind),
        lambda: otp.revoke(PHONE, bind=bind),
    )
    for call in calls:
        with pytest.raises(ConfigurationError, match="bind"):
            call()


BOUNDS = {
    "code_length": (6, 10),
    "ttl": (30, 600),
    "max_age": (120, 600),
    "attempts": (1, 10),
    "max_consecutive_failures": (1, 100),
}


@pytest.mark.parametrize(("field", "low", "high"), [(field, *bounds) for field, bounds in BOUNDS.items()])
def test_a_policys_numbers_have_bounds(field: str, low: int, high: int) -> None:
    """Both bounds are allowed. A value beyond a bound is an error that names both."""
    room = {"ttl": 120} if field == "max_age" else {"max_age": 600}
    for value in (low, high):
        assert getattr(Policy(**(room | {field: value})), field) == value
    for value in (low - 1, high + 1, float(low), str(low), None, True):
        with pytest.raises(ConfigurationError, match=rf"Policy\.{field}.*{low}.*{high}"):
            Policy(**(room | {field: value}))


def test_max_age_is_at_least_ttl() -> None:
    """A code can't live longer than its own maximum."""
    assert Policy(ttl=300, max_age=300)
    with pytest.raises(ConfigurationError, match=r"max_age.*ttl"):
        Policy(ttl=301, max_age=300)


@pytest.mark.parametrize(
    ("field", "rate"),
    [
        ("sends", "33/day"),
        ("sends", "1/2 days"),
        ("sends", None),
        ("sends", ""),
        ("sends", ()),
        ("failures", "65/day"),
        ("failures", "1/25 hours"),
        ("failures", None),
        ("ip_sends", "many"),
        ("ip_failures", "0/hour"),
        ("total_sends", "5 per hour"),
        ("total_sends", 5),
        ("sends", ["5/hour", 5]),
        ("region_sends", "50000/day"),
        ("region_sends", {"HK": "1/day"}),
        ("region_sends", {"CN": "x"}),
        ("regions", "CN"),
        ("regions", set()),
        ("regions", {"cn"}),
        ("default_region", "HK"),
    ],
)
def test_a_policys_rates_and_regions_are_checked(field: str, rate: Any) -> None:
    """A mistyped limit is an error. It never means that there is no limit."""
    with pytest.raises(ConfigurationError):
        Policy(**{field: rate})


def test_a_rate_may_be_written_in_several_ways() -> None:
    """All spellings mean the same rate."""
    for sends in (
        "1/minute, 5/hour",
        "5/60 minutes,1/minute",
        ("5/hour", "1/minute"),
        [Rate(5, 3600), "1/60 seconds"],
        (Rate(1, 60), Rate(5, 3600), "5/hour"),
    ):
        assert Policy(sends=sends).sends == (Rate(1, 60), Rate(5, 3600))


def test_the_defaults_are_the_contracts() -> None:
    """Each number of the default policy is the documented one."""
    policy = Policy()
    assert (policy.code_length, policy.ttl, policy.max_age, policy.attempts) == (6, 300, 600, 5)
    assert policy.sends == (Rate(1, 60), Rate(5, 3600), Rate(10, 86400))
    assert policy.failures == (Rate(20, 86400),)
    assert (policy.max_consecutive_failures, policy.proof_ttl) == (100, 300)
    assert (policy.ip_sends, policy.ip_failures) == ((Rate(100, 3600),), (Rate(150, 3600),))
    assert (dict(policy.region_sends), policy.total_sends) == ({}, ())
    assert (policy.regions, policy.default_region) == ({"CN"}, "CN")


def test_building_connects_to_nothing(memory_rig: Rig) -> None:
    """The first call reports that the store is down."""
    otp = memory_rig.otp(redis="redis://127.0.0.1:1/0")
    assert otp
    assert memory_rig.otp(redis=MEMORY)
