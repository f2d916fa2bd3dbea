"""Who asks: the visitor's address behind proxies, and his language."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, cast

from otpkit.errors import Language

_LANGUAGE: Final = re.compile(r"\s*(en|zh)\b[^;]*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?", re.IGNORECASE)
_PORT: Final = re.compile(r"\[([^]]*)\](?::\d+)?|([\d.]+):\d+")


def client_ip(peer: str | None, forwarded_for: str = "", hops: int = 0) -> str | None:
    """Return the visitor's IP address, for `ip=`, or None where nobody can tell.

    Args:
        peer: the address at the other end of the connection.
        forwarded_for: the header `X-Forwarded-For`; several are joined by commas, in their order.
        hops: how many proxies of yours stand before the application. Each adds on the right the address that it was
            asked by, so what the last `hops` entries say can be believed, and nothing left of them: that is the
            visitor's own writing (OWASP ASVS 4.1.3).

    With 0 the header is not looked at. Where it has fewer entries than `hops`, or no address there, somebody came past
    the proxies: then it is the peer's.
    """
    chain = forwarded_for.rsplit(",", hops) if hops > 0 else []
    said = _address(chain[-hops].strip()) if len(chain) >= hops > 0 else None
    return said or _address(peer or "")


def preferred_language(accept_language: str) -> Language:
    """Return the visitor's choice between English and Chinese (RFC 9110 §12.5.4); English where there is none."""
    parts = accept_language.split(",")
    found = [(float(match[2] or 1), match[1].lower()) for part in parts if (match := _LANGUAGE.fullmatch(part))]
    weight, best = max(found, key=lambda choice: choice[0], default=(0.0, "en"))
    return cast("Language", best if weight else "en")


def _address(text: str) -> str | None:
    if port := _PORT.fullmatch(text):
        text = port[1] or port[2] or ""
    try:
        return str(ipaddress.ip_address(text)).partition("%")[0]  # the zone of a link is any text
    except ValueError:
        return None
