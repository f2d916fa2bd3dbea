"""All accepted spellings of a number are one phone. Doubtful spellings are refused."""

from __future__ import annotations

import sys
import time

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpkit.errors import ConfigurationError, PhoneError, RegionError
from otpkit.phone import parse, require_regions, resolve

PHONE = "+8613800138000"
FULL_WIDTH = str.maketrans("0123456789+-.() ", "０１２３４５６７８９＋－．（）　")

SPELLINGS = [
    "+8613800138000",
    "8613800138000",
    "008613800138000",
    "13800138000",
    "138 0013 8000",
    "138-0013-8000",
    "138.0013.8000",
    "(138) 0013-8000",
    "+86 (138) 0013-8000",
    "(+86) 138 0013 8000",
    "+ 86 138 0013 8000",
    "00 86 138 0013 8000",
    "  13800138000  ",
    "１３８００１３８０００",
    "＋８６１３８００１３８０００",
    "＋86 138－0013－8000",
    "（138）0013．8000",
    "　138　0013　8000　",
]

ALIASES = [  # In a measurement, phonenumbers read each of these as +8613800138000 or as another person's number.
    "138\u200b00138000",
    "\u200b13800138000",
    "138\u00a00013\u00a08000",
    "\u202e13800138000\u202c",
    "\u200e+8613800138000",
    "\u2066+8613800138000\u2069",
    "\ufeff13800138000",
    "138\u00ad00138000",
    "++8613800138000",
    "＋+8613800138000",
    "+0086 13800138000",
    "tel:+8613800138000",
    "tel:13800138000;phone-context=+86",
    "+86(0)13800138000",
    "+86 (0) 138 0013 8000",
    "013800138000",
    "+86 8613800138000",
    "13800138000;ext=12",
    "13800138000 ext 12",
    "13800138000x12",
    "13800138000#12",
    "13800138000,12",
    "١٣٨٠٠١٣٨٠٠٠",
    "۱۳۸۰۰۱۳۸۰۰۰",
    "𝟏𝟑𝟖𝟎𝟎𝟏𝟑𝟖𝟎𝟎𝟎",
    "①③⑧00138000",
    "+86138OO138OOO",
    "138OO138OOO",
    "138l3800138",
    "abc13800138000",
    "13800138000\n",
    "\n13800138000",
    "13800138000\r\n",
    "138\t00138000",
    "13800138000\t",
    "13800138000\x00",
    "138‐0013‐8000",
    "138–0013–8000",
    "138/0013/8000",
    "138_0013_8000",
    "*13800138000",
    "+13800138000+",
    "1380013+8000",
    "1+3800138000",
    "-13800138000",
    "13800138000-",
    ".13800138000",
    ")138(00138000",
    "(13800138000",
    "((138))00138000",
]

NOT_NUMBERS = [
    "",
    " ",
    "+",
    "00",
    "0",
    "110",
    "1380013800",
    "138001380000",
    "12800138000",
    "10086",
    "23800138000",
    "+86 10 6552 9988",
    "01065529988",
    "+861065529988",
    "86",
    "+86",
    "1.38e10",
    "-1",
    "\ud800",
    "+12",
    "+1234567",
    "+1234567890123456",
    "+0123456789",
    "0000000000",
]

