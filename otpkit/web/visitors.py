"""Read facts about the visitor: the IP address behind proxies, the language, and if they accept HTML."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from otpkit.errors import Language
from otpkit.languages import DEFAULT, languages

_LANGUAGE: Final = re.compile(
    r"\s*([a-z]++(?:-[a-z0-9]++)*+)\b[^;]*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?", re.IGNORECASE
)
_QUALITY: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)", re.ASCII)
_LONGEST: Final = 1000  # characters of a header that are read
_PORT: Final = re.compile(r"\[([^]]*)\](?::\d+)?|([\d.]+):\d+")


def client_ip(peer: str | None, forwarded_for: str = "", hops: int = 0) -> str | None:
    """Return the visitor's IP address for `ip=`, or None if it is unknown.

    If the header has fewer entries than `hops`, or no address at that place, the request did not come through the
    proxies. Then the peer's address is returned.

    Args:
        peer: the address at the other end of the connection, or None.
        forwarded_for: the header `X-Forwarded-For`; several headers are joined by commas, in their order.
        hops: the number of your own proxies in front of the application. Each appends the address that it received the
            request from. So only the last `hops` entries are trusted: the visitor can write the others (OWASP ASVS
            4.1.3). With 0, the header is ignored.
    """
    chain = forwarded_for.rsplit(",", hops) if hops > 0 else []
    forwarded = _address(chain[-hops].strip()) if len(chain) >= hops > 0 else None
    return forwarded or _address(peer or "")


def preferred_language(accept_language: str) -> Language:
    """Return otpkit's language that the visitor prefers (RFC 9110 §12.5.4). The default is English.

    Only the first 1,000 characters are read. Browsers send fewer.

    Args:
        accept_language: the header `Accept-Language`.
    """
    ranges = filter(None, map(_LANGUAGE.fullmatch, accept_language[:_LONGEST].split(",")))
    found = [(float(each[2] or 1), language) for each in ranges if (language := _served(each[1].lower()))]
    weight, best = max(found, key=lambda choice: choice[0], default=(0.0, DEFAULT))
    return best if weight else DEFAULT


def _served(tag: str) -> Language | None:
    """Return the language for a tag: its own, or that of a shorter tag, such as `zh` for `zh-Hans-CN`."""
    while tag and tag not in languages():
        tag = tag.rpartition("-")[0]
    return tag or None


def prefers_html(accept: str) -> bool:
    """Return True if a header `Accept` names HTML, and JSON with no greater weight.

    Browsers name HTML; other clients do not. `*/*`, which scripts send, does not count as HTML.

    Args:
        accept: the header.
    """
    weights: dict[str, float] = {}
    for part in accept[:_LONGEST].lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        weights[kind] = next((_weight(each) for each in parameters if each.startswith("q=")), 1)
    html = max(weights.get("text/html", 0), weights.get("application/xhtml+xml", 0))
    return html > 0 and html >= max(weights.get("application/json", 0), weights.get("application/problem+json", 0))


def _weight(parameter: str) -> float:
    match = _QUALITY.fullmatch(parameter)
    return float(match[1]) if match else 0


def _address(text: str) -> str | None:
    if port := _PORT.fullmatch(text):
        text = port[1] or port[2] or ""
    try:
        return str(ipaddress.ip_address(text)).partition("%")[0]  # The zone of a link may be any text.
    except ValueError:
        return None
