"""Under every fault two gateways send one message in total, or one each if `on_uncertain="next"`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from leaks import errors_of, reachable_text
from support.transports import TRANSPORTS, choose
from wire_server import Act, WireServer, drop, raw, refusing_port, reply, reset, silence

from otpkit import OTP, AsyncOTP, GatewayRejectedError, RateLimitError, Template
from otpkit.gateways import Alidayu, Failover
from otpkit.gateways.base import Message

PHONE, NUMBER = "+8613800138000", "13800138000"
SECRET = "a secret of these tests, longer than 32 bytes"
TEMPLATE = Template("SMS_585014", sign_name="otpkit")
ACCEPTED = reply({"success": True, "code": "0", "model": "1^2"})

UNCERTAIN: dict[str, Act] = {
    "reset after the request": reset,
    "closed after the request": drop,
    "HTTP 500": reply("", 500),
    "HTTP 502": reply("<html>", 502),
    "a redirect": reply("", 302, {"Location": "/elsewhere"}),
    "too slow": silence,
    "half a body": raw(b'HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{"success"'),
    "nonsense": reply("It works!"),
    "success false, code 0": reply({"success": False, "code": "0"}),
    "an undocumented code": reply({"success": False, "code": "12345"}),
}
MENDABLE: dict[str, Act] = {
    "suspended": reply({"success": False, "code": "50001"}),
    "a bad signature": reply({"success": False, "code": "70002"}),
    "a bad key": reply("", 401),
    "throttled": reply({"errorCode": "Throttled", "errorMessage": "Throttled by USER Flow Control"}, 403),
    "a bad parameter": reply({"success": False, "code": "99998"}),
    "an unknown 4xx": reply({"errorCode": "Unheard.Of"}, 418),
}
FINAL: dict[str, Act] = {
    "a bad number": reply({"success": False, "code": "50009"}),
}


def gateway(url: str) -> Alidayu:
    return Alidayu("key", "gateway-secret", base_url=url, timeout=(1, 0.3))


def messages(server: WireServer) -> int:
    return sum(request.path == "/sendSms" for request in server.requests)


@pytest.fixture(params=["sync", *(f"async {kind}" for kind in TRANSPORTS)])
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    shell, _, kind = request.param.partition(" ")
    if kind:
        choose(kind, monkeypatch)
    return str(shell)


@pytest.fixture
def second() -> Iterator[WireServer]:
    with WireServer(ACCEPTED) as server:
        yield server


def issue(shell: str, failover: Failover) -> Any:
    """Return the challenge or the error."""
    try:
        if shell == "async":
            return asyncio.run(_issue(failover))
        with OTP("memory://", failover, TEMPLATE, SECRET) as otp:
            return otp.issue(PHONE)
    except (GatewayRejectedError, RateLimitError) as error:
        return error


async def _issue(failover: Failover) -> Any:
    async with AsyncOTP("memory://", failover, TEMPLATE, SECRET) as otp:
        return await otp.issue(PHONE)


@pytest.mark.parametrize(("on_uncertain", "sent"), [("stop", (1, 0)), ("next", (1, 1))])
@pytest.mark.parametrize("fault", UNCERTAIN)
def test_an_uncertain_send_is_one_message_or_one_each(
    shell: str, second: WireServer, fault: str, on_uncertain: Literal["stop", "next"], sent: tuple[int, int]
) -> None:
    """The first gateway gets one query for the record, and no second send."""
    with WireServer(UNCERTAIN[fault]) as first:
        both = Failover([gateway(first.url), gateway(second.url)], on_uncertain=on_uncertain)
        challenge = issue(shell, both)
        assert (messages(first), messages(second)) == sent
    assert (challenge.delivery, challenge.gateway) == (
        ("uncertain", "alidayu") if on_uncertain == "stop" else ("accepted", "alidayu-2")
    )


@pytest.mark.parametrize("fault", MENDABLE)
def test_what_another_gateway_can_mend_is_sent_once_by_it(shell: str, second: WireServer, fault: str) -> None:
    """The first gateway got the request, and certainly did not send."""
    with WireServer(MENDABLE[fault]) as first:
        challenge = issue(shell, Failover([gateway(first.url), gateway(second.url)]))
        assert (messages(first), messages(second)) == (1, 1)
    assert (challenge.delivery, challenge.gateway) == ("accepted", "alidayu-2")


def test_a_gateway_that_is_not_there_costs_no_message(shell: str, second: WireServer) -> None:
    """No request was written, so the next gateway sends."""
    with refusing_port() as port:
        challenge = issue(shell, Failover([gateway(f"http://127.0.0.1:{port}"), gateway(second.url)]))
    assert (challenge.gateway, messages(second)) == ("alidayu-2", 1)


@pytest.mark.parametrize("fault", FINAL)
def test_what_no_other_gateway_can_mend_is_sent_by_none(shell: str, second: WireServer, fault: str) -> None:
    """The error contains neither the code nor the number nor a secret."""
    with WireServer(FINAL[fault]) as first:
        error = issue(shell, Failover([gateway(first.url), gateway(second.url)]))
        assert (messages(first), messages(second)) == (1, 0)
        code = first.requests[0].params["sms_param"].split('"')[3]
    frames, said = reachable_text(error), "".join(f"{each!s} {vars(each)}" for each in errors_of(error))
    # The phone is the caller's own argument, so the caller's frames contain it.
    assert not [text for text in (code, "gateway-secret", SECRET) if text in frames]
    assert NUMBER not in said


def test_the_same_code_goes_by_both(shell: str, second: WireServer) -> None:
    """The code is correct, whichever message arrives first."""
    codes: list[str] = []

    def lost(message: Message) -> None:
        codes.append(message.code)
        raise TimeoutError

    if shell == "async":
        asyncio.run(_issue(Failover([lost, gateway(second.url)], on_uncertain="next")))
    else:
        issue(shell, Failover([lost, gateway(second.url)], on_uncertain="next"))
    assert f'{{"code":"{codes[0]}"}}' == second.requests[0].params["sms_param"]
