"""Store messages, count requests and remember used nonces.

No I/O and no lock: the sandbox holds the lock.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import Final

from otpkit.errors import ConfigurationError
from otpkit.sandbox.calls import APIS, Api
from otpkit.sandbox.messages import Message
from otpkit.sandbox.phones import SEPARATORS, subscriber


class Mailbox:
    """The newest `max_messages` messages, also indexed by phone."""

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._all: deque[Message] = deque()
        self._by_phone: dict[str, deque[Message]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def keep(self, message: Message) -> None:
        """Add a message. Drop the oldest one if there are more than `max_messages`."""
        self._all.append(message)
        self._by_phone.setdefault(message.phone, deque()).append(message)
        if len(self._all) > self._max_messages:
            self._drop_oldest()

    def newest_first(self, phone: str | None = None) -> Iterator[Message]:
        """Iterate over the messages to `phone` (as `Message.phone` spells it), or over all, newest first."""
        return reversed(self._all if phone is None else self._by_phone.get(phone, deque()))

    def _drop_oldest(self) -> None:
        phone = self._all.popleft().phone
        self._by_phone[phone].popleft()
        if not self._by_phone[phone]:
            del self._by_phone[phone]


def showing(q: str) -> Callable[[Message], bool]:
    """Return a predicate: does a message contain `q` in its number (any spelling, or a part) or in its texts?"""
    plain = unicodedata.normalize("NFKC", q).strip()
    texts = {q.strip().casefold(), plain.casefold()}
    number = _digits(plain)

    def shows(message: Message) -> bool:
        text = "\n".join(_texts(message)).casefold()
        return (bool(number) and number in message.phone) or any(wanted in text for wanted in texts)

    return shows


def _texts(message: Message) -> tuple[str, ...]:
    fields = (message.text, message.template, message.sign_name, message.code or "", *message.params.values())
    return (*fields, message.biz_id, message.extend)


def _digits(text: str) -> str:
    """Return the digits of a number or of a part of one, without separators. Return "" if the text holds more."""
    try:
        return subscriber(text).removeprefix("+")
    except ConfigurationError:
        digits = SEPARATORS.sub("", text).removeprefix("+")
        return digits if digits.isascii() and digits.isdigit() else ""


class Counts:
    """Request counts of each call: a total, and one for each of the newest `max_phones` phones."""

    def __init__(self, max_phones: int) -> None:
        self._max_phones = max_phones
        self._totals: dict[Api, int] = dict.fromkeys(APIS, 0)
        self._by_phone: dict[Api, dict[str, int]] = {api: {} for api in APIS}

    def add(self, api: Api, phones: Collection[str]) -> None:
        """Count one request for `api` to `phones`."""
        self._totals[api] += 1
        counts = self._by_phone[api]
        for phone in phones:
            counts[phone] = counts.get(phone, 0) + 1
        for oldest in list(islice(counts, max(0, len(counts) - self._max_phones))):
            del counts[oldest]

    def shown(self) -> dict[Api, dict[str, object]]:
        """Return `{"sendSms": {"total": 1, "by_phone": {"13800138000": 1}}, …}`."""
        return {api: {"total": self._totals[api], "by_phone": dict(self._by_phone[api])} for api in APIS}


# A request's date may differ from the sandbox's clock by this much, in either direction.
NONCE_WINDOW: Final = 15 * 60  # s
# Beyond this number, the oldest nonces are dropped and could be used again.
MAX_NONCES: Final = 100_000


class Nonces:
    """The nonces of signed requests, kept for as long as such a request could be accepted."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def first_use(self, nonce: str, now: float) -> bool:
        """Remember a nonce and return True if it is new. `now` is in seconds since the epoch."""
        if nonce in self._seen:
            return False
        self._seen[nonce] = now
        while len(self._seen) > MAX_NONCES or self._oldest() < now - 2 * NONCE_WINDOW:
            del self._seen[next(iter(self._seen))]
        return True

    def _oldest(self) -> float:
        return next(iter(self._seen.values()))
