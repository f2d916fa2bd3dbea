"""Check several fields, each although another one is wrong, and tell of all that are wrong at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from otpkit.errors import ConfigurationError, FieldProblem

P = ParamSpec("P")
T = TypeVar("T")
V = TypeVar("V")


class Checks:
    """A block whose checks all run. At its end it raises one `ConfigurationError` of all fields that are wrong::

    with Checks() as checks:
        port = checks.of("port", read_port, text)
        host = checks.of("host", read_host, name)
    """

    def __init__(self) -> None:
        self._problems: list[FieldProblem] = []

    def of(self, field: str, check: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Return what `check` returns for a field.

        Where it raises `ConfigurationError` that is kept for the end of the block, and None is returned: no line of the
        block may use the value before `passed` says so. An error that names fields of its own keeps their names.
        """
        try:
            return check(*args, **options)
        except ConfigurationError as error:
            self._problems += problems_of(error, field)
        return None  # type: ignore[return-value]  # the block raises

    def value(self, field: str, check: Callable[[str, V], T], value: V) -> T:
        """Same as `of`, for a check that takes the field's name and its value."""
        return self.of(field, check, field, value)

    def add(self, field: str, problem: str, remedy: str) -> None:
        """Keep a problem of a field, in sentences as `ConfigurationError` has them."""
        self._problems.append(FieldProblem(field, problem, remedy))

    def passed(self, *fields: str) -> bool:
        """Return whether nothing is wrong with these fields so far."""
        return not any(each.field in fields for each in self._problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None and self._problems:
            raise ConfigurationError(problems=self._problems)


def problems_of(error: ConfigurationError, field: str) -> tuple[FieldProblem, ...]:
    """Return an error's wrong fields; one that names none is about `field`."""
    return error.problems or (FieldProblem(field, error.problem, error.remedy),)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is most like another one, and the end of the sentence."""
    from difflib import get_close_matches  # Only errors need it.

    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else "."
