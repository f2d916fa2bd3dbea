"""The store: calls fail closed within the timeouts, owned clients are closed, and decoding clients work."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.rig import MEMORY, PHONE, VISITOR, LoopThread, Rig, whole, wrong

from otpkit import (
    ConfigurationError,
    GatewayRejectedError,
    Rate,
    RateLimitError,
    StoreUnavailableError,
    WrongCodeError,
)


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Yield the URL of a server that accepts connections and never replies."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.fixture
def closed_url() -> str:
    """Return a URL where no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def calls(otp: Any, token: str) -> list[Callable[[], Any]]:
    return [
        lambda: otp.issue(PHONE, ip=VISITOR),
        lambda: otp.verify(PHONE, "123456", ip=VISITOR),
        lambda: otp.redeem(token),
        lambda: otp.status(PHONE),
        lambda: otp.standing(PHONE),
        lambda: otp.delivery(PHONE),
        lambda: otp.revoke(PHONE),
        lambda: otp.unblock(PHONE),
        lambda: otp.erase(PHONE),
    ]


def test_with_the_store_down_nothing_is_sent_and_nothing_granted(memory_rig: Rig, closed_url: str) -> None:
    """Every call except `check` raises StoreUnavailableError quickly, with Redis's own error as its cause."""
    usual = memory_rig.otp()
    usual.issue(PHONE)
    proof = usual.verify(PHONE, memory_rig.outbox[-1].code)
    memory_rig.outbox.clear()
    otp = memory_rig.heard(redis=closed_url)
    start = time.monotonic()
    for call in calls(otp, proof.token):
        with pytest.raises(StoreUnavailableError) as down:
            call()
        assert (down.value.code, down.value.status) == ("store_unavailable", 503)
        assert isinstance(down.value.__cause__, Exception)
        assert PHONE not in str(down.value)
    assert time.monotonic() - start < 8
    assert len(memory_rig.outbox) == 0
    assert otp.check(proof.token) == proof
    assert {(event.name, event.outcome) for event in memory_rig.events} == {("refused", "store_unavailable")}


def test_a_store_that_never_answers_is_given_up_within_bounds(memory_rig: Rig, silent_url: str) -> None:
    """The call waits a second for a reply, a few times."""
    otp = memory_rig.otp(redis=silent_url)
    start = time.monotonic()
    with pytest.raises(StoreUnavailableError) as down:
        otp.issue(PHONE)
    assert time.monotonic() - start < 8
    assert down.value.__cause__ is not None
    assert len(memory_rig.outbox) == 0


def test_nothing_of_a_failed_call_is_left(rig: Rig) -> None:
    """When the store is back, its contents are the same as before."""
    client = rig.client(wrap=rig.breakable)
    otp = rig.otp(redis=client)
    otp.issue(PHONE)
    code = rig.outbox[-1].code
    client.broken = True
    for typed in (code, wrong(code)):
        with pytest.raises(StoreUnavailableError):
            otp.verify(PHONE, typed)
    with pytest.raises(StoreUnavailableError):
        otp.issue(PHONE, "login")
    client.broken = False
    assert (otp.status(PHONE).attempts_left, otp.status(PHONE).sends_left) == (5, 9)
    assert otp.verify(PHONE, code)


def test_a_client_that_decodes_works_too(rig: Rig) -> None:
    """Scripts reply with ASCII and integers."""
    otp = rig.otp(redis=rig.client(decode_responses=True), policy=whole(ip_sends="3/hour", failures="2/day"))
    challenge = otp.issue(PHONE, ip=VISITOR, idempotency_key="form")
    assert otp.issue(PHONE, idempotency_key="form").id == challenge.id
    code = rig.outbox[-1].code
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert (refused.value.challenge.id, refused.value.rate) == (challenge.id, Rate(1, 60))
    with pytest.raises(WrongCodeError):
        otp.verify(PHONE, wrong(code), ip=VISITOR)
    assert rig.otp().status(PHONE) == otp.status(PHONE)
    assert otp.delivery(PHONE).state == "delivered"
    proof = otp.verify(PHONE, code, ip=VISITOR)
    assert otp.redeem(proof.token) == proof
    rig.advance(60)
    rig.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", category="rate_limit"))
    with pytest.raises(RateLimitError) as refused:
        otp.issue(PHONE)
    assert refused.value.scope == "gateway"
    otp.revoke(PHONE)
    otp.unblock(PHONE)
    otp.erase(PHONE)
    assert otp.status(PHONE) is None


