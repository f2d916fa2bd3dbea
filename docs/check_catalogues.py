"""The Chinese of the documentation: checked against the pages, or updated from them.

    python docs/check_catalogues.py          # fails where a text of a page has no Chinese
    python docs/check_catalogues.py update   # adds new texts to the catalogues, and drops old ones

It reads what `sphinx-build -b gettext docs docs/_build/gettext` has written. A text that comes from the code, such as
a row of a gateway's table, may lack Chinese for a while: it is shown in English, and listed here.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

HERE = Path(__file__).parent
TEMPLATES = HERE / "_build" / "gettext"
CATALOGUES = HERE / "locale" / "zh_CN" / "LC_MESSAGES"
TRANSLATED = (
    "index",
    "start",
    "guides/flask",
    "guides/fastapi",
    "guides/django",
    "guides/leave-twilio-verify",
    "gateways/alidayu",
    "gateways/aliyun",
    "gateways/tencent",
    "operating/console",
    "operating/deploy",
    "operating/figures",
    "operating/monitoring",
    "operating/production",
    "operating/privacy",
    "operating/tracing",
    "reference/errors",
    "reference/events",
)
_CODE = re.compile(r"`[^`]*`|\[[0-9]+\]|<[^>]*>|https?://\S+|\{[a-z]+\}")
_WORD = re.compile(r"[A-Za-z]{2}")


def needs_translation(text: str) -> bool:
    """Return whether a text has a word outside of code and links."""
    return bool(_WORD.search(_CODE.sub("", text)))


def flat(text: str) -> str:
    """Return a text in one line."""
    return " ".join(text.split())


def catalogue(path: Path) -> Catalog:
    """Return a catalogue, or an empty one if the file is missing."""
    if not path.is_file():
        return Catalog(locale="zh_CN", fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale="zh_CN")


def missing(page: str) -> list[str]:
    """Return the texts of a page that have no Chinese, or an old one."""
    known = catalogue(CATALOGUES / f"{page}.po")
    wanted = [str(each.id) for each in catalogue(TEMPLATES / f"{page}.pot") if each.id]
    found = []
    for text in wanted:
        message = known.get(text)
        if needs_translation(text) and (message is None or not message.string or message.fuzzy):
            found.append(text)
    return found


def update(page: str) -> None:
    """Write a new catalogue: what the page has, with the Chinese that is there."""
    known, fresh = catalogue(CATALOGUES / f"{page}.po"), Catalog(locale="zh_CN", fuzzy=False)
    for each in catalogue(TEMPLATES / f"{page}.pot"):
        if each.id and needs_translation(str(each.id)):
            old = known.get(each.id)
            fresh.add(each.id, old.string if old is not None and not old.fuzzy else "")
    path = CATALOGUES / f"{page}.po"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, fresh, width=120, omit_header=True)


def main() -> int:
    """Check, or update, and return the exit status."""
    if sys.argv[1:] == ["update"]:
        for page in TRANSLATED:
            update(page)
        return 0
    status = 0
    for page in TRANSLATED:
        written = flat((HERE / f"{page}.md").read_text(encoding="utf-8"))
        for text in missing(page):
            sys.stderr.write(f"{page}: no Chinese for: {text}\n")
            status |= flat(text) in written
    return status


if __name__ == "__main__":
    sys.exit(main())
