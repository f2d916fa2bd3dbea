"""Typed and pasted texts are normalised in one place. Texts that only look like a number stay refused."""

from __future__ import annotations

import sys
import unicodedata

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

import otpkit
from otpkit import ConfigurationError, PhoneError, Policy, RegionError, fold, normalize
from otpkit.phone import parse

PHONE = "+8613800138000"

PASTED = [
    "\u202d138 0013 8000\u202c",
    "138\u00a00013\u00a08000",
    "+86\u00a0138\u20110013\u20118000",
    "\u2066+8613800138000\u2069",
    "\ufeff13800138000",
    "138\u200b0013\u20608000",
    "138\u00ad0013\u00ad8000",
    "138\u20090013\u202f8000",
    "138\u20130013\u20148000",
    "138\u22120013\u22128000",
    "138\t0013\t8000",
    "\u200e\u200f\u061c13800138000",
    "١٣٨٠٠١٣٨٠٠٠",
    "۱۳۸۰۰۱۳۸۰۰۰",
    "१३८००१३८०००",
    "𝟏𝟑𝟖𝟎𝟎𝟏𝟑𝟖𝟎𝟎𝟎",
    "＋８６ １３８ ００１３ ８０００",
    "\uff0b86\u3000138\u30000013\u30008000",
    "13800138000\U000e0041",
    "+86 (0)138 0013 8000",
    "0138 0013 8000",
]


@pytest.mark.parametrize("text", PASTED, ids=ascii)
def test_pasted_number_is_read(text: str) -> None:
    """It is the phone that a person sees. `parse` still refuses all spellings except full-width digits."""
    assert normalize(text) == PHONE


@pytest.mark.parametrize(
    "digits", [zero for zero in range(sys.maxunicode) if unicodedata.decimal(chr(zero), None) == 0]
)
def test_digits_of_each_script_are_read(digits: int) -> None:
    """In Unicode, the ten digits of a script have consecutive code points."""
    text = "".join(chr(digits + int(digit)) for digit in "13800138000")
    assert normalize(text) == PHONE
    assert fold(text) == "13800138000"


UNSEEN = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) == "Cf"]


def test_no_unseen_character_hides_a_number() -> None:
    """Each format character is dropped at the beginning, between the digits and at the end."""
    assert [c for c in UNSEEN if normalize(f"{c}138{c}00138000{c}") != PHONE] == []


BLANKS = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) == "Zs"]
BLANKS += ["\u2800", "\U0001d159"]  # symbols that are drawn as a blank: empty Braille, a null note
DASHES = [chr(point) for point in range(0x110000) if unicodedata.category(chr(point)) == "Pd"]


@pytest.mark.parametrize("separator", [*BLANKS, *DASHES, "\u2212", "\t"], ids=ascii)
def test_blanks_and_hyphens_of_any_kind_are_read(separator: str) -> None:
    assert normalize(f"138{separator}0013{separator}8000") == PHONE
    assert fold(f"123{separator}456").translate({0x20: None, 0x2D: None}) == "123456"


@pytest.mark.parametrize(
    "text",
    ["", "12", "13800138000\n", "138\n00138000", "13800138000\x00", "138OO138OOO", "1380013800a", "\u202d\u202c"],
)
def test_what_can_be_seen_to_be_no_number_stays_refused(text: str) -> None:
    with pytest.raises(PhoneError):
        normalize(text)


@pytest.mark.parametrize("text", [None, 13800138000, b"13800138000", ["13800138000"]])
def test_no_text_is_a_phone_error(text: object) -> None:
    with pytest.raises(PhoneError, match=type(text).__name__):
        normalize(text)  # type: ignore[arg-type]


def test_a_megabyte_is_not_folded() -> None:
    text = "\u202d" * 1_000_000
    assert fold(text) is text
    with pytest.raises(PhoneError):
        normalize(text)


TRUNKS = [
    ("+44 (0)7400 123456", "+447400123456"),
    ("+44 07400 123456", "+447400123456"),
    ("0044 (0) 7400 123456", "+447400123456"),
    ("+82 010 2000 0000", "+821020000000"),
    ("+33 (0)6 12 34 56 78", "+33612345678"),
    ("+49 (0)1512 3456789", "+4915123456789"),
    ("+886 0912 345 678", "+886912345678"),
    ("+81 (0)90 1234 5678", "+819012345678"),
    ("+7 8 912 345-67-89", "+79123456789"),
    ("+375 (0)29 491-19-11", "+375294911911"),  # Belarus writes 8 029, and the metadata names only the 8
    ("+375 8 029 491-19-11", "+375294911911"),
    ("+241 066 03 12 34", "+24166031234"),  # for Gabon, the metadata names no prefix, and drops a 0
]


