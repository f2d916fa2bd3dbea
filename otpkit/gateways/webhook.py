"""A webhook of one's own: each message is a POST of JSON, signed with HMAC-SHA-256; any 2xx accepts it.

`verify_webhook` is for the receiving side, and is a pure function: no clock, no network.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

from otpkit.core.checks import Checks
from otpkit.core.secret import read_secret
from otpkit.effects import Flow, HttpRequest, HttpResponse
from otpkit.errors import (
    ConfigurationError,
    ExpiredTokenError,
    GatewayRejectedError,
    InvalidTokenError,
    RejectionCategory,
)
from otpkit.frames import without_locals
from otpkit.gateways import validation
from otpkit.gateways.base import Channel, Gateway, Message, Receipt
from otpkit.gateways.provider import Provider, header, json_object, message_id, read_json, seconds, text_of, token

__all__ = ["Webhook", "verify_webhook"]

PROVIDER: Final = Provider("webhook", "The webhook")
TIMESTAMP: Final = "Otpkit-Timestamp"
SIGNATURE: Final = "Otpkit-Signature"
_SCHEME: Final = "v1="  # HMAC-SHA-256 over "timestamp.body", in hex
_TIMESTAMP: Final = re.compile(r"[0-9]{1,11}")
_LOOK: Final = "the operator must see why, in the log of the webhook's server"
_KEYS: Final = "the operator must check url and secret"
# What a refusal may name: who must do what.
_REMEDIES: Final[dict[RejectionCategory, str]] = {
    "number": "the person at the form must give another number",
    "rate_limit": "wait",
    "quota": "the operator must raise the limit of the account behind the webhook, or wait",
    "account": _LOOK,
    "configuration": _LOOK,
    "request": _LOOK,
}
_CATEGORIES: Final[dict[int, RejectionCategory]] = {401: "account", 403: "account", 429: "rate_limit"}


class Webhook(Gateway):
    """Hands each message to a server of your own.

    The body is a JSON object of `send_id`, `phone` (E.164), `code`, `channel` (`sms` or `voice`), `template` (its
    code), `sign_name` (or ""), `params` and, where the template has a `body`, `text`, without the signature. A JSON
    answer's `id` is the message id. A message is posted once: a `send_id` that the server has seen before is a replay.

    A 4xx says that it was certainly not sent. Its JSON may say why, as `category`: `number` (nobody can serve it),
    `rate_limit` (of the phone), `quota` (of your account, so another gateway may serve), `account`, `configuration` or
    `request`; and as `code`, a word for your log.

    Args:
        url: where to POST to, with a query or without; `http://` is for loopback alone, for the code travels in clear.
        secret: at least 32 random bytes, which sign and never travel.
        timeout: seconds to connect and seconds to answer; one number means both.
        proxy: the URL of a proxy to go through, such as `http://user:password@proxy.example:3128`. What the environment
            says of proxies counts for nothing, and `http://` of loopback goes directly.

    Raises ConfigurationError for anything that can't work, naming the field and the remedy.
    """

    name: ClassVar[str] = PROVIDER.name
    channels: frozenset[Channel] = frozenset({"sms", "voice"})

    def __init__(
        self,
        url: str,
        secret: str | bytes,
        *,
        timeout: tuple[float, float] | float = (3, 10),
        proxy: str | None = None,
    ) -> None:
        with Checks() as checks:
            if whole := checks.value("url", validation.whole_url, url):
                self.url, _, query = whole.partition("?")
                # Apart, for a query may be a key, and no repr shows a request's.
                self._query = checks.of("url", _query, query)
            self._secret = checks.value("secret", read_secret, secret)
            self.timeout = checks.value("timeout", validation.timeouts, timeout)
            self._proxy = checks.value("proxy", validation.proxy_url, proxy)

    def __repr__(self) -> str:
        return f"Webhook(url={self.url!r}, timeout={self.timeout!r})"

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message by one POST.

        Raises GatewayRejectedError where it was certainly not sent: a 4xx, or no connection. Its category is the one
        that the answer names; without one a 429 is `rate_limit`, a 401 or 403 `account`, any other `request`.
        `Retry-After`, in seconds, tells how long a limit holds. Any other status is uncertain.
        """
        return (yield from PROVIDER.hand_over(self._request(message), _judge))

    def _request(self, message: Message) -> HttpRequest:
        body = _body(message)
        timestamp = str(int((message.sent_at or datetime.now(UTC)).timestamp()))
        headers = {
            "Content-Type": "application/json",
            TIMESTAMP: timestamp,
            SIGNATURE: _signature(self._secret, timestamp, body),
        }
        return HttpRequest(
            method="POST",
            url=self.url,
            params=self._query,
            headers=headers,
            timeout=self.timeout,
            body=body,
            proxy=self._proxy,
        )


