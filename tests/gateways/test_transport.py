"""The transport sends one request, knows whether it was sent, and leaks nothing of it."""

from __future__ import annotations

import gzip
import logging
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.client import HTTPConnection

import pytest
import requests
from leaks import errors_of, reachable_text
from support.transports import ON_UVLOOP, AnyTransport
from wire_server import (
    Peer,
    Request,
    WireServer,
    answer,
    drip,
    drop,
    raw,
    read_request,
    refusing_port,
    reply,
    reset,
    silence,
)

from otpkit.effects import MAX_RESPONSE, Emit, Flow, HttpRequest, NoAnswer, NotConnected, TransportFailure, http
from otpkit.models import Event
from otpkit.transport.http import drive

KINDS = ON_UVLOOP  # The kinds of transports to test.

CODE, NUMBER, SECRET = "730452", "13800138000", "s3cr3t-of-the-app"
PARAMS = {"rec_num": NUMBER, "sms_param": f'{{"code":"{CODE}"}}'}
HEADERS = {"X-Ca-Key": "key", "X-Ca-Secret": SECRET}


def request_to(url: str, *, timeout: tuple[float, float] = (5, 5), **params: str) -> HttpRequest:
    return HttpRequest(
        method="GET", url=f"{url}/gw/alidayu/sendSms", params={**PARAMS, **params}, headers=HEADERS, timeout=timeout
    )


def fails(transport: AnyTransport, url: str, timeout: tuple[float, float] = (5, 5)) -> TransportFailure:
    with pytest.raises(TransportFailure) as caught:
        transport.exchange(request_to(url, timeout=timeout))
    assert_no_leak(caught.value)
    return caught.value


def assert_no_leak(error: BaseException) -> None:
    assert list(errors_of(error)) == [error]
    text = reachable_text(error)
    assert CODE not in text
    assert NUMBER not in text
    assert SECRET not in text
    assert "sendSms?" not in text