NOT_TEXT = [
    None,
    True,
    13800138000,
    1.38e10,
    b"13800138000",
    ["13800138000"],
    ("13800138000",),
    {"$ne": ""},
    object(),
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_accepted_spelling_is_the_one_phone(text: str) -> None:
    """Spaces, separators, prefixes and full-width characters do not make another phone."""
    assert resolve(text) == (PHONE, "CN")


@pytest.mark.parametrize("text", ALIASES)
@pytest.mark.parametrize("regions", [{"CN"}, {"CN", "HK", "US"}], ids=["CN", "several"])
def test_a_doubtful_spelling_is_refused_rather_than_repaired(text: str, regions: set[str]) -> None:
    """Letters, extensions, invisible characters and stray marks are refused with any regions."""
    with pytest.raises(PhoneError):
        parse(text, frozenset(regions))


@pytest.mark.parametrize("default_region", ["HK", "US"])
@pytest.mark.parametrize("text", ALIASES)
def test_no_alias_reaches_the_phone_by_way_of_another_default_region(text: str, default_region: str) -> None:
    with pytest.raises(PhoneError):
        parse(text, frozenset({"CN", "HK", "US"}), default_region)


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_what_is_no_mobile_number_is_a_phone_error_and_not_a_region_error(text: str) -> None:
    with pytest.raises(PhoneError) as caught:
        parse(text)
    assert not isinstance(caught.value, RegionError)
    assert caught.value.status == 422


@pytest.mark.parametrize("value", NOT_TEXT, ids=lambda value: type(value).__name__)
def test_what_is_no_text_is_a_phone_error_that_names_the_type(value: object) -> None:
    with pytest.raises(PhoneError, match=type(value).__name__):
        parse(value)


def test_an_object_that_pretends_to_be_text_is_refused() -> None:
    class Pretender:
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            return str

    with pytest.raises(PhoneError, match="Pretender"):
        parse(Pretender())


@pytest.mark.parametrize("text", ["13800138000", "138 0013 8000"])
def test_a_subclass_of_str_is_read_as_the_text_it_holds_and_gives_a_plain_str(text: str) -> None:
    class Markup(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise AssertionError("asked the subclass")

        def translate(self, table: object, /) -> str:
            return "13900139000"

    phone = parse(Markup(text))
    assert phone == PHONE
    assert type(phone) is str


def test_only_second_digits_3_to_9_are_mobile() -> None:
    taken = [second for second in range(10) if _accepted(f"1{second}800138000"[:11])]
    assert taken == [3, 4, 5, 6, 7, 8, 9]


def _accepted(text: str) -> bool:
    try:
        parse(text)
    except PhoneError:
        return False
    return True


def test_sixty_four_characters_are_read_and_one_more_is_not() -> None:
    assert parse(PHONE + " " * (64 - len(PHONE))) == PHONE
    with pytest.raises(PhoneError, match="more than 64 characters"):
        parse(PHONE + " " * (65 - len(PHONE)))


@pytest.mark.parametrize("character", ["1", " ", "(", "-", "１", "\u200b"])
def test_a_megabyte_is_refused_at_once(character: str) -> None:
    text = character * 1_000_000
    started = time.perf_counter()
    for _ in range(100):
        with pytest.raises(PhoneError):
            parse(text)
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("text", ["138OO138123", "+8613812345678 ext 9", "+85291234567", "1381234567"])
def test_no_error_echoes_what_was_typed(text: str) -> None:
    """It shows at most the last four digits, and has a remedy."""
    with pytest.raises(PhoneError) as caught:
        parse(text)
    told = str(caught.value)
    assert text not in told
    assert text[:-4] not in told
    assert caught.value.remedy.startswith("Ask")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", ["+85251234567", "0085251234567", "+1 (201) 555-0123", "＋447400123456"])
def test_another_country_is_a_region_error_where_only_cn_is_allowed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This needs no metadata."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(RegionError, match=r"Policy\.regions"):
        parse(text)


OTHERS = [
    (
        "HK",
        "+85251234567",
        ["+852 5123 4567", "00852 5123 4567", "51234567", "5123-4567", "＋８５２５１２３４５６７"],
    ),
    ("TW", "+886912345678", ["+886 912 345 678", "0912345678", "0912-345-678", "(0912) 345 678"]),
    ("US", "+12015550123", ["+1 201-555-0123", "(201) 555-0123", "1 201 555 0123", "001 201 555 0123"]),
    ("GB", "+447400123456", ["+44 7400 123456", "07400 123456", "0044 7400 123456"]),
]


@pytest.mark.parametrize(("region", "phone", "spellings"), OTHERS)
def test_a_number_of_another_allowed_region_is_one_phone_too(region: str, phone: str, spellings: list[str]) -> None:
    regions = require_regions({"CN", region}, region)
    for text in [phone, *spellings]:
        assert resolve(text, regions, region) == (phone, region)
    assert resolve(phone, regions, "CN") == (phone, region)


@pytest.mark.parametrize(("region", "phone", "_spellings"), OTHERS)
def test_a_number_of_a_region_outside_the_list_is_a_region_error_that_names_it(
    region: str, phone: str, _spellings: list[str]
) -> None:
    regions = require_regions({"CN", "JP"})
    with pytest.raises(RegionError, match=rf"{phone[-4:]} is a number of {region}") as caught:
        parse(phone, regions)
    assert phone not in str(caught.value)


def test_regions_that_share_a_country_code_are_told_apart() -> None:
    canadian = "+15062345678"
    assert resolve(canadian, frozenset({"US", "CA"}), "US") == (canadian, "CA")
    with pytest.raises(RegionError, match="number of CA"):
        parse(canadian, frozenset({"US"}), "US")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("+85221234567", "another kind of number"),
        ("+442079460018", "another kind of number|no region"),
        ("+8525123456", "no region"),
        ("+999123456789", "no region"),
        ("+80012345678", "another kind of number"),
        ("+44 (0)7400 123456", "trunk prefix must not"),
        ("+4407400123456", "trunk prefix must not"),
        ("+1-800-FLOWERS", "only digits"),
        ("+852 5123 4567 ext 1", "only digits"),
    ],
)
def test_a_landline_an_invalid_or_a_repaired_number_of_another_region_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PhoneError, match=reason) as caught:
        parse(text, frozenset({"CN", "HK", "GB", "US"}))
    assert not isinstance(caught.value, RegionError)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "text", ["+8613800138000", "0086 138 0013 8000", "＋８６１３８００１３８０００", "011 86 138 0013 8000"]
)
def test_a_mainland_number_goes_by_our_own_rule_from_anywhere(text: str) -> None:
    assert resolve(text, frozenset({"CN", "US"}), "US") == (PHONE, "CN")


