"""The visitor's address, which a visitor can't forge, and the visitor's language."""

from __future__ import annotations

import ipaddress
import random
import string
import time

import pytest
from support.secrets import SECRET

from otpkit import OTP, Policy, RateLimitError, Template
from otpkit.testing import Outbox
from otpkit.web import client_ip, preferred_language, prefers_html

PROXY, VISITOR, LIE = "10.0.0.1", "203.0.113.7", "198.51.100.9"


@pytest.mark.parametrize("forwarded_for", ["", VISITOR, f"{LIE}, {VISITOR}", "unknown", ",", "\r\n"])
def test_without_proxies_the_header_is_not_looked_at(forwarded_for: str) -> None:
    """Any client can write the header."""
    assert client_ip(LIE, forwarded_for) == LIE
    assert client_ip(LIE, forwarded_for, hops=0) == LIE
    assert client_ip(LIE, forwarded_for, hops=-1) == LIE


def test_of_the_header_the_entries_of_ones_own_proxies_are_believed() -> None:
    """Each proxy appends its client on the right. The entries left of them are written by the visitor."""
    written = f"{LIE}, 127.0.0.1"
    assert client_ip(PROXY, VISITOR, 1) == VISITOR
    assert client_ip(PROXY, f"{written}, {VISITOR}", 1) == VISITOR
    assert client_ip(PROXY, f"{written}, {VISITOR}, 10.0.0.2", 2) == VISITOR
    assert client_ip(PROXY, f"{written},{VISITOR},10.0.0.2,10.0.0.3", 3) == VISITOR


@pytest.mark.parametrize("forwarded_for", ["", VISITOR, "unknown, x", f"_hidden, {VISITOR}", f", {VISITOR}"])
def test_a_visitor_who_bypasses_the_proxy_counts_by_connection(forwarded_for: str) -> None:
    """There are fewer entries than proxies, or the entry of the outermost proxy is not an address."""
    assert client_ip(LIE, forwarded_for, 2) == LIE


SPELLINGS = {
    VISITOR: VISITOR,
    f" \t{VISITOR} ": VISITOR,
    f"{VISITOR}:49152": VISITOR,  # Azure's gateways append a port.
    "2001:db8::1": "2001:db8::1",
    "2001:DB8:0:0::1": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:db8::1]:49152": "2001:db8::1",
    "fe80::1%eth0": "fe80::1",
    "[fe80::1%25eth0]:80": "fe80::1",
    "2001:db8::1%\r\nSet-Cookie: a=b": "2001:db8::1",
    f"2001:db8::1%{'x' * 2**20}": "2001:db8::1",
}


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda text: ascii(text[:24]))
def test_an_address_is_read_in_every_spelling_of_a_proxys(spelling: str) -> None:
    """The port is removed, and so is the zone of a link, which can be any text."""
    assert client_ip(PROXY, spelling, 1) == SPELLINGS[spelling]
    assert client_ip(spelling.strip()) == SPELLINGS[spelling]


NO_ADDRESSES = ["unknown", "_gazonk", "localhost", "unix:/run/x.sock", "[]", "[]:80", "[2001:db8::1", "%eth0", ":80"]
NO_ADDRESSES += ["203.0.113", "203.0.113.007", "3405803783", "0xcb.0.113.7", "203.0.113.7:80:80", "203.0.113.7/32"]
NO_ADDRESSES += ["２０３.0.113.7", "203.0.113.7\x00", '"203.0.113.7"', "for=203.0.113.7", "1" * 2**20, ":" * 2**20]
NO_ADDRESSES += [f"[{'1' * 2**20}]:1", f"{VISITOR}%eth0", "2001:db8::1::2", "\ud800"]


@pytest.mark.parametrize("text", NO_ADDRESSES, ids=lambda text: ascii(text[:24]))
def test_what_is_no_address_is_the_peers(text: str) -> None:
    """It is None if the peer has no address either, as with a unix socket. Then nothing is counted."""
    assert client_ip(PROXY, text, 1) == PROXY
    assert client_ip(text, text, 1) is None
    assert client_ip(None, text, 1) is None


def test_without_a_peer_the_address_is_unknown() -> None:
    """A test client has no peer."""
    assert client_ip(None) is None
    assert client_ip("") is None
    assert client_ip(None, VISITOR, 1) == VISITOR


