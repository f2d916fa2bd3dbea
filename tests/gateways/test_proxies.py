"""An egress proxy: https uses CONNECT, the proxy learns only the host, and its password is never shown."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from egress import PASSWORD, QUOTED, Proxy, basic
from leaks import errors_of, reachable_text
from provider_lab import CODE, NUMBER, PHONE, SECRET, SEND_ID, TEMPLATE, message, refused
from support.secrets import SECRET as OTP_SECRET
from support.transports import ON_UVLOOP, AnyTransport, give
from wire_server import WireServer, drip, drop, refusing_port, reply, silence

from otpkit import OTP, AsyncOTP, ConfigurationError
from otpkit.effects import HttpRequest, NoAnswer, NotConnected, TransportFailure
from otpkit.environment import arguments_from, gateway_class, tables, variable_of
from otpkit.gateways import Alidayu, Aliyun, AliyunVoice, Gateway, Tencent, Twilio, Webhook
from otpkit.settings.sources import read_file
from otpkit.transport.http import drive

KINDS = ON_UVLOOP  # The kinds of transports to test.

ACCEPTED = {
    "Code": "OK",
    "BizId": "1^2",
    "CallId": "3^4",
    "id": "5",
    "success": True,
    "code": "0",
    "model": "1^2",
    "sid": f"SM{'1' * 32}",
    "status": "queued",
    "Response": {"SendStatusSet": [{"SerialNo": "1:2", "Code": "Ok"}]},
}
KEYS = ("AC0", SECRET)
BUILDERS: dict[str, Callable[..., Gateway]] = {
    "alidayu": lambda url, **more: Alidayu(*KEYS, base_url=url, timeout=5, **more),
    "aliyun": lambda url, **more: Aliyun(*KEYS, base_url=url, timeout=5, **more),
    "aliyun-voice": lambda url, **more: AliyunVoice(*KEYS, base_url=url, timeout=5, **more),
    "tencent": lambda url, **more: Tencent(*KEYS, sdk_app_id="1", base_url=url, timeout=5, **more),
    "twilio": lambda url, **more: Twilio(*KEYS, sender="+15551234567", base_url=url, timeout=5, **more),
    "webhook": lambda url, **more: Webhook(url, SECRET, timeout=5, **more),
}


def request_to(url: str, proxy: str, timeout: tuple[float, float] = (5, 5)) -> HttpRequest:
    return HttpRequest(
        method="GET", url=url, params={"code": CODE}, headers={"X-Secret": SECRET}, timeout=timeout, proxy=proxy
    )


def fails(transport: AnyTransport, request: HttpRequest) -> TransportFailure:
    with pytest.raises(TransportFailure) as caught:
        transport.exchange(request)
    assert list(errors_of(caught.value)) == [caught.value]
    text = reachable_text(caught.value)
    for secret in (CODE, SECRET, PASSWORD, QUOTED, basic()):
        assert secret not in text
    return caught.value


@pytest.mark.parametrize("name", BUILDERS)
def test_every_gateway_goes_through_its_proxy(name: str, trusting: AnyTransport) -> None:
    """The proxy receives only the host and its credentials. The gateway's server learns nothing of the proxy."""
    with WireServer(reply(ACCEPTED, 201 if name == "twilio" else 200), tls=True) as server, Proxy() as proxy:
        gateway = BUILDERS[name](server.url, proxy=proxy.url)
        assert drive(gateway.send(message()), trusting).outcome == "accepted"
        drive(gateway.trace(PHONE, SEND_ID, message().sent_at, ACCEPTED["sid"]), trusting)  # type: ignore[arg-type]
    (head,) = proxy.heads
    line, *headers = head.decode().split("\r\n")
    assert line.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.")
    assert f"Proxy-Authorization: Basic {basic()}" in headers
    for secret in (CODE, NUMBER, SECRET):
        assert secret.encode() not in head + proxy.passed
    assert server.requests
    assert not any("proxy-authorization" in request.headers for request in server.requests)
    for secret in (PASSWORD, QUOTED, basic()):
        assert secret not in repr(gateway)


@pytest.mark.parametrize("shell", ["sync", "async"])
def test_both_shells_go_through_it(shell: str, trusting: AnyTransport) -> None:
    async def issue(gateway: Gateway) -> str:
        async with AsyncOTP("memory://", gateway, TEMPLATE, OTP_SECRET) as otp:
            give(otp, trusting)
            return (await otp.issue(PHONE)).delivery

    with WireServer(reply({"id": "1"}), tls=True) as server, Proxy() as proxy:
        gateway = Webhook(server.url, SECRET, proxy=proxy.url)
        if shell == "async":
            assert asyncio.run(issue(gateway)) == "accepted"
        else:
            otp = OTP("memory://", gateway, TEMPLATE, OTP_SECRET)
            otp._transport = trusting  # type: ignore[assignment]
            assert otp.issue(PHONE).delivery == "accepted"
    assert len(proxy.heads) == 1


