"""What people do, one script of which is spoilt: `stage.spoil()` stands before the call that it is in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from support.callers import result
from support.proxied import Proxied
from support.rig import PHONE, wrong

Story = Callable[[Proxied], Awaitable[Any]]
IP = "203.0.113.7"


async def issue(stage: Proxied) -> Any:
    """A first message."""
    stage.spoil()
    return await result(stage.caller.issue(PHONE, ip=IP))


async def resend(stage: Proxied) -> Any:
    """The same code again."""
    await stage.caller.issue(PHONE, ip=IP)
    stage.clock.advance(60)
    return await issue(stage)


async def issue_rejected(stage: Proxied) -> Any:
    """A message that the gateway refuses, and the phone's next one."""
    stage.outbox.reject_next()
    first = await issue(stage)
    assert (await stage.caller.issue(PHONE, ip=IP)).sends_left == 31
    return first


async def issue_uncertain(stage: Proxied) -> Any:
    """A message that may have been sent."""
    stage.outbox.lose_next()
    return await issue(stage)


async def verify_right(stage: Proxied) -> Any:
    """The code that was sent."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.verify(PHONE, stage.code, ip=IP))


async def verify_wrong(stage: Proxied) -> Any:
    """Another one."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.verify(PHONE, wrong(stage.code), ip=IP))


async def verify_none(stage: Proxied) -> Any:
    """A code where none was sent: it is charged to the address alone."""
    stage.spoil()
    return await result(stage.caller.verify(PHONE, "123456", ip=IP))


async def redeem(stage: Proxied) -> Any:
    """A proof, used."""
    await stage.caller.issue(PHONE)
    proof = await stage.caller.verify(PHONE, stage.code)
    stage.spoil()
    return await result(stage.caller.redeem(proof.token))


async def status(stage: Proxied) -> Any:
    """A look."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.status(PHONE))


async def standing(stage: Proxied) -> Any:
    """A look at a phone."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.standing(PHONE))


async def revoke(stage: Proxied) -> Any:
    """A code withdrawn."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    await stage.caller.revoke(PHONE)
    return await result(stage.caller.verify(PHONE, stage.code))


async def unblock(stage: Proxied) -> Any:
    """Failures cleared."""
    await stage.caller.issue(PHONE)
    await result(stage.caller.verify(PHONE, wrong(stage.code)))
    stage.spoil()
    await stage.caller.unblock(PHONE)
    return await result(stage.caller.status(PHONE))


async def erase(stage: Proxied) -> Any:
    """A phone forgotten."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    await stage.caller.erase(PHONE)
    return await result(stage.caller.status(PHONE))


STORIES: list[tuple[Story, str]] = [
    *((story, "reserve") for story in (issue, resend)),
    *((story, "settle") for story in (issue, resend, issue_uncertain)),
    (issue_rejected, "undo"),
    *((story, "verify") for story in (verify_right, verify_wrong, verify_none)),
    *((story, story.__name__) for story in (redeem, status, standing, revoke, unblock, erase)),
]
CLUSTER_STORIES: list[tuple[Story, str]] = [
    *((story, "consume") for story in (issue, verify_right, verify_wrong)),
    *((story, "refund") for story in (issue_rejected, verify_right)),
]
