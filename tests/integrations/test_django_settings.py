"""The setting `OTPKIT`, and the system checks. Each check is triggered once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import override_settings
from django.urls import include, path
from django_site import PHONE, SECRET, Site, site

from otpkit import OTP, ConfigurationError, Template
from otpkit.integrations.django import get_otp
from otpkit.integrations.django.conf import forwarded_hops, user_phone_field
from otpkit.integrations.django.views import LoginView, SignupView
from otpkit.testing import Outbox

outbox = Outbox()
otp = OTP("memory://", outbox, Template("SMS_1", "otpkit"), SECRET)
events: list[str] = []


def make_otp() -> OTP:
    return OTP("memory://", outbox, Template("SMS_2", "otpkit"), SECRET)


def listen(event: Any) -> None:
    events.append(event.name)


@pytest.fixture
def live() -> Iterator[Site]:
    with site() as live:
        yield live


def test_it_leads_to_an_otp(live: Site) -> None:
    with override_settings(OTPKIT={"OTP": f"{__name__}.otp"}):
        assert get_otp() is otp
    with override_settings(OTPKIT={"OTP": otp}):
        assert get_otp() is otp


def test_it_leads_to_a_function_that_makes_one_otp(live: Site) -> None:
    with override_settings(OTPKIT={"OTP": f"{__name__}.make_otp"}):
        assert get_otp() is get_otp()
        assert get_otp() is not otp


def test_it_holds_the_arguments_of_otp(live: Site) -> None:
    paths = {"GATEWAY": f"{__name__}.outbox", "ON_EVENT": f"{__name__}.listen"}
    with override_settings(OTPKIT=live.options(**paths)):
        get_otp().issue(PHONE)
    assert outbox[-1].phone == PHONE
    assert events == ["sent", "issued"]


def test_what_it_lacks_is_read_from_the_environment(live: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    given = live.options()
    del given["SECRET"], given["REDIS"]
    monkeypatch.setenv("OTPKIT_SECRET", SECRET)
    monkeypatch.delenv("OTPKIT_REDIS_URL", raising=False)
    with override_settings(OTPKIT=given):
        with pytest.raises(ConfigurationError, match="OTPKIT_REDIS_URL is missing"):
            get_otp()
        monkeypatch.setenv("OTPKIT_REDIS_URL", "memory://")
        assert get_otp().issue(PHONE).delivery == "accepted"


def test_without_it_all_is_read_from_the_environment(live: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings():
        del settings.OTPKIT
        for name, value in {
            "REDIS_URL": "memory://",
            "SECRET": SECRET,
            "GATEWAY": "console",
            "DEVELOPMENT": "1",
            "TEMPLATE_CODE": "SMS_1",
            "TEMPLATE_SIGN_NAME": "otpkit",
        }.items():
            monkeypatch.setenv(f"OTPKIT_{name}", value)
        assert isinstance(get_otp(), OTP)
        assert (forwarded_hops(), user_phone_field()) == (0, "phone")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"REDIS_URL": "memory://"}, r"no option 'REDIS_URL'\. Use one of its options: BRAND, BUDGETS, CLOCK"),
        ({1: 2}, r"no option 1\."),
        (["OTP"], "is not a dict"),
        (None, "is not a dict"),
        ({"OTP": "nowhere.at.all"}, r"OTPKIT\['OTP'\] can't be imported"),
        ({"OTP": "no path"}, r"OTPKIT\['OTP'\] can't be imported"),
        ({"GATEWAY": "nowhere.at.all"}, r"OTPKIT\['GATEWAY'\] can't be imported"),
        ({"OTP": f"{__name__}.SECRET"}, "refers to an object of type str"),
        ({"OTP": otp, "REDIS": "memory://"}, r"has both OTP and arguments of OTP \(REDIS\)"),
        ({"SECRET": "short"}, "secret must be at least 32"),
        ({"FORWARDED_HOPS": -1}, "FORWARDED_HOPS.*whole number"),
        ({"FORWARDED_HOPS": True}, "FORWARDED_HOPS.*whole number"),
        ({"FORWARDED_HOPS": "1"}, "FORWARDED_HOPS.*whole number"),
        ({"USER_PHONE_FIELD": ""}, "USER_PHONE_FIELD.*name of a field"),
        ({"USER_PHONE_FIELD": 3}, "USER_PHONE_FIELD.*name of a field"),
    ],
)
def test_what_it_should_not_hold_is_refused_with_the_remedy(live: Site, given: Any, says: str) -> None:
    if isinstance(given, dict):
        given = ({"USER_PHONE_FIELD": "username"} if "OTP" in given else live.options()) | given
    with override_settings(OTPKIT=given):
        with pytest.raises(ConfigurationError, match=says):
            get_otp() and forwarded_hops() == 0 and user_phone_field()
        assert list(found()) == ["otpkit.E001"]


def test_threads_share_one_otp(live: Site) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert len({id(each.result()) for each in [threads.submit(get_otp) for _ in range(64)]}) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # The warning is about forks while threads run.
def test_it_can_be_used_after_a_fork(live: Site, valkey_url: str, namespace: str) -> None:
    with override_settings(OTPKIT=live.options(REDIS=valkey_url, NAMESPACE=namespace)):
        get_otp().issue(PHONE)
        child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if get_otp().status(PHONE) else 1
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert get_otp().status(PHONE)


def test_another_setting_makes_another_otp(live: Site) -> None:
    first = get_otp()
    with override_settings(OTPKIT=live.options()):
        assert get_otp() is not first
    with override_settings(LANGUAGE_CODE="zh-hans"):
        assert get_otp() is get_otp()


# The system checks


def found(**options: Any) -> dict[str, str]:
    """Return the texts of otpkit's findings by id. Each has a hint."""
    ours = [each for each in run_checks(**options) if str(each.id).startswith("otpkit.")]
    assert all(each.hint for each in ours)
    return {str(each.id): each.msg for each in ours}


