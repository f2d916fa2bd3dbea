"""Receipts that the server pushes: their contents, their times, their repeats. They never delay the server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from alibaba_client import Alibaba
from push_receiver import Receiver, receiving
from sandbox_client import Client, Clock

from otpkit.errors import ConfigurationError
from otpkit.sandbox import Fault, Sandbox, running
from otpkit.sandbox.messages import Sms

QUIET = 0.3  # Seconds, within which a push that is not due would have arrived.


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def pushing(client: Client, receiver: Receiver) -> Iterator[Client]:
    """Yield a sandbox that pushes to the receiver."""
    client.sandbox.push_receipts_to(receiver.url)
    yield client
    client.sandbox.push_receipts_to(None)


def test_a_receipt_of_an_sms_is_pushed_when_it_comes_in(pushing: Client, receiver: Receiver) -> None:
    biz_id = Alibaba(pushing).send()["BizId"]
    time.sleep(QUIET)
    assert receiver.pushes == []
    pushing.clock.now += 1
    assert receiver.wait_for(1) == [
        {
            "phone_number": "13800138000",
            "send_time": "2027-01-15 12:00:00",
            "report_time": "2027-01-15 12:00:01",
            "success": True,
            "err_code": "DELIVERED",
            "err_msg": "用户接收成功",
            "sms_size": "1",
            "biz_id": biz_id,
            "out_id": "1234",
        }
    ]
    path, headers, _ = receiver.pushes[0]
    assert path == "/hook/secret?via=dysmsapi"
    assert headers["Content-Type"] == "application/json;charset=utf-8"


def test_a_receipt_of_a_call_is_pushed_when_it_comes_in(pushing: Client, receiver: Receiver) -> None:
    call_id = Alibaba(pushing).say(called_show_number="057100000000")["CallId"]
    pushing.clock.now += 2
    assert receiver.wait_for(1) == [
        {
            "call_id": call_id,
            "originate_time": "2027-01-15 12:00:00",
            "ring_time": "2027-01-15 12:00:00",
            "start_time": "2027-01-15 12:00:00",
            "end_time": "2027-01-15 12:00:01",
            "caller": "057100000000",
            "callee": "13800138000",
            "duration": "1",
            "status_code": "200000",
            "status_msg": "用户听完",
            "out_id": "1234",
            "dtmf": "",
            "voice_type": "voice",
        }
    ]
    assert receiver.pushes[0][0] == "/hook/secret?via=dyvmsapi"


@pytest.mark.parametrize(
    ("phone", "sms", "call"), [("13900100071", "UNDELIV", "200003"), ("13900120010", "DELIVERED", "200010")]
)
def test_a_receipt_says_what_failed(pushing: Client, receiver: Receiver, phone: str, sms: str, call: str) -> None:
    alibaba = Alibaba(pushing)
    alibaba.send(phone)
    alibaba.say(phone)
    pushing.clock.now += 1
    by_kind = {receipt.get("err_code", receipt.get("status_code")): receipt for receipt in receiver.wait_for(2)}
    assert set(by_kind) == {sms, call}
    assert by_kind[sms]["success"] is (sms == "DELIVERED")
    assert (by_kind[call]["start_time"], by_kind[call]["duration"]) == ("", "0")


def test_a_receipt_that_never_comes_is_not_pushed(pushing: Client, receiver: Receiver) -> None:
    Alibaba(pushing).send("13900100081")
    pushing.clock.now += 86_400
    time.sleep(QUIET)
    assert receiver.pushes == []


@pytest.mark.parametrize("phone", ["13900100072", "13800138000"])
def test_a_receipt_can_be_pushed_twice(pushing: Client, receiver: Receiver, phone: str) -> None:
    if phone == "13800138000":
        pushing.sandbox.add_fault(Fault("receipt_twice"))
    Alibaba(pushing).send(phone)
    pushing.clock.now += 1
    first, second = receiver.wait_for(2)
    assert first == second


def test_a_receipt_can_come_late(pushing: Client, receiver: Receiver) -> None:
    Alibaba(pushing).send("13900100082")
    pushing.clock.now += 5.9
    time.sleep(QUIET)
    assert receiver.pushes == []
    pushing.clock.now += 0.1
    assert receiver.wait_for(1)[0]["report_time"] == "2027-01-15 12:00:06"


def test_a_push_that_is_not_taken_comes_again(pushing: Client, receiver: Receiver) -> None:
    receiver.answers = [500, 302, 404]
    Alibaba(pushing).send()
    for number, wait in enumerate((1, 1, 5, 10), start=1):
        pushing.clock.now += wait
        receipts = receiver.wait_for(number)
    assert all(receipt == receipts[0] for receipt in receipts)
    pushing.clock.now += 86_400
    time.sleep(QUIET)
    assert len(receiver.pushes) == 4


def test_a_push_that_is_never_taken_is_given_up(pushing: Client, receiver: Receiver) -> None:
    receiver.answers = [500] * 9
    Alibaba(pushing).send()
    for number in range(1, 5):
        pushing.clock.now += 10
        receiver.wait_for(number)
    pushing.clock.now += 86_400
    time.sleep(QUIET)
    assert len(receiver.pushes) == 4


def test_receipts_of_one_moment_are_pushed_together(pushing: Client, receiver: Receiver) -> None:
    Alibaba(pushing).send(",".join(f"1370000{n:04d}" for n in range(250)))
    pushing.clock.now += 1
    phones = {receipt["phone_number"] for receipt in receiver.wait_for(3)}
    assert len(phones) == 250
    assert [len(body) for _, _, body in receiver.pushes] == [100, 100, 50]


def test_the_receipts_of_alidayu_are_asked_for_and_never_pushed(pushing: Client, receiver: Receiver) -> None:
    pushing.send()
    pushing.clock.now += 1
    time.sleep(QUIET)
    assert receiver.pushes == []


def test_messages_that_were_cleared_have_no_receipts(pushing: Client, receiver: Receiver) -> None:
    Alibaba(pushing).send()
    pushing.sandbox.clear_messages()
    Alibaba(pushing).send()
    pushing.sandbox.reset()
    pushing.clock.now += 1
    time.sleep(QUIET)
    assert receiver.pushes == []


def test_the_address_can_be_an_option_and_the_waits_too(receiver: Receiver) -> None:
    receiver.answers = [500]
    sandbox = Sandbox(receipt_after=0, receipts_url=receiver.url, receipt_retries=[0])
    with running(sandbox):
        sandbox.submit(Sms(("13800138000",), "SMS_1", "签名", {}, "长" * 71, "", "SendSms"))
        assert {receipt["sms_size"] for receipt in receiver.wait_for(2)} == {"2"}


def _silent(listener: socket.socket) -> None:
    """Accept connections, and never answer."""


def _hanging_up(listener: socket.socket) -> None:
    listener.close()


@pytest.mark.parametrize("behave", [_silent, _hanging_up])
def test_a_receiver_that_does_not_answer_delays_nothing(behave: Callable[[socket.socket], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        behave(listener)
        sandbox = Sandbox(receipt_after=0, receipts_url=url, receipt_retries=[0, 0])
        threads = threading.enumerate()
        with running(sandbox) as address:
            client = Client(address, sandbox, Clock())
            client.clock.now = time.time()
            with client.session:
                assert Alibaba(client).send()["Code"] == "OK"
                time.sleep(QUIET)
                assert Alibaba(client).send()["Code"] == "OK"
            before = time.monotonic()
        assert time.monotonic() - before < 4
        assert threading.enumerate() == threads


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"nonsense\r\n\r\n"])
def test_an_answer_that_is_not_whole_is_none(answer: bytes) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        sandbox = Sandbox(
            receipt_after=0, receipts_url=f"http://127.0.0.1:{listener.getsockname()[1]}", receipt_retries=[0]
        )
        with running(sandbox):
            sandbox.submit(Sms(("13800138000",), "SMS_1", "签名", {}, "你好", "", "SendSms"))
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(65_536))
                    connection.sendall(answer)
    assert len(seen) == 2
    assert seen[0].startswith(b"POST / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + "成功".encode("gbk"),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000,
    ],
    ids=["gbk", "long"],
)
def test_any_answer_of_status_200_takes_a_push(answer: bytes) -> None:
    """The text of the answer and its encoding do not matter."""
    seen = _pushed_to(answer)
    assert len(seen) == 1
    assert seen[0].startswith(b"POST /hook?a=1 HTTP/1.1\r\n")


def test_a_push_follows_no_redirect() -> None:
    with receiving() as elsewhere:
        answer = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.base_url}/\r\nContent-Length: 0\r\n\r\n"
        assert len(_pushed_to(answer.encode())) == 2
        assert elsewhere.pushes == []


def _pushed_to(answer: bytes) -> list[bytes]:
    """Return the requests of a push that gets this answer. The sandbox repeats a failed push once."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(QUIET)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/hook?a=1#part"
        sandbox = Sandbox(receipt_after=0, receipts_url=url, receipt_retries=[0])
        with running(sandbox):
            sandbox.submit(Sms(("13800138000",), "SMS_1", "签名", {}, "你好", "", "SendSms"))
            with contextlib.suppress(TimeoutError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        seen.append(connection.recv(65_536))
                        connection.sendall(answer)
    return seen


@pytest.mark.parametrize(
    "url",
    ["", "hook", "ftp://localhost/", "http://", "http://u:p@localhost/", "http://a b/", "http://x:99999/", "http://é/"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="push receipts"):
        Sandbox(receipts_url=url)
    with pytest.raises(ConfigurationError, match="push receipts"):
        Sandbox().push_receipts_to(url)


@pytest.mark.parametrize("retries", [[-1], [float("nan")]])
def test_waits_that_make_no_sense_are_refused(retries: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="receipt_retries"):
        Sandbox(receipt_retries=retries)


def test_no_more_pushes_wait_than_there_is_room_for(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock, max_messages=2, receipts_url="http://localhost/")
    for _ in range(9):
        sandbox.submit(Sms(("13800138000",), "SMS_1", "签名", {}, "你好", "", "SendSms"))
    clock.now += 1
    assert sum(len(push.messages) for _, push in sandbox.take_pushes()) == 4
