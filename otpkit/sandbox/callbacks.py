"""Push receipts over HTTP in the format of their provider, while the server runs.

Dysmsapi's SmsReport, Dyvmsapi's VoiceReport and Tencent Cloud's statuses are JSON arrays. Twilio's status callback is a
signed form about one message or call.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urldefrag, urlencode

from otpkit.effects import HttpRequest, TransportFailure
from otpkit.gateways.twilio.signing import sign
from otpkit.sandbox.calls import ProviderName
from otpkit.sandbox.messages import Message
from otpkit.sandbox.providers.aliyun.dysmsapi import sms_report
from otpkit.sandbox.providers.aliyun.dyvmsapi import voice_report
from otpkit.sandbox.providers.tencent.sms import status_report
from otpkit.sandbox.providers.twilio import status_callback
from otpkit.sandbox.receipts import ReceiptPush
from otpkit.sandbox.state import Sandbox
from otpkit.transport.http import Transport

# Interval of polling for due receipts. A test may move the sandbox's clock, so no exact sleep is possible.
TICK: Final = 0.05  # s
# Seconds to connect and to respond. Aliyun gives up after 0.7 s; a loaded machine may need longer.
TIMEOUT: Final = (1.0, 2.0)
JSON: Final = "application/json;charset=utf-8"
FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"

_REPORTS: Final[Mapping[ProviderName, Callable[[Message], dict[str, object]]]] = {
    "dysmsapi": sms_report,
    "dyvmsapi": voice_report,
    "tencent": status_report,
}


@contextlib.contextmanager
def pushing(sandbox: Sandbox) -> Iterator[None]:
    """Push due receipts from a thread, one after the other, while the block runs."""
    stopped = threading.Event()
    thread = threading.Thread(target=_push_until, args=(sandbox, stopped), name="otpkit-receipts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(sum(TIMEOUT))


def _push_until(sandbox: Sandbox, stopped: threading.Event) -> None:
    """Push due receipts until `stopped` is set. Queue failed pushes again."""
    transport = Transport(ca_file=_ca_file(), decoding="replace")
    while not stopped.wait(TICK):
        now = sandbox.now()
        for url, push in sandbox.take_pushes():
            if stopped.is_set():
                return
            headers, body = push_request(url, push, sandbox)
            if not is_taken(push, _status_of(transport, url, headers, body)):
                sandbox.push_again(push, now)


def _status_of(transport: Transport, url: str, headers: Mapping[str, str], body: bytes) -> int:
    """POST once. Return the HTTP status of a complete response, or 0 if none came."""
    request = HttpRequest(
        method="POST",
        url=urldefrag(url).url,
        params={},
        # A stale keep-alive connection would look like a receiver that does not respond.
        headers={**headers, "Connection": "close"},
        timeout=TIMEOUT,
        body=body,
    )
    try:
        return transport.exchange(request).status
    except TransportFailure:
        return 0


def _ca_file() -> str | None:
    """Return the CA certificates that this host trusts, including its own for development; None if it has none."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath


def push_request(url: str, push: ReceiptPush, sandbox: Sandbox) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a push to `url`."""
    if push.provider == "twilio":
        params = status_callback(push.messages[0], sandbox.account_sid)
        signature = sign(url, params, sandbox.auth_token).decode()
        return {"Content-Type": FORM, "X-Twilio-Signature": signature}, urlencode(params).encode()
    rows = [_REPORTS[push.provider](message) for message in push.messages]
    return {"Content-Type": JSON}, json.dumps(rows, ensure_ascii=False).encode()


def is_taken(push: ReceiptPush, status: int) -> bool:
    """Return True if a response with this HTTP status accepts the push. Twilio accepts any 2xx, the others only 200."""
    return status // 100 == 2 if push.provider == "twilio" else status == 200