class TestTheRequest:
    def test_is_written_with_utf8_percent_encoding_and_the_given_headers(self, transport: AnyTransport) -> None:
        with WireServer(reply("ok")) as server:
            transport.exchange(request_to(server.url, sign="阿里 大鱼", biz="1^2", odd="a+b&c=d/é~"))
        (request,) = server.requests
        assert request.line == (
            "GET /gw/alidayu/sendSms?rec_num=13800138000&sms_param=%7B%22code%22%3A%22730452%22%7D"
            "&sign=%E9%98%BF%E9%87%8C%20%E5%A4%A7%E9%B1%BC&biz=1%5E2&odd=a%2Bb%26c%3Dd%2F%C3%A9~ HTTP/1.1"
        )
        assert request.headers == {
            "host": f"127.0.0.1:{server.port}",
            "user-agent": "otpkit",
            "accept-encoding": "identity",
            "x-ca-key": "key",
            "x-ca-secret": SECRET,
        }

    def test_gets_back_status_headers_in_lower_case_and_text(self, transport: AnyTransport) -> None:
        with WireServer(reply("成功", 403, {"X-Ca-Error-Code": "X"})) as server:
            response = transport.exchange(request_to(server.url))
        assert (response.status, response.text) == (403, "成功")
        assert response.headers["x-ca-error-code"] == "X"

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    def test_follows_no_redirect(self, transport: AnyTransport, status: int) -> None:
        with WireServer(reply("", status, {"Location": "/elsewhere"})) as server:
            assert transport.exchange(request_to(server.url)).status == status
        assert len(server.requests) == 1

    def test_keeps_no_cookie(self, transport: AnyTransport) -> None:
        with WireServer(reply("", headers={"Set-Cookie": "a=b"})) as server:
            for _ in range(2):
                transport.exchange(request_to(server.url))
        assert "cookie" not in server.requests[1].headers

    def test_takes_no_proxy_from_the_environment(
        self, transport: AnyTransport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with refusing_port() as port, WireServer(reply("ok")) as server:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
            assert transport.exchange(request_to(server.url)).text == "ok"

    def test_reuses_its_connection(self, transport: AnyTransport) -> None:
        with WireServer(reply("ok")) as server:
            for _ in range(3):
                transport.exchange(request_to(server.url))
        assert (len(server.requests), server.connections) == (3, 1)

    def test_goes_over_a_new_connection_when_the_kept_one_was_closed(self, transport: AnyTransport) -> None:
        with WireServer(raw(answer("1")), reply("2")) as server:
            assert transport.exchange(request_to(server.url)).text == "1"
            # The server closes the first answer's connection. Wait until the close has arrived.
            deadline = time.monotonic() + 5
            while server._threads[1].is_alive() and time.monotonic() < deadline:
                time.sleep(0.001)
            assert transport.exchange(request_to(server.url)).text == "2"

    def test_goes_over_verified_tls(self, trusting: AnyTransport) -> None:
        with WireServer(reply("ok"), tls=True) as server:
            assert trusting.exchange(request_to(server.url)).text == "ok"

    def test_may_be_answered_without_a_length(self, transport: AnyTransport) -> None:
        with WireServer(raw(b"HTTP/1.1 200 OK\r\n\r\nwhole")) as server:
            assert transport.exchange(request_to(server.url)).text == "whole"

    def test_may_be_answered_in_chunks_and_after_an_interim_answer(self, transport: AnyTransport) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n"
        with WireServer(raw(b"HTTP/1.1 100 Continue\r\n\r\n" + chunked)) as server:
            assert transport.exchange(request_to(server.url)).text == "whole"

    def test_gets_an_error_page_in_any_encoding(self, transport: AnyTransport) -> None:
        with WireServer(reply("拒绝".encode("gbk"), 403)) as server:
            assert transport.exchange(request_to(server.url)).status == 403


class TestNotConnected:
    def test_is_a_refused_connection(self, transport: AnyTransport) -> None:
        with refusing_port() as port:
            failure = fails(transport, f"http://127.0.0.1:{port}")
        assert isinstance(failure, NotConnected)
        assert "ConnectionRefusedError" in str(failure)

    def test_is_a_name_that_does_not_resolve(self, transport: AnyTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        def unresolved(*_: object, **__: object) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unresolved)
        failure = fails(transport, "http://gateway.invalid")
        assert isinstance(failure, NotConnected)
        assert "gaierror" in str(failure)

    @pytest.mark.skipif(sys.platform != "linux", reason="a full backlog refuses elsewhere")
    def test_is_a_host_that_does_not_answer_the_connection(self, transport: AnyTransport) -> None:
        with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for filler in (first, second):
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            failure = fails(transport, f"http://127.0.0.1:{listener.getsockname()[1]}", (0.2, 5))
        assert isinstance(failure, NotConnected)

    def test_is_a_certificate_that_nobody_vouches_for(self, transport: AnyTransport) -> None:
        with WireServer(reply("ok"), tls=True) as server:
            failure = fails(transport, server.url)
        assert isinstance(failure, NotConnected)
        assert "SSLCertVerificationError" in str(failure)
        assert server.requests == []

    def test_is_a_certificate_of_another_host(self, trusting: AnyTransport) -> None:
        with WireServer(reply("ok"), tls=True) as server:
            failure = fails(trusting, server.url.replace("127.0.0.1", "127.0.0.2"))
        assert isinstance(failure, NotConnected)

    def test_is_a_plain_server_where_tls_is_spoken(self, transport: AnyTransport) -> None:
        def serve(listener: socket.socket) -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve, args=(listener,))
            thread.start()
            failure = fails(transport, f"https://127.0.0.1:{listener.getsockname()[1]}")
            thread.join()
        assert isinstance(failure, NotConnected)
        assert "SSLError" in str(failure)

    def test_is_a_handshake_that_is_never_answered(self, transport: AnyTransport) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            failure = fails(transport, f"https://127.0.0.1:{listener.getsockname()[1]}", (0.2, 5))
        assert isinstance(failure, NotConnected)

    def test_is_a_request_that_cannot_be_written_at_all(self, transport: AnyTransport) -> None:
        with WireServer(reply("ok")) as server, pytest.raises(NotConnected) as caught:
            transport.exchange(
                HttpRequest(
                    method="GET", url=server.url, params=PARAMS, headers={"X-Ca-Secret": SECRET + "\n"}, timeout=(5, 5)
                )
            )
        assert server.requests == []
        assert_no_leak(caught.value)


HEAD = b"HTTP/1.1 200 OK\r\n"


def garble_tls(peer: Peer) -> None:
    """Send bytes that are not a TLS record, below the encryption."""
    with socket.socket(fileno=socket.dup(peer.sock.fileno())) as plain:
        plain.sendall(b"no TLS record, whatever it is")
    peer.wait_for_client()


