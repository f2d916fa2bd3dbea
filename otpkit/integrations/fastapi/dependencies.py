"""The dependencies that endpoints declare: the OTP, and a verified phone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, TypeAlias, cast

from fastapi import Depends, Header, Request

from otpkit import AsyncOTP, ConfigurationError, Proof, TokenError, UsedTokenError
from otpkit.frames import without_locals
from otpkit.integrations.fastapi.bodies import fingerprint_of
from otpkit.integrations.fastapi.deferred import Redeem, check_fields, defer
from otpkit.web import State, bind_of, cookie_name, take_proof, visit
from otpkit.web.sessions import REPLAYED, require_bind

Bind: TypeAlias = Callable[..., str | Awaitable[str]]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
Token = Annotated[str, Header(alias="Phone-Proof", description="The token of a verification.")]
PURPOSE: Final = "otpkit.purpose"  # the key in the scope of a request that redeems


async def get_otp(request: Request) -> AsyncOTP:
    """Return the `AsyncOTP` that `PhoneVerification.install` stored.

    Raises:
        ConfigurationError: nothing was installed.
    """
    otp = getattr(request.app.state, "otpkit", None)
    if not isinstance(otp, AsyncOTP):
        raise ConfigurationError("The application has no OTP.", "Call PhoneVerification(otp).install(app).")
    return otp


Otp = Annotated[AsyncOTP, Depends(get_otp)]


def session_of(request: Request) -> MutableMapping[str, Any]:
    """Return the visitor's session.

    Raises:
        ConfigurationError: the request has no session.
    """
    if "session" not in request.scope:
        raise ConfigurationError(
            "Codes are tied to the session, but this request has no session.",
            (
                "Add starlette.middleware.sessions.SessionMiddleware to the application. If you use no pages, you can "
                "pass your own bind= instead."
            ),
        )
    session: MutableMapping[str, Any] = request.session
    return session


def leave_session(request: Request) -> None:
    """Change the session's id, with starsessions. A stranger who planted the old id is then not logged in too."""
    handler: Any = request.scope.get("session_handler")
    if getattr(handler, "is_loaded", False) and hasattr(handler, "regenerate_id"):
        handler.regenerate_id()


def proof_cookie(request: Request, purpose: str) -> str:
    """Return the value of the cookie that the kept proof is tied to, or "" if there is none."""
    return request.cookies.get(cookie_name(purpose), "")


@cache
def session_bind(purpose: str) -> Callable[[Request], Awaitable[str]]:
    """Return the dependency that ties codes to the session."""

    async def bind(request: Request) -> str:
        with visit(session_of(request), purpose) as state:
            return bind_of(state)

    return bind


def verified_phone(
    purpose: str = "signup", *, bind: Bind | None = None, replay: bool = False
) -> Callable[..., Awaitable[Proof]]:
    """Return a dependency that redeems a proof, only once, and returns it. `proof.phone` is verified.

    ::

        LoginProof = Annotated[Proof, Depends(verified_phone("login"))]

    The token is read from the header `Phone-Proof`, else from the session, where the pages keep it. Pages of other
    sites can't use the session's token.

    The proof is redeemed right before the endpoint runs. If a field or another dependency is refused, the proof stays
    usable for the corrected request. If the endpoint itself refuses, the proof is used up. There are two exceptions: if
    a dependency of yours takes the proof, or the endpoint streams its response, the proof is redeemed once all fields
    are valid, but before the dependencies that come after it.

    A repeated `Idempotency-Key` raises `UsedTokenError` by default, because the client chooses the key and one proof
    must create one account. With `replay=True`, a repeated request reaches the endpoint while the proof lives, if its
    method, URL and body are the same (CSRF tokens aside), and `proof.replayed` is True. Then return the account that
    exists. If it does not exist, because the process or the connection ended before it was created, create it. Put a
    unique constraint on the phone.

    The same arguments return the same dependency, so that tests can use `app.dependency_overrides`.

    Args:
        purpose: the purpose passed to `pages` or `router`.
        bind: the dependency passed to `router`. The token is then read from the header only.
        replay: True to let a repeated request with the same `Idempotency-Key` reach the endpoint.

    Returns:
        The dependency. It raises `TokenError` and `StoreUnavailableError`.
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
    """A request that redeems a proof. Its body may be consumed by the time of the redeem."""

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
    """Refuse an invalid token at once. Call `finish` for any other token once the rest of the request is valid."""

    @without_locals
    async def redeem() -> Proof:
        proof = await finish()
        leave_session(redemption.request)  # `leave_session` copies the session as it is now
        return proof

    try:
        await redemption.otp.check(token, redemption.purpose, bind=bind)
    except TokenError:
        # This raises the same error, or accepts a token of the previous version, which `check` does not.
        return await redeem()
    deferred = defer(redemption.request, dependency, redeem)
    if deferred is not None:
        return cast("Proof", deferred)
    await check_fields(redemption.request)
    return await redeem()


async def _redeem(redemption: _Redemption, token: str, bind: str) -> Proof:
    key, request = redemption.key, redemption.fingerprint
    proof = await redemption.otp.redeem(token, redemption.purpose, bind=bind, idempotency_key=key, request=request)
    if proof.replayed and not redemption.replay:
        raise UsedTokenError(*REPLAYED)
    return proof


VerifiedPhone = Annotated[Proof, Depends(verified_phone())]
