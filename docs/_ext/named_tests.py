"""Find the tests that a page names, and the rows of its tables that name none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[2] / "tests"
_NAMED = re.compile(r"\{test\}`([^`]*)`")
_RULE = re.compile(r"\|[-:| ]+\|")  # The line between the head of a table and its rows.


@cache
def tests_of(path: str) -> frozenset[str]:
    """Return the names of the test functions in a file below `tests/`; none if there is no such file."""
    file = TESTS / path
    if not file.is_file():
        return frozenset()
    functions = (
        each
        for each in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(each.name for each in functions if each.name.startswith("test_"))


def problems_of(page: str) -> Iterator[str]:
    """Return what is wrong on a conformance page.

    Args:
        page: its text in Markdown, with tests as {test}`path.py::name`.

    Returns:
        A sentence for each test that does not exist, and for each row of a table that names none.
    """
    for named in _NAMED.findall(page):
        path, _, name = named.partition("::")
        if name not in tests_of(path):
            yield f"There is no test {named}. Name the test that shows this row, or remove the claim."
    before = ""
    is_row = False
    for line in page.splitlines():
        is_row = line.startswith("|") and (is_row or bool(_RULE.fullmatch(before)))
        if is_row and not _NAMED.search(line):
            yield f"This row names no test: {line[:80]}"
        before = line
