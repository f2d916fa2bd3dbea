"""The READMEs are short, have the same content in both languages, and their links work, as do those of the pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_blocks import PAGES, ROOT

READMES = ("README.md", "README.zh-CN.md")
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in READMES)
OWN_SECTION = (
    "从《阿里云大鱼 API 使用文档》来"  # It is for readers of that document. The English README has no such section.
)
MOST_WORDS = 1200
WORDS_OF_CHARACTERS = 0.6  # Two Chinese characters count as a little more than a word.


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """Return the code blocks with their languages, without comments, which are translated, and without the picture."""
    found = re.findall(r"^```(\w+\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"(^| +)# .*$", "", block, flags=re.MULTILINE) for block in found if not block.startswith("mermaid")]


def sections(text: str) -> list[str]:
    parts = re.split(r"^## ", prose(text), flags=re.MULTILINE)
    return [part for part in parts if not part.startswith(OWN_SECTION)]


def rows(section: str) -> int:
    return len(re.findall(r"^\|", section, re.MULTILINE))


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=READMES)
def test_readme_is_short(text: str) -> None:
    characters = re.findall(r"[\u4e00-\u9fff]", prose(text))
    words = re.findall(r"[^\s\u4e00-\u9fff]+", prose(text))
    assert len(words) + WORDS_OF_CHARACTERS * len(characters) <= MOST_WORDS


def test_blocks_are_the_same_in_both_languages() -> None:
    assert blocks(CHINESE) == blocks(ENGLISH)


def test_tables_are_as_long_in_both_languages() -> None:
    assert [rows(part) for part in sections(CHINESE)] == [rows(part) for part in sections(ENGLISH)]


def test_names_are_the_same_in_both_languages() -> None:
    code = r"`([^`\n]+)`"
    named = set(re.findall(code, prose(CHINESE)))
    assert [name for name in re.findall(code, prose(ENGLISH)) if name not in named] == []


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_links_lead_to_files_and_headings(page: str) -> None:
    """This covers all links within the project, in all Markdown. Sphinx checks those between its pages again."""
    text = prose((ROOT / page).read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(\s*([^)\s]+)\s*\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, heading = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.is_file(), f"{page} links to {link}"
        if heading:
            assert heading in headings(target), f"{page} links to {link}"


def headings(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and Sphinx form them."""
    found = re.findall(r"^#+ (.+)$", prose(path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}


def test_pictures_are_small() -> None:
    pictures = [ROOT / name for name in re.findall(r"examples/[a-z/]+\.png", ENGLISH)]
    assert pictures
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size < 150_000
