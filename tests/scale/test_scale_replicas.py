"""With `Policy(replicas=1)`, nothing is granted or sent that no replica has, in any state of the replica."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from clusters import Cluster, slot_of
from counters import BROAD, Counter, new_phone, opened, result
from nodes import Node, binary, server_node, wait_until
from support.rig import whole
from support.servers import find_valkey, unavailable

from otpkit import ExpiredCodeError, Proof, StoreUnavailableError, UsedTokenError, WrongCodeError

CONFIRMED = whole(sends="10/day", replicas=1)


@pytest.fixture(scope="module", params=["redis", "valkey"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """Yield a primary and its replica, of Redis and of Valkey: their WAIT differs."""
    program = binary() if request.param == "redis" else find_valkey() or unavailable("no Valkey server")
    place: Path = tmp_path_factory.mktemp("pair")
    primary = server_node(place, program=program)
    replica = server_node(place, "--replicaof", f"127.0.0.1 {primary.port}", program=program)
    try:
        primary.start()
        replica.start()
        wait_until(lambda: follows(replica) and confirms(primary), "the replica follows")
        yield primary, replica
    finally:
        primary.discard()
        replica.discard()


def follows(replica: Node) -> bool:
    return bool(replica.info("replication")["master_link_status"] == "up")


def confirms(primary: Node) -> bool:
    """Return whether the primary has confirmations from its replica.

    They begin after the replica reports the link as up.
    """
    with redis.Redis(port=primary.port, protocol=2) as client:
        client.set("heard", "1", px=1000)
        return bool(client.wait(1, 200) == 1)


@contextlib.contextmanager
def paused(replica: Node) -> Iterator[None]:
    """Freeze a replica during a with block."""
    replica.pause()
    try:
        yield
    finally:
        replica.resume()
        wait_until(lambda: follows(replica), "the replica follows again")


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def url(node: Node) -> str:
    return f"redis://127.0.0.1:{node.port}/0"


async def test_a_present_replica_confirms_every_call(library: str, pair: tuple[Node, Node], namespace: str) -> None:
    async with opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as counter:
        phone = new_phone()
        await counter.issue(phone)
        proof = await counter.verify(phone, counter.code(phone))
        await counter.redeem(proof.token)
        with redis.Redis(port=pair[1].port, protocol=2) as kept:
            facts = kept.hgetall(counter.keys(phone)[0])
        assert sorted(chr(name[0]) for name in facts) == ["p", "s"]


async def test_without_a_replica_nothing_is_sent(library: str, pair: tuple[Node, Node], namespace: str) -> None:
    async with opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as counter:
        phone = new_phone()
        with paused(pair[1]):
            with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
                await counter.issue(phone, ip="203.0.113.7", idempotency_key="form")
            assert len(counter.outbox) == 0
            assert await counter.status(phone) is None
        challenge = await counter.issue(phone, ip="203.0.113.7", idempotency_key="form")
        assert (challenge.delivery, challenge.replayed, challenge.sends_left) == ("accepted", False, 9)
        assert len(counter.outbox) == 1


async def test_a_retry_is_confirmed_again_and_returns_the_answer(
    library: str, pair: tuple[Node, Node], namespace: str
) -> None:
    """This works on any connection, also on one that has not written the record."""
    async with opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as counter:
        phone = new_phone()
        await counter.issue(phone)
        with paused(pair[1]):
            for _ in range(2):
                async with opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as other:
                    calls = [other.verify(phone, counter.code(phone), idempotency_key="form") for _ in range(3)]
                    answers = await asyncio.gather(*map(result, calls))
                    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
        proof = await counter.verify(phone, counter.code(phone), idempotency_key="form")
        assert isinstance(proof, Proof)
        with paused(pair[1]):
            for _ in range(2):
                async with opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as other:
                    with pytest.raises(StoreUnavailableError):
                        await other.redeem(proof.token, idempotency_key="form")
        assert await counter.redeem(proof.token, idempotency_key="form") == proof
        with pytest.raises(UsedTokenError):
            await counter.redeem(proof.token)


async def test_a_wrong_code_is_confirmed_before_it_is_told(
    library: str, pair: tuple[Node, Node], namespace: str
) -> None:
    async with opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as counter:
        phone = new_phone()
        await counter.issue(phone)
        other_code = f"{(int(counter.code(phone)) + 1) % 1_000_000:06d}"
        with paused(pair[1]):
            for _ in range(2):
                with pytest.raises(StoreUnavailableError):
                    await counter.verify(phone, other_code, idempotency_key="form")
        answer: Any = await result(counter.verify(phone, other_code, idempotency_key="form"))
        assert answer.attempts_left == 4  # The wrong code was counted once.


async def test_without_the_policy_an_absent_replica_changes_nothing(
    library: str, pair: tuple[Node, Node], namespace: str
) -> None:
    async with opened(library, url(pair[0]), namespace=namespace, policy=BROAD) as counter:
        with paused(pair[1]):
            phone = new_phone()
            await counter.issue(phone)
            assert isinstance(await counter.verify(phone, counter.code(phone)), Proof)


async def test_an_unconfirmed_call_can_be_repeated(library: str, pair: tuple[Node, Node], namespace: str) -> None:
    """The code and the proof are restored, without any idempotency key. Each still succeeds only once."""
    async with opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as counter:
        phone = new_phone()
        await counter.issue(phone)
        code = counter.code(phone)
        with pytest.raises(WrongCodeError):
            await counter.verify(phone, wrong(code))
        with paused(pair[1]):
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match="the same call may succeed"):
                    await counter.verify(phone, code)
            with pytest.raises(StoreUnavailableError, match="the same call may succeed"):
                await counter.verify(phone, wrong(code))
            assert (await counter.status(phone)).attempts_left == 3  # The wrong codes stay counted.
            assert (await counter.standing(phone)).consecutive_failures == 2
        proof = await counter.verify(phone, code)
        with pytest.raises(ExpiredCodeError):
            await counter.verify(phone, code)
        assert (await counter.standing(phone)).consecutive_failures == 0
        with paused(pair[1]):
            for _ in range(2):
                with pytest.raises(StoreUnavailableError, match="the same call may succeed"):
                    await counter.redeem(proof.token)
        assert await counter.redeem(proof.token) == proof
        with pytest.raises(UsedTokenError):
            await counter.redeem(proof.token)


async def test_fifty_unconfirmed_at_once_are_worth_one(library: str, pair: tuple[Node, Node], namespace: str) -> None:
    """The calls may be undone in any order. While the replica confirms, there is one proof."""
    async with opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as counter:
        phone = new_phone()
        await counter.issue(phone)
        code = counter.code(phone)
        with paused(pair[1]):
            answers = await asyncio.gather(*[result(counter.verify(phone, code)) for _ in range(50)])
        assert not [answer for answer in answers if isinstance(answer, Proof)]
        answers = await asyncio.gather(*[result(counter.verify(phone, code)) for _ in range(50)])
        (proof,) = [answer for answer in answers if isinstance(answer, Proof)]
        with paused(pair[1]):
            answers = await asyncio.gather(*[result(counter.redeem(proof.token)) for _ in range(50)])
        assert not [answer for answer in answers if isinstance(answer, Proof)]
        answers = await asyncio.gather(*[result(counter.redeem(proof.token)) for _ in range(50)])
        assert [answer for answer in answers if isinstance(answer, Proof)] == [proof]


async def test_a_code_that_was_ended_is_not_given_back(library: str, pair: tuple[Node, Node], namespace: str) -> None:
    """The code is revoked or erased after the verification and before its undo."""
    async with (
        opened(library, url(pair[0]), namespace=namespace, policy=CONFIRMED) as counter,
        opened(library, url(pair[0]), namespace=namespace, policy=BROAD) as other,
    ):
        phones = new_phone(), new_phone()
        for phone in phones:
            await counter.issue(phone)
        with paused(pair[1]):
            calls = [asyncio.ensure_future(result(counter.verify(phone, counter.code(phone)))) for phone in phones]
            await asyncio.sleep(0.2)
            await other.revoke(phones[0])
            await other.erase(phones[1])
            assert all(isinstance(answer, StoreUnavailableError) for answer in await asyncio.gather(*calls))
        for phone in phones:
            with pytest.raises(ExpiredCodeError):
                await counter.verify(phone, counter.code(phone))


@contextlib.contextmanager
def watching(node: Node) -> Iterator[list[tuple[str, str]]]:
    """Yield a list. After the with block it has each command of a server with its client's address."""
    heard: list[tuple[str, str]] = []
    with socket.create_connection(("127.0.0.1", node.port)) as monitor:
        monitor.sendall(b"MONITOR\r\n")
        yield heard
        monitor.settimeout(0.3)
        text = b""
        with contextlib.suppress(TimeoutError):
            while part := monitor.recv(65_536):
                text += part
        heard += re.findall(r'\[0 ([\d.:]+)\] "(\w+)"', text.decode(errors="replace"))


