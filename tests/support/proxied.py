"""A caller behind the proxy, and the server's stored state after its calls."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import redis

from otpkit import Challenge, Proof, Sent
from otpkit.testing import MovableClock, Outbox
from support.callers import Caller, calling
from support.proxy import Proxy


class Proxied:
    """A caller behind the proxy, with an outbox, a clock, and access to the server's stored state."""

    def __init__(self, caller: Caller, proxy: Proxy, outbox: Outbox, clock: MovableClock, server: redis.Redis) -> None:
        self.caller, self.proxy, self.outbox, self.clock, self.server = caller, proxy, outbox, clock, server
        self.namespace = caller.otp._config.namespace
        self.spoil: Callable[[], object] = lambda: None
        """A function that plans the faults of the next call."""

    @property
    def code(self) -> str:
        return self.outbox[-1].code

    def kept(self) -> tuple[Any, ...]:
        """Return the stored state without parts that differ between runs: facts by kind, and every counter."""
        keys = list(self.server.scan_iter(match=f"{self.namespace}:*"))
        facts = [fact for key in keys if key.endswith(b":p") for fact in self.server.hgetall(key).items()]
        kinds = Counter(chr(name[0]) for name, _ in facts)
        wrong_codes = sorted(value[42] for name, value in facts if name[:1] == b"c")
        counts = [count for key in keys if key.endswith(b":w") for count in self.server.hvals(key)]
        windows = sorted(int(count.split()[1]) for count in counts)
        consecutive = sorted(int(self.server.get(key)) for key in keys if key.endswith(b":c"))
        return dict(kinds), windows, consecutive, wrong_codes, len(self.outbox)


def told(answer: Any) -> Any:
    """Return a result without parts that differ between runs."""
    if isinstance(answer, Challenge):
        return (answer.delivery, answer.attempts_left, answer.sends_left, answer.expires_in, answer.replayed)
    if isinstance(answer, Sent):
        return ("sent", answer.delivery, answer.sends_left, answer.resend_in, answer.replayed)
    if isinstance(answer, Proof):
        return ("proof", answer.phone, answer.purpose, answer.verified_at, answer.expires_at, answer.replayed)
    return (type(answer).__name__, str(answer))


@contextlib.asynccontextmanager
async def staged(kind: str, proxy: Proxy, server_url: str, namespace: str) -> AsyncIterator[Proxied]:
    outbox, clock = Outbox(), MovableClock()
    with redis.Redis.from_url(server_url) as server:
        async with calling(kind, proxy.url, outbox, namespace=namespace, clock=clock) as caller:
            yield Proxied(caller, proxy, outbox, clock, server)
