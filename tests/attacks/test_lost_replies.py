"""A lost reply has no effect: the retried script returns the same result, and counts once.

redis-py runs a script again when its reply was lost. A proxy drops and cuts the replies of a real server. Each story
runs once over a clean connection and once over a faulty one, and both runs must end the same.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from support.callers import BROAD, calling, result
from support.proxied import Proxied, staged, told
from support.proxy import Fault, Proxy
from support.rig import OTHER_PHONE, PHONE, Rig, outcome, wrong

from otpkit import GatewayRejectedError

Story = Callable[[Proxied], Awaitable[Any]]
IP = "203.0.113.7"


async def issue(stage: Proxied) -> Any:
    stage.spoil()
    return await result(stage.caller.issue(PHONE, ip=IP))


async def resend(stage: Proxied) -> Any:
    await stage.caller.issue(PHONE, ip=IP)
    stage.clock.advance(60)
    return await issue(stage)


async def issue_too_soon(stage: Proxied) -> Any:
    await stage.caller.issue(PHONE, ip=IP)
    return await issue(stage)


async def issue_by_key(stage: Proxied) -> Any:
    await stage.caller.issue(PHONE, idempotency_key="key")
    stage.spoil()
    return await result(stage.caller.issue(PHONE, idempotency_key="key"))


async def send_by_key(stage: Proxied) -> Any:
    """Send another system's code. The repeat by the key has the same id."""
    stage.spoil()
    first = await stage.caller.send(PHONE, "signup", "4711", ip=IP, idempotency_key="key")
    again = await stage.caller.send(PHONE, "signup", "4711", ip=IP, idempotency_key="key")
    assert first.id == again.id
    return first


async def send_rejected(stage: Proxied) -> Any:
    """Send another system's code, which the gateway rejects, and send it again."""
    stage.outbox.reject_next()
    stage.spoil()
    await result(stage.caller.send(PHONE, "signup", "4711", ip=IP, idempotency_key="key"))
    return await stage.caller.send(PHONE, "signup", "4711", ip=IP, idempotency_key="key")


async def issue_rejected(stage: Proxied) -> Any:
    stage.outbox.reject_next()
    return await issue(stage)


async def number_rejected(stage: Proxied) -> Any:
    """Reject a number. The phone and the address stay charged, and the total is refunded once."""
    await stage.caller.issue(OTHER_PHONE, ip=IP)
    stage.outbox.reject_next(GatewayRejectedError("no", gateway="outbox", category="number"))
    return await issue(stage)


async def resend_rejected(stage: Proxied) -> Any:
    """Reject a resend, and verify the first message's code."""
    await stage.caller.issue(PHONE, ip=IP)
    stage.clock.advance(60)
    await issue_rejected(stage)
    return await result(stage.caller.verify(PHONE, stage.code))


async def verify_right(stage: Proxied) -> Any:
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.verify(PHONE, stage.code, ip=IP))


async def verify_wrong(stage: Proxied) -> Any:
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.verify(PHONE, wrong(stage.code), ip=IP))


async def verify_last(stage: Proxied) -> Any:
    """Send the fifth wrong code, which ends the challenge."""
    await stage.caller.issue(PHONE)
    for _ in range(4):
        await result(stage.caller.verify(PHONE, wrong(stage.code)))
    stage.spoil()
    return await result(stage.caller.verify(PHONE, wrong(stage.code)))


async def verify_none(stage: Proxied) -> Any:
    stage.spoil()
    return await result(stage.caller.verify(PHONE, "123456", ip="203.0.113.7"))


async def _proof(stage: Proxied) -> Any:
    await stage.caller.issue(PHONE)
    return await stage.caller.verify(PHONE, stage.code, ip=IP)


async def _fail(stage: Proxied) -> None:
    await stage.caller.issue(PHONE)
    await result(stage.caller.verify(PHONE, wrong(stage.code)))


async def redeem(stage: Proxied) -> Any:
    proof = await _proof(stage)
    stage.spoil()
    return await result(stage.caller.redeem(proof.token))


async def redeem_again(stage: Proxied) -> Any:
    proof = await _proof(stage)
    await stage.caller.redeem(proof.token)
    stage.spoil()
    return await result(stage.caller.redeem(proof.token))


