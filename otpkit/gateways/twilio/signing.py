"""Twilio's signature of its pushed requests, X-Twilio-Signature: pure functions to sign and to check.

Source: https://www.twilio.com/docs/usage/webhooks/webhooks-security.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit


def is_signed(url: str, params: Sequence[tuple[str, str]], signature: str, auth_token: str) -> bool:
    """Return whether `signature` is Twilio's signature of the form `params`, posted to the complete `url`.

    Twilio may sign the URL with or without its port, so both are accepted.
    """
    given = signature.encode("utf-8", "replace")
    return any(hmac.compare_digest(sign(each, params, auth_token), given) for each in _spellings(url))


def sign(url: str, params: Iterable[tuple[str, str]], auth_token: str) -> bytes:
    """Return the signature: HMAC-SHA1 over the URL and the sorted parameters, in Base64."""
    text = url + "".join(name + value for name, value in sorted(set(params)))
    return base64.b64encode(hmac.digest(auth_token.encode(), text.encode("utf-8", "surrogatepass"), "sha1"))


def _spellings(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [url]
    if port:
        return [url, parts._replace(netloc=parts.netloc.rpartition(":")[0]).geturl()]
    default = 443 if parts.scheme == "https" else 80
    return [url, parts._replace(netloc=f"{parts.netloc}:{default}").geturl()]
