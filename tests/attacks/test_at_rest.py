"""A copied store reveals nothing: no clear text, nothing that can be searched offline, nothing kept forever."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from itertools import count, product
from typing import Any

import pytest
import redis
from support.rig import DAY, MINUTE, OTHER_PHONE, PHONE, SECRET, Rig, outcome, whole, wrong
from support.servers import find_redis, find_valkey, running, unavailable

from otpkit import OTP, GatewayRejectedError, Guard
from otpkit.captcha.base import Captcha, Verdict
from otpkit.guard.rule import Rule

PURPOSE, BIND, KEY, IP = "a-rare-purpose", "a-rare-bind:of 42", "a-rare-idempotency-key", "203.0.113.77"
NAMESPACE = "rest"
EXTREME = whole(
    sends="32/day",
    failures="64/day",
    attempts=10,
    code_length=10,
    ip_sends="100/day",
    ip_failures="100/day",
    region_sends={"CN": "1000/day"},
    total_sends="1000/day",
)


@pytest.fixture(scope="module", params=["valkey", "redis"])
def own_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield a server of this module's own, so that all its keys come from these tests."""
    binary = find_valkey() if request.param == "valkey" else find_redis()
    if binary is None:
        unavailable(f"no {request.param} server")
    with running(binary) as server:
        yield server.url


@pytest.fixture
def rest(own_server: str) -> Iterator[Rig]:
    with Rig(own_server, NAMESPACE) as rig:
        rig.shared.flushall()
        yield rig


class RightCaptcha(Captcha):
    """A captcha that passes every answer."""

    name = "right"

    def parameters(self, purpose: str, now_ms: int | None = None) -> dict[str, object]:
        return {}

    def verify(self, answer: str, check: Any) -> Any:
        return Verdict(passed=True)
        yield


