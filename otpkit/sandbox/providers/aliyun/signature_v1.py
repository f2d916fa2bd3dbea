"""Alibaba Cloud's signature version 1.0, HMAC-SHA1 over the parameters, of the RPC clients of old. No I/O.

Source: 《V2版本RPC风格请求体&签名机制》, help.aliyun.com/document_detail/251751.html.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from otpkit.gateways.aliyun.signing import canonical_query
from otpkit.sandbox.providers.aliyun.denials import Denied, check_date, mandatory
from otpkit.sandbox.providers.reading import Params
from otpkit.sandbox.state import Sandbox


def check_signature_v1(sandbox: Sandbox, method: str, params: Params) -> None:
    """Let a request pass whose signature is right, recent and new; `params` are those of the query and the form.

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
        # Clients of old compare this text with their own, to tell a wrong secret from a wrong signature.
        problem = "Specified signature is not matched with our calculation."
        raise Denied("SignatureDoesNotMatch", f"{problem} server string to sign is:{signed}")
    if not sandbox.first_use(nonce):
        raise Denied("SignatureNonceUsed", "Specified signature nonce was used already.")


def sign(text: str, secret: str) -> bytes:
    """Return the signature of a text, in Base64."""
    return base64.b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), "sha1"))


def string_to_sign(method: str, params: Mapping[str, str]) -> str:
    """Return what is signed: the method, the path `/` and all parameters but `Signature`, each part encoded."""
    query = canonical_query({name: value for name, value in params.items() if name != "Signature"})
    return f"{method}&%2F&{quote(query, safe='')}"
