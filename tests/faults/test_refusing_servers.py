"""Refusals of real servers: each error shows who must act, and nothing is written in part."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
from mortal import Mortal
from support.callers import calling, result
from support.rig import PHONE, wrong

from otpkit import ConfigurationError, Erased, StoreUnavailableError
from otpkit.testing import Outbox

IP = "203.0.113.7"


async def issued(kind: str, url: str) -> Any:
    """Return the outcome of an issue, and check that a failed one sent nothing."""
    async with calling(kind, url, outbox := Outbox()) as caller:
        outcome = await result(caller.issue(PHONE, ip=IP))
        assert len(outbox) == 0 or not isinstance(outcome, Exception)
        return outcome


def login(url: str, user: str) -> str:
    return url.replace("unix://", f"unix://{user}@")


async def test_a_full_server_refuses_and_keeps_what_it_has(own: Mortal, kind: str) -> None:
    """Neither a send nor a failure is written in part, and a right code is refused. It verifies once there is room."""
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        for purpose in ("signup", "login"):
            await caller.issue(PHONE, purpose, ip=IP)
        proof = await caller.verify(PHONE, outbox[1].code, "login")
        code, before = outbox[0].code, own.dump()
        with own.client() as client:
            client.config_set("maxmemory", 1)
            calls: list[Callable[[], Awaitable[Any]]] = [
                lambda: caller.issue(PHONE, ip=IP),
                lambda: caller.issue(PHONE, "payment", ip=IP),
                lambda: caller.issue("+8613900139000", ip="203.0.113.8"),
                lambda: caller.verify(PHONE, wrong(code), ip=IP),
                lambda: caller.verify(PHONE, code),
                lambda: caller.redeem(proof.token, "login"),
            ]
            for call in calls:
                refused = await result(call())
                assert isinstance(refused, StoreUnavailableError)
                assert "maxmemory" in str(refused)
            assert (len(outbox), own.dump()) == (2, before)
            client.config_set("maxmemory", 0)
        last = await caller.verify(PHONE, code)
        assert await caller.redeem(proof.token, "login") == proof
        assert await caller.redeem(last.token) == last


async def test_a_server_that_fills_up_after_the_reservation(own: Mortal, kind: str) -> None:
    """The message was sent, so the gateway's outcome is returned, and the code verifies."""
    sent: list[str] = []

    def gateway(message: Any) -> None:
        sent.append(message.code)
        with own.client() as client:
            client.config_set("maxmemory", 1)

    async with calling(kind, own.url, gateway) as caller:
        assert (await caller.issue(PHONE)).delivery == "accepted"
        with own.client() as client:
            client.config_set("maxmemory", 0)
        assert await caller.verify(PHONE, sent[0])


Change = Callable[[redis.Redis], object]
PASSING: dict[str, Change] = {
    "max clients": lambda client: client.config_set("maxclients", 1),
    "a replica": lambda client: client.replicaof("127.0.0.1", "1"),
    "too few replicas": lambda client: client.config_set("min-replicas-to-write", 1),
}
RESTORED: dict[str, Change] = {
    "max clients": lambda client: client.config_set("maxclients", 1000),
    "a replica": lambda client: client.replicaof("NO", "ONE"),
    "too few replicas": lambda client: client.config_set("min-replicas-to-write", 0),
}


@pytest.mark.parametrize("state", PASSING)
async def test_a_state_that_may_pass_is_unavailable(own: Mortal, kind: str, state: str) -> None:
    """When the state has passed, the same object works without a restart."""
    with own.client() as client:
        async with calling(kind, own.url, Outbox()) as caller:
            PASSING[state](client)
            assert isinstance(await result(caller.issue(PHONE, ip=IP)), StoreUnavailableError)
            RESTORED[state](client)
            assert (await caller.issue(PHONE, ip=IP)).sends_left == 31


