"""The conformance page: each row names a test that exists."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

from named_tests import problems_of  # noqa: E402 - The folder is no package.

PAGE = (DOCS / "conformance.md").read_text(encoding="utf-8")
NAMED = "attacks/test_races.py::test_fifty_redemptions_are_one"


def test_page_names_tests_that_exist() -> None:
    """The page has no problem, and the rows of NIST, OWASP and the catalogue."""
    assert list(problems_of(PAGE)) == []
    assert PAGE.count("\n| §3") + PAGE.count("\n| 63A-4") >= 11
    assert [f"\n| {number} " in PAGE for number in range(1, 35)] == [True] * 34


@pytest.mark.parametrize(
    "gone", [NAMED.replace("fifty", "sixty"), NAMED.replace("races", "rallies"), NAMED.partition("::")[0], ""]
)
def test_test_that_is_gone_is_a_problem(gone: str) -> None:
    """A test that was renamed, moved or never named is a problem of the page."""
    assert NAMED in PAGE
    assert [gone in problem for problem in problems_of(PAGE.replace(NAMED, gone))] == [True] * PAGE.count(NAMED)


def test_row_without_a_test_is_a_problem() -> None:
    """A claim in a table without a test is a problem; a head of a table is none."""
    table = "| requirement | shown by |\n|---|---|\n| once | {test}`" + NAMED + "` |\n"
    assert list(problems_of(table)) == []
    assert list(problems_of(table + "| always | |\n")) == ["This row names no test: | always | |"]
