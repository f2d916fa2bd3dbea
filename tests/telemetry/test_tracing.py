"""The trace of a call: one span for it, with a child for each script, each HTTP request and each function."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

import pytest
from hook_server import HookServer
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from recorded_spans import Recorded, attributes, seconds
from support.callers import calling, loaded, result
from support.proxy import Fault, Proxy
from support.rig import OTHER_PHONE, PHONE, SECRET, TEMPLATE, wrong
from support.transports import TRANSPORTS, choose

from otpkit import OTP, AsyncOTP, GatewayRejectedError, Guard, StoreUnavailableError, Template, WrongCodeError, gateways
from otpkit.core.flows import Flows
from otpkit.effects import Call
from otpkit.gateways import Failover, Message, Push
from otpkit.sandbox import Sandbox, running
from otpkit.testing import Outbox

SHELLS = ("sync-url", "async-url")
TEXT = Template("1234567", "otpkit", {"code": "{code}"}, body="Your code is ${code}.")
OTHER_CALLS: dict[str, tuple[Any, ...]] = {
    "status": (PHONE,),
    "standing": (PHONE,),
    "delivery": (PHONE,),
    "revoke": (PHONE,),
    "unblock": (PHONE,),
    "forget_devices": (PHONE,),
    "guard_report": (),
    "guard_allow": ("total",),
    "guard_block": ("total",),
    "guard_clear": ("total",),
    "spending": (),
    "stats": (),
    "gateways": (),
    "erase": (PHONE,),
}
SCRIPTS = {
    "delivery": ["status"],
    "guard_report": ["note", "notes", "look"],
    **{name: ["audit_action", name, "audit_action"] for name in ("unblock", "forget_devices", "erase")},
    **{f"guard_{name}": ["audit_action", "override", "audit_action"] for name in ("allow", "block", "clear")},
    "spending": [],
    "stats": ["figures"],
    "gateways": ["gateway_records"],
}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


async def test_every_call_has_a_span_with_its_scripts(
    shell: str, redis_url: str, namespace: str, recorded: Recorded
) -> None:
    """The scripts stand in the order in which Redis ran them."""
    sent: list[Message] = []
    options = {"namespace": namespace, "listeners": [recorded.listener], "guard": Guard()}
    async with calling(shell, redis_url, sent.append, **options) as caller:
        await caller.issue(PHONE)
        proof = await caller.verify(PHONE, sent[-1].code)
        await caller.check(proof.token)
        await caller.redeem(proof.token)
        await caller.check_device(proof.device, PHONE)
        for name, arguments in OTHER_CALLS.items():
            await getattr(caller, name)(*arguments)
    assert recorded.names("otpkit.issue") == ["EVALSHA reserve", "call function", "EVALSHA settle"]
    assert recorded.names("otpkit.verify") == ["EVALSHA verify"]
    assert recorded.names("otpkit.check") == []
    assert recorded.names("otpkit.redeem") == ["EVALSHA redeem"]
    assert recorded.names("otpkit.check_device") == ["EVALSHA check_device"]
    for name in OTHER_CALLS:
        ran = [
            attributes(child)["db.stored_procedure.name"]
            for child in recorded.children(recorded.call(f"otpkit.{name}"))
        ]
        assert ran == SCRIPTS.get(name, [name]), name
    assert all(span.status.status_code is StatusCode.UNSET for span in recorded.spans)


def test_every_flow_is_traced(recorded: Recorded) -> None:
    """A call that is added later has a span too, in both shells."""
    flows = {name for name, _ in inspect.getmembers(Flows, inspect.isfunction) if not name.startswith("_")}
    for shell in (OTP, AsyncOTP):
        otp: Any = shell("memory://", Outbox(), TEMPLATE, SECRET, listeners=[recorded.listener])
        plain: Any = shell("memory://", Outbox(), TEMPLATE, SECRET, listeners=[lambda event: None])
        assert flows <= vars(otp._flows).keys()
        assert not flows & vars(plain._flows).keys()


async def test_call_is_child_of_the_callers_span(shell: str, namespace: str, recorded: Recorded) -> None:
    """And what follows the call is the caller's child again, not the call's."""
    async with calling(shell, "memory://", Outbox(), namespace=namespace, listeners=[recorded.listener]) as caller:
        with recorded.tracer.start_as_current_span("request"):
            if shell.startswith("sync"):
                caller.otp.issue(PHONE)
            else:
                await caller.issue(PHONE)
            with recorded.tracer.start_as_current_span("afterwards"):
                pass
    assert recorded.names("request") == ["otpkit.issue", "afterwards"]


def test_script_follows_the_conventions_for_databases(redis_url: str, namespace: str, recorded: Recorded) -> None:
    with (
        Proxy(redis_url, {}) as proxy,
        OTP(
            f"{proxy.url.removesuffix('/0')}/0",
            Outbox(),
            TEMPLATE,
            SECRET,
            namespace=namespace,
            listeners=[recorded.listener],
        ) as otp,
    ):
        otp.status(PHONE)
    script = recorded.call("EVALSHA status")
    assert script.kind is SpanKind.CLIENT
    assert attributes(script) == {
        "db.system.name": "redis",
        "db.namespace": "0",
        "db.operation.name": "EVALSHA",
        "db.stored_procedure.name": "status",
        "server.address": "127.0.0.1",
        "server.port": proxy.port,
    }


@pytest.mark.parametrize("transport", ["sync", *TRANSPORTS])
async def test_request_follows_the_conventions_for_http(
    transport: str, hook: HookServer, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL has no query and no ids, and its number stands nowhere."""
    if transport != "sync":
        choose(transport, monkeypatch)
    gateway = gateways.Webhook(f"{hook.url}/hooks/A1b2C3d4E5/8613800138000/sms?key=of-the-hook", SECRET)
    kind = "sync-url" if transport == "sync" else "async-url"
    async with calling(kind, "memory://", gateway, template=TEXT, listeners=[recorded.listener]) as caller:
        await caller.issue(PHONE)
    (request,) = (span for span in recorded.spans if span.name == "POST webhook")
    assert request.kind is SpanKind.CLIENT
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": int(hook.url.rpartition(":")[2]),
        "url.full": f"{hook.url}/hooks/{{}}/{{}}/sms",
        "url.template": "/hooks/{}/{}/sms",
        "otpkit.gateway": "webhook",
    }


