"""The webhook: the posted body, the outcome of each status, and the receiver's check of the signature."""

from __future__ import annotations

import json
from typing import Any

import pytest
from provider_lab import BARE, CODE, NOW, PHONE, SECRET, SEND_ID, TEMPLATE, message, refused
from support.secrets import OTHER_SECRET
from support.secrets import SECRET as OTP_SECRET
from support.transports import AnyTransport
from wire_server import Request, WireServer, reply

from otpkit import OTP
from otpkit.errors import ConfigurationError, ExpiredTokenError, GatewayRejectedError, InvalidTokenError
from otpkit.gateways import Failover, Receipt, Webhook, verify_webhook
from otpkit.testing import Outbox
from otpkit.transport.http import drive

TIME = NOW.timestamp()


def received(transport: AnyTransport, path: str = "/hook", **of_message: Any) -> Request:
    with WireServer(reply("", 204)) as server:
        drive(Webhook(server.url + path, SECRET).send(message(**of_message)), transport)
    (request,) = server.requests
    return request


class TestSending:
    def test_posts_the_message_whole(self, transport: AnyTransport) -> None:
        request = received(transport)
        assert request.line == "POST /hook HTTP/1.1"
        assert request.headers["content-type"] == "application/json"
        assert request.json == {
            "send_id": SEND_ID,
            "phone": PHONE,
            "code": CODE,
            "channel": "sms",
            "template": "585014",
            "sign_name": "阿里大鱼",
            "params": {"code": CODE, "product": '大鱼 "x" <&>+~*%😀'},
            "text": f'验证码{CODE}，您正在进行大鱼 "x" <&>+~*%😀身份验证',
        }
        assert SECRET.encode() not in request.raw

    def test_leaves_out_a_text_that_there_is_not_and_names_the_channel(self, transport: AnyTransport) -> None:
        posted = received(transport, template=BARE, channel="voice").json
        assert "text" not in posted
        assert posted["channel"] == "voice"

    def test_keeps_the_urls_query(self, transport: AnyTransport) -> None:
        request = received(transport, "/hook?key=a%20b%2Bc&empty=")
        assert (request.path, request.params) == ("/hook", {"key": "a b+c", "empty": ""})

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_is_accepted_with_any_2xx(self, transport: AnyTransport, status: int) -> None:
        with WireServer(reply("" if status == 204 else {"id": "msg-1"}, status)) as server:
            receipt = drive(Webhook(server.url, SECRET).send(message()), transport)
        assert receipt == Receipt("webhook", "" if status == 204 else "msg-1")

    @pytest.mark.parametrize("body", ["", "ok", "[]", '{"id": null}', '{"id": "a b"}', '{"id": 7}', "\ud7ff"])
    def test_needs_no_id(self, transport: AnyTransport, body: str) -> None:
        with WireServer(reply(body)) as server:
            assert drive(Webhook(server.url, SECRET).send(message()), transport) == Receipt("webhook")

    @pytest.mark.parametrize(
        ("status", "category"), [(400, "request"), (404, "request"), (401, "account"), (403, "account")]
    )
    def test_is_refused_with_a_4xx(self, transport: AnyTransport, status: int, category: str) -> None:
        with WireServer(reply({"id": "x"}, status)) as server:
            error = refused(lambda: drive(Webhook(server.url, SECRET).send(message()), transport), "webhook")
        assert error.category == category
        assert len(server.requests) == 1

    def test_is_refused_with_a_429_for_as_long_as_it_says(self, transport: AnyTransport) -> None:
        with WireServer(reply("", 429, {"Retry-After": "90"})) as server:
            error = refused(lambda: drive(Webhook(server.url, SECRET).send(message()), transport), "webhook")
        assert (error.category, error.retry_after) == ("rate_limit", 90)

    @pytest.mark.parametrize("category", ["number", "quota", "rate_limit", "account", "configuration", "request"])
    @pytest.mark.parametrize("status", [400, 401, 422, 429])
    def test_is_refused_for_the_reason_that_a_4xx_names(
        self, transport: AnyTransport, category: str, status: int
    ) -> None:
        """The status does not matter. `retry_after` is set if the answer has it."""
        said = {"category": category, "code": "E.1", "message": f"{PHONE} {CODE}"}
        with WireServer(reply(said, status, {"Retry-After": "90"})) as server:
            error = refused(lambda: drive(Webhook(server.url, SECRET).send(message()), transport), "webhook")
        assert (error.category, error.gateway_code) == (category, "E.1")
        assert error.retry_after == (90 if category in {"rate_limit", "quota"} else None)

    @pytest.mark.parametrize(
        "said", ["connection", "NUMBER", "", "x" * 99, None, 7, ["number"], {"number": 1}], ids=str
    )
    def test_is_refused_as_by_the_status_where_no_category_is_named(
        self, transport: AnyTransport, said: object
    ) -> None:
        """`connection` would mean that the request did not reach the server, but the server answered."""
        with WireServer(reply({"category": said, "code": f"{PHONE}"}, 422), reply({"category": said}, 429)) as server:
            for category in ("request", "rate_limit"):
                error = refused(lambda: drive(Webhook(server.url, SECRET).send(message()), transport), "webhook")
                assert (error.category, error.gateway_code) == (category, "")

    @pytest.mark.parametrize("status", [300, 500, 503])
    def test_is_uncertain_with_any_other_status_whatever_it_names(self, transport: AnyTransport, status: int) -> None:
        with WireServer(reply({"category": "number"}, status)) as server:
            receipt = drive(Webhook(server.url, SECRET).send(message()), transport)
        assert receipt.outcome == "uncertain"

    def test_accepts_with_a_2xx_whatever_it_names(self, transport: AnyTransport) -> None:
        with WireServer(reply({"category": "number", "id": "m"}, 202)) as server:
            assert drive(Webhook(server.url, SECRET).send(message()), transport) == Receipt("webhook", "m")

    @pytest.mark.parametrize(("category", "served"), [("quota", "outbox"), ("number", "")])
    def test_lets_another_gateway_serve_a_quota_and_not_a_number(self, category: str, served: str) -> None:
        with WireServer(reply({"category": category}, 422)) as server:
            failover = Failover([Webhook(server.url, SECRET), Outbox()])
            with OTP("memory://", failover, TEMPLATE, OTP_SECRET) as otp:
                if served:
                    assert otp.issue(PHONE).gateway == served
                else:
                    with pytest.raises(GatewayRejectedError):
                        otp.issue(PHONE)


