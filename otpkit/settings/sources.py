"""The two sources of settings: environment variables and a TOML file.

Both hold the same settings. A table's name and its field's name, joined with `_`, are the variable's name: `app_key` in
`[alidayu]` is `OTPKIT_ALIDAYU_APP_KEY`. `[policy]`, `[templates.…]`, `[keys.…]` and other tables with free names are
each the JSON of one variable.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from otpkit.core.checks import nearest
from otpkit.core.files import read_bytes
from otpkit.core.secret_files import read_secret
from otpkit.environment import text_of
from otpkit.errors import ConfigurationError, FieldProblem
from otpkit.settings.tables import Setting, known_settings

# Kubernetes sets such variables in every container for each Service. A Service "otpkit" causes OTPKIT_SERVICE_HOST.
_OF_KUBERNETES: Final = re.compile(
    r"OTPKIT_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)"
)
# Other programs may use variables that begin with OTPKIT_. Only a name this similar to a known one counts as mistyped.
_ALIKE: Final = 0.8


class Given(NamedTuple):
    """A setting with a value: its path in the model, its text, and the variable or the file that it comes from."""

    path: tuple[str, ...]
    text: str
    source: str
    is_in_file: bool = False

    @property
    def where(self) -> str:
        """The place of the setting: a variable, or a file and the name in it."""
        return f"{self.source}: {'.'.join(self.path)}" if self.is_in_file else self.source


class Source(NamedTuple):
    """The settings of one source by variable, and the problems with their names and types.

    `unread` has the problems with files of secrets, by the variable whose value the file should have.
    """

    known: dict[str, Given]
    problems: list[FieldProblem]
    unread: dict[str, FieldProblem]

    def nested(self) -> dict[str, Any]:
        """Return the settings as nested tables, for the model."""
        found: dict[str, Any] = {}
        for given in self.known.values():
            table = found
            for name in given.path[:-1]:
                table = table.setdefault(name, {})
            table[given.path[-1]] = given.text
        return found


def read_environment(environ: Mapping[str, str]) -> Source:
    """Return the settings of the environment. An unknown variable is a problem if its name resembles a known one."""
    by_variable = {setting.variable: setting for setting in known_settings().values()}
    source = Source({}, [], {})
    for variable, value in environ.items():
        if not variable.startswith("OTPKIT_") or not value.strip() or _OF_KUBERNETES.fullmatch(variable):
            continue
        text = value.strip()
        if variable in by_variable:
            source.known[variable] = Given(by_variable[variable].path, text, variable)
        elif meant := _nearest_variable(variable, by_variable):
            text = f"{variable} is no variable of otpkit; did you mean {meant}?"
            source.problems.append(FieldProblem(variable, text, "Correct its name, or remove it."))
    return _with_secrets(source)


def _nearest_variable(variable: str, known: Mapping[str, Setting]) -> str | None:
    """Return the known variable that an unknown one most likely means, or None."""
    names = [each.removeprefix("OTPKIT_") for each in known]
    found = get_close_matches(variable.removeprefix("OTPKIT_"), names, n=1, cutoff=_ALIKE)
    return f"OTPKIT_{found[0]}" if found else None


def read_file(path: str) -> Source:
    """Return the settings of a TOML file.

    Args:
        path: the path of the file.

    Raises:
        ConfigurationError: the file can't be read.
    """
    try:
        table = tomllib.loads(read_bytes(path)[0].decode())
    except (OSError, ValueError, RecursionError) as error:  # TOML errors contain the position, but no values.
        reason = _reason(error)
    else:
        return _read(path, table)
    raise ConfigurationError(f"{path} can't be read as a TOML file: {reason}.", "Check the path and the file.")


def _read(path: str, table: Mapping[str, Any]) -> Source:
    source = Source({}, [], {})
    known = known_settings()
    for names, value in _flat(table):
        setting = known.get(_key(names))
        dotted = ".".join(names)
        if setting is None:
            hint = nearest(dotted, sorted(each.dotted for each in known.values()))
            problem = f"{path} has a setting {dotted!r:.60} that there is not{hint}"
            source.problems.append(FieldProblem(dotted, problem, "Correct its name, or remove it."))
        elif (text := _text(value, setting)) is None:
            expected = "a list" if setting.is_list else "a table" if setting.is_json else "a text"
            source.problems.append(
                FieldProblem(f"{path}: {dotted}", f"{path}: {dotted} must be {expected}, not {_kind(value)}.")
            )
        else:
            source.known[setting.variable] = Given(setting.path, text, path, is_in_file=True)
    return _with_secrets(source)


def _with_secrets(source: Source) -> Source:
    """Replace the paths of files of secrets by the contents of the files."""
    settings = {setting.variable: setting for setting in known_settings().values()}
    for setting in settings.values():
        given = source.known.pop(setting.variable, None) if setting.holds else None
        if given is None:
            continue
        if beside := source.known.get(setting.holds):
            problem = f"{given.where} stands beside {beside.where}."
            source.unread[setting.holds] = FieldProblem(given.where, problem, "Keep one of them.")
            continue
        try:
            text = read_secret(given.text)
        except ConfigurationError as error:
            problem = f"{given.where}: {error.problem}"
            source.unread[setting.holds] = FieldProblem(given.where, problem, error.remedy)
        else:
            source.known[setting.holds] = given._replace(path=settings[setting.holds].path, text=text)
    return source


def _flat(table: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each setting: its path in the file, and its value."""
    for name, value in table.items():
        names = (*before, name)
        setting = known_settings().get(_key(names))
        if isinstance(value, dict) and not (setting and setting.is_json):
            yield from _flat(value, names)
        else:
            yield names, value


def _key(names: tuple[str, ...]) -> str:
    return "_".join(names).replace("-", "_").upper()


def _text(value: Any, setting: Setting) -> str | None:
    """Return a value as the text of a variable, or None if it has another type."""
    if setting.is_json:
        return json.dumps(value, default=str) if isinstance(value, list if setting.is_list else dict) else None
    return text_of(value)


def _kind(value: Any) -> str:
    names = {dict: "a table", list: "a list", bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(value), "a date")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its lists or tables are nested too deeply"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else f"{error}".rstrip(".")
