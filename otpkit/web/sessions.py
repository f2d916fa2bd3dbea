"""How far a visitor has come with a purpose, kept in the session of a web framework.

A session is often a signed cookie: the visitor can read it and can send an old one again. So nothing here is a secret
from him, and nothing that counts is kept here: attempts and limits, and whether a proof was redeemed, are the store's.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

_KEY: Final = "otpkit"  # of the session, under which all of it stands, by purpose
_OWN: Final = {"", "same-origin", "none"}  # "" is a browser older than the header, or none

State: TypeAlias = MutableMapping[str, str]


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


def bind_of(state: State) -> str:
    """Return what the visitor's codes are bound to: a random id, made when it is first asked for."""
    return state.setdefault("id", secrets.token_urlsafe(16))


def take_proof(state: State, *, sec_fetch_site: str = "") -> str:
    """Return the token that is kept for `OTP.redeem`, "" where there is none; the visitor begins anew afterwards.

    A token that was taken is still given to a form that comes twice: whether it is redeemed twice is decided by its
    idempotency key. `sec_fetch_site` is the header `Sec-Fetch-Site`, by which browsers say whose page a request is
    from: another site's finds nothing (W3C, Fetch Metadata Request Headers).
    """
    if sec_fetch_site not in _OWN:
        return ""
    token = state.pop("token", "") or state.get("redeemed", "")
    state.pop("phone", None)
    if token:
        state["redeemed"] = token
    return token
