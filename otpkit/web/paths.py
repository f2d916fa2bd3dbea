"""Paths on this site that a visitor may be sent to. They come with the request and never lead to another site."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

_LONGEST: Final = 2000
# A path from the root, with a single slash. Browsers read two slashes, or a backslash, as another site's address.
_OWN: Final = re.compile(r"/(?!/)[^\x00-\x20\x7f\\]*", re.ASCII)


def own_path(text: str) -> str:
    """Return a path of this site with its query, such as from `?next=`, or "" if the text is anything else.

    Args:
        text: the text that came with the request.
    """
    if len(text) > _LONGEST or not _OWN.fullmatch(text) or "//" in re.split(r"[?#]", text)[0]:
        return ""
    return text if text.isprintable() else ""


def with_next(url: str, wanted: str) -> str:
    """Return a URL with `?next=` added, or unchanged if `wanted` is ""."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'next': wanted})}" if wanted else url


def onward(purpose: str, next_url: str, wanted: str) -> str:
    """Return the URL to redirect to after a correct code.

    It is the wanted page, or `next_url`. After a sign-up the visitor has no account yet, so the sign-up goes to
    `next_url`, the form that creates the account, and passes the wanted page on to it.

    Args:
        purpose: the purpose of the codes.
        next_url: the application's URL to go to.
        wanted: the path from `?next=`, or "".
    """
    return with_next(next_url, wanted) if purpose == "signup" else wanted or next_url


def back_path(method: str, path: str, referer: str, host: str) -> str:
    """Return the path of the page that the visitor was on, or "" if it is unknown.

    For a GET it is the request's own path, else the path of the page with the form.

    Args:
        method: the request's method.
        path: the request's path with its query.
        referer: the header `Referer`. It is used only if it is a URL of this site.
        host: the header `Host`.
    """
    if method in {"GET", "HEAD"}:
        return own_path(path)
    try:
        parts = urlsplit(referer)
    except ValueError:
        return ""
    return own_path(parts._replace(scheme="", netloc="", fragment="").geturl()) if parts.netloc == host else ""


def verify_again(page: str, purpose: str, back: str) -> str:
    """Return the URL of the phone form, with the way back to the visitor's page. Return "" if there is no `page`.

    Args:
        page: the path of the phone form, or "".
        purpose: the purpose of the codes.
        back: the path of the visitor's page, or ""; see `back_path`.
    """
    if page and purpose == "signup":  # The sign-up redirects there by itself; pass on only its own `?next=`.
        back = own_path(parse_qs(urlsplit(back).query).get("next", [""])[0])
    return page and with_next(page, back)
