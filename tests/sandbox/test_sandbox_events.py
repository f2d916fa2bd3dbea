"""The stream of events: its contents, its resumption, and its end."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from sandbox_client import Client, Clock

from otpkit.sandbox import Fault, Sandbox, running
from otpkit.sandbox.events import MAX_EVENTS
from otpkit.sandbox.faults import MAX_FAULTS
from otpkit.sandbox.messages import Sms

Told = tuple[str, Any]


class Stream:
    """An open stream of one sandbox."""

    def __init__(self, reply: requests.Response) -> None:
        self.reply = reply
        self.last_id = ""
        self._lines = reply.iter_lines(chunk_size=None, decode_unicode=True)  # Yields a chunk as soon as it arrives.
        assert self._next_block() == {"retry": "1000"}

    def next(self) -> Told:
        """Wait for an event, and return its name and data."""
        block = self._next_block()
        self.last_id = block["id"]
        return block["event"], json.loads(block["data"])

    def _next_block(self) -> dict[str, str]:
        block = {}
        for line in self._lines:
            if not line:
                return block
            name, _, value = line.partition(": ")
            block[name] = value
        raise AssertionError("the stream ended")


@contextlib.contextmanager
def watching(base_url: str, **headers: str) -> Iterator[Stream]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with requests.get(f"{base_url}/api/events", headers=sent, stream=True, timeout=10) as reply:
        yield Stream(reply)


def sms(*phones: str) -> Sms:
    return Sms(phones or ("13800138000",), "T", "S", {"code": "123456"}, "text", "")


def test_a_message_and_later_its_receipt_are_told_as_they_come(client: Client) -> None:
    with watching(client.address.base_url) as stream:
        assert stream.reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.reply.headers["cache-control"] == "no-store"
        client.send("13900100071")
        name, message = stream.next()
        assert (name, message["phone"], message["code"], message["status"]) == (
            "message",
            "13900100071",
            "123456",
            "waiting",
        )
        assert [message] == client.api("GET", "/api/messages").json()
        client.clock.now += 1
        name, receipt = stream.next()
        assert (name, receipt["id"], receipt["status"]) == ("receipt", message["id"], "failed")
        assert receipt["receipt"]["result_code"] == "UNDELIV"


def test_a_receipt_that_never_comes_is_not_told(client: Client) -> None:
    with watching(client.address.base_url) as stream:
        client.send("13900100081")
        assert stream.next()[0] == "message"
        client.clock.now += 1_000
        client.api("DELETE", "/api/messages")
        assert stream.next() == ("cleared", {})


def test_faults_are_told_when_queued_played_and_cleared(client: Client) -> None:
    with watching(client.address.base_url) as stream:
        client.sandbox.add_fault(Fault("reject", times=2))
        client.send()
        client.sandbox.clear_faults()
        told = [stream.next() for _ in range(3)]
        assert [(name, [fault["times"] for fault in faults]) for name, faults in told] == [
            ("faults", [2]),
            ("faults", [1]),
            ("faults", []),
        ]


def test_a_stream_tells_nothing_of_what_was_before_it(client: Client) -> None:
    client.send("13700137000")
    with watching(client.address.base_url) as stream:
        client.send("13800138000")
        assert stream.next()[1]["phone"] == "13800138000"


def test_a_broken_stream_is_taken_up_where_it_ended(client: Client) -> None:
    with watching(client.address.base_url) as stream:
        client.send("13700137000")
        stream.next()
        last = stream.last_id
    client.send("13800138000")
    client.send("13800138001")
    with watching(client.address.base_url, Last_Event_ID=last) as stream:
        assert [stream.next()[1]["phone"] for _ in range(2)] == ["13800138000", "13800138001"]


@pytest.mark.parametrize("last", ["", "abc", "-1", "１", "9" * 5000])
def test_an_id_that_is_none_begins_with_what_comes_next(client: Client, last: str) -> None:
    client.send("13700137000")
    with watching(client.address.base_url, Last_Event_ID=last.encode().decode("latin-1")) as stream:
        client.send("13800138000")
        assert stream.next()[1]["phone"] == "13800138000"


def test_a_client_that_missed_too_much_must_reload(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock)
    first = sandbox.last_event()
    for _ in range(MAX_EVENTS + 1):
        sandbox.record(sms(), "1")
    [missed] = sandbox.events(first)
    assert (missed.name, missed.id) == ("missed", sandbox.last_event())
    assert sandbox.events(missed.id) == []
    assert len(sandbox.events(first + 1)) == MAX_EVENTS
    [unheard_of] = sandbox.events(first + 10 * MAX_EVENTS)  # Such an id comes from before a restart of the sandbox.
    assert unheard_of.name == "missed"


def test_what_was_cleared_is_told_of_no_more(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock)
    first = sandbox.last_event()
    sandbox.record(sms(), "1")
    sandbox.clear_messages()
    sandbox.record(sms("13700137000"), "2")
    clock.now += 10
    told = sandbox.events(first)
    assert [event.name for event in told] == ["cleared", "message", "receipt"]
    assert {event.message.phone for event in told[1:] if event.message} == {"13700137000"}


def test_receipts_come_in_order_of_time_and_once_for_all_watchers(clock: Clock) -> None:
    sandbox = Sandbox(clock=clock)
    first = sandbox.last_event()
    sandbox.record(sms("13900100082", "13800138000"), "1")  # The receipt of the first number is late.
    clock.now += 100
    told = sandbox.events(first)
    assert [(event.name, event.message and event.message.phone) for event in told][2:] == [
        ("receipt", "13800138000"),
        ("receipt", "13900100082"),
    ]
    assert sandbox.events(first) == told


def test_what_a_message_says_can_not_forge_an_event(client: Client) -> None:
    evil = "\n\nevent: cleared\ndata: {}\n\n\r\x85\u2028\u2029"
    with watching(client.address.base_url) as stream:
        client.sandbox.record(Sms(("13800138000",), evil, evil, {evil: evil}, evil, evil), evil)
        name, message = stream.next()
        assert (name, message["text"]) == ("message", evil)


def test_what_other_threads_do_at_once_is_told_whole_and_in_order(client: Client) -> None:
    def send_many(start: int) -> None:
        for n in range(25):
            client.sandbox.record(sms(f"1380013{start + n:04d}"), "1")

    with watching(client.address.base_url) as stream:
        threads = [threading.Thread(target=send_many, args=(start,)) for start in range(0, 200, 25)]
        for thread in threads:
            thread.start()
        told = [stream.next()[1] for _ in range(200)]
    assert [message["id"] for message in told] == sorted(message["id"] for message in told)
    assert len({message["phone"] for message in told}) == 200


def test_a_question_for_the_head_alone_ends_at_once(client: Client) -> None:
    reply = client.api("HEAD", "/api/events")
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_open_streams_do_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.ExitStack() as ending:
        with running(Sandbox()) as address:
            streams = [ending.enter_context(watching(address.base_url)) for _ in range(20)]
            before = time.monotonic()
        assert time.monotonic() - before < 4
        for stream in streams:
            with pytest.raises((AssertionError, requests.RequestException)):
                stream.next()
    assert caplog.records == []


def test_a_reader_that_reads_nothing_delays_no_other(client: Client) -> None:
    with socket.create_connection((client.address.host, client.address.port), timeout=10) as idle:
        idle.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        idle.recv(10)
        with watching(client.address.base_url) as stream:
            for _ in range(50):
                client.sandbox.record(Sms(("13800138000",), "T", "S", {}, "长" * 20_000, ""), "1")
            assert [stream.next()[0] for _ in range(50)] == ["message"] * 50
            assert client.send().json()["success"]


def test_a_long_queue_that_changes_often_delays_no_send(client: Client) -> None:
    first = str(client.sandbox.last_event())
    for _ in range(MAX_FAULTS - 1):
        client.sandbox.add_fault(Fault("drop", phone="13700137000"))
    with watching(client.address.base_url, Last_Event_ID=first) as stream:
        before = time.monotonic()
        assert client.send().json()["success"]
        assert time.monotonic() - before < 2
        told = [stream.next() for _ in range(MAX_FAULTS - 1)]
        assert [len(faults) for _, faults in told] == list(range(1, MAX_FAULTS))
        assert told[-1] == ("faults", client.api("GET", "/api/faults").json())
