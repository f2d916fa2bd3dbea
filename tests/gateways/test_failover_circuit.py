"""A refusal of one number or region does not affect other numbers. A refusal of every message does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from wire_server import Act, WireServer, reply

from otpkit import OTP, GatewayRejectedError, Policy, RateLimitError, Template
from otpkit.gateways import (
    Alidayu,
    Aliyun,
    AliyunVoice,
    Failover,
    Gateway,
    Tencent,
    Twilio,
    Webhook,
)
from otpkit.gateways.alidayu import errors as alidayu_errors
from otpkit.gateways.aliyun import errors as aliyun_errors
from otpkit.gateways.tencent import errors as tencent_errors
from otpkit.gateways.twilio import errors as twilio_errors
from otpkit.testing import Outbox

SECRET = "a secret of these tests, longer than 32 bytes"
TEMPLATE = Template("SMS_585014", sign_name="otpkit", body="Your code is ${code}.")
CHINESE = [f"+861380000000{digit}" for digit in range(9)]
AMERICAN = [f"+1310555012{digit}" for digit in range(9)]  # Without its + it looks like a mainland number.
HONG_KONG = [f"+8525123456{digit}" for digit in range(9)]
SID = f"AC{'0' * 32}"

MAKE: dict[str, Callable[[str], Gateway]] = {
    "alidayu": lambda url: Alidayu("key", SECRET, base_url=url),
    "aliyun": lambda url: Aliyun("key", SECRET, base_url=url),
    "aliyun-voice": lambda url: AliyunVoice("key", SECRET, base_url=url),
    "tencent": lambda url: Tencent("key", SECRET, sdk_app_id="1", base_url=url),
    "twilio": lambda url: Twilio(SID, SECRET, sender="+15551234567", base_url=url),
    "webhook": lambda url: Webhook(url, SECRET),
}
ACCEPTS: dict[str, Act] = {
    "alidayu": reply({"success": True, "code": "0", "model": "1^2"}),
    "aliyun": reply({"Code": "OK", "BizId": "1^2"}),
    "aliyun-voice": reply({"Code": "OK", "CallId": "1^2"}),
    "tencent": reply({"Response": {"SendStatusSet": [{"Code": "Ok", "SerialNo": "1"}]}}),
    "twilio": reply({"sid": f"SM{'0' * 32}", "status": "queued"}, 201),
    "webhook": reply({"id": "1"}),
}
REFUSES: dict[str, Callable[[str], Act]] = {
    "alidayu": lambda code: (
        reply({"success": False, "code": code}) if code.isdigit() else reply({"errorCode": code}, 403)
    ),
    "aliyun": lambda code: reply({"Code": code}),
    "aliyun-voice": lambda code: reply({"Code": code}),
    "tencent": lambda code: reply({"Response": {"SendStatusSet": [{"Code": code}]}}),
    "twilio": lambda code: reply({"code": int(code)}, 400),
    "webhook": lambda code: reply("", int(code)),
}
# These refusals concern one number, region, template or text.
OF_ONE: list[tuple[str, str]] = [
    *(("alidayu", code) for code in ("50009", "70001", "70003", "99998")),
    *(("aliyun", f"isv.{code}") for code in ("BUSINESS_LIMIT_CONTROL", "MOBILE_NUMBER_ILLEGAL", "DENY_IP_RANGE")),
    *(("aliyun", f"isv.{code}") for code in ("SMS_TEST_NUMBER_LIMIT", "PARAM_NOT_SUPPORT_URL", "CUSTOMER_REFUSED")),
    *(("aliyun", code) for code in ("OUT_OF_SERVICE", "QPS_LIMIT_CONTROL", "NOT_SUPPORTED_COUNTRY")),
    *(("aliyun-voice", f"isv.{code}") for code in ("COMPLAINT_REJECT", "BLACK_KEY_CONTROL_LIMIT")),
    *(("tencent", f"LimitExceeded.{code}") for code in ("AppCountryOrRegionInBlacklist", "PhoneNumberDailyLimit")),
    *(("tencent", f"LimitExceeded.{code}") for code in ("AppCountryOrRegionDailyLimit", "AppGlobalDailyLimit")),
    *(
        ("tencent", f"UnsupportedOperation.{code}")
        for code in ("UnsupportedRegion", "GlobalTemplateToChineseMainlandPhone")
    ),
    *(("twilio", code) for code in ("21211", "21408", "21612", "21608", "30022", "14107", "21617", "99999")),
    *(("webhook", code) for code in ("400", "422", "429")),
]
# These refusals concern every message.
OF_ALL: list[tuple[str, str]] = [
    *(("alidayu", code) for code in ("50001", "Invalid AppKey", "Throttled by USER Flow Control")),
    *(
        ("aliyun", code)
        for code in ("isv.OUT_OF_SERVICE", "isv.DAY_LIMIT_CONTROL", "Throttling.User", "InvalidVersion")
    ),
    ("aliyun-voice", "isv.AMOUNT_NOT_ENOUGH"),
    *(("tencent", code) for code in ("AuthFailure.SignatureFailure", "InternalError.SigVerificationFail")),
    *(("tencent", code) for code in ("LimitExceeded.AppDailyLimit", "RequestLimitExceeded", "UnsupportedRegion")),
    *(("twilio", code) for code in ("20003", "20429", "21660", "21701")),
    ("webhook", "401"),
]


Issue = Callable[[str, list[str], list[Act]], list[str]]


@pytest.fixture
def next_one() -> Outbox:
    return Outbox()


@pytest.fixture
def issue_all(next_one: Outbox) -> Issue:
    """Return a function that issues to phones over a gateway before `next_one`, and returns the gateway of each."""

    def issue_all(name: str, phones: list[str], acts: list[Act]) -> list[str]:
        policy = Policy(regions={"CN", "HK", "US"})
        served = []
        with WireServer(*acts, ACCEPTS[name]) as server:
            both = Failover([MAKE[name](server.url), next_one])
            with OTP("memory://", both, TEMPLATE, SECRET, policy=policy) as otp:
                for phone in phones:
                    with suppress(GatewayRejectedError, RateLimitError):
                        served.append(otp.issue(phone).gateway)
        return served

    return issue_all


@pytest.mark.parametrize(("name", "code"), OF_ONE)
def test_three_refusals_of_one_kind_of_number_leave_all_others(issue_all: Issue, name: str, code: str) -> None:
    """Each gets an answer, and the first gateway still serves the fourth user."""
    assert issue_all(name, CHINESE[:4], [REFUSES[name](code)] * 3)[-1] == name


@pytest.mark.parametrize(("name", "code"), OF_ALL)
def test_three_refusals_of_all_send_a_gateway_to_rest(issue_all: Issue, name: str, code: str) -> None:
    assert issue_all(name, CHINESE[:4], [REFUSES[name](code)] * 3) == ["outbox"] * 4


@pytest.mark.parametrize(
    ("name", "phones"),
    [("alidayu", HONG_KONG), ("alidayu", AMERICAN), ("aliyun", AMERICAN), ("aliyun-voice", AMERICAN)],
)
def test_numbers_that_a_gateway_can_not_write_go_to_the_next_one(
    issue_all: Issue, name: str, phones: list[str]
) -> None:
    """The number of such requests does not matter: the first gateway still serves mainland numbers."""
    assert issue_all(name, [*phones, CHINESE[0]], []) == ["outbox"] * 9 + [name]


def test_hong_kong_is_served_beside_alidayu() -> None:
    """Alidayu serves only the mainland. Twilio serves the numbers that Alidayu can't."""
    with WireServer(ACCEPTS["twilio"]) as server:
        both = Failover([Alidayu("key", SECRET, base_url="http://127.0.0.1:1"), MAKE["twilio"](server.url)])
        with OTP("memory://", both, TEMPLATE, SECRET, policy=Policy(regions={"CN", "HK"})) as otp:
            assert otp.issue(HONG_KONG[0]).gateway == "twilio"
        assert server.requests[0].form["To"] == HONG_KONG[0]


def test_each_row_that_names_a_number_or_a_region_is_of_one_message() -> None:
    """The test finds them by their words, so it covers new rows."""
    tables = (
        *(alidayu_errors.BUSINESS_ERRORS, aliyun_errors.SMS_REFUSALS, aliyun_errors.VOICE_REFUSALS),
        *(tencent_errors.REFUSALS, twilio_errors.REFUSALS),
    )
    words = (
        "region is",
        "region's",
        "abroad",
        "the mainland",
        "the phone",
        "template",
        "a variable",
        "verified numbers",
    )
    for table in tables:
        for code, row in table.items():
            if any(word in row.problem for word in words):
                concerns = row.concerns or GatewayRejectedError(category=row.category).concerns
                assert concerns == "message", code