async def test_issue_reports_its_facts(shell: str, namespace: str, recorded: Recorded) -> None:
    async with calling(shell, "memory://", Outbox(), namespace=namespace, listeners=[recorded.listener]) as caller:
        challenge = await caller.issue(PHONE, "login")
    found = attributes(recorded.call("otpkit.issue"))
    assert len(found.pop("otpkit.operation_id")) == 22
    assert found == {
        "otpkit.event": "issued",
        "otpkit.outcome": "accepted",
        "otpkit.purpose": "login",
        "otpkit.region": "CN",
        "otpkit.gateway": "outbox",
        "otpkit.channel": "sms",
        "otpkit.challenge_id": challenge.id,
    }


async def test_error_is_the_status_of_the_call(shell: str, namespace: str, recorded: Recorded) -> None:
    """The description is the error's code. No exception is recorded, because its text and frames may hold anything."""
    outbox = Outbox()
    async with calling(shell, "memory://", outbox, namespace=namespace, listeners=[recorded.listener]) as caller:
        await caller.issue(PHONE)
        assert isinstance(await result(caller.verify(PHONE, wrong(outbox[-1].code))), WrongCodeError)
        await result(caller.verify("not a phone", "123456"))
    refused, malformed = (span for span in recorded.spans if span.name == "otpkit.verify")
    assert (refused.status.status_code, refused.status.description) == (StatusCode.ERROR, "wrong_code")
    assert attributes(refused)["error.type"] == attributes(refused)["otpkit.outcome"] == "wrong_code"
    assert malformed.status.description == "phone"
    assert "exception" not in {event.name for span in recorded.spans for event in span.events}


