"""Run an `OTP` and the model of its rules side by side, and compare the results of each call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import redis
from facts import Answer, Who, whole_seconds
from rules import Model
from support.lua_shell import FIGURES, MAX_VALUE
from wire import Call, Wire

from otpkit import OTP, Challenge, Erased, OTPError, Policy, Proof, Standing, Template
from otpkit.errors import GatewayRejectedError, RateLimitError
from otpkit.gateways import Message
from otpkit.testing import MovableClock

COUNTED_AS = {"::ffff:203.0.113.9": "203.0.113.9", "10.0.0.1": None}  # Any other address counts as itself.
NO_ANSWER = {"down", "lost"}
OTHER_CLAIMS: dict[str, dict[str, str]] = {
    "": {},
    "purpose": {"purpose": "reset"},
    "bind": {"bind": "another"},
    "phone": {"phone": "13912345678"},
    "no phone": {"phone": "x"},
}
Faults = Mapping[str, str]


class Died(BaseException):
    """The process dies while the gateway sends a message."""


class Handover(NamedTuple):
    """A gateway's behaviour: its outcome, its duration, and the calls that others make in the meantime."""

    outcome: str = "accepted"
    takes_s: float = 0.0
    during: tuple[tuple[str, Mapping[str, Any]], ...] = ()


