"""The tree of errors: each with its code, its status, its evidence, and words for the person at the form."""

from __future__ import annotations

import copy
import pickle
import re
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

import otpkit
from otpkit import Challenge, ConfigurationError, OTPError, Rate, errors

TREE = {  # class: parent, code, status
    "OTPError": ("Exception", "error", 500),
    "ConfigurationError": ("OTPError", "configuration", 500),
    "PhoneError": ("OTPError", "phone", 422),
    "RegionError": ("PhoneError", "region", 422),
    "RateLimitError": ("OTPError", "rate_limit", 429),
    "BlockedError": ("OTPError", "blocked", 423),
    "RefusedError": ("OTPError", "refused", 403),
    "CaptchaRequiredError": ("OTPError", "captcha_required", 403),
    "CaptchaRejectedError": ("CaptchaRequiredError", "captcha_rejected", 403),
    "CaptchaUnavailableError": ("OTPError", "captcha_unavailable", 503),
    "CodeError": ("OTPError", "code", 422),
    "MalformedCodeError": ("CodeError", "malformed_code", 422),
    "WrongCodeError": ("CodeError", "wrong_code", 422),
    "ExpiredCodeError": ("CodeError", "expired_code", 422),
    "TokenError": ("OTPError", "token", 401),
    "InvalidTokenError": ("TokenError", "invalid_token", 401),
    "ExpiredTokenError": ("TokenError", "expired_token", 401),
    "UsedTokenError": ("TokenError", "used_token", 401),
    "GatewayRejectedError": ("OTPError", "gateway_rejected", 502),
    "StoreUnavailableError": ("OTPError", "store_unavailable", 503),
}
CHALLENGE = Challenge(
    id="id",
    phone="+8613800138000",
    purpose="signup",
    expires_at=datetime(2026, 1, 1, tzinfo=UTC),
    expires_in=300,
    resend_at=datetime(2026, 1, 1, tzinfo=UTC),
    resend_in=60,
    attempts_left=5,
    sends_left=9,
    delivery="accepted",
)
EVIDENCE: dict[str, dict[str, Any]] = {
    "RateLimitError": {"scope": "ip", "rate": Rate(1, 90), "retry_after": 90, "challenge": CHALLENGE},
    "RefusedError": {"reasons": ("risk",)},
    "CaptchaRequiredError": {"provider": "turnstile", "parameters": {"site_key": "k"}, "reasons": ("range",)},
    "CaptchaRejectedError": {"provider": "turnstile", "parameters": {"site_key": "k"}, "reasons": ("region",)},
    "WrongCodeError": {"attempts_left": 3},
    "GatewayRejectedError": {"gateway": "g", "gateway_code": "isv.X", "category": "account", "retry_after": 7},
}


def make(name: str) -> OTPError:
    """Return an error with evidence other than the defaults."""
    kind: type[OTPError] = getattr(errors, name)
    return kind("What was wrong.", "What to do.", **EVIDENCE.get(name, {"retry_after": 5.2}))


def test_there_are_no_other_errors_than_those_of_the_tree() -> None:
    """And all of them are public."""
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert defined == set(TREE)
    assert defined <= set(otpkit.__all__)


@pytest.mark.parametrize("name", TREE)
def test_an_error_has_its_place_its_code_and_its_status(name: str) -> None:
    """As the design draws it; the code is the stable word that clients of an HTTP service switch on."""
    kind = getattr(otpkit, name)
    assert (kind.__bases__[0].__name__, kind.code, kind.status) == TREE[name]
    assert re.fullmatch(r"[a-z_]+", kind.code)


def test_codes_are_each_a_classs_own() -> None:
    """No two can be confused."""
    assert len({code for _, code, _ in TREE.values()}) == len(TREE)


def test_the_tree_is_drawn_at_the_top_of_the_file() -> None:
    """With every class in it."""
    drawing = (errors.__doc__ or "").partition("``str(error)``")[0]
    assert re.findall(r"[A-Z]\w+Error", drawing) == list(TREE)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", TREE)
def test_a_message_is_a_sentence_for_the_person_at_the_form(name: str, lang: Any) -> None:
    """In both languages, with nothing left to fill in."""
    for error in (make(name), getattr(errors, name)()):
        message = error.message(lang)
        assert message.endswith("." if lang == "en" else "。")
        assert not re.search(r"[{}]|None", message)
        assert bool(re.search(r"[\u4e00-\u9fff]", message)) == (lang == "zh")


