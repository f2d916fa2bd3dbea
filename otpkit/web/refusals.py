"""Answer an error outside the two forms: with a page that has a link, or with a problem document."""

from __future__ import annotations

import secrets

from otpkit.errors import Language, OTPError
from otpkit.web.brand import NO_BRAND, Brand
from otpkit.web.forms import Answer
from otpkit.web.headers import page_headers
from otpkit.web.problems import MEDIA_TYPE, problem
from otpkit.web.visitors import prefers_html


def refusal(
    error: OTPError,
    language: Language,
    *,
    accept: str,
    verify_url: str = "",
    back_url: str = "",
    brand: Brand = NO_BRAND,
) -> Answer:
    """Return the answer to an error: a page for browsers, a problem document (RFC 9457) for all other clients.

    Args:
        error: the error that a call of the `OTP` raised.
        language: the visitor's language.
        accept: the request's header `Accept`.
        verify_url: the URL of the phone form, to link to if a proof is missing; "" if the site has none.
        back_url: the URL of the page that the visitor was on; "" if it is unknown.
        brand: the look of the site.
    """
    vary = {"Vary": "Accept, Accept-Language, Cookie"}
    if not prefers_html(accept):
        found = problem(error, language)
        return Answer(found.status, {**found.headers, **vary, "Content-Type": MEDIA_TYPE}, found.json().decode())
    from otpkit.web.pages import render_refusal

    nonce = secrets.token_urlsafe(16)
    headers = page_headers(language, nonce, error.retry_after or 0, brand)
    body = render_refusal(error, language, nonce, verify_url=verify_url, back_url=back_url, brand=brand)
    return Answer(error.status, headers | vary, body)
