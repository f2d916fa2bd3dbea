"""Aliyun sends a message once, distinguishes rejected from uncertain sends, finds records and parses receipts."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
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
    at_send,
    refusal_of,
)
from documented_codes import ALIYUN_PUBLIC, ALIYUN_SMS, ALIYUN_SMS_ELSEWHERE, refusals
from leaks import reachable_text
from support.secrets import OTHER_SECRET
from support.transports import AnyTransport
from wire_server import Act, WireServer, drop, refusing_port, reply, silence

from otpkit import OTP, AsyncOTP
from otpkit.effects import Call, HttpRequest, HttpResponse
from otpkit.errors import ConfigurationError, GatewayRejectedError, PhoneError
from otpkit.gateways import Aliyun, Credentials, Delivery, Message, Push, Receipt, SendDetail, SendDetailPage
from otpkit.gateways.china_time import SHANGHAI
from otpkit.template import Template
from otpkit.transport.http import drive

NOON = datetime(2026, 5, 25, 4, tzinfo=UTC)  # 12:00 in Shanghai
TEMPLATE = Template("SMS_10000", "阿里大鱼", {"code": "{code}", "product": "p"})
ACCEPTED = {"Code": "OK", "Message": "OK", "BizId": "134523^4351232", "RequestId": "A1"}
UNCERTAIN = Receipt("aliyun", "", "uncertain")


def gateway_at(server: WireServer, timeout: tuple[float, float] = (5, 5), **options: Any) -> Aliyun:
    keys = () if "credentials" in options else (KEY, SECRET)
    return Aliyun(*keys, base_url=server.url, timeout=timeout, **options)


def message(phone: str = f"+86{NUMBER}", sent_at: datetime | None = NOON) -> Message:
    return Message(phone, CODE, TEMPLATE, {"code": CODE, "product": '大鱼 "x"+~*%'}, SEND_ID, sent_at)


def send(server: WireServer, transport: AnyTransport, **of_message: Any) -> Receipt:
    return drive(gateway_at(server).send(message(**of_message)), transport)


def refused(call: Callable[[], object]) -> GatewayRejectedError:
    return refusal_of(call, "aliyun")


def actions(server: WireServer) -> list[str]:
    return [request.headers["x-acs-action"] for request in server.requests]


def row(**changes: object) -> dict[str, object]:
    return {
        "OutId": SEND_ID,
        "PhoneNum": NUMBER,
        "ErrCode": "DELIVERED",
        "TemplateCode": "SMS_10000",
        "Content": f"【阿里大鱼】验证码{CODE}",
        "SendDate": "2026-05-25 12:00:03",
        "ReceiveDate": "2026-05-25 12:00:09",
        "SendStatus": 3,
    } | changes


def page(*rows: object) -> dict[str, object]:
    return {"Code": "OK", "TotalCount": len(rows), "SmsSendDetailDTOs": {"SmsSendDetailDTO": rows}}


def others(count: int) -> list[dict[str, object]]:
    return [row(OutId=f"other-{index}") for index in range(count)]


class TestSending:
    def test_makes_exactly_the_documented_request(self, transport: AnyTransport) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            receipt = send(server, transport)
        assert receipt == Receipt("aliyun", "134523^4351232", "accepted")
        (request,) = server.requests
        assert request.line.startswith("POST /?")
        assert request.params == {
            "PhoneNumbers": NUMBER,
            "SignName": "阿里大鱼",
            "TemplateCode": "SMS_10000",
            "TemplateParam": '{"code":"730452","product":"大鱼 \\"x\\"+~*%"}',
            "OutId": SEND_ID,
        }
        assert "+" not in request.query
        assert request.headers["host"] == f"127.0.0.1:{server.port}"
        assert request.headers["content-length"] == "0"
        assert request.headers["user-agent"] == "otpkit"
        assert request.headers["x-acs-action"] == "SendSms"
        assert request.headers["x-acs-version"] == "2017-05-25"
        assert request.headers["x-acs-date"] == "2026-05-25T04:00:00Z"
        assert_signed(request)
        assert SECRET.encode() not in request.raw

    def test_signs_each_request_with_a_nonce_of_its_own_and_the_hosts_time_where_none_is_given(
        self, transport: AnyTransport
    ) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        with WireServer(reply(ACCEPTED)) as server:
            for _ in range(3):
                send(server, transport, sent_at=None)
        assert len({request.headers["x-acs-signature-nonce"] for request in server.requests}) == 3
        dates = [datetime.fromisoformat(request.headers["x-acs-date"]) for request in server.requests]
        assert all(before <= moment <= datetime.now(UTC) for moment in dates)

    def test_signs_the_path_that_a_proxy_adds(self, transport: AnyTransport) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            drive(Aliyun(KEY, SECRET, base_url=f"{server.url}/sms").send(message()), transport)
        assert server.requests[0].path == "/sms/"
        assert_signed(server.requests[0])

    @pytest.mark.parametrize(
        ("phone", "sent"),
        [(f"+86{NUMBER}", NUMBER), ("+85251234567", "85251234567"), ("+12125550123", "12125550123")],
    )
    def test_writes_a_number_as_aliyun_wants_it(self, transport: AnyTransport, phone: str, sent: str) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            send(server, transport, phone=phone)
        assert server.requests[0].params["PhoneNumbers"] == sent

    @pytest.mark.parametrize("phone", ["+13105550123", "+19175550123"])
    def test_refuses_a_number_that_would_read_like_one_of_the_mainland(
        self, transport: AnyTransport, phone: str
    ) -> None:
        """Without its + it is another person's number, and that person would receive the code."""
        with WireServer(reply(ACCEPTED)) as server:
            error = refused(lambda: send(server, transport, phone=phone))
            assert server.requests == []
        assert error.category == "configuration"
        assert "another gateway" in str(error)

    @pytest.mark.parametrize("phone", ["+8612345", "+86138001380000", NUMBER, "", "+1", f"+86{NUMBER},{NUMBER}", "+a"])
    def test_refuses_what_it_can_not_write_before_anything_is_sent(self, phone: str) -> None:
        """The number itself is valid, so another gateway may be able to send to it."""
        flow = Aliyun(KEY, SECRET).send(message(phone))
        error = refused(lambda: next(flow))
        assert (error.category, error.concerns, error.gateway_code) == ("configuration", "message", "")

    def test_refuses_by_connection_where_none_was_made(self, transport: AnyTransport) -> None:
        with refusing_port() as port:
            gateway = Aliyun(KEY, SECRET, base_url=f"http://127.0.0.1:{port}")
            error = refused(lambda: drive(gateway.send(message()), transport))
        assert (error.category, error.gateway_code) == ("connection", "")

    @pytest.mark.parametrize(("code", "category"), refusals(ALIYUN_PUBLIC, ALIYUN_SMS, ALIYUN_SMS_ELSEWHERE))
    @pytest.mark.parametrize("status", [200, 400, 403, 404])
    def test_refuses_with_each_documented_code(
        self, transport: AnyTransport, code: str, category: str, status: int
    ) -> None:
        with WireServer(reply({"Code": code, "Message": GOSSIP, "BizId": "1^2"}, status)) as server:
            error = refused(lambda: send(server, transport))
        assert (error.category, error.gateway_code) == (category, code)
        assert " must " in error.remedy or "Wait" in error.remedy
        assert actions(server) == ["SendSms"]

    @pytest.mark.parametrize("status", [400, 403, 404, 408, 418])
    @pytest.mark.parametrize("body", [{"Code": "SomethingNew", "Message": GOSSIP}, {"Code": GOSSIP}, "<html>", ""])
    def test_refuses_with_any_other_4xx(self, transport: AnyTransport, status: int, body: object) -> None:
        with WireServer(reply(body, status)) as server:
            error = refused(lambda: send(server, transport))
        assert error.category == "request"
        assert error.gateway_code in {"SomethingNew", ""}
        assert str(status) in str(error)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("status", "body", "category"),
        [(401, "", "account"), (429, "", "quota"), (400, {"Code": "Throttling.User"}, "quota")],
    )
    def test_reads_what_the_status_says(
        self, transport: AnyTransport, status: int, body: object, category: str
    ) -> None:
        with WireServer(reply(body, status, {"Retry-After": "7"})) as server:
            error = refused(lambda: send(server, transport))
        assert (error.category, error.retry_after) == (category, 7 if category == "quota" else None)

    @pytest.mark.parametrize(
        ("biz_id", "message_id"), [("1^2", "1^2"), (None, ""), (7, ""), ("a b", ""), ("x" * 129, "")]
    )
    def test_is_accepted_by_ok_whatever_the_id(self, transport: AnyTransport, biz_id: object, message_id: str) -> None:
        with WireServer(reply({"Code": "OK", "BizId": biz_id})) as server:
            assert send(server, transport) == Receipt("aliyun", message_id)


