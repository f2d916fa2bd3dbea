"""A visitor's progress with a purpose, stored in the session of a web framework.

A session is often a signed cookie: the visitor can read it, and can send an old one again. So the session holds no
secrets from the visitor, and nothing that must be counted. Attempts, limits and redeemed proofs are in the store.

A session may also be kept on the server. Then an attacker may have planted its id in the visitor's browser and share
the session (session fixation). Therefore a proof that is kept for `take_proof` works only with a cookie of its own. The
cookie is set with the response to the correct code (`Answer.cookie`), so the attacker never sees it. Until then the
attacker sees what the visitor's page shows, such as the number. After a login, the session gets a new id.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from otpkit import ConfigurationError, Proof
from otpkit.errors import Language
from otpkit.languages import languages
from otpkit.web.visitors import preferred_language

_KEY: Final = "otpkit"  # the session's key that holds the state of all purposes
_OWN: Final = {"", "same-origin", "none"}  # "" is an old browser without the header, or no browser

REPLAYED: Final = (
    "The proof was redeemed by an earlier request with this Idempotency-Key.",
    "Verify the phone again. An endpoint that returns the existing account may accept replays (replay=True).",
)
"""The problem and the remedy of a repeated redeem, where an integration does not accept it."""

State: TypeAlias = MutableMapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofCookie:
    """The cookie that a kept proof is tied to.

    Set it with the attributes of the session's cookie, and with `HttpOnly` and `SameSite=Lax`. `max_age` is in seconds.
    """

    name: str
    value: str = field(repr=False)
    max_age: int


def cookie_name(purpose: str) -> str:
    """Return the name of the cookie that a kept proof is tied to.

    Args:
        purpose: the purpose of the proof.
    """
    return f"otpkit_proof_{quote(purpose, safe='')}"


def cookie_of(proof: Proof) -> ProofCookie:
    """Return the cookie to set with a kept proof. If a form is sent twice, both responses set the same cookie."""
    life = (proof.expires_at - proof.verified_at).total_seconds()
    return ProofCookie(name=cookie_name(proof.purpose), value=_cookie_value(proof.token), max_age=math.ceil(life))


def is_tied(token: str, cookie: str | None) -> bool:
    """Return True if `cookie` is the value for this token, or if `cookie` is None."""
    return cookie is None or secrets.compare_digest(_cookie_value(token).encode(), cookie.encode(errors="replace"))


def _cookie_value(token: str) -> str:
    # Only this server and the browser that sent the code know the token, and so this value.
    return hashlib.sha256(f"otpkit proof cookie:{token}".encode()).hexdigest()


@contextmanager
def visit(session: MutableMapping[str, Any], purpose: str) -> Iterator[State]:
    """Yield the session's state of a purpose. At the end, also after an error, write changes back to the session.

    Args:
        session: the web framework's session of the visitor.
        purpose: the purpose of the codes.
    """
    before = session.get(_KEY, {}).get(purpose, {})
    state = dict(before)
    try:
        yield state
    finally:
        if state != before:
            session[_KEY] = {**session.get(_KEY, {}), purpose: state}


def redeemed(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a session that answer a form sent twice, and the language of each page."""
    kept = {}
    for purpose, state in session.get(_KEY, {}).items():
        names = {"id", "redeemed", "language"} if "redeemed" in state else {"language"}
        kept[purpose] = {name: value for name, value in state.items() if name in names}
    return {_KEY: kept}


def language_of(session: Mapping[str, Any], purpose: str, accept_language: str) -> Language:
    """Return the language that the visitor chose on the pages of a purpose, else the browser's.

    Args:
        session: the web framework's session of the visitor.
        purpose: the purpose of the codes.
        accept_language: the header `Accept-Language`.
    """
    chosen = session.get(_KEY, {}).get(purpose, {}).get("language", "")
    return chosen if chosen in languages() else preferred_language(accept_language)


def bind_of(state: State) -> str:
    """Return the text that the visitor's codes are tied to: a random id, created on first use.

    Args:
        state: the session's state of the purpose.
    """
    return state.setdefault("id", secrets.token_urlsafe(16))


def require_bind(bind: str) -> str:
    """Return the text from the application's own `bind=`.

    Raises:
        ConfigurationError: it is empty, so all visitors would share their challenges.
    """
    if not bind:
        raise ConfigurationError("bind= returned an empty text.", "Return a text that only this visitor knows.")
    return bind


def take_proof(state: State, *, sec_fetch_site: str = "", cookie: str | None = None) -> str:
    """Return the token for `OTP.redeem`, or "" if there is none. The visitor's forms then start again.

    A token that was taken is returned again if the form is sent twice. The idempotency key decides if it can be
    redeemed twice.

    Args:
        state: the session's state of the purpose.
        sec_fetch_site: the header `Sec-Fetch-Site`, in which browsers report the site that caused a request. Requests
            of other sites find no token (W3C, Fetch Metadata Request Headers).
        cookie: the value of the request's cookie `cookie_name(purpose)`, "" if there is none. Only the browser that
            sent the code finds the token. None skips this check, which is safe if two browsers can't share a session,
            as with a signed cookie.
    """
    kept = [state.get(name, "") for name in ("token", "redeemed")]
    token = next((each for each in kept if each and is_tied(each, cookie)), "")
    if not token or sec_fetch_site not in _OWN:
        return ""
    if state.get("token") == token:
        del state["token"]
    state.pop("phone", None)
    state["redeemed"] = token
    return token
