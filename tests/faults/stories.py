"""Sequences of calls, with a fault in one script.

A story calls `stage.spoil()` before the call that runs the script.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from support.callers import result
from support.proxied import Proxied
from support.rig import PHONE, wrong

Story = Callable[[Proxied], Awaitable[Any]]
IP = "203.0.113.7"


async def issue(stage: Proxied) -> Any:
    """Send a first message."""
    stage.spoil()
    return await result(stage.caller.issue(PHONE, ip=IP))


async def resend(stage: Proxied) -> Any:
    """Resend the same code."""
    await stage.caller.issue(PHONE, ip=IP)
    stage.clock.advance(60)
    return await issue(stage)


async def issue_rejected(stage: Proxied) -> Any:
    """Issue when the gateway rejects the message, and issue again."""
    stage.outbox.reject_next()
    first = await issue(stage)
    assert (await stage.caller.issue(PHONE, ip=IP)).sends_left == 31
    return first


async def issue_uncertain(stage: Proxied) -> Any:
    """Issue when the gateway's answer is lost."""
    stage.outbox.lose_next()
    return await issue(stage)


async def verify_right(stage: Proxied) -> Any:
    """Verify the code that was sent."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.verify(PHONE, stage.code, ip=IP))


async def verify_wrong(stage: Proxied) -> Any:
    """Verify a wrong code."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.verify(PHONE, wrong(stage.code), ip=IP))


async def verify_none(stage: Proxied) -> Any:
    """Verify a code without a challenge. Only the address is charged."""
    stage.spoil()
    return await result(stage.caller.verify(PHONE, "123456", ip=IP))


async def redeem(stage: Proxied) -> Any:
    """Redeem a proof."""
    await stage.caller.issue(PHONE)
    proof = await stage.caller.verify(PHONE, stage.code)
    stage.spoil()
    return await result(stage.caller.redeem(proof.token))


async def status(stage: Proxied) -> Any:
    """Read the status of a challenge."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.status(PHONE))


async def standing(stage: Proxied) -> Any:
    """Read the standing of a phone."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.standing(PHONE))


async def revoke(stage: Proxied) -> Any:
    """Revoke a challenge, and try its code."""
    await stage.caller.issue(PHONE)
    stage.spoil()
    await stage.caller.revoke(PHONE)
    return await result(stage.caller.verify(PHONE, stage.code))


async def unblock(stage: Proxied) -> Any:
    """Unblock a phone after a wrong code."""
    await stage.caller.issue(PHONE)
    await result(stage.caller.verify(PHONE, wrong(stage.code)))
    stage.spoil()
    await stage.caller.unblock(PHONE)
    return await result(stage.caller.status(PHONE))


async def erase(stage: Proxied) -> Any:
    """Erase a phone."""
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
