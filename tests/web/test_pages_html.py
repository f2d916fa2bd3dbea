"""The HTML of the forms, without a browser: the text of each state, in both languages."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import phonenumbers
import pytest

from otpkit import Challenge
from otpkit.languages import duration, languages
from otpkit.models import DeliveryState
from otpkit.web import View
from otpkit.web.pages import render, spaced
from otpkit.web.regions import regions_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHALLENGE = Challenge(
    id="c",
    phone="+8613800138000",
    purpose="signup",
    expires_at=NOW + timedelta(seconds=300),
    expires_in=300,
    resend_at=NOW + timedelta(seconds=60),
    resend_in=60,
    attempts_left=5,
    sends_left=4,
    delivery="accepted",
)
VIEW = View(
    purpose="signup",
    step="code",
    language="en",
    url="/signup",
    hidden={"csrf": "a", "key": "b"},
    regions=regions_of({"CN"}),
    region="CN",
    typed="",
    phone="+8613800138000",
    code_length=6,
    attempts=5,
    challenge=CHALLENGE,
    retry_in=60,
    problem="",
    error="",
    nonce="n",
)


def text_of(**changes: Any) -> str:
    """Return the text of a page, without its markup."""
    body = render(dataclasses.replace(VIEW, **changes)).partition("<body>")[2].partition("<script")[0]
    return " ".join(re.sub(r"<[^>]*>", "", body).split())


@pytest.mark.parametrize(
    ("delivery", "en", "zh"),
    [
        ("accepted", "We sent it to +86 138 0013 8000.", "已发送至"),
        ("delivered", "It was delivered to +86 138 0013 8000.", "已送达"),
        ("pending", "It is on its way to +86 138 0013 8000.", "正在发送"),
        ("uncertain", "We don't know if it was sent to +86 138 0013 8000.", "暂时无法确认"),
        ("failed", "It could not be delivered to +86 138 0013 8000.", "未能送达"),
    ],
)
def test_what_became_of_the_message_is_told_honestly(delivery: DeliveryState, en: str, zh: str) -> None:
    challenge = dataclasses.replace(CHALLENGE, delivery=delivery)
    assert en in text_of(challenge=challenge)
    assert zh in text_of(challenge=challenge, language="zh")


@pytest.mark.parametrize(
    ("error", "said"),
    [("wrong_code", "was entered wrongly too many times"), ("", "has expired, was already used, or was")],
)
def test_code_that_is_gone_is_told_why_where_that_is_known(error: str, said: str) -> None:
    """The page also states when a new code is possible, even without a script."""
    shown = text_of(challenge=None, error=error)
    assert f"The code for +86 138 0013 8000 {said}" in shown
    assert "Send a new code You can get a new code in 60 s." in shown


def test_a_store_that_is_away_is_not_called_an_expired_code() -> None:
    away = render(dataclasses.replace(VIEW, challenge=None, error="store_unavailable", problem="Try later."))
    assert 'id="code"' in away
    assert "Send a new code" not in away
    gone = render(dataclasses.replace(VIEW, challenge=None))
    assert 'id="code"' not in gone
    assert "Send a new code" in gone


@pytest.mark.parametrize(("left", "said"), [(5, ""), (4, "Attempts left: 4."), (1, "Attempts left: 1.")])
def test_attempts_are_told_once_there_are_fewer(left: int, said: str) -> None:
    shown = text_of(challenge=dataclasses.replace(CHALLENGE, attempts_left=left))
    assert said in shown
    assert ("left" in shown) == bool(said)


@pytest.mark.parametrize(("error", "is_marked"), [("wrong_code", True), ("expired_code", True), ("rate_limit", False)])
def test_only_what_was_wrong_with_the_code_marks_its_field(error: str, is_marked: bool) -> None:
    page = render(dataclasses.replace(VIEW, error=error, problem="So it is."))
    assert ('aria-invalid="true"' in page) == is_marked
    assert '<p id="problem" role="alert">So it is.</p>' in page


def test_without_a_script_one_may_ask_at_any_time_and_is_told_when_it_helps() -> None:
    page = render(VIEW)
    assert "disabled" not in page.partition("<body>")[2].partition("<script")[0]
    assert "Send again in 60 s" in text_of()
    assert "in 0" not in text_of(retry_in=0)


def test_every_value_is_escaped() -> None:
    evil = '"><i>&'
    page = render(
        dataclasses.replace(VIEW, step="phone", url=evil, typed=evil, problem=evil, hidden={evil: evil}, nonce="n")
    )
    assert evil not in page
    assert "&#34;&gt;&lt;i&gt;&amp;" in page


def test_nothing_is_styled_or_scripted_where_the_policy_forbids_it() -> None:
    for step in ("phone", "code"):
        page = render(dataclasses.replace(VIEW, step=step))  # type: ignore[arg-type]
        assert not re.search(r"<[^>]* (style|on[a-z]+)=", page)
        assert re.findall(r"<(?:style|script)[^>]*>", page) == ['<style nonce="n">', '<script nonce="n">']
        assert "http" not in page  # There is no third party.


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("+8613800138000", "+86 138 0013 8000"),
        ("+85251234567", "+852 5123 4567"),
        ("+12015550123", "+1 201 555 0123"),
        ("+33612345678", "+33 612 345 678"),
        ("", ""),
    ],
)
def test_a_number_is_shown_in_blocks(phone: str, shown: str) -> None:
    assert spaced(phone, regions_of({"CN", "FR", "HK", "US"})) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (121, "3 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (86400, "24 h"),
        (172800, "2 days"),
    ],
)
def test_a_time_is_rounded_up(seconds: int, shown: str) -> None:
    assert duration(seconds, "en") == shown


def test_every_region_that_can_be_allowed_has_its_names_and_its_calling_code() -> None:
    for language in languages():
        for region in regions_of(phonenumbers.SUPPORTED_REGIONS, language):
            assert region.calling_code == f"+{phonenumbers.country_code_for_region(region.code)}"
            assert region.name.isprintable()
            assert region.name != region.code
            assert bool(re.search("[\u4e00-\u9fff]", region.name)) == (language == "zh"), region
            assert "SAR" not in region.name
