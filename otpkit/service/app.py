"""The ASGI application: a Starlette router with one endpoint per path, and the middleware around it."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from hmac import compare_digest
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from otpkit import AsyncOTP, ConfigurationError, OTPError
from otpkit.gateways.base import Push
from otpkit.service.capabilities import Capabilities
from otpkit.service.doors.base import Door, DoorContext
from otpkit.service.keys import KNOWN, ApiKey, Keyring, require_receipts_secret
from otpkit.service.metrics import CONTENT_TYPE, Metrics
from otpkit.service.middleware import ServiceMiddleware, log_fault
from otpkit.service.openapi import document
from otpkit.service.operations import OPERATIONS, Call, Operation
from otpkit.service.parsing import idempotency_key, invalid, read_body, read_json
from otpkit.service.rejected import RejectedKeys
from otpkit.service.responses import Refused, error_response, json_response, problem_response, refused
from otpkit.settings.operators import Operator
from otpkit.web import client_ip, preferred_language
from otpkit.web.schemas import ChallengeRequest, HealthAnswer, SendRequest

_log = logging.getLogger("otpkit.service")

Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    otp: AsyncOTP,
    keys: Iterable[ApiKey],
    *,
    metrics: Metrics | None = None,
    forwarded_hops: int = 0,
    receipts_secret: str | None = None,
    public_url: str | None = None,
    operators: Iterable[Operator] = (),
    doors: Iterable[Door] = (),
    access_log: bool = False,
) -> ASGIApp:
    """Return the service as an ASGI application.

    Args:
        otp: the `AsyncOTP` to serve. Close it where you create it.
        keys: the API keys, with their purposes.
        metrics: the metrics that `otp` was created with (`on_event=metrics.on_event`). With None, only requests are
            counted.
        forwarded_hops: the number of your own proxies that append to the header `X-Forwarded-For`. If a body has no
            `ip`, the visitor's address is read from the header. With 0, the header is ignored. The connection's own
            address is never used: it belongs to your own server, so its limits would lock out the whole site.
        receipts_secret: the secret in the URL that gateways push receipts to. With None, receipts are not accepted.
        public_url: the start of that URL as the gateway knows it. Set it if a proxy changes the URL: Twilio signs it.
        operators: the people who may use the console at `/console`. Without any, there is no console.
        doors: the APIs of other services to offer, such as `otpkit.service.doors.TwilioDoor`.
        access_log: True to log a line of JSON for each request, by the logger `otpkit.access` at the level INFO.

    Returns:
        The application.

    Raises:
        ConfigurationError: a key, a secret, a purpose, an operator or a door is not valid.
    """
    service = _Service(otp, keys, metrics or Metrics(), forwarded_hops, receipts_secret, public_url)
    routes, purposes = list(service.routes()), service.purposes
    for door in doors:
        routes += door.routes(service.door_context)
        purposes |= door.purposes
    if people := tuple(operators):
        routes += console_routes(otp, people, purposes=purposes, forwarded_hops=forwarded_hops, public_url=public_url)
    router = Router(routes, redirect_slashes=False)
    return ServiceMiddleware(router, routes, service.metrics, access_log=access_log, finish=service.finish)


def create_console(
    otp: AsyncOTP,
    operators: Iterable[Operator],
    *,
    purposes: Iterable[str] = (),
    forwarded_hops: int = 0,
    public_url: str | None = None,
) -> ASGIApp:
    """Return the console alone as an ASGI application, at `/console`.

    Args:
        otp: the `AsyncOTP` to show and to act on. Close it where you create it.
        operators: the people who may use it.
        purposes: the purposes whose live codes it shows.
        forwarded_hops: the number of your own proxies that append to the header `X-Forwarded-For`.
        public_url: the start of the console's URL as browsers know it.

    Raises:
        ConfigurationError: the operators are not valid.
    """
    routes = console_routes(otp, operators, purposes=purposes, forwarded_hops=forwarded_hops, public_url=public_url)
    routes.append(Route("/", _Endpoint(_to_console), methods=["GET"]))
    return ServiceMiddleware(Router(routes, redirect_slashes=False), routes, Metrics())


def console_routes(otp: AsyncOTP, operators: Iterable[Operator], **options: Any) -> list[Route]:
    """Return the routes of the console. Its templates are loaded only where there are operators."""
    from otpkit.service.console import Console

    return list(Console(otp, operators, **options).routes())


async def _to_console(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/console", 303)


class _Service:
    def __init__(
        self,
        otp: AsyncOTP,
        keys: Iterable[ApiKey],
        metrics: Metrics,
        forwarded_hops: int,
        receipts_secret: str | None,
        public_url: str | None,
    ) -> None:
        self._otp = otp
        self._capabilities = Capabilities(otp)
        self._keys = Keyring(keys)
        self._rejected = RejectedKeys(otp)
        for purpose in self._keys.purposes:
            self._capabilities.takes(purpose, {})  # Raises if no template fits the purpose.
        self._forwarded_hops = forwarded_hops
        if receipts_secret is not None:
            require_receipts_secret(receipts_secret)
        self._receipts_secret = receipts_secret
        self._public_url = (public_url or "").rstrip("/")
        self.metrics = metrics
        self._document = json.dumps(document(self._capabilities), ensure_ascii=False).encode()

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes of all keys."""
        return self._keys.purposes

    @property
    def door_context(self) -> DoorContext:
        """The parts of the service that a door needs."""
        return DoorContext(
            otp=self._otp,
            capabilities=self._capabilities,
            count_rejected=self._rejected.count,
            url_of=self._host_of,
        )

    async def finish(self) -> None:
        """Write the rejected keys that were counted and not written yet."""
        await self._rejected.finish()

    def routes(self) -> Iterable[Route]:
        """Yield every route."""
        for operation in OPERATIONS:
            yield Route(operation.path, _Endpoint(self._handler(operation)), methods=["POST"])
        for path, handler in (
            ("/healthz", self._live),
            ("/readyz", self._ready),
            ("/metrics", self._metrics),
            ("/openapi.json", self._openapi),
        ):
            yield Route(path, _Endpoint(handler), methods=["GET"])  # HEAD works too: load balancers use it.
        yield Route("/receipts/{secret}/{gateway}", _Endpoint(self._receive), methods=["POST"])

    def _handler(self, operation: Operation) -> Handler:
        fields = operation.body.model_fields
        sends, takes_ip = "channel" in fields, "ip" in fields

        async def handle(request: Request) -> Response:
            key = self._key_of(request)
            if operation.for_operators and not key.operator:
                raise refused(403, "forbidden", "Not an operator", "This API key is not an operator's.")
            body: Any = await read_json(request, operation.body)
            if not operation.for_operators:
                _require_purpose(key, getattr(body, "purpose", None))
            if sends:
                self._check_sendable(body)
                if body.known and not key.known:
                    raise refused(
                        403, "forbidden", "Not trusted", "This API key is not allowed to say that a number is known."
                    )
            ip = (body.ip if takes_ip else None) or self._forwarded_ip(request)
            call = Call(body, ip, idempotency_key(request) if operation.takes_key else None, key.name)
            return await operation.run(self._otp, call)

        return handle

    def _key_of(self, request: Request) -> ApiKey:
        key = self._keys.find(request.headers.get("authorization", ""))
        if key is None:
            if request.headers.get("authorization"):
                self._rejected.count()
            raise refused(
                401,
                "unauthorized",
                "The API key is missing or unknown",
                "Send the header Authorization: Bearer with one of the service's keys.",
                {"WWW-Authenticate": "Bearer"},
            )
        request.scope.setdefault("state", {})[KNOWN] = key.name
        return key

    def _check_sendable(self, body: ChallengeRequest | SendRequest) -> None:
        if body.channel not in self._capabilities.channels:
            raise invalid("#/channel", "No gateway of this service supports this channel.")
        if body.params and not self._capabilities.takes(body.purpose, body.params):
            raise invalid("#/params", "The template does not accept these variables or values.")

    def _forwarded_ip(self, request: Request) -> str | None:
        if not self._forwarded_hops:
            return None
        return client_ip(None, ",".join(request.headers.getlist("x-forwarded-for")), self._forwarded_hops)

    async def _receive(self, request: Request) -> Response:
        given, own = request.path_params["secret"], self._receipts_secret or ""
        if not own or not compare_digest(given.encode("utf-8", "surrogatepass"), own.encode()):
            raise HTTPException(404)
        gateway = request.path_params["gateway"]
        try:
            body = await self._read_push(request, self._capabilities.max_push(gateway))
            push = Push(self._url_of(request), dict(request.headers), body)
            receipts = await self._otp.receive(push, gateway=gateway)
        except ConfigurationError as error:
            _log.warning("Rejected a receipt. Check the URL that is set at the provider. %s", error)
            raise HTTPException(404) from None
        return Response(receipts.body, receipts.status, media_type=receipts.content_type)

    async def _read_push(self, request: Request, most: int) -> bytes:
        try:
            return await read_body(request, most)
        except Refused:
            gateway = request.path_params["gateway"]
            _log.warning("Rejected receipts for the gateway %s: the push has more than %d bytes.", gateway, most)
            raise

    def _host_of(self, request: Request) -> str:
        return self._public_url or f"{request.scope['scheme']}://{request.headers.get('host', '')}"

    def _url_of(self, request: Request) -> str:
        scope, host = request.scope, self._host_of(request)
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        return f"{host}{path}?{query}" if query else f"{host}{path}"

    async def _live(self, request: Request) -> Response:
        return json_response(HealthAnswer, HealthAnswer(status="ok"))

    async def _ready(self, request: Request) -> Response:
        await self._capabilities.ping()
        return json_response(HealthAnswer, HealthAnswer(status="ok"))

    async def _metrics(self, request: Request) -> Response:
        shown = self._keys.readable(self._key_of(request))
        return Response(self.metrics.text(shown), headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    async def _openapi(self, request: Request) -> Response:
        return Response(self._document, media_type="application/json")


def _require_purpose(key: ApiKey, purpose: str | None) -> None:
    """Refuse an API key that does not have a purpose, or that has none if the request is about all purposes."""
    if (purpose is None and not key.purposes) or (purpose is not None and purpose not in key.purposes):
        raise refused(403, "forbidden", "Purpose not allowed", "This API key is not allowed to use the purpose.")


class _Endpoint:
    """A route's ASGI application. It turns every refusal and every otpkit error into a response."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._handler(request)
        except Refused as refusal:
            response = problem_response(refusal.problem)
        except OTPError as error:
            if isinstance(error, ConfigurationError):
                log_fault(error)
            response = error_response(error, preferred_language(request.headers.get("accept-language", "")))
        await response(scope, receive, send)
