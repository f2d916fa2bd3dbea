"""The TOML file of `otpkit serve`. It holds what the environment does, and nothing else.

A table's name and its field, joined by `_`, are the variable: `app_key` in `[alidayu]` is `OTPKIT_ALIDAYU_APP_KEY`.
`[policy]`, `[templates.…]`, `[keys.…]` and the params of `[template]` are as a whole the JSON of `OTPKIT_POLICY`,
`OTPKIT_TEMPLATES`, `OTPKIT_API_KEYS` and `OTPKIT_TEMPLATE_PARAMS`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

from otpkit.environment import GATEWAYS, JSON, OPTIONAL, REQUIRED, nearest
from otpkit.errors import ConfigurationError

_SERVICE: Final = ("host", "port", "gateway_wait", "forwarded_hops", "receipts_secret", "public_url")
_WHOLE: Final = {
    **{name: name for name in JSON},
    "OTPKIT_KEYS": "OTPKIT_API_KEYS",
    "OTPKIT_TEMPLATE_PARAMS": "OTPKIT_TEMPLATE_PARAMS",
}
_KNOWN: Final = frozenset(
    chain(
        REQUIRED,
        OPTIONAL,
        *((*choice.required, *choice.optional, *choice.one_of) for choice in GATEWAYS.values()),
        (f"OTPKIT_SERVICE_{name.upper()}" for name in _SERVICE),
    )
)
_TABLES: Final = sorted(("template", "service", *(name.replace("-", "_") for name in GATEWAYS)), key=len, reverse=True)


def read_file(path: str, problems: list[str]) -> dict[str, str]:
    """Return the variables that a TOML file stands for; what it holds that is none is added to `problems`.

    Raises `ConfigurationError` where it can't be read.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # TOML's own errors show the place, and not what stands there
        raise ConfigurationError(f"{path} can't be read as a TOML file: {_reason(error)}.") from None
    variables = {variable: (place, value) for variable, place, value in _flat(table)}
    names = sorted(_spelling(variable) for variable in (*_KNOWN, *_WHOLE))
    found = {}
    for variable, (place, value) in variables.items():
        if variable not in _KNOWN and variable not in _WHOLE:
            problems.append(f"{path} has a setting {place!r:.60} that there is not{nearest(place, names)}")
        elif (text := _text(variable, value)) is None:
            problems.append(f"{path} has a {type(value).__name__} for {place}, which is a text.")
        else:
            found[_WHOLE.get(variable, variable)] = text
    return found


def _flat(table: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, str, Any]]:
    """Give each setting: its variable, its place in the file, its value."""
    for name, value in table.items():
        place = (*before, name)
        variable = "_".join(("OTPKIT", *place)).replace("-", "_").upper()
        if isinstance(value, dict) and variable not in _WHOLE:
            yield from _flat(value, place)
        else:
            yield variable, ".".join(place), value


def _text(variable: str, value: Any) -> str | None:
    """Return a value as a variable holds it, or None where it can't."""
    if variable in _WHOLE:
        return json.dumps(value, default=str)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " ".join(value)  # secrets, newest last
    return str(value) if isinstance(value, (str, int)) else None


def _spelling(variable: str) -> str:
    name = variable.removeprefix("OTPKIT_").lower()
    table = next((each for each in _TABLES if name.startswith(f"{each}_")), "")
    return f"{table}.{name.removeprefix(f'{table}_')}" if table else name


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else f"{error}".rstrip(".")
