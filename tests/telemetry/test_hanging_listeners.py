"""A listener whose server hangs slows no call, and keeps neither an OTP nor the service from ending."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest
from support.event_receiver import SECRET, Receiver, wait_for

from otpkit import OTP, AsyncOTP, Template
from otpkit.telemetry import LogListener, WebhookListener
from otpkit.telemetry.listeners import CLOSE_S
from otpkit.testing import Outbox

KEY = "9f1c0b7de2a84356b1f0c2d9e8a7465310fbd2c4"
TEMPLATE = Template("SMS_1", "otpkit")
CALLS = 30
BOUND_S = 1.0
"""Far above a call's usual time on a busy machine, and far below the ten seconds that the listener hangs."""


@pytest.fixture
def hanging() -> Iterator[Receiver]:
    """Yield a server that takes requests and does not answer them."""
    with Receiver(hangs=True) as receiver:
        yield receiver


def webhook(receiver: Receiver) -> WebhookListener:
    """Return a listener that waits ten seconds for each answer."""
    return WebhookListener(receiver.url, SECRET, timeout=(3, 10))


def phones() -> list[str]:
    return [f"+86138001380{number:02d}" for number in range(CALLS)]


def test_no_call_waits_for_a_server_that_hangs(hanging: Receiver) -> None:
    """Issue, verify and redeem take their usual time while the listener waits for an answer."""
    outbox, taken = Outbox(), []
    otp = OTP("memory://", outbox, TEMPLATE, KEY, listeners=[webhook(hanging)])
    otp.issue("+8613900139000")
    wait_for(lambda: hanging.requests == 1)
    for phone in phones():
        started = time.monotonic()
        otp.issue(phone)
        proof = otp.verify(phone, outbox[-1].code)
        otp.redeem(proof.token)
        taken.append(time.monotonic() - started)
    assert hanging.requests == 1
    assert max(taken) < BOUND_S, f"median {median(taken):.4f} s"
    hanging.released.set()
    otp.close()


async def test_no_async_call_waits_for_a_server_that_hangs(hanging: Receiver) -> None:
    """The event loop goes on too."""
    outbox, taken = Outbox(), []
    otp = AsyncOTP("memory://", outbox, TEMPLATE, KEY, listeners=[webhook(hanging)])
    for phone in phones():
        started = time.monotonic()
        await otp.issue(phone)
        taken.append(time.monotonic() - started)
    assert max(taken) < BOUND_S
    hanging.released.set()
    await otp.close()


def test_close_waits_no_longer_than_its_bound(hanging: Receiver, caplog: Any) -> None:
    """With several listeners, the bound is that of all of them. A healthy one still passes on everything."""
    caplog.set_level(logging.INFO)
    otp = OTP("memory://", Outbox(), TEMPLATE, KEY, listeners=[webhook(hanging), LogListener(), webhook(hanging)])
    otp.issue("+8613900139000")
    started = time.monotonic()
    otp.close()
    assert CLOSE_S / 4 < time.monotonic() - started < CLOSE_S + BOUND_S
    events = [record.message for record in caplog.records if record.name == "otpkit.events"]
    assert [text.partition(" ")[0] for text in events] == ["sent", "issued"]
    assert caplog.text.count("did not pass on") == 2


def test_a_full_queue_drops_events_and_no_calls(hanging: Receiver) -> None:
    """Memory is bounded, however long the server hangs."""
    listener = WebhookListener(hanging.url, SECRET, timeout=(3, 10), capacity=5)
    otp = OTP("memory://", Outbox(), TEMPLATE, KEY, listeners=[listener])
    for phone in phones():
        otp.issue(phone)
    assert listener.waiting == 5
    assert listener.dropped >= 2 * CALLS - 6
    hanging.released.set()
    otp.close()


def test_a_log_that_hangs_slows_no_call() -> None:
    """Handlers write to pipes and sockets, which block when nobody reads them."""

    released = threading.Event()

    class Stuck(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            released.wait(10)

    logger = logging.getLogger("stuck")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Stuck())
    otp = OTP("memory://", Outbox(), TEMPLATE, KEY, listeners=[LogListener(logger)])
    taken = []
    for phone in phones():
        started = time.monotonic()
        otp.issue(phone)
        taken.append(time.monotonic() - started)
    assert max(taken) < BOUND_S
    released.set()
    otp.close()
