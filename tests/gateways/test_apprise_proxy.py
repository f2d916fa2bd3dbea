"""An egress proxy for Apprise: a gateway's notifications use its own proxy, and no other requests do."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from egress import PASSWORD, QUOTED, Proxy, basic
from provider_lab import CODE, NUMBER, PHONE, TEMPLATE, message
from requests.adapters import HTTPAdapter
from support.secrets import SECRET
from test_proxies import BAD, WELL
from wire_server import CERTIFICATE, WireServer, refusing_port, reply

from otpkit import AsyncOTP, ConfigurationError
from otpkit.gateways import Apprise, Receipt
from otpkit.transport.http import drive

# A plug-in of Apprise imports this, up to Python 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
CROWD = 8


@pytest.fixture(autouse=True)
def trust_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `requests` trust the tests' certificate, and ignore the computer's own proxies."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", CERTIFICATE)
    for name in (*VARIABLES, "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def set_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that sets a proxy in each variable of the environment."""

    def set_all(url: str) -> None:
        for name in VARIABLES:
            monkeypatch.setenv(name, url)

    return set_all


def url_of(server: WireServer) -> str:
    return f"{server.url.replace('http', 'json')}/{{phone}}"


def send(gateway: Apprise) -> str:
    return drive(gateway.send(message())).outcome


