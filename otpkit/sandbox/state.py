"""The sandbox's state and rules: credentials, templates, messages, receipts, faults, counts. No I/O."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import count, islice

from otpkit.errors import ConfigurationError
from otpkit.gateways.base import Channel
from otpkit.sandbox.calls import CALLS, PROVIDERS, Api, ProviderName, Unacceptable, WireRequest
from otpkit.sandbox.captchas import CaptchaName, Captchas, SolvedCaptcha, State
from otpkit.sandbox.events import EventLog, SandboxEvent
from otpkit.sandbox.faults import RECEIPT_FAULTS, Fault, FaultQueue, magic_fault
from otpkit.sandbox.messages import Message, Sms, recorded, render, shanghai, variables
from otpkit.sandbox.phones import subscriber
from otpkit.sandbox.receipts import PushQueue, ReceiptPush, checked_url, outcome
from otpkit.sandbox.storage import Counts, Mailbox, Nonces, showing


class Sandbox:
    """A gateway that sends nothing and records what it was asked to send. It is safe to share between threads.

    Args:
        app_key: Alidayu's app key; clients send it as `X-Ca-Key`.
        app_secret: Alidayu's app secret; clients send it as `X-Ca-Secret`.
        access_key_id: the access key of Dysmsapi and Dyvmsapi, and the SecretId of Tencent Cloud.
        access_key_secret: the secret that belongs to it, which signs requests; Tencent Cloud's SecretKey.
        account_sid: Twilio's account SID. With `SK` in place of its `AC`, it is an API key.
        auth_token: Twilio's auth token, and the API key's secret. It signs status callbacks.
        captcha_site_key: the site key of hCaptcha and the captcha_id of Geetest. The other captchas take any.
        captcha_secret: the secret key of Turnstile, hCaptcha and reCAPTCHA, its API key, Tencent's AppSecretKey, and
            Geetest's captcha_key.
        templates: the approved templates, code to text with `${variables}`; None accepts any.
        sign_names: the approved signatures; None accepts any.
        receipt_after: seconds from a send to its receipt; 0 is at once.
        receipts_url: the URL to push receipts of Dysmsapi, Dyvmsapi and Tencent Cloud to, on any host. `{provider}` in
            it is replaced by `dysmsapi`, `dyvmsapi` or `tencent`. None pushes none. Twilio's receipts go to the
            `StatusCallback` of each message and call.
        receipt_retries: seconds from each failed push (not HTTP 200) to the next one. Aliyun waits 1, 5 and 10
            minutes.
        clock: returns seconds since the epoch. It also judges the dates of signed requests.
        max_messages: the number of messages kept (the newest), and the number of phones counted.

    Raises:
        ConfigurationError: a value out of range.
    """

    def __init__(
        self,
        *,
        app_key: str = "sandbox",
        app_secret: str = "sandbox-secret",  # noqa: S107  (it protects nothing; clients need a value to send)
        access_key_id: str = "sandbox",
        access_key_secret: str = "sandbox-secret",  # noqa: S107
        account_sid: str = "ACsandbox",
        auth_token: str = "sandbox-secret",  # noqa: S107
        captcha_site_key: str = "sandbox",
        captcha_secret: str = "sandbox-secret",  # noqa: S107
        templates: Mapping[str, str] | None = None,
        sign_names: Collection[str] | None = None,
        receipt_after: float = 1.0,
        receipts_url: str | None = None,
        receipt_retries: Sequence[float] = (1.0, 5.0, 10.0),
        clock: Callable[[], float] = time.time,
        max_messages: int = 10_000,
    ) -> None:
        if not receipt_after >= 0:
            raise ConfigurationError(f"receipt_after is {receipt_after!r:.40}.", "Pass a number of seconds, 0 or more.")
        if max_messages < 1:
            raise ConfigurationError(f"max_messages is {max_messages!r:.40}.", "Pass 1 or more.")
        if not all(wait >= 0 for wait in receipt_retries):
            raise ConfigurationError(
                f"receipt_retries is {receipt_retries!r:.40}.", "Pass numbers of seconds, 0 or more."
            )
        self._credentials = (app_key.encode(), app_secret.encode())
        self._access_keys = {access_key_id: access_key_secret}
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.captcha_site_key = captcha_site_key
        self.captcha_secret = captcha_secret
        self._templates = None if templates is None else dict(templates)
        self._sign_names = None if sign_names is None else frozenset(sign_names)
        self._receipt_after = receipt_after
        self._receipts_url = checked_url(receipts_url)
        self._receipt_retries = tuple(receipt_retries)
        self._clock = clock
        self._max_messages = max_messages
        self._lock = threading.Lock()
        self._serials = count(1)
        self._ids = count(1)
        self._events = EventLog(max_messages)
        self.reset()

    def reset(self) -> None:
        """Delete all messages with the receipts still to push, and all faults, counts, nonces and captchas."""
        with self._lock:
            self._empty_mailbox()
            self._empty_faults()
            self._counts = Counts(self._max_messages)
            self._nonces = Nonces()
            self._captchas = Captchas()

    def now(self) -> float:
        """Return the sandbox's time, in seconds since the epoch."""
        return self._clock()

    def knows(self, app_key: bytes, app_secret: bytes) -> bool:
        """Return True if these are Alidayu's credentials."""
        key, secret = self._credentials
        return hmac.compare_digest(app_key, key) & hmac.compare_digest(app_secret, secret)

    def knows_account(self, user: str, password: str) -> bool:
        """Return True if these are Twilio's account SID and auth token, or an API key and its secret."""
        users = {self.account_sid, f"SK{self.account_sid[2:]}"}
        return (user in users) & hmac.compare_digest(password.encode("utf-8", "replace"), self.auth_token.encode())

    def secret_of(self, access_key_id: str) -> str | None:
        """Return the secret of an access key, or None if the key is unknown."""
        return self._access_keys.get(access_key_id)

    def first_use(self, nonce: str) -> bool:
        """Remember a signed request's nonce and return True if it is new."""
        with self._lock:
            return self._nonces.first_use(nonce, self._clock())

    # Captchas

    def solve_captcha(self, captcha: SolvedCaptcha | CaptchaName) -> str:
        """Return an answer that the sandbox accepts once, as the provider's widget would make it.

        Args:
            captcha: the captcha that the visitor solved, or its provider's name alone.

        Raises:
            ConfigurationError: the sandbox has no such captcha.
        """
        solved = SolvedCaptcha(captcha) if isinstance(captcha, str) else captcha
        with self._lock:
            return self._captchas.solve(solved, self._clock())

    def find_captcha(self, provider: CaptchaName, token: str) -> tuple[SolvedCaptcha | None, State]:
        """Return the captcha of a token, or None, and the state of the token."""
        with self._lock:
            return self._captchas.find(provider, token, self._clock())

    def use_captcha(self, token: str) -> None:
        """Mark a token as used."""
        with self._lock:
            self._captchas.use(token)

    # Messages

    def compose(self, template: str, sign_name: str | None, params: Mapping[str, str]) -> str:
        """Return the text of a message, `【sign】…`.

        Args:
            template: the template's code.
            sign_name: the signature; None for a voice call, which has none.
            params: the template's variables.

        Raises:
            Unacceptable: 70001 unknown template, 70002 unknown signature, 70003 missing variable.
        """
        text = None if self._templates is None else self._templates.get(template)
        if text is None and self._templates is not None:
            raise Unacceptable("70001")
        if self._sign_names is not None and sign_name is not None and sign_name not in self._sign_names:
            raise Unacceptable("70002")
        if text is not None and not variables(text) <= params.keys():
            raise Unacceptable("70003")
        return f"{'' if sign_name is None else f'【{sign_name}】'}{render(text, params)}"

    def submit(self, sms: Sms | Sequence[Sms], request: WireRequest | None = None) -> tuple[str, Fault | None]:
        """Record what a valid call sends, as one send. Return its id, and the fault that the call must play, if any.

        `request` is the HTTP request that caused it, or None.
        """
        ids, fault = self.submit_each([sms] if isinstance(sms, Sms) else sms, request, one_id=True)
        return ids[0], fault

    def submit_each(
        self, batch: Sequence[Sms], request: WireRequest | None = None, *, one_id: bool = False
    ) -> tuple[list[str], Fault | None]:
        """Record what a valid call sends. Return the ids, and the fault that the call must play, if any.

        Each element of `batch` gets its own id; with `one_id`, all share one. `request` is the HTTP request that caused
        it, or None.
        """
        call = CALLS[batch[0].api]
        fault = self.take_fault(batch[0].api, tuple(phone for sms in batch for phone in sms.phones))
        ids = [self.new_biz_id(call.provider, call.channel) for _ in (batch[:1] if one_id else batch)]
        ids *= len(batch) if one_id else 1
        if fault is None or fault.sent:
            origin = None if request is None else recorded(request)
            for sms, biz_id in zip(batch, ids, strict=True):
                self.record(replace(sms, request=origin or sms.request), biz_id, fault)
        return ids, fault

    def new_biz_id(self, provider: ProviderName = "alidayu", channel: Channel = "sms") -> str:
        """Return a unique id for a send in the provider's format, such as `134523^4351232`."""
        return PROVIDERS[provider].send_id(next(self._serials), channel)

    def record(self, sms: Sms, biz_id: str, fault: Fault | None = None) -> None:
        """Store a send, one message per phone. A receipt fault decides the outcome of its receipts."""
        with self._lock:
            sent_at = self._clock()
            for phone in sms.phones:
                becomes = outcome(sms.api, phone, fault)
                due = None if becomes.delay is None else sent_at + self._receipt_after + becomes.delay
                message = sms.message_to(
                    phone,
                    id=next(self._ids),
                    biz_id=biz_id,
                    sent_at=sent_at,
                    receipt_at=due,
                    fails=becomes.fails,
                    result_code=becomes.result_code,
                )
                self._keep(message, becomes.copies)

    def messages(self, phone: str | None = None, limit: int | None = None, *, q: str = "") -> list[Message]:
        """Return the messages, newest first.

        Args:
            phone: only messages to this number, in any usual spelling; None is any.
            limit: the maximum number of messages; None is no limit.
            q: only messages that contain this in their number (any spelling, or a part) or in their texts.

        Raises:
            ConfigurationError: `phone` is not a phone number.
        """
        wanted = None if phone is None else subscriber(phone)
        with self._lock:
            kept = list(self._mailbox.newest_first(wanted))
        found = filter(showing(q), kept) if q.strip() else kept
        return list(islice(found, limit))

    def sent_on(
        self, phone: str, day: date, biz_id: str | None = None, provider: ProviderName = "alidayu"
    ) -> list[Message]:
        """Return a provider's messages to `phone` on `day` (in China), newest first. `biz_id` selects one send."""
        return [
            message
            for message in self.messages(phone)
            if message.provider == provider
            and shanghai(message.sent_at).date() == day
            and biz_id in {None, message.biz_id}
        ]

    def pull(self, provider: ProviderName, limit: int) -> list[Message]:
        """Return the oldest `limit` messages of a provider that have a receipt and that no earlier call returned."""
        with self._lock:
            now, kept = self._clock(), list(self._mailbox.newest_first())[::-1]
            self._pulled &= {message.id for message in kept}
            come_in = (
                message
                for message in kept
                if message.provider == provider and message.id not in self._pulled and message.status(now) != "waiting"
            )
            taken = list(islice(come_in, limit))
            self._pulled |= {message.id for message in taken}
            return taken

    def clear_messages(self) -> int:
        """Delete all messages, with the receipts still to push. Return the number of messages deleted."""
        with self._lock:
            forgotten = len(self._mailbox)
            self._empty_mailbox()
            return forgotten

    def _empty_mailbox(self) -> None:
        self._mailbox = Mailbox(self._max_messages)
        self._pushes = PushQueue(2 * self._max_messages)
        self._pulled: set[int] = set()
        self._events.cleared(self._clock())

    def _keep(self, message: Message, copies: int) -> None:
        self._mailbox.keep(message)
        self._events.sent(message)
        row = PROVIDERS[message.provider]
        is_pushed = bool(message.callback) or (self._receipts_url is not None and row.is_pushed)
        if is_pushed and message.receipt_at is not None:
            for copy in range(copies):
                self._pushes.add(message.receipt_at, ReceiptPush(message.provider, copy, 0, (message,)))

    # Pushed receipts

    def push_receipts_to(self, url: str | None) -> None:
        """Push the receipts of messages sent from now on to `url`, like `receipts_url`. None pushes none.

        Raises:
            ConfigurationError: `url` is not a URL to push to.
        """
        self._receipts_url = checked_url(url)

    def take_pushes(self) -> list[tuple[str, ReceiptPush]]:
        """Remove and return the pushes that are due, each with its URL."""
        with self._lock:
            url = self._receipts_url
            due = self._pushes.take_due(self._clock())
        found = [(push.messages[0].callback or (url or "").replace("{provider}", push.provider), push) for push in due]
        return [(url, push) for url, push in found if url]

    def push_again(self, push: ReceiptPush, since: float) -> None:
        """Queue a failed push again. `since` is when it was made, in seconds since the epoch.

        The wait comes from `receipt_retries`. After the last retry, the push is dropped.
        """
        if push.attempt < len(self._receipt_retries):
            with self._lock:
                at = since + self._receipt_retries[push.attempt]
                self._pushes.add(at, replace(push, attempt=push.attempt + 1))

    # Faults

    def add_fault(self, fault: Fault) -> None:
        """Queue a fault for the next calls that it applies to.

        Raises:
            ConfigurationError: the queue is full.
        """
        with self._lock:
            self._faults.add(fault)
            self._log_faults()

    def take_fault(self, api: Api, phones: tuple[str, ...]) -> Fault | None:
        """Return the fault that a call must play, or None. A queued fault comes before that of a phone number."""
        with self._lock:
            queued = self._faults.take(api, phones)
            if queued is not None:
                self._log_faults()
                return queued
        own = (magic_fault(api, phone) for phone in phones)
        return next((fault for fault in own if fault is not None and fault.fault not in RECEIPT_FAULTS), None)

    def faults(self) -> list[Fault]:
        """Return the queued faults, the next one first. Their `times` is the number of calls left."""
        with self._lock:
            return self._faults.waiting()

    def clear_faults(self) -> int:
        """Delete the queued faults. Return the number of faults deleted."""
        with self._lock:
            forgotten = len(self._faults.waiting())
            self._empty_faults()
            return forgotten

    def _empty_faults(self) -> None:
        self._faults = FaultQueue()
        self._log_faults()

    def _log_faults(self) -> None:
        self._events.faults(self._faults.waiting(), self._clock())

    def last_event(self) -> int:
        """Return the id of the newest event."""
        return self._events.last

    def events(self, last: int) -> list[SandboxEvent]:
        """Return the events after the one with the id `last`, oldest first. Only the newest 1,000 are kept."""
        with self._lock:
            return self._events.since(last, self._clock())

    # Counts

    def count(self, api: Api, phones: Collection[str]) -> None:
        """Count a request, whatever its outcome."""
        with self._lock:
            self._counts.add(api, phones)

    def stats(self) -> dict[Api, dict[str, object]]:
        """Return the requests received: `{"sendSms": {"total": 1, "by_phone": {"13800138000": 1}}, …}`."""
        with self._lock:
            return self._counts.shown()

    def clear_stats(self) -> None:
        """Reset the counts to 0."""
        with self._lock:
            self._counts = Counts(self._max_messages)