async def test_wait_runs_where_the_script_ran(library: str, cluster: Cluster, namespace: str) -> None:
    """In a cluster, WAIT runs on the primary of the phone's slot, as the next command of the same connection."""
    async with opened(library, cluster.url, namespace=namespace, policy=CONFIRMED) as counter:
        phone = new_phone()
        primary = cluster.owner(slot_of(counter.keys(phone)[0]))
        with contextlib.ExitStack() as stack:
            heard = {node.port: stack.enter_context(watching(node)) for node in cluster.primaries()}
            await counter.issue(phone)
            await use_once(counter, phone)
        told = heard.pop(primary.port)
        waits = [index for index, (_, command) in enumerate(told) if command == "WAIT"]
        assert len(waits) == 3
        for index in waits:
            earlier = [command for who, command in told[:index] if who == told[index][0]]
            assert earlier[-1] in {"EVALSHA", "EVAL"}
        assert not any(command == "WAIT" for others in heard.values() for _, command in others)


async def use_once(counter: Counter, phone: str) -> None:
    proof = await counter.verify(phone, counter.code(phone))
    await counter.redeem(proof.token)


async def test_a_clusters_frozen_replica_stops_its_primarys_phones_alone(
    library: str, cluster: Cluster, namespace: str
) -> None:
    async with opened(library, cluster.url, namespace=namespace, policy=CONFIRMED) as counter:
        phone = new_phone()
        primary = cluster.owner(slot_of(counter.keys(phone)[0]))
        while cluster.owner(slot_of(counter.keys(other := new_phone())[0])) is primary:
            pass
        replica = cluster.replica_of(primary)
        replica.pause()
        with pytest.raises(StoreUnavailableError, match="replicas"):
            await counter.issue(phone)
        assert (await counter.issue(other)).delivery == "accepted"
        cluster.heal()
        assert (await counter.issue(phone)).delivery == "accepted"
        assert len(counter.outbox) == 2
