"""Real servers that refuse all writes, or one command: no guess is free, and no grant lacks its record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from mortal import Mortal
from support.callers import calling, result
from support.lua_shell import WRITES
from support.rig import PHONE, wrong

from otpkit import ConfigurationError, StoreUnavailableError, WrongCodeError
from otpkit.errors import ExpiredCodeError
from otpkit.models import Proof
from otpkit.testing import Outbox

IP, OTHER_PHONE = "203.0.113.7", "+8613900139000"


def fail_to_save(client: redis.Redis) -> None:
    """Make a snapshot fail. Redis then refuses writes."""
    (Path(client.config_get("dir")["dir"]) / "dump.rdb").mkdir()  # The new file can't replace a directory.
    client.config_set("save", "900 1")
    client.bgsave()
    deadline = time.monotonic() + 10
    while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
        assert time.monotonic() < deadline
        time.sleep(0.02)


Change = Callable[[redis.Redis], object]
STATES: dict[str, tuple[Change, Change]] = {
    "full": (lambda client: client.config_set("maxmemory", 1), lambda client: client.config_set("maxmemory", 0)),
    "MISCONF": (fail_to_save, lambda client: client.config_set("save", "")),
    "READONLY": (
        lambda client: client.replicaof("127.0.0.1", "1"),
        lambda client: client.replicaof("NO", "ONE"),
    ),
    "NOREPLICAS": (
        lambda client: client.config_set("min-replicas-to-write", 1),
        lambda client: client.config_set("min-replicas-to-write", 0),
    ),
}


@pytest.mark.parametrize("state", STATES)
async def test_a_server_that_takes_no_writes_answers_no_guess(own: Mortal, kind: str, state: str) -> None:
    """Right and wrong codes get the same error in any state, and no proof is redeemed."""
    begin, end = STATES[state]
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        for purpose in ("signup", "login", "tidied"):
            await caller.issue(PHONE, purpose, ip=IP)
        await caller.revoke(PHONE, "tidied")
        proof = await caller.verify(PHONE, outbox[1].code, "login")
        code = outbox[0].code
        await result(caller.verify(PHONE, wrong(code)))
        with own.client() as client:
            begin(client)
            before = own.dump()
            for ip in (None, IP):
                for guess in (wrong(code), code, wrong(code, 2), code):
                    assert isinstance(await result(caller.verify(PHONE, guess, ip=ip)), StoreUnavailableError)
            for call in (
                caller.redeem(proof.token, "login"),
                caller.issue(PHONE),
                caller.issue(PHONE, "payment", ip=IP),
                caller.issue(OTHER_PHONE, ip=IP),
            ):
                assert isinstance(await result(call), StoreUnavailableError)
            assert (len(outbox), own.dump()) == (3, before)
            end(client)
        assert (await caller.status(PHONE)).attempts_left == 4
        assert isinstance(await caller.verify(PHONE, code, ip=IP), Proof)
        assert isinstance(await result(caller.verify(PHONE, code, ip=IP)), ExpiredCodeError)
        assert await caller.redeem(proof.token, "login") == proof


@pytest.mark.parametrize("ip", [None, IP])
async def test_parallel_guesses_at_a_full_server_learn_nothing(own: Mortal, kind: str, ip: str | None) -> None:
    """The right code is among several hundred guesses."""
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        await caller.issue(PHONE)
        code = outbox[0].code
        with own.client() as client:
            client.config_set("maxmemory", 1)

            async def guess(first: int) -> set[type]:
                return {
                    type(await result(caller.verify(PHONE, wrong(code, (first + step) % 3), ip=ip)))
                    for step in range(300)
                }

            assert set().union(*await asyncio.gather(guess(0), guess(1))) == {StoreUnavailableError}
            client.config_set("maxmemory", 0)
        assert (await caller.status(PHONE)).attempts_left == 5
        standing = await caller.standing(PHONE)
        assert (standing.failures_left, standing.consecutive_failures) == (20, 0)


async def test_what_works_at_a_full_server(own: Mortal, kind: str) -> None:
    """Reads, deletions and replays need no new memory."""
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        for purpose in ("signup", "login"):
            await caller.issue(PHONE, purpose)
        proof = await caller.verify(PHONE, outbox[1].code, "login", idempotency_key="form")
        await caller.redeem(proof.token, "login", idempotency_key="form")
        with own.client() as client:
            client.config_set("maxmemory", 1)
            assert (await caller.status(PHONE)).attempts_left == 5
            assert not (await caller.standing(PHONE)).blocked
            assert await caller.verify(PHONE, outbox[1].code, "login", idempotency_key="form") == proof
            assert (await caller.redeem(proof.token, "login", idempotency_key="form")).id == proof.id
            await caller.revoke(PHONE)
            assert await caller.status(PHONE) is None
            await caller.unblock(PHONE)
            await caller.erase(PHONE, actor="ann")
            assert [entry.outcome for entry in (await caller.audit()).entries] == ["done", "done"]
        # The device tokens stay void, operators' actions are written, and figures hold nothing of a person.
        assert not [key for key in own.dump() if not key.endswith((b":w", b":d", b"{audit}:o", b"{stats}:s"))]


async def test_an_operators_action_needs_its_entry(own: Mortal, kind: str) -> None:
    """A server that takes no entry for the audit does nothing that an operator asks for, and the error says why."""
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        await caller.issue(PHONE)
        with own.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">password", "~*", "+@all", "-xadd")
        before = own.dump()
        async with calling(kind, own.url.replace("unix://", "unix://app:password@"), Outbox()) as limited:
            for call in (limited.erase, limited.unblock, limited.forget_devices):
                told = await result(call(PHONE, actor="ann"))
                assert isinstance(told, ConfigurationError)
                assert "Nothing was done" in str(told)
                assert "XADD" in str(told)
        assert own.dump() == before
        assert len(outbox) == 1


@pytest.mark.parametrize("ip", [None, IP])
@pytest.mark.parametrize("command", WRITES)
async def test_a_command_that_a_user_may_not_run_makes_no_guess_free(
    own: Mortal, kind: str, command: str, ip: str | None
) -> None:
    """Either the right code is refused too, or the wrong one was fully counted. In the end every key has an expiry."""
    async with calling(kind, own.url, outbox := Outbox()) as caller:
        await caller.issue(PHONE)
        with own.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">password", "~*", "+@all", f"-{command.lower()}")
            url = own.url.replace("unix://", "unix://app:password@")
            async with calling(kind, url, Outbox()) as limited:
                told = await result(limited.verify(PHONE, wrong(outbox[0].code), ip=ip))
                assert isinstance(told, (ConfigurationError, WrongCodeError))
                standing = await caller.standing(PHONE)
                await result(limited.issue(PHONE, "login", ip=ip))
                passed = await result(limited.verify(PHONE, outbox[0].code, ip=ip))
            if isinstance(passed, Proof) or isinstance(told, WrongCodeError):
                assert (standing.failures_left, standing.consecutive_failures) == (19, 1)
            await caller.issue(PHONE, "login", ip=ip)
            await result(caller.verify(PHONE, wrong(outbox[-1].code), "login", ip=ip))
            assert all(client.pttl(key) > 0 for key in client.scan_iter("*"))
