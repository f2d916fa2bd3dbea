"""Log events for pages and tools that watch the sandbox. No I/O and no lock: the sandbox holds the lock."""

from __future__ import annotations

import heapq
import json
from collections import deque
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from itertools import count, takewhile
from typing import Final, Literal

from otpkit.sandbox.faults import MAX_FAULTS, Fault
from otpkit.sandbox.messages import Message

# `faults` is any change of the queue. `missed`: some events were dropped, so the client must fetch everything again.
EventName = Literal["message", "receipt", "cleared", "faults", "missed"]

MAX_EVENTS: Final = 1_000  # The oldest are dropped.
# Python's splitlines breaks lines at these, and many clients use it. JSON escapes all other line ends.
_LINE_ENDS: Final = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"})


@dataclass(frozen=True, eq=False)
class SandboxEvent:
    """An event at a time in seconds since the epoch. It has no slots, so that all clients share one cached `frame`."""

    id: int
    name: EventName
    at: float
    message: Message | None = None
    faults: tuple[Fault, ...] = ()

    @cached_property
    def frame(self) -> bytes:
        """The event as a frame of `text/event-stream`. Its data is JSON, as in `/api/messages` and `/api/faults`."""
        if self.name == "faults":
            text = f"[{', '.join(map(_fault_json, self.faults))}]"
        else:
            data = {} if self.message is None else self.message.as_json(self.at)
            text = json.dumps(data, ensure_ascii=False).translate(_LINE_ENDS)
        return f"id: {self.id}\nevent: {self.name}\ndata: {text}\n\n".encode()


@lru_cache(maxsize=2 * MAX_FAULTS)
def _fault_json(fault: Fault) -> str:
    """Return a fault as JSON. It is cached: each change of the queue sends the whole queue again."""
    return json.dumps(asdict(fault))


class EventLog:
    """The newest events, and at most `max_receipts` receipts still to come. Receipts beyond that cause no event."""

    def __init__(self, max_receipts: int) -> None:
        self._max_receipts = max_receipts
        self._ids = count(1)
        self._events: deque[SandboxEvent] = deque(maxlen=MAX_EVENTS)
        self._receipts: list[tuple[float, int, Message]] = []
        self.last = 0  # the newest event's id

    def sent(self, message: Message) -> None:
        """Log a message. Log its receipt when that is due."""
        self._add("message", message.sent_at, message)
        if message.receipt_at is not None and len(self._receipts) < self._max_receipts:
            heapq.heappush(self._receipts, (message.receipt_at, message.id, message))

    def cleared(self, now: float) -> None:
        """Drop all events and receipts, and log that all messages were deleted."""
        self._events.clear()
        self._receipts.clear()
        self._add("cleared", now)

    def faults(self, waiting: list[Fault], now: float) -> None:
        """Log the faults left in the queue."""
        self._add("faults", now, faults=tuple(waiting))

    def since(self, last: int, now: float) -> list[SandboxEvent]:
        """Return the events after the one with the id `last`, oldest first."""
        while self._receipts and self._receipts[0][0] <= now:
            self._add("receipt", now, heapq.heappop(self._receipts)[2])
        if last > self.last or self._lacks(last + 1):
            return [SandboxEvent(self.last, "missed", now)]
        return list(takewhile(lambda event: event.id > last, reversed(self._events)))[::-1]

    def _lacks(self, wanted: int) -> bool:
        oldest = next(iter(self._events), None)
        # Events from before the messages were deleted are of no use, so they do not count as missed.
        return oldest is not None and oldest.id > wanted and oldest.name != "cleared"

    def _add(self, name: EventName, at: float, message: Message | None = None, faults: tuple[Fault, ...] = ()) -> None:
        self.last = next(self._ids)
        self._events.append(SandboxEvent(self.last, name, at, message, faults))
