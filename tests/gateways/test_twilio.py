"""Twilio: messages and calls by one POST each, documented codes, traces, and callbacks signed like the official SDK."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from provider_lab import BARE, CODE, NOW, NUMBER, PHONE, SECRET, SEND_ID, TEMPLATE, message, refused
from support.transports import AnyTransport
from twilio.request_validator import RequestValidator
from wire_server import Act, WireServer, reply

from otpkit.errors import ConfigurationError
from otpkit.gateways import Delivery, Push, Receipt, Receipts, Twilio
from otpkit.gateways.twilio.errors import REFUSALS
from otpkit.transport.http import drive

ACCOUNT, SENDER, VOICE = f"AC{'0' * 32}", "+15551234567", "+15557654321"
SID, CALL = f"SM{'1a' * 16}", f"CA{'2b' * 16}"
CALLBACK = "https://me.example/twilio"
UNCERTAIN = Receipt("twilio", "", "uncertain")


def gateway_at(server: WireServer | str, **changes: Any) -> Twilio:
    url = server if isinstance(server, str) else server.url
    return Twilio(ACCOUNT, SECRET, **({"sender": SENDER, "base_url": url, "timeout": 5} | changes))


def created(**changes: object) -> Act:
    return reply({"sid": SID, "status": "queued", "error_code": None, "body": CODE, "to": PHONE} | changes, 201)


class TestMessages:
    def test_are_made_by_one_post(self, transport: AnyTransport) -> None:
        with WireServer(created()) as server:
            receipt = drive(gateway_at(server, status_callback=CALLBACK).send(message()), transport)
        assert receipt == Receipt("twilio", SID)
        (request,) = server.requests
        assert request.line == f"POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1"
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        basic = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        assert basic == f"{ACCOUNT}:{SECRET}"
        assert request.form == {
            "To": PHONE,
            "From": SENDER,
            "Body": f'验证码{CODE}，您正在进行大鱼 "x" <&>+~*%😀身份验证',
            "StatusCallback": f"{CALLBACK}?send_id={SEND_ID}",
        }

    def test_may_come_from_a_messaging_service_and_go_without_a_callback(self, transport: AnyTransport) -> None:
        with WireServer(created()) as server:
            gateway = gateway_at(server, sender=None, messaging_service_sid=f"MG{'0' * 32}")
            drive(gateway.send(message()), transport)
        assert set(server.requests[0].form) == {"To", "MessagingServiceSid", "Body"}

    @pytest.mark.parametrize("code", REFUSALS)
    @pytest.mark.parametrize("form", [str, int])
    def test_are_refused_with_each_documented_code(self, transport: AnyTransport, code: str, form: Any) -> None:
        said = {"code": form(code), "message": f"{PHONE} {CODE}", "more_info": "x", "status": 400}
        with WireServer(reply(said, 400)) as server:
            error = refused(lambda: drive(gateway_at(server).send(message()), transport), "twilio")
        assert (error.category, error.gateway_code) == (REFUSALS[code].category, code)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("code", "category"),
        [
            *(("20003", "account"), ("21608", "account"), ("30002", "account")),
            *(("20429", "quota"), ("21611", "quota"), ("30022", "quota"), ("14107", "rate_limit")),
            *(("21211", "number"), ("21214", "number"), ("21217", "number"), ("21610", "number"), ("21614", "number")),
            *(("21408", "configuration"), ("21215", "configuration"), ("21606", "configuration")),
            *(("21603", "configuration"), ("21601", "configuration"), ("20404", "configuration")),
        ],
    )
    def test_say_who_must_act(self, code: str, category: str) -> None:
        assert REFUSALS[code].category == category

    def test_only_what_is_counted_for_a_phone_is_a_rate_limit(self) -> None:
        assert [code for code, row in REFUSALS.items() if row.category == "rate_limit"] == ["14107"]

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_429_says_how_long_to_wait(self, transport: AnyTransport, status: int) -> None:
        act = reply({"code": 20429, "message": "Too Many Requests"}, status, {"Retry-After": "2"})
        with WireServer(act) as server:
            flow = gateway_at(server).send(message())
            if status == 503:
                assert drive(flow, transport) == UNCERTAIN
                return
            error = refused(lambda: drive(flow, transport), "twilio")
        assert (error.category, error.retry_after) == ("quota", 2)

    def test_without_a_code_point_at_the_settings(self, transport: AnyTransport) -> None:
        with WireServer(reply({}, 404), reply({"code": 99999}, 400)) as server:
            bare, coded = (
                refused(lambda: drive(gateway_at(server).send(message()), transport), "twilio") for _ in range(2)
            )
        assert "check base_url and account_sid" in str(bare)
        assert "look up the error code" in str(coded)

    def test_that_failed_as_they_were_made_are_refused_or_uncertain(self, transport: AnyTransport) -> None:
        acts = [created(status="failed", error_code=30005), created(status="failed", error_code=99999)]
        with WireServer(*acts) as server:
            error = refused(lambda: drive(gateway_at(server).send(message()), transport), "twilio")
            assert drive(gateway_at(server).send(message()), transport) == UNCERTAIN
        assert (error.category, error.gateway_code) == ("number", "30005")

    @pytest.mark.parametrize("sid", [None, "", 7, "AC" + "0" * 32, f"SM{NUMBER}", f"SM/{'0' * 31}"])
    def test_without_an_id_of_a_message_are_uncertain(self, transport: AnyTransport, sid: object) -> None:
        with WireServer(created(sid=sid)) as server:
            assert drive(gateway_at(server).send(message()), transport) == UNCERTAIN

    def test_need_a_text(self) -> None:
        gateway = gateway_at("https://x.example")
        gateway.check(TEMPLATE)
        with pytest.raises(ConfigurationError, match=r"Template\.body"):
            gateway.check(BARE)
        gateway_at("https://x.example", sender=None, voice_sender=VOICE).check(BARE)


class TestCalls:
    def test_say_each_digit_twice(self, transport: AnyTransport) -> None:
        with WireServer(created(sid=CALL)) as server:
            gateway = gateway_at(server, voice_sender=VOICE, language="cmn-CN", status_callback=f"{CALLBACK}?a=b")
            receipt = drive(gateway.send(message(channel="voice", template=BARE)), transport)
        assert receipt == Receipt("twilio", CALL)
        (request,) = server.requests
        assert request.line == f"POST /2010-04-01/Accounts/{ACCOUNT}/Calls.json HTTP/1.1"
        form = request.form
        said = ET.fromstring(form.pop("Twiml"))
        assert said.tag == "Response"
        assert [say.text for say in said.iter("Say")] == [", ".join(CODE)] * 2
        assert {say.get("language") for say in said.iter("Say")} == {"cmn-CN"}
        assert form == {"To": PHONE, "From": VOICE, "StatusCallback": f"{CALLBACK}?a=b&send_id={SEND_ID}"}

    def test_escape_what_is_no_digit(self, transport: AnyTransport) -> None:
        with WireServer(created(sid=CALL)) as server:
            what = message(channel="voice", code="<&>")
            drive(gateway_at(server, voice_sender=VOICE).send(what), transport)
        assert [say.text for say in ET.fromstring(server.requests[0].form["Twiml"]).iter("Say")] == ["<, &, >"] * 2

    def test_are_a_channel_where_there_is_a_number_to_call_from(self) -> None:
        assert gateway_at("https://x.example").channels == {"sms"}
        assert gateway_at("https://x.example", voice_sender=VOICE).channels == {"sms", "voice"}
        assert gateway_at("https://x.example", sender=None, voice_sender=VOICE).channels == {"voice"}

    @pytest.mark.parametrize(("changes", "channel"), [({}, "voice"), ({"sender": None, "voice_sender": VOICE}, "sms")])
    def test_without_one_are_refused_before_anything_is_sent(self, changes: dict[str, Any], channel: str) -> None:
        flow = gateway_at("https://x.example", **changes).send(message(channel=channel))
        assert refused(lambda: next(flow), "twilio").category == "configuration"


class TestTracing:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            *((word, "pending") for word in ("accepted", "scheduled", "queued", "sending", "sent")),
            *((word, "delivered") for word in ("delivered", "read")),
            *((word, "failed") for word in ("undelivered", "failed", "canceled")),
            *((word, "unknown") for word in ("receiving", "partially_delivered", "", None, 7)),
        ],
    )
    def test_tells_of_a_message(self, transport: AnyTransport, status: object, state: str) -> None:
        said = {"sid": SID, "status": status, "error_code": 30003, "date_sent": "Thu, 01 Jan 2026 00:00:05 +0000"}
        with WireServer(reply(said | {"body": CODE, "to": PHONE})) as server:
            found = drive(gateway_at(server).trace(PHONE, SEND_ID, NOW, SID), transport)
        assert found == Delivery(
            state=state,  # type: ignore[arg-type]
            gateway="twilio",
            result_code="30003" if state == "failed" else "",
            sent_at=datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC),
        )
        assert server.requests[0].line == f"GET /2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json HTTP/1.1"
        assert server.requests[0].headers["authorization"].startswith("Basic ")

    @pytest.mark.parametrize(
        "date_sent", ["Fri, 31 Dec 9999 23:59:59 -2300", f"1 Jan 2{'0' * 30} 00:00:00 +0000", "soon", 7]
    )
    def test_a_date_that_is_none_loses_the_date_alone(self, transport: AnyTransport, date_sent: object) -> None:
        with WireServer(reply({"sid": SID, "status": "delivered", "date_sent": date_sent})) as server:
            found = drive(gateway_at(server).trace(PHONE, SEND_ID, NOW, SID), transport)
        assert (found.state, found.sent_at) == ("delivered", None)

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            *((word, "pending") for word in ("queued", "initiated", "ringing", "in-progress")),
            ("completed", "delivered"),
            *((word, "failed") for word in ("busy", "no-answer", "canceled", "failed")),
        ],
    )
    def test_tells_of_a_call(self, transport: AnyTransport, status: str, state: str) -> None:
        with WireServer(reply({"sid": CALL, "status": status, "start_time": None})) as server:
            assert drive(gateway_at(server).trace(PHONE, SEND_ID, NOW, CALL), transport).state == state
        assert server.requests[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{CALL}.json"

    @pytest.mark.parametrize("message_id", ["", "SM1", f"../{SID}", f"{SID}/x", f"MG{'0' * 32}"])
    def test_asks_for_no_other_thing(self, message_id: str) -> None:
        with pytest.raises(StopIteration) as stop:
            next(gateway_at("https://x.example").trace(PHONE, SEND_ID, NOW, message_id))
        assert stop.value.value == Delivery(state="unknown", gateway="twilio")

    def test_raises_where_the_gateway_refuses_to_say(self, transport: AnyTransport) -> None:
        with WireServer(reply({"code": 20003}, 401), reply({"code": 20404}, 404)) as server:
            gateway = gateway_at(server)
            error = refused(lambda: drive(gateway.trace(PHONE, SEND_ID, NOW, SID), transport), "twilio")
            assert drive(gateway.trace(PHONE, SEND_ID, NOW, SID), transport).state == "unknown"
        assert error.category == "account"


HARD: dict[str, str] = {"Body": "大鱼 a+b~*%&=😀", "Empty": "", "z": "\n", "A": "é", "ErrorCode": "30003"}


class TestReceipts:
    PARAMS: ClassVar = {
        "MessageSid": SID,
        "MessageStatus": "delivered",
        "To": PHONE,
        "From": SENDER,
        "AccountSid": ACCOUNT,
    }

    def read(self, params: dict[str, str], url: str, signature: str | None = None, header: str = "") -> Receipts:
        if signature is None:
            signature = RequestValidator(SECRET).compute_signature(url, params)
        headers = {header or "X-Twilio-Signature": signature, "Host": "me.example"}
        return gateway_at("https://x.example").receipts(Push(url, headers, urlencode(params).encode()))

    @pytest.mark.parametrize("params", [PARAMS, PARAMS | HARD])
    @pytest.mark.parametrize("header", ["X-Twilio-Signature", "x-twilio-signature"])
    def test_signed_by_the_official_sdk_are_read(self, params: dict[str, str], header: str) -> None:
        read = self.read(params, f"{CALLBACK}?a=b%20c&send_id={SEND_ID}", header=header)
        delivery = Delivery(state="delivered", gateway="twilio", phone=PHONE, send_id=SEND_ID, message_id=SID)
        assert read.deliveries == (delivery,)
        assert (read.status, read.content_type, read.body) == (200, "text/xml", b"<Response/>")

    @pytest.mark.parametrize("called", ["https://me.example/t?x=1", "http://me.example/t", "https://me.example:8443/t"])
    @pytest.mark.parametrize("port", [True, False])
    def test_count_with_the_port_and_without(self, called: str, port: bool) -> None:
        scheme, _, rest = called.partition("://")
        host, slash, path = rest.partition("/")
        number = host.partition(":")[2] or ("443" if scheme == "https" else "80")
        meant = f"{scheme}://me.example{f':{number}' if port else ''}{slash}{path}"
        signature = RequestValidator(SECRET).compute_signature(meant, self.PARAMS)
        assert RequestValidator(SECRET).validate(called, self.PARAMS, signature)
        assert self.read(self.PARAMS, called, signature).status == 200

    def test_of_a_call_are_read(self) -> None:
        params = {"CallSid": CALL, "CallStatus": "no-answer", "To": PHONE, "ErrorCode": ""}
        (delivery,) = self.read(params, f"{CALLBACK}?send_id={SEND_ID}").deliveries
        assert (delivery.state, delivery.message_id, delivery.phone) == ("failed", CALL, PHONE)

    @pytest.mark.parametrize("signature", ["", "x", "é", base64.b64encode(b"0" * 20).decode()])
    def test_that_a_stranger_pushed_say_nothing(self, signature: str) -> None:
        read = self.read(self.PARAMS, CALLBACK, signature)
        assert (read.deliveries, read.status, read.body) == ((), 403, b"")

    def test_that_were_changed_or_moved_say_nothing(self) -> None:
        signature = RequestValidator(SECRET).compute_signature(CALLBACK, self.PARAMS)
        assert self.read(self.PARAMS, CALLBACK, signature).status == 200
        assert self.read(self.PARAMS | {"MessageStatus": "failed"}, CALLBACK, signature).status == 403
        assert self.read(self.PARAMS | {"More": ""}, CALLBACK, signature).status == 403
        assert self.read(self.PARAMS, f"{CALLBACK}?send_id={SEND_ID}", signature).status == 403
        other = Twilio(ACCOUNT, "another token", sender=SENDER)
        headers, body = {"X-Twilio-Signature": signature}, urlencode(self.PARAMS).encode()
        assert other.receipts(Push(CALLBACK, headers, body)).status == 403

    def test_without_a_signature_or_a_form_say_nothing(self) -> None:
        gateway = gateway_at("https://x.example")
        for body in (b"", b"\xff", b"MessageSid=%ff", urlencode(self.PARAMS).encode()):
            assert gateway.receipts(Push(CALLBACK, {}, body)).status == 403
        assert gateway.receipts(Push("http://[", {"X-Twilio-Signature": "x"}, b"")).status == 403

    @pytest.mark.parametrize(
        "changes",
        [{"MessageSid": ""}, {"MessageSid": "x"}, {"MessageStatus": "receiving"}, {"MessageStatus": ""}],
    )
    def test_of_something_else_are_thanked_for_and_say_nothing(self, changes: dict[str, str]) -> None:
        read = self.read(self.PARAMS | changes, CALLBACK)
        assert (read.deliveries, read.status) == ((), 200)

    def test_take_over_nothing_that_is_malformed(self) -> None:
        params = self.PARAMS | {"To": "whatsapp:+1", "MessageStatus": "failed", "ErrorCode": f"{NUMBER} {CODE}"}
        (delivery,) = self.read(params, f"{CALLBACK}?send_id=a%20b").deliveries
        assert delivery == Delivery(state="failed", gateway="twilio", message_id=SID)


class TestApiKeys:
    """An API key authenticates in place of the account's auth token, which still signs pushed receipts."""

    KEY: ClassVar = {"api_key_sid": f"SK{'7' * 32}", "api_key_secret": "the-keys-own-secret"}

    @pytest.mark.parametrize("token", [None, SECRET])
    def test_send_and_trace_by_the_key(self, transport: AnyTransport, token: str | None) -> None:
        with WireServer(created(), reply({"sid": SID, "status": "delivered"})) as server:
            gateway = Twilio(ACCOUNT, token, sender=SENDER, base_url=server.url, **self.KEY)
            drive(gateway.send(message()), transport)
            drive(gateway.trace(PHONE, SEND_ID, NOW, SID), transport)
        for request in server.requests:
            assert f"/Accounts/{ACCOUNT}/" in request.path
            basic = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
            assert basic == f"{self.KEY['api_key_sid']}:{self.KEY['api_key_secret']}"
            assert SECRET.encode() not in request.raw
        assert not any(secret in repr(gateway) for secret in self.KEY.values())

    def test_receipts_are_read_by_the_auth_token_beside_the_key(self) -> None:
        gateway = Twilio(ACCOUNT, SECRET, sender=SENDER, status_callback=CALLBACK, **self.KEY)
        params = TestReceipts.PARAMS
        for token, status in ((SECRET, 200), (self.KEY["api_key_secret"], 403)):
            headers = {"X-Twilio-Signature": RequestValidator(token).compute_signature(CALLBACK, params)}
            assert gateway.receipts(Push(CALLBACK, headers, urlencode(params).encode())).status == status

    def test_receipts_without_the_auth_token_are_a_mistake(self) -> None:
        """The error comes when a gateway that requests receipts is built, and when a receipt is parsed."""
        with pytest.raises(ConfigurationError, match="status_callback needs auth_token"):
            Twilio(ACCOUNT, sender=SENDER, status_callback=CALLBACK, **self.KEY)
        with pytest.raises(ConfigurationError, match="Pass auth_token as well as the API key"):
            Twilio(ACCOUNT, sender=SENDER, **self.KEY).receipts(Push(CALLBACK, {}, b""))

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"api_key_sid": None}, "api_key_sid"),
            ({"api_key_sid": ""}, "api_key_sid"),
            ({"api_key_sid": "SK:1"}, "api_key_sid"),
            ({"api_key_secret": None}, "api_key_secret"),
            ({"api_key_secret": ""}, "api_key_secret"),
            ({"api_key_secret": "a\nb"}, "api_key_secret"),
            ({"api_key_sid": None, "api_key_secret": None}, "auth_token"),
        ],
    )
    def test_half_a_key_or_none_is_refused(self, changes: dict[str, Any], field: str) -> None:
        with pytest.raises(ConfigurationError, match=rf"\b{field}\b") as caught:
            Twilio(ACCOUNT, sender=SENDER, **(self.KEY | changes))
        assert self.KEY["api_key_secret"] not in str(caught.value)


