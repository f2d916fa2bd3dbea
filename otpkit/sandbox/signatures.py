"""The signature ACS3-HMAC-SHA256, checked as Alibaba Cloud does. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote

from otpkit.sandbox.calls import WireRequest
from otpkit.sandbox.denials import Denied
from otpkit.sandbox.nonces import WINDOW
from otpkit.sandbox.state import Sandbox

_AUTHORIZATION: Final = re.compile(
    r"ACS3-HMAC-SHA256 +Credential=(?P<key>[^,\s]+), *SignedHeaders=(?P<signed>[^,\s]+), *Signature=(?P<signature>\S+)"
)


def check_signature(sandbox: Sandbox, request: WireRequest) -> None:
    """Let a request pass whose signature is right, recent and new.

    Raises:
        Denied: it is not.
    """
    given = _AUTHORIZATION.fullmatch(request.header("authorization"))
    if given is None:
        raise Denied("IncompleteSignature", "The request signature does not conform to Aliyun standards.")
    secret = sandbox.secret_of(given["key"])
    if secret is None:
        raise Denied("InvalidAccessKeyId.NotFound", "Specified access key is not found.", status=404)
    nonce = _mandatory_header(request, "x-acs-signature-nonce")
    _check_date(_mandatory_header(request, "x-acs-date"), sandbox.now())
    if not _is_signed(request, given["signed"].split(";"), given["signature"], secret):
        raise Denied("SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
    # Last, so that only who knows the secret can fill the memory.
    if not sandbox.first_use(nonce):
        raise Denied("SignatureNonceUsed", "Specified signature nonce was used already.")


def _mandatory_header(request: WireRequest, name: str) -> str:
    value = request.header(name)
    if not value:
        raise Denied("MissingParameter", f"The header {name} that is mandatory for this request is not supplied.")
    return value


def _check_date(text: str, now: float) -> None:
    try:
        date = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        message = "Specified time stamp or date value is not well formatted."
        raise Denied("InvalidTimeStamp.Format", message) from None
    if abs(date - now) > WINDOW:
        raise Denied("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _is_signed(request: WireRequest, signed: list[str], signature: str, secret: str) -> bool:
    """Say whether the signature is right, and is of all that must be signed."""
    present = {name.decode("latin-1") for name in request.headers}
    needed = {name for name in present if name.startswith("x-acs-") or name in {"host", "content-type"}}
    body = hashlib.sha256(request.body).hexdigest()
    if not needed <= set(signed) <= present or request.header("x-acs-content-sha256") != body:
        return False
    return hmac.compare_digest(_signature(request, signed, body, secret), signature.encode())


def _signature(request: WireRequest, signed: list[str], body: str, secret: str) -> bytes:
    pairs = sorted(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True))
    query = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in pairs)
    lines = "".join(f"{name}:{request.header(name)}\n" for name in sorted(signed))
    canonical = f"{request.method}\n{request.path.decode()}\n{query}\n{lines}\n{';'.join(sorted(signed))}\n{body}"
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest().encode()