def test_namespaces_are_apart(rig: Rig) -> None:
    """Two namespaces on one store share nothing."""
    one, two = rig.otp(), rig.otp(namespace=f"{rig.namespace}.two_-2")
    one.issue(PHONE)
    assert two.status(PHONE) is None
    assert two.issue(PHONE).sends_left == 9


def connections(rig: Rig, name: str) -> int:
    return sum(client["name"] == name for client in rig.server.client_list())


def use(otp: Any) -> None:
    assert otp.status(PHONE) is None


def test_async_by_url_shares_one_connection(rig: Rig, backend: str) -> None:
    """All its calls use this connection. With a client that was passed in, they use the client's pool."""
    otp = rig.otp()
    use(otp)
    otp.issue(PHONE)
    otp.verify(PHONE, rig.outbox[-1].code)
    if rig.is_async:
        bindings = otp.target._store._bindings.values()
        shared = [each for binding in bindings for endpoint in binding._endpoints.values() for each in endpoint._open]
        assert len(shared) == backend.endswith("by URL")
        if shared:
            assert not otp.target._store.client.connection_pool._available_connections


@pytest.fixture(params=["valkey", "redis"])
def server_world(
    request: pytest.FixtureRequest, is_async: bool, namespace: str, loop_thread: LoopThread
) -> Iterator[Rig]:
    """Yield a rig on each real server that can list its connections."""
    url = request.getfixturevalue(f"{request.param}_url")
    rig = Rig(url, namespace, loop_thread if is_async else None)
    yield rig
    rig.close()


def test_a_client_made_from_a_url_is_closed(server_world: Rig, namespace: str) -> None:
    """`close` closes it. A second call does no harm."""
    otp = server_world.otp(redis=f"{server_world.store_url}&client_name={namespace}")
    use(otp)
    assert connections(server_world, namespace) == 1
    otp.close()
    otp.close()
    deadline = time.monotonic() + 5
    while connections(server_world, namespace) and time.monotonic() < deadline:
        pass  # The server notices a closed socket a moment later.
    assert connections(server_world, namespace) == 0


def test_a_borrowed_client_is_never_closed(server_world: Rig, namespace: str) -> None:
    """Its owner closes it."""
    client = server_world.client(client_name=namespace)
    otp = server_world.otp(redis=client)
    use(otp)
    otp.close()
    assert connections(server_world, namespace) == 1
    use(server_world.otp(redis=client))
    assert connections(server_world, namespace) == 1


def test_with_closes(memory_rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block receives the object itself, and its end closes it."""
    closed: list[Any] = []
    shell = memory_rig.shell

    if memory_rig.is_async:

        async def aclose(self: Any) -> None:
            closed.append(self)

        async def block() -> Any:
            async with memory_rig.build(redis=MEMORY) as otp:
                assert await otp.status(PHONE) is None
                assert closed == []
            return otp

        monkeypatch.setattr(shell, "close", aclose)
        otp = memory_rig.loop.run(block())
    else:

        def close(self: Any) -> None:
            closed.append(self)

        monkeypatch.setattr(shell, "close", close)
        with memory_rig.build(redis=MEMORY) as otp:
            use(otp)
            assert closed == []
    assert closed == [otp]


def test_memory_is_a_store_of_its_own_each_time(memory_rig: Rig) -> None:
    """Two OTPs with `memory://` share nothing."""
    one, two = memory_rig.otp(redis=MEMORY), memory_rig.otp(redis=MEMORY)
    one.issue(PHONE)
    assert two.status(PHONE) is None
    assert one.verify(PHONE, memory_rig.outbox[-1].code)


def test_refused_credentials_are_a_configuration_error(server_world: Rig) -> None:
    """A retry would not help: an operator must correct the URL. The error does not show the password."""
    otp = server_world.otp(redis=server_world.store_url.replace("unix://", "unix://nobody:hunter22@"))
    with pytest.raises(ConfigurationError, match="credentials") as refused:
        otp.issue(PHONE)
    assert "hunter22" not in str(refused.value)
    assert len(server_world.outbox) == 0
