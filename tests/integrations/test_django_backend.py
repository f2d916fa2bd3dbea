"""The authentication backend accepts a proof and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import authenticate, load_backend
from django.test import override_settings
from django_site import PHONE, Site, User, site

from otpkit import ConfigurationError, Proof
from otpkit.integrations.django import get_otp

BACKEND = "otpkit.integrations.django.backends.PhoneBackend"


@pytest.fixture
def live() -> Iterator[Site]:
    with site() as live, override_settings(AUTHENTICATION_BACKENDS=[BACKEND]):
        yield live


def backend() -> Any:
    return load_backend(BACKEND)


def proof_of(live: Site, phone: str = PHONE) -> Proof:
    get_otp().issue(phone, "login")
    return get_otp().verify(phone, live.code, "login")


def test_a_proof_is_the_user_with_its_number(live: Site) -> None:
    user = User.objects.create(username=PHONE)
    proof = proof_of(live)
    assert authenticate(None, proof=proof) == user
    assert authenticate(None, proof=proof).backend == BACKEND


def test_a_number_without_a_user_and_an_inactive_user_are_refused(live: Site) -> None:
    assert authenticate(None, proof=proof_of(live)) is None
    User.objects.create(username=PHONE, is_active=False)
    assert authenticate(None, proof=proof_of(live)) is None


@pytest.mark.parametrize(
    "credentials",
    [
        {"username": PHONE},
        {"username": PHONE, "password": "right"},
        {"phone": PHONE},
        {"proof": PHONE},
        {"proof": None},
        {"proof": True},
        {"proof": {"phone": PHONE}},
        {"proof": [PHONE]},
        {},
    ],
)
def test_nothing_but_a_proof_is_let_in(live: Site, credentials: dict[str, Any]) -> None:
    User.objects.create_user(PHONE, password="right")
    assert authenticate(None, **credentials) is None
    # ModelBackend's own `aauthenticate` would accept the password.
    assert async_to_sync(backend().aauthenticate)(None, **credentials) is None


def test_a_proof_is_let_in_when_awaited_too(live: Site) -> None:
    user = User.objects.create(username=PHONE)
    assert async_to_sync(backend().aauthenticate)(None, proof=proof_of(live)) == user


def test_a_number_of_two_users_is_an_error(live: Site) -> None:
    for name in ("a", "b"):
        User.objects.create(username=name, first_name=PHONE)
    with override_settings(OTPKIT=live.options(USER_PHONE_FIELD="first_name")):
        proof = proof_of(live)
        with pytest.raises(ConfigurationError, match="Make that field unique") as refused:
            authenticate(None, proof=proof)
    assert PHONE[-8:] not in str(refused.value)


def test_a_field_that_is_none_is_named(live: Site) -> None:
    with (
        override_settings(OTPKIT=live.options(USER_PHONE_FIELD="nope")),
        pytest.raises(ConfigurationError, match=r"USER_PHONE_FIELD.*nope"),
    ):
        authenticate(None, proof=proof_of(live))
