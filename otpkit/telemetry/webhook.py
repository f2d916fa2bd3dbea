"""The listener that posts each event to your own server, as a signed CloudEvent.

The body is a CloudEvent 1.0 in structured JSON. The headers `webhook-id`, `webhook-timestamp` and `webhook-signature`
are those of Standard Webhooks 1.0: any of its libraries verifies a request.
"""

from __future__ import annotations

import hmac
import json
import random
import re
import time
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from otpkit.core.checks import Checks, nearest
from otpkit.core.secret import require_random
from otpkit.effects import HttpRequest, TransportFailure
from otpkit.errors import ConfigurationError
from otpkit.frames import without_locals
from otpkit.gateways import validation
from otpkit.models import EVENT_NAMES, Event
from otpkit.telemetry.fields import fields_of
from otpkit.telemetry.queue import CAPACITY, EventQueue, HasQueue
from otpkit.transport.http import Transport

__all__ = ["WebhookListener"]

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
TYPE: Final = "otpkit."
"""The prefix of a CloudEvent's type; the event's name follows."""
CHECK: Final = "check"
"""The name in the type of an event that only checks the connection."""
_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = range(24, 65)  # Standard Webhooks 1.0.
_SOURCE: Final = re.compile(r"[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,200}")  # The characters of a URI reference.
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_CLOSING_PAUSE_S: Final = 0.2
_LONGEST_WAIT_S: Final = 300.0  # The longest Retry-After that is obeyed.
_LIFE_S: Final = 3600.0
"""How long an event is posted again. Events behind it wait meanwhile, so that they arrive in order."""
_ABOUT_THE_EVENT: Final = frozenset({400, 413, 415, 422})
"""The answers after which an event is not posted again: the server can't read this one, and may read the next one."""
_ANSWER_BYTES: Final = 64 * 1024


