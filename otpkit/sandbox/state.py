"""The sandbox's state and rules: credentials, templates, messages, receipts, faults, counts. No I/O."""

from __future__ import annotations

import hmac
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import date
from itertools import count, islice
from typing import Final

from otpkit.errors import ConfigurationError
from otpkit.sandbox.faults import APIS, RECEIPT_FAULTS, Api, Fault, FaultName
from otpkit.sandbox.magic import magic_fault
from otpkit.sandbox.messages import Message, Sms, find_code, render, shanghai, subscriber, variables

MAX_FAULTS: Final = 1_000  # queued at a time


class Unacceptable(Exception):
    """A send or a query that the gateway refuses; `code` is its code for the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Sandbox:
    """A gateway that sends nothing, and remembers what it was asked to send. Safe to share between threads.

    Args:
        app_key: what a client must send as `X-Ca-Key`.
        app_secret: and as `X-Ca-Secret`.
        templates: the approved templates, code to text with `${variables}`; None accepts any.
        sign_names: the approved signatures; None accepts any.
        receipt_after: seconds until a message's receipt comes in; 0 is at once.
        clock: gives seconds since the epoch.
        max_messages: how many are kept, the newest; as many phones are counted.
    """

    def __init__(
        self,
        *,
        app_key: str = "sandbox",
        app_secret: str = "sandbox-secret",  # noqa: S107  (it guards nothing; a client must have one to send)
        templates: Mapping[str, str] | None = None,
        sign_names: Collection[str] | None = None,
        receipt_after: float = 1.0,
        clock: Callable[[], float] = time.time,
        max_messages: int = 10_000,
    ) -> None:
        if not receipt_after >= 0:
            raise ConfigurationError(f"receipt_after is a number of seconds from 0, not {receipt_after!r:.40}")
        if max_messages < 1:
            raise ConfigurationError(f"max_messages is at least 1, not {max_messages!r:.40}")
        self._credentials = (app_key.encode(), app_secret.encode())
        self._templates = None if templates is None else dict(templates)
        self._sign_names = None if sign_names is None else frozenset(sign_names)
        self._receipt_after = receipt_after
        self._clock = clock
        self._max_messages = max_messages
        self._lock = threading.Lock()
        self._serials = count(1)
        self._ids = count(1)
        self.reset()

    def reset(self) -> None:
        """Forget all messages, faults and counts."""
        with self._lock:
            self._messages: deque[Message] = deque()
            self._by_phone: dict[str, deque[Message]] = {}
            self._faults: list[Fault] = []
            self._totals: dict[Api, int] = dict.fromkeys(APIS, 0)
            self._counts: dict[Api, dict[str, int]] = {api: {} for api in APIS}

    def now(self) -> float:
        """Return the sandbox's time, in seconds since the epoch."""
        return self._clock()

    def knows(self, app_key: bytes, app_secret: bytes) -> bool:
        """Say whether these are the credentials."""
        key, secret = self._credentials
        return hmac.compare_digest(app_key, key) & hmac.compare_digest(app_secret, secret)

    # Messages

    def compose(self, template: str, sign_name: str, params: Mapping[str, str]) -> str:
        """Return the text of a message, `【sign】…`.

        Raises:
            Unacceptable: 70001 template, 70002 signature, 70003 a variable is missing.
        """
        text = None if self._templates is None else self._templates.get(template)
        if text is None and self._templates is not None:
            raise Unacceptable("70001")
        if self._sign_names is not None and sign_name not in self._sign_names:
            raise Unacceptable("70002")
        if text is not None and not variables(text) <= params.keys():
            raise Unacceptable("70003")
        return f"【{sign_name}】{render(text, params)}"

    def new_biz_id(self) -> str:
        """Return the id of a send, in the gateway's form `134523^4351232`; no two are alike."""
        serial = next(self._serials)
        return f"{100_000 + serial}^{1_000_000 + serial}"

    def record(self, sms: Sms, biz_id: str, fault: Fault | None = None) -> None:
        """Keep what was sent, one message a phone; a receipt fault decides how its receipts turn out."""
        code = find_code(sms.params, sms.text.removeprefix(f"【{sms.sign_name}】"))
        with self._lock:
            sent_at = self._clock()
            for phone in sms.phones:
                receipt = _receipt(phone, fault)
                self._keep(
                    Message(
                        id=next(self._ids),
                        phone=phone,
                        code=code,
                        text=sms.text,
                        params=sms.params,
                        template=sms.template,
                        sign_name=sms.sign_name,
                        extend=sms.extend,
                        biz_id=biz_id,
                        sent_at=sent_at,
                        receipt_at=None if receipt == "receipt_never" else sent_at + self._receipt_after,
                        fails=receipt == "receipt_failed",
                    )
                )

    def messages(self, phone: str | None = None, limit: int | None = None) -> list[Message]:
        """Return what was sent, newest first; to one phone in any usual spelling, or to all.

        Raises:
            ConfigurationError: `phone` is not a phone number.
        """
        wanted = None if phone is None else subscriber(phone)
        with self._lock:
            kept = self._messages if wanted is None else self._by_phone.get(wanted, ())
            return list(islice(reversed(kept), limit))

    def sent_on(self, phone: str, day: date, biz_id: str | None = None) -> list[Message]:
        """Return what was sent to a phone on one day in China, newest first."""
        return [
            message
            for message in self.messages(phone)
            if shanghai(message.sent_at).date() == day and biz_id in {None, message.biz_id}
        ]

    def clear_messages(self) -> int:
        """Forget all messages; return how many there were."""
        with self._lock:
            forgotten = len(self._messages)
            self._messages.clear()
            self._by_phone.clear()
            return forgotten

    def _keep(self, message: Message) -> None:
        self._messages.append(message)
        self._by_phone.setdefault(message.phone, deque()).append(message)
        if len(self._messages) > self._max_messages:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        phone = self._messages.popleft().phone
        self._by_phone[phone].popleft()
        if not self._by_phone[phone]:
            del self._by_phone[phone]

    # Faults

    def add_fault(self, fault: Fault) -> None:
        """Queue a fault for the next calls that it concerns.

        Raises:
            ConfigurationError: too many are queued.
        """
        with self._lock:
            if len(self._faults) >= MAX_FAULTS:
                raise ConfigurationError(f"{MAX_FAULTS} faults are queued already; clear them first")
            self._faults.append(fault)

    def take_fault(self, api: Api, phones: tuple[str, ...]) -> Fault | None:
        """Take the fault that a call must play, or None: a queued one, or that of a phone number."""
        with self._lock:
            for place, fault in enumerate(self._faults):
                if fault.concerns(api, phones):
                    self._spend(place)
                    return fault
        own = (magic_fault(api, phone) for phone in phones)
        return next((fault for fault in own if fault is not None and fault.fault not in RECEIPT_FAULTS), None)

    def _spend(self, place: int) -> None:
        fault = self._faults[place]
        if fault.times > 1:
            self._faults[place] = replace(fault, times=fault.times - 1)
        else:
            del self._faults[place]

    def faults(self) -> list[Fault]:
        """Return the queued faults, the next one first, `times` being what is left of them."""
        with self._lock:
            return list(self._faults)

    def clear_faults(self) -> int:
        """Forget the queued faults; return how many there were."""
        with self._lock:
            forgotten = len(self._faults)
            self._faults.clear()
            return forgotten

    # Counts

    def count(self, api: Api, phones: Collection[str]) -> None:
        """Count a request that came in, whatever will become of it."""
        with self._lock:
            self._totals[api] += 1
            counts = self._counts[api]
            for phone in phones:
                counts[phone] = counts.get(phone, 0) + 1
            for oldest in list(islice(counts, max(0, len(counts) - self._max_messages))):
                del counts[oldest]

    def stats(self) -> dict[Api, dict[str, object]]:
        """Return the requests received: `{"sendSms": {"total": 1, "by_phone": {"13800138000": 1}}, …}`."""
        with self._lock:
            return {api: {"total": self._totals[api], "by_phone": dict(self._counts[api])} for api in APIS}

    def clear_stats(self) -> None:
        """Start the counts from 0."""
        with self._lock:
            self._totals = dict.fromkeys(APIS, 0)
            self._counts = {api: {} for api in APIS}


def _receipt(phone: str, fault: Fault | None) -> FaultName | None:
    """Return the receipt fault of one message: that of its call, else that of its number alone."""
    if fault is None or fault.fault not in RECEIPT_FAULTS:
        fault = magic_fault("sendSms", phone)
    return fault.fault if fault is not None else None
