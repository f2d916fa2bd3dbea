"""The texts for people: one TOML file per language, read on first use.

To add a language, copy `en.toml` to a file named by the language's tag in lower case, such as `fr.toml` or
`pt-br.toml`, and translate the texts. Keep the keys and the placeholders; `tests/test_languages.py` compares them.
Write sentences that fit any number, because there are no plural forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

DEFAULT: Final = "en"
# (seconds from which a unit is used, size of the unit in seconds), from days down to seconds. `phone.js` does the same.
_UNITS: Final = ((172_800, 86_400), (7_200, 3_600), (120, 60), (0, 1))


@cache
def languages() -> tuple[str, ...]:
    """Return all languages, English first."""
    names = (path.name for path in files(__name__).iterdir())
    found = {name.removesuffix(".toml") for name in names if name.endswith(".toml")}
    return DEFAULT, *sorted(found - {DEFAULT})


@cache
def texts(language: str) -> Mapping[str, Any]:
    """Return the texts of a language (one of `languages()`), as in its file."""
    import tomllib  # Programs that show no text do not need it, so importing otpkit stays fast.

    return tomllib.loads(files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def tag(language: str) -> str:
    """Return the language's tag for `Content-Language` and `lang` (BCP 47), such as `zh-CN`."""
    found: str = texts(language)["tag"]
    return found


def duration(seconds: int, language: str) -> str:
    """Return a number of seconds as text, in seconds, minutes, hours or days, rounded up."""
    units: list[str] = texts(language)["units"]
    size, unit = next(
        (size, unit) for (least, size), unit in zip(_UNITS, reversed(units), strict=True) if seconds >= least
    )
    return unit.format(n=-(-seconds // size))
