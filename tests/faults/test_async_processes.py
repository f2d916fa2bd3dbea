"""AsyncOTP in a forked child, and in an event loop of another library than asyncio."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import redis
import redis.asyncio
from support.callers import BROAD
from support.rig import PHONE, SECRET, TEMPLATE
from test_processes import in_a_fork, status_of

from otpkit import OTP, AsyncOTP, ConfigurationError

trio = pytest.importorskip("trio")


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


def build(way: str, url: str, namespace: str) -> tuple[AsyncOTP, list[Any]]:
    """Return an AsyncOTP whose gateway function needs a thread, and the list of its messages."""
    sent: list[Any] = []
    store: Any = url if way == "url" else redis.asyncio.Redis.from_url(url)
    return AsyncOTP(store, sent.append, TEMPLATE, SECRET, policy=BROAD, namespace=namespace), sent


async def work(otp: AsyncOTP, sent: list[Any], area: int) -> bool:
    """Issue, verify and redeem for several phones concurrently."""

    async def verified(phone: str) -> bool:
        await otp.issue(phone)
        code = next(message.code for message in sent if message.phone == phone)
        return (await otp.redeem((await otp.verify(phone, code)).token)).phone == phone

    phones = [f"+86138{area:04d}{number:04d}" for number in range(8)]
    return all(await asyncio.gather(*map(verified, phones)))


async def in_a_child(otp: AsyncOTP, sent: list[Any]) -> bool:
    done = await work(otp, sent, 1)
    await otp.close()
    return done


@pytest.mark.parametrize("way", ["url", "client"])
@pytest.mark.parametrize("place", ["between calls", "in a call's loop"])
def test_a_child_and_its_parent_go_on_after_a_fork(url: str, namespace: str, way: str, place: str) -> None:
    """Each process uses its own threads and connections, whether the fork was inside or outside a running loop."""
    otp, sent = build(way, url, namespace)

    def child() -> bool:
        return asyncio.run(in_a_child(otp, sent))

    async def in_the_midst() -> tuple[int, bool]:
        assert await work(otp, sent, 0)
        return in_a_fork(child), await work(otp, sent, 2)

    loop = asyncio.new_event_loop()
    try:
        if place == "between calls":
            assert loop.run_until_complete(work(otp, sent, 0))
            pid, done = in_a_fork(child), loop.run_until_complete(work(otp, sent, 2))
        else:
            pid, done = loop.run_until_complete(in_the_midst())
        assert done
        assert status_of(pid) == 0
        assert loop.run_until_complete(work(otp, sent, 3))
        loop.run_until_complete(otp.close())
        if way == "client":
            loop.run_until_complete(otp._store.client.aclose())
    finally:
        loop.close()


def test_a_child_forked_while_the_parent_calls(url: str, namespace: str) -> None:
    """The parent's tasks hold connections, permits and threads. The child has none of them."""
    sent: list[Any] = []
    busy, go_on = threading.Event(), threading.Event()

    def gateway(message: Any) -> None:
        sent.append(message)
        if len(sent) == 32:
            busy.set()
        go_on.wait(10)

    otp = AsyncOTP(url, gateway, TEMPLATE, SECRET, policy=BROAD, namespace=namespace, gateway_wait=10)

    def child() -> bool:
        sent.clear()
        go_on.set()
        return asyncio.run(in_a_child(otp, sent))

    async def main() -> tuple[int, list[Any]]:
        calls = [asyncio.ensure_future(otp.issue(f"+86139{number:08d}")) for number in range(40)]
        await asyncio.to_thread(busy.wait, 10)
        pid = in_a_fork(child)
        go_on.set()
        outcomes = await asyncio.gather(*calls)
        await otp.close()
        return pid, outcomes

    pid, outcomes = asyncio.run(main())
    assert {each.delivery for each in outcomes} == {"accepted"}
    assert status_of(pid) == 0


def test_a_child_may_close_while_its_parent_calls(url: str, namespace: str) -> None:
    """The parent's pending calls never end in the child. `close` works anyway."""
    begun, go_on = threading.Event(), threading.Event()

    def gateway(_: Any) -> None:
        begun.set()
        go_on.wait(10)

    otp = OTP(url, gateway, TEMPLATE, SECRET, policy=BROAD, namespace=namespace)
    thread = threading.Thread(target=otp.issue, args=(PHONE,))
    thread.start()
    begun.wait(10)
    pid = in_a_fork(otp._calls.close)
    go_on.set()
    thread.join()
    otp.close()
    assert status_of(pid) == 0


CALLS: dict[str, tuple[Any, ...]] = {
    "issue": (PHONE,),
    "verify": (PHONE, "123456"),
    "status": (PHONE,),
    "standing": (PHONE,),
    "delivery": (PHONE,),
    "revoke": (PHONE,),
    "unblock": (PHONE,),
    "erase": (PHONE,),
    "close": (),
    "__aenter__": (),
}


@pytest.mark.parametrize("name", CALLS)
def test_under_trio_asyncio_is_asked_for(url: str, namespace: str, name: str) -> None:
    """The error comes before anything is written or sent."""
    otp, sent = build("url", url, namespace)

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="AsyncOTP needs asyncio") as refused:
            await getattr(otp, name)(*CALLS[name])
        assert (refused.value.__cause__, refused.value.__context__) == (None, None)

    trio.run(main)
    with redis.Redis.from_url(url) as client:
        assert (sent, list(client.scan_iter(f"{namespace}:*"))) == ([], [])


def test_as_a_guest_of_asyncio_trio_is_no_asyncio(url: str, namespace: str) -> None:
    """An asyncio loop is running then, but the code does not run in one of its tasks."""
    otp, _ = build("url", url, namespace)

    async def guest() -> None:
        with pytest.raises(ConfigurationError, match="AsyncOTP needs asyncio"):
            await otp.issue(PHONE)

    async def host() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        outcomes: list[Any] = []

        def end(outcome: Any) -> None:
            outcomes.append(outcome)
            done.set()

        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=end,
            host_uses_signal_set_wakeup_fd=True,
        )
        await done.wait()
        outcomes[0].unwrap()

    asyncio.run(host())
