"""A sign-up page beside the inbox, to try otpkit on: type a number, read its SMS, type the code, create the account.

Plain forms, no script. Each visit is a random cookie, which is also what its codes are bound to. The number and the
proof stay with the visit on this side; a form carries only what was typed, and a token against forged requests.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast
from urllib.parse import parse_qsl

from otpkit.errors import ConfigurationError, Language, OTPError, RateLimitError, TokenError
from otpkit.sandbox._web import BaseRoute, HTMLResponse, Request, Response, Route
from otpkit.sandbox.guard import error as _error
from otpkit.sandbox.guard import foreign as _foreign
from otpkit.sandbox.inbox import templates as _templates
from otpkit.sandbox.state import Sandbox
from otpkit.sandbox.wire import MAX_BODY
from otpkit.sync import OTP

PATH: Final = "/signup"
COOKIE: Final = "otpkit_signup"
MAX_VISITS: Final = 1_000  # the oldest are forgotten
MAX_NAME: Final = 40  # characters

Form = Mapping[str, str]
_LANGUAGE: Final = re.compile(r"\s*(en|zh)\b[^;]*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?", re.IGNORECASE)


def _token() -> str:
    return secrets.token_urlsafe(16)


@dataclass(slots=True)
class Visit:
    """How far one visitor has come. `id` is the cookie; `csrf` stands in the forms, which another site can't read."""

    id: str = field(default_factory=_token)
    csrf: str = field(default_factory=_token)
    phone: str = ""  # E.164, once a code was sent to it
    uncertain: bool = False  # whether it may not have been sent after all
    token: str = ""  # the proof's, once the code was right
    account: str = ""  # the name, once the account was created

    @property
    def step(self) -> Literal["phone", "code", "account", "done"]:
        """Which form is due."""
        if self.account:
            return "done"
        return "account" if self.token else "code" if self.phone else "phone"

    def restart(self) -> None:
        """Go back to the first form."""
        self.phone = self.token = self.account = ""
        self.uncertain = False


class SignUpPage:
    """The page for one sandbox. It serves once `connect` has given it the `OTP` that sends by this sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._visits: OrderedDict[str, Visit] = OrderedDict()
        self._accounts: dict[str, str] = {}
        self._otp: OTP | None = None

    def connect(self, otp: OTP) -> None:
        """Verify by `otp`, which `close` closes."""
        self._otp = otp

    def close(self) -> None:
        """Close what `connect` was given."""
        if self._otp is not None:
            self._otp.close()

    def routes(self) -> list[BaseRoute]:
        """Return the routes, for `serve(…, extra_routes=…)`."""
        return [Route(PATH, self._show, methods=["GET"]), Route(PATH, self._submit, methods=["POST"])]

    @property
    def otp(self) -> OTP:
        """What `connect` was given."""
        if self._otp is None:
            raise ConfigurationError("The sign-up page has no OTP yet; call connect(otp) before it is visited.")
        return self._otp

    async def _show(self, request: Request) -> Response:
        if problem := _foreign(request, frozenset()):
            return _error(problem, 403)
        return self._page(request, self._find(request) or self._begin())

    async def _submit(self, request: Request) -> Response:
        if problem := _foreign(request, frozenset()):
            return _error(problem, 403)
        form, visit = await _read(request), self._find(request)
        if visit is None or not secrets.compare_digest(form.get("csrf", "").encode(), visit.csrf.encode()):
            return self._page(request, visit or self._begin(), "stale", 403)
        try:
            problem = await self._take(visit, form, request.client.host if request.client else None)
        except OTPError as error:
            _fall_back(visit, error)
            return self._page(request, visit, error.message(language(request)), error.status, error.retry_after, form)
        if problem:
            return self._page(request, visit, problem, 422, form=form)
        # The browser asks for the page anew: reloading it then sends no form twice.
        return Response(status_code=303, headers={"location": PATH})

    async def _take(self, visit: Visit, form: Form, ip: str | None) -> str:
        """Take a form; one that comes late or twice changes nothing. Return what is wrong with it, if anything."""
        action, key = form.get("action"), form.get("key") or None
        if action == "send" and not visit.token:
            await self._send(visit, form.get("phone") or visit.phone, ip, key)
        elif action == "verify" and visit.step == "code":
            await self._verify(visit, form.get("code", ""), ip, key)
        elif action == "create" and visit.step == "account":
            return await self._create(visit, form.get("name", "").strip()[:MAX_NAME], key)
        elif action == "restart":
            visit.restart()
        return ""

    async def _send(self, visit: Visit, phone: str, ip: str | None, key: str | None) -> None:
        challenge = await asyncio.to_thread(self.otp.issue, phone, bind=visit.id, ip=ip, idempotency_key=key)
        visit.phone, visit.uncertain = challenge.phone, challenge.delivery == "uncertain"

    async def _verify(self, visit: Visit, code: str, ip: str | None, key: str | None) -> None:
        proof = await asyncio.to_thread(self.otp.verify, visit.phone, code, bind=visit.id, ip=ip, idempotency_key=key)
        visit.token = proof.token

    async def _create(self, visit: Visit, name: str, key: str | None) -> str:
        if not name:
            return "name_missing"
        proof = await asyncio.to_thread(self.otp.redeem, visit.token, bind=visit.id, idempotency_key=key)
        visit.account = self._accounts.setdefault(proof.phone, name)
        return ""

    def _find(self, request: Request) -> Visit | None:
        return self._visits.get(request.cookies.get(COOKIE, ""))

    def _begin(self) -> Visit:
        visit = Visit()
        self._visits[visit.id] = visit
        if len(self._visits) > MAX_VISITS:
            self._visits.popitem(last=False)
        return visit

    def _page(
        self,
        request: Request,
        visit: Visit,
        problem: str = "",
        status: int = 200,
        retry_after: int | None = None,
        form: Form | None = None,
    ) -> Response:
        nonce = _token()
        html = _templates.get_template("signup.html").render(
            visit=visit,
            problem=problem,
            typed=form or {},
            key=_token(),
            lang=language(request),
            messages=self._sandbox.messages(visit.phone) if visit.phone else [],
            max_name=MAX_NAME,
            nonce=nonce,
        )
        response = HTMLResponse(html, status)
        response.headers["cache-control"] = "no-store"
        response.headers["referrer-policy"] = "same-origin"
        response.headers["vary"] = "accept-language, cookie"
        response.headers["content-security-policy"] = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        )
        if retry_after is not None:
            response.headers["retry-after"] = str(retry_after)
        response.set_cookie(COOKIE, visit.id, path=PATH, httponly=True, samesite="lax")
        return response


def language(request: Request) -> Language:
    """Return the visitor's choice between English and Chinese (RFC 9110 §12.5.4); English where there is none."""
    parts = request.headers.get("accept-language", "").split(",")
    found = [(float(match[2] or 1), match[1].lower()) for part in parts if (match := _LANGUAGE.fullmatch(part))]
    weight, best = max(found, key=lambda choice: choice[0], default=(0.0, "en"))
    return cast("Language", best if weight else "en")


def _fall_back(visit: Visit, error: OTPError) -> None:
    """Choose the form that helps after an error."""
    if isinstance(error, RateLimitError) and error.challenge is not None:
        visit.phone = error.challenge.phone  # a code is live: it can still be typed
    elif isinstance(error, TokenError):
        visit.restart()


async def _read(request: Request) -> Form:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return {}
    try:
        return dict(parse_qsl(body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        return {}