async def test_credentials_that_do_not_do(own: Mortal, kind: str) -> None:
    """They are wrong, missing, or lack a permission for scripts, keys or commands."""
    with own.client() as client:
        for user, rules in {
            "no-scripts": ["~*", "+@all", "-evalsha", "-eval"],
            "no-keys": ["~other:*", "+@all"],
            "no-writes": ["~*", "+@all", "-hset"],
        }.items():
            client.execute_command("ACL", "SETUSER", user, "on", ">password", *rules)
            assert isinstance(await issued(kind, login(own.url, f"{user}:password")), ConfigurationError)
        assert isinstance(await issued(kind, login(own.url, "no-keys:wrong")), ConfigurationError)
        client.config_set("requirepass", "password")
        refused = await issued(kind, own.url)
        assert isinstance(refused, ConfigurationError)
        assert "credentials" in str(refused)
        assert (await issued(kind, login(own.url, ":password"))).delivery == "accepted"


async def test_a_database_that_is_not_there(own: Mortal, kind: str) -> None:
    """The error names the database, so that an operator can correct the number in the URL."""
    refused = await issued(kind, own.url.replace("db=0", "db=99"))
    assert isinstance(refused, ConfigurationError)
    assert "database" in str(refused)


def free_port() -> int:
    """Return a free port. The port 10000 above, for a cluster's bus, is free too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port: int = server.getsockname()[1]
            if port < 55535:
                with socket.socket() as bus:
                    if bus.connect_ex(("127.0.0.1", port + 10000)):
                        return port


def wait_for_cluster(client: redis.Redis) -> None:
    deadline = time.monotonic() + 20
    while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_the_wrong_scheme_for_a_server(binary: str, kind: str) -> None:
    """The URLs are those of a cluster and of a Sentinel, but the server is neither."""
    port = free_port()
    with Mortal(binary, "--port", str(port)):
        for url in (f"redis+cluster://127.0.0.1:{port}", f"redis+sentinel://127.0.0.1:{port}/primary/0"):
            refused = await issued(kind, url)
            assert isinstance(refused, ConfigurationError), url
            assert "redis://" in str(refused) or "scheme" in str(refused)


async def test_a_clusters_node_asked_alone(binary: str, kind: str) -> None:
    """The node has all slots, but scripts need several. In Redis, clusters have no numbered databases either."""
    with Mortal(binary, "--cluster-enabled", "yes", "--port", str(free_port())) as node, node.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_for_cluster(client)
        refused = await issued(kind, node.url)
        assert isinstance(refused, ConfigurationError)
        assert "redis+cluster://" in str(refused)
        if "valkey" not in binary:  # Valkey's clusters have databases.
            assert isinstance(await issued(kind, node.url.replace("db=0", "db=1")), ConfigurationError)


async def test_one_of_two_nodes_asked_alone(binary: str, kind: str) -> None:
    """The node replies MOVED, because another node has the slot."""
    ports = [free_port(), free_port()]
    with (
        Mortal(binary, "--cluster-enabled", "yes", "--port", str(ports[0])) as one,
        Mortal(binary, "--cluster-enabled", "yes", "--port", str(ports[1])) as two,
        one.client() as client,
        two.client() as other,
    ):
        other.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[1])
        wait_for_cluster(client)
        async with calling(kind, one.url, Outbox()) as caller:
            refused = await result(caller.status(PHONE))
        assert isinstance(refused, ConfigurationError)
        assert "redis+cluster://" in str(refused)


async def test_scripts_that_were_flushed_are_loaded_again(own: Mortal, kind: str) -> None:
    """They are flushed before each script of a story. No call fails, and nothing is counted twice."""

    def gateway(message: Any) -> None:
        codes.append(message.code)
        client.script_flush()

    codes: list[str] = []
    with own.client() as client:
        async with calling(kind, own.url, gateway) as caller:
            assert (await caller.issue(PHONE, ip=IP)).sends_left == 31
            client.script_flush()
            assert (await result(caller.verify(PHONE, wrong(codes[0])))).attempts_left == 4
            client.script_flush()
            proof = await caller.verify(PHONE, codes[0])
            client.script_flush()
            assert await caller.redeem(proof.token) == proof
            for call in (caller.status, caller.revoke, caller.unblock, caller.erase):
                client.script_flush()
                assert isinstance(await call(PHONE), Erased | None)
