"""One strict reading of phone numbers: every accepted spelling of a number is one E.164 phone.

Mainland numbers (`1[3-9]` and nine digits) go by a rule of our own. Numbers of other regions go through
`phonenumbers`, but only after the same check of characters: by itself it takes letters (and turns them into
somebody else's number), extensions, invisible characters and digits of any script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from types import ModuleType
from typing import NoReturn

from otpkit.errors import ConfigurationError, PhoneError, RegionError
from otpkit.models import mask

MAINLAND = "CN"
ONLY_MAINLAND = frozenset({MAINLAND})
MAX_LENGTH = 64  # characters: fifteen digits with ample separators

_PLAIN_MAINLAND = re.compile(r"(?:\+86|0086|86)?(1[3-9][0-9]{9})")
_TO_ASCII = str.maketrans("０１２３４５６７８９＋－．（）　", "0123456789+-.() ")
_SPELLING = re.compile(r"[ (]*\+?[ (]*[0-9](?:[-. ()]*[0-9])*[ )]*")
_NOT_PARENTHESES = re.compile(r"[^()]+")
_SEPARATORS = re.compile(r"[-. ()]+")
_E164_DIGITS = re.compile(r"[1-9][0-9]{7,14}")  # ITU-T E.164: at most 15, the first not 0
_REGION_CODE = re.compile(r"[A-Z]{2}")


def parse(text: object, regions: AbstractSet[str] = ONLY_MAINLAND, default_region: str = MAINLAND) -> str:
    """Return the phone that `text` spells, as E.164 (`+8613800138000`).

    The arguments and errors are those of `resolve`.
    """
    return resolve(text, regions, default_region)[0]


def resolve(text: object, regions: AbstractSet[str] = ONLY_MAINLAND, default_region: str = MAINLAND) -> tuple[str, str]:
    """Return the phone that `text` spells, as E.164, and its region, as ISO 3166-1 alpha-2.

    Taken are ASCII or full-width digits; between them blanks, hyphens, dots and pairs of parentheses,
    full-width too; blanks around; `+` or `00` before a country code. A number without them is one of
    `default_region`, where CN also takes a bare `86`. `regions` are those allowed. Both are as
    `require_regions` checked them.

    Raises PhoneError for what is not a mobile number in such a spelling, and RegionError for a number of a
    region that is not allowed. While CN alone is allowed no metadata is read: whatever has a foreign country
    code and 8 to 15 digits is then a RegionError. Territories that share a numbering plan count as its main
    one, as `phonenumbers` has it (Vatican mobiles are IT).
    """
    # type() rather than isinstance(), which asks the object itself for its __class__.
    if not issubclass(type(text), str):
        raise PhoneError(f"A phone number is a str, not {type(text).__name__:.40}; pass the text as it was typed.")
    if default_region == MAINLAND and MAINLAND in regions:
        plain = _PLAIN_MAINLAND.fullmatch(text)  # type: ignore[call-overload]
        if plain is not None:
            return "+86" + plain[1], MAINLAND
    return _resolve_spelling(str.__str__(text), regions, default_region)


def require_regions(regions: Iterable[str], default_region: str = MAINLAND) -> frozenset[str]:
    """Return `regions` as a frozenset, once it is certain that their numbers can be read here.

    For whoever builds a policy. Raises ConfigurationError for an empty set, a code that is not ISO 3166-1
    alpha-2 in upper case or that `phonenumbers` does not know, a `default_region` outside `regions`, and for
    any region but CN while the extra `intl` is not installed.
    """
    if isinstance(regions, str) or not isinstance(regions, Iterable):
        raise ConfigurationError('regions must be a set of region codes; write regions={"CN"}.')
    codes = tuple(regions)
    for code in codes:
        if not isinstance(code, str) or not _REGION_CODE.fullmatch(code):
            raise ConfigurationError(
                f"regions: {code!r:.20} is not a region code; "
                "write ISO 3166-1 alpha-2 in upper case, like 'CN' or 'HK'."
            )
    allowed = frozenset(codes)
    if not allowed:
        raise ConfigurationError('regions is empty, so no number could be verified; write regions={"CN"}.')
    if not isinstance(default_region, str) or default_region not in allowed:
        raise ConfigurationError(
            f"default_region {default_region!r:.20} is not among regions; add it there or choose one of them."
        )
    if allowed != ONLY_MAINLAND:
        _require_known(allowed - ONLY_MAINLAND)
    return allowed


def _require_known(regions: AbstractSet[str]) -> None:
    unknown = sorted(regions - _phonenumbers().SUPPORTED_REGIONS)
    if unknown:
        hint = " (the United Kingdom is 'GB')" if "UK" in unknown else ""
        raise ConfigurationError(
            f"regions: {unknown[0]!r} is no region that phonenumbers knows{hint}; "
            "write ISO 3166-1 alpha-2 in upper case, like 'HK'."
        )


def _resolve_spelling(text: str, regions: AbstractSet[str], default_region: str) -> tuple[str, str]:
    digits = _digits(text)
    if digits.startswith("+"):
        return _international(digits[1:], regions)
    if digits.startswith("00"):
        return _international(digits[2:], regions)
    return _national(digits, regions, default_region)


def _digits(text: str) -> str:
    """Return the ASCII digits of `text`, after its plus if it has one."""
    if len(text) > MAX_LENGTH:  # before anything that takes time in proportion
        _refuse(f"it has more than {MAX_LENGTH} characters")
    ascii_text = text.translate(_TO_ASCII)
    if not _SPELLING.fullmatch(ascii_text):
        _refuse("it holds something else than one plus, digits and separators between them")
    parentheses = _NOT_PARENTHESES.sub("", ascii_text)
    if parentheses != "()" * (len(parentheses) // 2):
        _refuse("its parentheses don't pair up")
    return _SEPARATORS.sub("", ascii_text)


def _international(digits: str, regions: AbstractSet[str]) -> tuple[str, str]:
    if not _E164_DIGITS.fullmatch(digits):
        _refuse("a country code and its number are 8 to 15 digits, the first not 0")
    if digits.startswith("86"):
        return _mainland(digits, regions)
    if regions == ONLY_MAINLAND:
        _refuse_region("+" + digits, "another region than CN")
    found = _by_metadata("+" + digits, None, regions)
    # phonenumbers mends, for one, a trunk 0 after the country code; a number that needs mending is refused.
    if found[0] != "+" + digits:
        _refuse("after the country code no trunk prefix belongs")
    return found


def _national(digits: str, regions: AbstractSet[str], default_region: str) -> tuple[str, str]:
    if default_region == MAINLAND:
        return _mainland(digits, regions)
    phone, region = _by_metadata(digits, default_region, regions)
    # A region's own international prefix (011 in the US) can lead to a mainland number: our own rule again.
    return _mainland(phone[1:], regions) if phone.startswith("+86") else (phone, region)


def _mainland(digits: str, regions: AbstractSet[str]) -> tuple[str, str]:
    plain = _PLAIN_MAINLAND.fullmatch(digits)
    if plain is None:
        _refuse("a mainland one is 11 digits from 13 to 19, any other begins with + and its country code")
    phone = "+86" + plain[1]
    if MAINLAND not in regions:
        _refuse_region(phone, MAINLAND)
    return phone, MAINLAND


def _by_metadata(digits: str, default_region: str | None, regions: AbstractSet[str]) -> tuple[str, str]:
    library = _phonenumbers()
    try:
        number = library.parse(digits, default_region)
    except library.NumberParseException:
        number = None
    # Outside of the except block, so that our error carries no context with the number in its frames.
    if number is None or not library.is_valid_number(number):
        _refuse("no region has such a number")
    kinds = library.PhoneNumberType
    if library.number_type(number) not in {kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE}:
        _refuse("it is no mobile number")
    phone: str = library.format_number(number, library.PhoneNumberFormat.E164)
    region: str = library.region_code_for_number(number)
    if region not in regions:
        _refuse_region(phone, region)
    return phone, region


def _phonenumbers() -> ModuleType:
    try:
        import phonenumbers
    except ImportError as missing:
        raise ConfigurationError(
            "Numbers of other regions than CN need phonenumbers; run: pip install 'otpkit[intl]'"
        ) from missing
    return phonenumbers


def _refuse(reason: str) -> NoReturn:
    raise PhoneError(f"Not a mobile number: {reason}; ask the person at the form to correct it.")


def _refuse_region(phone: str, region: str) -> NoReturn:
    raise RegionError(
        f"{mask(phone)} is a number of {region}, which Policy.regions does not allow; "
        "ask for another number, or add its region there."
    )
