"""Every block of the READMEs and of the documentation is run unchanged, as a reader of the page runs it."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest
from page_blocks import NOT_CODE, NOT_RUN, PAGES, Block, blocks_of
from page_reader import reading
from page_stories import STORIES

WITH_BLOCKS = [page for page in PAGES if blocks_of(page)]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_of_page_run(page: str, tmp_path: Path, redis_url: str, namespace: str) -> None:
    """The blocks run in their order, in one folder, and a visitor uses the servers of the page."""
    with reading(tmp_path, redis_url, namespace) as reader:
        for block in blocks_of(page):
            if block.language in NOT_CODE or block.reason:
                continue
            reader.run(block)
            if reader.server is not None and (story := STORIES.get((page, block.text.strip().splitlines()[-1]))):
                story(reader)


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_name_what_they_use(page: str) -> None:
    """A block imports or defines all names that it uses.

    A block that is appended to a file may use the file's names.
    """
    for block in blocks_of(page):
        if block.language == "python" and not block.is_added:
            assert lacking(block.text) == set(), str(block)


def test_served_pages_have_a_visitor() -> None:
    """Each story belongs to an existing block."""
    lasts = {(page, block.text.strip().splitlines()[-1]) for page in PAGES for block in blocks_of(page)}
    assert set(STORIES) <= lasts


def test_reasons_belong_to_blocks() -> None:
    """A reason without a block must be removed."""
    firsts = {(block.page, block.text.partition("\n")[0]) for page in PAGES for block in blocks_of(page)}
    used = firsts | {("", first) for _, first in firsts}
    assert set(NOT_RUN) <= used


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_saved_files_are_used(page: str) -> None:
    """A later block of the page runs a block that is a file."""
    blocks = blocks_of(page)
    for place, block in enumerate(blocks):
        if block.file:
            assert any(uses(later, block) for later in blocks[place + 1 :]), str(block)


def uses(later: Block, block: Block) -> bool:
    """Return whether a later block runs, reads or imports a file."""
    stem = Path(block.file).stem
    return stem in later.text or (later.language == "sh" and "manage.py" in later.text)


def lacking(block: str) -> set[str]:
    """Return the names that a block reads but neither imports, nor assigns, nor takes as an argument."""
    tree = ast.parse(block)
    has = set(dir(builtins)) | {"__file__"}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            has |= {(each.asname or each.name).partition(".")[0] for each in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            has.add(node.name)
        elif isinstance(node, ast.arg):
            has.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            has.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            has.add(node.id)
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
            has.add(node.name)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - has
