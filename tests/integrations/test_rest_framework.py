"""The parts specific to Django REST framework: redeeming in views, replays, and who is logged in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from django.urls import include, path
from django_site import PHONE, Browser, Client, Site, User, site
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import CreateAPIView
from rest_framework.permissions import IsAuthenticated

from otpkit import ConfigurationError, Guard, RiskContext
from otpkit.integrations.django.rest import PhoneCallView, VerifiedPhoneMixin, phone_urls
from otpkit.integrations.django.views import SignupView
from otpkit.testing import PassingCaptcha


class AccountSerializer(VerifiedPhoneMixin, serializers.Serializer[Any]):
    proof_replay = True
    name = serializers.CharField()

    def create(self, validated_data: dict[str, str]) -> Any:
        return {**validated_data, "replayed": self.proof is not None and self.proof.replayed}

    def to_representation(self, instance: Any) -> Any:
        return instance


class CreateAccount(CreateAPIView):
    authentication_classes = ()
    serializer_class = AccountSerializer


def is_own(request: Any, phone: str) -> bool:
    return request.user.is_authenticated and request.user.get_username() == phone


class DeviceView(PhoneCallView):
    discreet = True

    def bind(self, request: Any) -> str:  # type: ignore[override]
        return str(request.headers["Device"])


urlpatterns = [
    path("device/", include(phone_urls("device", view=DeviceView))),
    path("signup/", SignupView.as_view(success_url="/accounts")),
    path("accounts", CreateAccount.as_view()),
    path("api/", include(phone_urls("signup"))),
    path(
        "own/",
        include(
            phone_urls(
                "own",
                known=is_own,
                authentication_classes=(SessionAuthentication,),
                permission_classes=(IsAuthenticated,),
            )
        ),
    ),
]


def judge(context: RiskContext) -> Any:
    return "allow" if context.known or context.purpose != "own" else "captcha"


@pytest.fixture
def shop() -> Iterator[Site]:
    guard = Guard("enforce", PassingCaptcha(), risk=judge)
    with site(GUARD=guard) as shop, override_settings(ROOT_URLCONF=__name__):
        yield shop


def post(client: Client, where: str, body: Any, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client.post(client, where, body, "application/json", headers=named)


def test_proof_of_the_pages_is_redeemed(shop: Site) -> None:
    """The session keeps it, and another site's page can't use it."""
    browser = Browser()
    browser.verify(shop, "/signup/")
    assert post(browser, "/accounts", {"name": "Ada"}, Sec_Fetch_Site="cross-site").status_code == 401
    assert post(browser, "/accounts", {}).status_code == 400
    made = post(browser, "/accounts", {"name": "Ada"})
    assert (made.status_code, made.json()["phone"]) == (201, PHONE)


@pytest.mark.parametrize("form", [False, True], ids=["JSON", "form"])
def test_repeated_request_gets_the_same_proof(shop: Site, form: bool) -> None:
    """Its body must be the same."""
    client = Client()
    post(client, "/api/challenges", {"phone": PHONE})
    token = post(client, "/api/verifications", {"phone": PHONE, "code": shop.code}).json()["token"]

    def create(name: str, key: str) -> Any:
        headers = {"Phone-Proof": token, "Idempotency-Key": key}
        kind = {} if form else {"content_type": "application/json"}
        return client.post("/accounts", {"name": name}, headers=headers, **kind)

    assert [create("Ada", "a").json()["replayed"] for _ in range(2)] == [False, True]
    assert create("Eve", "a").json()["code"] == "used_token"
    assert create("Ada", "b").json()["code"] == "used_token"


def test_known_number_is_that_of_the_user(shop: Site) -> None:
    """The views take authentication and permissions; without a login, they refuse."""
    client = Client()
    assert post(client, "/own/challenges", {"phone": PHONE}).status_code == 403
    client.force_login(User.objects.create_user(PHONE), "django.contrib.auth.backends.ModelBackend")
    other = f"{PHONE[:-1]}1"
    assert post(client, "/own/challenges", {"phone": other}).json()["code"] == "captcha_required"
    assert post(client, "/own/challenges", {"phone": PHONE}).status_code == 202


def test_view_of_a_subclass_keeps_its_attributes(shop: Site) -> None:
    """Arguments that are left out do not replace them."""
    for _ in range(2):  # With discreet, a limit is not shown.
        assert post(Client(), "/device/challenges", {"phone": PHONE}, Device="mine").status_code == 202
    body = {"phone": PHONE, "code": shop.code}
    assert post(Client(), "/device/verifications", body, Device="another").json()["code"] == "wrong_code"
    assert post(Client(), "/device/verifications", body, Device="mine").status_code == 200
    assert post(Client(), "/device/challenges/status", {"phone": PHONE}, Device="mine").status_code == 404


def test_serializer_without_a_request_names_the_remedy(shop: Site) -> None:
    """It could redeem nothing."""
    with pytest.raises(ConfigurationError, match="context="):
        AccountSerializer(data={"name": "Ada"}).is_valid()
