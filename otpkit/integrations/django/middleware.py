"""Middleware that handles an `OTPError` from a view of the site, such as from `redeem` without a valid proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import Resolver404, get_resolver, resolve

from otpkit import ConfigurationError, OTPError
from otpkit.integrations.django.conf import brand, language
from otpkit.integrations.django.views import PhoneView
from otpkit.web import back_path, language_of, refusal, verify_again


class PhoneErrorMiddleware:
    """Middleware that handles an `OTPError` that a view does not catch.

    A browser gets a page with a link: to the page of the purpose if a proof is missing, used or too old, else back.
    Other clients get a problem document (RFC 9457). A `ConfigurationError` is not the visitor's fault, so Django
    handles and logs it. The app adds this middleware as the first of `MIDDLEWARE`, unless you list it yourself. Django
    runs exception handlers in reverse order, so your own middleware sees the exception first.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Call the next middleware or the view."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the response to an `OTPError`, or None for other errors and for a `ConfigurationError`."""
        if isinstance(error, ConfigurationError) or not isinstance(error, OTPError):
            return None
        purpose, headers = getattr(request, "otpkit_purpose", "signup"), request.headers
        method, path = request.method or "", request.get_full_path()
        back = back_path(method, path, headers.get("Referer", ""), request.get_host())
        page = _page_of(purpose)
        page = page and request.path.removesuffix(request.path_info) + page  # The site may be served below a prefix.
        verify_url = verify_again(page, purpose, back)
        accept, spoken = headers.get("Accept", ""), language_of(getattr(request, "session", {}), purpose, language())
        found = refusal(error, spoken, accept=accept, verify_url=verify_url, back_url=back, brand=brand())
        return HttpResponse(found.body, status=found.status, headers=dict(found.headers))


def _page_of(purpose: str) -> str:
    """Return the path of a purpose's page, or "" if the site has none or the path takes an argument."""
    for path in _paths(get_resolver().url_patterns, "/"):
        try:
            view: Any = resolve(path).func
        except Resolver404:
            continue  # The pattern is a regular expression, not a plain path.
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
