"""The catalogues of texts: each language has the same keys and placeholders, and a further language is one file."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from support.secrets import SECRET

import otpkit
from otpkit import errors, languages
from otpkit.testing import Outbox
from otpkit.web import Answer, Asked, PhoneForms, drive, preferred_language
from otpkit.web.pages import render
from otpkit.web.regions import regions_of

WAITING = (errors.RateLimitError, errors.GatewayRejectedError)
FOLDER = Path(str(files("otpkit.languages")))


def read(language: str) -> dict[str, Any]:
    """Return the texts of a language's file."""
    return tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text with its path. The texts of a list have their index."""
    if isinstance(value, str):
        yield path, value
        return
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)  # type: ignore[arg-type]
    for name, each in pairs:
        yield from leaves(each, f"{path}.{name}" if path else str(name))


def placeholders(text: str) -> list[str]:
    """Return the names of a text's placeholders in alphabetical order. Raise ValueError for a single brace."""
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def faults(original: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the paths that are missing, surplus, empty, or have other placeholders than the original."""
    first, second = dict(leaves(original)), dict(leaves(other))
    found = [f"missing: {path}" for path in first.keys() - second.keys()]
    found += [f"surplus: {path}" for path in second.keys() - first.keys()]
    for path in first.keys() & second.keys():
        if placeholders(first[path]) != placeholders(second[path]):
            found.append(f"placeholders: {path}")
        if not second[path]:
            found.append(f"empty: {path}")
    return sorted(found)


@pytest.mark.parametrize("language", languages.languages())
def test_language_has_every_text_and_placeholder(language: str) -> None:
    """English is the original."""
    assert faults(read("en"), read(language)) == []


def _without_key(texts: dict[str, Any]) -> None:
    del texts["pages"]["sent"]["failed"]


def _with_key(texts: dict[str, Any]) -> None:
    texts["errors"]["tea"] = "茶"


def _without_placeholder(texts: dict[str, Any]) -> None:
    texts["errors"]["rate_limit_wait"] = "请稍后再试。"


def _other_placeholder(texts: dict[str, Any]) -> None:
    texts["pages"]["gone"] = "{number}"


def _shorter_list(texts: dict[str, Any]) -> None:
    del texts["units"][3]


def _without_region(texts: dict[str, Any]) -> None:
    del texts["regions"]["HK"]


def _empty(texts: dict[str, Any]) -> None:
    texts["demo"]["title"] = ""


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (_without_key, "missing: pages.sent.failed"),
        (_with_key, "surplus: errors.tea"),
        (_without_placeholder, "placeholders: errors.rate_limit_wait"),
        (_other_placeholder, "placeholders: pages.gone"),
        (_shorter_list, "missing: units.3"),
        (_without_region, "missing: regions.HK"),
        (_empty, "empty: demo.title"),
    ],
)
def test_check_finds_spoilt_catalogue(spoil: Callable[[dict[str, Any]], None], fault: str) -> None:
    """The check above can fail."""
    texts = copy.deepcopy(read("zh"))
    spoil(texts)
    assert faults(read("en"), texts) == [fault]


def test_every_error_has_its_text() -> None:
    """This holds for any evidence, and no text is unused."""
    used = {"or", "fields", "code_refused"}  # The conjunction, and errors of the integrations.
    for kind in [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.OTPError)
    ]:
        used |= {kind()._key(), *([kind(retry_after=5)._key()] if kind in WAITING else [])}
    used |= {errors.PhoneError(kind=kind)._key() for kind in ("landline", "unknown")}
    used |= {errors.RegionError(served=("+86",))._key(), errors.WrongCodeError(attempts_left=1)._key()}
    used |= {errors.GatewayRejectedError(category="number")._key()}
    used |= {errors.RateLimitError(scope="budget", retry_after=wait)._key() for wait in (None, 5)}
    assert used == set(read("en")["errors"])


def test_texts_are_read_when_first_needed() -> None:
    """`import otpkit` reads no file. The first message reads only the file of its language."""
    script = (
        "import otpkit, otpkit.languages as l; before = l.texts.cache_info().currsize;"
        "otpkit.OTPError().message('zh'); print(before, l.texts.cache_info().currsize)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.split() == ["0", "1"]


@pytest.fixture
def third_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Add a language as one file: English in capitals, with unchanged placeholders."""

    def shout(match: re.Match[str]) -> str:
        return re.sub(r"[^{}]+(?![^{]*\})", lambda text: text[0].upper(), match[0])

    for path in FOLDER.glob("*.toml"):
        shutil.copy(path, tmp_path)
    text = (tmp_path / "en.toml").read_text(encoding="utf-8")
    text = re.sub(r'(?<= = )".*"|(?<= = )\[.*\]', shout, text).replace('tag = "EN"', 'tag = "xx-XX"')
    (tmp_path / "xx.toml").write_text(text.replace('name = "ENGLISH"', 'name = "Xish"'), encoding="utf-8")
    monkeypatch.setattr(languages, "files", lambda _: tmp_path)
    _forget()
    yield "xx"
    monkeypatch.undo()
    _forget()


def answer(flow: Any) -> Answer:
    """Return the result of a page flow."""
    with otpkit.OTP("memory://", Outbox(), otpkit.Template("SMS_1", "otpkit"), SECRET) as otp:
        found: Answer = drive(flow, otp)
    return found


def _forget() -> None:
    languages.languages.cache_clear()
    languages.texts.cache_clear()


def test_third_language_has_messages(third_language: str) -> None:
    """The error for an unknown language lists it."""
    assert faults(read("en"), languages.texts(third_language)) == []
    assert (
        otpkit.ExpiredCodeError().message(third_language) == "THIS CODE IS NO LONGER VALID. PLEASE REQUEST A NEW ONE."
    )
    waiting = otpkit.RateLimitError(retry_after=60).message(third_language)
    assert waiting == "TOO MANY REQUESTS. YOU CAN TRY AGAIN IN 60 S."
    with pytest.raises(otpkit.ConfigurationError) as caught:
        otpkit.OTPError().message("yy")
    assert caught.value.remedy == "Choose one of 'en', 'xx', 'zh'."


@pytest.mark.parametrize("header", ["xx", "XX-yy", "fr, xx;q=0.5, en;q=0.4"])
def test_third_language_is_offered_to_browsers(third_language: str, header: str) -> None:
    """They get it by `Accept-Language`, and by the links on the page."""
    assert preferred_language(header) == third_language
    forms = PhoneForms("signup", otpkit.Policy(), render)
    page = answer(forms.show({}, Asked(url="/signup", accept_language=header)))
    assert page.headers["Content-Language"] == "xx-XX"
    assert '<html lang="xx-XX">' in page.body
    assert "SEND CODE" in page.body
    links = re.findall(r'href="/signup\?lang=(\w+)" lang="([\w-]+)" hreflang="([\w-]+)">([^<]*)<', page.body)
    assert links == [("en", "en", "en", "English"), ("zh", "zh-CN", "zh-CN", "中文")]


def test_third_language_can_be_chosen(third_language: str) -> None:
    """The visitor chooses it on a page in another language."""
    forms, state = PhoneForms("signup", otpkit.Policy(), render), {}  # type: ignore[var-annotated]
    assert answer(forms.show(state, Asked(url="/signup", language=third_language))).status == 303
    page = answer(forms.show(state, Asked(url="/signup", accept_language="en")))
    assert page.headers["Content-Language"] == "xx-XX"


def test_application_text_falls_back_to_english(third_language: str) -> None:
    """The application has its own sentence in two languages only."""
    forms = PhoneForms("signup", otpkit.Policy(), render)
    told = {"en": "No account.", "zh": "没有账号。"}
    for header, text in {"xx": "No account.", "zh": "没有账号。"}.items():
        page = answer(forms.refuse({}, Asked(url="/signup", accept_language=header), told))
        assert text in page.body


def test_longer_tag_wins(third_language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a regional language takes precedence over the file of the language."""
    monkeypatch.setattr("otpkit.web.visitors.languages", lambda: ("en", "xx", "xx-yy"))
    assert preferred_language("xx-YY-zz") == "xx-yy"
    assert preferred_language("xx-AA") == "xx"


def test_region_without_name_shows_its_code() -> None:
    """It comes after the regions with a name, which are in the language's own order."""
    assert [region.name for region in regions_of({"CN", "AL", "Q1"}, "zh")] == ["阿尔巴尼亚", "中国", "Q1"]
