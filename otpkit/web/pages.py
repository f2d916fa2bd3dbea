"""The HTML of the forms: one template, two languages, no third party.

`templates/` holds the page, its style and its script, and the texts. To make it yours copy that folder and this file,
and pass your `render`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from otpkit.errors import ConfigurationError
from otpkit.web.forms import View
from otpkit.web.regions import Region

try:
    import jinja2
    from markupsafe import Markup
except ImportError as missing:
    raise ConfigurationError(
        "The pages need jinja2; run: pip install jinja2, or one of the extras fastapi, flask and django."
    ) from missing

TEMPLATES: Final = Path(__file__).parent / "templates"


def render(view: View) -> str:
    """Return the page for a view."""
    texts = _texts()[view.language]
    purpose = view.purpose if view.purpose in texts["title"] else "other"
    is_gone = view.step == "code" and view.challenge is None and view.error != "store_unavailable"
    title = texts["title"][purpose]
    return _template().render(
        view=view,
        t=texts,
        purpose=purpose,
        title=title,
        heading=title if view.step == "phone" else texts["gone_title" if is_gone else "code_title"],
        problem=texts["stale"] if view.problem == "stale" else view.problem,
        is_gone=is_gone,
        phone=spaced(view.phone, view.regions),
        other="en" if view.language == "zh" else "zh",
        duration=lambda seconds: duration(seconds, texts["units"]),
    )


def spaced(phone: str, regions: Iterable[Region]) -> str:
    """Return an E.164 phone as people read it: its calling code, and the rest in even blocks of up to four digits."""
    calling = next((each.calling_code for each in regions if phone.startswith(each.calling_code)), "")
    rest = phone.removeprefix(calling)
    blocks = math.ceil(len(rest) / 4)
    ends = [len(rest) * block // max(blocks, 1) for block in range(blocks + 1)]
    return " ".join([calling, *(rest[start:end] for start, end in pairwise(ends))]).strip()


def duration(seconds: int, units: list[str]) -> str:
    """Return a time in seconds, minutes or hours, rounded up; `phone.js` does the same."""
    size, unit = (1, units[0]) if seconds < 120 else (60, units[1]) if seconds < 7200 else (3600, units[2])
    return f"{math.ceil(seconds / size)} {unit}"


def _safe_format(text: str, **values: object) -> Markup:
    """Fill a text of ours in: it is HTML, its values are escaped."""
    return Markup(text).format(**values)  # noqa: S704


@cache
def _texts() -> dict[str, Any]:
    texts: dict[str, Any] = json.loads((TEMPLATES / "texts.json").read_text(encoding="utf-8"))
    return texts


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["safe_format"] = _safe_format
    return environment.get_template("phone.html")
