"""Tencent Cloud's signature of a request, TC3-HMAC-SHA256: a pure function, the time an argument.

Source: 腾讯云 API 签名方法 v3 (https://cloud.tencent.com/document/api/362/4208).
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Final

ALGORITHM: Final = "TC3-HMAC-SHA256"
CONTENT_TYPE: Final = "application/json"
_SIGNED_HEADERS: Final = "content-type;host"


def authorization(secret_id: str, secret_key: str, *, service: str, host: str, body: bytes, timestamp: int) -> str:
    """Return the header `Authorization` of a POST of JSON to `/` of `host`, made at `timestamp` (epoch seconds).

    `host` is the header `Host` as it is sent, with its port where it has one. Tencent Cloud takes a signature for
    five minutes.
    """
    date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
    scope = f"{date}/{service}/tc3_request"
    headers = f"content-type:{CONTENT_TYPE}\nhost:{host}\n"
    request = "\n".join(("POST", "/", "", headers, _SIGNED_HEADERS, hashlib.sha256(body).hexdigest()))
    to_sign = "\n".join((ALGORITHM, str(timestamp), scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"TC3{secret_key}".encode()
    for part in (date, service, "tc3_request"):
        key = _hmac(key, part)
    signature = _hmac(key, to_sign).hex()
    return f"{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={_SIGNED_HEADERS}, Signature={signature}"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
