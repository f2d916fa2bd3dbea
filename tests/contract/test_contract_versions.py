"""Two versions share a store while they are deployed: what a later one writes, this one skips and keeps."""

from __future__ import annotations

import pytest
from contract_world import PHONE, VISITOR, World

from otpkit import Policy, UsedTokenError, WrongCodeError
from otpkit.errors import ExpiredCodeError, OTPError

FUTURE = b"\xff" * 6  # of a time, as known kinds begin with one
UNKNOWN = {
    b"": b"an empty name",
    b"x": b"",
    b"x" + bytes(16): b"1",
    b"X" + bytes(16): FUTURE + bytes(40),
    b"\xff": FUTURE,
    b"s": FUTURE,  # of a known letter, yet no send
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


def use(otp: object, world: World, log: list[object]) -> None:
    """Make every call, and log what each gives."""

    def call(name: str, *args: object, **options: object) -> object:
        try:
            result = getattr(otp, name)(*args, **options)
        except OTPError as error:
            result = error
        log.append(type(result) if isinstance(result, OTPError) else name)
        return result

    call("issue", PHONE, ip=VISITOR, idempotency_key="key")
    call("issue", PHONE, ip=VISITOR, idempotency_key="key")
    world.advance(61)
    call("issue", PHONE)
    code = world.outbox[-1].code
    call("verify", PHONE, f"{(int(code) + 1) % 10**6:06d}", ip=VISITOR)
    call("status", PHONE)
    call("standing", PHONE)
    call("delivery", PHONE)
    proof = call("verify", PHONE, code, ip=VISITOR)
    call("redeem", proof.token)  # type: ignore[attr-defined]
    call("redeem", proof.token)  # type: ignore[attr-defined]
    world.advance(86_500)
    call("issue", PHONE, "login")
    call("revoke", PHONE, "login")
    call("verify", PHONE, "000000", "login", ip=VISITOR)
    call("unblock", PHONE)
    world.advance(61)
    call("issue", PHONE, "payment")


def test_fields_of_an_unknown_kind_change_nothing(world: World) -> None:
    """Short, long, without a name, or as if they began with a time in the future; and none is ever written."""
    expected: list[object] = []
    use(world.otp(namespace=f"{world.namespace}.plain"), world, expected)
    otp = world.otp()
    otp.issue(PHONE, "first")
    world.advance(86_500)
    (key,) = world.stored(":p")
    world.server.hset(key, mapping=UNKNOWN)
    found: list[object] = []
    use(otp, world, found)
    assert found == expected
    assert {name: value for name, value in world.server.hgetall(key).items() if name in UNKNOWN} == UNKNOWN
    otp.erase(PHONE)
    assert world.stored(":p") == []


def test_longer_values_of_known_kinds_mean_the_same(world: World) -> None:
    """A later version may append to them; what is appended stays where the value is written again."""
    otp = world.otp(policy=Policy(sends="32/day"))
    tail = b"appended"

    def append() -> None:
        (key,) = world.stored(":p")
        for name, value in world.server.hgetall(key).items():
            if name[:1] in b"scfg" and not value.endswith(tail):
                world.server.hset(key, name, value + tail)

    first = otp.issue(PHONE, idempotency_key="key")
    append()
    assert otp.issue(PHONE, idempotency_key="key").replayed
    again = otp.issue(PHONE)
    append()
    assert (again.id, again.attempts_left) == (first.id, 5)
    assert world.outbox[0].code == world.outbox[1].code
    code = world.outbox[1].code
    with pytest.raises(WrongCodeError) as wrong:
        otp.verify(PHONE, f"{(int(code) + 1) % 10**6:06d}")
    assert wrong.value.attempts_left == 4
    append()
    (key,) = world.stored(":p")
    assert all(value.endswith(tail) for value in world.server.hgetall(key).values())
    proof = otp.verify(PHONE, code)
    with pytest.raises(ExpiredCodeError):
        otp.verify(PHONE, code)
    assert otp.redeem(proof.token, idempotency_key="form") == proof
    (name,) = (name for name in world.server.hkeys(key) if name[:1] == b"p")
    world.server.hset(key, name, world.server.hget(key, name) + tail)
    assert otp.redeem(proof.token, idempotency_key="form").id == proof.id
    with pytest.raises(UsedTokenError):
        otp.redeem(proof.token)
