"""The transport by aiohttp works with any number of loops, with forks, and with cancellation at any point."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from egress import Proxy
from leaks import reachable_text
from provider_lab import CODE, NUMBER, PHONE, SECRET, TEMPLATE
from support.secrets import SECRET as OTP_SECRET
from support.transports import choose, new_loop
from wire_server import CERTIFICATE, Peer, WireServer, answer, drop, reply, silence

from otpkit import AsyncOTP, ConfigurationError
from otpkit.effects import HttpRequest, NoAnswer
from otpkit.gateways import Failover, Webhook
from otpkit.testing import MovableClock, Outbox
from otpkit.transport import aio
from otpkit.transport.aio import AsyncTransport
from otpkit.transport.lanes import REQUESTS, Lanes


def request_to(url: str, *, proxy: str | None = None) -> HttpRequest:
    params, headers = {"code": CODE, "to": NUMBER}, {"X-Secret": SECRET}
    return HttpRequest(method="POST", url=url, params=params, headers=headers, timeout=(5, 5), body=b"x", proxy=proxy)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine in a new loop, as `asyncio.run` does."""

    def run(story: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=lambda: new_loop(request.param)) as runner:
            return runner.run(story)

    return run


def connections_of(transport: AsyncTransport) -> set[Any]:
    return {each for loop in transport._loops.values() for c in loop.connectors.values() for each in c.connected}


async def arrived(server: WireServer) -> None:
    """Wait until a request has arrived."""

    def wait() -> None:
        deadline = time.monotonic() + 10
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.005)

    await asyncio.to_thread(wait)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class TestLoops:
    def test_each_has_connections_of_its_own(self, run: Callable[..., Any]) -> None:
        """They are closed with the loop. Another loop opens new ones."""
        transport = AsyncTransport()

        async def several() -> None:
            for _ in range(3):
                assert (await transport.exchange(request_to(server.url))).text == "ok"

        with WireServer(reply("ok")) as server:
            for _ in range(3):
                run(several())
                assert connections_of(transport) == set()
            assert (len(server.requests), server.connections) == (9, 3)

    def test_at_once_each_gets_its_own_answers(self, run: Callable[..., Any]) -> None:
        transport = AsyncTransport(ca_file=CERTIFICATE)

        def echo(peer: Peer) -> None:
            peer.send(answer(peer.server.requests[-1].line))

        async def ask(index: int) -> None:
            for turn in range(10):
                request = HttpRequest(
                    method="GET", url=f"{server.url}/{index}-{turn}", params={}, headers={}, timeout=(5, 5)
                )
                assert (await transport.exchange(request)).status == 200

        async def several(index: int) -> None:
            await asyncio.gather(*(ask(index * 10 + each) for each in range(5)))

        with WireServer(echo, tls=True) as server, ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda index: run(several(index)), range(4)))
        assert len(server.requests) == 200

    @pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
    @pytest.mark.parametrize("how", ["asyncio", "uvloop"])
    def test_that_was_just_closed_leaves_nothing_open(self, how: str, tls: bool) -> None:
        """No `shutdown_asyncgens` ran, so its connections stayed open: the next loop closes them."""
        transport, loop = AsyncTransport(ca_file=CERTIFICATE), new_loop(how)
        with WireServer(reply("ok"), tls=tls) as server:
            assert loop.run_until_complete(transport.exchange(request_to(server.url))).text == "ok"
            loop.run_until_complete(loop.shutdown_default_executor())
            with pytest.warns(ResourceWarning) if how == "uvloop" else nullcontext():
                loop.close()
                gc.collect()
                asyncio.run(transport.exchange(request_to(server.url)))
                gc.collect()
            asyncio.run(transport.close())
            for thread in server._threads[1:]:
                thread.join(5)
                assert not thread.is_alive()

    def test_that_ends_in_another_thread_closes_its_own(self, run: Callable[..., Any]) -> None:
        """`close` in one loop also closes the connections of other loops."""
        transport, kept, go_on = AsyncTransport(), threading.Event(), threading.Event()

        async def other() -> None:
            await transport.exchange(request_to(server.url))
            kept.set()
            await asyncio.to_thread(go_on.wait, 10)
            for _ in range(100):
                if not connections:
                    break
                await asyncio.sleep(0.01)
            assert not connections

        async def close() -> None:
            await transport.close()

        with WireServer(reply("ok")) as server, ThreadPoolExecutor(1) as pool:
            ended = pool.submit(run, other())
            assert kept.wait(10)
            connections = next(iter(next(iter(transport._loops.values())).connectors.values())).connected
            assert connections
            run(close())
            go_on.set()
            ended.result(20)

    def test_transport_that_was_never_closed_warns_of_nothing(self) -> None:
        """aiohttp logs unclosed sessions; this transport logs nothing."""
        script = f"""
import asyncio, logging, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
logging.basicConfig(level=logging.DEBUG)
from otpkit.effects import HttpRequest
from otpkit.transport.aio import AsyncTransport
transport, loop = AsyncTransport(), asyncio.new_event_loop()
request = HttpRequest(method="GET", url=sys.argv[1], timeout=(5, 5))
asyncio.run(transport.exchange(request))
loop.run_until_complete(transport.exchange(request))
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()
"""
        with WireServer(reply("ok")) as server:
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", script, server.url],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
        lines = [line for line in done.stderr.splitlines() if "Using selector" not in line]
        assert (done.stdout, lines) == ("", [])

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_forked_child_uses_connections_of_its_own(self) -> None:
        """The parent's connections are unchanged."""
        script = """
import asyncio, os, sys
from otpkit import AsyncOTP, Template
from otpkit.gateways import Webhook
gateway = Webhook(*sys.argv[1:])
otp = AsyncOTP("memory://", gateway, Template("1", body="${code}"), sys.argv[2])
runner = asyncio.Runner()
def send(phone):
    assert runner.run(otp.issue(phone)).delivery == "accepted"
    assert otp._lanes._aio is not None
send("13800138000")
if not os.fork():
    runner = asyncio.Runner()
    send("13800138001")
    runner.run(otp.close())
    os._exit(0)
assert os.wait()[1] == 0
send("13800138002")
runner.run(otp.close())
runner.close()
"""
        with WireServer(reply({"id": "1"})) as server:
            subprocess.run([sys.executable, "-c", script, server.url, OTP_SECRET], check=True, timeout=60)
        assert (len(server.requests), server.connections) == (3, 2)


