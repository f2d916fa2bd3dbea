"""Delay a redeem until the rest of the request is known to be valid.

FastAPI solves dependencies before it validates the endpoint's own fields, so no dependency can know if they are valid.
Therefore the endpoint's call is wrapped the first time a route redeems. The wrapper also receives the request. Before
it calls the endpoint, it runs the redeems that wait in the request's scope.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Final, TypeAlias, cast

from anyio import from_thread
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant

from otpkit import Proof

Redeem: TypeAlias = Callable[[], Awaitable[Proof]]

_WAITING: Final = "otpkit.deferred"  # the key in the request's scope
_REQUEST: Final = "otpkit_request"  # the request's argument name, if the endpoint has none
_IS_WRAPPED: Final = "otpkit_redeems"


class Deferred:
    """A placeholder for a proof, until the endpoint is called. It proves nothing and has no phone."""

    __slots__ = ("redeem",)

    def __init__(self, redeem: Redeem) -> None:
        self.redeem = redeem


def defer(request: Request, dependency: Callable[..., Any], redeem: Redeem) -> Deferred | None:
    """Schedule `redeem` to run right before the endpoint. Return the placeholder for its proof.

    Return None if that would be too late: another dependency needs the proof, or the endpoint streams its response.
    """
    dependant = _dependant_of(request)
    if dependant is None or _streams(dependant.call):
        return None
    overrides = getattr(request.app, "dependency_overrides", {})
    own = [_overridden(each, overrides) for each in dependant.dependencies]
    nested = [call for each in own for call in _calls_below(each, overrides)]
    if dependency in nested or dependency not in [each.call for each in own]:
        return None
    if not getattr(dependant.call, _IS_WRAPPED, False):
        _wrap(dependant)
    deferred = Deferred(redeem)
    request.scope.setdefault(_WAITING, []).append(deferred)
    return deferred


def _dependant_of(request: Request) -> Dependant | None:
    """Return the dependency tree that FastAPI solves for the request, or None if this FastAPI stores it elsewhere."""
    route = request.scope.get("route")
    # Set if the route was included from a router.
    included = request.scope.get("fastapi", {}).get("effective_route_context")
    if getattr(included, "original_route", None) is route and included is not None:
        route = included
    found = getattr(route, "dependant", None)
    return found if isinstance(found, Dependant) and found.call is not None else None


def _overridden(dependant: Dependant, overrides: Mapping[Any, Any]) -> Dependant:
    call = overrides.get(dependant.call)
    return dependant if call is None else get_dependant(path=dependant.path or "", call=call)


def _calls_below(dependant: Dependant, overrides: Mapping[Any, Any]) -> Iterator[Any]:
    for each in dependant.dependencies:
        found = _overridden(each, overrides)
        yield found.call
        yield from _calls_below(found, overrides)


def _streams(call: Any) -> bool:
    plain = inspect.unwrap(call)
    return any(
        inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each)
        for each in (plain, getattr(plain, "__call__", None))  # noqa: B004 - an endpoint may be an object with __call__
    )


def _wrap(dependant: Dependant) -> None:
    """Make the endpoint redeem first, for this request and all later ones.

    Sentry wraps `dependant.call` in the same way. FastAPI has already decided whether to run the endpoint in a thread.
    """
    call, own_name = cast("Callable[..., Any]", dependant.call), dependant.request_param_name
    name = dependant.request_param_name = own_name or _REQUEST

    async def redeemed(request: Request | None, values: dict[str, Any]) -> dict[str, Any]:
        waiting = [] if request is None else request.scope.pop(_WAITING, [])
        proofs = {id(each): await each.redeem() for each in waiting}
        return {name: proofs.get(id(value), value) for name, value in values.items()}

    def call_in_thread(request: Request | None, values: dict[str, Any]) -> Any:
        return call(**from_thread.run(redeemed, request, values))

    async def call_async(request: Request | None, values: dict[str, Any]) -> Any:
        return await call(**await redeemed(request, values))

    @wraps(call)
    def endpoint(**values: Any) -> Any:
        # The value is missing if this request was solved before the wrap, with the dependency overridden.
        request = values.get(name) if own_name else values.pop(name, None)
        return (call_async if _is_in_event_loop() else call_in_thread)(request, values)

    setattr(endpoint, _IS_WRAPPED, True)
    dependant.call = endpoint


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
