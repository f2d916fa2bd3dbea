"""A service on a real socket in a thread of this process, and a client for it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from otpkit import AsyncOTP, Template
from otpkit.listening import listen
from otpkit.service import ApiKey, Metrics, create_app
from otpkit.service.server import Server
from otpkit.testing import Outbox

KEY = "key-of-the-shop-0123456789-0123456789"
OTHER_KEY = "key-of-the-scraper-0123456789-012345"
SECRET = "the-secret-that-no-output-may-ever-show"
RECEIPTS_SECRET = "receipts-secret-of-the-tests-0123456789"
PHONE = "+8613800138000"
TEMPLATE = Template("SMS_585014", "阿里大鱼", {"code": "{code}", "product": "alidayu"})
TRUSTED_KEY = "key-of-the-account-service-0123456789"
KEYS = (
    ApiKey.of("shop", KEY, ["signup", "login"]),
    ApiKey.of("scraper", OTHER_KEY, []),
    ApiKey.of("accounts", TRUSTED_KEY, ["signup", "login"], known=True, operator=True),
)


@dataclass(frozen=True)
class Served:
    """A running service: its URL, and its parts."""

    base_url: str
    port: int
    outbox: Outbox
    session: requests.Session
    server: Server

    def connections(self) -> int:
        """Return the number of connections, without that of the session."""
        self.session.close()
        time.sleep(0.1)
        return len(self.server.server_state.connections)

    def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> requests.Response:
        """POST a JSON body with an API key."""
        auth = {} if key is None else {"Authorization": f"Bearer {key}"}
        if body is not None:
            more["json"] = body
        return self.session.post(self.base_url + path, headers=auth | dict(headers or {}), timeout=20, **more)

    def get(self, path: str, *, key: str | None = None) -> requests.Response:
        """GET a path."""
        auth = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.session.get(self.base_url + path, headers=auth, timeout=20)

    def issue(self, phone: str = PHONE, **fields: Any) -> str:
        """Issue a code, and return the code."""
        answer = self.post("/v1/challenges", {"phone": phone, **fields})
        assert answer.status_code == 201, answer.text
        return self.outbox[-1].code

    def token(self, phone: str = PHONE, **fields: Any) -> str:
        """Verify a phone, and return the proof's token."""
        body = {"phone": phone, "code": self.issue(phone, **fields), **fields}
        return str(self.post("/v1/verifications", body).json()["token"])


@contextlib.contextmanager
def serving(
    url: str,
    namespace: str = "service",
    gateway: Any = None,
    otp_options: Mapping[str, Any] | None = None,
    keys: Iterable[ApiKey] = KEYS,
    **options: Any,
) -> Iterator[Served]:
    """Run the service in a thread, with the server that `otpkit serve` uses."""
    outbox, metrics, ready = Outbox(), Metrics(), threading.Event()
    listener = listen("127.0.0.1", 0)
    otp = AsyncOTP(
        url,
        outbox if gateway is None else gateway,
        TEMPLATE,
        SECRET,
        namespace=namespace,
        on_event=metrics.on_event,
        **(otp_options or {}),
    )
    server = Server(create_app(otp, keys, metrics=metrics, **options), ready.set, otp.close)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert ready.wait(10)
    port = listener.getsockname()[1]
    with requests.Session() as session:
        session.trust_env = False
        try:
            yield Served(f"http://127.0.0.1:{port}", port, outbox, session, server)
        finally:
            session.close()
            server.should_exit = True
            thread.join(10)
