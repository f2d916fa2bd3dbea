"""The page that `otpkit demo` serves: a sign-up on one side, the phone's inbox on the other.

The sign-up consists of what your own application would have: the pages of the FastAPI integration, and a form of its
own that creates the account with the proof.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from otpkit import AsyncOTP, ConfigurationError, Proof, TokenError
from otpkit.cli.attack import Attack
from otpkit.errors import Language
from otpkit.integrations.fastapi import PhoneVerification, get_otp
from otpkit.languages import DEFAULT, languages, tag, texts
from otpkit.sandbox import Address
from otpkit.web import State, bind_of, cookie_name, language_of, preferred_language, read_form, take_proof, visit
from otpkit.web.pages import TEMPLATES, render, safe_format, spaced
from otpkit.web.regions import regions_of

try:
    import jinja2
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.routing import BaseRoute, Mount, Route
    from starlette.types import ASGIApp, Receive, Scope, Send
except ImportError as missing:
    raise ConfigurationError("The demo needs FastAPI.", "Run: pip install 'otpkit[demo]'.") from missing

PATH: Final = "/signup"
PHONE_PATH: Final = f"{PATH}/phone"
ACCOUNT_PATH: Final = f"{PATH}/account"
ATTACK_PATH: Final = f"{PATH}/attack"
FIGURES_PATH: Final = f"{PATH}/figures"
PURPOSE: Final = "signup"
MAX_NAME: Final = 40  # characters

_templates: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader([Path(__file__).parent / "templates", TEMPLATES]),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["safe_format"] = safe_format


class DemoSite:
    """The demo site beside a sandbox. It can serve requests after `connect`.

    Args:
        attack: the attack that the page can start; None is one of 30 s. Pass its `on_event` to the `AsyncOTP`s.
    """

    def __init__(self, attack: Attack | None = None) -> None:
        self.attack = attack or Attack()
        self._app: ASGIApp | None = None
        self._otp: AsyncOTP | None = None

    def connect(self, otps: Mapping[Language, AsyncOTP], examples: Mapping[str, str]) -> None:
        """Serve the pages.

        Args:
            otps: an `AsyncOTP` for each language, which sends through this sandbox. The caller closes them.
            examples: an example of a number by region code.
        """
        self._otp = otps[DEFAULT]
        self._app = create_app(otps, examples, self.attack)

    def routes(self) -> list[BaseRoute]:
        """Return the routes, for `serve(…, extra_routes=…)`."""
        # What the page polls is outside the application: a response with an old session would undo a visitor's step.
        return [
            Route(ATTACK_PATH, self._control, methods=["GET", "POST"]),
            Route(FIGURES_PATH, self._figures),
            Mount("", app=self),
        ]

    async def _control(self, request: Request) -> Response:
        """Start or stop the attack (POST), or return its progress as JSON (GET)."""
        attack = self.attack
        if request.method != "POST":
            chosen = request.query_params.get("lang", "")
            progress = attack_progress(attack, chosen if chosen in languages() else DEFAULT)
            return JSONResponse(progress, headers={"cache-control": "no-store"})
        form = read_form(await request.body())
        if not secrets.compare_digest(form.get("token", "").encode(), attack.token.encode()):
            return Response(status_code=403)
        if form.get("do") == "stop":
            attack.stop()
        else:
            attack.start(Address(*request.scope["server"]).base_url + PHONE_PATH)
        return _go(PATH)

    async def _figures(self, request: Request) -> Response:
        """Return the figures of the last 24 hours as JSON."""
        if self._otp is None:
            raise _unconnected()
        return JSONResponse(await shown_figures(self._otp), headers={"cache-control": "no-store"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve as an ASGI application."""
        if self._app is None:
            raise _unconnected()
        await self._app(self.attack.mark(scope), receive, send)


def _unconnected() -> ConfigurationError:
    return ConfigurationError("The demo has no OTP yet.", "Call connect(…) before the first request.")


def create_app(otps: Mapping[Language, AsyncOTP], examples: Mapping[str, str], attack: Attack) -> FastAPI:
    """Return the application. It keeps its accounts in memory.

    Args:
        otps: an `AsyncOTP` for each language. They share one store.
        examples: an example of a number by region code.
        attack: the attack that the page can start.
    """

    async def in_language(request: Request) -> AsyncOTP:
        language = language_of(request.session, PURPOSE, request.headers.get("accept-language", ""))
        return otps.get(language) or otps[DEFAULT]

    app = FastAPI(openapi_url=None)
    app.state.attack = attack
    app.state.otp = otps[DEFAULT]
    app.add_middleware(SessionMiddleware, secret_key=secrets.token_urlsafe(32), session_cookie="otpkit_demo")
    app.dependency_overrides[get_otp] = in_language
    phones = PhoneVerification(otps[DEFAULT])
    phones.install(app)
    pages = phones.pages(PURPOSE, next_url=ACCOUNT_PATH, render=partial(render, examples=examples))
    app.include_router(pages, prefix=PHONE_PATH)
    app.add_api_route(PATH, _show_both, methods=["GET"])
    accounts = _Accounts(otps[DEFAULT])
    app.add_api_route(ACCOUNT_PATH, accounts.show, methods=["GET"])
    app.add_api_route(ACCOUNT_PATH, accounts.submit, methods=["POST"])
    return app


