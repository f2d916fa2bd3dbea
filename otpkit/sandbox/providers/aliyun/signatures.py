"""The signature ACS3-HMAC-SHA256, checked as Alibaba Cloud does. No I/O."""

from __future__ import annotations

import hmac
from hashlib import sha256

from otpkit.gateways.aliyun.signing import Authorization, read_authorization, signature
from otpkit.sandbox.calls import WireRequest
from otpkit.sandbox.providers.aliyun.denials import Denied, check_date
from otpkit.sandbox.providers.reading import decode
from otpkit.sandbox.state import Sandbox


def check_signature(sandbox: Sandbox, request: WireRequest) -> None:
    """Let a request pass whose signature is right, recent and new.

    Raises:
        Denied: it is not.
    """
    said = read_authorization(request.header("authorization"))
    if said is None:
        raise Denied("IncompleteSignature", "The request signature does not conform to Aliyun standards.")
    secret = sandbox.secret_of(said.access_key_id)
    if secret is None:
        raise Denied("InvalidAccessKeyId.NotFound", "Specified access key is not found.", status=404)
    nonce = _mandatory_header(request, "x-acs-signature-nonce")
    check_date(_mandatory_header(request, "x-acs-date"), sandbox.now())
    if not _is_signed(request, said, secret):
        raise Denied("SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
    # Last, so that only who knows the secret can fill the memory.
    if not sandbox.first_use(nonce):
        raise Denied("SignatureNonceUsed", "Specified signature nonce was used already.")


def _mandatory_header(request: WireRequest, name: str) -> str:
    value = request.header(name)
    if not value:
        raise Denied("MissingParameter", f"The header {name} that is mandatory for this request is not supplied.")
    return value


def _is_signed(request: WireRequest, said: Authorization, secret: str) -> bool:
    """Say whether the signature is right, and is of all that must be signed: the host and what speaks of the call."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
    needed = {name for name in headers if name.startswith("x-acs-") or name in {"host", "content-type"}}
    body, params = sha256(request.body).hexdigest(), decode(request.query)
    if params is None or not needed <= set(said.signed_headers) <= headers.keys():
        return False
    if headers.get("x-acs-content-sha256") != body:
        return False
    path = request.path.decode("latin-1")
    expected = signature(request.method, path, params, headers, said.signed_headers, body, secret)
    return hmac.compare_digest(expected, said.signature)
