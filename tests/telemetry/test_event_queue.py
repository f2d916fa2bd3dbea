"""A queue passes every event on, never blocks a call, and drops what is too much."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from support.event_receiver import wait_for

from otpkit import OTP, AsyncOTP, ConfigurationError, Event, Template
from otpkit.telemetry import QueuedListener
from otpkit.testing import Outbox

EVENT = Event(name="issued", operation="issue")
SECRET = "9f1c0b7de2a84356b1f0c2d9e8a7465310fbd2c4"


class Kept(QueuedListener):
    """A listener that keeps what it is given. It waits while `open` is not set."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.events: list[Event] = []
        self.open = threading.Event()
        self.open.set()

    def deliver(self, event: Event) -> None:
        """Keep an event."""
        self.open.wait()
        self.events.append(event)


def numbered(number: int) -> Event:
    return Event(name="issued", operation="issue", operation_id=str(number))


def test_events_arrive_in_order() -> None:
    """From several threads, each thread's own order is kept."""
    listener = Kept()

    def send(start: int) -> None:
        for number in range(start, start + 1000):
            listener(numbered(number))

    threads = [threading.Thread(target=send, args=(1000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listener.close()
    found = [int(event.operation_id) for event in listener.events]
    assert sorted(found) == list(range(4000))
    for start in range(0, 4000, 1000):
        assert [each for each in found if start <= each < start + 1000] == list(range(start, start + 1000))


def test_a_closed_listener_starts_again() -> None:
    """It may be shared by several OTPs, of which one is closed."""
    listener = Kept()
    for count in (1, 2, 3):
        listener(EVENT)
        listener.close()
        assert len(listener.events) == count


def test_events_that_are_too_many_are_dropped_and_counted(caplog: Any) -> None:
    """One warning a minute reports them."""
    listener = Kept(capacity=3)
    listener.open.clear()
    listener(EVENT)
    wait_for(lambda: listener.waiting == 0)  # The thread has taken it.
    with caplog.at_level(logging.WARNING, "otpkit"):
        for _ in range(10):
            listener(EVENT)
        wait_for(lambda: caplog.records)
    assert (listener.waiting, listener.dropped) == (3, 7)
    assert len(caplog.records) == 1
    assert "Kept" in caplog.text
    listener.open.set()
    listener.close()
    assert len(listener.events) == 4


def test_close_waits_no_longer_than_its_bound(caplog: Any) -> None:
    """What is left stays in the queue, and the log reports it."""
    listener = Kept()
    listener.open.clear()
    for _ in range(3):
        listener(EVENT)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "otpkit"):
        listener.close(0.2)
    assert time.monotonic() - started < 5
    assert "did not pass on 3 events" in caplog.text
    listener.open.set()
    listener.close()
    assert len(listener.events) == 3


def test_what_deliver_raises_is_logged_once_by_kind(caplog: Any) -> None:
    """The events behind it are passed on. The text of an error may hold anything, and is not logged."""
    seen = []

    class Broken(QueuedListener):
        def deliver(self, event: Event) -> None:
            seen.append(event)
            raise (KeyError if len(seen) < 3 else OSError)("13800138000")

    listener = Broken()
    with caplog.at_level(logging.ERROR, "otpkit"):
        for _ in range(4):
            listener(EVENT)
        listener.close()
    assert (len(seen), listener.dropped) == (4, 4)
    assert [record.args for record in caplog.records] == [("Broken", "KeyError"), ("Broken", "OSError")]
    assert "13800138000" not in caplog.text


def test_a_forked_child_has_a_queue_of_its_own() -> None:
    """The parent passes on what was waiting; the child passes on its own events."""
    listener = Kept()
    listener.open.clear()
    listener(numbered(1))
    wait_for(lambda: listener.waiting == 0)
    listener(numbered(2))
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child() -> None:
        listener.open = threading.Event()
        listener.open.set()
        listener(numbered(3))
        listener.close()
        theirs.send([event.operation_id for event in listener.events])

    process = context.Process(target=child)
    process.start()
    assert ours.poll(20)
    assert ours.recv() == ["3"]
    process.join()
    listener.open.set()
    listener.close()
    assert [event.operation_id for event in listener.events] == ["1", "2"]


@pytest.mark.parametrize("capacity", [0, -1, True, 1.5, "many", None])
def test_a_capacity_that_is_no_number_is_refused(capacity: Any) -> None:
    """The error names the listener."""
    with pytest.raises(ConfigurationError, match="Kept"):
        Kept(capacity=capacity)


def test_closing_an_otp_passes_on_what_waits() -> None:
    """Also when a call was made just before."""
    listener = Kept()
    with OTP("memory://", Outbox(), Template("SMS_1", "otpkit"), SECRET, listeners=[listener]) as otp:
        otp.issue("13800138000")
    assert [event.name for event in listener.events] == ["sent", "issued"]


async def test_closing_an_async_otp_passes_on_what_waits() -> None:
    """It waits on a thread, so that the event loop goes on."""
    listener = Kept()
    async with AsyncOTP("memory://", Outbox(), Template("SMS_1", "otpkit"), SECRET, listeners=[listener]) as otp:
        await otp.issue("13800138000")
    assert [event.name for event in listener.events] == ["sent", "issued"]


ENDING = """
import sys, time
from otpkit import OTP, Template
from otpkit.telemetry import QueuedListener
from otpkit.testing import Outbox

class Printing(QueuedListener):
    def deliver(self, event):
        if sys.argv[1] == "hangs":
            time.sleep(60)
        print(event.name, flush=True)

otp = OTP("memory://", Outbox(), Template("SMS_1", "otpkit"), "%s", listeners=[Printing()])
otp.issue("13800138000")
if sys.argv[2] == "close":
    otp.close()
"""


@pytest.mark.parametrize("ends", ["close", "exit"])
def test_a_program_that_ends_passes_on_what_waits(ends: str) -> None:
    """Also without `close`."""
    found = subprocess.run(
        [sys.executable, "-c", ENDING % SECRET, "works", ends], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["sent", "issued"]


@pytest.mark.parametrize("ends", ["close", "exit"])
def test_a_listener_that_hangs_does_not_keep_a_program_alive(ends: str) -> None:
    """It ends within the bound of the flush, which is not spent twice."""
    started = time.monotonic()
    found = subprocess.run(
        [sys.executable, "-c", ENDING % SECRET, "hangs", ends], capture_output=True, text=True, check=True, timeout=50
    )
    assert time.monotonic() - started < 30
    assert found.stdout == ""
    assert found.stderr.count("did not pass on 2 events") == 1


def test_an_idle_thread_ends(monkeypatch: Any) -> None:
    """An OTP that nobody closes leaves no thread behind."""
    monkeypatch.setattr("otpkit.telemetry.queue._IDLE_S", 0.01)
    listener = Kept()
    for count in (1, 2):
        listener(EVENT)
        wait_for(lambda count=count: len(listener.events) == count)
        wait_for(lambda: not any(each.name == "otpkit Kept" for each in threading.enumerate()))


def test_the_process_id_is_not_read_for_each_event() -> None:
    """A fork is noticed by Python's own hook."""
    listener = Kept()
    before, os.getpid = os.getpid, lambda: pytest.fail("asked for the process id")  # type: ignore[assignment,return-value]
    try:
        listener(EVENT)
    finally:
        os.getpid = before
    listener.close()