@pytest.mark.parametrize("tls", [False, True], ids=["http proxy", "https proxy"])
def test_notification_goes_through_its_proxy(tls: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The proxy receives only the host and its credentials, the server nothing of the proxy. Nothing is logged."""
    caplog.set_level(logging.DEBUG)
    with WireServer(reply(""), tls=True) as server, Proxy(tls=tls) as proxy:
        gateway = Apprise(url_of(server), proxy=proxy.url)
        assert proxy.heads == []
        assert drive(gateway.send(message())) == Receipt("apprise")
    (head,) = proxy.heads
    line, *headers = head.decode().split("\r\n")
    assert line.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.")
    assert f"Proxy-Authorization: Basic {basic()}" in headers
    for secret in (CODE, NUMBER):
        assert secret.encode() not in head + proxy.passed
    (request,) = server.requests
    assert CODE in request.json["message"]
    assert "proxy-authorization" not in request.headers
    assert caplog.records == []
    for secret in (PASSWORD, QUOTED, basic()):
        assert secret not in repr(gateway)


def test_proxy_that_is_away_is_never_gone_around() -> None:
    with WireServer(reply(""), tls=True) as server, refusing_port() as port:
        assert send(Apprise(url_of(server), proxy=f"127.0.0.1:{port}")) == "uncertain"
    assert server.requests == []


def test_environment_names_no_proxy(set_environment: Callable[[str], None]) -> None:
    with WireServer(reply(""), tls=True) as server, WireServer(reply("")) as plain, Proxy() as proxy:
        set_environment(proxy.url)
        assert send(Apprise(url_of(server))) == "accepted"
        assert send(Apprise(url_of(plain))) == "accepted"
    assert proxy.heads == []
    assert len(server.requests) == len(plain.requests) == 1


def test_environment_leads_past_no_proxy(
    set_environment: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with WireServer(reply(""), tls=True) as server, Proxy() as own, Proxy() as other:
        set_environment(other.url)
        assert send(Apprise(url_of(server), proxy=own.url)) == "accepted"
        monkeypatch.setenv("NO_PROXY", "*")
        assert send(Apprise(url_of(server), proxy=own.url)) == "accepted"
    assert (len(own.heads), len(other.heads)) == (2, 0)


def test_loopback_without_tls_goes_directly() -> None:
    with WireServer(reply("")) as server, Proxy() as proxy:
        assert send(Apprise(url_of(server), proxy=proxy.url)) == "accepted"
        assert send(Apprise(url_of(server).replace("127.0.0.1", "localhost"), proxy=proxy.url)) == "accepted"
    assert proxy.heads == []
    assert len(server.requests) == 2


def test_other_hosts_without_tls_go_through_it() -> None:
    """Apprise's `json://` is http. It must use the proxy, because the network may have no other route."""
    with WireServer(reply("")) as proxy:
        url = f"http://{QUOTED}@127.0.0.1:{proxy.port}"
        assert send(Apprise("json://sms.example/{phone}", proxy=url)) == "accepted"
    (request,) = proxy.requests
    assert request.line == f"POST http://sms.example/86{NUMBER} HTTP/1.1"
    assert request.headers["proxy-authorization"] == f"Basic {basic()}"


def test_redirect_goes_through_it_too(set_environment: Callable[[str], None]) -> None:
    with WireServer(reply("", 307, {"Location": "http://elsewhere.example/"}), reply("")) as proxy, Proxy() as other:
        set_environment(other.url)
        assert send(Apprise("json://sms.example/{phone}", proxy=f"127.0.0.1:{proxy.port}")) == "accepted"
    assert [request.line.split()[1] for request in proxy.requests] == [
        f"http://sms.example/86{NUMBER}",
        "http://elsewhere.example/",
    ]
    assert other.heads == []


def test_redirect_tells_no_password_of_another_proxy(set_environment: Callable[[str], None]) -> None:
    """`requests` would add the password of a proxy in the environment."""
    with WireServer(reply("", 307, {"Location": "/elsewhere"}), reply("")) as server:
        set_environment(f"http://{QUOTED}@127.0.0.1:9")
        assert send(Apprise(url_of(server))) == "accepted"
    assert [request.path for request in server.requests] == [f"/86{NUMBER}", "/elsewhere"]
    assert not any("proxy-authorization" in request.headers for request in server.requests)


def test_crowd_of_threads_keeps_to_its_proxies(set_environment: Callable[[str], None]) -> None:
    """Two gateways have a proxy each, and a third has none. Other code uses the environment's proxy."""
    found: list[object] = []
    start = threading.Barrier(4 * CROWD)
    with WireServer(reply(""), tls=True) as server, Proxy() as one, Proxy() as two, Proxy() as others:
        set_environment(others.url)
        first, second = (Apprise(url_of(server), proxy=proxy.url) for proxy in (one, two))
        calls: list[Callable[[], object]] = [
            lambda: send(first),
            lambda: send(second),
            lambda: send(Apprise(url_of(server))),
            lambda: requests.get(f"{server.url}/other", timeout=10).status_code,
        ]

        def run(call: Callable[[], object]) -> None:
            start.wait(10)
            found.append(call())

        crowd = [threading.Thread(target=run, args=(call,)) for call in calls * CROWD]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join(20)
    assert sorted(map(str, found)) == sorted([*["accepted"] * 3 * CROWD, *["200"] * CROWD])
    assert [len(proxy.heads) for proxy in (one, two, others)] == [CROWD] * 3
    assert len(server.requests) == 4 * CROWD


def test_requests_of_others_are_passed_on_as_they_are() -> None:
    """This holds between notifications too, and for every form of the arguments of `requests`."""
    with WireServer(reply(""), tls=True) as server, Proxy() as proxy:
        assert send(Apprise(url_of(server), proxy=proxy.url)) == "accepted"
        request = requests.Request("GET", server.url, {"Proxy-Authorization": "mine"}).prepare()
        adapter = HTTPAdapter()
        assert adapter.send(request, False, 5, CERTIFICATE, None, {"https": proxy.url}).status_code == 200
        assert adapter.send(request, timeout=5, verify=CERTIFICATE).status_code == 200
        adapter.close()
    assert len(proxy.heads) == 2
    assert server.requests[-1].headers["proxy-authorization"] == "mine"


def test_mock_that_is_taken_away_takes_no_proxy_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that mock `requests` restore the earlier function at the end."""
    with WireServer(reply(""), tls=True) as server, Proxy() as proxy:
        gateway = Apprise(url_of(server), proxy=proxy.url)
        plain = getattr(HTTPAdapter.send, "__wrapped__", HTTPAdapter.send)
        for _ in range(2):
            monkeypatch.setattr(HTTPAdapter, "send", plain)
            assert send(gateway) == "accepted"
            assert send(gateway) == "accepted"
    assert len(proxy.heads) == 4


def test_async_calls_go_through_it() -> None:
    async def issue(gateway: Apprise) -> str:
        async with AsyncOTP("memory://", gateway, TEMPLATE, SECRET) as otp:
            return (await otp.issue(PHONE)).delivery

    with WireServer(reply(""), tls=True) as server, Proxy() as proxy:
        assert asyncio.run(issue(Apprise(url_of(server), proxy=proxy.url))) == "accepted"
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("url", WELL)
def test_setting_takes_a_url(url: str) -> None:
    assert Apprise("json://x.example/{phone}", proxy=url)


@pytest.mark.parametrize("url", BAD, ids=ascii)
def test_setting_refuses_what_is_none_and_never_shows_it(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^proxy is not the URL of a proxy") as caught:
        Apprise("json://x.example/{phone}", proxy=url)
    assert "ss@proxy" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "rsyslog://127.0.0.1/?from={phone}",
        "mailto://user:password@example.com?to={phone}@sms.example",
        "ircs://user:password@irc.example/{phone}",
        pytest.param(f"nostr://{'1' * 64}?name={{phone}}", id="nostr, by HTTP and by sockets"),
    ],
)
def test_service_that_no_proxy_carries_is_refused(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its message would bypass the proxy."""
    caplog.set_level(logging.DEBUG)
    assert Apprise(url)
    with pytest.raises(ConfigurationError, match=r"needs more than HTTP\. Leave proxy out") as caught:
        Apprise(url, proxy=f"http://{QUOTED}@proxy.example")
    assert QUOTED not in str(caught.value)
    assert caplog.records == []


@pytest.mark.parametrize(
    "url",
    [
        "vonage://abcd1234:0123456789abcdef@15551234567/{phone}",
        f"twilio://AC{'0' * 32}:{'a' * 32}@15551234567/{{phone}}",
        f"sns://{'A' * 20}/{'b' * 40}/us-east-1/{{phone}}",
        f"clickatell://{'a' * 32}/{{phone}}",
    ],
)
def test_service_with_an_http_api_takes_a_proxy(url: str) -> None:
    assert Apprise(url, proxy="proxy.example:3128")