class TestSettings:
    def test_are_shown_without_the_token(self) -> None:
        gateway = Twilio(ACCOUNT, SECRET, sender=SENDER, voice_sender=VOICE)
        shown = "Twilio(base_url='https://api.twilio.com', timeout=(3, 10), channels=['sms', 'voice'])"
        assert repr(gateway) == shown
        assert (gateway.name, gateway.can_trace, gateway.knows_message_id) == ("twilio", True, True)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"account_sid": ""}, "account_sid"),
            ({"account_sid": "AC/../x"}, "account_sid"),
            ({"account_sid": None}, "account_sid"),
            ({"auth_token": ""}, "auth_token"),
            ({"auth_token": "a\nb"}, "auth_token"),
            ({"sender": ""}, "sender"),
            ({"sender": None}, "voice_sender"),
            ({"messaging_service_sid": "MG1"}, "messaging_service_sid"),
            ({"voice_sender": 7}, "voice_sender"),
            ({"voice_sender": ""}, "voice_sender"),
            ({"status_callback": ""}, "status_callback"),
            ({"language": 'en"/><Play>'}, "language"),
            ({"language": None}, "language"),
            ({"status_callback": "http://me.example"}, "status_callback"),
            ({"status_callback": "https://me.example/#a"}, "status_callback"),
            ({"status_callback": "https://me.example/?a b"}, "status_callback"),
            ({"base_url": "https://api.twilio.com?a=b"}, "base_url"),
            ({"timeout": 0}, "timeout"),
        ],
    )
    def test_that_can_not_work_are_refused(self, changes: dict[str, Any], field: str) -> None:
        settings = {"account_sid": ACCOUNT, "auth_token": SECRET, "sender": SENDER} | changes
        with pytest.raises(ConfigurationError, match=rf"\b{field}\b") as caught:
            Twilio(**settings)
        assert SECRET not in str(caught.value)

    def test_the_table_is_of_codes(self) -> None:
        assert all(re.fullmatch(r"[1-6][0-9]{4}", code) for code in REFUSALS)
