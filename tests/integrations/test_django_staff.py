"""An SMS opens no staff account in any way that leads to a session, and a proof of another purpose does not log in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import BACKEND_SESSION_KEY, aauthenticate, authenticate, load_backend
from django.contrib.auth.signals import user_login_failed
from django.core.checks import run_checks
from django.test import override_settings
from django.urls import include, path
from django_site import PHONE, Browser, Permission, Site, User, hidden, site, urlpatterns

from otpkit import ConfigurationError, Proof
from otpkit.integrations.django import get_otp
from otpkit.integrations.django.conf import allows_staff, login_purposes
from otpkit.integrations.django.views import LoginView

BACKEND = "otpkit.integrations.django.backends.PhoneBackend"
PASSWORDS = "django.contrib.auth.backends.ModelBackend"
STAFF = [{"is_staff": True}, {"is_superuser": True}, {"is_staff": True, "is_superuser": True}]


@pytest.fixture
def live() -> Iterator[Site]:
    with site() as live:
        yield live


@pytest.fixture(params=STAFF, ids="+".join)
def staff(request: pytest.FixtureRequest, live: Site) -> User:
    return User.objects.create(username=PHONE, **request.param)


def proof_of(live: Site, purpose: str = "login", phone: str = PHONE) -> Proof:
    get_otp().issue(phone, purpose)
    return get_otp().verify(phone, live.code, purpose)


def sign_up(live: Site, browser: Browser) -> Any:
    browser.verify(live, "/signup/")
    token = hidden(browser.get("/custom/"))["csrfmiddlewaretoken"]
    return browser.post("/account/", {"csrfmiddlewaretoken": token})


def is_anonymous(browser: Browser) -> bool:
    return bool(browser.get("/home/").content == b"" and browser.get("/admin/").status_code == 302)


# Staff


def test_backend_refuses_staff(live: Site, staff: User) -> None:
    proof = proof_of(live)
    assert authenticate(None, proof=proof) is None
    assert async_to_sync(aauthenticate)(None, proof=proof) is None


def test_login_page_refuses_staff(live: Site, staff: User) -> None:
    browser = Browser()
    assert browser.verify(live, "/login/").status_code == 403
    assert is_anonymous(browser)


def test_signup_view_that_logs_in_refuses_staff(live: Site, staff: User) -> None:
    browser = Browser()
    assert sign_up(live, browser).status_code == 200
    assert is_anonymous(browser)


def test_refusal_looks_like_a_number_without_account(live: Site) -> None:
    """The page does not reveal that the number is an administrator's."""
    User.objects.create(username=PHONE, is_staff=True)
    User.objects.create(username="+8613700137000", is_active=False)
    pages = []
    for phone in (PHONE, "+8613700137000", "+8613700137001"):
        answer = Browser().verify(live, "/login/", phone)
        pages.append((answer.status_code, answer.content.decode().partition("<main>")[2].partition('name="key"')[0]))
    assert "There is no account with this number." in pages[0][1]
    assert len({status for status, _ in pages}) == 1
    assert len({"".join(each for each in text if not each.isdigit())[:400] for _, text in pages}) == 1


def test_staff_session_made_by_sms_ends(live: Site) -> None:
    """A person who joins the staff after a login by SMS must log in again, by something stronger."""
    user = User.objects.create(username=PHONE)
    browser = Browser()
    browser.verify(live, "/login/")
    assert browser.get("/home/").content.decode() == PHONE
    assert browser.session[BACKEND_SESSION_KEY] == BACKEND
    for flags in STAFF:
        User.objects.filter(pk=user.pk).update(**{"is_staff": False, "is_superuser": False} | flags)
        assert is_anonymous(browser)
        assert load_backend(BACKEND).get_user(user.pk) is None
        assert async_to_sync(load_backend(BACKEND).aget_user)(user.pk) is None
    User.objects.filter(pk=user.pk).update(is_staff=False, is_superuser=False)
    assert browser.get("/home/").content.decode() == PHONE


def test_staff_session_made_by_password_stays(live: Site, staff: User) -> None:
    browser = Browser()
    browser.force_login(staff, PASSWORDS)
    assert browser.get("/home/").content.decode() == PHONE
    assert browser.verify(live, "/login/").status_code == 403  # The login is refused, and the session stays the same.
    assert browser.get("/home/").content.decode() == PHONE


def test_setting_allows_staff(live: Site, staff: User) -> None:
    with override_settings(OTPKIT=live.options(LOGIN_STAFF=True)):
        browser = Browser()
        assert browser.verify(live, "/login/").status_code == 302
        assert browser.get("/home/").content.decode() == PHONE
        staff.is_active = False
        staff.save()
        assert is_anonymous(browser)  # The setting does not admit inactive users.


def test_user_model_without_the_flags_is_a_person(live: Site) -> None:
    class Person:
        is_active = True

    assert load_backend(BACKEND).user_can_authenticate(Person())


