"""What an endpoint asks for by its type: the OTP, and a phone that is verified."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, TypeAlias, cast

from fastapi import Depends, Header, Request

from otpkit import AsyncOTP, ConfigurationError, Proof, TokenError, UsedTokenError
from otpkit.frames import without_locals
from otpkit.integrations.fastapi.bodies import fingerprint_of
from otpkit.integrations.fastapi.deferred import Redeem, defer
from otpkit.web import State, bind_of, cookie_name, take_proof, visit

Bind: TypeAlias = Callable[..., str | Awaitable[str]]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
Token = Annotated[str, Header(alias="Phone-Proof", description="The token of a verification.")]
PURPOSE: Final = "otpkit.purpose"  # in the scope of a request that redeems
_REPLAYED = (
    "The proof was redeemed by an earlier request with this Idempotency-Key.",
    "Verify the phone again. An endpoint that returns what exists may take verified_phone(replay=True).",
)


async def get_otp(request: Request) -> AsyncOTP:
    """Give the `AsyncOTP` that was installed."""
    otp = getattr(request.app.state, "otpkit", None)
    if not isinstance(otp, AsyncOTP):
        raise ConfigurationError("The application has no OTP.", "Call PhoneVerification(otp).install(app).")
    return otp


Otp = Annotated[AsyncOTP, Depends(get_otp)]


def session_of(request: Request) -> MutableMapping[str, Any]:
    """Return the visitor's session; raises `ConfigurationError` where there is none."""
    if "session" not in request.scope:
        raise ConfigurationError(
            "Codes are tied to the session, and there is none.",
            (
                "Add starlette.middleware.sessions.SessionMiddleware to the application, or give a bind= of your own "
                "where there are no pages."
            ),
        )
    session: MutableMapping[str, Any] = request.session
    return session


def leave_session(request: Request) -> None:
    """Go on in a session of another id, with starsessions: a stranger who planted this one is not logged in too."""
    handler: Any = request.scope.get("session_handler")
    if getattr(handler, "is_loaded", False) and hasattr(handler, "regenerate_id"):
        handler.regenerate_id()


def proof_cookie(request: Request, purpose: str) -> str:
    """Return the value of the cookie that the kept proof is tied to, "" where there is none."""
    return request.cookies.get(cookie_name(purpose), "")


@cache
def session_bind(purpose: str) -> Callable[[Request], Awaitable[str]]:
    """Return the dependency that ties codes to the session."""

    async def bind(request: Request) -> str:
        with visit(session_of(request), purpose) as state:
            return bind_of(state)

    return bind


def require_bind(given: str) -> str:
    """Return what a `bind=` of the application's gave; raises `ConfigurationError` where it is empty."""
    if not given:  # strangers would share their challenges
        raise ConfigurationError("bind= gave an empty text.", "Have it give what is the visitor's alone.")
    return given


def verified_phone(
    purpose: str = "signup", *, bind: Bind | None = None, replay: bool = False
) -> Callable[..., Awaitable[Proof]]:
    """Return a dependency that redeems a proof, once ever, and gives it: `proof.phone` is verified.

    ::

        LoginProof = Annotated[Proof, Depends(verified_phone("login"))]

    The token is the header `Phone-Proof`, or what the pages kept in the session, which no other site's page can use. It
    is redeemed right before the endpoint runs: a request that is refused for a field or by another dependency leaves it
    for the corrected one. An endpoint that refuses has used it up. A dependency of yours that takes the proof, and an
    endpoint that streams its answer, have it redeemed before the endpoint's fields are read.

    A request that is sent again with its `Idempotency-Key`, while the proof lives, is a `UsedTokenError`: the key is
    the client's, and one proof makes one account. With `replay=True` it reaches the endpoint, if it is the same in
    method, URL and body (a form's token against forgery aside), and `proof.replayed` is True: return the account that
    exists. Where there is none, for the process or the connection ended before it was made, make it; a unique
    constraint on the phone belongs there.

    Args:
        purpose: as given to `pages` or `router`.
        bind: as given to `router`; the token is then the header alone.
        replay: whether a request that is sent again with its `Idempotency-Key` reaches the endpoint.

    The same arguments give the same dependency, for `app.dependency_overrides` in tests. It raises `TokenError`s and
    `StoreUnavailableError`.
    """
    return _kept(purpose, replay) if bind is None else _sent(purpose, bind, replay)


@cache
def _kept(purpose: str, replay: bool) -> Callable[..., Awaitable[Proof]]:
    async def redeem(request: Request, otp: Otp, token: Token = "", key: Key = None) -> Proof:
        redemption = await _Redemption.of(request, otp, key, purpose=purpose, replay=replay)
        return await _redeem_kept(redemption, redeem, token)

    return redeem


@cache
def _sent(purpose: str, bind: Bind, replay: bool) -> Callable[..., Awaitable[Proof]]:
    async def redeem(
        request: Request, otp: Otp, bound: str = Depends(bind), token: Token = "", key: Key = None
    ) -> Proof:
        redemption = await _Redemption.of(request, otp, key, purpose=purpose, replay=replay)
        bound = require_bind(bound)
        return await _redeem_last(redemption, redeem, lambda: _redeem(redemption, token, bound), token, bound)

    return redeem


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Redemption:
    """A request that redeems. Its body may be gone when it does."""

    request: Request
    otp: AsyncOTP
    key: str | None
    fingerprint: str | None
    purpose: str
    replay: bool

    @classmethod
    async def of(cls, request: Request, otp: AsyncOTP, key: str | None, *, purpose: str, replay: bool) -> _Redemption:
        request.scope[PURPOSE] = purpose
        fingerprint = None if key is None else await fingerprint_of(request)
        return cls(request=request, otp=otp, key=key, fingerprint=fingerprint, purpose=purpose, replay=replay)


@without_locals
async def _redeem_kept(redemption: _Redemption, dependency: Callable[..., Any], given: str) -> Proof:
    request, purpose = redemption.request, redemption.purpose
    site, cookie = request.headers.get("sec-fetch-site", ""), proof_cookie(request, purpose)

    def take(state: State) -> str:
        return given or take_proof(state, sec_fetch_site=site, cookie=cookie)

    async def finish() -> Proof:
        with visit(session_of(request), purpose) as state:
            return await _redeem(redemption, take(state), bind_of(state))

    with visit(session_of(request), purpose) as state:
        token, bind = take(dict(state)), bind_of(state)
    return await _redeem_last(redemption, dependency, finish, token, bind)


@without_locals
async def _redeem_last(
    redemption: _Redemption, dependency: Callable[..., Any], finish: Redeem, token: str, bind: str
) -> Proof:
    """Refuse a token that is none; `finish` with one that may be good, once the rest of the request is valid."""

    @without_locals
    async def redeem() -> Proof:
        proof = await finish()
        leave_session(redemption.request)  # with what is kept in it by now
        return proof

    try:
        await redemption.otp.check(token, redemption.purpose, bind=bind)
    except TokenError:
        return await redeem()  # raises the same, or takes a token of the version before, which check does not
    deferred = defer(redemption.request, dependency, redeem)
    return await redeem() if deferred is None else cast("Proof", deferred)


async def _redeem(redemption: _Redemption, token: str, bind: str) -> Proof:
    key, request = redemption.key, redemption.fingerprint
    proof = await redemption.otp.redeem(token, redemption.purpose, bind=bind, idempotency_key=key, request=request)
    if proof.replayed and not redemption.replay:
        raise UsedTokenError(*_REPLAYED)
    return proof


VerifiedPhone = Annotated[Proof, Depends(verified_phone())]
