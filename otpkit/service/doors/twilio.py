"""The door for clients of Twilio Verify: `Verifications` and `VerificationCheck` of its API, version 2.

Paths, parameters, fields and statuses are those of https://www.twilio.com/docs/verify/api and of the official SDKs.
A parameter that is not supported and would change the code, its message or a limit is refused, never ignored.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from otpkit.aio import config_of
from otpkit.core.addresses import read_address
from otpkit.core.spelling import fold, normalize
from otpkit.errors import ConfigurationError, ExpiredCodeError, MalformedCodeError, OTPError, PhoneError, WrongCodeError
from otpkit.models import Challenge
from otpkit.service.doors.base import DoorContext
from otpkit.service.doors.sids import Sids
from otpkit.service.doors.twilio_errors import (
    AUTHENTICATE,
    CHANNEL,
    INVALID,
    METHOD,
    NOT_FOUND,
    TwilioError,
    invalid,
    not_found,
    of_error,
    unsupported,
)
from otpkit.service.keys import KNOWN
from otpkit.service.middleware import log_fault
from otpkit.service.parsing import read_body
from otpkit.service.responses import Refused
from otpkit.settings.doors import VerifyService, require_distinct_services
from otpkit.settings.keys import require_strong

_FORM: Final = re.compile(r'application/x-www-form-urlencoded\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)
_MAX_FIELDS: Final = 50
_CHANNELS: Final = {"sms": "sms", "call": "voice"}
_OTHER_CHANNELS: Final = frozenset({"auto", "email", "rcs", "sna", "whatsapp"})
_CODE: Final = re.compile(r"[0-9]{4,10}")  # "The 4-10 character string being verified."
# The parameters that would change the code, its message or a limit. Others, such as Locale and Tags, have no effect.
_NOT_SENDABLE: Final = (
    *("Amount", "AppHash", "ChannelConfiguration", "CustomCode", "CustomFriendlyName", "CustomMessage"),
    *("EnableSnaClientToken", "Payee", "SendDigits", "TemplateCustomSubstitutions"),
    *("TemplateSid", "Templates"),
)
_NOT_CHECKABLE: Final = ("Amount", "Payee", "SnaClientToken")
_SUPPORTED: Final = "otpkit serve supports the resources Verifications and VerificationCheck of Twilio Verify."


@dataclass(frozen=True, slots=True)
class _Call:
    """An authenticated request: its service with the SIDs, its path after the version, and its parameters."""

    request: Request
    service: VerifyService
    sids: Sids
    form: Mapping[str, str]

    def refuse(self, names: Iterable[str]) -> None:
        """Refuse parameters that are not supported."""
        for name in names:
            if self.form.get(name):
                raise unsupported(name)


_Run = Callable[[_Call], Awaitable[Response]]


class TwilioDoor:
    """The door for clients of Twilio Verify.

    Args:
        services: the services that it stands in for, each with its own SID.

    Raises:
        ConfigurationError: two services have the same SID or name.
    """

    def __init__(self, services: Iterable[VerifyService]) -> None:
        self._services = tuple(services)
        require_distinct_services(self._services)

    @property
    def purposes(self) -> frozenset[str]:
        """The purposes of all services."""
        return frozenset(each.purpose for each in self._services)

    def routes(self, context: DoorContext) -> Iterable[Route]:
        """Return its routes. Paths of other resources are answered in Twilio's shape too.

        Raises:
            ConfigurationError: no template fits a service's purpose.
        """
        for purpose in self.purposes:
            context.capabilities.takes(purpose, {})
        resources, access = _Resources(context), _Access(context, self._services)
        prefix = "/v2/Services/{service}"
        for path, methods in (
            (f"{prefix}/Verifications", {"POST": resources.start}),
            (f"{prefix}/Verifications/{{sid}}", {"GET": resources.fetch, "POST": resources.update}),
            (f"{prefix}/VerificationCheck", {"POST": resources.check}),
            ("/v2/{rest:path}", {}),
        ):
            yield Route(path, _Endpoint(access, methods))


class _Access:
    """The services, and the check of credentials: HTTP Basic, as Twilio's."""

    def __init__(self, context: DoorContext, services: tuple[VerifyService, ...]) -> None:
        keys = config_of(context.otp).keys
        self._count_rejected = context.count_rejected
        self._services = [(each, Sids(keys, each.service_sid)) for each in services]
        self._strong: set[bytes] = set()

    def service(self, request: Request) -> tuple[VerifyService, Sids]:
        """Return the service of a request, whose credentials were checked first.

        Raises:
            TwilioError: the credentials are wrong, or the service is not theirs.
            ConfigurationError: the token is too short or a placeholder, which its digest did not show.
        """
        header = request.headers.get("authorization", "")
        user, token = _credentials(header)
        digest = sha256(token).digest()
        own = [pair for pair in self._services if _is_of(pair[0], user, digest)]
        if not own:
            if header:
                self._count_rejected()
            headers = {"WWW-Authenticate": 'Basic realm="otpkit"'}
            raise TwilioError(AUTHENTICATE, "Authenticate", headers=headers)
        if digest not in self._strong:
            require_strong(own[0][0].name, token.decode("utf-8", "replace"))
            self._strong.add(digest)
        request.scope.setdefault("state", {})[KNOWN] = own[0][0].name
        if "service" not in request.path_params:
            raise TwilioError(NOT_FOUND, f"The requested resource was not found. {_SUPPORTED}")
        for pair in own:
            if pair[0].service_sid == request.path_params["service"]:
                return pair
        raise TwilioError(NOT_FOUND, "The requested resource was not found: no such service.")