def test_a_sound_site_has_no_findings_of_djangos_either(live: Site) -> None:
    assert run_checks() == []
    with override_settings(SESSION_COOKIE_SECURE=True):
        assert found(include_deployment_checks=True) == {}


def test_there_is_nothing_to_migrate(live: Site) -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


def test_an_otp_that_cant_be_built_is_told_in_its_own_words(live: Site) -> None:
    with override_settings(OTPKIT=live.options(SECRET="short")):
        assert found()["otpkit.E001"].startswith("secret must be at least 32 random bytes")


@pytest.mark.parametrize("secret", [settings.SECRET_KEY, [SECRET, settings.SECRET_KEY]])
def test_a_secret_that_is_djangos_too_is_told(live: Site, secret: Any) -> None:
    with override_settings(OTPKIT=live.options(SECRET=secret, INDEX_SECRET=SECRET)):
        assert list(found()) == ["otpkit.W001"]


def test_a_missing_middleware_is_told(live: Site) -> None:
    middleware = [name for name in settings.MIDDLEWARE if "session" not in name and "Csrf" not in name]
    with override_settings(MIDDLEWARE=middleware):
        assert list(found()) == ["otpkit.E002", "otpkit.W002"]


WITH_LOGIN = (path("inner/", include([path("login/", LoginView.as_view())])),)
WITHOUT_LOGIN = (path("signup/", SignupView.as_view()),)


def test_a_login_without_its_backend_is_told(live: Site) -> None:
    backends = ["django.contrib.auth.backends.ModelBackend"]
    with override_settings(AUTHENTICATION_BACKENDS=backends):
        assert list(found()) == ["otpkit.E003"]
        with override_settings(ROOT_URLCONF=WITH_LOGIN):
            assert list(found()) == ["otpkit.E003"]
        with override_settings(ROOT_URLCONF=WITHOUT_LOGIN, OTPKIT=live.options(USER_PHONE_FIELD="x")):
            assert found() == {}


@pytest.mark.parametrize("name", ["nope", "username__x", "groups__nope"])
def test_a_user_without_the_field_is_told(live: Site, name: Any) -> None:
    with override_settings(OTPKIT=live.options(USER_PHONE_FIELD=name)):
        assert list(found()) == ["otpkit.E004"]


def test_a_field_that_is_not_unique_is_told(live: Site) -> None:
    with override_settings(OTPKIT=live.options(USER_PHONE_FIELD="first_name")):
        assert found() == {"otpkit.E005": "User.first_name is not unique, so two users could have the same number."}
    with override_settings(OTPKIT=live.options(USER_PHONE_FIELD="logentry__user__username")):
        assert found() == {}


def test_cookies_that_travel_in_the_open_are_told_before_a_deployment(live: Site) -> None:
    assert list(found(include_deployment_checks=True)) == ["otpkit.W003"]
