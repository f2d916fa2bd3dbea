"""An OTP that is closed during calls, a thread pool that is shut down, and a thread that is interrupted in a call."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

import pytest
from mortal import Mortal
from support.callers import KINDS, calling, loaded, result
from support.rig import PHONE, SECRET, TEMPLATE, outcome
from support.transports import TRANSPORTS, choose

from otpkit import OTP, AsyncOTP, Challenge, ConfigurationError, Policy
from otpkit.gateways import Failover, Push, Webhook
from otpkit.testing import Outbox

ROOMY = Policy(sends="32/day")
HTTP = {f"http, {kind}": kind for kind in TRANSPORTS}

LINES = 400  # Every call runs fewer lines of the store.


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


class Hook:
    """An HTTP server that accepts the messages of a `Webhook` gateway, each after `pause` seconds."""

    def __init__(self) -> None:
        hook = self
        self.pause, self.posts = 0.0, 0
        self.begun = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.posts += 1
                hook.begun.set()
                self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(hook.pause)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.gateway = Webhook(f"http://127.0.0.1:{self.server.server_address[1]}/", SECRET)


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


CALLS: dict[str, tuple[Any, ...]] = {
    "issue": (PHONE, "login"),
    "send": (PHONE, "login", "4711"),
    "verify": (PHONE, "123456"),
    "redeem": ("token",),
    "status": (PHONE,),
    "standing": (PHONE,),
    "delivery": (PHONE,),
    "receive": (Push("/", {}, b"", "POST"),),
    "revoke": (PHONE,),
    "unblock": (PHONE,),
    "erase": (PHONE,),
    "check_device": ("token", PHONE),
    "forget_devices": (PHONE,),
    "guard_report": (),
    "guard_allow": ("total",),
    "guard_block": ("total",),
    "guard_clear": ("total",),
    "spending": (),
    "stats": (),
    "audit": (),
    "gateways": (),
    "open_circuit": ("",),
    "close_circuit": ("",),
}


def test_every_public_call_is_in_the_table() -> None:
    """`check` is not in the table, because it needs nothing that `close` ends."""
    public = {name for name in vars(OTP) if not name.startswith("_") and callable(getattr(OTP, name))}
    assert public - {"check", "close", "from_env"} == set(CALLS)


@pytest.mark.parametrize(
    ("every_kind", "gateway"),
    [
        (kind, gateway)
        for kind in KINDS
        for gateway in ("function", *HTTP, "outbox", "failover", "async function")
        if gateway != "async function" or kind.startswith("async")
    ],
)
async def test_a_closed_otp_refuses_every_call(
    own: Mortal, every_kind: str, gateway: str, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call is refused before it writes or sends anything, in both shells, with a URL and with a client."""
    outbox, sent = Outbox(), []

    async def send(message: Any) -> None:
        sent.append(message)

    gateways = {
        "function": sent.append,
        **dict.fromkeys(HTTP, hook.gateway),
        "outbox": outbox,
        "failover": Failover([hook.gateway, sent.append]),
        "async function": send,
    }
    if gateway in HTTP:
        choose(HTTP[gateway], monkeypatch)
    async with calling(every_kind, own.url, gateways[gateway]) as caller:
        await caller.issue(PHONE)
        handed_over = (len(outbox), len(sent), hook.posts)
        before = own.dump()
        for _ in range(2):
            closing = caller.otp.close()
            if closing is not None:
                await closing
            for name, arguments in (CALLS | {"redeem": (token_of(caller),)}).items():
                with pytest.raises(ConfigurationError, match="closed"):
                    await getattr(caller, name)(*arguments)
        assert (await caller.check(token_of(caller))).phone == PHONE
        with pytest.raises(ConfigurationError, match="closed"):
            await enter(caller.otp)
        assert (own.dump(), (len(outbox), len(sent), hook.posts)) == (before, handed_over)


def token_of(caller: Any) -> str:
    """Return a proof's token, signed without a call."""
    now_ms = int(time.time() * 1000)
    signer = caller.otp._config.signer
    token: str = signer.proof("A" * 22, PHONE, "signup", "", now_ms, now_ms + 60_000, False).token
    return token


async def enter(otp: Any) -> None:
    """Enter the with statement of a sync or async OTP."""
    if isinstance(otp, AsyncOTP):
        async with otp:
            return
    with otp:
        return


