"""The database check finds users that could not log in with their number. Django runs it with its database checks."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django_site import Browser, Site, User, site

from otpkit import normalize


@pytest.fixture
def live() -> Iterator[Site]:
    with site() as found:
        yield found


def found(databases: list[str] | None = ["default"]) -> dict[str, str]:  # noqa: B006 - never changed
    """Return the texts of otpkit's findings by id. Each has a hint."""
    ours = [each for each in run_checks(databases=databases) if str(each.id).startswith("otpkit.")]
    assert all(each.hint for each in ours)
    return {str(each.id): each.msg for each in ours}


def users(*numbers: str) -> list[Any]:
    return [User.objects.create(username=number).pk for number in numbers]


def test_sound_numbers_have_no_findings(live: Site) -> None:
    users("+8613900139009", "+8613900139010", "+85251234567", "")
    assert found() == {}


@pytest.mark.parametrize(
    "number", ["13900139009", "139 0013 9009", "+86 13900139009", "admin", "+861065529988", "+24106031234"]
)
def test_a_number_that_is_not_e164_is_found(live: Site, number: str) -> None:
    users("+8613900139010")
    (key,) = users(number)
    texts = found()
    assert list(texts) == ["otpkit.W005"]
    assert "1 numbers are not E.164" in texts["otpkit.W005"]
    assert texts["otpkit.W005"].endswith(f"primary keys: {key}.")
    assert number not in texts["otpkit.W005"]


def test_a_number_that_stands_twice_is_found_in_any_spelling(live: Site) -> None:
    users("+8613900139010")
    keys = users("13900139009", "+8613900139009", "139 0013 9009")
    texts = found()
    assert list(texts) == ["otpkit.W005", "otpkit.W006"]
    assert "3 rows" in texts["otpkit.W006"]
    assert {str(key) for key in keys} == set(texts["otpkit.W006"].rpartition(": ")[2].rstrip(".").split(", "))


def test_a_number_that_stands_twice_as_e164_is_found(live: Site) -> None:
    """This needs a field that is not unique, which E005 reports."""
    for name in ("a", "b"):
        User.objects.create(username=name, first_name="+8613900139009")
    User.objects.create(username="c", first_name="+8613900139010")
    with override_settings(OTPKIT=live.options(USER_PHONE_FIELD="first_name")):
        texts = found()
    assert "2 rows" in texts["otpkit.W006"]
    assert "otpkit.W005" not in texts


def test_many_findings_are_counted_and_a_few_are_named(live: Site) -> None:
    users(*(f"139{number:08}" for number in range(1_200)))
    assert "1200 numbers" in found()["otpkit.W005"]
    assert found()["otpkit.W005"].endswith(", ….")


def test_it_runs_where_databases_are_checked_alone(live: Site) -> None:
    users("13900139009")
    assert found(None) == {}
    assert found() != {}
    out = StringIO()
    call_command("check", databases=["default"], stdout=out, stderr=out)
    assert "otpkit.W005" in out.getvalue()
    out = StringIO()
    call_command("migrate", skip_checks=False, stdout=out, stderr=out)
    assert "otpkit.W005" in out.getvalue()
    out = StringIO()
    call_command("check", stdout=out, stderr=out)
    assert "otpkit" not in out.getvalue()


def test_a_table_that_is_not_made_yet_is_no_finding(live: Site) -> None:
    with override_settings(OTPKIT=live.options(USER_PHONE_FIELD="username")):
        table = User._meta.db_table
        User._meta.db_table = "not_there"
        try:
            assert found() == {}
        finally:
            User._meta.db_table = table
    assert connection.is_usable()


def test_without_a_login_by_phone_nothing_is_read(live: Site) -> None:
    users("13900139009")
    with override_settings(AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"]):
        assert "otpkit.W005" not in found()


def test_normalized_numbers_log_in(live: Site) -> None:
    """After this remedy of the check, the user can log in."""
    (key,) = users("139 0013 9009")
    page = Browser().verify(live, "/login/", "13900139009")
    assert page.status_code == 403
    user = User.objects.get(pk=key)
    user.username = normalize(user.username)
    user.save()
    assert found() == {}
    live.clock.advance(60)
    assert Browser().verify(live, "/login/", "13900139009").status_code == 302
