"""Alibaba Cloud's signature V3, ACS3-HMAC-SHA256: pure functions to sign a request and to check a signature.

The key's secret is never sent. Date and nonce are arguments: nothing here reads a clock or draws a random number.

Source: 《V3版本请求体&签名机制》, help.aliyun.com/document_detail/2593177.html.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from otpkit.gateways.credentials import Credentials

ALGORITHM: Final = "ACS3-HMAC-SHA256"
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}

_AUTHORIZATION = re.compile(
    ALGORITHM + r" Credential=(?P<key>[^,\s]+), ?SignedHeaders=(?P<names>[a-z0-9;-]+), ?Signature=(?P<hex>[0-9a-f]{64})"
)


class Authorization(NamedTuple):
    """The fields of an Authorization header: key id, names of the signed headers, and the signature in hex."""

    access_key_id: str
    signed_headers: tuple[str, ...]
    signature: str


def signed_headers(
    credentials: Credentials,
    *,
    action: str,
    version: str,
    host: str,
    params: Mapping[str, str],
    date: datetime,
    nonce: str,
    user_agent: str = "otpkit",
    method: str = "POST",
    path: str = "/",
    body: bytes = b"",
    content_type: str = "",
) -> dict[str, str]:
    """Return all headers of a call, with names in lower case, including `authorization`.

    Args:
        credentials: the key that signs.
        action: the name of the call, like `SendSms`.
        version: the API's version, like `2017-05-25`.
        host: the value of the Host header, with the port if it is not the scheme's default.
        params: the URL's query, decoded.
        date: the current time, an aware datetime; Alibaba Cloud accepts a difference of up to 15 minutes.
        nonce: a text that no other request used.
        user_agent: the value of the User-Agent header, which is signed too.
        method: the HTTP method.
        path: the URL's path, as it is sent.
        body: the body, as it is sent.
        content_type: the value of the Content-Type header, which is signed too; "" sends none.

    Returns:
        The headers by name.
    """
    headers = {
        "accept": "application/json",
        "host": host,
        "user-agent": user_agent,
        "x-acs-action": action,
        "x-acs-content-sha256": sha256(body).hexdigest(),
        "x-acs-date": date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    if content_type:
        headers["content-type"] = content_type
    if credentials.security_token:
        headers["x-acs-security-token"] = credentials.security_token
    names = sorted(headers)
    body_sha256 = headers["x-acs-content-sha256"]
    signed = signature(method, path, params, headers, names, body_sha256, credentials.access_key_secret)
    return headers | {"authorization": authorization(Authorization(credentials.access_key_id, tuple(names), signed))}


def place_of(base_url: str) -> tuple[str, str]:
    """Return the value of the Host header, which omits a default port, and the path of an API's URL."""
    parts = urlsplit(base_url)
    return parts.netloc.removesuffix(_DEFAULT_PORTS[parts.scheme]), f"{parts.path}/"


def signature(
    method: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    signed: Iterable[str],
    body_sha256: str,
    secret: str,
) -> str:
    """Return the signature of a request, in hex. A server compares it with the signature that it received.

    `path` is the path as it is sent. `params` is the decoded query. `headers` are all headers of the request; the case
    of their names does not matter. `signed` are the names of the signed headers; a missing one counts as empty.
    `body_sha256` is the hash of the body in hex.
    """
    request = canonical_request(method, path, params, headers, signed, body_sha256)
    return hmac.new(secret.encode(), string_to_sign(request).encode(), sha256).hexdigest()


def string_to_sign(request: str) -> str:
    """Return the text that is signed for a canonical request."""
    return f"{ALGORITHM}\n{sha256(request.encode()).hexdigest()}"


def canonical_request(
    method: str,
    path: str,
    params: Mapping[str, str],
    headers: Mapping[str, str],
    signed: Iterable[str],
    body_sha256: str,
) -> str:
    """Return the canonical form of a request, which both sides sign. The arguments are those of `signature`."""
    values = {name.lower(): value.strip() for name, value in headers.items()}
    names = sorted(name.lower() for name in signed)
    lines = "".join(f"{name}:{values.get(name, '')}\n" for name in names)
    return "\n".join([method, path, canonical_query(params), lines, ";".join(names), body_sha256])


def canonical_query(params: Mapping[str, str]) -> str:
    """Return a query sorted by name and encoded by RFC 3986: a space becomes `%20`, and `~` is unchanged."""
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(params.items()))


def authorization(said: Authorization) -> str:
    """Return the Authorization header with these fields."""
    names = ";".join(said.signed_headers)
    return f"{ALGORITHM} Credential={said.access_key_id},SignedHeaders={names},Signature={said.signature}"


def read_authorization(header: str) -> Authorization | None:
    """Return the fields of an Authorization header, or None if it is of another scheme."""
    found = _AUTHORIZATION.fullmatch(header)
    return found and Authorization(found["key"], tuple(found["names"].split(";")), found["hex"])
