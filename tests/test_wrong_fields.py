"""One error for all wrong fields of a constructor. Each problem has its field, its description and its remedy."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from support.secrets import SECRET

from otpkit import OTP, AsyncOTP, ConfigurationError, FixedCode, Policy, Template, gateways
from otpkit.core.checks import Checks, nearest
from otpkit.errors import FieldProblem
from otpkit.testing import Outbox

TEMPLATE = Template("SMS_1", "otpkit")
UNREADABLE = "what is this"
HTTP = {"base_url": "ftp://x", "timeout": 0, "proxy": UNREADABLE}
ALIYUN = {"access_key_id": "a b", "access_key_secret": "", "security_token": ""}


def wrong(build: Callable[..., Any], *args: Any, **options: Any) -> dict[str, FieldProblem]:
    """Return the problems of a constructor by field. Each has a remedy, and the error joins them."""
    with pytest.raises(ConfigurationError) as refused:
        build(*args, **options)
    error = refused.value
    assert (error.__cause__, error.__context__) == (None, None)
    for each in error.problems:
        assert each.remedy, each
        assert each.problem in error.problem
        assert str(each) in str(error)
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
    return {each.field: each for each in error.problems}


CONSTRUCTORS: list[tuple[Any, dict[str, Any]]] = [
    (gateways.Alidayu, {"app_key": "", "app_secret": "a\nb", **HTTP}),
    (gateways.Aliyun, {**ALIYUN, **HTTP}),
    (
        gateways.AliyunVoice,
        {**ALIYUN, **HTTP, "play_times": 9, "volume": -1, "speed": 999, "called_show_number": "x"},
    ),
    (gateways.Tencent, {"secret_id": "", "secret_key": "", "token": "", "sdk_app_id": "", "region": "", **HTTP}),
    (
        gateways.Twilio,
        {
            "account_sid": "A C",
            "auth_token": "",
            "language": "?",
            "api_key_sid": "",
            "api_key_secret": "",
            "sender": "",
            "voice_sender": "",
            "status_callback": "x",
            **HTTP,
        },
    ),
    (gateways.Webhook, {"url": "ftp://x", "secret": "short", "timeout": 0, "proxy": UNREADABLE}),
    (gateways.Failover, {"gateways": [], "on_uncertain": "maybe", "undelivered_after": -1, "rest_after": 0, "rest": 0}),
    (
        Policy,
        {
            "code_length": 3,
            "ttl": 5,
            "attempts": 99,
            "sends": "often",
            "failures": None,
            "ip_sends": 5,
            "regions": "CN",
            "region_sends": 7,
            "replicas": -1,
        },
    ),
    (Template, {"code": "", "sign_name": "【x】", "params": {}, "body": ""}),
    (FixedCode, {"phone": "+8613800138000", "code": "123456", "until": "today", "purposes": ()}),
]


@pytest.mark.parametrize(("build", "options"), CONSTRUCTORS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_constructor_names_every_wrong_argument(build: Any, options: dict[str, Any]) -> None:
    """One error has all their names."""
    told = set(options) - ({"phone", "code"} if build is FixedCode else set())
    assert set(wrong(build, **options)) == told


@pytest.mark.parametrize(("build", "options"), CONSTRUCTORS[:6], ids=lambda value: getattr(value, "__name__", ""))
def test_problems_show_no_value_that_may_be_secret(build: Any, options: dict[str, Any]) -> None:
    secrets = {name: f"hush-{number}\n" for number, name in enumerate(options)}
    with pytest.raises(ConfigurationError) as refused:
        build(**options | {name: text for name, text in secrets.items() if "secret" in name or "token" in name})
    assert "hush" not in f"{refused.value!r}{refused.value}"


def test_an_otp_names_every_wrong_argument() -> None:
    """This includes arguments that are checked together with another."""
    found = wrong(
        OTP,
        "http://nowhere",
        5,
        "SMS_1",
        ["short", SECRET],
        policy="strict",
        index_secret="short",
        namespace="a b",
        on_event=5,
        clock="now",
    )
    assert set(found) == {
        *("redis", "gateway", "template", "secret", "policy", "index_secret", "namespace", "on_event", "clock"),
    }


def test_an_async_otp_names_its_own_too() -> None:
    found = wrong(AsyncOTP, "memory://", Outbox(), TEMPLATE, "short", gateway_wait=-1, fixed_codes=[1])
    assert set(found) == {"secret", "gateway_wait", "fixed_codes"}


def test_every_gateway_and_template_of_an_otp_is_checked() -> None:
    unsigned = {"signup": Template("1"), "login": Template("2", "otpkit"), "pay": Template("3")}
    choice = {"CN": gateways.Alidayu("key", "secret"), "HK": 5, "US": Outbox()}
    with pytest.raises(ConfigurationError) as refused:
        OTP("memory://", choice, unsigned, SECRET, policy=Policy())
    assert [each.field for each in refused.value.problems] == ["gateway", "template", "gateway"]


def test_one_problem_reads_like_any_error() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Policy(ttl=5)
    error = refused.value
    assert (error.problem, error.remedy) == ("Policy.ttl is 5.", "Set a whole number from 30 to 600.")
    assert str(error) == f"{error.problem} {error.remedy}"
    assert error.problems == (FieldProblem("ttl", error.problem, error.remedy),)


def test_several_stand_on_lines_of_their_own() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Policy(ttl=5, attempts=0)
    assert str(refused.value).splitlines() == [
        "The settings can't be used:",
        "- Policy.ttl is 5. Set a whole number from 30 to 600.",
        "- Policy.attempts is 0. Set a whole number from 1 to 10.",
    ]


def test_another_error_in_a_block_of_checks_is_not_hidden() -> None:
    checks = Checks()
    checks.add("field", "It is wrong.", "Correct it.")
    with pytest.raises(ZeroDivisionError), checks:
        print(1 / 0)


def test_the_error_for_a_mistyped_name_suggests_the_nearest() -> None:
    """The names are those of a purpose, a gateway, and an option's value."""
    with OTP("memory://", Outbox(), {"signup": TEMPLATE, "login": TEMPLATE}, SECRET) as otp:
        with pytest.raises(ConfigurationError, match="'sigup'; did you mean signup\\?"):
            otp.issue("+8613800138000", "sigup")
        with pytest.raises(ConfigurationError, match="did you mean outbox\\?"):
            otp.receive(gateways.Push("https://me.example/", {}, b""), gateway="outbx")
    assert "did you mean next?" in wrong(gateways.Failover, [], on_uncertain="nxt")["on_uncertain"].problem


def test_the_nearest_name_is_a_hint() -> None:
    assert nearest("attemps", ["attempts", "ttl"]) == "; did you mean attempts?"
    assert nearest("colour", ["attempts", "ttl"]) == "."