@pytest.mark.parametrize("gateway", ["function", *HTTP])
@pytest.mark.parametrize("every_kind", KINDS)
async def test_calls_under_way_end_as_usual(
    own: Mortal, every_kind: str, gateway: str, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The OTP is closed at various moments.

    Sent messages are settled, refused calls reserve nothing, connections close.
    """
    sent: list[str] = []

    def send(message: Any) -> None:
        time.sleep(0.005)
        sent.append(message.phone)

    if gateway in HTTP:
        choose(HTTP[gateway], monkeypatch)
    hook.pause = 0.005
    for delay in (0, 0.002, 0.005, 0.01, 0.02, 0.04):
        phones = [f"+86138{int(delay * 1000):04d}{number:04d}" for number in range(8)]
        async with calling(every_kind, own.url, hook.gateway if gateway in HTTP else send) as caller:
            tasks = [asyncio.ensure_future(result(caller.issue(phone))) for phone in phones]
            await asyncio.sleep(delay)
            closing = caller.otp.close()
            if closing is not None:
                await closing
            outcomes = await asyncio.gather(*tasks)
        with OTP(own.url, Outbox(), TEMPLATE, SECRET, policy=ROOMY) as other:
            for phone, each in zip(phones, outcomes, strict=True):
                if isinstance(each, Challenge):
                    assert each.delivery == "accepted"
                    found = other.status(phone)
                    assert found is not None
                    assert found.delivery == "accepted"
                else:
                    assert isinstance(each, ConfigurationError), each
                    assert other.status(phone) is None
                    assert phone not in sent
    with own.client() as client:
        deadline = time.monotonic() + 5
        while len(client.client_list()) > 1:
            assert time.monotonic() < deadline, "a connection was left open"
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("gateway", ["function", *HTTP])
async def test_closed_while_a_gateway_hangs(
    own: Mortal, kind: str, gateway: str, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that was being sent is settled."""
    begun, go_on = threading.Event(), threading.Event()

    def send(_: Any) -> None:
        begun.set()
        go_on.wait(10)

    if gateway in HTTP:
        choose(HTTP[gateway], monkeypatch)
    hook.pause, hook.begun = 0.3, begun
    async with calling(kind, own.url, hook.gateway if gateway in HTTP else send) as caller:
        task = asyncio.ensure_future(result(caller.issue(PHONE)))
        await asyncio.to_thread(begun.wait, 10)
        closing = caller.otp.close()
        if closing is not None:
            await closing
        refused = await result(caller.issue("+8613900139000"))
        go_on.set()
        assert (await task).delivery == "accepted"
        assert isinstance(refused, ConfigurationError)
    with OTP(own.url, Outbox(), TEMPLATE, SECRET, policy=ROOMY) as other:
        found = other.status(PHONE)
        assert found is not None
        assert found.delivery == "accepted"


def test_closed_from_a_gateway_function(url: str, namespace: str) -> None:
    """`close` does not wait for calls, so a gateway function that closes its own OTP does not hang."""
    otp = OTP(url, lambda _: otp.close(), TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    assert otp.issue(PHONE).delivery == "accepted"
    assert isinstance(outcome(otp.issue, PHONE), ConfigurationError)


async def test_closed_from_an_async_gateway(url: str, namespace: str) -> None:
    """`close` does not wait for calls here either."""

    async def send(_: Any) -> None:
        await otp.close()

    otp = AsyncOTP(url, send, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace)
    assert (await otp.issue(PHONE)).delivery == "accepted"
    assert isinstance(await result(otp.issue(PHONE)), ConfigurationError)


def test_a_thread_pool_shut_down(url: str, namespace: str) -> None:
    """Calls that had started end normally. The others never start."""
    outbox = Outbox()
    with OTP(url, outbox, TEMPLATE, SECRET, policy=ROOMY, namespace=namespace) as otp:
        pool = ThreadPoolExecutor(4)
        futures = [pool.submit(otp.issue, f"+86138{number:08d}") for number in range(100)]
        pool.shutdown(wait=True, cancel_futures=True)
        made = [future.result() for future in futures if not future.cancelled()]
        assert {challenge.delivery for challenge in made} <= {"accepted"}
        assert len(outbox) == len(made)
        assert sum(otp.status(f"+86138{number:08d}") is not None for number in range(100)) == len(made)


class _Interrupted(BaseException):
    """An error that a worker's time limit raises at any line."""


def test_a_thread_interrupted_at_every_line(url: str, namespace: str) -> None:
    """A signal handler may raise anywhere. The next call never reads the interrupted call's reply."""

    def interrupt(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(("store/sync.py", "store/pool.py", "store/protocol.py")):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise _Interrupted
        return interrupt

    tracing = sys.gettrace()
    with loaded(url), OTP(url, Outbox(), TEMPLATE, SECRET, policy=ROOMY, namespace=namespace) as otp:
        for number in range(1, LINES):
            left = number
            sys.settrace(interrupt)
            try:
                otp.status(PHONE)
                break
            except _Interrupted:
                pass
            finally:
                sys.settrace(tracing)
            phone = f"+86139{number:08d}"
            assert otp.issue(phone).phone == phone
            assert otp.status(PHONE) is None
    assert 5 < number < LINES - 1


async def test_closed_twice_and_never_used(kind: str, url: str) -> None:
    """`close` works before any call and after a first `close`."""
    async with calling(kind, url, Outbox()) as caller:
        for _ in range(2):
            closing = caller.otp.close()
            if closing is not None:
                await closing
