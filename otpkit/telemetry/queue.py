"""A bounded queue of events with a thread that passes them on, for listeners that do I/O."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from otpkit.core.lifetime import renew_in_children
from otpkit.errors import ConfigurationError
from otpkit.models import Event
from otpkit.telemetry.listeners import CLOSE_S

T = TypeVar("T")

_log = logging.getLogger("otpkit")

CAPACITY: Final = 10_000
"""The events that may wait by default: some megabytes."""
_GATHER_S: Final = 0.05
"""How long the thread waits for more events. To wake it for each one would cost the calls more than the events do."""
_IDLE_S: Final = 60.0
"""How long the thread of an idle queue waits before it ends."""
_WARNING_S: Final = 60.0


class EventQueue(Generic[T]):
    """A bounded queue, and a daemon thread that hands its items to a function, one after the other.

    The thread begins with the first item, and again after `close`. A forked child has an empty queue and a thread of
    its own. When the program ends, what waits is passed on for a few seconds.

    Args:
        name: a name for the log and the thread.
        deliver: called on the thread with each item. What it raises is logged once for each class.
        capacity: the items that may wait. Further ones are dropped.
    """

    def __init__(self, name: str, deliver: Callable[[T], object], capacity: int = CAPACITY) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
            raise ConfigurationError(
                f"{name}: capacity must be a whole number above 0.", "Leave it out, or pass 10000."
            )
        self._name = name
        self._deliver = deliver
        self._capacity = capacity
        self._reported: set[str] = set()
        self._renew()
        renew_in_children(self, type(self)._renew)
        _queues.add(self)

    def _renew(self) -> None:
        """Start empty, without a thread. A child of a fork does so too: its parent passes on what was waiting."""
        self.dropped = 0
        self._items: deque[T] = deque()
        self._lock = threading.Lock()
        self._draining = threading.Lock()
        self._arrived = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_idle = True
        self._warned_s = -_WARNING_S
        self.is_stuck = False
        """True if `close` waited in vain, and nothing was passed on since."""

    @property
    def waiting(self) -> int:
        """The number of items that wait."""
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item, or drop it if too many wait. It takes less than a microsecond, and never blocks."""
        if len(self._items) >= self._capacity:
            self.drop(f"{self._capacity} events wait already")
            return
        self._items.append(item)
        # The thread sets `_is_idle` before it looks for items a last time, so none is left behind.
        if self._is_idle:
            self._wake()

    def drop(self, why: str) -> None:
        """Count a dropped event, and warn of it."""
        with self._lock:
            self.dropped += 1
        self.warn(f"{why}, so it drops events: {self.dropped} so far")

    def warn(self, problem: str) -> None:
        """Log a warning, at most once a minute. Another thread logs it: a slow log must not delay a call."""
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._warned_s < _WARNING_S:
                return
            self._warned_s = now_s
        text = "%s: %s. This is logged at most once a minute."
        with suppress(RuntimeError):  # The interpreter is ending.
            threading.Thread(target=_log.warning, args=(text, self._name, problem), daemon=True).start()

    def drain(self) -> None:
        """Pass on what waits, on the caller's thread, and wait for what is being passed on."""
        with self._draining, suppress(IndexError):
            while True:
                self._hand_over(self._items.popleft())

    def pause(self, seconds: float) -> bool:
        """Wait on the queue's thread; return False at once while the queue closes."""
        return not self._closing.wait(seconds)

    def close(self, within: float = CLOSE_S) -> None:
        """Pass on what waits, without pauses, and end the thread. A later item starts another one.

        What can't be passed on in time stays in the queue.

        Args:
            within: the seconds to wait for that.
        """
        with self._lock:
            thread = self._thread
            if thread is None or thread is threading.current_thread():
                return
            self._closing.set()
            self._arrived.set()
        thread.join(within)
        if thread.is_alive():
            self._closing.clear()
            self.is_stuck = True
            left = len(self._items) + 1
            text = "%s did not pass on %d events within %.1f s. They are lost if the program ends now."
            _log.warning(text, self._name, left, within)

    def _wake(self) -> None:
        with self._lock:
            self._is_idle = False
            if self._thread is not None:
                self._arrived.set()
                return
            self._closing.clear()
            thread = threading.Thread(target=self._run, name=f"otpkit {self._name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # The interpreter is ending, or there are too many threads.
                self._is_idle = True
            else:
                self._thread = thread

    def _run(self) -> None:
        items = self._items
        while True:
            self._closing.wait(_GATHER_S)
            self.drain()
            self._arrived.clear()
            self._is_idle = True
            if not items and (self._closing.is_set() or not self._arrived.wait(_IDLE_S)):
                with self._lock:
                    if not items:
                        self._thread = None
                        return
            self._is_idle = False

    def _hand_over(self, item: T) -> None:
        try:
            self._deliver(item)
            self.is_stuck = False
        except Exception as error:  # noqa: BLE001 - The next event must be passed on.
            kind = type(error).__name__
            if kind not in self._reported:
                self._reported.add(kind)
                _log.error("%s raised %s. Further ones are not logged.", self._name, kind)
            self.drop(f"it raised {kind}")


class HasQueue:
    """The members of every listener with a queue: `_queue` is its own."""

    _queue: EventQueue[Any]

    @property
    def dropped(self) -> int:
        """The number of events that were not passed on."""
        return self._queue.dropped

    @property
    def waiting(self) -> int:
        """The number of events that wait."""
        return self._queue.waiting

    def close(self, within: float = CLOSE_S) -> None:
        """Pass on what waits. The listener may be used again afterwards.

        Args:
            within: the seconds to wait for that.
        """
        self._queue.close(within)


class QueuedListener(HasQueue):
    """A base for listeners that do I/O: it queues each event, and passes it on by a thread of its own.

    A subclass defines `deliver(event)`. A call of an `OTP` is never delayed: if the queue is full, the event is
    dropped, counted in `dropped`, and warned of in the log, at most once a minute. `OTP.close` passes on what waits,
    for a few seconds.

    Args:
        capacity: the events that may wait.

    Raises:
        ConfigurationError: `capacity` is not a whole number above 0.
    """

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._queue = EventQueue(type(self).__name__, self.deliver, capacity)

    def __call__(self, event: Event) -> None:
        """Queue an event."""
        self._queue.put(event)

    def deliver(self, event: Event) -> None:
        """Pass one event on. It runs on the queue's thread, and may block.

        Args:
            event: the event.
        """
        raise NotImplementedError


_queues: WeakSet[EventQueue[Any]] = WeakSet()


@atexit.register
def _close_all() -> None:
    ends_s = time.monotonic() + CLOSE_S
    for queue in [each for each in _queues if not each.is_stuck]:
        queue.close(max(0.0, ends_s - time.monotonic()))
