"""The look of a site on the pages: valid values of a `Brand`, the derived colours, and the HTML."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from support.secrets import SECRET
from test_pages_html import VIEW, text_of

from otpkit import OTP, ConfigurationError, OTPError, Policy, Template
from otpkit.errors import InvalidTokenError
from otpkit.languages import languages
from otpkit.testing import Outbox
from otpkit.web import Asked, Brand, PhoneForms, drive, refusal
from otpkit.web.pages import render

BRAND = Brand(
    name="Acme & Sons",
    logo="/static/logo.svg",
    accent="#07815c",
    terms="/terms",
    privacy="https://acme.example/p?a=1&b",
)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("accent", "red", "accent is not a colour."),
        ("accent", "#12345", "accent is not a colour."),
        ("accent", "#1f55d6;}body{display:none", "accent is not a colour."),
        ("accent", "#1f55d6\n", "accent is not a colour."),
        ("accent", "#ffd100", "accent #ffd100 has a contrast of 1.5:1 against white"),
        ("accent", None, "accent is not a colour."),
        ("name", "a\nb", "name is not one line"),
        ("name", " a", "name is not one line"),
        ("name", "a" * 61, "name is not one line"),
        ("name", 5, "name is not one line"),
        *(
            (field, value, f"{field} is neither an https:// URL nor a path of this site.")
            for field in ("logo", "terms", "privacy")
            for value in (
                "http://acme.example/",
                "javascript:alert(1)",
                "data:image/png;base64,AAAA",
                "//acme.example/logo.png",
                "/\\acme.example",
                "logo.png",
                "https://",
                "https://acme.example; script-src *",
                "https://acme.example:99999/",
                "https://user@acme.example/",
                "https://acme.example\\@evil.example/",
                'https://acme.example/"onload="',
                "https://acme.example/ a",
                "https://é.example/",
                "/é",
                "https://acme.example/" + "a" * 2000,
                7,
            )
        ),
    ],
)
def test_wrong_field_is_refused(field: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Brand(**{"name": "Acme", field: value})
    (found,) = caught.value.problems
    assert found.field == field
    assert found.problem.startswith(problem)
    assert found.remedy


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Brand(logo="http://acme.example/", accent="blue", terms="terms")
    assert {each.field for each in caught.value.problems} == {"logo", "accent", "terms"}


def test_logo_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match="A logo needs a name for screen readers"):
        Brand(logo="/logo.svg")


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio by the formula of WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


ACCENTS = [f"#{red}{green}{blue}" for red in "058" for green in "046" for blue in "08f"]


@pytest.mark.parametrize("accent", ["#000", "#1677ff", "#d92d20", "#07815c", "#6941c6", *ACCENTS])
def test_colours_can_be_read(accent: str) -> None:
    brand = Brand(accent=accent)
    for palette, card in ((brand.light, "#ffffff"), (brand.dark, "#181b20")):
        assert palette
        assert contrast(palette.text, card) >= 4.5
        assert contrast(palette.fill, card) >= 3
        assert contrast(palette.on_fill, palette.fill) >= 4.5


def test_light_buttons_have_the_accent_itself() -> None:
    palette = Brand(accent="#15D").light
    assert palette
    assert palette.fill == "#1155dd"


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("step", ["phone", "code"])
def test_pages_show_the_brand(language: str, step: str) -> None:
    html = render(dataclasses.replace(VIEW, language=language, step=step, brand=BRAND))
    assert '<img src="/static/logo.svg" alt="Acme &amp; Sons"' in html
    assert re.search(r"<title>.+ – Acme &amp; Sons</title>", html)
    assert "--fill: #07815c" in html
    links = dict(re.findall(r'<a href="([^"]*)" target="_blank" rel="noopener">([^<]*)</a>', html))
    names = {"en": ["Terms of service", "Privacy policy"], "zh": ["服务条款", "隐私政策"]}
    assert list(links) == ["/terms", "https://acme.example/p?a=1&amp;b"]
    assert list(links.values()) == names[language]


def test_name_stands_for_a_logo() -> None:
    assert text_of(brand=Brand(name="<Acme>")).startswith("&lt;Acme&gt; ")


def test_pages_without_brand_show_none() -> None:
    html = render(VIEW)
    assert "<footer>" not in html
    assert "--fill:" not in html
    assert "<img" not in html


def test_error_page_shows_the_brand() -> None:
    error: OTPError = InvalidTokenError()
    found = refusal(error, "en", accept="text/html", brand=BRAND)
    assert 'alt="Acme &amp; Sons"' in found.body
    assert "Terms of service" in found.body
    assert "img-src data: 'self';" in found.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("brand", "images"),
    [
        (Brand(), "data:"),
        (Brand(name="Acme"), "data:"),
        (BRAND, "data: 'self'"),
        (Brand(name="Acme", logo="https://cdn.acme.example:8443/a;b.png?x"), "data: https://cdn.acme.example:8443"),
        (Brand(name="Acme", logo="HTTPS://CDN.acme.example"), "data: https://CDN.acme.example"),
    ],
)
def test_policy_allows_the_logo_alone(brand: Brand, images: str) -> None:
    flow = PhoneForms("signup", Policy(), render, brand=brand).show({}, Asked(url="/signup"))
    with OTP("memory://", Outbox(), Template("SMS_1", "otpkit"), SECRET) as otp:
        policy = drive(flow, otp).headers["Content-Security-Policy"]
    assert f"img-src {images};" in policy
    assert policy.count(";") == 6