class TestVerifying:
    def test_gives_the_message(self, transport: AnyTransport) -> None:
        request = received(transport)
        assert verify_webhook(request.body, request.headers, SECRET, now=TIME) == request.json
        shouted = {name.upper(): value for name, value in request.headers.items()}
        assert verify_webhook(request.body, shouted, SECRET.encode(), now=TIME)["code"] == CODE

    @pytest.mark.parametrize("off", [-301, 301, 1e9])
    def test_refuses_another_time(self, transport: AnyTransport, off: float) -> None:
        request = received(transport)
        with pytest.raises(ExpiredTokenError):
            verify_webhook(request.body, request.headers, SECRET, now=TIME + off)

    def test_bears_with_clocks_that_differ(self, transport: AnyTransport) -> None:
        request = received(transport)
        for off in (-300, 300):
            assert verify_webhook(request.body, request.headers, SECRET, now=TIME + off)
        with pytest.raises(ExpiredTokenError):
            verify_webhook(request.body, request.headers, SECRET, now=TIME + 11, tolerance=10)

    @pytest.mark.parametrize(
        "changes",
        [
            {"otpkit-signature": ""},
            {"otpkit-signature": "v1="},
            {"otpkit-signature": "v1=" + "0" * 64},
            {"otpkit-signature": "é"},
            {"otpkit-signature": "\ud800"},
            {"otpkit-timestamp": "\ud800"},
            {"otpkit-timestamp": ""},
            {"otpkit-timestamp": str(int(TIME) + 1)},
            {"otpkit-timestamp": f" {int(TIME)}"},
        ],
    )
    def test_refuses_another_signature(self, transport: AnyTransport, changes: dict[str, str]) -> None:
        request = received(transport)
        with pytest.raises(InvalidTokenError) as caught:
            verify_webhook(request.body, request.headers | changes, SECRET, now=TIME)
        assert CODE not in str(caught.value)
        assert caught.value.status == 401

    def test_refuses_another_body_secret_or_no_headers(self, transport: AnyTransport) -> None:
        request = received(transport)
        other = request.body.replace(PHONE.encode(), b"+8613900139000")
        for body, headers, secret in (
            (other, request.headers, SECRET),
            (request.body, request.headers, OTHER_SECRET),
            (request.body, {}, SECRET),
        ):
            with pytest.raises(InvalidTokenError):
                verify_webhook(body, headers, secret, now=TIME)

    def test_refuses_what_is_signed_and_no_message(self) -> None:
        gateway = Webhook("https://me.example", SECRET)
        from otpkit.gateways import webhook

        for body in (b"", b"[]", b"\xff", json.dumps("text").encode()):
            signature = webhook._signature(SECRET.encode(), str(int(TIME)), body)
            headers = {"Otpkit-Timestamp": str(int(TIME)), "Otpkit-Signature": signature}
            with pytest.raises(InvalidTokenError):
                verify_webhook(body, headers, SECRET, now=TIME)
        assert gateway.name == "webhook"

    def test_refuses_a_secret_that_is_too_short(self) -> None:
        with pytest.raises(ConfigurationError, match="secret "):
            verify_webhook(b"", {}, "short", now=TIME)


class TestSettings:
    def test_take_any_template(self) -> None:
        gateway = Webhook("https://me.example/hook?key=k", SECRET)
        for template in (TEMPLATE, BARE):
            gateway.check(template)
        assert gateway.channels == {"sms", "voice"}
        assert repr(gateway) == "Webhook(url='https://me.example/hook', timeout=(3, 10))"

    @pytest.mark.parametrize(
        "url",
        [
            *("http://me.example", "ftp://127.0.0.1", "https://u:p@me.example", "https://me.example/#a", ""),
            *("https://me.example/?a b", "https://me.example/?a\r\nb", "https://me.example?a=1&a=2", None, b"x"),
        ],
    )
    def test_refuse_an_unsafe_url(self, url: Any) -> None:
        with pytest.raises(ConfigurationError, match="url "):
            Webhook(url, SECRET)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:80/a?b=c", "http://localhost", "https://me.example:8443/?a=%20"])
    def test_take_a_safe_one(self, url: str) -> None:
        assert Webhook(url, SECRET).url == url.partition("?")[0]

    @pytest.mark.parametrize("secret", ["", "short", b"x" * 31, None, 7])
    def test_refuse_a_secret_that_can_be_guessed(self, secret: Any) -> None:
        with pytest.raises(ConfigurationError, match="secret "):
            Webhook("https://me.example", secret)