class Driver:
    """Makes every call on the OTP and on the model."""

    def __init__(self, client: type[redis.Redis], options: Mapping[str, Any], policy: Policy, start_s: float) -> None:
        self.clock = MovableClock()
        self.clock.advance(start_s)
        self.wire = Wire(client, options, self.clock)
        self.model = Model(policy)
        self.namespace = f"t{uuid4().hex[:12]}"
        self.otp = OTP(
            self.wire.client,
            self._send,
            Template("SMS_1", sign_name="otpkit", params={"code": "{code}", "minutes": "{minutes}"}),
            "one secret for the tests of the model",
            policy=policy,
            namespace=self.namespace,
            clock=self.clock,
        )
        self.wire.learn(self.otp)
        self.codes: dict[Who, list[str]] = {}
        self.proofs: list[tuple[Proof, Who, object]] = []
        self.send_ids: set[str] = set()
        self._ids: dict[str, object] = {}
        self._subjects: dict[object, str] = {}

    # The calls

    def issue(self, who: Who, ip: str | None, key: str | None, handover: Handover, faults: Faults) -> None:
        if key is not None and not self.model.remembers(self.wire.now(), who, key):
            return
        op, seen, model, charged = object(), dict[str, Any](), self.model, COUNTED_AS.get(ip, ip)

        def reserve(now: int) -> None:
            seen.setdefault("reserved_ms", now)
            seen["answer"] = model.reserve(now, op, who, charged, key)

        def gateway(message: Message) -> str:
            seen["message"] = message
            self.wire.note(lambda: self._check_message(message, who, seen["answer"]))
            for name, arguments in handover.during:
                self.wire.note(lambda name=name, arguments=arguments: getattr(self, name)(**arguments))
            self.clock.advance(handover.takes_s)
            return _end(handover.outcome)

        steps = {
            "reserve": reserve,
            "settle": lambda now: seen.update(settled=model.settle(now, op, who, handover.outcome)),
            "undo": lambda now: seen.update(
                wait_ms=model.undo(now, op, who, charged, handover.outcome, seen["reserved_ms"])
            ),
            "status": lambda now: seen.update(status=model.status(now, who)),
        }
        options = {"bind": who.bind, "ip": ip, "idempotency_key": key}
        with self._during(Call(steps, faults, gateway)):
            actual, _ = self._observe(who, lambda: self.otp.issue(who.phone, who.purpose, **options))
        reserved = seen["answer"].word == "reserved" if faults.get("reserve") not in NO_ANSWER else False
        assert ("message" in seen) == reserved
        self._compare(actual, self._expect_issue(seen, handover.outcome, faults))

    def _expect_issue(self, seen: dict[str, Any], outcome: str, faults: Faults) -> Answer:
        if faults.get("reserve") in NO_ANSWER:
            return Answer("store_unavailable")
        answer: Answer = seen["answer"]
        if answer.word != "reserved":
            return replace(answer, word="challenge") if answer.word == "replayed" else answer
        if outcome == "died":
            return Answer("died")
        if outcome in {"accepted", "uncertain"}:
            evidence = answer.evidence | {"delivery": outcome}
            if faults.get("settle") not in NO_ANSWER and seen["settled"]:
                left_ms = max(0, evidence["expires_at"] - self.wire.now())
                evidence |= seen["settled"] | {"expires_in": whole_seconds(left_ms)}
            return Answer("challenge", evidence, answer.subject)
        if outcome != "rate_limit":
            return Answer("gateway_rejected", {"category": outcome, "gateway_code": "42"})
        status = Answer("none") if faults.get("status") in NO_ANSWER else seen["status"]
        wait_ms = 0 if faults.get("undo") in NO_ANSWER else seen["wait_ms"]
        evidence = {"limit": ("gateway", None), "retry_after": max(60, math.ceil(wait_ms / 1000))}
        return Answer("rate_limit", evidence | status.evidence, status.subject)

    def verify(self, who: Who, pick: str, ip: str | None, key: str | None, faults: Faults, typed: str = "{}") -> None:
        code = self._pick(who, pick)
        if key is not None and not self.model.remembers(self.wire.now(), who, key):
            return
        op, seen = (who, key, object() if key is None else code), {"answer": Answer("malformed_code")}
        charged = COUNTED_AS.get(ip, ip)
        steps = {"verify": lambda now: seen.update(answer=self.model.verify(now, op, who, code, charged))}
        if pick == "malformed":
            steps = faults = {}
        text, options = typed.replace("{}", code), {"bind": who.bind, "ip": ip, "idempotency_key": key}
        with self._during(Call(steps, faults)):
            actual, proof = self._observe(who, lambda: self.otp.verify(who.phone, text, who.purpose, **options))
        self._compare(actual, _unless_faulty(seen["answer"], faults.get("verify")))
        if proof is not None:
            assert proof.phone == who.phone
            self.proofs.append((proof, who, op))

    def redeem(self, index: int, key: str | None, faults: Faults, claim: str = "") -> None:
        if not self.proofs:
            return
        proof, who, verified_by = self.proofs[index % len(self.proofs)]
        op, ends = object() if key is None else (who, key), _ms(proof.expires_at)
        seen = {"answer": Answer("invalid_token")}
        steps = {"redeem": lambda now: seen.update(answer=self.model.redeem(now, op, who.phone, verified_by, ends))}
        if claim:
            steps = faults = {}
        claims = {"purpose": who.purpose, "bind": who.bind, "phone": f"0086 {who.phone[3:]}"} | OTHER_CLAIMS[claim]
        with self._during(Call(steps, faults)):
            actual, again = self._observe(who, lambda: self.otp.redeem(proof.token, idempotency_key=key, **claims))
            checked, _ = self._observe(who, lambda: self.otp.check(proof.token, **claims))
        self._compare(actual, _unless_faulty(seen["answer"], faults.get("redeem")))
        assert again in {None, proof}
        lives = "proved" if self.wire.now() < ends else "expired_token"
        assert checked.word == ("invalid_token" if claim else lives)

    def status(self, who: Who) -> None:
        seen: dict[str, Answer] = {}
        with self._during(Call({"status": lambda now: seen.update(answer=self.model.status(now, who))})):
            actual, _ = self._observe(who, lambda: self.otp.status(who.phone, who.purpose, bind=who.bind))
        self._compare(actual, seen["answer"])

    def standing(self, who: Who) -> None:
        seen: dict[str, Answer] = {}
        with self._during(Call({"standing": lambda now: seen.update(answer=self.model.standing(now, who.phone))})):
            actual, _ = self._observe(who, lambda: self.otp.standing(who.phone))
        self._compare(actual, seen["answer"])

    def operate(self, name: str, who: Who, faults: Faults) -> None:
        """Revoke a challenge, or unblock or erase a phone."""
        subject = who if name == "revoke" else who.phone
        options = {"purpose": who.purpose, "bind": who.bind} if name == "revoke" else {}
        with self._during(Call({name: lambda now: getattr(self.model, name)(subject)}, faults)):
            actual, _ = self._observe(who, lambda: getattr(self.otp, name)(who.phone, **options))
        self._compare(actual, _unless_faulty(Answer("none"), faults.get(name)))

    def wait(self, seconds: float) -> None:
        if self.wire.call.gateway is None or seconds < 3600:  # No gateway takes an hour to answer.
            self.clock.advance(max(0.0, seconds))

    def wait_until(self, kind: str, index: int, offset_s: float) -> None:
        """Move the clock to just before, exactly at, or just after a time at which the state changes by itself."""
        instants = self.model.instants(kind, self.wire.now())
        if instants:
            self.wait(instants[index % len(instants)] / 1000 + offset_s - self.clock.now)

    def close(self) -> None:
        """Check the keys that are left in the store, and disconnect."""
        client, self.wire.call = self.wire.client, Call({})
        for key in client.scan_iter(f"{self.namespace}:*"):
            reached_block = key.endswith(b":c") and int(client.get(key)) >= self.model.most_consecutive
            assert (client.pttl(key) == -1) == reached_block, key
            if client.type(key) == b"hash" and not key.endswith(FIGURES):
                assert max(map(len, client.hvals(key))) <= MAX_VALUE
        client.close()

    # Execution and comparison

    @contextmanager
    def _during(self, call: Call) -> Iterator[None]:
        outer, self.wire.call = self.wire.call, call
        try:
            yield
        finally:
            self.wire.call = outer
        if self.wire.broken:
            raise self.wire.broken[0]

    def _observe(self, who: Who, call: Callable[[], object]) -> tuple[Answer, Proof | None]:
        try:
            result = call()
        except OTPError as error:
            names = ("attempts_left", "retry_after", "category", "gateway_code")
            evidence = {name: getattr(error, name) for name in names if getattr(error, name, None) is not None}
            if isinstance(error, RateLimitError):
                evidence["limit"] = (error.scope, error.rate)
            shown = _shown(who, getattr(error, "challenge", None))
            return Answer(error.code, evidence | shown.evidence, shown.subject), None
        except Died:
            return Answer("died"), None
        if not isinstance(result, Proof):
            return _shown(who, result), None
        assert (result.phone, result.purpose, result.fixed) == (who.phone, who.purpose, False)
        evidence = {"verified_at": _ms(result.verified_at), "expires_at": _ms(result.expires_at)}
        return Answer("proved", evidence, result.id), result

    def _compare(self, actual: Answer, expected: Answer) -> None:
        if (actual.word, actual.evidence) != (expected.word, expected.evidence):
            raise AssertionError(f"it gave {actual}, and the rules say {expected}")
        if actual.subject is not None:  # One id belongs to exactly one challenge or proof.
            assert self._ids.setdefault(actual.subject, expected.subject) is expected.subject
            assert self._subjects.setdefault(expected.subject, actual.subject) == actual.subject

    def _send(self, message: Message) -> str:
        return self.wire.call.gateway(message)

    def _check_message(self, message: Message, who: Who, answer: Answer) -> None:
        assert answer.word == "reserved"
        assert message.phone == who.phone
        assert message.params["code"] == message.code
        assert message.send_id not in self.send_ids
        self.send_ids.add(message.send_id)
        if answer.subject.code is None:
            answer.subject.code = message.code
            self.codes.setdefault(who, []).append(message.code)
        assert message.code == answer.subject.code

    def _pick(self, who: Who, pick: str) -> str:
        """Return a code that is right, wrong, an earlier one, that of another challenge, or malformed."""
        own = self.codes.get(who, ["000000"])
        others = [codes[-1] for other, codes in self.codes.items() if other != who]
        return {
            "right": own[-1],
            "stale": own[0],
            "wrong": f"{(int(own[-1]) + 1) % 1_000_000:06d}",
            "other": (others or own)[-1],
            "malformed": own[-1][1:],
        }[pick]


