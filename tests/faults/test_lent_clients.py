"""A client that is passed in: its pool stays as redis-py would leave it, and broken idle connections are not used."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.callers import BROAD
from support.rig import SECRET, TEMPLATE

from otpkit import OTP
from otpkit.testing import Outbox

PHONE = "+8613800138000"


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


Lend = Callable[..., tuple[OTP, redis.Redis]]


@pytest.fixture
def lend(url: str, namespace: str) -> Iterator[Lend]:
    """Yield a function that returns a client of a pool, which tries once, and an OTP with it."""
    with contextlib.ExitStack() as stack:

        def make(pool: Any = redis.ConnectionPool, **options: Any) -> tuple[OTP, redis.Redis]:
            client = redis.Redis.from_pool(pool.from_url(url, retry=Retry(NoBackoff(), 0), **options))
            stack.callback(client.close)
            return OTP(client, Outbox(), TEMPLATE, SECRET, policy=BROAD, namespace=namespace), client

        yield make


def close_all(url: str, name: str) -> int:
    """Close the connections of a name at the server, and return their number."""
    with redis.Redis.from_url(url, decode_responses=True) as admin:
        ids = [each["id"] for each in admin.client_list() if each["name"] == name]
        for each in ids:
            admin.client_kill_filter(_id=each)
    return len(ids)


def test_idle_connections_that_the_server_closed_are_not_used(lend: Lend, url: str, namespace: str) -> None:
    """A server's `timeout` closes them. The client tries once, so a closed connection would cause an error."""
    otp, client = lend(client_name=namespace)
    assert otp.status(PHONE) is None
    for _ in range(3):
        assert close_all(url, namespace) == 1
        assert otp.status(PHONE) is None
    assert len(client.connection_pool._available_connections) == 1


def test_a_connection_with_a_reply_to_come_is_not_used(lend: Lend) -> None:
    """Other code returned it to the pool too early. The reply belongs to another call."""
    otp, client = lend()
    assert otp.status(PHONE) is None
    connection = client.connection_pool.get_connection()
    connection.send_command("ECHO", "a reply of another call")
    assert connection.can_read(timeout=10)  # The reply has arrived.
    client.connection_pool.release(connection)
    for _ in range(3):
        assert otp.status(PHONE) is None


def test_one_connection_serves_one_caller_after_the_other(lend: Lend) -> None:
    """The pool has one connection. After every call it is free again, for the client's own commands too."""
    otp, client = lend(max_connections=1)
    for _ in range(5):
        otp.issue(PHONE)
        assert client.ping()
        otp.erase(PHONE)
    pool: Any = client.connection_pool
    assert (len(pool._available_connections), len(pool._in_use_connections), pool._created_connections) == (1, 0, 1)


class Wary(redis.ConnectionPool):
    """A user's own pool that counts the connections taken from it."""

    taken = 0

    def get_connection(self, *args: Any, **options: Any) -> Any:
        self.taken += 1
        return super().get_connection(*args, **options)


def test_a_pool_of_the_users_own_gives_each_connection(lend: Lend) -> None:
    """otpkit takes each connection by the pool's own method."""
    otp, client = lend(Wary)
    pool: Any = client.connection_pool
    before = pool.taken
    for _ in range(3):
        otp.status(PHONE)
    assert pool.taken == before + 3


def test_a_client_that_asks_for_new_connections_gets_them(lend: Lend) -> None:
    """redis-py sets this mark when a server announces that it moves."""
    otp, client = lend()
    otp.status(PHONE)
    (connection,) = client.connection_pool._available_connections  # type: ignore[attr-defined]
    if not hasattr(connection, "mark_for_reconnect"):
        pytest.skip("this redis-py knows no moving servers")
    socket = connection._sock
    connection.mark_for_reconnect()
    otp.status(PHONE)
    otp.status(PHONE)
    assert connection._sock is not socket


def test_a_forked_child_takes_connections_of_its_own(lend: Lend) -> None:
    """The inherited connections stay in the pool, but they belong to the parent."""
    otp, client = lend()
    otp.status(PHONE)
    (connection,) = client.connection_pool._available_connections  # type: ignore[attr-defined]
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            otp.status(PHONE)
            (own,) = client.connection_pool._available_connections  # type: ignore[attr-defined]
            os.write(writing, b"its own" if own is not connection else b"its parent's")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with open(reading, "rb") as said:
        assert said.read() == b"its own"
    assert otp.status(PHONE) is None
