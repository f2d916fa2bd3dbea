"""The doors for systems that make their own codes: each hook is a path, to which its system posts what it wants sent.

A request is signed as Standard Webhooks describes it (https://www.standardwebhooks.com), or shows an API key. One that
is repeated sends nothing, and is answered as the first one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from otpkit import AsyncOTP, ConfigurationError, OTPError, normalize
from otpkit.core.addresses import read_address
from otpkit.models import Sent
from otpkit.service.doors.base import DoorContext
from otpkit.service.doors.hook_bodies import read_asked
from otpkit.service.keys import KNOWN, Keyring
from otpkit.service.middleware import log_fault
from otpkit.service.parsing import idempotency_key, invalid, read_body, require_json
from otpkit.service.responses import Refused, error_response, problem_response, refused
from otpkit.settings.hooks import SIGNED, Hook, require_distinct_hooks

_MAX_BODY: Final = 65_536  # bytes; Supabase sends the whole user, with metadata.
_SIGNED_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
_SIGNATURE: Final = re.compile(r"(?<![^ ,])v1,[0-9A-Za-z+/]{43}=(?![^ ,])")  # 32 bytes
_ID: Final = re.compile(r"[!-~]{1,200}")
_REPEATS_THE_BODY: Final = frozenset({"supabase", "kratos"})
"""The systems whose retries have the same body. Supabase's have another `webhook-id`, and Kratos' have none."""


class HookDoor:
    """The door for systems that make their own codes.

    Args:
        hooks: the hooks, each with its own path.

    Raises:
        ConfigurationError: two hooks have the same name or key.
    """

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self._hooks = tuple(hooks)
        require_distinct_hooks(self._hooks)

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes of all hooks."""
        return frozenset().union(*(hook.purposes for hook in self._hooks))

    def routes(self, context: DoorContext) -> Iterable[Route]:
        """Return a route for each hook.

        Raises:
            ConfigurationError: no template fits a hook's purpose.
        """
        for purpose in self.purposes:
            context.capabilities.takes(purpose, {})
        for hook in self._hooks:
            endpoint = _SupabaseEndpoint if hook.format == "supabase" else _Endpoint
            yield Route(f"/hooks/{hook.name}", endpoint(hook, context), methods=["POST"])


class _Signatures:
    """The secrets of a hook. The time that a check takes reveals nothing about them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._webhooks = tuple(Webhook(each.removeprefix(SIGNED)) for each in secrets)

    def are_right(self, request: Request, body: bytes) -> bool:
        """Check the signature of a request, whose time may be five minutes off."""
        headers = {name: request.headers.get(name, "") for name in _SIGNED_HEADERS}
        # Supabase separates the signatures of several secrets by a comma and a blank; the standard, by a blank. The
        # library would raise an error for a signature of another form, before it comes to the one that is right.
        headers["webhook-signature"] = " ".join(_SIGNATURE.findall(headers["webhook-signature"]))
        if not _ID.fullmatch(headers["webhook-id"]):
            return False
        return any(_is_by(webhook, body, headers) for webhook in self._webhooks)


def _is_by(webhook: Webhook, body: bytes, headers: dict[str, str]) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # It raises ValueError for a body that is not UTF-8.
        return False
    return True


class _Endpoint:
    """The ASGI application of one hook. Errors are problem documents."""

    def __init__(self, hook: Hook, context: DoorContext) -> None:
        self._hook = hook
        self._otp: AsyncOTP = context.otp
        self._count_rejected = context.count_rejected
        self._keyring = Keyring(hook.keys) if hook.keys else None
        self._signatures = _Signatures(hook.secrets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = self.accepted(await self._sent(request))
        except Refused as refusal:
            response = self.refused(refusal)
        except OTPError as error:
            if isinstance(error, ConfigurationError):
                log_fault(error)
            response = self.failed(error)
        await response(scope, receive, send)

    def accepted(self, sent: Sent) -> Response:
        """Return the answer to a message that was sent, or may have been."""
        return _json({"id": sent.id, "delivery": sent.delivery})

    def refused(self, refusal: Refused) -> Response:
        """Return the answer to a request that can't be served."""
        return problem_response(refusal.problem)

    def failed(self, error: OTPError) -> Response:
        """Return the answer to an error of the call."""
        return error_response(error, "en")

    async def _sent(self, request: Request) -> Sent:
        hook = self._hook
        if self._keyring is not None and self._keyring.find(request.headers.get("authorization", "")) is None:
            raise self._unauthorized(request, "Send the header Authorization: Bearer with a key of this hook.")
        require_json(request)
        body = await read_body(request, _MAX_BODY)
        if self._keyring is None and not self._signatures.are_right(request, body):
            raise self._unauthorized(
                request,
                "The signature by Standard Webhooks is missing or wrong, or its time is more than five minutes off.",
            )
        request.scope.setdefault("state", {})[KNOWN] = hook.name
        asked = read_asked(body, hook.format)
        policy = self._otp.policy
        return await self._otp.send(
            normalize(asked.phone, policy.default_region, regions=policy.regions),
            hook.templates.get(asked.kind, hook.template),
            asked.code,
            minutes=hook.minutes if asked.minutes is None else asked.minutes,
            ip=_address(asked.ip) if hook.visitor_ip else None,
            idempotency_key=self._key_of(request, body),
            budget_key=hook.name,
        )

    def _unauthorized(self, request: Request, detail: str) -> Refused:
        if request.headers.get("authorization") or request.headers.get("webhook-signature"):
            self._count_rejected()
        headers = {"WWW-Authenticate": "Bearer"} if self._keyring is not None else {}
        return refused(401, "unauthorized", "The request is not authorized", detail, headers)

    def _key_of(self, request: Request, body: bytes) -> str | None:
        """Return the idempotency key of a request, or None if nothing tells a repeat from another request."""
        hook = self._hook
        if hook.format in _REPEATS_THE_BODY:
            return f"hook {hook.name} {sha256(body).hexdigest()}"
        given = idempotency_key(request) if self._keyring is not None else request.headers["webhook-id"]
        return None if given is None else f"hook {hook.name} {given}"


def _address(text: str) -> str | None:
    """Return the visitor's address, None if it is not known."""
    try:
        if text:
            read_address(text)
    except ConfigurationError:
        pass
    else:
        return text or None
    raise invalid("#", "The visitor's address in the body is not an IP address. Send one, or leave it out.")


class _SupabaseEndpoint(_Endpoint):
    """The ASGI application of a hook of Supabase Auth, which reads errors from an answer of 200 alone.

    After 429 and 503 it would try again at once, and any other status it reports as an error of the server.
    """

    def accepted(self, sent: Sent) -> Response:
        """Return the empty object."""
        return _json({})

    def refused(self, refusal: Refused) -> Response:
        """Return the answer to a request that can't be served, with its status: an operator must look at it."""
        found = refusal.problem
        headers = {name: value for name, value in found.headers.items() if name != "Content-Language"}
        return _json(_error(found.status, str(found.body["detail"])), found.status, headers)

    def failed(self, error: OTPError) -> Response:
        """Return the answer to an error, which the visitor sees."""
        return _json(_error(error.status, error.message("en")))


def _error(status: int, message: str) -> dict[str, object]:
    return {"error": {"http_code": status, "message": message}}


def _json(body: dict[str, object], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(body, status, {**(headers or {}), "Cache-Control": "no-store"})
