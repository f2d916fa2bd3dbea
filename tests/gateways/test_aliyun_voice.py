"""AliyunVoice calls a phone once, distinguishes rejected from uncertain calls, and returns the delivery of a call."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from aliyun_stage import (
    CODE,
    GOSSIP,
    KEY,
    NUMBER,
    SECRET,
    SEND_ID,
    TOKEN,
    UNCERTAIN_ACTS,
    assert_signed,
    refusal_of,
)
from documented_codes import ALIYUN_PUBLIC, ALIYUN_VOICE, refusals
from support.transports import AnyTransport
from wire_server import Act, WireServer, drop, refusing_port, reply, silence

from otpkit.errors import ConfigurationError, GatewayRejectedError, PhoneError
from otpkit.gateways import AliyunVoice, CallDetail, Credentials, Delivery, Message, Push, Receipt
from otpkit.gateways.china_time import SHANGHAI
from otpkit.template import Template
from otpkit.transport.http import drive

NOON = datetime(2026, 5, 25, 4, tzinfo=UTC)  # 12:00 in Shanghai
MIDNIGHT_MS = 1779638400000  # 2026-05-25 00:00:00 in Shanghai
TEMPLATE = Template("TTS_10001", "阿里大鱼", {"code": "{code}"})
CALL_ID = "116012354148^10281378410"
ACCEPTED = {"Code": "OK", "Message": "OK", "CallId": CALL_ID, "RequestId": "A1"}
UNCERTAIN = Receipt("aliyun-voice", "", "uncertain")


def gateway_at(server: WireServer, timeout: tuple[float, float] = (5, 5), **options: Any) -> AliyunVoice:
    return AliyunVoice(KEY, SECRET, base_url=server.url, timeout=timeout, **options)


def message(phone: str = f"+86{NUMBER}") -> Message:
    return Message(phone, CODE, TEMPLATE, {"code": CODE}, SEND_ID, NOON, "voice")


def send(server: WireServer, transport: AnyTransport, phone: str = f"+86{NUMBER}", **options: Any) -> Receipt:
    return drive(gateway_at(server, **options).send(message(phone)), transport)


def refused(call: Callable[[], object]) -> GatewayRejectedError:
    return refusal_of(call, "aliyun-voice")


def actions(server: WireServer) -> list[str]:
    return [request.headers["x-acs-action"] for request in server.requests]


class TestCalling:
    def test_makes_exactly_the_documented_request(self, transport: AnyTransport) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            assert send(server, transport) == Receipt("aliyun-voice", CALL_ID, "accepted")
        (request,) = server.requests
        assert request.line.startswith("POST /?")
        assert request.params == {
            "CalledNumber": NUMBER,
            "TtsCode": "TTS_10001",
            "TtsParam": '{"code":"730452"}',
            "OutId": SEND_ID[:15],
        }
        assert request.headers["x-acs-action"] == "SingleCallByTts"
        assert request.headers["x-acs-version"] == "2017-05-25"
        assert request.headers["x-acs-date"] == "2026-05-25T04:00:00Z"
        assert_signed(request)

    def test_plays_as_it_was_told(self, transport: AnyTransport) -> None:
        options = {"called_show_number": "057112345678", "play_times": 2, "volume": 0, "speed": -500}
        with WireServer(reply(ACCEPTED)) as server:
            send(server, transport, **options)
        params = server.requests[0].params
        assert {name: params[name] for name in ("CalledShowNumber", "PlayTimes", "Volume", "Speed")} == {
            "CalledShowNumber": "057112345678",
            "PlayTimes": "2",
            "Volume": "0",
            "Speed": "-500",
        }

    @pytest.mark.parametrize(
        "options",
        [
            {"play_times": 0},
            {"play_times": 4},
            {"play_times": True},
            {"volume": -1},
            {"volume": 101},
            {"speed": 501},
            {"speed": "1"},
            {"called_show_number": ""},
            {"called_show_number": "0571-12345678"},
            {"base_url": "http://dyvmsapi.aliyuncs.com"},
            {"security_token": "\n"},
        ],
    )
    def test_refuses_options_that_can_not_work(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match=f"^{next(iter(options))} "):
            AliyunVoice(KEY, SECRET, **options)

    @pytest.mark.parametrize("phone", ["+8612345", NUMBER, "", "+1"])
    def test_refuses_what_it_can_not_write_before_there_is_a_call(self, phone: str) -> None:
        error = refused(lambda: next(AliyunVoice(KEY, SECRET).send(message(phone))))
        assert (error.category, error.concerns, error.gateway_code) == ("configuration", "message", "")

    def test_refuses_by_connection_where_none_was_made(self, transport: AnyTransport) -> None:
        with refusing_port() as port:
            gateway = AliyunVoice(KEY, SECRET, base_url=f"http://127.0.0.1:{port}")
            assert refused(lambda: drive(gateway.send(message()), transport)).category == "connection"

    @pytest.mark.parametrize(("code", "category"), refusals(ALIYUN_PUBLIC, ALIYUN_VOICE))
    @pytest.mark.parametrize("status", [200, 400, 403])
    def test_refuses_with_each_documented_code(
        self, transport: AnyTransport, code: str, category: str, status: int
    ) -> None:
        with WireServer(reply({"Code": code, "Message": GOSSIP}, status)) as server:
            error = refused(lambda: send(server, transport))
        assert (error.category, error.gateway_code) == (category, code)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("act", [*UNCERTAIN_ACTS, reply({"Code": "isv.VOICE_CALL_FAIL"})])
    def test_is_uncertain_where_it_is_neither_clearly_made_nor_refused_and_never_calls_twice(
        self, transport: AnyTransport, act: Act
    ) -> None:
        with WireServer(act) as server:
            assert send(server, transport) == UNCERTAIN
        assert actions(server) == ["SingleCallByTts"]

    def test_is_uncertain_where_the_answer_comes_too_late(self, transport: AnyTransport) -> None:
        with WireServer(silence) as server:
            assert drive(gateway_at(server, (5, 0.2)).send(message()), transport) == UNCERTAIN
        assert len(server.requests) == 1

    def test_takes_fresh_credentials_and_none_means_no_call(self, transport: AnyTransport) -> None:
        given = iter([Credentials(KEY, SECRET, TOKEN)])
        with WireServer(reply(ACCEPTED)) as server:
            gateway = AliyunVoice(credentials=lambda: next(given), base_url=server.url)
            assert drive(gateway.send(message()), transport).outcome == "accepted"
            assert refused(lambda: drive(gateway.send(message()), transport)).category == "account"
        assert server.requests[0].headers["x-acs-security-token"] == TOKEN
        assert_signed(server.requests[0])


def record(**changes: object) -> dict[str, object]:
    data = {
        "caller": "057112345678",
        "startDate": "2026-05-25 12:00:09",
        "stateDesc": "用户听完语音",
        "duration": 12,
        "callerShowNumber": "057112345678",
        "gmtCreate": "2026-05-25 12:00:03",
        "state": "200000",
        "endDate": "2026-05-25 12:00:21",
        "calleeShowNumber": "",
        "callee": NUMBER,
    } | changes
    return {"Code": "OK", "Data": json.dumps(data, ensure_ascii=False)}


class TestTracing:
    def trace(
        self, server: WireServer, transport: AnyTransport, sent_at: datetime = NOON, message_id: str = CALL_ID
    ) -> Delivery:
        return drive(gateway_at(server).trace(f"+86{NUMBER}", SEND_ID, sent_at, message_id), transport)

    @pytest.mark.parametrize(
        ("code", "state"),
        [
            ("200000", "delivered"),
            (200000, "delivered"),
            ("200001", "failed"),
            ("200002", "failed"),
            ("200003", "failed"),
            ("200004", "failed"),
            ("200005", "failed"),
            ("200007", "failed"),
            ("200010", "failed"),
            ("200011", "failed"),
            ("200012", "failed"),
            ("502", "failed"),
            ("", "pending"),
            (None, "pending"),
            ("200101", "pending"),
            ("200201", "pending"),
        ],
    )
    def test_tells_what_became_of_the_call(self, transport: AnyTransport, code: object, state: str) -> None:
        with WireServer(reply(record(state=code))) as server:
            delivery = self.trace(server, transport)
        settled = state != "pending"
        assert delivery == Delivery(
            state=state,  # type: ignore[arg-type]
            gateway="aliyun-voice",
            result_code=str(code) if settled else "",
            sent_at=datetime(2026, 5, 25, 4, 0, 3, tzinfo=UTC),
            received_at=datetime(2026, 5, 25, 4, 0, 21, tzinfo=UTC) if settled else None,
        )
        (request,) = server.requests
        assert request.headers["x-acs-action"] == "QueryCallDetailByCallId"
        assert request.params == {
            "CallId": CALL_ID,
            "ProdId": "11010000138001",
            "QueryDate": str(MIDNIGHT_MS),
        }
        assert_signed(request)

    def test_asks_both_days_around_midnight(self, transport: AnyTransport) -> None:
        late = datetime(2026, 5, 25, 15, 59, tzinfo=UTC)
        with WireServer(reply({"Code": "OK", "Data": ""}), reply(record())) as server:
            assert self.trace(server, transport, late).state == "delivered"
        days = [int(request.params["QueryDate"]) for request in server.requests]
        assert days == [MIDNIGHT_MS, MIDNIGHT_MS + 86_400_000]
        with WireServer(reply({"Code": "OK"}), reply({"Code": "InvalidParameter.date"}, 400)) as server:
            assert self.trace(server, transport, late).state == "unknown"

    @pytest.mark.parametrize(
        "act",
        [
            drop,
            reply("", 500),
            reply("<html>"),
            reply({"Code": "OK"}),
            reply({"Code": "100008.0", "Message": "Data not available."}, 400),
            reply({"Code": "OK", "Data": "null"}),
            reply({"Code": "OK", "Data": "{}"}),
            reply({"Code": "OK", "Data": "[" * 10_000}),
        ],
    )
    def test_is_unknown_where_there_is_no_answer_or_no_record(self, transport: AnyTransport, act: Act) -> None:
        with WireServer(act) as server:
            assert self.trace(server, transport) == Delivery(state="unknown", gateway="aliyun-voice")

    def test_is_unknown_without_a_call_id_and_asks_nobody(self) -> None:
        flow = AliyunVoice(KEY, SECRET).trace(f"+86{NUMBER}", SEND_ID, NOON)
        with pytest.raises(StopIteration) as stop:
            next(flow)
        assert stop.value.value.state == "unknown"

    def test_raises_where_the_gateway_refuses(self, transport: AnyTransport) -> None:
        with WireServer(reply({"Code": "isv.OUT_OF_SERVICE", "Message": GOSSIP})) as server:
            assert refused(lambda: self.trace(server, transport)).category == "account"


def today() -> date:
    return datetime.now(SHANGHAI).date()


class TestDirectUse:
    def test_reads_a_template_to_a_number(self) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            gateway = gateway_at(server, play_times=3)
            receipt = gateway.single_call_by_tts("138 0013 8000", tts_code="TTS_1", params={"a": "b"}, out_id="x")
            gateway.single_call_by_tts("+85251234567", tts_code="TTS_2")
        assert receipt == Receipt("aliyun-voice", CALL_ID)
        assert server.requests[0].params == {
            "CalledNumber": NUMBER,
            "TtsCode": "TTS_1",
            "TtsParam": '{"a":"b"}',
            "OutId": "x",
            "PlayTimes": "3",
        }
        assert server.requests[1].params == {"CalledNumber": "85251234567", "TtsCode": "TTS_2", "PlayTimes": "3"}

    def test_plays_a_file_to_a_number(self) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            receipt = gateway_at(server, volume=80).single_call_by_voice(NUMBER, voice_code="2d4c.wav", out_id="x")
        assert receipt == Receipt("aliyun-voice", CALL_ID)
        assert actions(server) == ["SingleCallByVoice"]
        assert server.requests[0].params == {
            "CalledNumber": NUMBER,
            "VoiceCode": "2d4c.wav",
            "OutId": "x",
            "Volume": "80",
        }
        assert_signed(server.requests[0])

    def test_connects_two_numbers(self) -> None:
        numbers = {"caller_number": NUMBER, "called_number": "13900139000"}
        shown = {"caller_show_number": "057112345678", "called_show_number": "057187654321"}
        with WireServer(reply(ACCEPTED)) as server:
            gateway = gateway_at(server)
            receipt = gateway.click_to_dial(**numbers, **shown, session_timeout=60, record=False, out_id="x")
            gateway.click_to_dial(**numbers, **shown)
        assert receipt == Receipt("aliyun-voice", CALL_ID)
        assert actions(server) == ["ClickToDial", "ClickToDial"]
        required = {
            "CallerNumber": NUMBER,
            "CalledNumber": "13900139000",
            "CallerShowNumber": "057112345678",
            "CalledShowNumber": "057187654321",
        }
        options = {"SessionTimeout": "60", "RecordFlag": "false", "OutId": "x"}
        assert [request.params for request in server.requests] == [required | options, required]

    def test_is_uncertain_or_raises_like_a_send(self) -> None:
        with WireServer(drop, reply({"Code": "isv.VOICE_FILE_ILLEGAL"})) as server:
            gateway = gateway_at(server)
            assert gateway.single_call_by_voice(NUMBER, voice_code="x.wav") == UNCERTAIN
            error = refused(lambda: gateway.single_call_by_voice(NUMBER, voice_code="x.wav"))
        assert error.category == "configuration"

    @pytest.mark.parametrize(
        "changes",
        [
            {"out_id": ""},
            {"out_id": "x" * 16},
            {"out_id": "签名签名签名"},
            {"out_id": "\ud800"},
            {"tts_code": ""},
            {"tts_code": None},
            {"params": {"code": 730452}},
            {"params": {"code": "730452\ud800"}},
            {"params": {"\ud800": "730452"}},
        ],
    )
    def test_refuses_what_is_malformed(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            AliyunVoice(KEY, SECRET).single_call_by_tts(NUMBER, **({"tts_code": "TTS_1"} | changes))
        assert CODE not in str(caught.value)

    def test_refuses_what_is_no_number(self) -> None:
        with pytest.raises(PhoneError):
            AliyunVoice(KEY, SECRET).single_call_by_voice("057112345678", voice_code="x")
        with pytest.raises(ConfigurationError, match="caller_show_number "):
            AliyunVoice(KEY, SECRET).click_to_dial(
                caller_number=NUMBER,
                called_number=NUMBER,
                caller_show_number=None,  # type: ignore[arg-type]
                called_show_number="057112345678",
            )

    def test_asks_for_a_typed_record(self) -> None:
        with WireServer(reply(record()), reply({"Code": "OK"}), drop) as server:
            gateway = gateway_at(server)
            found = gateway.query_call_detail_by_call_id(CALL_ID, query_date=today())
            none = gateway.query_call_detail_by_call_id(CALL_ID, prod_id=11000000300006, query_date=today())
            error = refused(lambda: gateway.query_call_detail_by_call_id(CALL_ID, query_date=today()))
        assert found == CallDetail(
            caller="057112345678",
            callee=NUMBER,
            caller_show_number="057112345678",
            callee_show_number="",
            state="200000",
            duration=12,
            created_at=datetime(2026, 5, 25, 12, 0, 3, tzinfo=SHANGHAI),
            started_at=datetime(2026, 5, 25, 12, 0, 9, tzinfo=SHANGHAI),
            ended_at=datetime(2026, 5, 25, 12, 0, 21, tzinfo=SHANGHAI),
        )
        assert NUMBER not in repr(found)
        assert none is None
        assert error.category == "connection"
        assert [request.params["ProdId"] for request in server.requests][1] == "11000000300006"
        with pytest.raises(GatewayRejectedError):
            AliyunVoice(KEY, SECRET).query_call_detail_by_call_id(CALL_ID, query_date="20150101")


REPORT = {
    "call_id": CALL_ID,
    "originate_time": "2026-05-25 12:00:03",
    "ring_time": "2026-05-25 12:00:05",
    "start_time": "2026-05-25 12:00:09",
    "end_time": "2026-05-25 12:00:21",
    "caller": "057112345678",
    "callee": NUMBER,
    "duration": "12",
    "status_code": "200000",
    "hangup_direction": "机器",
    "status_msg": "执行完成",
    "out_id": SEND_ID[:15],
    "dtmf": "",
    "voice_type": "voice",
    "toll_type": "UNKNOWN",
}


def pushed(body: object) -> Push:
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Push("https://app.example/receipts/secret", {}, data)


class TestReceipts:
    @pytest.mark.parametrize(("code", "state"), [("200000", "delivered"), ("200001", "failed"), ("200010", "failed")])
    def test_say_what_became_of_which_call(self, code: str, state: str) -> None:
        found = AliyunVoice(KEY, SECRET).receipts(pushed([REPORT | {"status_code": code, "callee": f"86{NUMBER}"}]))
        assert (
            found.deliveries
            == (
                Delivery(
                    state=state,  # type: ignore[arg-type]
                    gateway="aliyun-voice",
                    result_code=code,
                    sent_at=datetime(2026, 5, 25, 4, 0, 3, tzinfo=UTC),
                    received_at=datetime(2026, 5, 25, 4, 0, 21, tzinfo=UTC),
                    phone=f"+86{NUMBER}",
                    send_id=SEND_ID[:15],
                    message_id=CALL_ID,
                ),
            )
        )
        assert (found.status, json.loads(found.body)) == (200, {"code": 0, "msg": "ok"})

    def test_leave_out_what_says_nothing(self) -> None:
        rows = [
            None,
            {},
            REPORT | {"call_id": None},
            REPORT | {"callee": "anonymous"},
            REPORT | {"status_code": ""},
            REPORT | {"status_code": "300000", "dtmf": "1"},
            REPORT | {"status_code": "200201"},
            REPORT | {"out_id": None, "end_time": "", "originate_time": None},
        ]
        (delivery,) = AliyunVoice(KEY, SECRET).receipts(pushed(rows)).deliveries
        assert (delivery.send_id, delivery.message_id) == ("", CALL_ID)
        assert (delivery.sent_at, delivery.received_at) == (None, None)

    def test_of_a_time_that_utc_has_not_lose_the_time_alone(self) -> None:
        row = REPORT | {"originate_time": "0001-01-01 00:00:00", "end_time": "0001-01-01 07:59:59"}
        (delivery,) = AliyunVoice(KEY, SECRET).receipts(pushed([row])).deliveries
        assert (delivery.sent_at, delivery.received_at) == (None, None)

    @pytest.mark.parametrize("body", [b"", b"\xff", b"{}", b"null", b"[" * 100_000])
    def test_that_can_not_be_read_say_nothing_and_are_not_repeated(self, body: bytes) -> None:
        found = AliyunVoice(KEY, SECRET).receipts(pushed(body))
        assert (found.deliveries, found.status) == ((), 200)


class TestSettings:
    def test_are_aliyuns_by_default(self) -> None:
        gateway = AliyunVoice(KEY, SECRET)
        assert (gateway.base_url, gateway.timeout) == ("https://dyvmsapi.aliyuncs.com", (3, 10))
        assert (gateway.name, gateway.channels) == ("aliyun-voice", {"voice"})
        assert (gateway.can_trace, gateway.knows_message_id) == (True, True)

    def test_are_shown_without_keys_and_nothing_is_logged(
        self, transport: AnyTransport, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with WireServer(reply(ACCEPTED), drop) as server:
            send(server, transport)
            send(server, transport)
        assert caplog.records == []
        shown = f"{AliyunVoice(KEY, SECRET)!r} {next(AliyunVoice(KEY, SECRET).send(message()))!r}"
        assert not any(secret in shown for secret in (CODE, NUMBER, SECRET))
