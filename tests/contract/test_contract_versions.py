"""Two versions share a store during a deployment: this one skips and keeps fields that a later one writes."""

from __future__ import annotations

import pytest
from support.rig import PHONE, VISITOR, Rig

from otpkit import Policy, UsedTokenError, WrongCodeError
from otpkit.errors import ExpiredCodeError, OTPError

FUTURE = b"\xff" * 6  # The bytes of a time, because known kinds of fields begin with one.
UNKNOWN = {
    b"": b"an empty name",
    b"x": b"",
    b"x" + bytes(16): b"1",
    b"X" + bytes(16): FUTURE + bytes(40),
    b"\xff": FUTURE,
    b"s": FUTURE,  # A known letter whose value is not a send.
    b"settings": FUTURE + bytes(30),
    b"s" + bytes(16): b"short",
    b"c" + b"\1" * 8: b"short",
    b"c" + bytes(20): FUTURE + bytes(60),
    b"created": b"2026-11-30",
    b"f" + bytes(16): b"",
    b"failed": FUTURE + b"\1",
    b"p" + bytes(16): FUTURE,
    b"policy": bytes(20),
}


def use(otp: object, rig: Rig, log: list[object]) -> None:
    """Make every call, and record each result."""

    def call(name: str, *args: object, **options: object) -> object:
        try:
            result = getattr(otp, name)(*args, **options)
        except OTPError as error:
            result = error
        log.append(type(result) if isinstance(result, OTPError) else name)
        return result

    call("issue", PHONE, ip=VISITOR, idempotency_key="key")
    call("issue", PHONE, ip=VISITOR, idempotency_key="key")
    rig.advance(61)
    call("issue", PHONE)
    code = rig.outbox[-1].code
    call("verify", PHONE, f"{(int(code) + 1) % 10**6:06d}", ip=VISITOR)
    call("status", PHONE)
    call("standing", PHONE)
    call("delivery", PHONE)
    proof = call("verify", PHONE, code, ip=VISITOR)
    call("redeem", proof.token)  # type: ignore[attr-defined]
    call("redeem", proof.token)  # type: ignore[attr-defined]
    rig.advance(86_500)
    call("issue", PHONE, "login")
    call("revoke", PHONE, "login")
    call("verify", PHONE, "000000", "login", ip=VISITOR)
    call("unblock", PHONE)
    rig.advance(61)
    call("issue", PHONE, "payment")


def test_fields_of_an_unknown_kind_change_nothing(rig: Rig) -> None:
    """The fields are short, long, unnamed, or begin with bytes of a future time. This version never writes one."""
    expected: list[object] = []
    use(rig.otp(namespace=f"{rig.namespace}.plain"), rig, expected)
    otp = rig.otp()
    otp.issue(PHONE, "first")
    rig.advance(86_500)
    (key,) = rig.stored(":p")
    rig.server.hset(key, mapping=UNKNOWN)
    found: list[object] = []
    use(otp, rig, found)
    assert found == expected
    assert {name: value for name, value in rig.server.hgetall(key).items() if name in UNKNOWN} == UNKNOWN
    otp.erase(PHONE)
    assert rig.stored(":p") == []


def test_longer_values_of_known_kinds_mean_the_same(rig: Rig) -> None:
    """A later version may append to them. The appended bytes stay when the value is written again."""
    otp = rig.otp(policy=Policy(sends="32/day"))
    tail = b"appended"

    def append() -> None:
        (key,) = rig.stored(":p")
        for name, value in rig.server.hgetall(key).items():
            if name[:1] in b"scfg" and not value.endswith(tail):
                rig.server.hset(key, name, value + tail)

    first = otp.issue(PHONE, idempotency_key="key")
    append()
    assert otp.issue(PHONE, idempotency_key="key").replayed
    again = otp.issue(PHONE)
    append()
    assert (again.id, again.attempts_left) == (first.id, 5)
    assert rig.outbox[0].code == rig.outbox[1].code
    code = rig.outbox[1].code
    with pytest.raises(WrongCodeError) as wrong:
        otp.verify(PHONE, f"{(int(code) + 1) % 10**6:06d}")
    assert wrong.value.attempts_left == 4
    append()
    (key,) = rig.stored(":p")
    assert all(value.endswith(tail) for value in rig.server.hgetall(key).values())
    proof = otp.verify(PHONE, code)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code)
    assert otp.redeem(proof.token, idempotency_key="form") == proof
    (name,) = (name for name in rig.server.hkeys(key) if name[:1] == b"p")
    rig.server.hset(key, name, rig.server.hget(key, name) + tail)
    assert otp.redeem(proof.token, idempotency_key="form").id == proof.id
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token)
