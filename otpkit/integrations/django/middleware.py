"""What a visitor gets where a view of the site raises an `OTPError`, such as `redeem` without a valid proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import Resolver404, get_resolver, resolve

from otpkit import ConfigurationError, OTPError
from otpkit.integrations.django.conf import language
from otpkit.integrations.django.views import PhoneView
from otpkit.web import back_path, refusal, verify_again


class PhoneErrorMiddleware:
    """Answers an `OTPError` that a view lets through.

    A browser gets a page that leads on: to the page of the purpose where a proof is missing, used or too old, else
    back. All others get a problem document (RFC 9457). A `ConfigurationError` is not the visitor's: it goes on to the
    site's log. The app puts it at the head of `MIDDLEWARE`, unless you name it there, so that it comes after what yours
    do with exceptions.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer as the site does."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the answer for an error of ours, or None."""
        if isinstance(error, ConfigurationError) or not isinstance(error, OTPError):
            return None
        purpose, headers = getattr(request, "otpkit_purpose", "signup"), request.headers
        method, path = request.method or "", request.get_full_path()
        back = back_path(method, path, headers.get("Referer", ""), request.get_host())
        page = _page_of(purpose)
        page = page and request.path.removesuffix(request.path_info) + page  # the site may stand below a prefix
        verify_url = verify_again(page, purpose, back)
        found = refusal(error, language(), accept=headers.get("Accept", ""), verify_url=verify_url, back_url=back)
        return HttpResponse(found.body, status=found.status, headers=dict(found.headers))


def _page_of(purpose: str) -> str:
    """Return the path of a purpose's page in the site, "" where there is none, or it takes an argument."""
    for path in _paths(get_resolver().url_patterns, "/"):
        try:
            view: Any = resolve(path).func
        except Resolver404:
            continue  # a pattern that is not its own path
        kind: Any = getattr(view, "view_class", object)
        if issubclass(kind, PhoneView) and view.view_initkwargs.get("purpose", kind.purpose) == purpose:
            return path
    return ""


def _paths(patterns: Iterable[Any], prefix: str) -> Iterator[str]:
    for each in patterns:
        path = prefix + str(each.pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z")
        if hasattr(each, "url_patterns"):
            yield from _paths(each.url_patterns, path)
        elif issubclass(getattr(each.callback, "view_class", object), PhoneView):
            yield path
