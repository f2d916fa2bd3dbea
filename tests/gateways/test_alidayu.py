"""Alidayu sends a message once, distinguishes rejected from uncertain sends, and finds their records."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from leaks import errors_of, reachable_text
from support.transports import AnyTransport
from wire_server import Act, Peer, WireServer, answer, drop, raw, refusing_port, reply, reset, silence

from otpkit.effects import HttpRequest, HttpResponse
from otpkit.errors import ConfigurationError, GatewayRejectedError, PhoneError
from otpkit.gateways import Alidayu, Delivery, Message, Receipt, SmsDetail, SmsDetailPage
from otpkit.gateways.alidayu.errors import BUSINESS_ERRORS
from otpkit.gateways.china_time import SHANGHAI
from otpkit.template import Template
from otpkit.transport.http import drive

CODE, NUMBER, SECRET, SEND_ID = "730452", "13800138000", "s3cr3t-of-the-app", "Zm9vYmFyYmF6cXV4MTIzNA"
NOON = datetime(2015, 12, 15, 4, tzinfo=UTC)  # 12:00 in Shanghai
TEMPLATE = Template("SMS_585014", "阿里大鱼", {"code": "{code}", "product": "alidayu"})
ACCEPTED = {"code": "0", "model": "134523^4351232", "success": True, "msg": "成功"}
THE_SAMPLE = {"code": "0", "model": "134523^4351232", "success": False, "msg": "成功"}
UNCERTAIN = Receipt("alidayu", "", "uncertain")


def gateway_at(server: WireServer, timeout: tuple[float, float] = (5, 5)) -> Alidayu:
    return Alidayu("the-key", SECRET, base_url=f"{server.url}/gw/alidayu", timeout=timeout)


def message(phone: str = f"+86{NUMBER}", sent_at: datetime | None = NOON) -> Message:
    return Message(phone, CODE, TEMPLATE, {"code": CODE, "product": '大鱼 "x"'}, SEND_ID, sent_at)


def send(server: WireServer, transport: AnyTransport, **of_message: Any) -> Receipt:
    return drive(gateway_at(server).send(message(**of_message)), transport)


def refused(call: Callable[[], object]) -> GatewayRejectedError:
    with pytest.raises(GatewayRejectedError) as caught:
        call()
    error = caught.value
    assert error.gateway == "alidayu"
    assert list(errors_of(error)) == [error]
    for secret in (CODE, SECRET):
        assert secret not in reachable_text(error)
    assert NUMBER not in f"{error} {error!r} {error.args} {error.gateway_code}"
    return error


def row(**changes: object) -> dict[str, object]:
    return {
        "extend": SEND_ID,
        "rec_num": NUMBER,
        "result_code": "000",
        "sms_code": "SMS_585014",
        "sms_content": f"【阿里大鱼】验证码{CODE}",
        "sms_receiver_time": "2015-12-15 12:00:09",
        "sms_send_time": "2015-12-15 12:00:03",
        "sms_status": 3,
    } | changes


def page(*rows: object, **changes: object) -> dict[str, object]:
    fields = {"current_page": 1, "page_size": 50, "total_count": len(rows), "total_page": 1, "values": rows}
    return fields | changes


def others(count: int) -> list[dict[str, object]]:
    return [row(extend=f"other-{index}") for index in range(count)]


def at_send(act: Act, *then: Act) -> tuple[Act, ...]:
    """Answer sendSms by `act`, and the query after it by `then`, by default with an empty page."""
    return (act, *(then or (reply(page()),)))


class TestSending:
    def test_makes_exactly_the_documents_request(self, transport: AnyTransport) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            receipt = send(server, transport)
        assert receipt == Receipt("alidayu", "134523^4351232", "accepted")
        (request,) = server.requests
        assert request.line.startswith("GET /gw/alidayu/sendSms?")
        assert request.params == {
            "extend": SEND_ID,
            "sms_type": "normal",
            "sms_free_sign_name": "阿里大鱼",
            "sms_param": '{"code":"730452","product":"大鱼 \\"x\\""}',
            "rec_num": NUMBER,
            "sms_template_code": "SMS_585014",
        }
        assert "sms_free_sign_name=%E9%98%BF%E9%87%8C%E5%A4%A7%E9%B1%BC" in request.query
        assert "%5C%22x%5C%22" in request.query
        assert "+" not in request.query
        assert (request.headers["x-ca-key"], request.headers["x-ca-secret"]) == ("the-key", SECRET)

    @pytest.mark.parametrize("phone", ["+85251234567", "+8612345", f"{NUMBER}", "+12125550123"])
    def test_refuses_a_phone_outside_the_mainland_before_anything_is_sent(self, phone: str) -> None:
        flow = Alidayu("key", SECRET).send(message(phone))
        error = refused(lambda: next(flow))
        assert (error.category, error.concerns, error.gateway_code) == ("configuration", "message", "")
        assert "another gateway" in str(error)

    def test_refuses_by_connection_where_none_was_made(self, transport: AnyTransport) -> None:
        with refusing_port() as port:
            gateway = Alidayu("key", SECRET, base_url=f"http://127.0.0.1:{port}")
            error = refused(lambda: drive(gateway.send(message()), transport))
        assert (error.category, error.gateway_code) == ("connection", "")

    @pytest.mark.parametrize(
        ("code", "category"),
        [
            ("50001", "account"),
            ("50002", "account"),
            ("50003", "account"),
            ("50004", "account"),
            ("70001", "configuration"),
            ("70002", "configuration"),
            ("70003", "configuration"),
            ("50009", "number"),
            ("50010", "request"),
            ("80001", "request"),
            ("80002", "request"),
            ("99998", "request"),
        ],
    )
    @pytest.mark.parametrize("form", [str, int])
    def test_refuses_with_each_code_of_the_table(
        self, transport: AnyTransport, code: str, category: str, form: Callable[[str], object]
    ) -> None:
        said = {"success": False, "code": form(code), "msg": f"{NUMBER} {CODE}"}
        with WireServer(reply(said)) as server:
            error = refused(lambda: send(server, transport))
        assert (error.category, error.gateway_code) == (category, code)
        assert re.search(r"[\u4e00-\u9fff]", error.problem)
        assert " must " in error.remedy
        assert len(server.requests) == 1

    def test_the_table_is_tested_whole(self) -> None:
        assert len(BUSINESS_ERRORS) == 12

    @pytest.mark.parametrize("status", [400, 402, 403, 404, 408, 413, 418, 499])
    def test_refuses_with_any_4xx(self, transport: AnyTransport, status: int) -> None:
        said = {"errorCode": "InvalidParam", "errorMessage": f"{NUMBER} {CODE}"}
        with WireServer(reply(said, status)) as server:
            error = refused(lambda: send(server, transport))
        assert (error.category, error.gateway_code) == ("request", "InvalidParam")
        assert str(status) in str(error)
        assert len(server.requests) == 1

    def test_refuses_with_401_as_an_account_matter(self, transport: AnyTransport) -> None:
        with WireServer(reply("", 401)) as server:
            error = refused(lambda: send(server, transport))
        assert (error.category, error.gateway_code) == ("account", "")

    @pytest.mark.parametrize(
        ("status", "body", "headers"),
        [
            (429, "", {}),
            (403, "", {"X-Ca-Error-Message": "Throttled by USER Flow Control"}),
            (403, "<html>", {"x-ca-error-code": "T429.Throttling"}),
            (400, {"errorCode": "Throttling.User", "errorMessage": ""}, {}),
            (400, {"errorCode": "X", "errorMessage": "flow control, wait"}, {}),
            (401, {"errorCode": "流控限制", "errorMessage": ""}, {}),
            (403, "", {"X-Ca-Error-Message": "流控限制".encode().decode("latin-1")}),
        ],
    )
    def test_tells_throttling_from_refusal(
        self, transport: AnyTransport, status: int, body: object, headers: dict[str, str]
    ) -> None:
        lines = {name: value.encode("latin-1") for name, value in headers.items()}
        head = b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in lines.items())
        data = answer(body, status, {"Retry-After": "7"}).replace(b"\r\n", b"\r\n" + head, 1)
        with WireServer(raw(data)) as server:
            error = refused(lambda: send(server, transport))
        assert (error.category, error.concerns, error.retry_after) == ("quota", "gateway", 7)

    @pytest.mark.parametrize(
        "code", [f"no {NUMBER}", NUMBER, f"x{NUMBER}", "a b", "x" * 65, "拒绝", "a\n", "", None, {"a": 1}, True]
    )
    def test_echoes_no_code_that_is_not_a_short_word(self, transport: AnyTransport, code: object) -> None:
        with WireServer(reply({"errorCode": code}, 400)) as server:
            error = refused(lambda: send(server, transport))
        assert error.gateway_code == ""

    @pytest.mark.parametrize(
        ("model", "message_id"),
        [("134523^4351232", "134523^4351232"), (None, ""), (7, ""), ("a b", ""), ("x" * 129, "")],
    )
    def test_is_accepted_where_success_is_true_whatever_else_is_said(
        self, transport: AnyTransport, model: object, message_id: str
    ) -> None:
        with WireServer(reply({"success": True, "code": "50001", "model": model})) as server:
            assert send(server, transport) == Receipt("alidayu", message_id)


UNCERTAIN_ACTS = [
    pytest.param(reply(THE_SAMPLE), id="the document's sample"),
    pytest.param(reply({"success": False, "code": 0}), id="false with code 0"),
    pytest.param(reply({"success": False, "code": "60000"}), id="undocumented code"),
    pytest.param(reply({"success": False}), id="no code"),
    pytest.param(reply({"code": "50001"}), id="no success"),
    pytest.param(reply({"success": "true", "code": "0"}), id="success as a text"),
    pytest.param(reply({"success": 1}), id="success as a number"),
    pytest.param(reply({"success": None, "code": "50001"}), id="success null"),
    pytest.param(reply({"errorCode": "X", "errorMessage": "Y"}), id="the system's error with 200"),
    pytest.param(reply(page()), id="the query's envelope"),
    pytest.param(reply(""), id="empty"),
    pytest.param(reply("<html>"), id="not JSON"),
    pytest.param(reply("[" * 100_000), id="nested without end"),
    pytest.param(reply('"success"'), id="JSON, but no object"),
    pytest.param(reply([ACCEPTED]), id="a list"),
    pytest.param(reply(b'{"success": true, "msg": "\xff"}'), id="not UTF-8"),
    pytest.param(reply(ACCEPTED, 201), id="201"),
    pytest.param(reply(ACCEPTED, 204), id="204"),
    pytest.param(reply(ACCEPTED, 302, {"Location": "/gw/alidayu/sendSms"}), id="302"),
    pytest.param(reply({"success": False, "code": "50001"}, 500), id="500"),
    pytest.param(reply({"errorCode": "Throttling"}, 503), id="503"),
    pytest.param(drop, id="dropped"),
    pytest.param(reset, id="reset"),
    pytest.param(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), id="half an answer"),
]


class TestUncertainty:
    @pytest.mark.parametrize("act", UNCERTAIN_ACTS)
    def test_is_what_is_neither_clearly_sent_nor_refused(self, transport: AnyTransport, act: Act) -> None:
        with WireServer(*at_send(act)) as server:
            assert send(server, transport) == UNCERTAIN
        assert [request.path for request in server.requests] == [
            "/gw/alidayu/sendSms",
            "/gw/alidayu/querySmsDetail",
        ]

    def test_is_an_answer_that_comes_too_late(self, transport: AnyTransport) -> None:
        with WireServer(*at_send(silence)) as server:
            assert drive(gateway_at(server, (5, 0.2)).send(message()), transport) == UNCERTAIN

    @pytest.mark.parametrize("act", UNCERTAIN_ACTS[:1] + UNCERTAIN_ACTS[-2:])
    def test_ends_where_the_look_finds_the_send_id(self, transport: AnyTransport, act: Act) -> None:
        with WireServer(*at_send(act, reply(page(*others(3), row(sms_status=1))))) as server:
            assert send(server, transport) == Receipt("alidayu", "", "accepted")
        look = server.requests[1]
        assert look.params == {
            "rec_num": NUMBER,
            "query_date": "20151215",
            "current_page": "1",
            "page_size": "50",
        }

    @pytest.mark.parametrize(
        "look",
        [
            pytest.param(reply(page(*others(3))), id="other messages only"),
            pytest.param(reply(page(*others(50))), id="a full page is the only one"),
            pytest.param(reply({"success": False, "code": "50001"}), id="refused"),
            pytest.param(reply("", 403), id="forbidden"),
            pytest.param(reply("", 500), id="500"),
            pytest.param(reply("<html>"), id="not JSON"),
            pytest.param(reply({"values": [None, 7, {"extend": None}]}), id="strange rows"),
            pytest.param(drop, id="dropped"),
        ],
    )
    def test_stays_whatever_else_comes_of_the_look_and_nothing_is_sent_again(
        self, transport: AnyTransport, look: Act
    ) -> None:
        with WireServer(*at_send(reply(THE_SAMPLE), look)) as server:
            assert send(server, transport) == UNCERTAIN
        assert [request.path.rpartition("/")[2] for request in server.requests] == ["sendSms", "querySmsDetail"]

    def test_stays_when_the_look_itself_breaks(self) -> None:
        flow = Alidayu("key", SECRET).send(message(sent_at="not a time"))  # type: ignore[arg-type]
        next(flow)
        with pytest.raises(StopIteration) as stop:
            flow.send(HttpResponse(500, {}, ""))
        assert stop.value.value == UNCERTAIN

    def test_looks_within_a_bound_however_long_an_answer_may_take(self) -> None:
        flow = Alidayu("key", SECRET, timeout=(60, 60)).send(message())
        first = next(flow)
        look = flow.send(HttpResponse(500, {}, ""))
        assert isinstance(first, HttpRequest)
        assert isinstance(look, HttpRequest)
        assert (first.timeout, look.timeout) == ((60, 60), (2, 3))

    @pytest.mark.parametrize(
        ("sent_at", "days"),
        [
            ("2015-12-15T00:09:59", ["20151215", "20151214"]),
            ("2015-12-15T00:10:00", ["20151215"]),
            ("2015-12-15T23:49:59", ["20151215"]),
            ("2015-12-15T23:50:00", ["20151215", "20151216"]),
            ("2015-12-31T23:59:59", ["20151231", "20160101"]),
        ],
    )
    def test_is_looked_into_on_both_days_around_midnight_in_shanghai(
        self, transport: AnyTransport, sent_at: str, days: list[str]
    ) -> None:
        moment = datetime.fromisoformat(sent_at + "+08:00").astimezone(timezone(timedelta(hours=-7)))
        with WireServer(*at_send(reply(THE_SAMPLE))) as server:
            assert send(server, transport, sent_at=moment) == UNCERTAIN
        assert [request.params["query_date"] for request in server.requests[1:]] == days

    def test_is_looked_into_today_where_no_time_is_given(self, transport: AnyTransport) -> None:
        before = datetime.now(SHANGHAI).date()
        with WireServer(*at_send(reply(THE_SAMPLE))) as server:
            send(server, transport, sent_at=None)
        days = {before.strftime("%Y%m%d"), datetime.now(SHANGHAI).strftime("%Y%m%d")}
        assert server.requests[1].params["query_date"] in days


class TestTracing:
    def trace(self, server: WireServer, transport: AnyTransport, sent_at: datetime = NOON) -> Delivery:
        return drive(gateway_at(server).trace(f"+86{NUMBER}", SEND_ID, sent_at), transport)

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            (1, "pending"),
            (2, "failed"),
            (3, "delivered"),
            ("3", "delivered"),
            (4, "unknown"),
            (None, "unknown"),
            (True, "unknown"),
            ({}, "unknown"),
        ],
    )
    def test_goes_by_the_status_alone(self, transport: AnyTransport, status: object, state: str) -> None:
        with WireServer(reply(page(*others(2), row(sms_status=status)))) as server:
            delivery = self.trace(server, transport)
        settled = state in {"failed", "delivered"}
        assert delivery == Delivery(
            state=state,  # type: ignore[arg-type]
            gateway="alidayu",
            result_code="000" if settled else "",
            sent_at=datetime(2015, 12, 15, 4, 0, 3, tzinfo=UTC),
            received_at=datetime(2015, 12, 15, 4, 0, 9, tzinfo=UTC) if settled else None,
        )

    @pytest.mark.parametrize("time", ["", "soon", None, 20151215, "2015-13-01 00:00:00"])
    def test_takes_no_time_that_is_none(self, transport: AnyTransport, time: object) -> None:
        with WireServer(reply(page(row(sms_send_time=time, sms_receiver_time=time)))) as server:
            delivery = self.trace(server, transport)
        assert (delivery.sent_at, delivery.received_at) == (None, None)

    def test_pages_until_it_finds_the_send_id(self, transport: AnyTransport) -> None:
        acts = [reply(page(*others(50), total_page=1)), reply(page(*others(50))), reply(page(row()))]
        with WireServer(*acts) as server:
            assert self.trace(server, transport).state == "delivered"
        assert [request.params["current_page"] for request in server.requests] == ["1", "2", "3"]

    @pytest.mark.parametrize(("rows", "pages"), [(0, 1), (49, 1), (50, 4), (70, 4)])
    def test_pages_until_a_short_page_whatever_the_total_and_within_a_bound(
        self, transport: AnyTransport, rows: int, pages: int
    ) -> None:
        with WireServer(reply(page(*others(rows), total_count=100, total_page=5))) as server:
            assert self.trace(server, transport) == Delivery(state="unknown", gateway="alidayu")
        assert len(server.requests) == pages

    def test_asks_the_neighbouring_day_only_where_the_first_has_no_such_record(self, transport: AnyTransport) -> None:
        midnight = datetime(2015, 12, 15, 16, tzinfo=UTC)
        with WireServer(reply(page(row()))) as server:
            assert self.trace(server, transport, midnight).state == "delivered"
        assert [request.params["query_date"] for request in server.requests] == ["20151216"]
        with WireServer(reply(page()), reply(page(row()))) as server:
            assert self.trace(server, transport, midnight).state == "delivered"
        assert [request.params["query_date"] for request in server.requests] == ["20151216", "20151215"]

    def test_takes_a_day_that_the_gateway_has_not_reached_for_an_empty_one(self, transport: AnyTransport) -> None:
        with WireServer(reply(page()), reply({"code": "80001"})) as server:
            assert self.trace(server, transport, datetime(2015, 12, 15, 15, 59, tzinfo=UTC)).state == "unknown"

    @pytest.mark.parametrize("act", [drop, reply("", 500), reply("<html>"), reply({"success": True}), reply({})])
    def test_is_unknown_where_no_answer_comes(self, transport: AnyTransport, act: Act) -> None:
        with WireServer(act) as server:
            assert self.trace(server, transport) == Delivery(state="unknown", gateway="alidayu")

    def test_is_unknown_where_no_connection_is_made(self, transport: AnyTransport) -> None:
        with refusing_port() as port:
            gateway = Alidayu("key", SECRET, base_url=f"http://127.0.0.1:{port}")
            assert drive(gateway.trace(f"+86{NUMBER}", SEND_ID, NOON), transport).state == "unknown"

    @pytest.mark.parametrize(
        ("act", "category", "code"),
        [
            (reply({"success": False, "code": "50001", "msg": NUMBER}), "account", "50001"),
            (reply({"code": "50009", "msg": NUMBER}), "number", "50009"),
            (reply({"code": 80001}), "request", "80001"),
            (reply({"success": False, "code": "80002", "values": []}), "request", "80002"),
            (reply({"success": False, "code": "99998"}), "request", "99998"),
            (reply({"success": False, "code": "50003"}), "account", "50003"),
            (reply({"success": False, "code": "60000"}), "request", "60000"),
            (reply({"errorCode": "50001", "errorMessage": NUMBER}), "account", "50001"),
            (reply({"errorCode": "Throttling", "errorMessage": ""}), "quota", "Throttling"),
            (reply({"errorCode": "X", "errorMessage": NUMBER}, 400), "request", "X"),
            (reply("", 401), "account", ""),
        ],
    )
    def test_raises_where_the_gateway_refuses_by_any_of_its_envelopes(
        self, transport: AnyTransport, act: Act, category: str, code: str
    ) -> None:
        with WireServer(act) as server:
            error = refused(lambda: self.trace(server, transport))
        assert (error.category, error.gateway_code) == (category, code)


def today() -> date:
    return datetime.now(SHANGHAI).date()


class TestDirectUse:
    def test_sends_to_several_numbers_at_once_each_named_once(self) -> None:
        numbers = ["138 0013 8000", "+8613900139000", "8613800138000", "１３７００１３７０００"]
        with WireServer(reply(ACCEPTED)) as server:
            receipt = gateway_at(server).send_sms(
                numbers, template_code="SMS_1", sign_name="登录验证", params={"a": "b"}, extend="x y"
            )
        assert receipt == Receipt("alidayu", "134523^4351232")
        assert server.requests[0].params == {
            "extend": "x y",
            "sms_type": "normal",
            "sms_free_sign_name": "登录验证",
            "sms_param": '{"a":"b"}',
            "rec_num": "13800138000,13900139000,13700137000",
            "sms_template_code": "SMS_1",
        }

    def test_leaves_out_what_is_not_given(self) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            gateway_at(server).send_sms(NUMBER, template_code="SMS_1", sign_name="签名")
        assert set(server.requests[0].params) == {
            "sms_type",
            "sms_free_sign_name",
            "rec_num",
            "sms_template_code",
        }

    def test_is_uncertain_without_a_look_and_raises_where_refused(self) -> None:
        with WireServer(reply(THE_SAMPLE), reply({"success": False, "code": "50001"})) as server:
            gateway = gateway_at(server)
            assert gateway.send_sms(NUMBER, template_code="S", sign_name="签名") == UNCERTAIN
            error = refused(lambda: gateway.send_sms(NUMBER, template_code="S", sign_name="签名"))
        assert error.category == "account"
        assert len(server.requests) == 2

    def test_sends_to_at_most_200_numbers(self) -> None:
        numbers = [f"139{index:08}" for index in range(201)]
        with WireServer(reply(ACCEPTED)) as server:
            gateway = gateway_at(server)
            gateway.send_sms(numbers[:200], template_code="S", sign_name="签名")
            error = refused(lambda: gateway.send_sms(numbers, template_code="S", sign_name="签名"))
            none = refused(lambda: gateway.send_sms([], template_code="S", sign_name="签名"))
        assert (error.category, error.gateway_code) == ("request", "50010")
        assert (none.category, none.gateway_code) == ("request", "")
        assert len(server.requests) == 1
        assert server.requests[0].params["rec_num"].count(",") == 199

    @pytest.mark.parametrize(
        ("text", "numbers"),
        [
            ("13800138000,13900139000", "13800138000,13900139000"),
            ("18600000000,13911111111,13322222222", "18600000000,13911111111,13322222222"),
            ("+86 138 0013 8000, 0086-139-0013-9000", "13800138000,13900139000"),
            ("13800138000,13800138000", "13800138000"),
        ],
    )
    def test_takes_a_text_of_several_numbers_as_the_document_has_it(self, text: str, numbers: str) -> None:
        """Numbers may have any usual format. Each gets one message."""
        with WireServer(reply(ACCEPTED)) as server:
            gateway_at(server).send_sms(text, template_code="S", sign_name="签名")
        assert server.requests[0].params["rec_num"] == numbers

    def test_takes_a_text_of_at_most_200_numbers(self) -> None:
        numbers = [f"139{index:08}" for index in range(201)]
        with WireServer(reply(ACCEPTED)) as server:
            gateway_at(server).send_sms(",".join(numbers[:200]), template_code="S", sign_name="签名")
            error = refused(lambda: gateway_at(server).send_sms(",".join(numbers), template_code="S", sign_name="签名"))
        assert (error.category, error.gateway_code) == ("request", "50010")
        assert len(server.requests) == 1
        assert server.requests[0].params["rec_num"].count(",") == 199

    @pytest.mark.parametrize("text", [",", "13800138000,", ",13800138000", "13800138000,1", "13800138000，13900139000"])
    def test_refuses_a_text_with_one_that_is_none(self, text: str) -> None:
        """The same holds for an empty entry and for other commas. Nothing is sent to the other numbers."""
        with pytest.raises(PhoneError):
            Alidayu("key", SECRET).send_sms(text, template_code="S", sign_name="签名")

    @pytest.mark.parametrize("number", ["1380013800", "12345678901", "+85251234567", ""])
    def test_refuses_what_is_no_mainland_mobile_number(self, number: str) -> None:
        gateway = Alidayu("key", SECRET)
        with pytest.raises(PhoneError):
            gateway.send_sms(number, template_code="S", sign_name="签名")
        with pytest.raises(PhoneError):
            gateway.query_sms_detail(number, today())

    @pytest.mark.parametrize(
        "changes",
        [{"template_code": ""}, {"sign_name": "【签名】"}, {"sign_name": " 签名"}, {"params": {"code": 123456}}],
    )
    def test_refuses_a_malformed_template_signature_or_value(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Alidayu("key", SECRET).send_sms(NUMBER, **({"template_code": "S", "sign_name": "签名"} | changes))
        assert "123456" not in str(caught.value)

    def test_asks_for_a_typed_page(self) -> None:
        said = page(row(sms_status=1), current_page=2, page_size=10, total_count=100, total_page=5)
        with WireServer(reply(said)) as server:
            found = gateway_at(server).query_sms_detail(
                "138 0013 8000", today(), biz_id="1234^1234", page=2, page_size=10
            )
        assert server.requests[0].path == "/gw/alidayu/querySmsDetail"
        assert "biz_id=1234%5E1234" in server.requests[0].query
        assert server.requests[0].params == {
            "biz_id": "1234^1234",
            "rec_num": NUMBER,
            "query_date": today().strftime("%Y%m%d"),
            "current_page": "2",
            "page_size": "10",
        }
        detail = SmsDetail(
            extend=SEND_ID,
            rec_num=NUMBER,
            result_code="000",
            template_code="SMS_585014",
            content=f"【阿里大鱼】验证码{CODE}",
            sent_at=datetime(2015, 12, 15, 12, 0, 3, tzinfo=SHANGHAI),
            received_at=datetime(2015, 12, 15, 12, 0, 9, tzinfo=SHANGHAI),
            status="waiting",
        )
        assert found == SmsDetailPage(current_page=2, page_size=10, total_count=100, total_page=5, details=(detail,))
        assert CODE not in repr(found)
        assert NUMBER not in repr(found)

    @pytest.mark.parametrize(
        ("said", "counts"),
        [({"values": []}, (0, 0, 0, 0)), (page(current_page="3", page_size=None, total_count=-1), (3, 0, 0, 1))],
    )
    def test_counts_that_were_not_given_are_0(self, said: object, counts: tuple[int, ...]) -> None:
        with WireServer(reply(said)) as server:
            found = gateway_at(server).query_sms_detail(NUMBER, today())
        assert (found.current_page, found.page_size, found.total_count, found.total_page) == counts

    @pytest.mark.parametrize(
        "spell",
        [
            lambda day: day,
            lambda day: day.strftime("%Y%m%d"),
            lambda day: day.isoformat(),
            lambda day: datetime(day.year, day.month, day.day, 1, tzinfo=SHANGHAI).astimezone(UTC),
            lambda day: datetime(day.year, day.month, day.day, 23),  # noqa: DTZ001
        ],
    )
    def test_takes_a_day_in_any_usual_form(self, spell: Callable[[date], Any]) -> None:
        day = today() - timedelta(days=7)
        with WireServer(reply(page())) as server:
            gateway_at(server).query_sms_detail(NUMBER, spell(day))
        assert server.requests[0].params["query_date"] == day.strftime("%Y%m%d")

    def test_takes_one_of_the_last_30_days(self) -> None:
        with WireServer(reply(page())) as server:
            gateway = gateway_at(server)
            gateway.query_sms_detail(NUMBER, today() - timedelta(days=30))
            for day in (today() - timedelta(days=32), today() + timedelta(days=2), "20151301", "soon", None):
                error = refused(lambda day=day: gateway.query_sms_detail(NUMBER, day))  # type: ignore[misc]
                assert (error.category, error.gateway_code) == ("request", "80001")
        assert len(server.requests) == 1

    @pytest.mark.parametrize(("number", "size"), [(0, 50), (-1, 50), (1, 0), (1, 51), (True, 50), (1, 1.5), ("1", 50)])
    def test_refuses_paging_that_the_gateway_would(self, number: Any, size: Any) -> None:
        gateway = Alidayu("key", SECRET)
        error = refused(lambda: gateway.query_sms_detail(NUMBER, today(), page=number, page_size=size))
        assert (error.category, error.gateway_code) == ("request", "80002")

    @pytest.mark.parametrize("act", [drop, reply("", 502), reply("<html>"), reply({"values": None})])
    def test_says_that_an_unanswered_query_may_be_repeated(self, act: Act) -> None:
        with WireServer(act) as server:
            gateway = gateway_at(server)
            error = refused(lambda: gateway.query_sms_detail(NUMBER, today()))
        assert error.category == "connection"
        assert "may be repeated" in str(error)

    def test_iterates_over_all_rows_until_a_short_page_ignoring_the_total(self) -> None:
        acts = [
            reply(page(*others(50), total_page=1)),
            reply(page(*others(50), total_page=1)),
            reply(page(*others(1), total_page=99)),
        ]
        with WireServer(*acts) as server:
            details = list(gateway_at(server).iter_sms_details(NUMBER, today(), biz_id="1^2"))
        assert len(details) == 101
        assert [request.params["current_page"] for request in server.requests] == ["1", "2", "3"]
        assert {request.params["biz_id"] for request in server.requests} == {"1^2"}

    def test_iterates_within_a_bound(self) -> None:
        with WireServer(reply(page(*others(50)))) as server:
            details = gateway_at(server).iter_sms_details(NUMBER, today())
            error = refused(lambda: list(details))
        assert error.category == "request"
        assert len(server.requests) == 100

    def test_checks_the_arguments_of_an_iteration_at_once(self) -> None:
        with pytest.raises(GatewayRejectedError):
            Alidayu("key", SECRET).iter_sms_details(NUMBER, "20151215")


class TestSettings:
    def test_are_the_documents_by_default(self) -> None:
        gateway = Alidayu("key", SECRET)
        assert gateway.base_url == "https://ca.aliyuncs.com/gw/alidayu"
        assert gateway.timeout == (3, 10)
        assert (gateway.name, gateway.can_trace) == ("alidayu", True)

    def test_are_shown_without_key_and_secret(self) -> None:
        shown = repr(Alidayu("the-key", SECRET))
        assert shown == "Alidayu(base_url='https://ca.aliyuncs.com/gw/alidayu', timeout=(3, 10))"

    @pytest.mark.parametrize("field", ["app_key", "app_secret"])
    @pytest.mark.parametrize("value", ["", "a\r\nX: y", "a\0", " a", "a ", "a\n", "秘密", "a\x85", None, b"a", 7])
    def test_refuse_a_key_or_secret_that_no_header_can_carry(self, field: str, value: Any) -> None:
        with pytest.raises(ConfigurationError, match=f"{field} ") as caught:
            Alidayu(**({"app_key": "key", "app_secret": "secret"} | {field: value}))
        assert not value or str(value) == "7" or repr(value) not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1",
            "http://127.9.8.7:8080/gw/alidayu",
            "http://localhost:80",
            "http://[::1]:8080/gw",
            "https://gateway.example:8443/gw/alidayu/",
        ],
    )
    def test_take_https_anywhere_and_http_to_loopback(self, url: str) -> None:
        assert Alidayu("key", SECRET, base_url=url).base_url == url.rstrip("/")

    @pytest.mark.parametrize(
        "url",
        [
            "http://ca.aliyuncs.com/gw/alidayu",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://10.0.0.1",
            "http://[::2]",
            "http://2130706433",
            "http://127.1",
            "ftp://127.0.0.1",
            "//127.0.0.1",
            "127.0.0.1",
            "https://",
            "https://user@gateway.example",
            "https://user:pass@gateway.example",
            "https://gateway.example?a=b",
            "https://gateway.example/#a",
            "https://gateway.example/a b",
            "https://gateway.example/\r\n",
            "http://127.0.0.1\\@evil.example",
            "https://gateway.example:0",
            "https://gateway.example:65536",
            "https://gateway.example:",
            "https://例子.example",
            "",
            None,
            b"https://gateway.example",
        ],
    )
    def test_refuse_any_other_url(self, url: Any) -> None:
        with pytest.raises(ConfigurationError, match="base_url "):
            Alidayu("key", SECRET, base_url=url)

    @pytest.mark.parametrize(("timeout", "both"), [(2, (2, 2)), (0.5, (0.5, 0.5)), ((1, 2.5), (1, 2.5))])
    def test_take_one_timeout_or_two(self, timeout: Any, both: tuple[float, float]) -> None:
        assert Alidayu("key", SECRET, timeout=timeout).timeout == both

    @pytest.mark.parametrize(
        "timeout", [0, -1, None, "3", True, float("nan"), float("inf"), (3,), (3, 0), (1, 2, 3), (3, None)]
    )
    def test_refuse_any_other_timeout(self, timeout: Any) -> None:
        with pytest.raises(ConfigurationError, match="timeout "):
            Alidayu("key", SECRET, timeout=timeout)


class TestLeaks:
    def test_nothing_is_logged(self, transport: AnyTransport, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with WireServer(reply(ACCEPTED), drop, reply(page(row()))) as server:
            send(server, transport)
            send(server, transport)
        assert caplog.records == []

    def test_a_message_and_its_request_show_no_code_number_or_secret(self) -> None:
        request = next(Alidayu("key", SECRET).send(message()))
        for shown in (repr(message()), repr(request)):
            assert CODE not in shown
            assert NUMBER not in shown
            assert SECRET not in shown

    def test_an_answer_that_repeats_the_message_gets_into_no_error(self, transport: AnyTransport) -> None:
        def gossip(peer: Peer) -> None:
            said = f"{NUMBER} {CODE} {SECRET}"
            body = {"errorCode": said, "errorMessage": said, "msg": said, "code": said}
            peer.send(answer(body, 400, {"X-Ca-Error-Code": said}))

        with WireServer(gossip) as server:
            error = refused(lambda: send(server, transport))
        assert error.gateway_code == ""
