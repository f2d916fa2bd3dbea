"""Check several fields, and report all wrong ones at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from otpkit.errors import ConfigurationError, FieldProblem

_MOST_ENTRIES = 10  # A list may have a million entries, and a person reads the error.

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")


class Checks:
    """A block whose checks all run. At its end it raises one `ConfigurationError` with all wrong fields::

    with Checks() as checks:
        port = checks.of("port", read_port, text)
        host = checks.of("host", read_host, name)
    """

    def __init__(self) -> None:
        self._problems: list[FieldProblem] = []

    def of(self, field: str, check: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Return the result of `check` for a field.

        Args:
            field: the name of the field, for the error.
            check: the function to call with `args` and `options`.

        Returns:
            The result, or None if `check` raised `ConfigurationError`. The error is kept for the end of the block; if
            it names fields itself, it keeps those names. Use the value inside the block only after `passed`.
        """
        try:
            return check(*args, **options)
        except ConfigurationError as error:
            self._problems += problems_of(error, field)
        return None  # type: ignore[return-value]  # The block raises at its end.

    def value(self, field: str, check: Callable[[str, V], T], value: V) -> T:
        """Return the result of a check that takes the field's name and its value; otherwise the same as `of`."""
        return self.of(field, check, field, value)

    def add(self, field: str, problem: str, remedy: str) -> None:
        """Record a problem of a field. `problem` and `remedy` are sentences, as in `ConfigurationError`."""
        self._problems.append(FieldProblem(field, problem, remedy))

    def first(self, field: str, wrong: Iterable[tuple[str, str]]) -> None:
        """Record the problems and remedies of a list's wrong entries: the first ten, and how many more there are."""
        found = list(wrong)
        for problem, remedy in found[:_MOST_ENTRIES]:
            self.add(field, problem, remedy)
        if (more := len(found) - _MOST_ENTRIES) > 0:
            self.add(field, f"{more:,} more of the entries are wrong.", "Correct them, or leave them out.")

    def passed(self, *fields: str) -> bool:
        """Return True if none of these fields has a problem so far."""
        return not any(each.field in fields for each in self._problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None and self._problems:
            raise ConfigurationError(problems=self._problems)


def problems_of(error: ConfigurationError, field: str) -> tuple[FieldProblem, ...]:
    """Return the wrong fields of an error. If the error names none, it is about `field`."""
    return error.problems or (FieldProblem(field, error.problem, error.remedy),)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence, with the known name that is most similar to `name`, if any."""
    from difflib import get_close_matches  # Only errors need it.

    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else "."
