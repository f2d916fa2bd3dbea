"""`region=` with a national number, in every call that has a phone, sync and async."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from support.secrets import SECRET

from otpkit import OTP, AsyncOTP, ConfigurationError, InvalidTokenError, Policy, RegionError, Template
from otpkit.testing import Outbox

PHONE, NATIONAL = "+85251234567", "5123 4567"
POLICY = Policy(regions={"CN", "HK", "US"}, total_sends="100/day", region_sends={"HK": "5/day"})

Call = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Any:
    """Return a function that calls a method of an `OTP` or `AsyncOTP` by name.

    It has the attributes `outbox` and `otp`.
    """
    outbox = Outbox()
    kind = OTP if request.param == "sync" else AsyncOTP
    otp = kind("memory://", outbox, Template("SMS_1", "otpkit"), SECRET, policy=POLICY)
    runner = asyncio.Runner()

    def call(name: str, *args: Any, **kwargs: Any) -> Any:
        result = getattr(otp, name)(*args, **kwargs)

        async def awaited() -> Any:
            return await result

        return runner.run(awaited()) if inspect.isawaitable(result) else result

    call.outbox, call.otp = outbox, otp  # type: ignore[attr-defined]
    yield call
    call("close")
    runner.close()


def test_all_calls_with_a_phone_take_a_region(call: Any) -> None:
    assert call("issue", NATIONAL, region="HK").phone == PHONE
    assert call("status", NATIONAL, region="HK").phone == PHONE
    assert call("standing", NATIONAL, region="HK").phone == PHONE
    assert call("delivery", NATIONAL, region="HK").state == "delivered"
    proof = call("verify", NATIONAL, call.outbox[-1].code, region="HK")
    assert proof.phone == PHONE
    assert call("check", proof.token, phone=NATIONAL, region="HK").phone == PHONE
    with pytest.raises(InvalidTokenError):
        call("check", proof.token, phone="13800138000", region="CN")
    assert call("redeem", proof.token, phone=NATIONAL, region="HK").phone == PHONE
    call("revoke", NATIONAL, region="HK")
    call("unblock", NATIONAL, region="HK")
    call("erase", NATIONAL, region="HK")
    assert call("issue", PHONE).phone == PHONE


def test_every_call_that_has_a_phone_has_a_region() -> None:
    """It is keyword-only, and None by default."""
    for kind in (OTP, AsyncOTP):
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            parameters = inspect.signature(method).parameters
            if name[0] != "_" and "phone" in parameters:
                region = parameters["region"]
                assert (region.kind, region.default) == (inspect.Parameter.KEYWORD_ONLY, None), name


def test_without_a_region_it_is_the_policys(call: Any) -> None:
    assert call("issue", "13800138000").phone == "+8613800138000"
    assert call("issue", "13900139000", region="CN").phone == "+8613900139000"


def test_a_number_with_its_country_code_keeps_it(call: Any) -> None:
    assert call("issue", "+1 201 555 0123", region="HK").phone == "+12015550123"


@pytest.mark.parametrize("region", ["GB", "ZZ", "cn", ""])
def test_a_region_that_is_not_served_is_a_region_error(call: Any, region: str) -> None:
    with pytest.raises(RegionError):
        call("issue", "13800138000", region=region)
    assert list(call.outbox) == []


def test_a_region_that_is_no_text_is_a_configuration_error(call: Any) -> None:
    with pytest.raises(ConfigurationError, match="region"):
        call("issue", "13800138000", region=86)
