"""The HTML of the forms: one template for all languages, and nothing from third parties.

`templates/` holds the page, its style and its script. `otpkit/languages` holds the texts. To use your own pages, copy
that folder and this file, and pass your `render`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

from otpkit.errors import ConfigurationError, Language, OTPError, TokenError
from otpkit.languages import duration, languages, tag, texts
from otpkit.web.brand import NO_BRAND, Brand
from otpkit.web.forms import View
from otpkit.web.regions import Region

try:
    import jinja2
    from markupsafe import Markup
except ImportError as missing:
    raise ConfigurationError(
        "The pages need jinja2.", "Run: pip install jinja2, or one of the extras fastapi, flask and django."
    ) from missing

NO_EXAMPLES: Final[Mapping[str, str]] = MappingProxyType({})
TEMPLATES: Final = Path(__file__).parent / "templates"
_SCRIPT_TEXTS: Final = ("done", "waiting", "first", "expired", "failed")
_WIDGETS: Final = frozenset({"turnstile", "hcaptcha", "recaptcha", "aliyun-captcha", "tencent-captcha", "geetest"})
"""The captchas that captcha.js can show, beside the proof of work. Any other is a field for an answer."""


def render(view: View, *, examples: Mapping[str, str] = NO_EXAMPLES) -> str:
    """Return the HTML of a view.

    Args:
        view: the content of the page.
        examples: an example of a number by region code, as its people write it, to show below the field.
    """
    t = texts(view.language)["pages"]
    purpose = view.purpose if view.purpose in t["title"] else "other"
    is_code, is_blocked = view.step == "code", view.step == "code" and view.error == "blocked"
    is_gone = is_blocked or (is_code and view.challenge is None and view.error != "store_unavailable")
    title = t["title"][purpose]
    kind = _captcha_kind(view)
    asked = kind and view.error == "captcha_required"  # The next step, and no fault of the visitor's.
    words = {"stale": t["stale"], "too_long": t["too_long"], "switched": t["switched"][view.step]}
    problem = "" if asked else words.get(view.problem, view.problem)
    return _template("phone.html").render(
        view=view,
        examples=examples,
        brand=view.brand,
        t=t,
        tag=tag(view.language),
        units=texts(view.language)["units"],
        others=[(each, tag(each), texts(each)["name"]) for each in languages() if each != view.language],
        purpose=purpose,
        title=title,
        heading=t[_heading(is_gone, is_blocked)] if is_code else title,
        problem=problem,
        notice=t["captcha"]["needed"][kind] if asked else t[view.notice] if view.notice and not is_gone else "",
        captcha_kind=kind,
        captcha_json=json.dumps(view.captcha.parameters) if view.captcha else "",
        captcha_texts=json.dumps({name: t["captcha"][name] for name in _SCRIPT_TEXTS}, ensure_ascii=False),
        is_gone=is_gone,
        is_blocked=is_blocked,
        query=urlencode({"next": view.next}) if view.next else "",
        phone=spaced(view.phone, view.regions),
        duration=lambda seconds: duration(seconds, view.language),
    )


def render_refusal(
    error: OTPError, language: Language, nonce: str, *, verify_url: str, back_url: str, brand: Brand = NO_BRAND
) -> str:
    """Return the HTML for an error outside the forms: the problem, and a link to the phone form or back."""
    t, is_token = texts(language)["pages"], isinstance(error, TokenError)
    return _template("refused.html").render(
        t=t,
        tag=tag(language),
        title=t["refused"]["token" if is_token else "other"],
        brand=brand,
        problem=error.message(language),
        nonce=nonce,
        verify_url=verify_url if is_token else "",
        back_url=back_url,
    )


def _captcha_kind(view: View) -> str:
    if view.captcha is None:
        return ""
    if view.captcha.provider == "proof-of-work":
        return "work"
    return "widget" if view.captcha.provider in _WIDGETS else "field"


def _heading(is_gone: bool, is_blocked: bool) -> str:
    return "blocked_title" if is_blocked else "gone_title" if is_gone else "code_title"


def spaced(phone: str, regions: Iterable[Region]) -> str:
    """Return an E.164 phone in a readable form: its calling code, then even blocks of up to four digits."""
    calling = next((each.calling_code for each in regions if phone.startswith(each.calling_code)), "")
    rest = phone.removeprefix(calling)
    blocks = math.ceil(len(rest) / 4)
    ends = [len(rest) * block // max(blocks, 1) for block in range(blocks + 1)]
    return " ".join([calling, *(rest[start:end] for start, end in pairwise(ends))]).strip()


def safe_format(text: str, **values: object) -> Markup:
    """Fill in one of otpkit's own texts. The text is HTML; the values are escaped."""
    return Markup(text).format(**values)  # noqa: S704


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["safe_format"] = safe_format
    return environment.get_template(name)
