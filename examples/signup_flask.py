"""Sign up with a phone number: issue a code, verify it, redeem the proof in the form that creates the account.

    pip install 'otpkit[examples]'
    python examples/signup_flask.py

Without OTPKIT_* variables it runs on a local gateway, whose inbox shows the messages, and a store in this process.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, make_response, redirect, render_template_string, request, session
from werkzeug.wrappers import Response

from otpkit import OTP, OTPError, RateLimitError, Template, TokenError
from otpkit.errors import Language
from otpkit.gateways import Alidayu

PAGE = """<!doctype html><meta name="viewport" content="width=device-width"><title>Sign up</title>
{% if error %}<p role="alert">{{ error }}</p>{% endif %}
<form method="post" action="{{ action }}">
  <input type="hidden" name="key" value="{{ key }}">
  {% if action == "/code" %}
    <label>Mobile number <input name="phone" type="tel" autocomplete="tel" required></label>
    <button>Send a code</button>
  {% elif action == "/verify" %}
    <label>Code <input name="code" inputmode="numeric" autocomplete="one-time-code" required></label>
    <button>Verify</button>
  {% elif action == "/account" %}
    <input type="hidden" name="token" value="{{ token }}">
    <label>Your name <input name="name" autocomplete="name" required></label>
    <button>Create the account</button>
  {% endif %}
</form>
{% if action == "/verify" %}<form method="post" action="/code"><input type="hidden" name="key" value="{{ key }}">
<input type="hidden" name="phone" value="{{ session.phone }}"><button>Send it again</button></form>{% endif %}
"""

accounts: dict[str, str] = {}  # your database, with a unique constraint on the phone


def create_app(otp: OTP) -> Flask:
    app = Flask(__name__)
    # The session is a signed cookie. Lax keeps it out of other sites' POSTs; add tokens (Flask-WTF) for old browsers.
    app.secret_key = os.environ.get("FLASK_SECRET_KEY") or secrets.token_bytes(32)
    app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True, MAX_CONTENT_LENGTH=16_384)

    @app.get("/")
    def form() -> str:
        return page("/verify" if "phone" in session else "/code")

    @app.post("/code")
    def send_code() -> Response:
        # Whoever may send this form makes you pay for an SMS: a CAPTCHA or a risk check belongs here.
        challenge = otp.issue(request.form["phone"], bind=bind(), ip=ip(), idempotency_key=request.form["key"])
        session["phone"] = challenge.phone
        return redirect("/", 303)  # for an `uncertain` delivery too: the message may well arrive

    @app.post("/verify")
    def verify() -> str:
        # The phone is the one that the code was sent to, not one that the form could name.
        phone, code, key = session.get("phone", ""), request.form["code"], request.form["key"]
        proof = otp.verify(phone, code, bind=bind(), ip=ip(), idempotency_key=key)
        return page("/account", token=proof.token)

    @app.post("/account")
    def create_account() -> str:
        # Redeemed once ever: however often the token is sent, there is one account. With the key of its form, the same
        # form sent twice gets the same answer twice.
        proof = otp.redeem(request.form["token"], bind=bind(), idempotency_key=request.form["key"])
        name = accounts.setdefault(proof.phone, request.form["name"])  # proof.phone, never a form's
        session.pop("phone", None)
        return render_template_string("<!doctype html><p>Account created. Welcome, {{ name }}!</p>", name=name)

    @app.errorhandler(OTPError)
    def refuse(error: OTPError) -> Response:
        if isinstance(error, RateLimitError) and error.challenge:
            session["phone"] = error.challenge.phone  # a code is live: let it be typed
        elif isinstance(error, TokenError):
            session.pop("phone", None)
        response = make_response(page("/verify" if "phone" in session else "/code", error.message(language())))
        response.status_code = error.status
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    return app


def page(action: str, error: str = "", token: str = "") -> str:
    return render_template_string(PAGE, action=action, error=error, token=token, key=secrets.token_urlsafe(16))


def bind() -> str:
    """What the code is tied to: this browser's session, so that a code read out to somebody else is of no use there."""
    return str(session.setdefault("id", secrets.token_urlsafe(16)))


def ip() -> str | None:
    """The visitor's address. Behind a proxy that is the proxy's, unless werkzeug's ProxyFix is told to trust it."""
    return request.remote_addr


def language() -> Language:
    return "zh" if request.accept_languages.best_match(["en", "zh"], "en") == "zh" else "en"


@contextmanager
def configured() -> Iterator[OTP]:
    """Give the OTP that the environment describes or, where it describes none, one on this machine alone."""
    if "OTPKIT_REDIS_URL" in os.environ:
        with OTP.from_env() as otp:
            yield otp
        return
    from otpkit.sandbox import Sandbox, running

    with running(Sandbox()) as local:
        print(f"The messages are at {local.base_url}", flush=True)
        gateway = Alidayu("sandbox", "sandbox-secret", base_url=local.gateway_url)
        with OTP("memory://", gateway, Template("SMS_585014", "阿里大鱼"), secrets.token_bytes(32)) as otp:
            yield otp


if __name__ == "__main__":
    with configured() as otp:
        create_app(otp).run(port=int(os.environ.get("PORT", "8000")))  # it prints its own URL