@pytest.mark.parametrize(("text", "phone"), TRUNKS)
def test_a_trunk_prefix_is_dropped_where_the_plan_proves_it(text: str, phone: str) -> None:
    """`parse` refuses it."""
    regions = frozenset(phonenumbers.SUPPORTED_REGIONS)
    assert normalize(text) == phone
    with pytest.raises(PhoneError):
        parse(text, regions)


@pytest.mark.parametrize(
    "text",
    ["+44 (0)20 7946 0018", "+44 (1)7400 123456", "+44 (00)7400 123456", "+852 (0)5123 4567", "+1 (0)201 555 0123"],
)
def test_a_prefix_that_proves_nothing_is_refused(text: str) -> None:
    """The cases are a landline's prefix, another digit, and a plan without a trunk prefix."""
    with pytest.raises(PhoneError):
        normalize(text)


def test_every_region_reads_its_trunk_prefix() -> None:
    read = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        prefix = phonenumbers.PhoneMetadata.metadata_for_region(region).national_prefix
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if not prefix or number is None:
            continue
        phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        code = str(number.country_code)
        with_prefix = f"+{code} ({prefix}){phone[1 + len(code) :]}"
        try:
            found = normalize(with_prefix)
        except PhoneError:
            continue  # The plan does not prove it.
        assert found == normalize(phone)
        read += 1
    assert read > 100


def test_a_zero_that_the_metadata_drops_is_read() -> None:
    """Also where the region's trunk prefix is another one, or has no name."""
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if number is None:
            continue
        phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        code = str(number.country_code)
        text = f"+{code} (0){phone[1 + len(code) :]}"
        if phonenumbers.format_number(phonenumbers.parse(text, None), phonenumbers.PhoneNumberFormat.E164) == phone:
            assert normalize(text) == normalize(phone), region


def test_a_region_says_what_a_national_number_is_of() -> None:
    assert normalize("5123 4567", "HK") == "+85251234567"
    assert normalize("07400 123456", region="GB") == "+447400123456"
    assert normalize("+86 138 0013 8000", "HK") == PHONE


def test_regions_bound_what_is_taken() -> None:
    with pytest.raises(RegionError):
        normalize("+85251234567", regions={"CN"})
    with pytest.raises(RegionError):
        normalize("51234567", "HK", regions={"CN"})
    assert normalize("+85251234567", regions={"CN", "HK"}) == "+85251234567"


@pytest.mark.parametrize("region", ["", "ZZ", "cn", "TA", None, 86])
def test_a_region_that_is_none_is_a_configuration_error(region: object) -> None:
    with pytest.raises(ConfigurationError):
        normalize("13800138000", region)  # type: ignore[arg-type]


def test_mainland_numbers_need_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    assert normalize("\u202d138 0013 8000\u202c") == PHONE
    with pytest.raises(ConfigurationError, match="intl"):
        normalize("+85251234567")


def test_the_library_stays_strict() -> None:
    with otpkit.OTP(
        "memory://", otpkit.testing.Outbox(), otpkit.Template("SMS_1", "otpkit"), "k" * 8 + "mPq2Zx9Lr4Tv7Wn1Yb6Hd3Jf5"
    ) as otp:
        for text in PASTED[:3]:
            with pytest.raises(PhoneError):
                otp.issue(text)


MESSAGES = [
    ("12", {"CN"}, "Please enter a valid mobile number.", "请输入正确的手机号码。"),
    ("+44 20 7946 0018", {"GB"}, "not a mobile", "不是手机号码"),
    ("+852 5123 456", {"HK"}, "does not exist", "该号码不存在"),
    ("+1 201 555 0123", {"CN"}, "Please enter one that begins with +86.", "请输入以 +86 开头的号码。"),
    ("+1 201 555 0123", {"CN", "HK"}, "begins with +86 or +852.", "请输入以 +86 或 +852 开头的号码。"),
]


@pytest.mark.parametrize(("text", "regions", "en", "zh"), MESSAGES)
def test_the_message_says_what_is_wrong(text: str, regions: set[str], en: str, zh: str) -> None:
    with pytest.raises(PhoneError) as refused:
        normalize(text, min(regions), regions=regions)
    assert en in refused.value.message("en")
    assert zh in refused.value.message("zh")
    assert "0123" not in refused.value.message("en")


@given(st.text(max_size=80))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.one_of(st.text(), st.text(alphabet="+01386٣８( )-\u202d\u00a0\u2011.")))
def test_anything_is_a_phone_that_the_strict_reading_takes(text: str) -> None:
    try:
        phone = normalize(text)
    except PhoneError:
        return
    assert parse(phone, Policy(regions=frozenset(phonenumbers.SUPPORTED_REGIONS) - {"TA"}).regions) == phone
