"""Checks of the gateways' constructor arguments. No error shows a key or a secret."""

from __future__ import annotations

import math
import re
from typing import NoReturn

from otpkit.errors import ConfigurationError, sentence
from otpkit.transport.hosts import is_loopback

# Allow only a part of URL syntax, because URL parsers disagree on the rest. If one parser read a host as loopback and
# another read it as a foreign host, the secret would be sent to that host.
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
    """Return `value` if it is valid in an HTTP header (RFC 9110 §5.5). Errors name it `field`."""
    if not isinstance(value, str) or not value:
        _refuse(f"{field} is empty or not a str", "pass it as the gateway's console shows it")
    if not _HEADER_VALUE.fullmatch(value):
        _refuse(
            f"{field} contains a control character, a character beyond Latin-1, or a space at its start or end",
            "copy it again from the gateway's console, without other characters",
        )
    return value


def base_url(field: str, url: object) -> str:
    """Return `url` without a trailing slash. It must use https, or http to loopback, because a secret is sent to it."""
    return _checked_url(field, url, _BASE_URL, "query or fragment").removesuffix("/")


def whole_url(field: str, url: object) -> str:
    """Return `url`, which may have a query. It must use https, or http to loopback, because a secret is sent to it."""
    return _checked_url(field, url, _URL, "blank or fragment")


def proxy_url(field: str, url: object) -> str | None:
    """Return the URL of a proxy, with the scheme http if it has none, or None for None. No error shows the URL."""
    if url is None:
        return None
    found = _PROXY.fullmatch(url) if isinstance(url, str) else None
    if found is None or not 0 < int(found["port"] or 80) < 65536:
        _refuse(
            f"{field} is not the URL of a proxy",
            "write it like http://user:password@proxy.example:3128, and percent-encode special characters in the user "
            "and the password, such as %40 for @",
        )
    return found[0] if found["scheme"] else f"http://{found[0]}"


def timeouts(field: str, value: object) -> tuple[float, float]:
    """Return the connect timeout and the response timeout, in seconds. A single number sets both."""
    both = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2 or not all(_is_duration(seconds) for seconds in both):
        _refuse(
            f"{field} is {value!r:.40}",
            "pass the connect and response timeouts in seconds, as two numbers above 0, like (3, 10), or one for both",
        )
    return both


def _checked_url(field: str, url: object, form: re.Pattern[str], without: str) -> str:
    found = form.fullmatch(url) if isinstance(url, str) else None
    if found is None or not 0 < int(found["port"] or 443) < 65536:
        _refuse(
            f"{field} is not a plain URL of scheme, host, port and path",
            f"write it like https://gateway.example/path, without user, {without}",
        )
    if found["scheme"] == "http" and not is_loopback(found["host"]):
        _refuse(f"{field} would send the secret unencrypted", "use https://; http:// is allowed for loopback only")
    return found[0]


def _is_duration(seconds: object) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and math.isfinite(seconds) and seconds > 0


def _refuse(problem: str, remedy: str) -> NoReturn:
    raise ConfigurationError(f"{problem}.", sentence(remedy))