async def redeem_by_key(stage: Proxied) -> Any:
    """Redeem with a key. The retry of the same call is not a replay."""
    proof = await _proof(stage)
    stage.spoil()
    return await result(stage.caller.redeem(proof.token, idempotency_key="form", request="fields"))


async def redeem_again_by_key(stage: Proxied) -> Any:
    """Redeem twice with a key. The second form is a replay, for any number of lost replies."""
    proof = await _proof(stage)
    await stage.caller.redeem(proof.token, idempotency_key="form", request="fields")
    stage.spoil()
    return await result(stage.caller.redeem(proof.token, idempotency_key="form", request="fields"))


async def redeem_another_by_key(stage: Proxied) -> Any:
    proof = await _proof(stage)
    await stage.caller.redeem(proof.token, idempotency_key="form", request="fields")
    stage.spoil()
    return await result(stage.caller.redeem(proof.token, idempotency_key="form", request="others"))


async def status(stage: Proxied) -> Any:
    await stage.caller.issue(PHONE)
    stage.spoil()
    return await result(stage.caller.status(PHONE))


async def standing(stage: Proxied) -> Any:
    await _fail(stage)
    stage.spoil()
    return await result(stage.caller.standing(PHONE))


async def revoke(stage: Proxied) -> Any:
    await stage.caller.issue(PHONE)
    stage.spoil()
    await stage.caller.revoke(PHONE)
    return await result(stage.caller.verify(PHONE, stage.code))


async def unblock(stage: Proxied) -> Any:
    await _fail(stage)
    stage.spoil()
    await stage.caller.unblock(PHONE)
    return await result(stage.caller.status(PHONE))


async def erase(stage: Proxied) -> Any:
    await _fail(stage)
    stage.spoil()
    await stage.caller.erase(PHONE)
    return await result(stage.caller.status(PHONE))


STORIES: list[tuple[Story, str]] = [
    *((story, "reserve") for story in (issue, resend, issue_too_soon, issue_by_key, send_by_key)),
    *((story, "settle") for story in (issue, resend, send_by_key)),
    *((story, "undo") for story in (issue_rejected, number_rejected, resend_rejected, send_rejected)),
    *((story, "verify") for story in (verify_right, verify_wrong, verify_last, verify_none)),
    *((story, "redeem") for story in (redeem, redeem_again, redeem_by_key, redeem_again_by_key, redeem_another_by_key)),
    *((story, story.__name__) for story in (status, standing, revoke, unblock, erase)),
]


@pytest.mark.parametrize("action", ["drop", "cut", "refuse"])
@pytest.mark.parametrize(("story", "script"), STORIES, ids=lambda part: getattr(part, "__name__", part))
async def test_a_story_ends_as_over_a_clean_connection(
    proxy: Proxy, seat_url: str, namespace: str, kind: str, story: Story, script: str, action: Any
) -> None:
    """The result, the counts and the number of messages are the same."""
    ends = []
    for faults in ([], [Fault(action)]):
        async with staged(kind, proxy, seat_url, f"{namespace}.{len(faults)}") as stage:
            stage.spoil = lambda faults=faults: proxy.expect(script, *faults)
            answer = await story(stage)
            assert proxy.planned() == 0
            ends.append((told(answer), stage.kept()))
    assert ends[0] == ends[1]


async def test_every_reply_may_be_lost_twice(proxy: Proxy, seat_url: str, namespace: str, kind: str) -> None:
    """Every retry tolerates two losses in a row."""
    for script in ("reserve", "settle", "verify", "redeem"):
        proxy.expect(script, Fault("drop"), Fault("cut"))
    async with staged(kind, proxy, seat_url, namespace) as stage:
        assert told(await redeem_again(stage))[0] == "UsedTokenError"
        assert stage.kept()[0] == {"p": 1, "s": 1}
        assert Counter(proxy.calls) == {"reserve": 3, "settle": 3, "verify": 3, "redeem": 4}