def attack_progress(attack: Attack, language: Language) -> dict[str, object]:
    """Return the progress of the attack, with a sentence that says what happens."""
    t = texts(language)["demo"]["attack"]
    is_running, counts = attack.is_running, asdict(attack.counts)
    return {"is_running": is_running, "counts": counts, "text": t["phases"][attack.phase]}


async def shown_figures(otp: AsyncOTP) -> dict[str, str]:
    """Return the figures of the last 24 hours as the page shows them: messages, verified codes, conversion and cost."""
    stats = await otp.stats(hours=24)
    total = stats.total
    return {
        "sent": str(total.sent),
        "verified": str(total.verified),
        "conversion": "–" if total.conversion is None else f"{100 * total.conversion:.0f}%",
        "cost": f"{total.cost:f} {stats.currency}",
    }


async def _show_both(request: Request) -> Response:
    chosen = request.query_params.get("lang", "")
    with visit(request.session, PURPOSE) as state:
        if chosen in languages():
            state["language"] = chosen
            return _go(PATH)
        language = _language(request, state)
    others = [(each, tag(each), texts(each)["name"]) for each in languages() if each != language]
    t = texts(language)["demo"]
    attack: Attack = request.app.state.attack
    return _page(
        "demo.html",
        language,
        t,
        connect="'self'",
        account_path=ACCOUNT_PATH,
        path=PATH,
        others=others,
        attack_path=ATTACK_PATH,
        token=attack.token,
        progress=attack_progress(attack, language),
        figures_path=FIGURES_PATH,
        figures=await shown_figures(request.app.state.otp),
    )


class _Accounts:
    """The form that creates an account, and the accounts: a name for each phone."""

    def __init__(self, otp: AsyncOTP) -> None:
        self._otp = otp
        self._names: dict[str, str] = {}

    async def show(self, request: Request) -> Response:
        with visit(request.session, PURPOSE) as state:
            if "account" in state or "token" in state:
                return self._page(request, state)
        return _go(PHONE_PATH)

    async def submit(self, request: Request) -> Response:
        form = read_form(await request.body())
        with visit(request.session, PURPOSE) as state:
            if not _is_ours(state, form):
                return _go(ACCOUNT_PATH)  # Without a valid CSRF token, do nothing and show the page again.
            if form.get("action") == "restart":
                state.pop("account", None)
                return _go(PHONE_PATH)
            return await self._create(request, state, form.get("name", "").strip()[:MAX_NAME], form.get("key") or None)

    async def _create(self, request: Request, state: State, name: str, key: str | None) -> Response:
        if "account" in state:
            return _go(ACCOUNT_PATH)
        if not name:
            return self._page(request, state, "nameless", 422)
        try:
            token = take_proof(state, cookie=request.cookies.get(cookie_name(PURPOSE), ""))
            proof = await self._otp.redeem(token, PURPOSE, bind=bind_of(state), idempotency_key=key)
        except TokenError as error:
            return self._page(request, state, error.message(_language(request, state)), error.status)
        self._keep(state, proof, name)
        return _go(ACCOUNT_PATH)

    def _keep(self, state: State, proof: Proof, name: str) -> None:
        self._names.setdefault(proof.phone, name)  # A phone has one account. A second name is ignored.
        state["account"] = proof.phone

    def _page(self, request: Request, state: State, problem: str = "", status: int = 200) -> Response:
        phone = state.get("account", "")
        language = _language(request, state)
        return _page(
            "account.html",
            language,
            texts(language)["demo"]["account"],
            status,
            problem=problem,
            step="done" if phone else "name" if "token" in state else "over",
            name=self._names.get(phone, ""),
            phone=spaced(phone, regions_of(self._otp.policy.regions)),
            csrf=state.get("csrf", ""),
            key=secrets.token_urlsafe(16),
            max_name=MAX_NAME,
            account_path=ACCOUNT_PATH,
            phone_path=PHONE_PATH,
        )


def _is_ours(state: State, form: Mapping[str, str]) -> bool:
    own = state.get("csrf", "")
    return bool(own) and secrets.compare_digest(form.get("csrf", "").encode(), own.encode())


def _language(request: Request, state: State) -> Language:
    chosen = state.get("language", "")  # set on the pages, which have the language switch
    return chosen if chosen in languages() else preferred_language(request.headers.get("accept-language", ""))


def _go(path: str) -> Response:
    return RedirectResponse(path, 303, {"cache-control": "no-store"})


def _page(
    template: str,
    language: Language,
    t: Mapping[str, Any],
    status: int = 200,
    *,
    connect: str = "'none'",
    **values: object,
) -> Response:
    nonce = secrets.token_urlsafe(16)
    html = _templates.get_template(template).render(t=t, tag=tag(language), language=language, nonce=nonce, **values)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; frame-src 'self'; "
        f"connect-src {connect}; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    )
    headers = {"content-security-policy": policy, "cache-control": "no-store", "referrer-policy": "same-origin"}
    return HTMLResponse(
        html, status, headers | {"vary": "accept-language, cookie", "x-content-type-options": "nosniff"}
    )
