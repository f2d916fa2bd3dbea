"""Sign up with a phone number: the two pages that come with otpkit, then a form that creates the account.

    pip install 'otpkit[examples]'
    python examples/signup_flask.py

Without OTPKIT_* variables it runs on a local gateway, whose inbox shows the messages, and a store in this process.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask, redirect, render_template_string, request
from werkzeug.wrappers import Response

from otpkit import OTP, Template, TokenError
from otpkit.gateways import Alidayu
from otpkit.integrations.flask import PhoneVerification

ACCOUNT = """<!doctype html><meta name="viewport" content="width=device-width"><title>Your account</title>
<form method="post">
  <input type="hidden" name="key" value="{{ key }}">
  <label>Your name <input name="name" autocomplete="name" required></label>
  <button>Create the account</button>
</form>
"""
WELCOME = "<!doctype html><title>Welcome</title><p>Account created. Welcome, {{ name }}!</p>"

accounts: dict[str, str] = {}  # your database, with a unique constraint on the phone


def create_app(otp: OTP) -> Flask:
    app = Flask(__name__)
    # The session is a signed cookie. Set SESSION_COOKIE_SECURE in production.
    app.config.update(
        SECRET_KEY=os.environ.get("FLASK_SECRET_KEY") or secrets.token_bytes(32), SESSION_COOKIE_SAMESITE="Lax"
    )
    phones = PhoneVerification(app, otp)
    # Whoever may send the first form makes you pay for an SMS: a CAPTCHA or a risk check belongs before it, for example
    # in a `before_request` of this blueprint.
    app.register_blueprint(phones.blueprint(next_url="/account"))  # at /signup

    @app.get("/")
    def start() -> Response:
        return redirect("/signup")

    @app.get("/account")
    def form() -> str:
        return render_template_string(ACCOUNT, key=secrets.token_urlsafe(16))

    @app.post("/account")
    def create_account() -> str:
        # Redeemed once ever, so that one verification makes one account. With the key of its form, the same form sent
        # twice gets the same answer twice. What else a form may get wrong is looked at before.
        name = request.form["name"]
        proof = phones.redeem(idempotency_key=request.form["key"])
        # The visitor may send the form as often as they like: it is answered with the account that it made.
        existing = accounts.get(proof.phone) if proof.replayed else None
        name = existing or accounts.setdefault(proof.phone, name)  # proof.phone, never a form's
        return render_template_string(WELCOME, name=name)

    @app.errorhandler(TokenError)
    def begin_anew(error: TokenError) -> Response:
        return redirect("/signup", 303)  # no proof, an old one, or one that was used

    return app


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