class TestNoAnswer:
    @pytest.mark.parametrize(
        "act",
        [
            pytest.param(drop, id="dropped"),
            pytest.param(reset, id="reset"),
            pytest.param(raw(b"HT"), id="cut in the status line"),
            pytest.param(raw(HEAD + b"Content-Length: 9\r\n\r\nhalf"), id="cut in the body"),
            pytest.param(raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf"), id="cut in a chunk"),
            pytest.param(raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), id="no last chunk"),
            pytest.param(raw(b"220 mail.example ESMTP\r\n"), id="not HTTP"),
            pytest.param(reply(b"\xff\xfe"), id="not UTF-8"),
            pytest.param(reply(b"no gzip", headers={"Content-Encoding": "gzip"}), id="not the encoding it says"),
            pytest.param(reply(b"x" * (MAX_RESPONSE + 1)), id="too large"),
            pytest.param(
                reply(gzip.compress(b"x" * (MAX_RESPONSE + 1)), headers={"Content-Encoding": "gzip"}),
                id="too large once decoded",
            ),
            pytest.param(raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000), id="interim answers without end"),
        ],
    )
    def test_is_an_answer_that_is_not_whole(self, transport: AnyTransport, act: object) -> None:
        with WireServer(act) as server:  # type: ignore[arg-type]
            assert isinstance(fails(transport, server.url), NoAnswer)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "act",
        [
            pytest.param(silence, id="silent"),
            pytest.param(drip(b"HTTP/1.1 200 ", b"O"), id="drips the status line"),
            pytest.param(drip(HEAD, b"X-A: b\r\n"), id="drips headers"),
            pytest.param(drip(HEAD + b"Content-Length: 9999\r\n\r\n", b"x"), id="drips the body"),
            pytest.param(drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), id="drips chunks"),
        ],
    )
    @pytest.mark.parametrize("tls", [False, True])
    def test_is_an_answer_that_takes_too_long_however_it_comes(
        self, trusting: AnyTransport, act: object, tls: bool
    ) -> None:
        with WireServer(act, tls=tls) as server:  # type: ignore[arg-type]
            began = time.monotonic()
            assert isinstance(fails(trusting, server.url, (5, 0.3)), NoAnswer)
            assert 0.29 < time.monotonic() - began < 2
        assert len(server.requests) == 1

    @pytest.mark.parametrize("act", [drop, reset, garble_tls])
    def test_is_a_failure_of_tls_after_the_request(self, trusting: AnyTransport, act: object) -> None:
        with WireServer(act, tls=True) as server:  # type: ignore[arg-type]
            assert isinstance(fails(trusting, server.url), NoAnswer)
        assert len(server.requests) == 1

    def test_is_plain_http_at_a_tls_port(self, transport: AnyTransport) -> None:
        with WireServer(reply("ok"), tls=True) as server:
            assert isinstance(fails(transport, server.url.replace("https", "http")), NoAnswer)

    @pytest.mark.parametrize("act", [drop, reset])
    def test_is_a_kept_connection_dropped_with_the_request_read_and_sends_it_once(
        self, transport: AnyTransport, act: object
    ) -> None:
        with WireServer(reply("ok"), act, reply("never")) as server:  # type: ignore[arg-type]
            transport.exchange(request_to(server.url))
            assert isinstance(fails(transport, server.url), NoAnswer)
        assert (len(server.requests), server.connections) == (2, 1)

    @pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
    def test_is_an_answer_larger_than_the_request_allows(
        self, transport: AnyTransport, headers: dict[str, str]
    ) -> None:
        """On the wire and after decoding."""
        body = b"x" * 70_000
        act = reply(gzip.compress(body) if headers else body, headers=headers)
        with WireServer(act, act) as server:
            small = replace(request_to(server.url), max_response=65_536)
            with pytest.raises(NoAnswer):
                transport.exchange(small)
            assert len(transport.exchange(request_to(server.url)).text) == 70_000

    def test_leaves_the_transport_usable(self, transport: AnyTransport) -> None:
        with WireServer(reply(b"x" * (MAX_RESPONSE + 1)), reply("ok")) as server:
            fails(transport, server.url)
            assert transport.exchange(request_to(server.url)).text == "ok"