class TestCredentials:
    def test_may_be_temporary(self, transport: AnyTransport) -> None:
        with WireServer(reply(ACCEPTED)) as server:
            drive(gateway_at(server, security_token=TOKEN).send(message()), transport)
        assert server.requests[0].headers["x-acs-security-token"] == TOKEN
        assert_signed(server.requests[0])

    def test_may_come_fresh_for_each_request(self, transport: AnyTransport) -> None:
        given = iter([Credentials(KEY, SECRET, "first"), Credentials(KEY, SECRET, "second")])
        with WireServer(*at_send(drop)) as server:
            gateway = gateway_at(server, credentials=lambda: next(given))
            assert drive(gateway.send(message()), transport) == UNCERTAIN
        assert actions(server) == ["SendSms", "QuerySendDetails"]
        assert [request.headers["x-acs-security-token"] for request in server.requests] == ["first", "second"]
        for request in server.requests:
            assert_signed(request)

    def test_are_asked_of_the_shell(self) -> None:
        effect = next(Aliyun(credentials=lambda: Credentials(KEY, SECRET)).send(message()))
        assert isinstance(effect, Call)

    def test_that_fail_mean_that_nothing_was_sent(self, transport: AnyTransport) -> None:
        def fail() -> Credentials:
            raise RuntimeError(f"no STS with {SECRET}")

        with WireServer(reply(ACCEPTED)) as server:
            gateway = gateway_at(server, credentials=fail)
            error = refused(lambda: drive(gateway.send(message()), transport))
        assert error.category == "account"
        assert "no STS" not in str(error)
        assert server.requests == []

    @pytest.mark.parametrize("given", [None, (KEY, SECRET), {"access_key_id": KEY}, ""])
    def test_that_are_none_mean_that_nothing_was_sent(self, transport: AnyTransport, given: Any) -> None:
        gateway = Aliyun(credentials=lambda: given, base_url="http://127.0.0.1:1")
        assert refused(lambda: drive(gateway.send(message()), transport)).category == "account"

    async def test_may_be_awaited(self) -> None:
        async def give() -> Credentials:
            return Credentials(KEY, SECRET, "awaited")

        with WireServer(reply(ACCEPTED)) as server:
            gateway = gateway_at(server, credentials=give)
            async with AsyncOTP("memory://", gateway, TEMPLATE, OTHER_SECRET) as otp:
                challenge = await otp.issue(f"+86{NUMBER}")
            assert challenge.delivery == "accepted"
            assert server.requests[0].headers["x-acs-security-token"] == "awaited"
            with OTP("memory://", gateway, TEMPLATE, OTHER_SECRET) as plain:
                assert refused(lambda: plain.issue(f"+86{NUMBER}")).category == "account"
            assert refused(lambda: gateway.query_send_details(NUMBER, today())).category == "account"
        assert len(server.requests) == 1

    async def test_may_be_awaited_of_whatever_gives_an_awaitable(self) -> None:
        async def give(token: str) -> Credentials:
            return Credentials(KEY, SECRET, token)

        async def fail(secret: str) -> Credentials:
            raise RuntimeError(f"no STS with {secret}")

        class Source:
            async def __call__(self) -> Credentials:
                return await give("awaited")

        for source in (lambda: give("awaited"), Source()):
            with WireServer(reply(ACCEPTED)) as server:
                gateway = gateway_at(server, credentials=source)
                async with AsyncOTP("memory://", gateway, TEMPLATE, OTHER_SECRET) as otp:
                    assert (await otp.issue(f"+86{NUMBER}")).delivery == "accepted"
            assert [request.headers["x-acs-security-token"] for request in server.requests] == ["awaited"]
        async with AsyncOTP("memory://", Aliyun(credentials=lambda: fail("a secret")), TEMPLATE, OTHER_SECRET) as otp:
            with pytest.raises(GatewayRejectedError) as caught:
                await otp.issue(f"+86{NUMBER}")
        assert caught.value.category == "account"
        assert "no STS with a secret" not in reachable_text(caught.value)

    def test_that_fail_leave_the_look_out(self, transport: AnyTransport) -> None:
        given = iter([Credentials(KEY, SECRET)])
        with WireServer(drop) as server:
            gateway = gateway_at(server, credentials=lambda: next(given))
            assert drive(gateway.send(message()), transport) == UNCERTAIN
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"access_key_id": KEY},
            {"access_key_id": KEY, "access_key_secret": ""},
            {"access_key_id": f"{KEY}\n", "access_key_secret": SECRET},
            {"access_key_id": KEY, "access_key_secret": SECRET, "security_token": ""},
            {"credentials": Credentials(KEY, SECRET)},
            {"access_key_id": KEY, "access_key_secret": SECRET, "credentials": lambda: Credentials(KEY, SECRET)},
        ],
    )
    def test_that_can_not_be_right_are_refused_at_once(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Aliyun(**arguments)
        assert SECRET not in str(caught.value)


class TestUncertainty:
    @pytest.mark.parametrize("act", UNCERTAIN_ACTS)
    def test_is_what_is_neither_clearly_sent_nor_refused(self, transport: AnyTransport, act: Act) -> None:
        with WireServer(*at_send(act)) as server:
            assert send(server, transport) == UNCERTAIN
        assert actions(server) == ["SendSms", "QuerySendDetails"]

    def test_is_an_answer_that_comes_too_late(self, transport: AnyTransport) -> None:
        with WireServer(*at_send(silence)) as server:
            assert drive(gateway_at(server, (5, 0.2)).send(message()), transport) == UNCERTAIN
        assert actions(server) == ["SendSms", "QuerySendDetails"]

    @pytest.mark.parametrize("act", UNCERTAIN_ACTS[:1] + UNCERTAIN_ACTS[-2:])
    def test_ends_where_the_look_finds_the_send_id(self, transport: AnyTransport, act: Act) -> None:
        with WireServer(*at_send(act, reply(page(*others(3), row(SendStatus=1))))) as server:
            assert send(server, transport) == Receipt("aliyun", "", "accepted")
        look = server.requests[1]
        assert look.params == {
            "PhoneNumber": NUMBER,
            "SendDate": "20260525",
            "PageSize": "50",
            "CurrentPage": "1",
        }
        assert_signed(look)

    @pytest.mark.parametrize(
        "look",
        [
            pytest.param(reply(page(*others(3))), id="other messages only"),
            pytest.param(reply(page(*others(50))), id="a full page is the only one"),
            pytest.param(reply({"Code": "isv.AMOUNT_NOT_ENOUGH"}), id="refused"),
            pytest.param(reply("", 403), id="forbidden"),
            pytest.param(reply("", 500), id="500"),
            pytest.param(reply("<html>"), id="not JSON"),
            pytest.param(reply(page(None, 7, {"OutId": None})), id="strange rows"),
            pytest.param(drop, id="dropped"),
        ],
    )
    def test_stays_whatever_else_comes_of_the_look_and_nothing_is_sent_again(
        self, transport: AnyTransport, look: Act
    ) -> None:
        with WireServer(*at_send(drop, look)) as server:
            assert send(server, transport) == UNCERTAIN
        assert actions(server) == ["SendSms", "QuerySendDetails"]

    def test_is_looked_into_within_a_bound_however_long_an_answer_may_take(self) -> None:
        flow = Aliyun(KEY, SECRET, timeout=(60, 60)).send(message())
        first = next(flow)
        look = flow.send(HttpResponse(500, {}, ""))
        assert isinstance(first, HttpRequest)
        assert isinstance(look, HttpRequest)
        assert (first.timeout, look.timeout) == ((60, 60), (2, 3))

    @pytest.mark.parametrize(
        ("sent_at", "days"),
        [
            ("2026-05-25T00:09:59", ["20260525", "20260524"]),
            ("2026-05-25T00:10:00", ["20260525"]),
            ("2026-05-25T23:50:00", ["20260525", "20260526"]),
        ],
    )
    def test_is_looked_into_on_both_days_around_midnight_in_shanghai(
        self, transport: AnyTransport, sent_at: str, days: list[str]
    ) -> None:
        with WireServer(*at_send(drop)) as server:
            assert send(server, transport, sent_at=datetime.fromisoformat(f"{sent_at}+08:00")) == UNCERTAIN
        assert [request.params["SendDate"] for request in server.requests[1:]] == days


class TestTracing:
    def trace(self, server: WireServer, transport: AnyTransport, sent_at: datetime = NOON) -> Delivery:
        return drive(gateway_at(server).trace(f"+86{NUMBER}", SEND_ID, sent_at), transport)

    @pytest.mark.parametrize(
        ("status", "state"),
        [(1, "pending"), (2, "failed"), (3, "delivered"), ("3", "delivered"), (4, "unknown"), (None, "unknown")],
    )
    def test_goes_by_the_status_alone(self, transport: AnyTransport, status: object, state: str) -> None:
        with WireServer(reply(page(*others(2), row(SendStatus=status)))) as server:
            delivery = self.trace(server, transport)
        settled = state in {"failed", "delivered"}
        assert delivery == Delivery(
            state=state,  # type: ignore[arg-type]
            gateway="aliyun",
            result_code="DELIVERED" if settled else "",
            sent_at=datetime(2026, 5, 25, 4, 0, 3, tzinfo=UTC),
            received_at=datetime(2026, 5, 25, 4, 0, 9, tzinfo=UTC) if settled else None,
        )

    def test_is_signed_with_the_hosts_time_whenever_the_message_was_sent(self, transport: AnyTransport) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        with WireServer(reply(page(row()))) as server:
            self.trace(server, transport)
        assert datetime.fromisoformat(server.requests[0].headers["x-acs-date"]) >= before

    def test_pages_until_it_finds_the_send_id(self, transport: AnyTransport) -> None:
        with WireServer(reply(page(*others(50))), reply(page(*others(50))), reply(page(row()))) as server:
            assert self.trace(server, transport).state == "delivered"
        assert [request.params["CurrentPage"] for request in server.requests] == ["1", "2", "3"]

    @pytest.mark.parametrize(("rows", "pages"), [(0, 1), (49, 1), (50, 4)])
    def test_pages_until_a_short_page_and_within_a_bound(self, transport: AnyTransport, rows: int, pages: int) -> None:
        with WireServer(reply(page(*others(rows)))) as server:
            assert self.trace(server, transport) == Delivery(state="unknown", gateway="aliyun")
        assert len(server.requests) == pages

    def test_takes_a_day_that_the_gateway_has_not_reached_for_an_empty_one(self, transport: AnyTransport) -> None:
        midnight = datetime(2026, 5, 25, 15, 59, tzinfo=UTC)
        with WireServer(reply(page()), reply({"Code": "isv.INVALID_PARAMETERS"})) as server:
            assert self.trace(server, transport, midnight).state == "unknown"
        with WireServer(reply(page()), reply({"Code": "isv.OUT_OF_SERVICE"})) as server:
            assert refused(lambda: self.trace(server, transport, midnight)).category == "account"

    @pytest.mark.parametrize(
        "act", [drop, reply("", 500), reply("<html>"), reply({"Code": "OK"}), reply({"Code": "isp.SYSTEM_ERROR"}, 400)]
    )
    def test_is_unknown_where_no_answer_comes(self, transport: AnyTransport, act: Act) -> None:
        with WireServer(act) as server:
            assert self.trace(server, transport) == Delivery(state="unknown", gateway="aliyun")

    @pytest.mark.parametrize(
        ("act", "category", "code"),
        [
            (reply({"Code": "isv.OUT_OF_SERVICE", "Message": GOSSIP}), "account", "isv.OUT_OF_SERVICE"),
            (reply({"Code": "isv.SOMETHING_NEW"}), "request", "isv.SOMETHING_NEW"),
            (reply({"Code": "Throttling"}, 400), "quota", "Throttling"),
            (reply("", 401), "account", ""),
        ],
    )
    def test_raises_where_the_gateway_refuses(
        self, transport: AnyTransport, act: Act, category: str, code: str
    ) -> None:
        with WireServer(act) as server:
            error = refused(lambda: self.trace(server, transport))
        assert (error.category, error.gateway_code) == (category, code)


def today() -> date:
    return datetime.now(SHANGHAI).date()


class TestDirectUse:
    def test_asks_for_a_typed_page(self) -> None:
        with WireServer(reply(page(row(SendStatus=1)))) as server:
            found = gateway_at(server).query_send_details(
                "138 0013 8000", today(), biz_id="1234^1234", page=2, page_size=10
            )
        assert actions(server) == ["QuerySendDetails"]
        assert server.requests[0].params == {
            "PhoneNumber": NUMBER,
            "SendDate": today().strftime("%Y%m%d"),
            "PageSize": "10",
            "CurrentPage": "2",
            "BizId": "1234^1234",
        }
        detail = SendDetail(
            out_id=SEND_ID,
            phone_num=NUMBER,
            err_code="DELIVERED",
            template_code="SMS_10000",
            content=f"【阿里大鱼】验证码{CODE}",
            sent_at=datetime(2026, 5, 25, 12, 0, 3, tzinfo=SHANGHAI),
            received_at=datetime(2026, 5, 25, 12, 0, 9, tzinfo=SHANGHAI),
            status="waiting",
        )
        assert found == SendDetailPage(total_count=1, details=(detail,))
        assert CODE not in repr(found)
        assert NUMBER not in repr(found)

    def test_takes_a_number_of_another_region_as_e164(self) -> None:
        with WireServer(reply(page())) as server:
            gateway_at(server).query_send_details("+85251234567", today())
        assert server.requests[0].params["PhoneNumber"] == "85251234567"

    @pytest.mark.parametrize("number", ["1380013800", "12345678901", "+861234", "", None])
    def test_refuses_what_is_no_number(self, number: Any) -> None:
        with pytest.raises(PhoneError):
            Aliyun(KEY, SECRET).query_send_details(number, today())

    @pytest.mark.parametrize(
        "day", ["20151301", "soon", None, date(2015, 1, 1), datetime(9999, 12, 31, 23, tzinfo=UTC)]
    )
    def test_refuses_a_day_that_can_not_be_asked_for(self, day: Any) -> None:
        error = refused(lambda: Aliyun(KEY, SECRET).query_send_details(NUMBER, day))
        assert (error.category, error.gateway_code) == ("request", "isv.INVALID_PARAMETERS")
        with WireServer(reply(page())) as server:
            gateway_at(server).query_send_details(NUMBER, today() - timedelta(days=30))

    @pytest.mark.parametrize(("number", "size"), [(0, 50), (1, 0), (1, 51), (True, 50), (1, 1.5), ("1", 50)])
    def test_refuses_paging_that_the_gateway_would(self, number: Any, size: Any) -> None:
        gateway = Aliyun(KEY, SECRET)
        error = refused(lambda: gateway.query_send_details(NUMBER, today(), page=number, page_size=size))
        assert error.category == "request"

    @pytest.mark.parametrize("act", [drop, reply("", 502), reply("<html>"), reply({"Code": "OK"})])
    def test_says_that_an_unanswered_query_may_be_repeated(self, act: Act) -> None:
        with WireServer(act) as server:
            error = refused(lambda: gateway_at(server).query_send_details(NUMBER, today()))
        assert error.category == "connection"
        assert "may be repeated" in str(error)

    def test_iterates_over_all_rows_until_a_short_page(self) -> None:
        with WireServer(reply(page(*others(50))), reply(page(*others(50))), reply(page(*others(1)))) as server:
            details = list(gateway_at(server).iter_send_details(NUMBER, today(), biz_id="1^2"))
        assert len(details) == 101
        assert {request.params["BizId"] for request in server.requests} == {"1^2"}

    def test_iterates_within_a_bound(self) -> None:
        with WireServer(reply(page(*others(50)))) as server:
            details = gateway_at(server).iter_send_details(NUMBER, today())
            error = refused(lambda: list(details))
        assert error.category == "request"
        assert len(server.requests) == 100

    def test_takes_fresh_credentials_too(self) -> None:
        with WireServer(reply(page())) as server:
            gateway_at(server, credentials=lambda: Credentials(KEY, SECRET)).query_send_details(NUMBER, today())
        assert_signed(server.requests[0])


REPORT = {
    "phone_number": NUMBER,
    "send_time": "2026-05-25 12:00:03",
    "report_time": "2026-05-25 12:00:09",
    "success": True,
    "err_code": "DELIVERED",
    "err_msg": "用户接收成功",
    "sms_size": "1",
    "biz_id": "1234^1234",
    "out_id": SEND_ID,
}


def pushed(body: object) -> Push:
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Push("https://app.example/receipts/secret", {"Content-Type": "application/json"}, data)


class TestReceipts:
    @pytest.mark.parametrize(("success", "state"), [(True, "delivered"), (False, "failed")])
    def test_say_what_became_of_which_message(self, success: bool, state: str) -> None:
        found = Aliyun(KEY, SECRET).receipts(pushed([REPORT | {"success": success}]))
        assert found.deliveries == (
            Delivery(
                state=state,  # type: ignore[arg-type]
                gateway="aliyun",
                result_code="DELIVERED",
                sent_at=datetime(2026, 5, 25, 4, 0, 3, tzinfo=UTC),
                received_at=datetime(2026, 5, 25, 4, 0, 9, tzinfo=UTC),
                phone=f"+86{NUMBER}",
                send_id=SEND_ID,
                message_id="1234^1234",
            ),
        )
        assert (found.status, found.content_type) == (200, "application/json")
        assert json.loads(found.body) == {"code": 0, "msg": "ok"}
        assert NUMBER not in repr(found)

    @pytest.mark.parametrize(
        ("written", "phone"),
        [
            (NUMBER, f"+86{NUMBER}"),
            (f"86{NUMBER}", f"+86{NUMBER}"),
            (f"+86{NUMBER}", f"+86{NUMBER}"),
            (f"0086{NUMBER}", f"+86{NUMBER}"),
            (int(NUMBER), f"+86{NUMBER}"),
            ("85251234567", "+85251234567"),
            ("12125550123", "+12125550123"),
            ("+13105550123", "+13105550123"),
        ],
    )
    def test_know_a_number_in_any_of_its_spellings(self, written: object, phone: str) -> None:
        (delivery,) = Aliyun(KEY, SECRET).receipts(pushed([REPORT | {"phone_number": written}])).deliveries
        assert delivery.phone == phone

    def test_may_be_many_and_what_is_none_among_them_is_left_out(self) -> None:
        rows = [
            REPORT,
            None,
            7,
            [],
            {},
            REPORT | {"success": "true"},
            REPORT | {"phone_number": "x"},
            REPORT | {"out_id": None, "biz_id": None},
            REPORT | {"out_id": "", "err_code": GOSSIP, "send_time": None, "report_time": "soon"},
        ]
        first, last = Aliyun(KEY, SECRET).receipts(pushed(rows)).deliveries
        assert first.send_id == SEND_ID
        assert (last.send_id, last.message_id, last.result_code) == ("", "1234^1234", "")
        assert (last.sent_at, last.received_at) == (None, None)

    def test_of_a_time_that_utc_has_not_lose_the_time_alone(self) -> None:
        rows = [REPORT, REPORT | {"send_time": "0001-01-01 00:00:00", "report_time": "0001-01-01 07:59:59"}]
        first, last = Aliyun(KEY, SECRET).receipts(pushed(rows)).deliveries
        assert first.state == last.state
        assert (last.sent_at, last.received_at) == (None, None)

    @pytest.mark.parametrize("written", [f"0{NUMBER}", f"000{NUMBER}", "+08613800138000", "0001234567"])
    def test_of_what_is_no_number_are_left_out(self, written: str) -> None:
        assert Aliyun(KEY, SECRET).receipts(pushed([REPORT | {"phone_number": written}])).deliveries == ()

    @pytest.mark.parametrize("body", [b"", b"\xff", b"<html>", b"{}", b"null", b"[" * 100_000, b"[[[]]]"])
    def test_that_can_not_be_read_say_nothing_and_are_not_repeated(self, body: bytes) -> None:
        found = Aliyun(KEY, SECRET).receipts(pushed(body))
        assert (found.deliveries, found.status) == ((), 200)
        assert json.loads(found.body)["code"] == 0


class TestSettings:
    def test_are_aliyuns_by_default(self) -> None:
        gateway = Aliyun(KEY, SECRET)
        assert gateway.base_url == "https://dysmsapi.aliyuncs.com"
        assert gateway.timeout == (3, 10)
        assert (gateway.name, gateway.can_trace, gateway.channels) == ("aliyun", True, {"sms"})
        assert next(gateway.send(message())).headers["host"] == "dysmsapi.aliyuncs.com"  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("url", "host"),
        [
            ("https://sms.example:443", "sms.example"),
            ("https://sms.example:80", "sms.example:80"),
            ("http://127.0.0.1:80", "127.0.0.1"),
            ("http://[::1]:8080", "[::1]:8080"),
        ],
    )
    def test_sign_the_host_as_http_writes_it(self, url: str, host: str) -> None:
        request = next(Aliyun(KEY, SECRET, base_url=url).send(message()))
        assert request.headers["host"] == host  # type: ignore[union-attr]

    def test_are_shown_without_keys(self) -> None:
        shown = repr(Aliyun(KEY, SECRET, security_token=TOKEN))
        assert shown == "Aliyun(base_url='https://dysmsapi.aliyuncs.com', timeout=(3, 10))"

    @pytest.mark.parametrize("options", [{"base_url": "http://dysmsapi.aliyuncs.com"}, {"timeout": 0}])
    def test_that_can_not_work_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            Aliyun(KEY, SECRET, **options)


class TestLeaks:
    def test_nothing_is_logged(self, transport: AnyTransport, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with WireServer(reply(ACCEPTED), drop, reply(page(row()))) as server:
            send(server, transport)
            send(server, transport)
        assert caplog.records == []

    def test_a_request_shows_no_code_number_or_secret(self) -> None:
        shown = repr(next(Aliyun(KEY, SECRET, security_token=TOKEN).send(message())))
        assert not any(secret in shown for secret in (CODE, NUMBER, SECRET, TOKEN))
