"""What an endpoint asks for by its type: the OTP, and a phone that is verified."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Header, Request

from otpkit import AsyncOTP, ConfigurationError, Proof
from otpkit.frames import without_locals
from otpkit.web import bind_of, take_proof, visit

Bind: TypeAlias = Callable[..., str | Awaitable[str]]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
Token = Annotated[str, Header(alias="Phone-Proof", description="The token of a verification.")]


async def get_otp(request: Request) -> AsyncOTP:
    """Give the `AsyncOTP` that was installed."""
    otp = getattr(request.app.state, "otpkit", None)
    if not isinstance(otp, AsyncOTP):
        raise ConfigurationError("The application has no OTP: call PhoneVerification(otp).install(app).")
    return otp


Otp = Annotated[AsyncOTP, Depends(get_otp)]


def session_of(request: Request) -> MutableMapping[str, Any]:
    """Return the visitor's session; raises `ConfigurationError` where there is none."""
    if "session" not in request.scope:
        raise ConfigurationError(
            "Codes are tied to the session, and there is none: add starlette.middleware.sessions.SessionMiddleware to "
            "the application, or give a bind= of your own where there are no pages."
        )
    session: MutableMapping[str, Any] = request.session
    return session


@cache
def session_bind(purpose: str) -> Callable[[Request], Awaitable[str]]:
    """Return the dependency that ties codes to the session."""

    async def bind(request: Request) -> str:
        with visit(session_of(request), purpose) as state:
            return bind_of(state)

    return bind


def verified_phone(purpose: str = "signup", *, bind: Bind | None = None) -> Callable[..., Awaitable[Proof]]:
    """Return a dependency that redeems a proof, once ever, and gives it: `proof.phone` is verified.

    ::

        LoginProof = Annotated[Proof, Depends(verified_phone("login"))]

    The token is the header `Phone-Proof`, or what the pages kept in the session, which no other site's page can use. An
    endpoint that refuses has used it up all the same, and so has a body that is refused: FastAPI reads its fields after
    this. With an `Idempotency-Key` the client may send the request again, corrected, while the proof lives; it reaches
    the endpoint each time, so a unique constraint on the phone belongs there.

    Args:
        purpose: as given to `pages` or `router`.
        bind: as given to `router`; the token is then the header alone.

    The same arguments give the same dependency, for `app.dependency_overrides` in tests. It raises `TokenError`s and
    `StoreUnavailableError`.
    """
    return _kept(purpose) if bind is None else _sent(purpose, bind)


@cache
def _kept(purpose: str) -> Callable[..., Awaitable[Proof]]:
    async def redeem(request: Request, otp: Otp, token: Token = "", key: Key = None) -> Proof:
        return await _redeem_kept(request, otp, token, key, purpose)

    return redeem


@without_locals
async def _redeem_kept(request: Request, otp: AsyncOTP, token: str, key: str | None, purpose: str) -> Proof:
    with visit(session_of(request), purpose) as state:
        token = token or take_proof(state, sec_fetch_site=request.headers.get("sec-fetch-site", ""))
        return await otp.redeem(token, purpose, bind=bind_of(state), idempotency_key=key)


@cache
def _sent(purpose: str, bind: Bind) -> Callable[..., Awaitable[Proof]]:
    async def redeem(otp: Otp, bound: str = Depends(bind), token: Token = "", key: Key = None) -> Proof:
        return await otp.redeem(token, purpose, bind=bound, idempotency_key=key)

    return redeem


VerifiedPhone = Annotated[Proof, Depends(verified_phone())]