def test_whatever_is_written_the_answer_is_an_address_that_otpkit_takes() -> None:
    """The result may also be None. The test sends ten thousand headers of nonsense."""
    nonsense = random.Random(20261124)
    letters = [*"0123456789abcdef:.,[]% \t\r\n", "１", "::ffff:", "127.0.0.1", "fe80::", string.punctuation]
    for _ in range(10_000):
        header = "".join(nonsense.choices(letters, k=nonsense.randrange(24)))
        found = client_ip(header, header, nonsense.randrange(4))
        assert found is None or str(ipaddress.ip_address(found)) == found
        assert found is None or "%" not in found


def test_a_visitor_who_forges_the_header_stays_one_visitor() -> None:
    """The sends are counted under the address that the proxy saw, for any header of the visitor."""
    policy = Policy(ip_sends="3/hour")
    with OTP("memory://", Outbox(), Template("SMS_1", "otpkit"), SECRET, policy=policy) as otp:
        for number in range(3):
            otp.issue(f"+861380013800{number}", ip=client_ip(PROXY, f"198.51.100.{number}, {VISITOR}", 1))
        with pytest.raises(RateLimitError) as refused:
            otp.issue("+8613800138009", ip=client_ip(PROXY, f"{LIE}, {VISITOR}:80", 1))
    assert refused.value.scope == "ip"


PREFERENCES = {
    "": "en",
    "*": "en",
    "fr": "en",
    "zh": "zh",
    "zh-CN": "zh",
    "zh-Hant-TW": "zh",
    "ZH-cn": "zh",
    "zh-CN,zh;q=0.9,en;q=0.8": "zh",
    "en-GB,en;q=0.9,zh-CN;q=0.8": "en",
    "zh;q=0.5, en;q=0.7": "en",
    "zh-CN ; q=0.8 , en ; q=0.7": "zh",
    "fr-FR, zh;q=0.1": "zh",
    "zh;q=0": "en",
    "zh;q=0, en;q=0": "en",
    "zh;q=0.000, en;q=0.001": "en",
    "en;q=0, zh;q=0.001": "zh",
    "english, zhuang;q=0.1": "en",
    "zh;q=x, en;q=0.1": "en",
    "zh;q=１": "en",
    "zh;q=1e9, en": "en",
    "zh\r\nSet-Cookie: a=b": "zh",
    ",,;;,zh,": "zh",
    ";q=1": "en",
    "\ud800": "en",
}


@pytest.mark.parametrize("header", PREFERENCES, ids=ascii)
def test_the_language_is_the_one_that_weighs_most(header: str) -> None:
    """The choice is between two languages. It is English if the header names neither or is malformed."""
    assert preferred_language(header) == PREFERENCES[header]


@pytest.mark.parametrize("part", ["zh", "zh;", ",", "zh;q=0.5,", "zh;q=", " ", "zh "])
def test_a_huge_header_is_read_in_linear_time(part: str) -> None:
    """Servers accept about 64 kB."""
    assert preferred_language(part * (2**18 // len(part))) in {"en", "zh"}
    assert client_ip(PROXY, f"{LIE}," * 2**17 + VISITOR, 1) == VISITOR


@pytest.mark.parametrize("part", ["en,", "en;q=0.1,", ",", " ", "zh ", "en;", "x" * 100 + ",", "\t\t,"])
def test_a_long_header_costs_no_time(part: str) -> None:
    """Servers accept 64 KB of it."""
    header = part * (65_536 // len(part))
    start = time.perf_counter()
    for _ in range(10):
        preferred_language(header)
        prefers_html(header)
    assert time.perf_counter() - start < 0.05


@pytest.mark.parametrize(
    "accept",
    [
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "text/html",
        "TEXT/HTML; Q=0.5, */*;q=0.1",
        "application/xhtml+xml, application/json;q=0.9",
        "application/json;q=0.8, text/html;q=0.8",
    ],
)
def test_a_client_that_accepts_html_gets_pages(accept: str) -> None:
    assert prefers_html(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "application/json, text/html;q=0.9",
        "application/problem+json, text/html;q=0.5",
        "text/html;q=0",
        "text/html;q=nonsense",
        "text/plain, */*",
        ";;,,;q=",
    ],
)
def test_all_others_get_none(accept: str) -> None:
    assert not prefers_html(accept)
