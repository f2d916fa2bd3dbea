"""The headers of a page: what it may load, what others learn of it, and that it is not kept."""

from __future__ import annotations

from collections.abc import Mapping

from otpkit.errors import Language
from otpkit.languages import tag
from otpkit.web.brand import NO_BRAND, Brand
from otpkit.web.captchas import NO_SOURCES


def page_headers(
    language: Language,
    nonce: str,
    retry_after: int,
    brand: Brand = NO_BRAND,
    csp: Mapping[str, tuple[str, ...]] = NO_SOURCES,
) -> dict[str, str]:
    """Return a page's headers: what the page may load, and that it must not be cached.

    Args:
        language: the language of the page.
        nonce: the nonce of inline scripts and styles.
        retry_after: seconds to wait before the next request; 0 if it need not wait.
        brand: the look of the site.
        csp: more sources of the Content-Security-Policy by directive, such as a captcha's.
    """
    policy = {
        "default-src": ("'none'",),
        "style-src": (f"'nonce-{nonce}'",),
        "script-src": (f"'nonce-{nonce}'",),
        "img-src": ("data:", *([brand.logo_source] if brand.logo_source else ())),
        "form-action": ("'self'",),
        "base-uri": ("'none'",),
        "frame-ancestors": ("'self'",),
    }
    has_provider = any("://" in source for sources in csp.values() for source in sources)
    for directive, sources in csp.items():
        policy[directive] = (*policy.get(directive, ()), *sources)
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Language": tag(language),
        "Content-Security-Policy": "; ".join(f"{name} {' '.join(sources)}" for name, sources in policy.items()),
        "Cache-Control": "no-store",
        # Providers of captchas may check the site by the referrer. Without them, no other site gets it.
        "Referrer-Policy": "strict-origin-when-cross-origin" if has_provider else "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept-Language, Cookie",
    }
    return headers | ({"Retry-After": str(retry_after)} if retry_after else {})