@pytest.mark.parametrize(("status", "kind"), [(503, "503"), (None, "NoAnswer")])
async def test_failed_request_is_marked(
    status: int | None, kind: str, shell: str, hook: HookServer, recorded: Recorded
) -> None:
    """The call itself did not fail: its outcome is uncertain."""
    hook.status = status
    gateway = gateways.Webhook(hook.url, SECRET)
    async with calling(shell, "memory://", gateway, template=TEXT, listeners=[recorded.listener]) as caller:
        assert (await caller.issue(PHONE)).delivery == "uncertain"
    request, call = recorded.call("POST webhook"), recorded.call("otpkit.issue")
    assert (request.status.status_code, attributes(request)["error.type"]) == (StatusCode.ERROR, kind)
    assert attributes(call)["otpkit.outcome"] == "uncertain"
    assert call.status.status_code is StatusCode.UNSET


async def test_failover_shows_each_attempt(shell: str, namespace: str, recorded: Recorded) -> None:
    """The event of the failure stands between the two attempts."""

    def refuse(_: Any) -> None:
        raise GatewayRejectedError("no", category="quota")

    chain = Failover([refuse, lambda _: None])
    async with calling(shell, "memory://", chain, namespace=namespace, listeners=[recorded.listener]) as caller:
        await caller.issue(PHONE)
    call = recorded.call("otpkit.issue")
    attempts = [child for child in recorded.children(call) if child.name.startswith("call ")]
    assert [attributes(child)["otpkit.gateway"] for child in attempts] == ["function", "function-2"]
    assert [child.status.description for child in attempts] == ["gateway_rejected", None]
    failed = next(event for event in call.events if event.name == "gateway_failed")
    assert dict(failed.attributes or {})["otpkit.outcome"] == "quota"
    assert attempts[0].end_time <= failed.timestamp <= attempts[1].start_time  # type: ignore[operator]
    assert attributes(call)["otpkit.gateway"] == "function-2"


async def test_slow_gateway_is_seen_in_its_own_span(
    shell: str, redis_url: str, namespace: str, recorded: Recorded
) -> None:
    """The sandbox answers after two seconds: the request's span covers them, and no other child does."""
    slow = "13900100102"
    with running(Sandbox()) as address:
        gateway = gateways.Alidayu("sandbox", "sandbox-secret", base_url=address.gateway_url)
        options = {"namespace": namespace, "listeners": [recorded.listener]}
        async with calling(shell, redis_url, gateway, **options) as caller:
            assert (await caller.issue(slow)).delivery == "accepted"
    call = recorded.call("otpkit.issue")
    spent = {child.name: seconds(child) for child in recorded.children(call)}
    assert spent.keys() == {"EVALSHA reserve", "GET alidayu", "EVALSHA settle"}
    assert 2 <= spent.pop("GET alidayu") <= seconds(call) < 4
    assert all(each < 0.5 for each in spent.values())


async def test_slow_redis_is_seen_in_the_scripts_span(
    shell: str, redis_url: str, namespace: str, recorded: Recorded
) -> None:
    """A proxy delays one reply: the span of that script covers it, and no other child does."""
    with loaded(redis_url) as by_sha, Proxy(redis_url, by_sha) as proxy:
        options = {"namespace": namespace, "listeners": [recorded.listener]}
        async with calling(shell, proxy.url, Outbox(), **options) as caller:
            await caller.issue(OTHER_PHONE)
            recorded.clear()
            proxy.expect("settle", Fault("delay", 0.6))
            await caller.issue(PHONE)
    spent = {child.name: seconds(child) for child in recorded.children(recorded.call("otpkit.issue"))}
    assert spent.pop("EVALSHA settle") >= 0.6
    assert all(each < 0.4 for each in spent.values())