class TestLogging:
    @pytest.fixture(autouse=True)
    def everything_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)

    @pytest.mark.parametrize(
        "act",
        [
            pytest.param(reply("ok"), id="answered"),
            pytest.param(drop, id="dropped"),
            pytest.param(raw(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), id="malformed headers"),
            pytest.param(
                raw(HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), id="two lengths"
            ),
        ],
    )
    def test_shows_nothing_of_an_exchange(
        self, transport: AnyTransport, caplog: pytest.LogCaptureFixture, act: object
    ) -> None:
        with WireServer(reply("ok"), act) as server:  # type: ignore[arg-type]
            transport.exchange(request_to(server.url))
            with suppress(TransportFailure):
                transport.exchange(request_to(server.url))
        assert caplog.records == []

    def test_still_shows_the_requests_of_others(
        self, transport: AnyTransport, caplog: pytest.LogCaptureFixture
    ) -> None:
        with WireServer(reply("ok")) as server, requests.Session() as other:
            transport.exchange(request_to(server.url))
            other.get(f"{server.url}/theirs")
        assert any("/theirs" in record.getMessage() for record in caplog.records)
        assert CODE not in caplog.text

    def test_still_shows_what_others_do_while_an_exchange_is_under_way(
        self, transport: AnyTransport, caplog: pytest.LogCaptureFixture
    ) -> None:
        arrived, proceed = threading.Event(), threading.Event()

        def pause(peer: Peer) -> None:
            arrived.set()
            proceed.wait(10)
            peer.send(answer("ok"))

        with (
            WireServer(pause) as ours,
            WireServer(reply("ok")) as theirs,
            requests.Session() as other,
            ThreadPoolExecutor(1) as pool,
        ):
            exchange = pool.submit(transport.exchange, request_to(ours.url))
            assert arrived.wait(10)
            other.get(f"{theirs.url}/theirs")
            proceed.set()
            exchange.result(10)
        assert any("/theirs" in record.getMessage() for record in caplog.records)
        assert CODE not in caplog.text

    def test_http_clients_own_debugging_prints_nothing(
        self, transport: AnyTransport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(HTTPConnection, "debuglevel", 1)
        with WireServer(reply("ok")) as server:
            transport.exchange(request_to(server.url))
        assert capsys.readouterr() == ("", "")


class TestSharing:
    def test_threads_get_their_own_answers(self, transport: AnyTransport) -> None:
        def ask(index: int) -> bool:
            return all(
                transport.exchange(request_to(server.url, me=f"{index}-{turn}")).text == f"{index}-{turn}"
                for turn in range(5)
            )

        with EchoServer() as server, ThreadPoolExecutor(16) as pool:
            assert all(pool.map(ask, range(32)))
        assert len(server.requests) == 160

    @pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork here")
    def test_a_forked_child_uses_connections_of_its_own(self) -> None:
        script = """
import os, sys
from otpkit.effects import HttpRequest
from otpkit.transport.http import Transport
transport, request = Transport(), HttpRequest(method="GET", url=sys.argv[1], timeout=(5, 5))
assert transport.exchange(request).text == "ok"
if not os.fork():
    assert transport.exchange(request).text == "ok"
    os._exit(0)
assert os.wait()[1] == 0
assert transport.exchange(request).text == "ok"
"""
        with WireServer(reply("ok")) as server:
            subprocess.run([sys.executable, "-c", script, server.url], check=True, timeout=60)
        assert (len(server.requests), server.connections) == (3, 2)

    def test_closing_ends_the_idle_connections_and_another_exchange_makes_new_ones(
        self, transport: AnyTransport
    ) -> None:
        with WireServer(reply("ok")) as server:
            transport.exchange(request_to(server.url))
            transport.close()
            transport.close()
            transport.exchange(request_to(server.url))
            transport.close()
        assert server.connections == 2

    def test_requests_is_not_imported_before_the_first_exchange(self) -> None:
        script = (
            "import sys; from otpkit.transport.http import Transport; Transport(); assert 'requests' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


class EchoServer(WireServer):
    """A server that answers each request with its parameter `me`."""

    def __init__(self) -> None:
        super().__init__(reply())

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            while received := read_request(sock):
                request = Request(received)
                with self._lock:
                    self.requests.append(request)
                sock.sendall(answer(request.params["me"]))


class TestDrive:
    def test_performs_a_flow_and_returns_what_it_returns(self, transport: AnyTransport) -> None:
        def flow(url: str) -> Flow[str]:
            first = yield from http(request_to(url))
            second = yield from http(request_to(url))
            return first.text + second.text

        with WireServer(reply("a"), reply("b")) as server:
            assert drive(flow(server.url), transport) == "ab"

    def test_throws_a_failure_into_the_flow_without_a_context(self, transport: AnyTransport) -> None:
        def flow(url: str) -> Flow[None]:
            yield from http(request_to(url))

        with refusing_port() as port, pytest.raises(NotConnected) as caught:
            drive(flow(f"http://127.0.0.1:{port}"), transport)
        assert list(errors_of(caught.value)) == [caught.value]

    def test_refuses_any_other_effect(self, transport: AnyTransport) -> None:
        def flow() -> Flow[None]:
            yield Emit(Event(name="issued", operation="issue"))

        with pytest.raises(TypeError, match="Emit"):
            drive(flow(), transport)
