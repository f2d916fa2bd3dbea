"""The gateway of your own webhook. Each message is a POST of JSON, signed with HMAC-SHA-256. Any 2xx accepts it.

`verify_webhook` is for the receiving side. It is a pure function: it reads no clock and uses no network.
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
_SCHEME: Final = "v1="  # The rest is HMAC-SHA-256 over "timestamp.body", in hex.
_TIMESTAMP: Final = re.compile(r"[0-9]{1,11}")
_LOOK: Final = "the operator must find the cause in the log of the webhook's server"
_KEYS: Final = "the operator must check url and secret"
# The categories that a refusal may name, each with its remedy.
_REMEDIES: Final[dict[RejectionCategory, str]] = {
    "number": "the person at the form must enter another number",
    "rate_limit": "wait",
    "quota": "the operator must raise the limit of the account behind the webhook, or wait",
    "account": _LOOK,
    "configuration": _LOOK,
    "request": _LOOK,
}
_CATEGORIES: Final[dict[int, RejectionCategory]] = {401: "account", 403: "account", 429: "rate_limit"}


class Webhook(Gateway):
    """The gateway that posts each message to your own server.

    The body is a JSON object of `send_id`, `phone` (E.164), `code`, `channel` (`sms` or `voice`), `template` (its
    code), `sign_name` (or "") and `params`. If the template has a `body`, `text` is the text without the signature. The
    `id` of a JSON answer is the message id. A message is posted once: a repeated `send_id` is a replay.

    A 4xx means that the message was certainly not sent. Its JSON may name the reason as `category`: `number` (no
    gateway can serve the number), `rate_limit` (of the phone), `quota` (of your account, so another gateway may work),
    `account`, `configuration` or `request`. Its `code` is a word for your log.

    Args:
        url: the URL to POST to, with or without a query; `http://` is allowed for loopback only, because the code is
            sent unencrypted.
        secret: the signing secret, at least 32 random bytes; it is never sent.
        timeout: connect timeout and response timeout, in seconds; one number sets both.
        proxy: the URL of an HTTP proxy, such as `http://user:password@proxy.example:3128`; None connects directly. The
            environment's proxy variables are ignored, and `http://` to loopback is always direct.

    Raises:
        ConfigurationError: an argument is not valid. The error names the field and the remedy.
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
                # Keep the query apart: it may hold a key, and the repr of a request hides its query.
                self._query = checks.of("url", _query, query)
            self._secret = checks.value("secret", read_secret, secret)
            self.timeout = checks.value("timeout", validation.timeouts, timeout)
            self._proxy = checks.value("proxy", validation.proxy_url, proxy)

    def __repr__(self) -> str:
        return f"Webhook(url={self.url!r}, timeout={self.timeout!r})"

    def send(self, message: Message) -> Flow[Receipt]:
        """Send one message by one POST.

        Args:
            message: the message to send.

        Returns:
            The receipt: accepted for a 2xx, uncertain for any other status outside 4xx or if no answer came.

        Raises:
            GatewayRejectedError: the answer was a 4xx, or no connection was made. The answer's `category` is used; by
                default a 429 is `rate_limit`, a 401 or 403 is `account`, and any other 4xx is `request`. For a limit,
                `retry_after` is the `Retry-After` header in seconds.
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
            takes_trace=True,  # The signature covers the body and the timestamp.
        )


@without_locals
def verify_webhook(
    body: bytes, headers: Mapping[str, str], secret: str | bytes, *, now: float, tolerance: float = 300
) -> dict[str, Any]:
    """Check the signature of a webhook request, and return its message.

    Args:
        body: the request's body, as the unchanged bytes.
        headers: the request's headers; the case of their names does not matter.
        secret: the secret of `Webhook`.
        now: the current time in seconds since the epoch: `time.time()`.
        tolerance: seconds by which the message's timestamp may differ from `now`.

    Returns:
        The JSON object of the body, as described at `Webhook`.

    Raises:
        InvalidTokenError: the signature is missing or wrong, or the body is not a JSON object.
        ExpiredTokenError: the timestamp is outside `tolerance`. The request may be a replay.
        ConfigurationError: the secret is too short or not random.
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
        raise InvalidTokenError("The webhook's body is not a JSON object.", "Answer 401.")
    return message


def _query(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(dict(pairs)) != len(pairs):
        raise ConfigurationError("The query of url has the same parameter twice.", "Remove one of them.")
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