def test_way_is_kept_and_of_each_proxy_its_own(trusting: AnyTransport) -> None:
    with WireServer(reply("ok"), tls=True) as server, Proxy() as first, Proxy() as second:
        for proxy in (first, first, second, first):
            assert trusting.exchange(request_to(server.url, proxy.url)).text == "ok"
        assert trusting.exchange(request_to(server.url, f"http://other:x@127.0.0.1:{first.port}")).text == "ok"
    assert (len(first.heads), len(second.heads)) == (2, 1)


def test_proxy_without_a_user_is_told_none(trusting: AnyTransport) -> None:
    with WireServer(reply("ok"), tls=True) as server, Proxy() as proxy:
        trusting.exchange(request_to(server.url, f"http://127.0.0.1:{proxy.port}"))
    assert b"authorization" not in proxy.heads[0].lower()


def test_proxy_may_be_spoken_to_by_tls(transport: AnyTransport, trusting: AnyTransport) -> None:
    """The certificate is verified. A failure before the tunnel is open is a rejection; a later one is uncertain."""
    with WireServer(reply("ok"), drop, tls=True) as server, Proxy(tls=True) as proxy:
        assert isinstance(fails(transport, request_to(server.url, proxy.url)), NotConnected)
        assert proxy.heads == []
        assert trusting.exchange(request_to(server.url, proxy.url)).text == "ok"
        assert isinstance(fails(trusting, request_to(server.url, proxy.url)), NoAnswer)
    assert f"Proxy-Authorization: Basic {basic()}".encode() in proxy.heads[0]
    with WireServer(reply("ok"), tls=True) as server, Proxy(b"HTTP/1.1 407 X\r\n\r\n", tls=True) as proxy:
        assert isinstance(fails(trusting, request_to(server.url, proxy.url)), NotConnected)


def test_loopback_without_tls_goes_directly(trusting: AnyTransport) -> None:
    """No secret is sent to a proxy unencrypted, and no proxy can reach this host's loopback."""
    with WireServer(reply("ok")) as server, Proxy() as proxy:
        assert trusting.exchange(request_to(server.url, proxy.url)).text == "ok"
    assert proxy.heads == []


def test_environment_names_no_proxy(trusting: AnyTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    with WireServer(reply("ok"), tls=True) as server, Proxy() as proxy:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        gateway = Webhook(server.url, SECRET)
        assert drive(gateway.send(message()), trusting).outcome == "accepted"
    assert proxy.heads == []


def close(_: socket.socket) -> None:
    """Close without an answer."""


def hang(client: socket.socket) -> None:
    with suppress(OSError):
        client.recv(1)


def drip_head(client: socket.socket) -> None:
    with suppress(OSError):
        while True:
            client.sendall(b"H")
            time.sleep(0.05)


def drip_headers(client: socket.socket) -> None:
    with suppress(OSError):
        client.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            client.sendall(b"X-A: b\r\n")
            time.sleep(0.05)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", id="wants a password"),
        pytest.param(b"HTTP/1.1 403 Forbidden\r\n\r\n", id="forbids the host"),
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\n\r\n", id="can't reach the host"),
        pytest.param(b"220 mail.example ESMTP\r\n", id="is no proxy"),
        pytest.param(close, id="goes away"),
        pytest.param(hang, id="never answers"),
        pytest.param(drip_head, id="drips its answer"),
        pytest.param(drip_headers, id="drips headers"),
    ],
)
def test_proxy_that_opens_no_way_means_that_nothing_was_sent(trusting: AnyTransport, answer: Any) -> None:
    """Every kind of failure ends within the connect timeout."""
    with WireServer(reply("ok"), tls=True) as server, Proxy(answer) as proxy:
        began = time.monotonic()
        failure = fails(trusting, request_to(server.url, proxy.url, (0.5, 5)))
        assert time.monotonic() - began < 3
        assert isinstance(failure, NotConnected)
        gateway = Webhook(server.url, SECRET, proxy=proxy.url, timeout=(0.5, 5))
        assert refused(lambda: drive(gateway.send(message()), trusting), "webhook").category == "connection"
        assert server.requests == []