class Wire:
    """Records all bytes that are sent to Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self.said: list[bytes] = []
        connection = client.connection_pool.connection_class
        wire = self

        class Overheard(connection):  # type: ignore[misc,valid-type]
            def send_packed_command(self, command: Any, check_health: bool = True) -> None:
                wire.said.append(command if isinstance(command, bytes) else b"".join(command))
                super().send_packed_command(command, check_health)

        client.connection_pool.connection_class = Overheard


def dump(client: redis.Redis) -> bytes:
    """Return every key, field and value, both as Redis commands return them and as raw dumps."""
    parts: list[bytes] = []
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        if kind == b"hash":
            parts += [key, *(part for pair in client.hgetall(key).items() for part in pair)]
        elif kind == b"string":
            parts += [key, client.get(key)]
        elif kind == b"stream":
            parts += [key, *(part for _, entry in client.xrange(key) for pair in entry.items() for part in pair)]
        else:
            pytest.fail(f"a key of type {kind!r}: this search must learn to read it")
        parts.append(client.dump(key))
    return b"\n".join(parts)


def varied_life(rig: Rig, otp: OTP) -> list[str]:
    """Issue, resend, fail, reject, lose, verify, redeem and revoke for two phones. Return all codes."""
    known = {"bind": BIND, "ip": IP}
    for phone in (PHONE, OTHER_PHONE):
        for step in (None, rig.outbox.reject_next, rig.outbox.lose_next, None):
            if step:
                step()
            outcome(otp.issue, phone, PURPOSE, **known, idempotency_key=KEY if step is None else f"{KEY}{step}")
            rig.clock.advance(MINUTE)
        for _ in range(3):
            outcome(otp.verify, phone, wrong(rig.outbox[-1].code), PURPOSE, **known, idempotency_key=KEY)
        outcome(otp.verify, phone, "0" * 10, "a-second-purpose", ip=IP)
        proof = otp.verify(phone, rig.outbox[-1].code, PURPOSE, **known, idempotency_key=KEY)
        otp.redeem(proof.token, PURPOSE, bind=BIND, idempotency_key=KEY)
        otp.issue(phone, PURPOSE, **known)
        otp.send(phone, "a-given-purpose", "given77531", ip=IP, idempotency_key=KEY)
        otp.issue(phone, "a-revoked-purpose")
        otp.revoke(phone, "a-revoked-purpose")
        otp.issue(phone, "a-live-purpose", bind=BIND)
        rig.clock.advance(MINUTE)
    return [message.code for message in rig.outbox]


def spellings(phone: str) -> list[str]:
    return [phone, phone[1:], phone[3:], f"00{phone[1:]}"]


def test_nothing_is_kept_in_clear(rest: Rig) -> None:
    """No phone, code, secret, purpose, bind, key or address is stored or sent to Redis in clear."""
    client = rest.client()
    wire = Wire(client)
    codes = varied_life(rest, rest.heard(redis=client, policy=EXTREME))
    needles = [*spellings(PHONE), *spellings(OTHER_PHONE), PHONE[-8:], OTHER_PHONE[-8:], *codes]
    needles += [SECRET, PURPOSE, BIND, KEY, IP, "203.0.113", "a-second-purpose", "a-revoked-purpose", "a-given-purpose"]
    texts = {"kept": dump(rest.shared), "said": b"\n".join(wire.said)}
    assert len(texts["kept"]) > 1000
    for (where, text), needle in product(texts.items(), needles):
        raw = needle.encode()
        for form in (raw, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), needle.encode("utf-16-le")):
            assert form not in text, (where, needle)


def test_a_guard_keeps_nothing_in_clear(rest: Rig) -> None:
    """Neither the range of a phone, an address, its network, nor a captcha's answer; nor any unkeyed hash of them."""
    answer = "a-rare-answer-of-a-captcha"
    guard = Guard("enforce", RightCaptcha(), rule=Rule(range_floor=1, address_floor=1), fallback="refuse")
    client = rest.client()
    wire = Wire(client)
    otp = rest.heard(redis=client, policy=EXTREME, guard=guard)
    for number, captcha in enumerate((None, None, answer)):
        outcome(otp.issue, f"{PHONE[:-1]}{number}", PURPOSE, bind=BIND, ip=IP, captcha=captcha)
    otp.verify(PHONE, rest.outbox[0].code, PURPOSE, bind=BIND, ip=IP)
    otp.guard_block("ip", IP, seconds=60)
    otp.guard_report()
    texts = [PHONE[:-4], PHONE[1:-4], PHONE[3:-4], answer, IP, "203.0.113.0/24", "203.0.113"]
    kept, said = dump(rest.shared), b"\n".join(wire.said)
    assert len(kept) > 500
    for text in texts:
        for form in (text.encode(), text.encode().hex().encode(), base64.b64encode(text.encode()).rstrip(b"=")):
            assert form not in kept, text
            assert form not in said, text
        digest = hashlib.sha256(text.encode()).digest()
        for form in (digest[:8], digest.hex()[:16].encode(), base64.urlsafe_b64encode(digest)[:10]):
            assert form not in kept, text
    lives = rest.lives()
    assert all(0 < lives[key] <= 21 * DAY * 1000 for key in rest.stored())
    assert all(0 < life <= 400 * DAY * 1000 for life in lives.values())


def test_nothing_can_be_searched_offline(rest: Rig) -> None:
    """The store has no unkeyed hash of a phone, a code, both, or a name, neither whole nor its first eight bytes."""
    codes = varied_life(rest, rest.heard(policy=EXTREME))
    kept = dump(rest.shared)
    phones = [*spellings(PHONE), *spellings(OTHER_PHONE)]
    texts = [*phones, *codes, PURPOSE, BIND, KEY, IP, SECRET, f"{PURPOSE}{BIND}", f"{PURPOSE}:{BIND}"]
    pairs = [*product(phones, codes), *product(codes, phones)]
    texts += [by.join(pair) for pair in pairs for by in ("", ":")]
    for text, name in product(texts, ("md5", "sha1", "sha224", "sha256", "sha512", "blake2b")):
        digest = hashlib.new(name, text.encode()).digest()
        for form in (digest[:8], digest[:8].hex().encode(), digest.hex().upper()[:16].encode()):
            assert form not in kept, (name, text)
        assert base64.b64encode(digest)[:10] not in kept
        assert base64.urlsafe_b64encode(digest)[:10] not in kept


def test_every_key_has_a_life_but_a_reached_block(rest: Rig) -> None:
    """This includes erase, unblock, rejections and an ended challenge. No expiry is longer than it should be."""
    otp = rest.heard(policy=EXTREME)
    varied_life(rest, otp)
    assert all(0 < life <= 400 * DAY * 1000 for life in rest.lives().values())
    blocking = rest.heard(policy=whole(max_consecutive_failures=2, sends="32/day"))
    third = "+8613700137000"
    blocking.issue(third)
    for _ in range(2):
        outcome(blocking.verify, third, wrong(rest.outbox[-1].code))
    for_ever = [key for key, life in rest.lives().items() if life == -1]
    assert len(for_ever) == 1
    assert for_ever[0].endswith(":c")
    blocking.unblock(third)
    assert -1 not in rest.lives().values()


