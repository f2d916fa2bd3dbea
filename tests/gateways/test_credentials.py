"""Credentials from a function: each gateway with temporary keys calls it for each request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from leaks import reachable_text
from provider_lab import PHONE, SECRET, SEND_ID, message, refused
from support.secrets import SECRET as OTP_SECRET
from support.transports import AnyTransport
from wire_server import Act, WireServer, reply

from otpkit import OTP, AsyncOTP, ConfigurationError, GatewayRejectedError, Template
from otpkit.effects import Call
from otpkit.gateways import Aliyun, AliyunVoice, Credentials, Tencent
from otpkit.gateways.tencent.signing import authorization
from otpkit.transport.http import drive

TEMPLATE = Template("585014", "阿里大鱼")
GATEWAYS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "aliyun": (Aliyun, {}, "x-acs-security-token"),
    "aliyun-voice": (AliyunVoice, {}, "x-acs-security-token"),
    "tencent": (Tencent, {"sdk_app_id": "1400006666"}, "x-tc-token"),
}
NOON = datetime(2026, 1, 1, 4, tzinfo=UTC)  # In Shanghai. Near midnight there, two days are queried.
OF_TENCENT = {"SerialNo": "1:2", "Code": "Ok"}


@pytest.fixture(params=GATEWAYS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def accepted() -> Act:
    return reply({"Code": "OK", "BizId": "1^2", "CallId": "3^4", "Response": {"SendStatusSet": [OF_TENCENT]}})


def gateway_of(name: str, server: WireServer | str, **options: Any) -> Any:
    kind, more, _ = GATEWAYS[name]
    url = server if isinstance(server, str) else server.url
    return kind(base_url=url, **more, **options)


def test_come_fresh_for_each_request(name: str, transport: AnyTransport) -> None:
    given = iter(
        [Credentials("id-1", SECRET, "first"), Credentials("id-2", SECRET), Credentials("id-3", SECRET, "3rd")]
    )
    header = GATEWAYS[name][2]
    with WireServer(accepted()) as server:
        gateway = gateway_of(name, server, credentials=lambda: next(given))
        for _ in range(2):
            assert drive(gateway.send(message()), transport).outcome == "accepted"
        drive(gateway.trace(PHONE, SEND_ID, NOON, "1:2"), transport)
    found = [(request.headers["authorization"], request.headers.get(header)) for request in server.requests]
    assert [token for _, token in found] == ["first", None, "3rd"][: len(found)]
    assert all(f"Credential=id-{number}" in said for number, (said, _) in enumerate(found, 1))
    assert len(found) >= 3 or name != "tencent"
    assert SECRET.encode() not in b"".join(request.raw for request in server.requests)


def test_of_tencent_sign_what_is_sent(transport: AnyTransport) -> None:
    with WireServer(accepted()) as server:
        gateway = gateway_of("tencent", server, credentials=lambda: Credentials("the-id", SECRET, "token"))
        drive(gateway.send(message()), transport)
    (request,) = server.requests
    moment = int(request.headers["x-tc-timestamp"])
    assert request.headers["authorization"] == authorization(
        "the-id", SECRET, service="sms", host=f"127.0.0.1:{server.port}", body=request.body, timestamp=moment
    )


def test_are_asked_of_the_shell(name: str) -> None:
    gateway = gateway_of(name, "https://x.example", credentials=lambda: Credentials("id", SECRET))
    assert isinstance(next(gateway.send(message())), Call)


@pytest.mark.parametrize("given", [RuntimeError(f"no STS with {SECRET}"), None, ("id", SECRET), {}, ""], ids=repr)
def test_that_fail_or_are_none_mean_that_nothing_was_sent(name: str, transport: AnyTransport, given: Any) -> None:
    def give() -> Any:
        if isinstance(given, Exception):
            raise given
        return given

    with WireServer(accepted()) as server:
        gateway = gateway_of(name, server, credentials=give)
        error = refused(lambda: drive(gateway.send(message()), transport), name)
    assert error.category == "account"
    assert server.requests == []


async def test_are_awaited_by_the_async_shell_alone(name: str) -> None:
    async def give() -> Credentials:
        return Credentials("id", SECRET, "awaited")

    async def fail() -> Credentials:
        raise RuntimeError(f"no STS with {SECRET}")

    with WireServer(accepted()) as server:
        gateway = gateway_of(name, server, credentials=give)
        async with AsyncOTP("memory://", gateway, TEMPLATE, OTP_SECRET) as otp:
            assert (await otp.issue(PHONE)).delivery == "accepted"
        with OTP("memory://", gateway, TEMPLATE, OTP_SECRET) as plain:
            assert refused(lambda: plain.issue(PHONE), name).category == "account"
        async with AsyncOTP("memory://", gateway_of(name, server, credentials=fail), TEMPLATE, OTP_SECRET) as otp:
            with pytest.raises(GatewayRejectedError) as caught:
                await otp.issue(PHONE)
    assert SECRET not in reachable_text(caught.value)
    assert [request.headers[GATEWAYS[name][2]] for request in server.requests] == ["awaited"]


@pytest.mark.parametrize(
    "options",
    [{}, {"credentials": Credentials("id", SECRET)}, {"credentials": lambda: Credentials("id", SECRET), "key": "id"}],
    ids=["none", "no function", "both"],
)
def test_that_can_not_be_right_are_refused_at_once(name: str, options: dict[str, Any]) -> None:
    """The cases are no credentials, a value that is not a function, and a function with a key."""
    fields = {"tencent": "secret_id"}.get(name, "access_key_id")
    given = {fields if each == "key" else each: value for each, value in options.items()}
    with pytest.raises(ConfigurationError, match=rf"{fields}|credentials") as caught:
        gateway_of(name, "https://x.example", **given)
    assert SECRET not in str(caught.value)
