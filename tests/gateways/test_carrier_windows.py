"""After a provider's limit of a phone, `retry_after` is the window that the provider names."""

from __future__ import annotations

import pytest
from test_failover_circuit import MAKE, SECRET, TEMPLATE
from wire_server import Act, WireServer, reply

from otpkit import OTP, RateLimitError
from otpkit.gateways.aliyun.errors import flow_control_window
from otpkit.testing import MovableClock

PHONE = "+8613800138000"


def aliyun(message: object, status: int = 200, **headers: str) -> Act:
    return reply({"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": message}, status, headers)


def tencent(code: str) -> Act:
    return reply({"Response": {"SendStatusSet": [{"Code": f"LimitExceeded.{code}"}]}})


def wait_for(name: str, act: Act) -> int | None:
    with (
        WireServer(act) as server,
        OTP("memory://", MAKE[name](server.url), TEMPLATE, SECRET) as otp,
        pytest.raises(RateLimitError) as caught,
    ):
        otp.issue(PHONE)
    assert caught.value.scope == "gateway"
    return caught.value.retry_after


@pytest.mark.parametrize(
    ("name", "act", "seconds"),
    [
        ("aliyun", aliyun("触发分钟级流控Permits:1"), 60),
        ("aliyun", aliyun("触发小时级流控Permits:5"), 3600),
        ("aliyun", aliyun("触发小时级流控Permits:5", 400), 3600),
        ("aliyun", aliyun("触发天级流控Permits:10"), 86_400),
        ("aliyun", aliyun("触发号码天级流控Permits:40"), 86_400),
        ("aliyun", aliyun("触发天级流控Permits:10", **{"Retry-After": "5"}), 86_400),
        ("aliyun", aliyun("触发业务流控", **{"Retry-After": "700"}), 700),
        *(("aliyun", aliyun(message), 60) for message in ("触发业务流控", "", None, 7, ["触发天级流控"])),
        ("aliyun-voice", aliyun("触发小时级流控Permits:5"), 3600),
        ("aliyun-voice", aliyun("触发天级流控Permits:20"), 86_400),
        ("tencent", tencent("PhoneNumberThirtySecondLimit"), 60),  # The phone's own minute ends later.
        ("tencent", tencent("PhoneNumberOneHourLimit"), 3600),
        ("tencent", tencent("PhoneNumberDailyLimit"), 86_400),
        ("tencent", tencent("PhoneNumberSameContentDailyLimit"), 86_400),
        ("tencent", tencent("DeliveryFrequencyLimit"), 60),
        ("twilio", reply({"code": 14107}, 429, {"Retry-After": "300"}), 300),
        ("webhook", reply("", 429, {"Retry-After": "7200"}), 7200),
    ],
)
def test_the_wait_is_as_long_as_the_providers_window(name: str, act: Act, seconds: int) -> None:
    assert wait_for(name, act) == seconds


def test_a_message_that_may_go_after_the_wait_is_sent() -> None:
    """After 24 hours the carrier's day has ended, and so has the phone's own limit."""
    clock = MovableClock()
    accepts = reply({"Code": "OK", "BizId": "1^2"})
    with (
        WireServer(aliyun("触发天级流控Permits:10"), accepts) as server,
        OTP("memory://", MAKE["aliyun"](server.url), TEMPLATE, SECRET, clock=clock) as otp,
    ):
        with pytest.raises(RateLimitError) as caught:
            otp.issue(PHONE)
        clock.advance(caught.value.retry_after or 0)
        assert otp.issue(PHONE).delivery == "accepted"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("触发分钟级流控Permits:1", 60),
        ("触发日级流控", 86_400),
        ("触发分钟级流控Permits:1，触发天级流控Permits:10", 86_400),
        ("触发流控", None),
        ("天", None),
        (b"x", None),
    ],
)
def test_the_longest_window_that_is_named_counts(text: object, seconds: int | None) -> None:
    assert flow_control_window(text) == seconds