def test_permissions_alone_do_not_make_staff(live: Site) -> None:
    """Groups and permissions apply to the site's own views. The admin site requires `is_staff`."""
    user = User.objects.create(username=PHONE)
    user.user_permissions.set(Permission.objects.all())
    browser = Browser()
    assert browser.verify(live, "/login/").status_code == 302
    assert browser.get("/admin/").status_code == 302


def test_refusal_is_told_to_signal_and_log(live: Site, staff: User, caplog: pytest.LogCaptureFixture) -> None:
    failed: list[Any] = []

    def receive(credentials: Any, **_: Any) -> None:
        failed.append(credentials)

    user_login_failed.connect(receive)
    try:
        with caplog.at_level(logging.WARNING):
            Browser().verify(live, "/login/")
    finally:
        user_login_failed.disconnect(receive)
    assert [each["proof"].phone for each in failed] == [PHONE]
    (record,) = [each for each in caplog.records if each.name.startswith("otpkit")]
    assert str(staff.pk) in record.getMessage()
    assert PHONE[-8:] not in record.getMessage() + repr(failed)


# Purposes


@pytest.mark.parametrize("purpose", ["payment", "reset", "change number", "Login", "logins"])
def test_proof_of_another_purpose_logs_no_user_in(live: Site, purpose: str) -> None:
    User.objects.create(username=PHONE)
    proof = proof_of(live, purpose)
    assert authenticate(None, proof=proof) is None
    assert async_to_sync(aauthenticate)(None, proof=proof) is None


@pytest.mark.parametrize("purpose", ["login", "signup"])
def test_proof_of_login_and_signup_logs_in(live: Site, purpose: str) -> None:
    user = User.objects.create(username=PHONE)
    assert authenticate(None, proof=proof_of(live, purpose)) == user


@pytest.mark.parametrize("kind", [tuple, list, set, frozenset])
def test_setting_names_the_purposes(live: Site, kind: Any) -> None:
    user = User.objects.create(username=PHONE)
    proofs = {purpose: proof_of(live, purpose) for purpose in ("login", "signup", "app login")}
    with override_settings(OTPKIT=live.options(LOGIN_PURPOSES=kind(["login", "app login"]))):
        found = {purpose: authenticate(None, proof=proof) for purpose, proof in proofs.items()}
    assert found == {"login": user, "signup": None, "app login": user}


# The settings


def findings(**options: Any) -> dict[str, str]:
    ours = [each for each in run_checks(**options) if str(each.id).startswith("otpkit.")]
    assert all(each.hint for each in ours)
    return {str(each.id): each.msg for each in ours}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"LOGIN_STAFF": 1}, "LOGIN_STAFF.*True nor False"),
        ({"LOGIN_STAFF": "yes"}, "LOGIN_STAFF.*True nor False"),
        ({"LOGIN_STAFF": None}, "LOGIN_STAFF.*True nor False"),
        ({"LOGIN_PURPOSES": "login"}, "LOGIN_PURPOSES.*purposes"),
        ({"LOGIN_PURPOSES": None}, "LOGIN_PURPOSES.*purposes"),
        ({"LOGIN_PURPOSES": []}, "LOGIN_PURPOSES.*purposes"),
        ({"LOGIN_PURPOSES": ["login", ""]}, "LOGIN_PURPOSES.*purposes"),
        ({"LOGIN_PURPOSES": ["login", 3]}, "LOGIN_PURPOSES.*purposes"),
        ({"LOGIN_PURPOSES": {"login": True}}, "LOGIN_PURPOSES.*purposes"),
    ],
)
def test_setting_of_another_kind_is_refused(live: Site, given: Any, says: str) -> None:
    with override_settings(OTPKIT=live.options(**given)):
        with pytest.raises(ConfigurationError, match=says):
            (allows_staff(), login_purposes())
        assert "otpkit.E001" in findings()


def test_settings_have_safe_defaults(live: Site) -> None:
    assert allows_staff() is False
    assert login_purposes() == {"login", "signup"}


class QuickLogin(LoginView):
    purpose = "quick login"


@pytest.mark.parametrize("view", [QuickLogin.as_view(), LoginView.as_view(purpose="quick login")])
def test_login_page_of_a_purpose_without_login_is_reported(live: Site, view: Any) -> None:
    with override_settings(ROOT_URLCONF=(path("a/", include([path("b/", view)])), *urlpatterns)):
        assert "quick login" in findings()["otpkit.E006"]
        with override_settings(OTPKIT=live.options(LOGIN_PURPOSES=["login", "quick login"])):
            assert findings() == {}


def test_staff_by_sms_is_told_before_a_deployment(live: Site) -> None:
    with override_settings(OTPKIT=live.options(LOGIN_STAFF=True), SESSION_COOKIE_SECURE=True):
        assert findings() == {}
        assert list(findings(include_deployment_checks=True)) == ["otpkit.W004"]
