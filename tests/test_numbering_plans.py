"""A number stays the same phone when its numbering plan changes, and every region that a policy accepts works."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
from collections.abc import Iterable

import phonenumbers
import pytest

from otpkit import ConfigurationError, PhoneError, Policy, RegionError
from otpkit.phone import parse, resolve

E164 = phonenumbers.PhoneNumberFormat.E164
MOBILE = phonenumbers.PhoneNumberType.MOBILE
ALL = frozenset(phonenumbers.SUPPORTED_REGIONS)


@pytest.mark.parametrize("region", sorted(ALL))
def test_a_region_is_served_or_refused_when_built(region: str) -> None:
    """A policy with a region without mobile numbers is refused."""
    number = phonenumbers.example_number_for_type(region, MOBILE)
    if number is None:
        with pytest.raises(ConfigurationError, match=region):
            Policy(regions={region}, default_region=region)
        return
    policy = Policy(regions={region}, default_region=region)
    text = phonenumbers.format_number(number, E164)
    phone, found = resolve(text, policy.regions, region)
    assert found == region
    assert parse(phone, policy.regions, region) == phone
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    assert resolve(national, policy.regions, region) == (phone, region)


@pytest.mark.parametrize("region", ["AX", "BL", "CC", "CX", "EH", "MF", "SJ", "VA"])
def test_a_shared_number_is_of_the_main_region_where_that_is_allowed(region: str) -> None:
    number = phonenumbers.example_number_for_type(region, MOBILE)
    phone = phonenumbers.format_number(number, E164)
    main = phonenumbers.region_code_for_number(number)
    assert resolve(phone, frozenset({region}), region) == (phone, region)
    assert resolve(phone, frozenset({region, main}), region) == (phone, main)
    with pytest.raises(RegionError):
        resolve(phone, frozenset({"US"}), "US")


def test_a_limit_of_a_shared_region_counts() -> None:
    assert Policy(regions={"AX"}, default_region="AX", region_sends={"AX": "5/day"}).region_sends


ONE_PHONE = [
    ("+24166031234", ["+2416031234", "+24106031234", "+241 66 03 12 34"]),
    ("+24162031234", ["+2412031234", "+24102031234"]),
    ("+24165031234", ["+2415031234", "+24105031234"]),
    ("+24174031234", ["+2414031234", "+24104031234"]),
    ("+24177031234", ["+2417031234", "+24107031234"]),
    ("+2203012345", ["+220833012345"]),
    ("+2206612345", ["+220866612345"]),
    ("+2207012345", ["+220877012345"]),
    ("+2209912345", ["+220899912345"]),
]


@pytest.mark.parametrize(("phone", "spellings"), ONE_PHONE)
def test_an_old_and_a_new_spelling_are_one_phone(phone: str, spellings: list[str]) -> None:
    assert {parse(text, ALL) for text in [phone, *spellings]} == {phone}


def test_a_national_gabonese_number_is_the_same_phone() -> None:
    for text in ("06 03 12 34", "066 03 12 34", "6031234"):
        assert parse(text, ALL, "GA") == "+24166031234"


@pytest.mark.parametrize(
    "text",
    [
        "+551171234567",  # The number has eight digits after the area code.
        "+551181234567",
        "+24103123456",
        "+2313123456",
        "+2316123456",
        "+6835123",
        "+5215512345678",
        "+541123456789",
        "+22995123456",
        "+22507012345",
    ],
)
def test_an_old_spelling_that_can_not_be_told_is_refused(text: str) -> None:
    with pytest.raises(PhoneError) as refused:
        parse(text, ALL)
    assert not isinstance(refused.value, RegionError)


CURRENT = ["+5511971234567", "+525512345678", "+5491123456789", "+2290195123456", "+2250701234567", "+231770123456"]


@pytest.mark.parametrize("phone", CURRENT)
def test_the_current_spelling_is_taken(phone: str) -> None:
    assert parse(phone, ALL) == phone


# Regions in which a fixed prefix turns a shorter mobile number into a longer one, not known to be the same.
DIFFERENT = {
    "AD": "690 is a range of its own",
    "IS": "38 is for machines",
    "PM": "708 is a range of the common French plan",
    "RS": "67 is an operator's",
}


def _mobile_pattern(region: str) -> tuple[re.Pattern[str], tuple[int, ...]]:
    mobile = phonenumbers.PhoneMetadata.metadata_for_region(region).mobile
    if mobile is None or not mobile.national_number_pattern:
        return re.compile("(?!)"), ()
    return re.compile(mobile.national_number_pattern), tuple(mobile.possible_length)


def _pairs(region: str) -> set[tuple[str, str]]:
    """Return pairs of mobile numbers. One has two or three more digits in front, and only this prefix is possible."""
    rng = random.Random(12)
    (pattern, lengths), code, found = _mobile_pattern(region), phonenumbers.country_code_for_region(region), set()
    for length, longer in itertools.product(lengths, repeat=2):
        if not 2 <= longer - length <= 3:
            continue
        prefixes = list(map("".join, itertools.product("0123456789", repeat=longer - length)))
        shorts = ("".join(rng.choices("0123456789", k=length)) for _ in range(20_000))
        for short in itertools.islice(filter(pattern.fullmatch, shorts), 30):
            behind = [prefix + short for prefix in prefixes if pattern.fullmatch(prefix + short)]
            if len(behind) == 1:
                found.add((f"+{code}{short}", f"+{code}{behind[0]}"))
    return found


def _phones(texts: Iterable[str]) -> set[str]:
    found = set()
    for text in texts:
        with contextlib.suppress(PhoneError):
            found.add(parse(text, ALL))
    return found


def test_no_two_spellings_of_a_migrated_plan_are_two_phones() -> None:
    """While a plan migrates, seven digits and the same seven after two new ones are one phone."""
    pairs = {region: _pairs(region) for region in ALL if len(_mobile_pattern(region)[1]) > 1}
    doubled = {region for region, some in pairs.items() if any(len(_phones(pair)) > 1 for pair in some)}
    assert doubled == DIFFERENT.keys()
    assert pairs["GM"]
