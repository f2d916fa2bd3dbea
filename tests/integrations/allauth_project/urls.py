"""The pages of the project: allauth's, and one that shows the user."""

from __future__ import annotations

from django.conf import settings
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from otpkit.integrations.django.allauth import PhoneAdapter


class DiscreetAdapter(PhoneAdapter):
    discreet = True


def me(request: HttpRequest) -> JsonResponse:
    user = request.user
    if not user.is_authenticated:
        return JsonResponse({})
    return JsonResponse({"phone": user.phone, "verified": user.phone_verified})


def kept(request: HttpRequest) -> JsonResponse:
    """Return the session, which a visitor could read if it were a cookie."""
    return JsonResponse(dict(request.session.items()))


@csrf_exempt
def later(request: HttpRequest) -> HttpResponse:
    """Move otpkit's clock by an hour."""
    settings.OTPKIT["CLOCK"].advance(3600)
    return HttpResponse()


def checks(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ids": sorted({str(each.id) for each in run_checks() if str(each.id).startswith("otpkit.")})})


urlpatterns = [
    path("checks/", checks),
    path("", me),
    path("later/", later),
    path("kept/", kept),
    path("accounts/", include("allauth.urls")),
    path("_allauth/", include("allauth.headless.urls")),
]
