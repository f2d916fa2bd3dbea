"""The redirect target of a visitor is always a path of this site, for any link that a stranger wrote."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest

from otpkit.web import back_path, onward, own_path, verify_again

ELSEWHERE = [
    "",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    "/\n/evil.example",
    " //evil.example",
    "/ /evil.example",
    "/.//evil.example",
    "/x/..//evil.example",
    "/a\\..\\\\evil.example",
    "https://evil.example",
    "https:evil.example",
    "HTTPS:/evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "?next=/x",
    "#x",
    "/x\r\nSet-Cookie: a=b",
    "/x\x00",
    "/x\x7f",
    "/x\u2028",
    "/\u202eelpmaxe.live",
    "/x\ud800",
    "/" + "x" * 2000,
]
OWN = ["/", "/cart", "/cart/?a=1&b=2", "/cart#total", "/x?u=https://other.example//", "/购物车", "/%2F%2Fevil.example"]


@pytest.mark.parametrize("text", ELSEWHERE)
def test_what_may_lead_elsewhere_leads_nowhere(text: str) -> None:
    assert own_path(text) == ""


@pytest.mark.parametrize("text", OWN)
def test_a_path_of_this_site_is_kept(text: str) -> None:
    assert own_path(text) == text
    assert urlsplit(urljoin("https://shop.example/signup", text)).netloc == "shop.example"


def test_a_sign_up_passes_the_wanted_page_on() -> None:
    """Other purposes redirect there directly."""
    assert onward("signup", "/account", "/cart?a=1") == "/account?next=%2Fcart%3Fa%3D1"
    assert onward("signup", "/account?b=2", "/cart") == "/account?b=2&next=%2Fcart"
    assert onward("payment", "/paid", "/cart") == "/cart"
    assert [onward(purpose, "/next", "") for purpose in ("signup", "payment")] == ["/next"] * 2


@pytest.mark.parametrize(
    ("method", "referer", "back"),
    [
        ("GET", "https://evil.example/x", "/pay?a=1"),
        ("POST", "https://shop.example/form?b=2#top", "/form?b=2"),
        ("POST", "https://evil.example/form", ""),
        ("POST", "https://shop.example//evil.example/form", ""),
        ("POST", "https://[", ""),
        ("POST", "", ""),
    ],
)
def test_the_visitor_was_at_the_page_or_at_its_form(method: str, referer: str, back: str) -> None:
    assert back_path(method, "/pay?a=1", referer, "shop.example") == back


def test_the_phones_form_leads_back() -> None:
    assert verify_again("/verify", "payment", "/pay?a=1") == "/verify?next=%2Fpay%3Fa%3D1"
    assert verify_again("/verify", "payment", "") == "/verify"
    assert verify_again("/signup", "signup", "/account?next=/cart") == "/signup?next=%2Fcart"
    assert verify_again("/signup", "signup", "/account?next=//evil.example") == "/signup"
    assert verify_again("", "payment", "/pay") == ""
