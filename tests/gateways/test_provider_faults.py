"""Under every fault of a provider's one request the outcome is correct, and no secret leaks."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from provider_lab import CODE, NOW, NUMBER, PHONE, SECRET, SEND_ID, message, refused
from support.transports import AnyTransport
from wire_server import Act, Peer, WireServer, answer, drip, drop, raw, refusing_port, reply, reset, silence

from otpkit.effects import HttpRequest
from otpkit.gateways import Gateway, Message, Receipt, Tencent, Twilio, Webhook
from otpkit.transport.http import drive

SID = f"AC{'0' * 32}"
Make = Callable[[str], Gateway]
TIMEOUT = (5, 0.5)  # seconds
GATEWAYS: dict[str, tuple[Make, Message]] = {
    "tencent": (
        lambda url: Tencent("the-id", SECRET, sdk_app_id="1400006666", base_url=url, timeout=TIMEOUT),
        message(),
    ),
    "twilio": (
        lambda url: Twilio(SID, SECRET, sender="+15551234567", base_url=url, timeout=TIMEOUT),
        message(),
    ),
    "twilio's calls": (
        lambda url: Twilio(SID, SECRET, voice_sender="+15551234567", base_url=url, timeout=TIMEOUT),
        message(channel="voice"),
    ),
    "webhook": (lambda url: Webhook(f"{url}/hook?key=k", SECRET, timeout=TIMEOUT), message()),
}
HEAD = b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n"
FAULTS = {
    "dropped": drop,
    "reset": reset,
    "slow": silence,
    "dripping": drip(HEAD + b"Content-Length: 9999\r\n\r\n", b" "),
    "half a body": raw(HEAD + b'Content-Length: 99\r\n\r\n{"sid":'),
    "half a header": raw(b"HTTP/1.1 "),
    "no HTTP": raw(b"hello\r\n\r\n"),
    "500": reply({"code": 20500, "Response": {"Error": {"Code": "InternalError"}}}, 500),
    "502": reply("<html>", 502),
    "503": reply("", 503),
    "302": reply("", 302, {"Location": "/elsewhere"}),
    "304": reply("", 304),
}
NONSENSE = {
    "empty": reply(""),
    "a page": reply("<html>"),
    "null": reply("null"),
    "a list": reply([1]),
    "an empty object": reply({}),
    "deep": reply("[" * 100_000),
    "not UTF-8": reply(b"\xff\xfe"),
    "other types": reply({"sid": 7, "status": [], "Response": {"SendStatusSet": [[]], "Error": 3}}),
    "no status": reply({"Response": {"SendStatusSet": []}}),
    "two statuses": reply({"Response": {"SendStatusSet": [{"Code": "Ok"}, {"Code": "Ok"}]}}),
}


@pytest.fixture(params=GATEWAYS)
def made(request: pytest.FixtureRequest) -> tuple[Make, Message]:
    return GATEWAYS[request.param]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_without_a_whole_answer_is_uncertain_and_is_made_once(
    made: tuple[Make, Message], transport: AnyTransport, fault: str
) -> None:
    make, what = made
    with WireServer(FAULTS[fault]) as server:
        gateway = make(server.url)
        assert drive(gateway.send(what), transport) == Receipt(gateway.name, "", "uncertain")
    assert len(server.requests) == 1


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("name", [name for name in GATEWAYS if name != "webhook"])
def test_a_200_that_says_nothing_is_uncertain(transport: AnyTransport, name: str, nonsense: str) -> None:
    make, what = GATEWAYS[name]
    with WireServer(NONSENSE[nonsense]) as server:
        gateway = make(server.url)
        assert drive(gateway.send(what), transport) == Receipt(gateway.name, "", "uncertain")
    assert len(server.requests) == 1


def test_where_no_connection_is_made_the_message_was_certainly_not_sent(
    made: tuple[Make, Message], transport: AnyTransport
) -> None:
    make, what = made
    with refusing_port() as port:
        gateway = make(f"http://127.0.0.1:{port}")
        error = refused(lambda: drive(gateway.send(what), transport), gateway.name)
    assert (error.category, error.gateway_code) == ("connection", "")


@pytest.mark.parametrize(
    ("status", "category"),
    [(400, "request"), (404, "request"), (408, "request"), (413, "request"), (499, "request"), (401, "account")],
)
def test_a_4xx_without_a_known_code_is_a_rejection(
    made: tuple[Make, Message], transport: AnyTransport, status: int, category: str
) -> None:
    make, what = made
    with WireServer(reply("<html>", status)) as server:
        gateway = make(server.url)
        error = refused(lambda: drive(gateway.send(what), transport), gateway.name)
    assert (error.category, error.gateway_code) == (category, "")
    assert str(status) in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize("act", [reply("", 429, {"Retry-After": "17"}), reply("", 429, {"Retry-After": "soon"})])
def test_a_429_is_the_accounts_quota_but_a_webhooks_limit(
    made: tuple[Make, Message], transport: AnyTransport, act: Act
) -> None:
    make, what = made
    with WireServer(act) as server:
        gateway = make(server.url)
        error = refused(lambda: drive(gateway.send(what), transport), gateway.name)
    assert error.category == ("rate_limit" if gateway.name == "webhook" else "quota")
    assert error.retry_after in {17, None}


@pytest.mark.parametrize("status", [200, 201, 400, 500])
def test_an_answer_that_repeats_the_message_gets_nowhere(
    made: tuple[Make, Message], transport: AnyTransport, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)

    def gossip(peer: Peer) -> None:
        said = f"{NUMBER} {CODE} {SECRET}"
        status_set = [{"Code": said, "SerialNo": said, "Message": said}]
        body = {"code": said, "message": said, "error_code": said, "status": "failed", "id": said}
        body |= {"Response": {"SendStatusSet": status_set, "Error": {"Code": said, "Message": said}}}
        peer.send(answer(body, status, {"X-Said": said, "Retry-After": said}))

    make, what = made
    with WireServer(gossip) as server:
        gateway = make(server.url)
        if status == 400:
            assert refused(lambda: drive(gateway.send(what), transport), gateway.name).gateway_code == ""
        else:
            assert CODE not in repr(drive(gateway.send(what), transport))
    assert caplog.records == []


def test_nothing_that_is_on_its_way_shows_in_a_repr(made: tuple[Make, Message]) -> None:
    make, what = made
    gateway = make("https://gateway.example")
    request = next(gateway.send(what))
    assert isinstance(request, HttpRequest)
    for shown in (repr(gateway), repr(what), repr(request)):
        for secret in (CODE, NUMBER, SECRET, "key=k"):
            assert secret not in shown


@pytest.mark.parametrize("name", ["tencent", "twilio"])
@pytest.mark.parametrize("act", [drop, reply("", 500), reply("<html>"), reply({}), reply("", 302)])
def test_a_trace_without_an_answer_knows_nothing(transport: AnyTransport, name: str, act: Act) -> None:
    with WireServer(act) as server:
        flow = GATEWAYS[name][0](server.url).trace(PHONE, SEND_ID, NOW, f"SM{'1' * 32}")
        assert drive(flow, transport).state == "unknown"
    assert len(server.requests) == 1