async def test_another_caller_in_between_changes_nothing(
    proxy: Proxy, seat_url: str, namespace: str, kind: str
) -> None:
    """Another caller's wrong code between a lost reply and its retry is counted, and changes no result."""
    async with staged(kind, proxy, seat_url, namespace) as stage, _direct(stage, seat_url) as other:
        await issue(stage)
        guess = wrong(stage.code)
        proxy.expect("verify", Fault("drop", between=lambda: other(guess)), Fault("drop", between=lambda: other(guess)))
        assert (await result(stage.caller.verify(PHONE, guess))).attempts_left == 4
        assert (await stage.caller.status(PHONE)).attempts_left == 2
        proxy.expect("verify", Fault("drop", between=lambda: other(stage.code)))
        proof = await stage.caller.verify(PHONE, stage.code)
        proxy.expect("redeem", Fault("cut", between=lambda: other(stage.code)))
        assert await stage.caller.redeem(proof.token) == proof
        assert stage.kept()[0] == {"f": 3, "p": 1, "s": 1}


async def test_a_code_used_around_a_lost_reply_is_replaced(
    proxy: Proxy, seat_url: str, namespace: str, kind: str
) -> None:
    """The resend's reservation is lost, and the first message's code is used.

    The message that is sent has a usable code.
    """
    async with staged(kind, proxy, seat_url, namespace) as stage, _direct(stage, seat_url) as other:
        await issue(stage)
        stage.clock.advance(60)
        used = stage.code
        proxy.expect("reserve", Fault("drop", between=lambda: other(used)))
        again = await result(stage.caller.issue(PHONE, ip="203.0.113.7", idempotency_key="form"))
        assert (again.delivery, again.sends_left, again.replayed) == ("accepted", 30, False)
        assert stage.code != used
        assert await stage.caller.verify(PHONE, stage.code)
        _, windows, *_, messages = stage.kept()
        assert (set(windows), messages) == ({2}, 2)


async def test_a_form_sent_again_around_a_lost_reply_is_replayed(
    proxy: Proxy, seat_url: str, namespace: str, kind: str
) -> None:
    """The first reply is lost, another form succeeds, and the first call retries.

    Exactly one result is not a replay.
    """
    async with staged(kind, proxy, seat_url, namespace) as stage:
        proof = await _proof(stage)
        seen: list[bool] = []
        with Rig(seat_url, namespace) as rig:
            other = rig.heard(clock=stage.clock, policy=BROAD, on_event=None)

            def again() -> None:
                seen.append(other.redeem(proof.token, idempotency_key="form").replayed)

            proxy.expect("redeem", Fault("drop", between=again), Fault("cut", between=again))
            first = await stage.caller.redeem(proof.token, idempotency_key="form")
        assert (first.replayed, seen) == (False, [True, True])


async def test_a_redeem_that_was_never_answered_is_repeated_by_its_key(
    proxy: Proxy, seat_url: str, namespace: str, kind: str
) -> None:
    """All replies are lost. The same form, sent again, gets the proof, marked as a possible replay."""
    async with staged(kind, proxy, seat_url, namespace) as stage:
        proof = await _proof(stage)
        proxy.expect("redeem", *[Fault("drop")] * 100)
        lost = await result(stage.caller.redeem(proof.token, idempotency_key="form"))
        assert told(lost)[0] == "StoreUnavailableError"
        proxy.forget()
        answer = await stage.caller.redeem(proof.token, idempotency_key="form")
        assert (answer, answer.replayed) == (proof, True)


@contextlib.asynccontextmanager
async def _direct(stage: Proxied, seat_url: str) -> AsyncIterator[Callable[[str], Any]]:
    with Rig(seat_url, stage.namespace) as rig:
        otp = rig.heard(clock=stage.clock, policy=BROAD, on_event=None)
        yield lambda code: outcome(otp.verify, PHONE, code)


async def test_two_issues_around_a_lost_reply_send_one_message(
    proxy: Proxy, seat_url: str, namespace: str, kind: str
) -> None:
    """A second call with the same key, after the first reservation's reply was lost, sends nothing."""
    async with staged(kind, proxy, seat_url, namespace) as stage:
        options = {"namespace": namespace, "clock": stage.clock}
        async with calling(kind, seat_url, stage.outbox, **options) as second:
            proxy.expect("reserve", Fault("drop"))
            await result(stage.caller.issue(PHONE, idempotency_key="form"))
            again = await result(second.issue(PHONE, idempotency_key="form"))
        assert (again.replayed, again.delivery, len(stage.outbox)) == (True, "accepted", 1)