def test_proxy_that_is_not_there_means_that_nothing_was_sent(trusting: AnyTransport) -> None:
    with refusing_port() as port:
        assert isinstance(fails(trusting, request_to("https://x.example", f"http://127.0.0.1:{port}")), NotConnected)


def test_certificate_behind_a_proxy_is_verified(transport: AnyTransport, trusting: AnyTransport) -> None:
    with WireServer(reply("ok"), tls=True) as server, Proxy() as proxy:
        failure = fails(transport, request_to(server.url, proxy.url))
        assert "SSL" in str(failure)
        other = server.url.replace("127.0.0.1", "127.0.0.2")
        assert isinstance(fails(trusting, request_to(other, proxy.url)), NotConnected)
        assert server.requests == []


@pytest.mark.parametrize("act", [drop, silence, drip(b"", b"H")], ids=["dropped", "silent", "drips"])
def test_request_that_went_through_and_got_no_answer_is_uncertain(trusting: AnyTransport, act: Any) -> None:
    with WireServer(act, tls=True) as server, Proxy() as proxy:
        assert isinstance(fails(trusting, request_to(server.url, proxy.url, (5, 0.3))), NoAnswer)
        assert len(server.requests) == 1


def test_nothing_of_it_is_logged(trusting: AnyTransport, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with WireServer(reply("ok"), tls=True) as server, Proxy() as proxy:
        trusting.exchange(request_to(server.url, proxy.url))
    assert caplog.records == []


def test_crowd_of_threads_shares_it(trusting: AnyTransport) -> None:
    """Each exchange knows whether its own request was written, from the first one on."""
    found: list[str] = []
    with WireServer(reply("ok"), tls=True) as server, Proxy() as proxy:
        crowd = [
            threading.Thread(target=lambda: found.append(trusting.exchange(request_to(server.url, proxy.url)).text))
            for _ in range(16)
        ]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(10)
    assert found == ["ok"] * 16


WELL = ["http://proxy.example:3128", "https://proxy.example", f"http://{QUOTED}@10.0.0.1:80/", "http://[::1]:3128"]
BAD = [
    *("", " ", "http://", "socks5://proxy.example", "http://a b@proxy.example", "http://proxy.example/path?q"),
    *("http://proxy.example:0", "http://proxy.example:99999", "http://u:p@ss@proxy.example", "http://x.example\n"),
    *("http://us%0aer\n@x.example", 7, b"http://x.example", True),
]


@pytest.mark.parametrize("name", BUILDERS)
class TestSettings:
    @pytest.mark.parametrize("url", WELL)
    def test_take_a_url(self, name: str, url: str) -> None:
        assert BUILDERS[name]("https://x.example", proxy=url)

    @pytest.mark.parametrize("url", BAD, ids=ascii)
    def test_refuse_what_is_none_and_never_show_it(self, name: str, url: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"^proxy is not the URL of a proxy") as caught:
            BUILDERS[name]("https://x.example", proxy=url)
        assert "ss@proxy" not in str(caught.value)

    def test_read_it_from_the_environment_and_the_file(self, name: str, tmp_path: Any) -> None:
        prefix = f"OTPKIT_{name.upper().replace('-', '_')}_"
        file = tmp_path / "otpkit.toml"
        file.write_text(f'[{name}]\nproxy = "{WELL[0]}"')
        source = read_file(str(file))
        given = {variable: each.text for variable, each in source.known.items()}
        assert (given, source.problems) == ({f"{prefix}PROXY": WELL[0]}, [])
        needed = {each.name for each in tables()[name].values() if each.required}
        needed |= {group[0] for group in gateway_class(name).needs}
        required = {variable_of(name, each): OTP_SECRET for each in needed}
        environ = {"OTPKIT_GATEWAY": name, **required, **given}
        if name == "webhook":
            environ["OTPKIT_WEBHOOK_URL"] = "https://x.example"
        gateway = arguments_from(environ, {"redis": "", "secret": "", "template": ""})["gateway"]
        flow = gateway.send(message())
        request = next(flow)
        assert isinstance(request, HttpRequest)
        assert request.proxy == WELL[0]
        assert WELL[0] not in repr(request)


def test_proxy_without_a_scheme_is_spoken_to_by_http(trusting: AnyTransport) -> None:
    """Other tools treat such a proxy in the same way."""
    with WireServer(reply("ok"), tls=True) as server, Proxy() as proxy:
        gateway = Webhook(server.url, SECRET, proxy=proxy.url.removeprefix("http://"))
        assert drive(gateway.send(message()), trusting).outcome == "accepted"
    assert len(proxy.heads) == 1