def test_the_same_code_of_two_identities_is_two_records(rest: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every code is 123456, and yet all digests differ, because the identity is the salt."""
    monkeypatch.setattr("otpkit.core.crypto.CodeKey.code", lambda *_: "123456")
    nonces = count()
    monkeypatch.setattr("otpkit.core.issue.new_ids", lambda: (next(nonces).to_bytes(16), next(nonces).to_bytes(16)))
    otp = rest.heard(policy=whole(sends="32/day"))
    for phone, (purpose, bind) in product((PHONE, OTHER_PHONE), (("a", ""), ("b", ""), ("a", "b"))):
        otp.issue(phone, purpose, bind=bind)
    challenges = [
        value for key in rest.stored() for name, value in rest.shared.hgetall(key).items() if name[:1] == b"c"
    ]
    assert {message.code for message in rest.outbox} == {"123456"}
    assert len({value[16:32] for value in challenges}) == 6


def test_a_phone_is_one_hash_whatever_is_done_with_it(rest: Rig) -> None:
    """All purposes and binds share one key. The consecutive failures are in another while there are any."""
    otp = rest.heard(policy=whole(sends="32/day"))
    for purpose, bind in product("abc", "xyz"):
        otp.issue(PHONE, purpose, bind=bind)
    assert len(rest.stored()) == 1
    outcome(otp.verify, PHONE, wrong(rest.outbox[-1].code), "c", bind="z")
    assert len(rest.stored()) == 2
    otp.verify(PHONE, rest.outbox[-1].code, "c", bind="z")
    assert len(rest.stored()) == 1


def test_the_hash_stays_compact(rest: Rig) -> None:
    """With 32 sends and 64 wrong codes in a day Redis still uses its compact encoding. No value exceeds 64 bytes."""
    otp = rest.heard(policy=EXTREME)
    for number in range(32):
        otp.issue(PHONE, bind=str(number), idempotency_key=KEY)
        for _ in range(2):
            outcome(otp.verify, PHONE, wrong(rest.outbox[-1].code), bind=str(number))
        if number % 2 and number < 31:
            token = otp.verify(PHONE, rest.outbox[-1].code, bind=str(number)).token
            otp.redeem(token, bind=str(number))
    assert rest.kinds()["s"] == 32
    assert rest.kinds()["f"] == 64
    for key in rest.stored():
        if key.endswith(":p"):
            assert rest.shared.object("ENCODING", key) in {b"listpack", b"ziplist"}
            assert max(len(value) for value in rest.shared.hvals(key)) <= 64


def test_after_erase_nothing_is_left(rest: Rig) -> None:
    """Nothing of the erased phone is left. The other phone's keys stay."""
    otp = rest.heard(policy=whole(sends="32/day", code_length=10))
    varied_life(rest, otp)
    outcome(otp.verify, OTHER_PHONE, wrong(rest.outbox[-1].code), "a-live-purpose", bind=BIND)
    others = [key for key in rest.stored() if ":w" not in key]
    otp.erase(PHONE)
    left = [key for key in rest.stored() if ":w" not in key and not key.endswith(":d")]
    assert len(left) == 2
    assert len(others) == 3
    otp.erase(OTHER_PHONE)
    assert [key for key in rest.stored() if ":w" not in key and not key.endswith(":d")] == []
    assert otp.issue(PHONE).sends_left == 31


@pytest.mark.parametrize("rejected", [False, True])
def test_a_phone_erased_while_its_message_is_sent_stays_erased(rest: Rig, rejected: bool) -> None:
    """Neither the settlement nor the undo of that send creates a key."""

    def gateway(_: Any) -> None:
        otp.erase(PHONE)
        if rejected:
            raise GatewayRejectedError("no", gateway="x", category="number")

    otp = rest.heard(gateway=gateway)
    outcome(otp.issue, PHONE)
    assert [key[-2:] for key in rest.stored()] == [":d"]  # It ends the tokens of the erased phone's devices.
