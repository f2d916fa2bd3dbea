"""Run every call with all listeners, and search what they pass on for anything that identifies a person."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.event_receiver import SECRET as WEBHOOK_SECRET
from support.event_receiver import Receiver
from support.rig import SECRET, LoopThread, Rig, outcome, whole, wrong

from otpkit import Budget, Event, FixedCode, GatewayRejectedError, Guard
from otpkit.gateways import Failover, Message
from otpkit.telemetry import LogListener, PrometheusListener, WebhookListener
from otpkit.testing import PassingCaptcha

PHONES = ("+8613812345678", "+8613912345679", "+8613712345670")
FIXED, FIXED_CODE = "+8613612345671", "8462957310"
VISITOR, NEIGHBOUR = "198.51.100.237", "2001:db8:77::1"
BIND, PARAM, FORM, ANSWER = "session-of-a-visitor", "a-name-in-the-text", "key-of-a-form", "answer-to-a-captcha"


@pytest.fixture(params=["sync", "async"])
def rig(request: pytest.FixtureRequest, redis_url: str, namespace: str) -> Iterator[Rig]:
    """Yield a rig of each shell, on a real server."""
    loop = LoopThread() if request.param == "async" else None
    with Rig(redis_url, namespace, loop) as rig:
        yield rig
    if loop is not None:
        loop.stop()


_answers = itertools.count()


class Spilling:
    """A gateway that fails in a different way each time, with all that it knows in the texts of its errors."""

    calls = 0

    def __call__(self, message: Message) -> None:
        """Fail: two rejections, then an exception that leaves the outcome uncertain."""
        text = f"{message.code} {message.phone} {dict(message.params)} {message.send_id}"
        self.calls += 1
        if self.calls % 3 == 0:
            raise RuntimeError(text)
        raise GatewayRejectedError(text, text, gateway="function", gateway_code="15", category="account")


def life_of(otp: Any, rig: Rig, phone: str) -> Iterable[Any]:
    """Make every call for a phone, in each way that it can end. Yield what must be passed on by no listener."""
    yield from (phone, phone.removeprefix("+86"))
    form = {"idempotency_key": f"{FORM} {phone}", "params": {"product": PARAM}}

    def issue(purpose: str = "signup", **options: Any) -> None:
        answer = f"{ANSWER} {next(_answers)}"  # Each answer passes once.
        outcome(otp.issue, phone, purpose, **{"bind": BIND, "ip": VISITOR, "captcha": answer, **options})

    issue(captcha=None)  # It asks for a captcha.
    issue(**form)
    issue(**form)
    issue()
    code = rig.outbox[-1].code
    yield code
    outcome(otp.status, phone, bind=BIND)
    outcome(otp.standing, phone)
    outcome(otp.delivery, phone, bind=BIND)
    rig.advance(61)
    issue(ip="127.0.0.1")
    for tried in ("12", wrong(code), wrong(code)):
        outcome(otp.verify, phone, tried, bind=BIND, ip=NEIGHBOUR, idempotency_key=f"{FORM} {phone}")
    outcome(otp.unblock, phone)
    proof = otp.verify(phone, rig.outbox[-1].code, bind=BIND, ip=NEIGHBOUR)
    yield from (proof.token, proof.device)
    outcome(otp.verify, phone, code, bind=BIND)
    outcome(otp.check, proof.token, bind=BIND)
    for _ in range(2):
        outcome(otp.redeem, proof.token, bind=BIND, idempotency_key=f"{FORM} {phone}", request="a request")
    outcome(otp.redeem, proof.token, bind=BIND)
    rig.advance(61)
    rig.outbox.lose_next()
    issue("login", device=proof.device)
    rig.advance(61)
    rig.outbox.reject_next()
    issue("login")
    outcome(otp.revoke, phone, "login", bind=BIND)
    for _ in range(2):
        outcome(otp.send, phone, "login", "8086475309", ip=VISITOR, captcha=f"{ANSWER} {next(_answers)}", **form)
    yield "8086475309"
    for scope, subject in (("range", phone), ("ip", VISITOR), ("net", VISITOR)):
        outcome(otp.guard_block, scope, subject, seconds=60)
        issue()
        outcome(otp.guard_allow, scope, subject)
        outcome(otp.guard_clear, scope, subject)
    outcome(otp.guard_report, phone=phone, ip=VISITOR)
    outcome(otp.spending)
    outcome(otp.check_device, proof.device, phone)
    outcome(otp.forget_devices, phone)
    outcome(otp.erase, phone)
    rig.advance(61)


def test_no_listener_passes_on_anything_of_a_person(rig: Rig, caplog: Any) -> None:
    """No code, phone, address, bind, token, secret or text of a visitor occurs in anything that leaves."""
    caplog.set_level(logging.DEBUG)
    registry, events = CollectorRegistry(), list[Event]()
    needles = {FIXED, FIXED[3:], FIXED_CODE, VISITOR, NEIGHBOUR, BIND, PARAM, FORM, ANSWER, WEBHOOK_SECRET, SECRET}
    with Receiver() as receiver:
        listeners: list[Any] = [
            LogListener("plain"),
            LogListener("as-json", json=True),
            PrometheusListener(registry),
            WebhookListener(receiver.url, WEBHOOK_SECRET, rate=10_000),
        ]
        otp = rig.otp(
            gateway=Failover([Spilling(), rig.outbox], rest_after=2),
            policy=whole(code_length=10, sends="30/day", max_consecutive_failures=2),
            fixed_codes=[FixedCode(FIXED, FIXED_CODE, datetime.fromtimestamp(rig.clock() + 9999, UTC), {"signup"})],
            guard=Guard("enforce", ask="always", captcha=PassingCaptcha()),
            budgets=[Budget("9 CNY/day", alerts=(0.01,))],
            prices={"*": "0.045 CNY"},
            listeners=[events.append, *listeners],
        )
        for phone in PHONES:
            needles |= {each for each in life_of(otp, rig, phone) if each is not None}
        otp.issue(FIXED)
        otp.verify(FIXED, FIXED_CODE)
        for listener in listeners:
            listener.close(30)
            assert (listener.waiting, listener.dropped) == (0, 0)
        posts = list(receiver.posted)
    assert len(posts) == len(events)
    seen = {event.name for event in events}
    assert seen >= {
        *("issued", "sent", "replayed", "resent", "verified", "redeemed", "refused", "revoked", "unblocked", "erased"),
        *("devices_forgotten", "delivered", "gateway_failed", "guard", "captcha", "budget", "ip_not_counted"),
    }
    passed_on = {
        "events": repr(events),
        "metrics": generate_latest(registry).decode(),
        "posts": repr([(each.headers, each.body.decode()) for each in posts]),
        "logs": " ".join([caplog.text, *(f"{vars(each)!r}" for each in caplog.records)]),
    }
    assert all(passed_on.values())
    hits = {(where, needle) for where, text in passed_on.items() for needle in needles if needle in text}
    assert not hits
