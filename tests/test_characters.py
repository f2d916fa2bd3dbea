"""Invisible characters are refused by Unicode's properties in all texts that `Template` fills in."""

from __future__ import annotations

import unicodedata

import pytest

from otpkit import ConfigurationError, Template
from otpkit.characters import INVISIBLE

# All of Default_Ignorable_Code_Point in DerivedCoreProperties.txt of Unicode 17.
DEFAULT_IGNORABLE = [
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFF9),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
]
JOINING = {*range(0x180B, 0x180E), 0x180F, 0x200C, 0x200D, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
# Arabic number signs are visible.
SEEN_FORMATS = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


def test_no_ignorable_character_stands_alone() -> None:
    """It may not be a whole text, or come at the beginning, after a space or after a joiner."""
    for point in DEFAULT_IGNORABLE:
        for text in (chr(point), f"{chr(point)}x", f"x {chr(point)}"):
            assert INVISIBLE.search(text), hex(point)


def test_joiners_and_selectors_stand_after_a_character_they_change() -> None:
    for point in DEFAULT_IGNORABLE:
        assert bool(INVISIBLE.search(f"x{chr(point)}y")) == (point not in JOINING), hex(point)
    for text in ("❤\ufe0f", "👩\u200d🚀", "🏳\ufe0f\u200d🌈", "می\u200cخواهم", "葛\U000e0100", "1\ufe0f\u20e3"):
        assert not INVISIBLE.search(text), ascii(text)
    for text in ("x\u200d\u200d", "x\ufe0f\ufe0f", "\ufe0fx", "x \u200d"):
        assert INVISIBLE.search(text), ascii(text)


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs", "Zl", "Zp"])
def test_no_character_of_an_unseen_category_passes(category: str) -> None:
    points = [point for point in range(0x110000) if unicodedata.category(chr(point)) == category]
    assert {point for point in points if not INVISIBLE.search(chr(point))} <= SEEN_FORMATS


@pytest.mark.parametrize("text", ["阿里大鱼", "Ádám", "한국", "日本", "שלום", "مرحبا", "नमस्ते", "a b"])
def test_letters_of_all_scripts_pass(text: str) -> None:
    assert not INVISIBLE.search(text)


@pytest.mark.parametrize("character", ["\u3164", "\u115f", "\uffa0", "\u180e", "\u2800", "\U000e0041", "\U000e0001"])
def test_a_template_refuses_invisible_characters(character: str) -> None:
    """They are refused in its signature, its values, its text, and the values of one message."""
    for build in (
        lambda: Template("SMS_1", character),
        lambda: Template("SMS_1", f"otp{character}kit"),
        lambda: Template("SMS_1", "otpkit", {"code": "{code}", "name": character}),
        lambda: Template("SMS_1", "otpkit", body=f"${{code}}{character}"),
        lambda: Template("SMS_1", "otpkit").sms_params("123456", params={"name": f"A{character}"}),
    ):
        with pytest.raises(ConfigurationError, match="invisible"):
            build()


@pytest.mark.parametrize("length", [65, 5_000])
def test_a_value_of_one_message_is_bounded(length: int) -> None:
    """5,000 characters would be 75 messages."""
    template = Template("SMS_1", "otpkit", {"code": "{code}", "name": "you"}, body="${name}: ${code}")
    with pytest.raises(ConfigurationError, match="more than 64 characters"):
        template.render("123456", params={"name": "哈" * length})
    assert template.segments("123456", params={"name": "哈" * 64}) <= 2