@pytest.mark.parametrize("text", ["+8613800138000", "0086 138 0013 8000", "011 86 138 0013 8000"])
def test_a_mainland_number_is_a_region_error_where_cn_is_not_allowed(text: str) -> None:
    with pytest.raises(RegionError, match="CN"):
        parse(text, frozenset({"US"}), "US")


def test_a_number_without_a_country_code_is_one_of_the_default_region() -> None:
    both = frozenset({"CN", "US"})
    assert resolve("1 312 345 6789", both, "US") == ("+13123456789", "US")
    assert resolve("1 312 345 6789", both, "CN") == ("+8613123456789", "CN")


def test_every_regions_example_number_is_one_phone_in_each_of_its_spellings() -> None:
    formats = phonenumbers.PhoneNumberFormat
    read = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS - {"CN"}):
        number = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if number is None or phonenumbers.region_code_for_number(number) != region:
            continue
        phone = phonenumbers.format_number(number, formats.E164)
        if region == "GA":
            continue  # Its example is from the plan before 2019.
        for spelling in (formats.INTERNATIONAL, formats.NATIONAL):
            text = phonenumbers.format_number(number, spelling)
            assert resolve(text, frozenset({region}), region) == (phone, region)
        read += 1
    assert read > 200


def test_regions_are_given_back_as_a_frozenset() -> None:
    assert require_regions({"CN"}) == frozenset({"CN"})
    assert require_regions(["HK", "CN", "HK"], "HK") == frozenset({"CN", "HK"})


@pytest.mark.parametrize("regions", ["CN", None, 86, (), {"cn"}, {"CHN"}, {"C"}, {"中国"}, {86}, {None}, {"CN\n"}])
def test_malformed_regions_are_a_configuration_error(regions: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^regions"):
        require_regions(regions)  # type: ignore[arg-type]


def test_an_unknown_region_is_a_configuration_error_that_names_it() -> None:
    with pytest.raises(ConfigurationError, match="'ZZ' is not a region"):
        require_regions({"CN", "ZZ"})
    with pytest.raises(ConfigurationError, match="the United Kingdom is 'GB'"):
        require_regions({"CN", "UK"})


@pytest.mark.parametrize("default_region", ["HK", "cn", "", None, ["CN"]])
def test_a_default_region_outside_the_regions_is_a_configuration_error(default_region: object) -> None:
    with pytest.raises(ConfigurationError, match="default_region"):
        require_regions({"CN"}, default_region)  # type: ignore[arg-type]


def test_another_region_without_the_extra_is_a_configuration_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'otpkit\[intl\]'"):
        require_regions({"CN", "HK"})
    assert require_regions({"CN"}) == {"CN"}


separators = st.text(alphabet=" -.　－．", max_size=2)
mainland = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)


@st.composite
def spelled(draw: st.DrawFn) -> tuple[str, str]:
    """Return a strategy for a mainland phone and one of its spellings."""
    number = draw(mainland)
    digits = draw(st.sampled_from(["", "86", "0086", "+86"])) + number
    gaps = [draw(separators) for _ in digits[1:]]
    if digits[0] == "+":
        gaps[0] = draw(st.sampled_from(["", " ", "　"]))
    text = digits[0] + "".join(gap + digit for gap, digit in zip(gaps, digits[1:], strict=True))
    wide = draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    mixed = "".join(c.translate(FULL_WIDTH) if w else c for c, w in zip(text, wide, strict=True))
    return "+86" + number, " " * draw(st.integers(0, 2)) + mixed + "　" * draw(st.integers(0, 2))


@given(spelled())
def test_any_spelling_of_any_mainland_number_maps_to_its_phone(case: tuple[str, str]) -> None:
    phone, text = case
    assert resolve(text) == (phone, "CN")


@given(st.one_of(st.text(), st.text(alphabet="+＋01386８５２(（)）-. 　\u200b\n"), st.from_type(object)))
def test_anything_at_all_is_a_canonical_phone_or_a_phone_error(value: object) -> None:
    for regions, default_region in ((frozenset({"CN"}), "CN"), (frozenset({"CN", "HK"}), "HK")):
        try:
            phone = parse(value, regions, default_region)
        except PhoneError:
            continue
        assert phone.isascii()
        assert parse(phone, regions, default_region) == phone


@given(mainland, st.characters(), st.integers(0, 11))
def test_one_foreign_character_anywhere_never_makes_another_phone(number: str, character: str, position: int) -> None:
    try:
        phone = parse(number[:position] + character + number[position:])
    except PhoneError:
        return
    assert phone == "+86" + number
