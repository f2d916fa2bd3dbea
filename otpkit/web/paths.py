"""Where on this site a visitor may be sent: a path that came with the request, never another site's."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

_LONGEST: Final = 2000
# From the root, of one slash: browsers read two, and a backslash, as the start of another site's address.
_OWN: Final = re.compile(r"/(?!/)[^\x00-\x20\x7f\\]*", re.ASCII)


def own_path(text: str) -> str:
    """Return a path of this site with its query, such as a `?next=`, or "" where the text is anything else."""
    if len(text) > _LONGEST or not _OWN.fullmatch(text) or "//" in re.split(r"[?#]", text)[0]:
        return ""
    return text if text.isprintable() else ""


def with_next(url: str, wanted: str) -> str:
    """Return a URL with `?next=` added, or as it is where nothing is wanted."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'next': wanted})}" if wanted else url


def onward(purpose: str, next_url: str, wanted: str) -> str:
    """Return where the visitor goes once the code was right.

    That is the page that was wanted, or `next_url`. A sign-up goes to `next_url`, the form that creates the account,
    which is told what was wanted: the visitor has no account there yet.
    """
    return with_next(next_url, wanted) if purpose == "signup" else wanted or next_url


def back_path(method: str, path: str, referer: str, host: str) -> str:
    """Return the page that the visitor was at, "" where it isn't known: the path of a GET, else the form's.

    Args:
        method: the request's method.
        path: the request's path with its query.
        referer: its header `Referer`, of which only this site's is believed.
        host: its header `Host`.
    """
    if method in {"GET", "HEAD"}:
        return own_path(path)
    try:
        parts = urlsplit(referer)
    except ValueError:
        return ""
    return own_path(parts._replace(scheme="", netloc="", fragment="").geturl()) if parts.netloc == host else ""


def verify_again(page: str, purpose: str, back: str) -> str:
    """Return the URL of the phone's form that leads back to where the visitor was; "" where there is no `page`."""
    if page and purpose == "signup":  # which leads there by itself, and hands on what was wanted there
        back = own_path(parse_qs(urlsplit(back).query).get("next", [""])[0])
    return page and with_next(page, back)
