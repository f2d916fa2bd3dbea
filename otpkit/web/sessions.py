"""How far a visitor has come with a purpose, kept in the session of a web framework.

A session is often a signed cookie: the visitor can read it and can send an old one again. So nothing here is a secret
from the visitor, and nothing that counts is kept here: attempts and limits, and whether a proof was redeemed, are the
store's.

A session may also be kept on the server, under an id that a stranger put into the visitor's browser and shares. So a
proof that is kept for `take_proof` is of use only together with a cookie of its own, which is set with the answer to
the right code (`Answer.cookie`): the stranger never sees it. Until then the stranger sees what the visitor's page
shows, such as the number that was typed. Where somebody logs in, the session gets a new id.
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

from otpkit import Proof
from otpkit.errors import Language
from otpkit.languages import languages
from otpkit.web.visitors import preferred_language

_KEY: Final = "otpkit"  # of the session, under which all of it stands, by purpose
_OWN: Final = {"", "same-origin", "none"}  # "" is a browser older than the header, or none

State: TypeAlias = MutableMapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofCookie:
    """The cookie that a kept proof is tied to.

    Set it with the attributes of the session's cookie, `HttpOnly` and `SameSite=Lax`. `max_age` is in seconds.
    """

    name: str
    value: str = field(repr=False)
    max_age: int


def cookie_name(purpose: str) -> str:
    """Return the name of the cookie that a kept proof of a purpose is tied to."""
    return f"otpkit_proof_{quote(purpose, safe='')}"


def cookie_of(proof: Proof) -> ProofCookie:
    """Return the cookie to set where a proof is kept: the same for a form that comes twice, as the proof is."""
    life = (proof.expires_at - proof.verified_at).total_seconds()
    return ProofCookie(name=cookie_name(proof.purpose), value=_cookie_value(proof.token), max_age=math.ceil(life))


def is_tied(token: str, cookie: str | None) -> bool:
    """Return whether a token is the one that a cookie's value was made for; True where `cookie` is None."""
    return cookie is None or secrets.compare_digest(_cookie_value(token).encode(), cookie.encode(errors="replace"))


def _cookie_value(token: str) -> str:
    # Only this server and the browser that typed the code know the token, or what follows from it.
    return hashlib.sha256(f"otpkit proof cookie:{token}".encode()).hexdigest()


@contextmanager
def visit(session: MutableMapping[str, Any], purpose: str) -> Iterator[State]:
    """Give what a session keeps of a purpose; what has changed is put back at the end, also after an error."""
    before = session.get(_KEY, {}).get(purpose, {})
    state = dict(before)
    try:
        yield state
    finally:
        if state != before:
            session[_KEY] = {**session.get(_KEY, {}), purpose: state}


def redeemed(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a session keeps that a form which is sent twice is answered by, and of each page the language."""
    kept = {}
    for purpose, state in session.get(_KEY, {}).items():
        names = {"id", "redeemed", "language"} if "redeemed" in state else {"language"}
        kept[purpose] = {name: value for name, value in state.items() if name in names}
    return {_KEY: kept}


def language_of(session: Mapping[str, Any], purpose: str, accept_language: str) -> Language:
    """Return the language that the visitor chose on the pages of a purpose, or that of their browser."""
    chosen = session.get(_KEY, {}).get(purpose, {}).get("language", "")
    return chosen if chosen in languages() else preferred_language(accept_language)


def bind_of(state: State) -> str:
    """Return what the visitor's codes are bound to: a random id, made when it is first asked for."""
    return state.setdefault("id", secrets.token_urlsafe(16))


def take_proof(state: State, *, sec_fetch_site: str = "", cookie: str | None = None) -> str:
    """Return the token that is kept for `OTP.redeem`, "" where there is none; the visitor begins anew afterwards.

    A token that was taken is still given to a form that comes twice: whether it is redeemed twice is decided by its
    idempotency key.

    Args:
        state: what the session keeps of the purpose.
        sec_fetch_site: the header `Sec-Fetch-Site`, by which browsers say whose page a request is from: another site's
            finds nothing (W3C, Fetch Metadata Request Headers).
        cookie: the value of the request's cookie `cookie_name(purpose)`, "" where there is none: only the browser that
            typed the code finds the token. None leaves that unchecked, which is safe where no two browsers can share a
            session, as with one that is a signed cookie.
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
