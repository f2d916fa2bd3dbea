"""A slot moves to another node while its phones are used."""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Counts
from typing import Any

from clusters import Cluster, slot_of
from counters import Counter, new_phone, opened, result, wrong
from support.rig import whole

from otpkit import ExpiredCodeError, Proof, StoreUnavailableError, WrongCodeError


def one_slots_phones(counter: Counter, count: int) -> tuple[int, list[str]]:
    """Return a slot, and phones whose keys are in it."""
    slot = slot_of(counter.keys(new_phone())[0])
    phones: list[str] = []
    while len(phones) < count:
        phone = new_phone()
        if slot_of(counter.keys(phone)[0]) == slot:
            phones.append(phone)
    return slot, phones


async def guess(counter: Counter, phone: str, until: asyncio.Event) -> list[Any]:
    """Try wrong codes for a phone four times a second until the event is set."""
    told = []
    while not until.is_set():
        told.append(await result(counter.verify(phone, wrong(counter.code(phone)))))
        await asyncio.sleep(0.25)
    return told


async def test_a_slot_moves_while_it_is_used(library: str, cluster: Cluster, namespace: str) -> None:
    """MOVED, ASK and TRYAGAIN are followed, or become `StoreUnavailableError`. Each guess is counted once."""
    policy = whole(attempts=10, sends="10/day")
    async with opened(library, cluster.url, namespace=namespace, policy=policy) as counter:
        slot, phones = one_slots_phones(counter, 8)
        for phone in phones:
            await counter.issue(phone)
        done = asyncio.Event()
        guessers = [asyncio.create_task(guess(counter, phone, done)) for phone in phones]
        source = cluster.owner(slot)
        target = next(node for node in cluster.primaries() if node is not source)
        began = time.monotonic()
        await asyncio.to_thread(cluster.move_slot, slot, source, target, lambda: time.sleep(0.06))
        moved_in = time.monotonic() - began
        await asyncio.sleep(0.3)
        done.set()
        told = await asyncio.gather(*guessers)
        kinds = Counts(type(answer) for answers in told for answer in answers)
        print(f"moved in {moved_in:.1f} s: {kinds}")
        assert set(kinds) <= {WrongCodeError, ExpiredCodeError, StoreUnavailableError}
        assert cluster.owner(slot) is target
        for phone, answers in zip(phones, told, strict=True):
            counted = [answer.attempts_left for answer in answers if isinstance(answer, WrongCodeError)]
            assert counted == list(range(9, 9 - len(counted), -1))
            await counter.issue(phone)
            assert isinstance(await counter.verify(phone, counter.code(phone)), Proof)
        cluster.move_slot(slot, target, source)


async def test_a_client_that_knows_nothing_of_the_move_finds_the_slot(
    library: str, cluster: Cluster, namespace: str
) -> None:
    async with opened(library, cluster.url, namespace=namespace) as counter:
        slot, (phone, other) = one_slots_phones(counter, 2)
        source = cluster.owner(slot)
        target = next(node for node in cluster.primaries() if node is not source)
        await counter.issue(phone)
        cluster.move_slot(slot, source, target)
        assert isinstance(await counter.verify(phone, counter.code(phone)), Proof)
        cluster.move_slot(slot, target, source)
        assert (await counter.issue(other)).delivery == "accepted"
