"""The attack of the demo: a script that posts to the sign-up form, as SMS bombing tools (短信轰炸) do.

The script runs in a thread and sends real HTTP requests to the demo's own site: it gets the form, and posts it with the
next number. Like tools that rent proxies, it has another address for each number. The site believes an address only
from this script.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlencode

from otpkit import Event
from otpkit.effects import HttpRequest, HttpResponse, TransportFailure, http
from otpkit.simulator.places import any_number, ipv4
from otpkit.transport.http import drive

REQUESTS: Final = 120
PACE: Final = 0.25  # s from one post to the next

Phase: TypeAlias = Literal["ready", "sending", "asking", "stopped", "over"]

_HEADER: Final = "x-otpkit-demo-attack"
_CSRF: Final = re.compile(r'name="csrf" value="([^"]*)"')
_is_attack: Final[ContextVar[bool]] = ContextVar("_is_attack", default=False)


@dataclass(slots=True)
class Counts:
    """What one attack has asked for, and what it got.

    Attributes:
        requests: the numbers that the script has posted.
        messages: the messages that were sent for them.
        captchas: the posts that were answered with a captcha.
    """

    requests: int = 0
    messages: int = 0
    captchas: int = 0


class Attack:
    """The attack on one site. It is stopped until `start`, and runs once at a time.

    Args:
        requests: the numbers to post.
        pace: the seconds from one post to the next, if the site answers sooner.
    """

    def __init__(self, requests: int = REQUESTS, pace: float = PACE) -> None:
        self.token = secrets.token_urlsafe(16)  # The demo's page has it, so no other site can start the attack.
        self.counts = Counts()
        self._requests, self._pace = requests, pace
        self._secret = secrets.token_urlsafe(16)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """True while the script runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def phase(self) -> Phase:
        """The name of what happens now."""
        if self.is_running:
            return "asking" if self.counts.captchas else "sending"
        if self._thread is None:
            return "ready"
        return "over" if self.counts.captchas else "stopped"

    def start(self, form_url: str) -> None:
        """Start the script, unless it runs.

        Args:
            form_url: the URL of the form for the number.
        """
        with self._lock:
            if not self.is_running:
                self.counts = Counts()
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, args=(form_url,), name="otpkit-attack", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop the script after the request that it is making."""
        self._stop.set()

    def on_event(self, event: Event) -> None:
        """Count an event of an `OTP`, if a request of the script caused it."""
        if not _is_attack.get():
            return
        if event.name == "issued":
            self.counts.messages += 1
        elif event.name == "captcha" and event.outcome == "required":
            self.counts.captchas += 1

    def mark(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the ASGI scope of a request. A request of the script has the address that it names."""
        header = dict(scope.get("headers", ())).get(_HEADER.encode(), b"")
        secret, _, address = header.decode("latin-1").partition(" ")
        is_ours = secrets.compare_digest(secret.encode(), self._secret.encode())
        _is_attack.set(is_ours)
        return {**scope, "client": (address, 0)} if is_ours else scope

    def _run(self, form_url: str) -> None:
        random = Random()  # noqa: S311  The numbers need no secrecy.
        for _ in range(self._requests):
            due = time.monotonic() + self._pace
            try:
                self._post(form_url, any_number(random), ipv4(random))
            except TransportFailure:  # The site has stopped.
                return
            self.counts.requests += 1
            if self._stop.wait(max(0, due - time.monotonic())):
                return

    def _post(self, form_url: str, phone: str, address: str) -> None:
        headers = {_HEADER: f"{self._secret} {address}"}
        page = _exchange("GET", form_url, headers)
        headers["cookie"] = page.headers.get("set-cookie", "").partition(";")[0]
        headers["content-type"] = "application/x-www-form-urlencoded"
        form = {"action": "send", "csrf": "".join(_CSRF.findall(page.text)[:1]), "phone": phone}
        _exchange("POST", form_url, headers, urlencode(form).encode())


def _exchange(method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> HttpResponse:
    request = HttpRequest(method=method, url=url, headers=headers, timeout=(3, 10), body=body)
    return drive(http(request))