@without_locals
def verify_webhook(
    body: bytes, headers: Mapping[str, str], secret: str | bytes, *, now: float, tolerance: float = 300
) -> dict[str, Any]:
    """Return the message that a webhook was sent, once it is known to be from who has the secret.

    Args:
        body: the request's body, byte for byte as it came.
        headers: its headers, whatever the case of their names.
        secret: that of `Webhook`.
        now: the time, in seconds since the epoch: `time.time()`.
        tolerance: seconds that the message's time may differ from it.

    Raises InvalidTokenError where the signature is missing or wrong, ExpiredTokenError where it is of another time (the
    same request may have been seen before), and ConfigurationError for a secret that is too short or not random.
    """
    timestamp, given = header(headers, TIMESTAMP.lower()), header(headers, SIGNATURE.lower())
    key = read_secret("secret", secret)
    if not _TIMESTAMP.fullmatch(timestamp) or not hmac.compare_digest(
        given.encode("utf-8", "replace"), _signature(key, timestamp, body).encode()
    ):
        raise InvalidTokenError("The webhook's signature is missing or wrong.", "Answer 401.")
    if abs(now - int(timestamp)) > tolerance:
        raise ExpiredTokenError(f"The webhook's message is not within {tolerance:g} s of now.", "Answer 401.")
    message = read_json(body)
    if not isinstance(message, dict):
        raise InvalidTokenError("The webhook's body is no JSON object.", "Answer 401.")
    return message


def _query(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(dict(pairs)) != len(pairs):
        raise ConfigurationError("url names a parameter twice in its query.", "Keep one.")
    return dict(pairs)


def _body(message: Message) -> bytes:
    template = message.template
    fields: dict[str, Any] = {
        "send_id": message.send_id,
        "phone": message.phone,
        "code": message.code,
        "channel": message.channel,
        "template": template.code,
        "sign_name": template.sign_name,
        "params": dict(message.params),
    }
    if template.body is not None:
        fields["text"] = template.fill(message.params, signed=False)
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _signature(secret: bytes, timestamp: str, body: bytes) -> str:
    return _SCHEME + hmac.digest(secret, timestamp.encode() + b"." + body, "sha256").hex()


def _judge(response: HttpResponse) -> Receipt | GatewayRejectedError:
    if 200 <= response.status < 300:
        return Receipt(PROVIDER.name, message_id(json_object(response).get("id")))
    if not 400 <= response.status < 500:
        return PROVIDER.uncertain()
    body, status = json_object(response), response.status
    said = text_of(body.get("category"))
    category = said if said in _REMEDIES else _CATEGORIES.get(status, "request")
    remedy = _KEYS if said not in _REMEDIES and category == "account" else _REMEDIES[category]
    wait = seconds(response.headers.get("retry-after")) if category in {"rate_limit", "quota"} else None
    return PROVIDER.rejection(
        category, f"the message is refused (HTTP {status})", remedy, token(body.get("code")), wait
    )
