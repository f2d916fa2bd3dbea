"""The pages of the FastAPI integration on a socket, with an outbox as gateway, and a clock that the test moves."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, Response
from fastapi.responses import HTMLResponse
from starlette.middleware.sessions import SessionMiddleware
from support.secrets import SECRET

from otpkit import AsyncOTP, Guard, Policy, Proof, Template
from otpkit.gateways import Failover
from otpkit.integrations.fastapi import PhoneVerification, verified_phone
from otpkit.testing import MovableClock, Outbox
from otpkit.web import Brand

LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="40"><path d="M0 0h200v40H0z" fill="#07815c"/></svg>'
HOME = "<!doctype html><html lang=en><title>Home</title><main><h1>Welcome</h1></main></html>"


class Calls(Outbox):
    """A gateway that only makes calls."""

    name = "calls"
    channels = frozenset({"voice"})


@dataclass(frozen=True, slots=True)
class PageSite:
    """A site with the pages of a purpose."""

    url: str
    outbox: Outbox = field(default_factory=Outbox)
    clock: MovableClock = field(default_factory=MovableClock)

    @property
    def code(self) -> str:
        """The code of the newest message."""
        code: str = self.outbox[-1].code
        return code

    @property
    def wrong_code(self) -> str:
        """A code that differs in its last digit."""
        return f"{self.code[:-1]}{(int(self.code[-1]) + 1) % 10}"


@contextlib.contextmanager
def page_site(
    purpose: str = "signup",
    policy: Policy | None = None,
    brand: Brand | None = None,
    calls: Outbox | None = None,
    guard: Guard | None = None,
) -> Iterator[PageSite]:
    """Serve the pages of a purpose inside the with block. `/` welcomes a verified visitor."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        site = PageSite(f"http://127.0.0.1:{listener.getsockname()[1]}/{purpose}")
        otp = AsyncOTP(
            "memory://",
            site.outbox if calls is None else Failover([site.outbox, calls]),
            Template("SMS_1", "otpkit"),
            SECRET,
            policy=policy or Policy(),
            clock=site.clock,
            guard=guard,
        )
        app = FastAPI()
        app.add_middleware(SessionMiddleware, secret_key="a secret for tests alone")
        phones = PhoneVerification(otp, brand=brand)
        phones.install(app)
        app.include_router(phones.pages(purpose, next_url="/"), prefix=f"/{purpose}")
        app.add_api_route("/", lambda: HTMLResponse(HOME))
        app.add_api_route("/logo.svg", lambda: Response(LOGO, media_type="image/svg+xml"))

        @app.get("/account")
        async def account(proof: Proof = Depends(verified_phone(purpose))) -> HTMLResponse:  # noqa: B008
            return HTMLResponse(HOME)

        with _served(app, listener):
            yield site


@contextlib.contextmanager
def _served(app: Any, listener: socket.socket) -> Iterator[None]:
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)