def _credentials(header: str) -> tuple[bytes, bytes]:
    """Return the user name and the password of a header, or two empty values."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            user, colon, token = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return b"", b""
        if colon:
            return user, token
    return b"", b""


def _is_of(service: VerifyService, user: bytes, digest: bytes) -> bool:
    """Compare credentials with a service's. The time it takes reveals nothing about the token."""
    names = (service.account_sid, service.api_key_sid or service.account_sid)
    known = [compare_digest(name.encode(), user) for name in names]
    return compare_digest(service.token_digest, digest) and any(known)


class _Endpoint:
    """A route's ASGI application. It answers every error in Twilio's shape."""

    __slots__ = ("_access", "_methods")

    def __init__(self, access: _Access, methods: Mapping[str, _Run]) -> None:
        self._access, self._methods = access, methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except TwilioError as error:
            response = error.response()
        except OTPError as error:
            if isinstance(error, ConfigurationError):
                log_fault(error)
            response = of_error(error, checks=scope["path"].endswith("/VerificationCheck")).response()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        service, sids = self._access.service(request)
        run = self._methods.get(request.method)
        if run is None:
            headers = {"Allow": ", ".join(self._methods)}
            raise TwilioError(METHOD, "Method not allowed", headers=headers)
        form = await _read_form(request) if request.method == "POST" else {}
        return await run(_Call(request, service, sids, form))


async def _read_form(request: Request) -> dict[str, str]:
    if not _FORM.fullmatch(request.headers.get("content-type", "")):
        raise TwilioError(INVALID, "Invalid body: send it as application/x-www-form-urlencoded in UTF-8.", status=415)
    try:
        body = await read_body(request)
    except Refused:
        body = None
    if body is None:
        raise TwilioError(INVALID, "Invalid body: it is too long.", status=413, headers={"Connection": "close"})
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        pairs = None
    if pairs is None or len({name for name, _ in pairs}) < len(pairs):
        raise TwilioError(INVALID, "Invalid body: it is not a form in UTF-8, or has a parameter twice.")
    return dict(pairs)


