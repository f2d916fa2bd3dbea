"""Parse phone numbers strictly: every accepted spelling of a number results in the same E.164 phone.

Mainland numbers (`1[3-9]` and nine digits) follow otpkit's own rule. Numbers of other regions go through
`phonenumbers`, after the same check of characters. Without that check, `phonenumbers` accepts letters (and converts
them into the digits of another number), extensions, invisible characters and digits of any script.
`otpkit.core.spelling` folds pasted text before it calls this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import cache
from types import ModuleType
from typing import Any, Final, NoReturn

from otpkit.errors import ConfigurationError, FieldProblem, PhoneError, PhoneProblem, RegionError
from otpkit.models import mask

MAINLAND = "CN"
ONLY_MAINLAND = frozenset({MAINLAND})
MAX_LENGTH = 64  # In characters: fifteen digits with many separators.

MAINLAND_NUMBER: Final = "1[3-9][0-9]{9}"  # The pattern of a mainland mobile number, without its country code.

_PLAIN_MAINLAND = re.compile(rf"(?:\+86|0086|86)?({MAINLAND_NUMBER})")
_TRUNK_MAINLAND = re.compile(rf"(?:86)?0({MAINLAND_NUMBER})")
_MAINLAND_E164 = re.compile(r"\+86(1[0-9]{10})")
_TO_ASCII = str.maketrans("０１２３４５６７８９＋－．（）　", "0123456789+-.() ")
_SPELLING = re.compile(r"[ (]*\+?[ (]*[0-9](?:[-. ()]*[0-9])*[ )]*")
_NOT_PARENTHESES = re.compile(r"[^()]+")
_SEPARATORS = re.compile(r"[-. ()]+")
_E164_DIGITS = re.compile(r"[1-9][0-9]{6,14}")  # ITU-T E.164: at most 15, the first not 0. Tokelau has 7.
_MIN_FOREIGN = 8  # With this many digits, a number surely belongs to another country, even without metadata.
_REGION_CODE = re.compile(r"[A-Z]{2}")

# Numbers for which the metadata accepts an old spelling beside the current one. Each must stay one phone. None refuses
# the old spelling, because its digits do not show which number it has become.
_RENUMBERED: Final[tuple[tuple[str, str | None], ...]] = (
    # Gabon, 2019: the operator's digit comes first, without the 0. Old numbers were switched off on 2024-04-06.
    (r"\+2410?([256][0-9]{6})", r"+2416\1"),
    (r"\+2410?([47][0-9]{6})", r"+2417\1"),
    (r"\+2410?3[0-9]{6}", None),
    # Brazil, 2012-2016: mobiles have a ninth digit. Numbers that kept eight were trunked radio, switched off in 2018.
    (r"\+55[0-9]{2}7[0-9]{7}", None),
    # The Gambia: two digits of the operator precede the seven. While both work, the phone is the old spelling.
    (r"\+220(?:83(?=[35])|86(?=[68])|87(?=[247])|89(?=9))([0-9]{7})", r"+220\1"),
    # Liberia and Niue: longer mobile numbers replaced those with seven and four digits.
    (r"\+231[4-6][0-9]{6}", None),
    (r"\+683[56][0-9]{3}", None),
)


class _EveryRegion(frozenset[str]):
    """All regions, without the metadata that lists them."""

    __slots__ = ()

    def __contains__(self, region: object) -> bool:
        return True


EVERY_REGION: Final[AbstractSet[str]] = _EveryRegion({MAINLAND, "001"})


def parse(text: object, regions: AbstractSet[str] = ONLY_MAINLAND, default_region: str = MAINLAND) -> str:
    """Return the phone of `text` as E.164 (`+8613800138000`).

    Arguments and errors are those of `resolve`.
    """
    return resolve(text, regions, default_region)[0]


def resolve(
    text: object,
    regions: AbstractSet[str] = ONLY_MAINLAND,
    default_region: str = MAINLAND,
    *,
    takes_trunk: bool = False,
) -> tuple[str, str]:
    """Return the phone of `text` as E.164, and its region as ISO 3166-1 alpha-2.

    Accepted are ASCII or full-width digits, with blanks, hyphens, dots and pairs of parentheses between them, also
    full-width, and with blanks around. A country code follows `+` or `00`; for CN, a bare `86` is accepted too.

    Args:
        text: the number.
        regions: the allowed regions, as returned by `require_regions`.
        default_region: the region of a number without a country code, as checked by `require_regions`.
        takes_trunk: True to remove a trunk prefix after the country code, as in `+44 (0)7400 123456`, if the numbering
            plan proves that reading: the number is valid without the prefix, and invalid with it.

    Returns:
        The phone and its region. Several regions can share a number. It then belongs to their main region by
        `phonenumbers`, if that is allowed (Vatican mobiles are IT), and otherwise to the first that is allowed: if only
        AX is allowed, Finland's mobiles are AX.

    Raises:
        PhoneError: `text` is not a mobile number in an accepted spelling.
        RegionError: the number's region is not allowed. If only CN is allowed, no metadata is read, and every number
            with a foreign country code and 8 to 15 digits is a RegionError.
    """
    # Use type(): isinstance() would call the object's own __class__.
    if not issubclass(type(text), str):
        raise PhoneError(f"A phone number is a str, not {type(text).__name__:.40}.", "Pass the text as it was typed.")
    if default_region == MAINLAND and MAINLAND in regions:
        plain = _PLAIN_MAINLAND.fullmatch(text)  # type: ignore[call-overload]
        if plain is not None:
            return "+86" + plain[1], MAINLAND
    return _resolve_spelling(str.__str__(text), regions, default_region, takes_trunk=takes_trunk)


def mainland_number(phone: str) -> str | None:
    """Return the 11 digits of a mainland E.164 phone, without +86; None for any other phone."""
    found = _MAINLAND_E164.fullmatch(phone)
    return None if found is None else found[1]


def require_regions(regions: Iterable[str], default_region: str = MAINLAND) -> frozenset[str]:
    """Check the regions of a policy, and return them as a frozenset.

    Args:
        regions: region codes, ISO 3166-1 alpha-2 in upper case.
        default_region: the region of a number without a country code.

    Returns:
        The regions. Their numbers can be parsed.

    Raises:
        ConfigurationError: `regions` is empty, has a code that `phonenumbers` does not know or a region without mobile
            numbers, or lacks `default_region`; or a region other than CN needs the extra `intl`.
    """
    if isinstance(regions, str) or not isinstance(regions, Iterable):
        raise ConfigurationError("regions must be a set of region codes.", 'Write regions={"CN"}.')
    codes = tuple(regions)
    for code in codes:
        if not isinstance(code, str) or not _REGION_CODE.fullmatch(code):
            raise ConfigurationError(
                f"regions: {code!r:.20} is not a region code.",
                "Write ISO 3166-1 alpha-2 in upper case, like 'CN' or 'HK'.",
            )
    allowed = frozenset(codes)
    if not allowed:
        raise ConfigurationError("regions is empty, so no number could be verified.", 'Write regions={"CN"}.')
    if not isinstance(default_region, str) or default_region not in allowed:
        problem = f"default_region {default_region!r:.20} is not among regions."
        remedy = "Add it there or choose one of them."
        raise ConfigurationError(problems=[FieldProblem("default_region", problem, remedy)])
    if allowed != ONLY_MAINLAND:
        _require_known(allowed - ONLY_MAINLAND)
    return allowed


def _require_known(regions: AbstractSet[str]) -> None:
    library = _phonenumbers()
    unknown = sorted(regions - library.SUPPORTED_REGIONS)
    if unknown:
        hint = " (the United Kingdom is 'GB')" if "UK" in unknown else ""
        raise ConfigurationError(
            f"regions: {unknown[0]!r} is not a region that phonenumbers knows{hint}.",
            "Write ISO 3166-1 alpha-2 in upper case, like 'HK'.",
        )
    mobile = library.PhoneNumberType.MOBILE
    if unserved := sorted(code for code in regions if mobile not in library.supported_types_for_region(code)):
        raise ConfigurationError(
            f"regions: {unserved[0]!r} has no mobile numbers, so none could pass.", "Leave it out."
        )


def calling_codes(regions: AbstractSet[str]) -> tuple[str, ...]:
    """Return the country codes of regions, such as `("+86", "+852")`, each once."""
    if regions == ONLY_MAINLAND:
        return ("+86",)
    library = _phonenumbers()
    return tuple(f"+{code}" for code in sorted({library.country_code_for_region(region) for region in regions}))


def _resolve_spelling(
    text: str, regions: AbstractSet[str], default_region: str, *, takes_trunk: bool
) -> tuple[str, str]:
    digits = _digits(text)
    if digits.startswith("+"):
        return _international(digits[1:], regions, takes_trunk=takes_trunk)
    if digits.startswith("00"):
        return _international(digits[2:], regions, takes_trunk=takes_trunk)
    return _national(digits, regions, default_region, takes_trunk=takes_trunk)


def _digits(text: str) -> str:
    """Return the ASCII digits of `text`, after its plus if it has one."""
    if len(text) > MAX_LENGTH:  # Check this before anything whose time grows with the length.
        _refuse(f"it has more than {MAX_LENGTH} characters")
    ascii_text = text.translate(_TO_ASCII)
    if not _SPELLING.fullmatch(ascii_text):
        _refuse("only digits, separators between them and one plus are allowed")
    parentheses = _NOT_PARENTHESES.sub("", ascii_text)
    if parentheses != "()" * (len(parentheses) // 2):
        _refuse("its parentheses don't pair up")
    return _SEPARATORS.sub("", ascii_text)


def _international(digits: str, regions: AbstractSet[str], *, takes_trunk: bool) -> tuple[str, str]:
    if not _E164_DIGITS.fullmatch(digits):
        _refuse("a country code and its number are 7 to 15 digits, the first not 0")
    if digits.startswith("86"):
        return _mainland(digits, regions, takes_trunk=takes_trunk)
    if regions == ONLY_MAINLAND:
        if len(digits) < _MIN_FOREIGN:
            _refuse("it has too few digits")
        _refuse_region("+" + digits, "another region than CN", regions)
    number = _by_metadata("+" + digits, None)
    # phonenumbers drops a trunk 0 after the country code, for example. The strict parser refuses such a number.
    if _e164(number) != "+" + digits and not (takes_trunk and _has_trunk(digits, number)):
        _refuse("a trunk prefix must not follow the country code")
    return _allowed(number, regions)


def _national(digits: str, regions: AbstractSet[str], default_region: str, *, takes_trunk: bool) -> tuple[str, str]:
    if default_region == MAINLAND:
        return _mainland(digits, regions, takes_trunk=takes_trunk)
    number = _by_metadata(digits, default_region)
    # A region's own international prefix (011 in the US) can lead to a mainland number. Apply the mainland rule again.
    if number.country_code == 86:
        return _mainland(_e164(number)[1:], regions, takes_trunk=False)
    return _allowed(number, regions)


def _mainland(digits: str, regions: AbstractSet[str], *, takes_trunk: bool) -> tuple[str, str]:
    plain = _PLAIN_MAINLAND.fullmatch(digits) or (_TRUNK_MAINLAND.fullmatch(digits) if takes_trunk else None)
    if plain is None:
        _refuse("a mainland number has 11 digits and begins with 13 to 19; others begin with + and a country code")
    phone = "+86" + plain[1]
    if MAINLAND not in regions:
        _refuse_region(phone, MAINLAND, regions)
    return phone, MAINLAND


def _by_metadata(digits: str, default_region: str | None) -> Any:
    """Return the mobile number of `digits` from `phonenumbers`; raise PhoneError if there is none."""
    library = _phonenumbers()
    number = _parsed(digits, default_region)
    if number is None or not library.is_valid_number(number):
        _refuse("no region has such a number", kind="unknown")
    kinds = library.PhoneNumberType
    if library.number_type(number) not in {kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE}:
        _refuse("it is another kind of number, such as a landline", kind="landline")
    return number


def _parsed(digits: str, default_region: str | None) -> Any:
    library = _phonenumbers()
    try:
        return library.parse(digits, default_region)
    except library.NumberParseException:
        return None  # Return instead of raising: otpkit's error must have no context with the number in its frames.


def _e164(number: Any) -> str:
    library = _phonenumbers()
    phone: str = library.format_number(number, library.PhoneNumberFormat.E164)
    return phone


def _has_trunk(digits: str, number: Any) -> bool:
    """Check whether `digits` are `number` with its plan's trunk prefix after the country code.

    The metadata names one prefix of a plan, or none, and may drop a 0 as well: Belarus writes 8 029, and Gabon 066.
    """
    library = _phonenumbers()
    metadata = library.PhoneMetadata.metadata_for_region(library.region_code_for_number(number), None)
    prefix: str = (metadata and metadata.national_prefix) or ""
    code = str(number.country_code)
    rest = _e164(number)[1 + len(code) :]
    return digits in {code + each + rest for each in (prefix, "0", f"{prefix}0") if each}


def _allowed(number: Any, regions: AbstractSet[str]) -> tuple[str, str]:
    """Return the phone of a mobile number and its region; raise RegionError if none of its regions is allowed."""
    library = _phonenumbers()
    phone = _current(_e164(number))
    region: str = library.region_code_for_number(number)
    if region in regions:
        return phone, region
    shared = library.region_codes_for_country_code(number.country_code)
    others = [each for each in shared if each in regions and library.is_valid_number_for_region(number, each)]
    return (phone, others[0]) if others else _refuse_region(phone, region, regions)


def _current(phone: str) -> str:
    """Return the current spelling of a phone whose numbering plan has changed."""
    library = _phonenumbers()
    for old, new in _RENUMBERED:
        if (found := re.fullmatch(old, phone)) is None:
            continue
        if new is None:
            _refuse("it has the format from before its country's numbering plan changed", kind="unknown")
        current = found.expand(new)
        return current if library.is_valid_number(_parsed(current, None)) else phone
    return phone


_RANGE_DIGITS = 4
_MANY_RANGES = 1000
_SAMPLE = "51387"  # Digits behind a prefix; plans rarely depend on them.


def has_many_ranges(phone: str, region: str) -> bool:
    """Return True if a region's plan has at least 1,000 ranges of mobile numbers as long as this one.

    A range is 10,000 numbers, which differ in their last four digits.

    Args:
        phone: the number as E.164.
        region: its region, as `resolve` returned it.
    """
    if region == MAINLAND:
        return True
    code = str(_phonenumbers().country_code_for_region(region))
    return _has_many_ranges(region, len(phone) - 1 - len(code))


@cache
def _has_many_ranges(region: str, length: int) -> bool:
    """Count the prefixes of a region's mobile numbers of a length by their samples."""
    metadata = _phonenumbers().PhoneMetadata.metadata_for_region(region, None)
    pattern: str = (metadata and metadata.mobile.national_number_pattern) or ""
    digits = min(4, length - _RANGE_DIGITS)
    if digits < 3:
        return False
    behind = (_SAMPLE * 3)[: length - digits]
    ranges_each = 10 ** (length - digits - _RANGE_DIGITS)
    found = sum(re.fullmatch(pattern, f"{start:0{digits}d}{behind}") is not None for start in range(10**digits))
    return bool(found * ranges_each >= _MANY_RANGES)


def _phonenumbers() -> ModuleType:
    try:
        import phonenumbers
    except ImportError as missing:
        raise ConfigurationError(
            "Numbers of other regions than CN need phonenumbers.", "Run: pip install 'otpkit[intl]'."
        ) from missing
    return phonenumbers


def _refuse(reason: str, kind: PhoneProblem = "spelling") -> NoReturn:
    raise PhoneError(f"Not a mobile number: {reason}.", "Ask the user to correct it.", kind=kind)


def _refuse_region(phone: str, region: str, regions: AbstractSet[str]) -> NoReturn:
    raise RegionError(
        f"{mask(phone)} is a number of {region}, which Policy.regions does not allow.",
        "Ask for another number, or add its region to Policy.regions.",
        served=calling_codes(regions),
    )