async def test_lost_redis_is_marked(shell: str, recorded: Recorded) -> None:
    async with calling(shell, "redis://127.0.0.1:9/3", Outbox(), listeners=[recorded.listener]) as caller:
        assert isinstance(await result(caller.status(PHONE)), StoreUnavailableError)
    script, call = recorded.call("EVALSHA status"), recorded.call("otpkit.status")
    assert script.status.description == call.status.description == "store_unavailable"
    assert attributes(script)["db.namespace"] == "3"


async def test_pushed_receipts_are_one_batch(shell: str, redis_url: str, namespace: str, recorded: Recorded) -> None:
    """Scripts that run side by side have one span, with their number."""
    gateway = gateways.Tencent("id", "key", sdk_app_id="1400006666")
    rows = [
        {"sid": f"s:{n}", "report_status": "SUCCESS", "mobile": f"1380013800{n}", "nationcode": "86", "ext": "A" * 22}
        for n in range(3)
    ]
    body = str(rows).replace("'", '"').encode()
    options = {"namespace": namespace, "listeners": [recorded.listener], "template": TEXT}
    async with calling(shell, redis_url, gateway, **options) as caller:
        receipts = await caller.receive(Push("/", {"Content-Type": "application/json"}, body, "POST"))
        assert len(receipts.deliveries) == 3
    (batch,) = recorded.children(recorded.call("otpkit.receive"))
    assert batch.name == "BATCH EVALSHA receive"
    assert attributes(batch)["db.operation.batch.size"] == 3


async def test_cancelled_call_ends_its_spans(redis_url: str, namespace: str, recorded: Recorded) -> None:
    """And it leaves nothing behind in the task that goes on: the next span is the caller's child."""
    begun = asyncio.Event()

    async def hang(_: Any) -> None:
        begun.set()
        await asyncio.sleep(60)

    async with AsyncOTP(redis_url, hang, TEMPLATE, SECRET, namespace=namespace, listeners=[recorded.listener]) as otp:
        with recorded.tracer.start_as_current_span("request"):
            before = context.get_current()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await otp.issue(PHONE)
            assert begun.is_set()
            assert context.get_current() == before
            with recorded.tracer.start_as_current_span("afterwards"):
                pass
    assert recorded.names("request") == ["otpkit.issue", "afterwards"]
    call = recorded.call("otpkit.issue")
    assert call.status.description == recorded.call("call function").status.description == "cancelled"


def test_interrupted_call_ends_its_spans(namespace: str, recorded: Recorded) -> None:
    """At once, although the interrupt's traceback still refers to the call's frames."""

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with (
        OTP("memory://", interrupt, TEMPLATE, SECRET, namespace=namespace, listeners=[recorded.listener]) as otp,
        pytest.raises(KeyboardInterrupt),
    ):
        otp.issue(PHONE)
    assert recorded.call("otpkit.issue").status.description == "cancelled"


@pytest.mark.parametrize("kind", ["sync", "plain in async", "async"])
async def test_users_function_runs_within_its_span(kind: str, namespace: str, recorded: Recorded) -> None:
    """The spans that a gateway function makes are children of its call, on threads too."""

    def send(_: Any) -> None:
        with recorded.tracer.start_as_current_span("own"):
            pass

    async def send_async(message: Any) -> None:
        await asyncio.sleep(0)
        send(message)

    gateway = send_async if kind == "async" else send
    shell = "sync-url" if kind == "sync" else "async-url"
    async with calling(shell, "memory://", gateway, namespace=namespace, listeners=[recorded.listener]) as caller:
        await caller.issue(PHONE)
    assert recorded.names("call function") == ["own"]
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_parallel_calls_do_not_mix(shell: str, redis_url: str, namespace: str, recorded: Recorded) -> None:
    """Each of many concurrent calls has its own trace with its own scripts."""
    options = {"namespace": namespace, "listeners": [recorded.listener]}
    async with calling(shell, redis_url, lambda _: None, **options) as caller:
        await asyncio.gather(*[caller.issue(f"+86138{number:08d}") for number in range(30)])
    calls = [span for span in recorded.spans if span.name == "otpkit.issue"]
    assert len({span.get_span_context().trace_id for span in calls}) == 30
    for call in calls:
        assert [child.name for child in recorded.children(call)] == [
            "EVALSHA reserve",
            "call function",
            "EVALSHA settle",
        ]


