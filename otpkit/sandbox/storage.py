"""The messages that are kept, and how one is found among them. No I/O, no lock: the sandbox has one."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Callable, Iterator

from otpkit.errors import ConfigurationError
from otpkit.sandbox.messages import SEPARATORS, Message, subscriber


class Mailbox:
    """The newest `max_messages`, of all phones and of each."""

    def __init__(self, max_messages: int) -> None:
        self._max_messages = max_messages
        self._all: deque[Message] = deque()
        self._by_phone: dict[str, deque[Message]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def keep(self, message: Message) -> None:
        """Take one in, and let the oldest go where there are too many."""
        self._all.append(message)
        self._by_phone.setdefault(message.phone, deque()).append(message)
        if len(self._all) > self._max_messages:
            self._drop_oldest()

    def newest_first(self, phone: str | None = None) -> Iterator[Message]:
        """Return those to a phone of 11 digits, or all."""
        return reversed(self._all if phone is None else self._by_phone.get(phone, deque()))

    def _drop_oldest(self) -> None:
        phone = self._all.popleft().phone
        self._by_phone[phone].popleft()
        if not self._by_phone[phone]:
            del self._by_phone[phone]


def showing(q: str) -> Callable[[Message], bool]:
    """Return what tells whether a message shows `q`: in its number, in any spelling or in part, or in its texts."""
    plain = unicodedata.normalize("NFKC", q).strip()
    texts = {q.strip().casefold(), plain.casefold()}
    number = _digits(plain)

    def shows(message: Message) -> bool:
        text = "\n".join(_texts(message)).casefold()
        return (bool(number) and number in message.phone) or any(wanted in text for wanted in texts)

    return shows


def _texts(message: Message) -> tuple[str, ...]:
    said = (message.text, message.template, message.sign_name, message.code or "", *message.params.values())
    return (*said, message.biz_id, message.extend)


def _digits(text: str) -> str:
    """Return a number or a part of one without what stands between its digits; "" where there is more to it."""
    try:
        return subscriber(text).removeprefix("+")
    except ConfigurationError:
        digits = SEPARATORS.sub("", text).removeprefix("+")
        return digits if digits.isascii() and digits.isdigit() else ""
