"""Delay a redeem until the rest of the request is known to be valid.

FastAPI solves dependencies before it validates the endpoint's own fields, so no dependency can know if they are valid.
Therefore the endpoint's call is wrapped the first time a route redeems. The wrapper also receives the request. Before
it calls the endpoint, it runs the redeems that wait in the request's scope.

A redeem that can't wait, because a dependency needs its proof, runs after FastAPI's own check of all fields.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import wraps
from typing import Any, Final, TypeAlias, cast

from anyio import from_thread
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData, UploadFile

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
    dependant = _dependant_of(_route_of(request))
    if dependant is None or _streams(dependant.call):
        return None
    overrides = _overrides(request)
    own = [_overridden(each, overrides) for each in dependant.dependencies]
    nested = [found.call for each in own for found in _below(each, overrides)]
    if dependency in nested or dependency not in [each.call for each in own]:
        return None
    if not getattr(dependant.call, _IS_WRAPPED, False):
        _wrap(dependant)
    deferred = Deferred(redeem)
    request.scope.setdefault(_WAITING, []).append(deferred)
    return deferred


async def check_fields(request: Request) -> None:
    """Check all fields of the endpoint and its dependencies, before a redeem that can't wait for FastAPI's own check.

    Raises:
        RequestValidationError: a field is not valid.
    """
    route = _route_of(request)
    dependant, embeds = _dependant_of(route), getattr(route, "_embed_body_fields", None)
    if dependant is None or embeds is None:
        return
    body, errors = _body_of(request), []
    places = _places(body.get("body"))
    async with AsyncExitStack() as stack:
        for each in (dependant, *_below(dependant, _overrides(request))):
            fields = Dependant(
                path_params=each.path_params,
                query_params=each.query_params,
                header_params=each.header_params,
                cookie_params=each.cookie_params,
                body_params=each.body_params,
            )
            found = await solve_dependencies(
                request=request, dependant=fields, async_exit_stack=stack, embed_body_fields=embeds, **body
            )
            errors += found.errors
    for file, place in places:  # The check may have read them.
        file.seek(place)
    if errors:
        raise RequestValidationError(errors, **body)


def _body_of(request: Request) -> dict[str, Any]:
    """Return the body as FastAPI has read it, as an argument; {} if there is none. The request keeps what was read."""
    form, raw = getattr(request, "_form", None), getattr(request, "_body", b"")
    if form is not None:
        return {"body": form}
    if hasattr(request, "_json"):
        return {"body": request._json}
    return {"body": raw} if raw else {}


def _places(body: object) -> list[tuple[Any, int]]:
    """Return the files of a form, each with its position."""
    items = body.multi_items() if isinstance(body, FormData) else ()
    return [(each.file, each.file.tell()) for _, each in items if isinstance(each, UploadFile)]


def _route_of(request: Request) -> object:
    """Return the object that has the dependency tree: the route, or what FastAPI made of one of an included router."""
    route = request.scope.get("route")
    included = request.scope.get("fastapi", {}).get("effective_route_context")
    return included if included is not None and getattr(included, "original_route", None) is route else route


def _dependant_of(route: object) -> Dependant | None:
    """Return the dependency tree that FastAPI solves for a request, or None if this FastAPI stores it elsewhere."""
    found = getattr(route, "dependant", None)
    return found if isinstance(found, Dependant) and found.call is not None else None


def _overrides(request: Request) -> Mapping[Any, Any]:
    found: Mapping[Any, Any] = getattr(request.app, "dependency_overrides", {})
    return found


def _overridden(dependant: Dependant, overrides: Mapping[Any, Any]) -> Dependant:
    call = overrides.get(dependant.call)
    return dependant if call is None else get_dependant(path=dependant.path or "", call=call)


def _below(dependant: Dependant, overrides: Mapping[Any, Any]) -> Iterator[Dependant]:
    """Yield all dependencies of a dependency tree, in the order in which FastAPI reaches them."""
    for each in dependant.dependencies:
        found = _overridden(each, overrides)
        yield found
        yield from _below(found, overrides)


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