class _Broken(SpanProcessor):
    """A processor that raises, as one of a wrong version may."""

    def __init__(self, where: str) -> None:
        self._where = where

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        if self._where == "start":
            raise RuntimeError(PHONE)

    def on_end(self, span: ReadableSpan) -> None:
        if self._where == "end":
            raise RuntimeError(PHONE)


@pytest.mark.parametrize("where", ["start", "end"])
async def test_broken_processor_breaks_no_call(
    where: str, shell: str, namespace: str, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    recorded.provider.add_span_processor(_Broken(where))
    outbox = Outbox()
    async with calling(shell, "memory://", outbox, namespace=namespace, listeners=[recorded.listener]) as caller:
        await caller.issue(PHONE)
        assert isinstance(await result(caller.verify(PHONE, wrong(outbox[-1].code))), WrongCodeError)
        assert (await caller.verify(PHONE, outbox[-1].code)).phone == PHONE
    assert PHONE not in caplog.text


async def test_unsampled_call_has_no_children(shell: str, hook: HookServer) -> None:
    """The gateway is still told that the trace is not sampled, so that it does not begin one of its own."""
    quiet = Recorded(ALWAYS_OFF)
    gateway = gateways.Webhook(hook.url, SECRET)
    async with calling(shell, "memory://", gateway, template=TEXT, listeners=[quiet.listener]) as caller:
        await caller.issue(PHONE)
    assert quiet.spans == []
    (_, _, headers, _) = hook.requests[0]
    version, _, _, flags = headers["traceparent"].split("-")
    assert (version, int(flags, 16) & 1) == ("00", 0)


def test_without_sdk_nothing_is_recorded(namespace: str, hook: HookServer) -> None:
    """The API alone has no tracer: calls run as without the listener, and no header is sent."""
    from otpkit.telemetry import OpenTelemetryListener

    gateway = gateways.Webhook(hook.url, SECRET)
    with OTP("memory://", gateway, TEXT, SECRET, namespace=namespace, listeners=[OpenTelemetryListener()]) as otp:
        assert otp.issue(PHONE).delivery == "accepted"
    assert "traceparent" not in hook.requests[0][2]


async def test_started_trace_lasts_as_long_as_the_call(shell: str, namespace: str, recorded: Recorded) -> None:
    """The call's span begins before the first child and ends after the last one."""
    async with calling(shell, "memory://", Outbox(), namespace=namespace, listeners=[recorded.listener]) as caller:
        before = time.time_ns()
        await caller.issue(PHONE)
        after = time.time_ns()
    call = recorded.call("otpkit.issue")
    children = recorded.children(call)
    times = [call.start_time, children[0].start_time, children[-1].end_time, call.end_time]
    assert times == sorted(times)  # type: ignore[type-var]
    assert before <= times[0] <= times[-1] <= after  # type: ignore[operator]


class _Interrupt(BaseException):
    """An error that no flow sees, such as KeyboardInterrupt."""


@pytest.mark.parametrize("shell_class", [OTP, AsyncOTP])
async def test_interrupted_flow_is_closed_at_once(shell_class: type) -> None:
    """Even if something still refers to it, so that the tracer's flow ends its spans in any case."""

    def flow() -> Any:
        yield Call(interrupt, None)

    def interrupt(_: Any) -> None:
        raise _Interrupt

    async def interrupt_async(_: Any) -> None:
        raise _Interrupt

    if shell_class is AsyncOTP:
        interrupt = interrupt_async  # type: ignore[assignment]
    otp: Any = shell_class("memory://", Outbox(), TEMPLATE, SECRET)
    running = flow()

    async def drive() -> None:
        found = otp._drive(running)
        await found

    with pytest.raises(_Interrupt):
        await drive()
    assert inspect.getgeneratorstate(running) == inspect.GEN_CLOSED
