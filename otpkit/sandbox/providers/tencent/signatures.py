"""Check Tencent Cloud's signatures: TC3-HMAC-SHA256, and HmacSHA1 and HmacSHA256 of version 1. No I/O.

Sources: https://cloud.tencent.com/document/api/382/52071 (v3), https://cloud.tencent.com/document/api/382/52072 (v1).
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from typing import Final

from otpkit.gateways.tencent import signing
from otpkit.sandbox.calls import WireRequest
from otpkit.sandbox.providers.shared import Params
from otpkit.sandbox.providers.tencent.responses import TencentError
from otpkit.sandbox.state import Sandbox

WINDOW: Final = 300  # s; a request's time may differ from the sandbox's clock by this much, in either direction
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_METHODS: Final = {"HmacSHA1": "sha1", "HmacSHA256": "sha256"}
_PORT: Final = re.compile(r":[0-9]+$")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,10}")
_AUTHORIZATION: Final = re.compile(
    rf"{signing.ALGORITHM} Credential=(?P<id>[^/\s]+)/(?P<date>[0-9-]{{10}})/(?P<service>[a-z0-9]+)/tc3_request, ?"
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), ?Signature=(?P<hex>[0-9a-f]{64})"
)


def check_v3(sandbox: Sandbox, request: WireRequest) -> None:
    """Check that the signature in the header `Authorization` is correct and recent.

    Raises:
        TencentError: it is not.
    """
    claim = _AUTHORIZATION.fullmatch(request.header("authorization"))
    if claim is None:
        raise TencentError("AuthFailure.InvalidAuthorization", "The header Authorization is not valid.")
    secret = _secret_of(sandbox, claim["id"])
    timestamp = _recent(request.header("x-tc-timestamp"), sandbox.now())
    headers = {name.decode("latin-1"): request.header(name.decode("latin-1")) for name in request.headers}
    names = claim["names"].split(";")
    body = _UNSIGNED.encode() if headers.get("x-tc-content-sha256") == _UNSIGNED else request.body
    query = request.query.decode("latin-1")
    if not {"content-type", "host"} <= set(names) <= headers.keys():
        raise TencentError("AuthFailure.SignatureFailure", "The headers Content-Type and Host must be signed.")

    def signed_for(host: str) -> bytes:
        canonical = signing.canonical_request(request.method, query, {**headers, "host": host}, names, body)
        return signing.signature(secret, service=claim["service"], request=canonical, timestamp=timestamp).encode()

    _check(headers["host"], signed_for, claim["hex"])


def check_v1(sandbox: Sandbox, request: WireRequest, params: Params) -> None:
    """Check that the signature in the parameter `Signature` is correct and recent.

    Raises:
        TencentError: it is not.
    """
    secret = _secret_of(sandbox, params.get("SecretId", ""))
    _recent(params.get("Timestamp", ""), sandbox.now())
    algorithm = _METHODS.get(params.get("SignatureMethod", "HmacSHA1"))
    if algorithm is None:
        raise TencentError("InvalidParameterValue", "SignatureMethod is HmacSHA1 or HmacSHA256.")
    listed = "&".join(f"{name}={value}" for name, value in sorted(params.items()) if name != "Signature")

    def signed_for(host: str) -> bytes:
        text = f"{request.method}{host}/?{listed}"
        return base64.b64encode(hmac.digest(secret.encode(), text.encode(), algorithm))

    _check(request.header("host"), signed_for, params.get("Signature", ""))


def _check(host: str, signed_for: Callable[[str], bytes], signature: str) -> None:
    """Compare with the signatures for the host with its port and without: not every SDK signs the port."""
    given = signature.encode("utf-8", "replace")
    if not any(hmac.compare_digest(signed_for(each), given) for each in (host, _PORT.sub("", host))):
        raise TencentError("AuthFailure.SignatureFailure", "The provided credentials could not be validated.")


def _secret_of(sandbox: Sandbox, secret_id: str) -> str:
    secret = sandbox.secret_of(secret_id)
    if secret is None:
        raise TencentError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    return secret


def _recent(text: str, now: float) -> int:
    if not _TIMESTAMP.fullmatch(text):
        raise TencentError("MissingParameter", "The timestamp is missing or malformed.")
    if abs(int(text) - now) > WINDOW:
        raise TencentError("AuthFailure.SignatureExpire", "The signature has expired.")
    return int(text)
