"""How scripts' replies are read. They are ASCII and integers, as bytes or as str, whichever the client decodes to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from otpkit.core.config import Deployment
from otpkit.core.subject import Identity
from otpkit.core.tokens import from_ms
from otpkit.effects import Flow, RunScript
from otpkit.errors import RateLimitError, RateLimitScope
from otpkit.models import Challenge, DeliveryState, Standing
from otpkit.policy import Rate

DELIVERY: dict[str, DeliveryState] = {
    "p": "pending",
    "a": "accepted",
    "u": "uncertain",
    "d": "delivered",
    "f": "failed",
}
_WHAT: dict[str, str] = {
    "phone": "This phone was sent as many messages as Policy.sends allows",
    "ip": "This IP address has used up Policy.ip_sends or Policy.ip_failures",
    "region": "The phone's region has used up Policy.region_sends",
    "total": "All phones together have used up Policy.total_sends",
    "failures": "This phone has had as many wrong codes as Policy.failures allows",
}


class Description(NamedTuple):
    """What `describe` in describe.lua tells of a send and its challenge; times in server milliseconds."""

    ends_ms: int
    resend_ms: int
    attempts_left: int
    sends_left: int
    delivery: Any
    generation: Any
    fixed: int
    served_by: Any


def text(value: Any) -> str:
    """Return a script's word as str."""
    return value.decode() if isinstance(value, bytes) else str(value)


def challenge_of(who: Identity, now_ms: int, found: Description, *, replayed: bool = False) -> Challenge:
    """Return the challenge that a script described at `now_ms`."""
    if found.fixed == 1:
        found = _ended_with_its_code(found, who.fixed_ends_ms or now_ms, now_ms)
    return Challenge(
        id=who.challenge_id(text(found.generation)),
        phone=who.phone,
        purpose=who.purpose,
        expires_at=from_ms(found.ends_ms),
        expires_in=round(max(0, found.ends_ms - now_ms) / 1000),
        resend_at=from_ms(found.resend_ms),
        resend_in=math.ceil(max(0, found.resend_ms - now_ms) / 1000),
        attempts_left=found.attempts_left,
        sends_left=found.sends_left,
        delivery=DELIVERY[text(found.delivery)],
        replayed=replayed,
        gateway=who.served_by(text(found.served_by), fixed=found.fixed == 1)[0],
    )


def raise_limited(who: Identity, reply: Sequence[Any]) -> NoReturn:
    """Raise the `RateLimitError` of a script's {'limited', …}."""
    _, now_ms, word, wait_ms, limit, window_ms, *described = reply
    scope: RateLimitScope = text(word)  # type: ignore[assignment]
    rate = Rate(limit, window_ms // 1000)
    seconds = max(1, math.ceil(wait_ms / 1000))
    raise RateLimitError(
        f"{_WHAT[scope]} ({rate}). Nothing was sent or verified; the same call may succeed in {seconds} s.",
        scope=scope,
        rate=rate,
        retry_after=seconds,
        challenge=_live(challenge_of(who, now_ms, Description(*described))) if described else None,
    )


def standing_of(who: Identity, reply: Sequence[Any]) -> Standing:
    """Return the standing of a phone, as standing.lua tells it."""
    blocked, consecutive_failures, sends_left, send_ms, failures_left, verify_ms = reply
    return Standing(
        phone=who.phone,
        blocked=blocked == 1,
        consecutive_failures=consecutive_failures,
        sends_left=sends_left,
        send_in=math.ceil(send_ms / 1000),
        failures_left=failures_left,
        verify_in=math.ceil(verify_ms / 1000),
    )


def live_challenge(deployment: Deployment, who: Identity) -> Flow[Challenge | None]:
    """Ask for the live challenge of an identity, or None."""
    reply = yield RunScript(deployment.scripts.status, (who.phone_key,), (deployment.now_arg(), who.slot))
    if len(reply) == 1 or not reply[1]:
        return None
    return _live(challenge_of(who, reply[0], Description(*reply[4:])))


def _ended_with_its_code(found: Description, ends_ms: int, now_ms: int) -> Description:
    """Return what a fixed challenge is whose code is in force until `ends_ms`."""
    attempts = found.attempts_left if now_ms < ends_ms else 0
    return found._replace(ends_ms=min(found.ends_ms, ends_ms), attempts_left=attempts)


def _live(challenge: Challenge) -> Challenge | None:
    """Return a challenge, or None where it has ended with its fixed code."""
    return challenge if challenge.attempts_left else None