def _end(outcome: str) -> str:
    if outcome == "died":
        raise Died
    if outcome == "uncertain":
        raise TimeoutError("no answer from the gateway")
    if outcome != "accepted":
        raise GatewayRejectedError("no", gateway="g", gateway_code="42", category=outcome)
    return "message-id"


def _unless_faulty(answer: Answer, fault: str | None) -> Answer:
    return Answer("store_unavailable") if fault in NO_ANSWER else answer


def _shown(who: Who, challenge: object) -> Answer:
    if isinstance(challenge, Standing):
        evidence = asdict(challenge)
        assert evidence.pop("phone") == who.phone
        return Answer("standing", evidence)
    if not isinstance(challenge, Challenge):
        # A repeat after a lost reply removes nothing more, so the model does not compare what `erase` removed.
        assert challenge is None or isinstance(challenge, Erased)
        return Answer("none")
    assert (challenge.phone, challenge.purpose) == (who.phone, who.purpose)
    evidence = {
        name: getattr(challenge, name)
        for name in ("expires_in", "resend_in", "attempts_left", "sends_left", "delivery", "replayed")
    }
    times = {"expires_at": _ms(challenge.expires_at), "resend_at": _ms(challenge.resend_at)}
    return Answer("challenge", evidence | times, challenge.id)


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
