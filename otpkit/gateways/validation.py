"""What gateways are set up with, checked when they are built. No error shows a key or a secret."""

from __future__ import annotations

import math
import re
from typing import NoReturn

from otpkit.errors import ConfigurationError, sentence
from otpkit.transport.hosts import is_loopback

# Narrower than URLs may be: parsers of URLs disagree on the rest, and one that is read as loopback by one and
# as a foreign host by another would send the secret there.
_BASE_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>(?:/[A-Za-z0-9._~-]+)*)/?"
)
_URL = re.compile(_BASE_URL.pattern + r"(?:\?[A-Za-z0-9._~!$'()*+,;:@/?&=%-]+)?")
_PROXY = re.compile(
    r"(?:(?P<scheme>https?)://)?(?:[A-Za-z0-9._~!$&'()*+,;=%-]+(?::[A-Za-z0-9._~!$&'()*+,;=%-]*)?@)?"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_HEADER_VALUE = re.compile(r"[\x21-\x7e\xa1-\xff](?:[\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa1-\xff])?")


def header_value(field: str, value: object) -> str:
    """Return `value`, once it can travel in an HTTP header (RFC 9110 §5.5); errors call it `field`."""
    if not isinstance(value, str) or not value:
        _refuse(f"{field} is empty or no str", "pass it as the gateway's console shows it")
    if not _HEADER_VALUE.fullmatch(value):
        _refuse(
            f"{field} holds a control character, one beyond Latin-1, or a blank at an end",
            "copy it again from the gateway's console, and nothing else with it",
        )
    return value


def base_url(field: str, url: object) -> str:
    """Return `url` without a slash at its end, once a secret may be sent there: by https, or to loopback."""
    return _checked_url(field, url, _BASE_URL, "query or fragment").removesuffix("/")


def whole_url(field: str, url: object) -> str:
    """Return `url`, which may have a query, once a secret may be sent there: by https, or to loopback."""
    return _checked_url(field, url, _URL, "blank or fragment")


def proxy_url(field: str, url: object) -> str | None:
    """Return the URL of a proxy, whose scheme is http where it has none; None for None. No error shows it."""
    if url is None:
        return None
    found = _PROXY.fullmatch(url) if isinstance(url, str) else None
    if found is None or not 0 < int(found["port"] or 80) < 65536:
        _refuse(
            f"{field} is no URL of a proxy",
            "write it like http://user:password@proxy.example:3128, with special characters of user and password as "
            "%40 for @",
        )
    return found[0] if found["scheme"] else f"http://{found[0]}"


def timeouts(field: str, value: object) -> tuple[float, float]:
    """Return seconds to connect and seconds to answer; a single number means both."""
    both = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2 or not all(_is_duration(seconds) for seconds in both):
        _refuse(
            f"{field} is {value!r:.40}",
            "pass seconds to connect and to answer as two numbers above 0, like (3, 10), or one for both",
        )
    return both


def _checked_url(field: str, url: object, form: re.Pattern[str], without: str) -> str:
    found = form.fullmatch(url) if isinstance(url, str) else None
    if found is None or not 0 < int(found["port"] or 443) < 65536:
        _refuse(
            f"{field} is no plain URL of scheme, host, port and path",
            f"write it like https://gateway.example/path, without user, {without}",
        )
    if found["scheme"] == "http" and not is_loopback(found["host"]):
        _refuse(f"{field} would send the secret unencrypted", "write https://; http:// is for loopback alone")
    return found[0]


def _is_duration(seconds: object) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and math.isfinite(seconds) and seconds > 0


def _refuse(problem: str, remedy: str) -> NoReturn:
    raise ConfigurationError(f"{problem}.", sentence(remedy))
