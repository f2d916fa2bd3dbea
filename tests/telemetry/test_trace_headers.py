"""The W3C trace context in gateways' requests: to whom it is sent, and that no signature breaks by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hook_server import HookServer
from opentelemetry import baggage, context
from recorded_spans import Recorded
from support.callers import calling, result
from support.rig import PHONE, SECRET

from otpkit import Guard, Template, gateways
from otpkit.captcha import Turnstile
from otpkit.gateways import Gateway
from otpkit.sandbox import Address, Sandbox, running

SHELLS = ("sync-url", "async-url")
TEMPLATE = Template("1234567", "otpkit", {"code": "{code}"}, body="Your code is ${code}.")
BUILD: dict[str, Callable[[str], Gateway]] = {
    "aliyun": lambda url: gateways.Aliyun("sandbox", "sandbox-secret", base_url=url),
    "aliyun-voice": lambda url: gateways.AliyunVoice("sandbox", "sandbox-secret", base_url=url),
    "tencent": lambda url: gateways.Tencent("sandbox", "sandbox-secret", sdk_app_id="1400006666", base_url=url),
    "twilio": lambda url: gateways.Twilio("ACsandbox", "sandbox-secret", sender="+15005550006", base_url=url),
}
"""The gateways whose providers accept further headers, beside the webhook."""


async def sent(shell: str, gateway: Gateway, hook: HookServer, *listeners: object) -> list[dict[str, str]]:
    """Return the headers of the requests of one issue. The server's answer means nothing to the gateway."""
    channel = "voice" if gateway.channels == {"voice"} else "sms"
    async with calling(shell, "memory://", gateway, template=TEMPLATE, listeners=listeners) as caller:
        await caller.issue(PHONE, channel=channel)
    return [headers for _, _, headers, _ in hook.requests]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", [*BUILD, "webhook"])
async def test_gateway_continues_the_trace(name: str, shell: str, hook: HookServer, recorded: Recorded) -> None:
    """The header names the span of the request itself. What is in the baggage stays here."""
    gateway = gateways.Webhook(hook.url, SECRET) if name == "webhook" else BUILD[name](hook.url)
    token = context.attach(baggage.set_baggage("user", "ann"))
    try:
        headers = (await sent(shell, gateway, hook, recorded.listener))[0]
    finally:
        context.detach(token)
    request = next(span for span in recorded.spans if span.name == f"POST {name}")
    own = request.get_span_context()
    version, trace_id, span_id, flags = headers["traceparent"].split("-")
    assert (version, trace_id, span_id) == ("00", f"{own.trace_id:032x}", f"{own.span_id:016x}")
    assert int(flags, 16) & 1
    assert "baggage" not in headers
    signed = headers.get("authorization", "") + headers.get("otpkit-signature", "")
    assert "trace" not in signed


@pytest.mark.parametrize("shell", SHELLS)
async def test_alidayu_gets_no_further_header(shell: str, hook: HookServer, recorded: Recorded) -> None:
    """Its document lists the headers of a request, and no SDK sends others."""
    gateway = gateways.Alidayu("key", "app-secret", base_url=hook.url)
    for headers in await sent(shell, gateway, hook, recorded.listener):
        assert not {"traceparent", "tracestate"} & headers.keys()
    assert hook.requests


@pytest.mark.parametrize("name", [*BUILD, "webhook"])
async def test_no_trace_no_header(name: str, hook: HookServer) -> None:
    gateway = gateways.Webhook(hook.url, SECRET) if name == "webhook" else BUILD[name](hook.url)
    for headers in await sent("sync-url", gateway, hook):
        assert "traceparent" not in headers


@pytest.fixture(scope="module")
def sandbox() -> Address:
    with running(Sandbox()) as address:
        yield address


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", BUILD)
async def test_signature_holds_with_the_header(
    name: str, shell: str, sandbox: Address, namespace: str, recorded: Recorded
) -> None:
    """The sandbox checks the signatures as the providers document them, and accepts the message."""
    gateway = BUILD[name](sandbox.base_url)
    channel = "voice" if gateway.channels == {"voice"} else "sms"
    options = {"template": TEMPLATE, "namespace": namespace, "listeners": [recorded.listener]}
    async with calling(shell, "memory://", gateway, **options) as caller:
        assert (await caller.issue(PHONE, channel=channel)).delivery == "accepted"
        assert gateway.can_trace is False or (await caller.delivery(PHONE)).gateway == name
    assert recorded.call(f"POST {name}").attributes


async def test_captcha_provider_gets_no_header(hook: HookServer, recorded: Recorded) -> None:
    """It is asked about a visitor, and needs no part in the trace."""
    hook.body = b'{"success": true}'
    guard = Guard("enforce", captcha=Turnstile("site-key", "secret-key", base_url=hook.url), ask="always")
    options = {"template": TEMPLATE, "guard": guard, "listeners": [recorded.listener]}
    async with calling("sync-url", "memory://", lambda _: None, **options) as caller:
        await result(caller.issue(PHONE, captcha="answer"))
    assert "traceparent" not in hook.requests[0][2]
    (asked,) = (span for span in recorded.spans if span.name == "POST captcha-turnstile")
    assert (asked.attributes or {})["otpkit.captcha"] == "turnstile"
