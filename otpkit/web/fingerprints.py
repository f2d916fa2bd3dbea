"""Compute fingerprints of requests, so that an idempotency key from the visitor is valid for one request only."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import BinaryIO, Final, TypeAlias

Fields: TypeAlias = Iterable[tuple[str, str | BinaryIO]]

FORM_TYPES: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
# Fields of otpkit, Flask-WTF and Starlette-WTF, and Django. A form that is sent twice may have a new token.
_CSRF_FIELDS: Final = frozenset({"csrf", "csrf_token", "csrfmiddlewaretoken"})


def fingerprint(method: str, url: str, content: bytes | Fields = b"", *, csrf_field: str = "") -> str:
    """Return a text that is equal for equal requests. Pass it to `OTP.redeem` as `request`.

    Args:
        method: the method, such as `POST`.
        url: the path and the query, without the scheme and the host, which a proxy may change.
        content: the names and values of a form, in any order; or, for a body that is not a form, its bytes. An uploaded
            file is its binary file object, which is read and set back to its beginning. CSRF tokens (`csrf`,
            `csrf_token`, `csrfmiddlewaretoken`) are ignored.
        csrf_field: the name of another field with a CSRF token.
    """
    found = sha256(f"{method} {url}\n".encode(errors="surrogatepass"))
    if isinstance(content, bytes):
        found.update(b"body" + content)
    else:
        ignored = _CSRF_FIELDS | {csrf_field}
        fields = sorted((name, _value(value)) for name, value in content if name not in ignored)
        found.update(repr(fields).encode(errors="surrogatepass"))
    return found.hexdigest()


def is_form(content_type: str) -> bool:
    """Return True if a header `Content-Type` is that of a form."""
    return content_type.partition(";")[0].strip().lower() in FORM_TYPES


def _value(value: str | BinaryIO) -> str:
    if isinstance(value, str):
        return f"text {value}"
    found = sha256()
    value.seek(0)
    while chunk := value.read(65_536):
        found.update(chunk)
    value.seek(0)
    return f"file {found.hexdigest()}"
