"""The Chinese README keeps step with the English one: the same commands, blocks, tables, figures and pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
OWN_SECTION = "从《阿里云大鱼 API 使用文档》来"  # for readers of that document; the English one has no such section


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """Return the code blocks with their languages, without comments: these are translated."""
    found = re.findall(r"^```(\w+\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"(^| +)# .*$", "", block, flags=re.MULTILINE) for block in found]


def sections(text: str) -> list[str]:
    parts = re.split(r"^## ", without_blocks(text), flags=re.MULTILINE)
    return [part for part in parts if not part.startswith(OWN_SECTION)]


def rows(section: str) -> int:
    return len(re.findall(r"^\|", section, re.MULTILINE))


def pictures(text: str) -> list[str]:
    return re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)


def test_every_command_and_block_is_the_same() -> None:
    assert blocks(CHINESE) == blocks(ENGLISH)


def test_every_section_has_as_many_rows_of_tables() -> None:
    assert [rows(part) for part in sections(CHINESE)] == [rows(part) for part in sections(ENGLISH)]


def test_every_name_in_code_type_is_named() -> None:
    code = r"`([^`\n]+)`"
    named = set(re.findall(code, without_blocks(CHINESE)))
    missing = [name for name in re.findall(code, without_blocks(ENGLISH)) if name not in named]
    assert missing == []


def test_every_figure_is_the_same() -> None:
    """A number of the English text that the Chinese one lacks was changed in one of them alone."""
    digits = r"\d[\d,.]*\d"
    told = set(re.findall(digits, CHINESE))
    assert [figure for figure in re.findall(digits, without_blocks(ENGLISH)) if figure not in told] == []


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_every_picture_and_file_that_is_linked_is_there(text: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []
    assert pictures(text) == pictures(ENGLISH)