class TestCancellation:
    @pytest.mark.parametrize("way", ["plain", "tls", "proxy"])
    def test_at_any_turn_leaves_nothing_behind(self, way: str, run: Callable[..., Any]) -> None:
        """No connection stays open, no second request is sent, nothing is logged, and the transport still works."""
        problems: list[Any] = []

        async def story() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
            transport = AsyncTransport(ca_file=CERTIFICATE)
            through = proxy.url if way == "proxy" else None
            assert (await transport.exchange(request_to(server.url, proxy=through))).text == "ok"
            before = descriptors()
            for turns in range(60):
                if turns % 2:  # Use a new connection every second time.
                    await transport.close()
                    await asyncio.sleep(0)
                task = asyncio.ensure_future(transport.exchange(request_to(f"{server.url}/{turns}", proxy=through)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if turns > 20:
                    await asyncio.sleep(0.0001 * 1.12**turns)  # The delay grows to 80 ms.
                if task.cancel():
                    with suppress(asyncio.CancelledError):
                        await task
                for _ in range(500):
                    if len(connections_of(transport)) <= 1:
                        break
                    await asyncio.sleep(0.002)
                assert len(connections_of(transport)) <= 1
            await transport.close()
            for _ in range(500):
                if descriptors() < before:
                    break
                await asyncio.sleep(0.002)
            assert descriptors() < before
            gc.collect()
            await asyncio.sleep(0)
            assert problems == []
            assert (await transport.exchange(request_to(server.url, proxy=through))).text == "ok"
            await transport.close()

        with WireServer(reply("ok"), tls=way != "plain") as server, Proxy() as proxy:
            run(story())
        # Only the first and the last request have the same path.
        assert max(Counter(request.path for request in server.requests).values()) == 2
        assert len({request.path for request in server.requests}) > 5

    def test_while_the_answer_is_awaited_closes_the_connection(self, run: Callable[..., Any]) -> None:
        gone = threading.Event()

        def wait(peer: Peer) -> None:
            silence(peer)
            gone.set()

        async def story() -> None:
            transport = AsyncTransport()
            task = asyncio.ensure_future(transport.exchange(request_to(server.url)))
            await arrived(server)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert await asyncio.to_thread(gone.wait, 5)
            assert connections_of(transport) == set()
            del caught
            await transport.close()

        with WireServer(wait) as server:
            run(story())
        assert len(server.requests) == 1

    def test_of_a_call_leaves_an_uncertain_message(self, run: Callable[..., Any]) -> None:
        """One request was written, so the outcome is never a rejection. No frame contains the request."""
        clock = MovableClock()

        async def story() -> None:
            gateway = Webhook(server.url, SECRET)
            async with AsyncOTP("memory://", gateway, TEMPLATE, OTP_SECRET, clock=clock) as otp:
                task = asyncio.ensure_future(otp.issue(PHONE))
                await arrived(server)
                task.cancel()
                with pytest.raises(asyncio.CancelledError) as caught:
                    await task
                code: str = json.loads(server.requests[0].raw.partition(b"\r\n\r\n")[2])["code"]
                text = reachable_text(caught.value)
                assert NUMBER not in text
                assert code not in text
                clock.advance(31)
                challenge = await otp.status(PHONE)
                assert challenge is not None
                assert challenge.delivery == "uncertain"

        with WireServer(silence) as server:
            run(story())
        assert len(server.requests) == 1


class TestLanes:
    @pytest.fixture(autouse=True)
    def by_aiohttp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        choose("aiohttp", monkeypatch)

    def test_no_more_at_a_time_than_they_may(self, run: Callable[..., Any]) -> None:
        """A caller that waits too long gets a rejection, so another gateway may be used."""

        async def story() -> None:
            outbox = Outbox()
            slow = Webhook(server.url, SECRET, timeout=(5, 20))
            failover = Failover([slow, outbox])
            async with AsyncOTP(
                "memory://", failover, TEMPLATE, OTP_SECRET, gateway_wait=0.2, gateway_concurrency=2
            ) as otp:
                phones = [f"+861380013800{number}" for number in range(5)]
                tasks = [asyncio.ensure_future(otp.issue(phone)) for phone in phones]
                done, waiting = await asyncio.wait(tasks, timeout=1)
                assert (len(done), len(waiting), len(outbox), len(server.requests)) == (3, 2, 3, 2)
                release.set()
                assert {(await task).delivery for task in tasks} == {"accepted"}
                await otp.issue("+8613800138009")
                assert len(server.requests) == 3

        release = threading.Event()

        def hold(peer: Peer) -> None:
            release.wait(10)
            peer.send(answer({"id": "1"}))

        with WireServer(hold) as server:
            run(story())

    def test_call_cancelled_while_it_waits_is_never_made(self, run: Callable[..., Any]) -> None:
        release = threading.Event()

        def hold(peer: Peer) -> None:
            release.wait(10)
            peer.send(answer({"id": "1"}))

        async def story() -> None:
            gateway = Webhook(server.url, SECRET)
            async with AsyncOTP("memory://", gateway, TEMPLATE, OTP_SECRET, gateway_concurrency=1) as otp:
                first = asyncio.ensure_future(otp.issue(PHONE))
                await arrived(server)
                second = asyncio.ensure_future(otp.issue("+8613800138001"))
                third = asyncio.ensure_future(otp.issue("+8613800138002"))
                await asyncio.sleep(0.2)
                second.cancel()
                release.set()
                assert (await first).delivery == (await third).delivery == "accepted"
                with pytest.raises(asyncio.CancelledError):
                    await second

        with WireServer(hold) as server:
            run(story())
        assert len(server.requests) == 2

    @pytest.mark.parametrize("many", [0, -1, 10_001, 1.5, "32", True, float("nan")], ids=repr)
    def test_concurrency_is_a_whole_number(self, many: Any) -> None:
        with pytest.raises(ConfigurationError, match="gateway_concurrency"):
            AsyncOTP("memory://", Outbox(), TEMPLATE, OTP_SECRET, gateway_concurrency=many)

    async def test_threads_are_as_many_as_they_may_be(self) -> None:
        lanes, busy, go_on = Lanes(0.1, 3), [], threading.Event()

        def hang(argument: object) -> None:
            busy.append(argument)
            go_on.wait(10)

        tasks = [asyncio.ensure_future(lanes._on_thread("a", hang, each, None)) for each in range(5)]
        done, _ = await asyncio.wait(tasks, timeout=0.5)
        go_on.set()
        assert (len(done), len(busy)) == (2, 3)
        for task in done:
            assert "all 3 threads" in str(task.exception())
        await asyncio.gather(*tasks, return_exceptions=True)
        await lanes.close()

    async def test_loops_that_ended_are_forgotten(self) -> None:
        lanes = Lanes(1)
        await asyncio.to_thread(lambda: asyncio.run(lanes._place("a", None)))
        await lanes._place("a", None)
        assert list(lanes._places) == [asyncio.get_running_loop()]
        assert lanes._places[asyncio.get_running_loop()]["a"]._value == REQUESTS - 1


WITHOUT = {
    "not installed": "sys.modules['aiohttp'] = None",
    "older than it must be": "import aiohttp; aiohttp.__version__ = '3.9.5'",
    "of another series": "import aiohttp; aiohttp.__version__ = '4.0.0a1'",
    "broken": "import aiohttp; del aiohttp.BaseConnector",
}


@pytest.mark.parametrize("how", WITHOUT)
def test_threads_serve_where_aiohttp_is_of_no_use(how: str) -> None:
    script = f"""
import asyncio, sys, threading
{WITHOUT[how]}
from otpkit import AsyncOTP, Template
from otpkit.gateways import Webhook
async def story():
    async with AsyncOTP("memory://", Webhook(*sys.argv[1:]), Template("1", body="${{code}}"), sys.argv[2]) as otp:
        assert (await otp.issue("13800138000")).delivery == "accepted"
        assert any(each.name.startswith("otpkit-") for each in threading.enumerate()), threading.enumerate()
        assert otp._lanes._aio is None
asyncio.run(story())
"""
    with WireServer(reply({"id": "1"})) as server:
        subprocess.run([sys.executable, "-c", script, server.url, OTP_SECRET], check=True, timeout=60)
    assert len(server.requests) == 1


async def test_no_thread_is_needed_for_a_request() -> None:
    """Only an import and a name look-up use a thread."""
    before = set(threading.enumerate())  # Other tests of this process keep some.
    with WireServer(reply({"id": "1"})) as server:
        async with AsyncOTP("memory://", Webhook(server.url, SECRET), TEMPLATE, OTP_SECRET) as otp:
            await otp.issue(PHONE)
            assert not [each for each in set(threading.enumerate()) - before if each.name.startswith("otpkit-")]
            assert otp._lanes._aio is not None


async def test_aiohttp_is_given_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook into aiohttp, such as a trace, sees neither the query nor the headers of the request."""
    seen: list[str] = []
    real = aiohttp.ClientSession._request

    async def request(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(repr((args, {name: value for name, value in options.items() if name != "data"})))
        return await real(self, *args, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", request)
    with WireServer(reply("ok")) as server:
        transport = AsyncTransport()
        await transport.exchange(request_to(f"{server.url}/send?key=of-the-hook"))
        await transport.close()
    assert len(seen) == 1
    assert not [each for each in (CODE, NUMBER, SECRET, "of-the-hook") if each in seen[0]]
    (sent,) = server.requests
    assert sent.line == f"POST /send?key=of-the-hook&code={CODE}&to={NUMBER} HTTP/1.1"
    assert sent.headers["x-secret"] == SECRET


async def test_second_attempt_of_one_exchange_is_refused() -> None:
    """The attempt may come from a later version of aiohttp or from another package's middleware."""
    attempts: list[str] = []
    real = aio._Connector.connect

    async def connect(self: Any, *args: Any, **options: Any) -> Any:
        found = await real(self, *args, **options)
        with pytest.raises(RuntimeError):
            await real(self, *args, **options)
        attempts.append("refused")
        return found

    with pytest.MonkeyPatch.context() as patched, WireServer(reply("ok")) as server:
        patched.setattr(aio._Connector, "connect", connect)
        transport = AsyncTransport()
        assert (await transport.exchange(request_to(server.url))).text == "ok"
        await transport.close()
    assert (attempts, server.connections) == (["refused"], 1)


async def test_repeated_get_is_refused_whatever_aiohttp_is_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal does not depend on aiohttp's own setting."""
    repeats = property(lambda _: True, lambda _self, _value: None)
    monkeypatch.setattr(aiohttp.ClientSession, "_retry_connection", repeats, raising=False)
    with WireServer(reply("1"), drop, reply("never")) as server:
        transport = AsyncTransport()
        get = HttpRequest(method="GET", url=server.url, timeout=(5, 5))
        assert (await transport.exchange(get)).text == "1"
        with pytest.raises(NoAnswer) as caught:
            await transport.exchange(get)
        assert "RuntimeError" in str(caught.value)  # aiohttp did try a second time.
        await transport.close()
    assert (len(server.requests), server.connections) == (2, 1)


async def test_idle_connection_keeps_no_secret() -> None:
    """The connection may stay open for a long time after its last request."""
    with WireServer(reply("ok")) as server:
        transport = AsyncTransport()
        await transport.exchange(request_to(server.url))
        (connection,) = connections_of(transport)
        held = repr({name: getattr(connection.exchange, name) for name in ("headers", "host_header", "query", "url")})
        assert not [each for each in (CODE, NUMBER, SECRET) if each in held]
        await transport.close()
