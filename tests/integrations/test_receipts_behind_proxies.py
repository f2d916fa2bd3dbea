"""Twilio's receipts behind a proxy with TLS: a setting of each framework makes the URL match the signed one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import django_site  # noqa: F401 - sets Django up
import flask
import pytest
import requests
import uvicorn
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.views.decorators.csrf import csrf_exempt
from fastapi import FastAPI, Request, Response
from support.secrets import SECRET
from twilio.request_validator import RequestValidator
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server

from otpkit import OTP, AsyncOTP, Template
from otpkit.gateways import Push, Twilio

TOKEN, HOST, PATH = "the-auth-token", "otp.example.com", "/receipts/twilio?a=%20b"
PARAMS = {"MessageSid": f"SM{'1' * 32}", "MessageStatus": "delivered", "To": "+8613800138000"}
SIGNATURE = RequestValidator(TOKEN).compute_signature(f"https://{HOST}{PATH}", PARAMS)
ARGUMENTS = ("memory://", Twilio("AC0", TOKEN, voice_sender="+15551234567"), Template("x"), SECRET)


def called(url: str, headers: Mapping[str, str]) -> int:
    """Call `url` as the proxy does for Twilio, and return the status."""
    headers = {"X-Twilio-Signature": SIGNATURE, "X-Forwarded-Proto": "https", **headers}
    return requests.post(url + PATH, data=PARAMS, headers=headers, timeout=10).status_code


def by_fastapi(knows: bool) -> Iterator[int]:
    app, otp = FastAPI(), AsyncOTP(*ARGUMENTS)

    @app.post("/receipts/twilio")
    async def receive(request: Request) -> Response:
        answer = await otp.receive(Push(str(request.url), request.headers, await request.body()))
        return Response(answer.body, answer.status, media_type=answer.content_type)

    config = uvicorn.Config(
        app, port=0, log_config=None, proxy_headers=knows, forwarded_allow_ips="127.0.0.1", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield called(f"http://127.0.0.1:{port}", {"Host": HOST})
    server.should_exit = True
    thread.join(10)


def by_flask(knows: bool) -> Iterator[int]:
    app, otp = flask.Flask(__name__), OTP(*ARGUMENTS)

    @app.post("/receipts/twilio")
    def receive() -> Any:
        request = flask.request
        answer = otp.receive(Push(request.url, request.headers, request.get_data()))
        return answer.body, answer.status, {"Content-Type": answer.content_type}

    if knows:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1)  # type: ignore[method-assign]
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield called(f"http://127.0.0.1:{server.server_port}", {"X-Forwarded-Host": HOST})
    server.shutdown()
    thread.join(10)
    server.server_close()


def by_django(knows: bool) -> Iterator[int]:
    otp = OTP(*ARGUMENTS)

    @csrf_exempt
    def receive(request: Any) -> HttpResponse:
        answer = otp.receive(Push(request.build_absolute_uri(), request.headers, request.body))
        return HttpResponse(answer.body, status=answer.status, content_type=answer.content_type)

    headers = {
        "X-Twilio-Signature": SIGNATURE,
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": HOST,
    }
    told = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"), "USE_X_FORWARDED_HOST": True}
    with override_settings(ALLOWED_HOSTS=["testserver", HOST], **(told if knows else {})):
        kind = "application/x-www-form-urlencoded"
        body = urlencode(PARAMS)
        yield receive(RequestFactory(headers=headers).post(PATH, body, content_type=kind)).status_code


@pytest.mark.parametrize(("knows", "status"), [(True, 200), (False, 403)])
@pytest.mark.parametrize("serve", [by_fastapi, by_flask, by_django])
def test_setting_of_the_framework_makes_the_signature_right(
    serve: Callable[[bool], Iterator[int]], knows: bool, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the setting the receipt is refused, and the log has the reason."""
    for answered in serve(knows):
        assert answered == status
    said = [record.getMessage() for record in caplog.records if record.name == "otpkit"]
    assert len(said) == (status == 403)
    assert all("behind a proxy" in each for each in said)
