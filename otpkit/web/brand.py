"""The site's own name, logo, colour and legal links on the ready pages.

A logo adds one source to the page's Content-Security-Policy. All else stays the same: one template, no third party.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from otpkit.core.checks import Checks
from otpkit.errors import ConfigurationError
from otpkit.web.paths import own_path

_MAX_NAME: Final = 60  # characters
_MAX_URL: Final = 2000  # characters
_COLOUR: Final = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
# ASCII alone, and no quotes, spaces or semicolons: the origin becomes part of a header.
_URL: Final = re.compile(r"https://[a-z0-9.-]+(?::[0-9]{1,5})?(?:[/?#][!#-&(-;=?-~]*)?", re.ASCII | re.IGNORECASE)

_Colour: TypeAlias = tuple[int, int, int]
_WHITE: Final[_Colour] = (255, 255, 255)
_BLACK: Final[_Colour] = (0, 0, 0)
_DARK_CARD: Final[_Colour] = (0x18, 0x1B, 0x20)  # `--card` of the dark pages in `phone.css`
_TEXT: Final = 4.5  # contrast of text (WCAG 2.2 §1.4.3)
_SHAPE: Final = 3.0  # contrast of the shape of a button (WCAG 2.2 §1.4.11)
_STEPS: Final = 50  # shades tried between a colour and black or white


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours that follow from an accent, for light or for dark pages. All are CSS colours such as `#1f55d6`.

    Attributes:
        fill: the background of buttons.
        on_fill: the text on it, black or white.
        text: links, the current step and the outline of the focus.
    """

    fill: str
    on_fill: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """The look of your site on the ready pages. Pass it to the integration. What is left out stays as it is.

    Attributes:
        name: the name of the site, up to 60 characters. It is in the title, and at the top if there is no logo.
        logo: the `https://` URL of an image, or a path of this site. The page shows it 2 rem high, and allows its
            origin in `img-src`. It needs a `name`, which screen readers read.
        accent: the colour of buttons and links, `#rgb` or `#rrggbb`. Its contrast against white must be at least 3:1
            (WCAG 2.2 §1.4.11). The text on it is black or white. Links and dark pages use a shade of it that can be
            read (4.5:1, §1.4.3).
        terms: the `https://` URL of the terms of service, or a path of this site.
        privacy: the same for the privacy policy.

    Raises:
        ConfigurationError: a field is wrong. Its `problems` name each one.
    """

    name: str = ""
    logo: str = ""
    accent: str = ""
    terms: str = ""
    privacy: str = ""

    def __post_init__(self) -> None:
        """Check all fields."""
        with Checks() as checks:
            checks.value("name", _check_name, self.name)
            for field in ("logo", "terms", "privacy"):
                checks.value(field, _check_url, getattr(self, field))
            checks.value("accent", _check_accent, self.accent)
            if self.logo and not self.name and checks.passed("logo", "name"):
                checks.add("name", "A logo needs a name for screen readers.", "Set name to the name of the site.")

    @property
    def logo_source(self) -> str:
        """The source that `img-src` must allow for the logo: an origin, `'self'`, or "" without a logo."""
        if not self.logo.lower().startswith("https:"):
            return "'self'" if self.logo else ""
        return f"https://{urlsplit(self.logo).netloc}"

    @property
    def light(self) -> Palette | None:
        """The colours of light pages, or None without an accent."""
        return _palette(_parse(self.accent), _WHITE, _BLACK) if self.accent else None

    @property
    def dark(self) -> Palette | None:
        """The colours of dark pages, or None without an accent."""
        return _palette(_parse(self.accent), _DARK_CARD, _WHITE) if self.accent else None


def _check_name(field: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > _MAX_NAME or not value.isprintable() or value != value.strip():
        raise ConfigurationError(
            f"{field} is not one line of at most {_MAX_NAME} characters.", "Set it to the name of the site, or to ''."
        )


def _check_url(field: str, value: object) -> None:
    if value == "":
        return
    if isinstance(value, str) and (_is_https(value) or (value.isascii() and own_path(value))):
        return
    raise ConfigurationError(
        f"{field} is neither an https:// URL nor a path of this site.",
        "Write it like https://example.com/terms or /terms, in ASCII.",
    )


def _is_https(text: str) -> bool:
    if len(text) > _MAX_URL or not _URL.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False  # The port is too large.


def _check_accent(field: str, value: object) -> None:
    if value == "":
        return
    if not isinstance(value, str) or not _COLOUR.fullmatch(value):
        raise ConfigurationError(f"{field} is not a colour.", "Write it like #1f55d6 or #15d.")
    found = _contrast(_parse(value), _WHITE)
    if found < _SHAPE:
        raise ConfigurationError(
            f"{field} {value} has a contrast of {found:.1f}:1 against white, which is hard to see.",
            "Choose a darker colour, of at least 3:1.",
        )


def _palette(accent: _Colour, ground: _Colour, end: _Colour) -> Palette:
    fill = _shade(accent, end, ground, _SHAPE)
    on_fill = _WHITE if _contrast(fill, _WHITE) >= _TEXT else _BLACK  # One of both is always at least 4.5:1.
    return Palette(_css(fill), _css(on_fill), _css(_shade(accent, end, ground, _TEXT)))


def _shade(colour: _Colour, end: _Colour, ground: _Colour, least: float) -> _Colour:
    """Return the shade between two colours that is nearest to the first and can be told from the ground."""
    for step in range(_STEPS):
        red, green, blue = (a + round((b - a) * step / _STEPS) for a, b in zip(colour, end, strict=True))
        if _contrast((red, green, blue), ground) >= least:
            return red, green, blue
    return end


def _contrast(one: _Colour, other: _Colour) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2, contrast ratio)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: _Colour) -> float:
    """Return the relative luminance of a colour, 0 to 1 (WCAG 2.2, relative luminance)."""
    red, green, blue = (_linear(part / 255) for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    linear: float = part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
    return linear


def _parse(text: str) -> _Colour:
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def _css(colour: _Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


NO_BRAND: Final = Brand()
"""The look of the pages without one of a site's own."""