def test_english_is_spoken_unless_said_and_no_third_language() -> None:
    """A wrong language is the developer's error."""
    error = make("RateLimitError")
    assert error.message() == error.message("en")
    with pytest.raises(ConfigurationError) as caught:
        error.message("fr")
    assert "'fr'" in caught.value.problem
    assert caught.value.remedy == "Choose one of 'en', 'zh'."


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (0, "1 s", "1 秒"),
        (0.2, "1 s", "1 秒"),
        (60, "60 s", "60 秒"),
        (119, "119 s", "119 秒"),
        (120, "2 min", "2 分钟"),
        (121, "3 min", "3 分钟"),
        (7199, "120 min", "120 分钟"),
        (7200, "2 h", "2 小时"),
        (86_400, "24 h", "24 小时"),
        (172_800, "2 days", "2 天"),
        (172_801, "3 days", "3 天"),
    ],
)
def test_a_wait_is_told_in_one_unit_and_never_too_short(seconds: float, en: str, zh: str) -> None:
    """Rounded up: who waits that long is not refused again. No number needs a plural form."""
    for error in (errors.RateLimitError(retry_after=seconds), errors.GatewayRejectedError(retry_after=seconds)):
        assert error.message("en").endswith(f"You can try again in {en}.")
        assert error.message("zh").endswith(f"请 {zh}后再试。")


def test_message_without_wait_says_later() -> None:
    """Where nobody knows how long it takes."""
    for error in (errors.RateLimitError(), errors.GatewayRejectedError()):
        assert error.message("en").endswith("Please try again later.")
        assert error.message("zh").endswith("请稍后再试。")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((), ""),
        (("One text.",), "One text."),
        (("A problem.", "A remedy."), "A problem. A remedy."),
        (("No stop", "A remedy."), "No stop. A remedy."),
        (("", "A remedy."), "A remedy."),
    ],
)
def test_text_joins_problem_and_remedy(given: tuple[str, ...], text: str) -> None:
    """Whoever gives one text alone has told the problem."""
    error = OTPError(*given)
    assert str(error) == text
    assert (error.problem, error.remedy) == (*given, "", "")[:2]


@pytest.mark.parametrize(("given", "told"), [(None, None), (-3, 1), (0, 1), (0.001, 1), (1.0, 1), (1.001, 2), (60, 60)])
def test_retry_after_is_whole_seconds_and_at_least_one(given: float | None, told: int | None) -> None:
    """As the HTTP field wants it (RFC 9110 §10.2.3)."""
    error = OTPError(retry_after=given)
    assert error.retry_after == told
    assert error.retry_after is None or type(error.retry_after) is int


COPIERS = {"pickle": lambda error: pickle.loads(pickle.dumps(error)), "copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("copier", list(COPIERS.values()), ids=list(COPIERS))
@pytest.mark.parametrize("name", TREE)
def test_an_error_survives_a_pickle_with_its_evidence(name: str, copier: Any) -> None:
    """A worker process hands it on."""
    error = make(name)
    again = copier(error)
    assert type(again) is type(error)
    assert (again.problem, again.remedy) == ("What was wrong.", "What to do.")
    assert str(again) == str(error) == "What was wrong. What to do."
    assert vars(again) == vars(error)
    assert again.message("zh") == error.message("zh")
    for attribute, value in EVIDENCE.get(name, {"retry_after": 6}).items():
        assert getattr(again, attribute) == value


def test_the_words_for_a_wrong_code_count_the_attempts() -> None:
    """Where there are none they ask for a new code."""
    assert errors.WrongCodeError(attempts_left=3).message("en") == "That code is not right. Attempts left: 3."
    assert errors.WrongCodeError(attempts_left=3).message("zh") == "验证码不正确，还可以尝试 3 次。"
    used_up = errors.WrongCodeError(attempts_left=0)
    assert used_up.message() == "That code is not right, and there are no attempts left. Please request a new one."
    assert used_up.message("zh") == "验证码不正确，尝试次数已用完，请重新获取。"


def test_no_repr_shows_a_phone() -> None:
    """Not even by the challenge that an error carries."""
    error = make("RateLimitError")
    assert "13800138000" not in f"{error!r} {error.challenge!r} {error}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("category", get_args(errors.RejectionCategory))
def test_the_number_alone_is_asked_to_be_checked(category: errors.RejectionCategory) -> None:
    """What the account, the template or the network is to blame for is ours."""
    error = errors.GatewayRejectedError(category=category)
    assert ("check" in error.message("en"), "请检查号码" in error.message("zh")) == (category == "number",) * 2
    assert ("our side" in error.message("en"), "系统原因" in error.message("zh")) == (category != "number",) * 2
