"""Decide the outcome of receipts, and queue those to push. No I/O and no lock: the sandbox holds the lock."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from itertools import count
from typing import Final
from urllib.parse import urlsplit

from otpkit.errors import ConfigurationError
from otpkit.sandbox.calls import CALL_RESULTS, CALLS, PROVIDERS, Api, ProviderName
from otpkit.sandbox.faults import RECEIPT_FAULTS, Fault, magic_fault
from otpkit.sandbox.messages import Message

MAX_BATCH: Final = 100  # receipts in one push


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one message. Its receipt arrives `delay` seconds later than usual, or never if None.

    `copies` is how many times the receipt is pushed.
    """

    delay: float | None
    fails: bool
    result_code: str
    copies: int


def outcome(api: Api, phone: str, fault: Fault | None) -> Outcome:
    """Return a message's outcome: by the receipt fault of its call, else by its phone number's own fault."""
    if fault is None or fault.fault not in RECEIPT_FAULTS:
        fault = magic_fault(api, phone)
    call = CALLS[api]
    good, bad = CALL_RESULTS if call.channel == "voice" else PROVIDERS[call.provider].results
    usual = Outcome(delay=0.0, fails=False, result_code=good, copies=1)
    if fault is None:
        return usual
    match fault.fault:
        case "receipt_failed":
            return replace(usual, fails=True, result_code=fault.code or bad)
        case "receipt_never":
            return replace(usual, delay=None)
        case "receipt_twice":
            return replace(usual, copies=2)
        case _:
            return replace(usual, delay=fault.receipt_delay)


@dataclass(frozen=True, slots=True)
class ReceiptPush:
    """Receipts to push in one HTTP request. `copy` and `attempt` count from 0."""

    provider: ProviderName
    copy: int
    attempt: int
    messages: tuple[Message, ...]


class PushQueue:
    """The receipts to push. It holds at most `max_size`; receipts beyond that are never pushed."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._serials = count()
        self._waiting: list[tuple[float, int, ReceiptPush]] = []

    def add(self, at: float, push: ReceiptPush) -> None:
        """Add a push that is due at `at`, in seconds since the epoch."""
        if len(self._waiting) < self._max_size:
            heapq.heappush(self._waiting, (at, next(self._serials), push))

    def take_due(self, now: float) -> list[ReceiptPush]:
        """Remove and return the pushes that are due at `now`. Receipts of one kind are joined into batches."""
        batches: dict[tuple[ProviderName, int, int], list[Message]] = {}
        while self._waiting and self._waiting[0][0] <= now:
            push = heapq.heappop(self._waiting)[2]
            batches.setdefault((push.provider, push.copy, push.attempt), []).extend(push.messages)
        return [
            ReceiptPush(*kind, tuple(messages[start : start + _batch(kind[0])]))
            for kind, messages in batches.items()
            for start in range(0, len(messages), _batch(kind[0]))
        ]


def _batch(provider: ProviderName) -> int:
    return 1 if provider == "twilio" else MAX_BATCH


def checked_url(url: str | None) -> str | None:
    """Return `url` if receipts can be pushed to it. Any host is allowed: the person who runs the sandbox chose it.

    Raises:
        ConfigurationError: it is not an http or https URL, or it holds credentials.
    """
    try:
        parts = urlsplit(url or "")
        good = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        good = False
    if url is not None and not (good and url.isascii() and url.isprintable() and " " not in url):
        raise ConfigurationError(f"{url!r:.80} is not a URL to push receipts to.", "Use http://host:port/path.")
    return url
