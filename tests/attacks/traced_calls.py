"""Make calls under sentry-sdk and OpenTelemetry, which patch http.client and aiohttp, and print their records.

Print a JSON object: the created codes, and for each case the records of Sentry and of OpenTelemetry as texts.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import warnings
from collections.abc import Callable
from typing import Any

import sentry_sdk
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.transport import Transport
from support.secrets import SECRET
from wire_server import WireServer, drop, reply

from otpkit import OTP, AsyncOTP, ConfigurationError, OTPError, Policy, Template, gateways
from otpkit.core.crypto import CodeKey
from otpkit.transport.lanes import Lanes

PHONE = "+8613800138000"
TEMPLATE = Template("1234567", "otpkit", {"code": "{code}"}, body="Your code is ${code}.")
POLICY = Policy(code_length=10)  # Ten digits do not occur elsewhere by chance.
CODES: list[str] = []
SHELLS: dict[str, type] = {"OTP": OTP, "AsyncOTP on threads": AsyncOTP, "AsyncOTP by aiohttp": AsyncOTP}
GATEWAYS: dict[str, Callable[[str], Any]] = {
    "alidayu": lambda url: gateways.Alidayu("key", "app-secret", base_url=url),
    "aliyun": lambda url: gateways.Aliyun("key", "app-secret", base_url=url),
    "aliyun-voice": lambda url: gateways.AliyunVoice("key", "app-secret", base_url=url),
    "tencent": lambda url: gateways.Tencent("id", "key", sdk_app_id="1400006666", base_url=url),
    "twilio": lambda url: gateways.Twilio("AC0", "token", sender="+15550000000", base_url=url),
    "webhook": lambda url: gateways.Webhook(f"{url}/hook?key=of-the-hook", SECRET),
    "apprise": lambda url: gateways.Apprise(f"{url.replace('http', 'json')}/{{phone}}"),
    "apprise-query": lambda url: gateways.Apprise(f"{url.replace('http', 'form')}/in?+to={{phone}}&method=GET"),
}


class Envelopes(Transport):
    """Keeps the data that would be sent to Sentry."""

    kept: list[str] = []  # noqa: RUF012 - the one of this process

    def capture_envelope(self, envelope: Any) -> None:
        self.kept.append(envelope.serialize().decode("utf-8", "replace"))


def remembering(make: Callable[..., str]) -> Callable[..., str]:
    def code(*args: Any) -> str:
        CODES.append(make(*args))
        return CODES[-1]

    return code


def report(call: Callable[[], Any]) -> None:
    """Make a sync or async call, and report its error. No frame of this file contains a code or the number."""
    try:
        found = call()
        if inspect.iscoroutine(found):
            asyncio.run(found)
    except OTPError:
        sentry_sdk.capture_exception()


def use(otp: Any) -> None:
    """Make the calls that use the gateway."""
    report(lambda: otp.issue(PHONE))
    report(lambda: otp.delivery(PHONE))


def use_without_permission(otp: Any) -> None:
    """Make each call with every script refused, while the right code is unused."""
    report(lambda: otp.issue(PHONE))

    def refuse(*_: Any) -> Any:
        raise ConfigurationError("The server refused the script.")

    otp._store.run = refuse
    report(lambda: otp.verify(PHONE, CODES[-1]))
    for name in ("issue", "status", "delivery", "revoke", "standing", "unblock", "erase"):
        report(lambda name=name: getattr(otp, name)(PHONE))


def main() -> None:
    """Run every case."""
    warnings.simplefilter("ignore")
    sentry_sdk.init(
        "http://key@127.0.0.1:9/1",
        transport=Envelopes,
        traces_sample_rate=1.0,
        send_default_pii=True,
        max_breadcrumbs=1000,
    )
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    AioHttpClientInstrumentor().instrument()
    RequestsInstrumentor().instrument()
    URLLib3Instrumentor().instrument()
    CodeKey.code = remembering(CodeKey.code)  # type: ignore[method-assign]
    found: dict[str, Any] = {}

    look_for_aio = Lanes._look_for_aio

    def record(case: str, shell: str, use: Callable[[Any], None], build: Callable[[str], Any], act: Any) -> None:
        Envelopes.kept.clear()
        exporter.clear()
        with WireServer(act) as server, sentry_sdk.isolation_scope():
            with sentry_sdk.start_transaction(name=case), trace.get_tracer("tests").start_as_current_span(case):
                use(SHELLS[shell]("memory://", build(server.url), TEMPLATE, SECRET, policy=POLICY))
            sentry_sdk.capture_message("all breadcrumbs")
            asked = len(server.requests)
        spans = [span.to_json() for span in exporter.get_finished_spans()]
        found[f"{case} {shell}"] = {"sentry": list(Envelopes.kept), "spans": spans, "requests": asked}

    for shell in SHELLS:
        Lanes._look_for_aio = look_for_aio if "aiohttp" in shell else lambda _: None  # type: ignore[method-assign]
        for name, build in GATEWAYS.items():
            for how, act in (("served", reply("")), ("failed", reply("", 400)), ("dropped", drop)):
                record(f"{name} {how}", shell, use, build, act)
        record("no permission", shell, use_without_permission, lambda url: take, drop)
    print(json.dumps({"codes": CODES, "cases": found}))


def take(message: Any) -> None:
    """Accept a message."""


if __name__ == "__main__":
    main()