class _Resources:
    """The resources of a service, by the calls of an `AsyncOTP`."""

    def __init__(self, context: DoorContext) -> None:
        self._otp, self._capabilities, self._url_of = context.otp, context.capabilities, context.url_of

    async def start(self, call: _Call) -> Response:
        """Send a code, or the same code again while it is live."""
        call.refuse(_NOT_SENDABLE)
        channel = call.form.get("Channel", "")
        if channel in _OTHER_CHANNELS or (channel == "call" and "voice" not in self._capabilities.channels):
            raise TwilioError(CHANNEL, f"Delivery channel disabled: {channel}. This service sends by {self._sends_by}.")
        if channel not in _CHANNELS:
            raise invalid("Channel", f"This service sends by {self._sends_by}.")
        challenge = await self._otp.issue(
            self._phone(call.form.get("To", "")),
            call.service.purpose,
            ip=_ip(call),
            channel=_CHANNELS[channel],  # type: ignore[arg-type]
            budget_key=call.service.name,
        )
        return self._verification(call, challenge, "pending", channel, 201)

    async def fetch(self, call: _Call) -> Response:
        """Return a pending verification. Like Twilio's, it is not found after its end."""
        return self._verification(call, await self._live(call), "pending", self._only_channel)

    async def update(self, call: _Call) -> Response:
        """Cancel a pending verification."""
        challenge = await self._live(call)
        status = call.form.get("Status", "")
        if status != "canceled":
            detail = "otpkit serve approves only by the right code." if status == "approved" else ""
            raise invalid("Status", detail)
        await self._otp.revoke(challenge.phone, call.service.purpose)
        return self._verification(call, challenge, "canceled", self._only_channel)

    async def check(self, call: _Call) -> Response:
        """Verify a code."""
        call.refuse(_NOT_CHECKABLE)
        code = fold(call.form.get("Code", ""))
        if not _CODE.fullmatch(code):
            raise invalid("Code")
        sid, written = call.form.get("VerificationSid", ""), call.form.get("To", "")
        if not sid and not written:
            raise invalid("To", "Pass To or VerificationSid.")
        challenge = await self._by_sid(call, sid) if sid else await self._status(call, self._phone(written))
        if challenge is None or (written and self._phone(written) != challenge.phone):
            raise not_found(f"/Services/{call.service.service_sid}/VerificationCheck")
        status = "pending"
        try:
            await self._otp.verify(challenge.phone, code, call.service.purpose)
        except WrongCodeError as error:
            if not error.attempts_left:
                status = "max_attempts_reached"
        except MalformedCodeError:
            pass  # It has a different length than otpkit's codes. Nothing was counted.
        except ExpiredCodeError:
            challenge = None  # It ended after it was found.
        else:
            status = "approved"
        if challenge is None:
            raise not_found(f"/Services/{call.service.service_sid}/VerificationCheck")
        now = _iso(datetime.now(UTC))
        return _response(
            {
                "sid": call.sids.of(challenge),
                "service_sid": call.service.service_sid,
                "account_sid": call.service.account_sid,
                "to": challenge.phone,
                "channel": self._only_channel,
                "status": status,
                "valid": status == "approved",
                "amount": None,
                "payee": None,
                "sna_attempts_error_codes": None,
                "date_created": now,
                "date_updated": now,
            }
        )

    @property
    def _sends_by(self) -> str:
        return " and ".join(name for name, channel in _CHANNELS.items() if channel in self._capabilities.channels)

    @property
    def _only_channel(self) -> str | None:
        """The channel of a verification that was found again: it is not kept, so it is None if there are two."""
        return None if "voice" in self._capabilities.channels else "sms"

    def _phone(self, written: str) -> str:
        """Return the phone in `To` as E.164. It must begin with `+`, as for Twilio."""
        if not written.startswith("+"):
            raise invalid("To", "Write it in E.164, with + and the country code.")
        policy = self._otp.policy
        return normalize(written, policy.default_region, regions=policy.regions)

    async def _status(self, call: _Call, phone: str) -> Challenge | None:
        return await self._otp.status(phone, call.service.purpose)

    async def _by_sid(self, call: _Call, sid: str) -> Challenge | None:
        """Return the live challenge with a SID, or None."""
        phone = call.sids.phone(sid)
        if phone is None:
            return None
        try:
            challenge = await self._status(call, self._phone(phone))
        except PhoneError:
            return None  # Somebody made the SID up.
        if challenge is None or not compare_digest(call.sids.of(challenge), f"VE{sid[2:].lower()}"):
            return None
        return challenge

    async def _live(self, call: _Call) -> Challenge:
        challenge = await self._by_sid(call, call.request.path_params["sid"])
        if challenge is None:
            raise TwilioError(NOT_FOUND, "The requested resource was not found: the verification has ended.")
        return challenge

    def _verification(
        self, call: _Call, challenge: Challenge, status: str, channel: str | None, http_status: int = 200
    ) -> Response:
        sid, service = call.sids.of(challenge), call.service
        # otpkit keeps the end of a code. Its life begins with the latest send.
        sent_at = _iso(challenge.expires_at - timedelta(seconds=self._otp.policy.ttl))
        return _response(
            {
                "sid": sid,
                "service_sid": service.service_sid,
                "account_sid": service.account_sid,
                "to": challenge.phone,
                "channel": channel,
                "status": status,
                "valid": False,
                "lookup": {},
                "amount": None,
                "payee": None,
                "send_code_attempts": [],
                "date_created": sent_at,
                "date_updated": sent_at,
                "sna": None,
                "url": f"{self._url_of(call.request)}/v2/Services/{service.service_sid}/Verifications/{sid}",
            },
            http_status,
        )


def _ip(call: _Call) -> str | None:
    """Return the visitor's address: `DeviceIp`, or the value of the rate limit that the settings name."""
    ip, source = call.form.get("DeviceIp") or None, "DeviceIp"
    if text := call.form.get("RateLimits"):
        limits = _rate_limits(text)
        source = "RateLimits"
        if call.service.ip_rate_limit is None or set(limits) != {call.service.ip_rate_limit}:
            raise invalid(source, "The limits are those of otpkit's policy. See the setting ip_rate_limit.")
        ip = ip or limits[call.service.ip_rate_limit]
    problem = False
    if ip is not None:
        try:
            read_address(ip)
        except ConfigurationError:
            problem = True
    if problem:
        raise invalid(source, "It is not an IP address.")
    return ip


def _rate_limits(text: str) -> dict[str, str]:
    """Return the parameter `RateLimits`: a JSON object of texts by the names of rate limits."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise invalid("RateLimits", "It must be a JSON object of texts.")
    return found


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _response(body: dict[str, Any], status: int = 200) -> Response:
    return JSONResponse(body, status, {"Cache-Control": "no-store"})