@without_locals
class WebhookListener(HasQueue):
    """A listener that posts each event to a URL, at least once, signed by the convention of Standard Webhooks.

    The body is a CloudEvent: its `id` is the same whenever the event is posted again, so use it to skip duplicates. Its
    `type` is `otpkit.` and the event's name, `data` has the other fields that are known, and `subject` is `phone_id`.

    Any 2xx accepts an event. After any other answer, or none, it is posted again: after a second, then after twice the
    time each, up to a minute, each with jitter, for an hour. Later events wait behind it. A redirect is not followed:
    it counts as a failure. After 400, 413, 415 and 422, only this event is dropped. What is dropped is counted in
    `dropped`, and warned of in the log.

    Args:
        url: the URL to POST to; `http://` is allowed for loopback only.
        secret: the signing secret, `whsec_` and 24 to 64 random bytes in Base64, or several: each signs, so that the
            receiver can change from one to the next.
        names: the names of the events to post; None posts all.
        source: the CloudEvent's source, a URI reference that names this program.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, as for `Webhook`; None connects directly.
        rate: the most events that are posted in a second. Further ones wait.
        capacity: the events that may wait. Further ones are dropped.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
    """

    def __init__(
        self,
        url: str,
        secret: str | Sequence[str],
        *,
        names: Collection[str] | None = None,
        source: str = "otpkit",
        timeout: tuple[float, float] | float = (3, 10),
        proxy: str | None = None,
        rate: float = 50,
        capacity: int = CAPACITY,
    ) -> None:
        with Checks() as checks:
            self._url = checks.value("url", validation.whole_url, url)
            self._keys = checks.of("secret", read_secrets, secret)
            self._names = checks.of("names", _read_names, names)
            self._timeout = checks.value("timeout", validation.timeouts, timeout)
            self._proxy = checks.value("proxy", validation.proxy_url, proxy)
            if not isinstance(source, str) or not _SOURCE.fullmatch(source):
                checks.add("source", "source is not a URI reference.", 'Name this program, such as "/otpkit/shop".')
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= 10_000:
                checks.add("rate", f"rate is {rate!r:.40}.", "Pass a number of events a second, up to 10000.")
            queue = checks.of("capacity", _queue, self, capacity)
        self._source = source
        self._interval_s = 1 / rate
        self._queue = queue
        self._transport = Transport(connections=1)
        self._posted_s = 0.0

    def __repr__(self) -> str:
        return f"WebhookListener(host={self.host!r})"

    def __call__(self, event: Event) -> None:
        """Queue an event."""
        if self._names is None or event.name in self._names:
            self._queue.put((time.monotonic(), event))

    @property
    def host(self) -> str:
        """The host of the URL, and its port. The rest of a URL may hold a secret."""
        return urlsplit(self._url).netloc

    def check(self) -> int | TransportFailure:
        """Post an event of the type `otpkit.check` now, and return the status of the answer, or the failure."""
        status, _ = self._post(self._cloud_event(Event(name=CHECK, operation="check")))
        return status

    def deliver(self, item: tuple[float, Event]) -> None:
        """Post one event until it is accepted or too old. It runs on the queue's thread.

        Args:
            item: the time at which the event was queued, and the event.
        """
        queued_s, event = item
        message, pause_s = self._cloud_event(event), _FIRST_PAUSE_S
        while True:
            self._keep_rate()
            status, wait_s = self._post(message)
            if isinstance(status, int) and 200 <= status < 300:
                return
            why = f"{self.host} answered {status}" if isinstance(status, int) else f"{self.host}: {status}"
            if status in _ABOUT_THE_EVENT or time.monotonic() - queued_s > _LIFE_S:
                self._queue.drop(why)
                return
            self._queue.warn(why)
            jittered_s = pause_s * random.uniform(0.5, 1)  # noqa: S311 - It only spreads the load.
            if not self._queue.pause(max(jittered_s, wait_s)):
                time.sleep(_CLOSING_PAUSE_S)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _keep_rate(self) -> None:
        rest_s = self._posted_s + self._interval_s - time.monotonic()
        if rest_s > 0:
            self._queue.pause(rest_s)
        self._posted_s = time.monotonic()

    def _cloud_event(self, event: Event) -> tuple[str, bytes]:
        """Return the id and the body of an event's CloudEvent."""
        data = fields_of(event)
        name = data.pop("name")
        at = data.pop("at", None) or datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body: dict[str, Any] = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": self._source,
            "type": f"{TYPE}{name}",
            "time": at,
            "datacontenttype": "application/json",
            "data": data,
        }
        if event.phone_id:
            body["subject"] = event.phone_id
        return body["id"], json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    def _post(self, message: tuple[str, bytes]) -> tuple[int | TransportFailure, float]:
        """Post a CloudEvent; return the status or the failure, and the seconds of a `Retry-After`."""
        (its_id, body), timestamp = message, str(int(time.time()))
        signed = f"{its_id}.{timestamp}.".encode() + body
        signatures = [b64encode(hmac.digest(key, signed, "sha256")).decode() for key in self._keys]
        request = HttpRequest(
            method="POST",
            url=self._url,
            headers={
                "Content-Type": CONTENT_TYPE,
                "webhook-id": its_id,
                "webhook-timestamp": timestamp,
                "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
            },
            timeout=self._timeout,
            body=body,
            proxy=self._proxy,
            max_response=_ANSWER_BYTES,
        )
        try:
            response = self._transport.exchange(request)
        except TransportFailure as failure:
            return failure, 0.0
        after = response.headers.get("retry-after", "")
        return response.status, min(float(after), _LONGEST_WAIT_S) if re.fullmatch("[0-9]{1,6}", after) else 0.0


def read_secrets(secret: str | Sequence[str]) -> tuple[bytes, ...]:
    """Return the keys of signing secrets.

    Args:
        secret: one secret, or several.

    Raises:
        ConfigurationError: one of them is not `whsec_` and 24 to 64 random bytes in Base64.
    """
    found = []
    for each in [secret] if isinstance(secret, str) else secret:
        try:
            key = b64decode(each.removeprefix(_PREFIX), validate=True)
        except (AttributeError, Base64Error, ValueError):
            key = b""
        if not isinstance(each, str) or not each.startswith(_PREFIX) or len(key) not in _SECRET_BYTES:
            raise ConfigurationError(
                "secret must be whsec_ and 24 to 64 random bytes in Base64.", "Make one with `otpkit keygen --webhook`."
            )
        require_random("secret", key)
        found.append(key)
    if not found:
        raise ConfigurationError("secret is empty.", "Make one with `otpkit keygen --webhook`.")
    return tuple(found)


def _read_names(names: Collection[str] | None) -> frozenset[str] | None:
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Collection) or not names:
        raise ConfigurationError("names must be a set of events' names.", 'Write {"budget", "guard"}, or leave it out.')
    for name in names:
        if name not in EVENT_NAMES:
            problem = f"names: there is no event {name!r:.40}{nearest(str(name), EVENT_NAMES)}"
            raise ConfigurationError(problem, "The reference of events lists all names.")
    return frozenset(names)


def _queue(listener: WebhookListener, capacity: int) -> EventQueue[tuple[float, Event]]:
    return EventQueue("WebhookListener", listener.deliver, capacity)
