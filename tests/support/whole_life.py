"""A life of an otpkit that goes through every call, and leaves every kind of key."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import redis

from otpkit import OTP, Budget, FixedCode, GatewayRejectedError, Guard, OTPError, Policy
from otpkit.captcha.base import Captcha, CaptchaCheck, Verdict
from otpkit.core.crypto import Keys, encode_id
from otpkit.doctor.probe import remember
from otpkit.effects import Flow
from otpkit.gateways import Delivery, Failover, Gateway, Message, Push, Receipt, Receipts
from otpkit.guard.rule import Rule
from otpkit.template import Template
from support.rig import Killed, wrong
from support.secrets import SECRET

TEMPLATE = Template("SMS_585014", sign_name="otpkit")
IP = "203.0.113.7"
REVIEWER = "+8613700137000"
FIXED = "246802"
POLICY = Policy(sends="32/day", region_sends={"CN": "999/day"}, total_sends="999/day", max_consecutive_failures=5)


class AnyAnswer(Captcha):
    """A captcha that passes every answer, and whose provider accepts it once."""

    name: ClassVar[str] = "any"
    single_use: ClassVar[bool] = True

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        return {"provider": self.name}

    def verify(self, answer: str, check: CaptchaCheck) -> Flow[Verdict]:
        return Verdict(passed=True)
        yield


class Traceable(Gateway):
    """A gateway with message ids of its own, which knows how its messages went. It may reject the next one, or die."""

    name = "traceable"
    can_trace = True
    can_receive = True

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.rejects = ""

    def send(self, message: Message) -> Flow[Receipt]:
        category, self.rejects = self.rejects, ""
        if category == "killed":
            raise Killed
        if category:
            raise GatewayRejectedError("no", gateway=self.name, category=category)  # type: ignore[arg-type]
        self.sent.append(message)
        return Receipt(self.name, f"900619746936498{len(self.sent):03d}^0")
        yield

    def trace(self, phone: str, send_id: str, sent_at: Any, message_id: str = "") -> Flow[Delivery]:
        return Delivery(state="delivered", gateway=self.name)
        yield

    def receipts(self, push: Push) -> Receipts:
        last = self.sent[-1]
        delivery = Delivery(state="failed", gateway=self.name, phone=last.phone, send_id=last.send_id)
        return Receipts(deliveries=(delivery,))


class Called:
    """An `OTP` that records which calls were made, and whose calls may raise an `OTPError`."""

    def __init__(self, otp: OTP, names: set[str]) -> None:
        self._otp, self._names = otp, names

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._otp, name)
        self._names.add(name)

        def tried(*args: Any, **options: Any) -> Any:
            with suppress(OTPError, Killed):
                return call(*args, **options)
            return None

        return tried


def live(store: Any, client: redis.Redis | redis.RedisCluster, namespace: str, phones: list[str]) -> set[str]:
    """Go through every call; return the names of the calls.

    Args:
        store: the argument `redis` of `OTP`.
        client: a sync client of the same store, for the doctor.
        namespace: the prefix of the keys.
        phones: four numbers that nothing else uses, two of them in one range.
    """
    names: set[str] = set()
    gateway, other = Traceable(), Traceable()
    other.name = "other"
    guard = Guard("enforce", AnyAnswer(), fallback="refuse", rule=Rule(range_floor=2, address_floor=3))
    options: dict[str, Any] = {
        "template": TEMPLATE,
        "secret": SECRET,
        "namespace": namespace,
        "policy": POLICY,
        "fixed_codes": [FixedCode(REVIEWER, FIXED, datetime.now(UTC) + timedelta(days=9), {"signup"})],
        "budgets": [Budget("9 CNY/day"), Budget("99 CNY/month"), Budget("0.10 CNY/day", purpose="dear")],
        "prices": {"CN": "0.05 CNY"},
    }
    for one_guard in (None, guard):
        with OTP(store, Failover([gateway, other]), guard=one_guard, **options) as plain:
            _all_calls(Called(plain, names), gateway, phones, is_guarded=one_guard is not None)
    with OTP(store, gateway, guard=Guard(), **options) as observer:
        observer.guard_report()
        _let_hours_pass(observer)
    keys = Keys(SECRET, None)
    remember(client, f"{namespace}:{{index}}:i", encode_id(keys.name(b"index check")))
    return names


def _let_hours_pass(otp: OTP) -> None:
    """Count figures in a later hour, and after the days for which hours are kept."""
    config, key = otp._config, otp._config.tallies.key
    for number, hours in enumerate((1, 900, 901)):
        later = int(time.time() + 3600 * hours) * 1000
        call = config.scripts.add_figures(
            stats_key=key, memory_key=f"{key}:{encode_id(bytes([number] * 16))}", now=later, figures=[" CN . lip"]
        )
        otp._store.run(call, None)


def _all_calls(otp: Called, gateway: Traceable, phones: list[str], *, is_guarded: bool) -> None:
    one, near, blocked, erased = phones
    answer = f"an-answer-{is_guarded}-"
    for number, (phone, category) in enumerate(
        ((one, ""), (one, "number"), (near, "account"), (near, ""), (blocked, ""), (erased, ""))
    ):
        gateway.rejects = category
        otp.issue(phone, ip=IP, idempotency_key=f"form-{number}", captcha=f"{answer}{number}")
    otp.issue(one, "unsolved", ip=IP)
    for bind in "abc":
        otp.issue(erased, "dear", bind=bind, captcha=f"{answer}{bind}")  # The budget can't afford all of them.
    otp.send(one, "own", "8086475309", ip=IP, captcha=f"{answer}sent", idempotency_key="message")
    otp.status(one)
    otp.standing(one)
    otp.delivery(one)
    otp.receive(Push("/", {}, b"", "POST"), gateway="traceable")
    code = next(message.code for message in gateway.sent if message.phone == one)
    otp.verify(one, wrong(code), ip=IP)
    proof = otp.verify(one, code, ip=IP, idempotency_key="form")
    if proof is not None:
        otp.check(proof.token)
        otp.redeem(proof.token, idempotency_key="form")
        otp.check_device(proof.device, one)
        otp.issue(one, "again", ip=IP, device=proof.device, captcha=f"{answer}device")
    otp.verify(one, "000000", "no challenge", ip=IP)
    code = next(message.code for message in gateway.sent if message.phone == blocked)
    for step in range(5):
        otp.verify(blocked, wrong(code, step + 1), ip=IP)
    code = next(message.code for message in gateway.sent if message.phone == near)
    otp.verify(near, wrong(code), ip=IP)
    otp.issue(REVIEWER)
    otp.verify(REVIEWER, FIXED)
    otp.revoke(near, actor="ann", reason="用户来电 12")
    otp.forget_devices(near, actor="ann")
    otp.erase(erased, actor="ann", reason="the user asked")
    otp.unblock(erased, reason='"quoted" \\ back')
    otp.guard_block("range", near, seconds=60, actor="ann")
    otp.issue(near, "blocked range", ip=IP)
    otp.guard_allow("ip", IP, seconds=60)
    otp.guard_clear("net", IP)
    otp.guard_block("region", "CN", seconds=60)
    otp.guard_clear("region", "CN")
    otp.guard_allow("total")
    otp.guard_report()
    otp.spending()
    otp.stats()
    otp.gateways()
    otp.open_circuit("other", seconds=60, actor="ann", reason="it is late")
    otp.close_circuit("traceable", actor="ann")
    otp.audit()
    gateway.rejects = "killed"  # The send is never settled, and so stays charged.
    otp.issue(erased, "killed", captcha=f"{answer}killed")
    gateway.rejects = "account"  # It comes last: a message that is served ends the record of failures.
    otp.issue(erased, "last", captcha=f"{answer}last")
