"""Check Alibaba Cloud's two signatures as Alibaba Cloud checks them. No I/O.

Current clients use ACS3-HMAC-SHA256. Older RPC clients use version 1.0: HMAC-SHA1 over the parameters.
Source: 《V2版本RPC风格请求体&签名机制》, help.aliyun.com/document_detail/251751.html.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

from otpkit.gateways.aliyun.signing import Authorization, canonical_query, read_authorization, signature
from otpkit.sandbox.calls import WireRequest
from otpkit.sandbox.providers.aliyun.responses import Denied, mandatory
from otpkit.sandbox.providers.shared import Params, decode
from otpkit.sandbox.state import Sandbox
from otpkit.sandbox.storage import NONCE_WINDOW


def check_date(text: str, now: float) -> None:
    """Check that a signed request's date is within 15 minutes of `now` (seconds since the epoch).

    Raises:
        Denied: it is not, or it is not a date.
    """
    try:
        date = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        message = "Specified time stamp or date value is not well formatted."
        raise Denied("InvalidTimeStamp.Format", message) from None
    if abs(date - now) > NONCE_WINDOW:
        raise Denied("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def check_signature(sandbox: Sandbox, request: WireRequest) -> None:
    """Check that a request's signature is correct, recent and not used before.

    Raises:
        Denied: it is not.
    """
    claim = read_authorization(request.header("authorization"))
    if claim is None:
        raise Denied("IncompleteSignature", "The request signature does not conform to Aliyun standards.")
    secret = sandbox.secret_of(claim.access_key_id)
    if secret is None:
        raise Denied("InvalidAccessKeyId.NotFound", "Specified access key is not found.", status=404)
    nonce = _mandatory_header(request, "x-acs-signature-nonce")
    check_date(_mandatory_header(request, "x-acs-date"), sandbox.now())
    if not _is_signed(request, claim, secret):
        raise Denied("SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
    # Check this last: only a client that knows the secret can then fill the memory.
    if not sandbox.first_use(nonce):
        raise Denied("SignatureNonceUsed", "Specified signature nonce was used already.")


def _mandatory_header(request: WireRequest, name: str) -> str:
    value = request.header(name)
    if not value:
        raise Denied("MissingParameter", f"The header {name} that is mandatory for this request is not supplied.")
    return value


def _is_signed(request: WireRequest, claim: Authorization, secret: str) -> bool:
    """Return True if the signature is correct and covers the host and all headers that describe the call."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
    # Without a body, a Content-Type describes nothing: HTTP libraries add one that the SDK did not sign.
    described = {"host", "content-type"} if request.body else {"host"}
    needed = {name for name in headers if name.startswith("x-acs-") or name in described}
    body, params = sha256(request.body).hexdigest(), decode(request.query)
    if params is None or not needed <= set(claim.signed_headers) <= headers.keys():
        return False
    if headers.get("x-acs-content-sha256") != body:
        return False
    path = request.path.decode("latin-1")
    expected = signature(request.method, path, params, headers, claim.signed_headers, body, secret)
    return hmac.compare_digest(expected, claim.signature)


def check_signature_v1(sandbox: Sandbox, method: str, params: Params) -> None:
    """Check that a request's signature is correct, recent and not used before.

    `params` are those of the query and the form.

    Raises:
        Denied: it is not.
    """
    access_key_id, signature, how, version, nonce, date = mandatory(
        params, "AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"
    )
    if how != "HMAC-SHA1":
        raise Denied("InvalidSignatureMethod", "Specified signature method is not valid.")
    if version != "1.0":
        raise Denied("IncompleteSignature", "The request signature does not conform to Aliyun standards.")
    secret = sandbox.secret_of(access_key_id)
    if secret is None:
        raise Denied("InvalidAccessKeyId.NotFound", "Specified access key is not found.", status=404)
    check_date(date, sandbox.now())
    signed = string_to_sign(method, params)
    if not hmac.compare_digest(sign(signed, secret), signature.encode("utf-8", "replace")):
        # Older clients compare this text with their own, to distinguish a wrong secret from a wrong signature.
        problem = "Specified signature is not matched with our calculation."
        raise Denied("SignatureDoesNotMatch", f"{problem} server string to sign is:{signed}")
    if not sandbox.first_use(nonce):
        raise Denied("SignatureNonceUsed", "Specified signature nonce was used already.")


def sign(text: str, secret: str) -> bytes:
    """Return the signature of a text, in Base64."""
    return base64.b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), "sha1"))


def string_to_sign(method: str, params: Mapping[str, str]) -> str:
    """Return the text to sign: the method, the path `/` and all parameters except `Signature`, each part encoded."""
    query = canonical_query({name: value for name, value in params.items() if name != "Signature"})
    return f"{method}&%2F&{quote(query, safe='')}"
