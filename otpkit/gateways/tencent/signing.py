"""Tencent Cloud's signature, TC3-HMAC-SHA256: pure functions to sign a request and to check a signature.

The time is an argument: nothing here reads a clock.

Source: 腾讯云 API 签名方法 v3 (https://cloud.tencent.com/document/api/362/4208).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from otpkit.gateways.credentials import Credentials

ALGORITHM: Final = "TC3-HMAC-SHA256"
CONTENT_TYPE: Final = "application/json"
_SIGNED_HEADERS: Final = ("content-type", "host")


def signed_headers(
    credentials: Credentials,
    *,
    service: str,
    host: str,
    action: str,
    version: str,
    body: bytes,
    timestamp: int,
    region: str | None = None,
) -> dict[str, str]:
    """Return all headers of a call, a POST of JSON to `/` of a host.

    Args:
        credentials: the key that signs.
        service: the service's name, like `sms`.
        host: the value of the `Host` header, with its port if it has one.
        action: the name of the call, like `SendSms`.
        version: the API's version, like `2021-01-11`.
        body: the body, as it is sent.
        timestamp: the current time in seconds since the epoch.
        region: the region of the API; None for an API without regions.

    Returns:
        The headers by name.
    """
    key_id, key = credentials.access_key_id, credentials.access_key_secret
    headers = {
        "Content-Type": CONTENT_TYPE,
        "Host": host,
        "X-TC-Action": action,
        "X-TC-Version": version,
        "X-TC-Timestamp": str(timestamp),
        "Authorization": authorization(key_id, key, service=service, host=host, body=body, timestamp=timestamp),
    }
    if region is not None:
        headers["X-TC-Region"] = region
    if credentials.security_token is not None:
        headers["X-TC-Token"] = credentials.security_token
    return headers


def authorization(secret_id: str, secret_key: str, *, service: str, host: str, body: bytes, timestamp: int) -> str:
    """Return the header `Authorization` of a POST of JSON to `/` of a host.

    Args:
        secret_id: the key's SecretId.
        secret_key: the key's SecretKey.
        service: the service's name, like `sms`.
        host: the value of the `Host` header, with its port if it has one.
        body: the body, as it is sent.
        timestamp: the current time in seconds since the epoch; Tencent Cloud accepts a signature for five minutes.

    Returns:
        The header's value.
    """
    headers = {"content-type": CONTENT_TYPE, "host": host}
    request = canonical_request("POST", "", headers, _SIGNED_HEADERS, body)
    signed = signature(secret_key, service=service, request=request, timestamp=timestamp)
    names = ";".join(_SIGNED_HEADERS)
    scope = _scope(service, timestamp)
    return f"{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={names}, Signature={signed}"


def canonical_request(method: str, query: str, headers: Mapping[str, str], signed: Sequence[str], body: bytes) -> str:
    """Return the canonical form of a request to `/`, which both sides sign.

    `query` is the query as it is sent. The names of `headers` are in lower case. `signed` are the names of the signed
    headers, in their order.
    """
    lines = "".join(f"{name}:{headers.get(name, '')}\n" for name in signed)
    return "\n".join((method, "/", query, lines, ";".join(signed), hashlib.sha256(body).hexdigest()))


def signature(secret_key: str, *, service: str, request: str, timestamp: int) -> str:
    """Return the signature of a canonical request, in hex. A server compares it with the signature that it received."""
    scope = _scope(service, timestamp)
    to_sign = "\n".join((ALGORITHM, str(timestamp), scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return _hmac(key, to_sign).hex()


def _scope(service: str, timestamp: int) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d}/{service}/tc3_request"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
