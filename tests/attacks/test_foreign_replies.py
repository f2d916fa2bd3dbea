"""Replies that no script returns, as from a proxy or a wrong server: every call raises StoreUnavailableError."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest
from support.callers import BROAD, calling, loaded, result
from support.proxied import Proxied, staged
from support.proxy import Fault, Proxy
from support.rig import OTHER_PHONE, PHONE, SECRET, TEMPLATE, wrong

from otpkit import OTP, AsyncOTP, Challenge, GatewayRejectedError, Proof, StoreUnavailableError
from otpkit.core import scripts
from otpkit.core.issue import IssueRequest
from otpkit.core.scripts.audit import Occurrence
from otpkit.core.scripts.money import MoneyCharge, charge_of
from otpkit.core.scripts.sends import CaptchaAsked, Refused
from otpkit.gateways import Failover
from otpkit.testing import Outbox

IP = "203.0.113.7"
KINDS = ["sync-url", "sync-client", "async-url", "async-client"]
SCRIPTS = [field.name for field in fields(scripts.Scripts)]
OP = bytes(range(16))
PHONE_KEY = {"phone_key": "t:{p}:p"}
PHONE_KEYS = PHONE_KEY | {"counter_key": "t:{p}:c"}
DEVICE_KEY = {"device_key": "t:{p}:d"}
FIELD = {"challenge_field": b"12345678"}
LIMIT_KEYS = {"limit_key": "t:{l}:w", "memory_key": "t:{l}:w:1"}
BUDGET = charge_of("11 letters.", (1, 9, 9, 9), (0, 1, 9_000_000_000_000, 9_100_000_000_000), "-")
MONEY_KEYS = {"money_key": "t:{m}:m", "memory_key": "t:{m}:m:1"}
SCOPE_KEYS = {"record_key": "t:{r}:u", "memory_key": "t:{r}:u:1"}
REGION_KEYS = {"region_key": "t:{guard}:CN", "memory_key": "t:{guard}:1", "total_key": "t:{guard}:*"}
GATEWAYS_KEY = {"gateways_key": "t:{g}:g"}
AUDIT_TEXTS = ("action", "actor", "reason", "phone_id", "scope", "subject", "outcome")
NOTES_KEY = {"notes_key": "t:{g}:e"}
NOW, NOW_OP = {"now": ""}, {"now": "", "operation": OP}
VERIFY = {"digests": b"d" * 20, "fixed_ends_ms": 0, "is_fixed_code": 0}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "reserve": PHONE_KEYS | NOW_OP | FIELD | {"fresh": b"n" * 39, "idempotency": b"", "known_keys": b"keyA"},
    "settle": PHONE_KEY | NOW_OP | {"outcome": "a", "served_by": "", "device": 0},
    "undo": PHONE_KEY | NOW_OP | {"stays_counted": 0, "reserved_ms": 0, "device": 0},
    "verify": PHONE_KEYS | NOW_OP | FIELD | VERIFY,
    "unverify": PHONE_KEYS | NOW_OP | FIELD,
    "redeem": PHONE_KEY | NOW_OP | {"proof": OP, "expires_ms": 10**15},
    "unredeem": PHONE_KEY | NOW_OP | {"proof": OP, "call": b""},
    "status": PHONE_KEY | NOW | FIELD,
    "standing": PHONE_KEYS | NOW,
    "revoke": PHONE_KEY | NOW | FIELD,
    "unblock": PHONE_KEYS | NOW,
    "erase": PHONE_KEYS | DEVICE_KEY | NOW,
    "check_device": DEVICE_KEY | NOW | {"device_since": 1},
    "forget_devices": DEVICE_KEY | NOW,
    "consume": LIMIT_KEYS | NOW | {"rates": "5/1000"},
    "refund": LIMIT_KEYS | NOW | {"rates": "5/1000", "consumed_ms": 1},
    "receive": PHONE_KEY | NOW_OP | {"served_by": "", "state": "d"},
    "circuit_state": GATEWAYS_KEY | NOTES_KEY | NOW | {"names": ["one", "two"]},
    "record_failure": GATEWAYS_KEY
    | NOW
    | {"name": "one", "most_failures": 3, "rest_ms": 1000, "operation": "operation"},
    "note_gateway": NOTES_KEY | NOW | {"field": "E:one", "value": "quota -"},
    "close_circuit": GATEWAYS_KEY | NOTES_KEY | NOW | {"name": "one"},
    "gateway_records": GATEWAYS_KEY | NOTES_KEY | NOW | {"names": ["one", "two"]},
    "spend": MONEY_KEYS | NOW | {"money": MoneyCharge(BUDGET, privileged=False)},
    "unspend": MONEY_KEYS | NOW | {"refunds": "b 1;", "charged_ms": 1, "was_sent": 1},
    "spending": {"money_key": "t:{m}:m"} | NOW | {"names": ["one", "two"]},
    "look": {"record_key": "t:{r}:u"} | NOW | {"length_ms": 900_000},
    "override": {"record_key": "t:{r}:u"} | NOW | {"letter": "a", "life_ms": 1000, "size": 32},
    "note": {"notes_key": "t:{n}:n", "since_key": "t:{n}:s"}
    | NOW
    | {"mode": "o", "decisions": [("captcha", "range", "name", 1)]},
    "notes": {"notes_key": "t:{n}:n", "since_key": "t:{n}:s"} | NOW,
    "count_narrow": SCOPE_KEYS | NOW | {"guard": "en00", "floor": "6", "share": "1", "far": "2", "length_ms": 900_000},
    "move_narrow": SCOPE_KEYS | NOW | {"move": "v", "at_ms": 1, "length_ms": 900_000},
    "count_wide": REGION_KEYS | NOW | {"guard": "en000000CN"},
    "move_wide": REGION_KEYS | NOW | {"move": "v", "at_ms": 1, "counted_in": 4},
    "claim": {"answer_key": "t:{a}:a"} | NOW_OP | {"life_ms": 1000},
    "add_figures": {"stats_key": "t:{stats}:s", "memory_key": "t:{stats}:s:1"} | NOW | {"figures": [" CN one v"]},
    "figures": {"stats_key": "t:{stats}:s"} | NOW | {"hours": 24},
    "audit_action": {"stream_key": "t:{audit}:o"} | NOW | {"operation": "id", **dict.fromkeys(AUDIT_TEXTS, "text")},
    "audit_events": {"stream_key": "t:{audit}:s", "counts_key": "t:{audit}:n"}
    | NOW
    | {"events": [Occurrence("id", "blocked")]},
    "audit_entries": {"stream_key": "t:{audit}:o"} | NOW | {"start": "+", "since_ms": 0, "phone_id": "", "count": 9},
    "remember": {"answer_key": "t:{a}:a"} | NOW | {"life_ms": 1000},
}
_DESCRIBED = b":%d\r\n:%d\r\n:5\r\n:4\r\n$1\r\n%s\r\n$8\r\nabcdef01\r\n:0\r\n$0\r\n\r\n"
SHAPES = {
    "ok": b"+OK\r\n",
    "queued": b"+QUEUED\r\n",
    "negative": b":-1\r\n",
    "huge": b":9223372036854775807\r\n",
    "nil": b"$-1\r\n",
    "empty text": b"$0\r\n\r\n",
    "text": b"$6\r\nproved\r\n",
    "not UTF-8": b"$3\r\n\xff\xfe\xfd\r\n",
    "nil list": b"*-1\r\n",
    "list of nothing": b"*1\r\n$-1\r\n",
    "nested": b"*1\r\n*1\r\n*1\r\n:1\r\n",
    "one text": b"*1\r\n$2\r\nhi\r\n",
    "numbers": b"*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n",
    "negative numbers": b"*3\r\n:-1\r\n:-2\r\n:-3\r\n",
    "texts for numbers": b"*4\r\n$6\r\nproved\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n0\r\n",
    "a proof without end": b"*2\r\n$6\r\nproved\r\n:1\r\n",
    "a proof for ever": b"*4\r\n$6\r\nproved\r\n:1\r\n:9223372036854775807\r\n:0\r\n",
    "a limit of no scope": b"*6\r\n$7\r\nlimited\r\n:1\r\n$4\r\nmoon\r\n:1\r\n:1\r\n:1000\r\n",
    "a word alone": b"*1\r\n$8\r\nreserved\r\n",
    "no such state": b"*11\r\n$8\r\nreplayed\r\n:1\r\n$32\r\n%s\r\n" % (b"0" * 32) + _DESCRIBED % (2, 2, b"?"),
    "a send without an id": b"*11\r\n$8\r\nreplayed\r\n:1\r\n$2\r\n00\r\n" + _DESCRIBED % (2, 2, b"a"),
    "an unknown key": b"*14\r\n$8\r\nreserved\r\n:1\r\n$32\r\n%s\r\n$8\r\n00000000\r\n$0\r\n\r\n:0\r\n" % (b"0" * 32)
    + _DESCRIBED % (2, 2, b"p"),
    "a time past all": b"*14\r\n$8\r\nreserved\r\n:1\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n:0\r\n"
    + _DESCRIBED % (9223372036854775807, 2, b"p"),
    "an error": b"-ERR something of a proxy's own\r\n",
    "a list with an error": b"*2\r\n-ERR no\r\n:1\r\n",
    "a map": b"%1\r\n+a\r\n:1\r\n",
    "a page": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no number": b":one\r\n",
    "MOVED to nowhere": b"-MOVED\r\n",
}


def _tagged(shape: bytes) -> bytes:
    """Return a list that begins with the operation of `ARGUMENTS`, as operation.lua writes it."""
    size, _, rest = shape.partition(b"\r\n")
    return b"*%d\r\n:%d\r\n" % (int(size[1:]) + 1, int.from_bytes(OP[:6], "big")) + rest


SHAPES |= {
    f"{name}, of the operation": _tagged(shape)
    for name, shape in SHAPES.items()
    if shape.startswith(b"*") and name not in {"nil list", "numbers"}
}
SHAPES |= {
    "a proof of another operation": b"*5\r\n:7\r\n$6\r\nproved\r\n:1\r\n:2\r\n:0\r\n",
    "a wrong code of another operation": b"*3\r\n:7\r\n$5\r\nwrong\r\n:4\r\n",
    "a redemption of another operation": b"*2\r\n:7\r\n$8\r\nredeemed\r\n",
    "a reservation of another operation": b"*15\r\n:7\r\n$8\r\nreserved\r\n:1\r\n"
    + b"$0\r\n\r\n" * 3
    + b":0\r\n"
    + _DESCRIBED % (9, 9, b"p"),
}


@pytest.fixture
def proxy(valkey_url: str) -> Iterator[Proxy]:
    with loaded(valkey_url) as by_sha, Proxy(valkey_url, by_sha) as proxy:
        yield proxy


@pytest.mark.parametrize("script", SCRIPTS)
async def test_no_script_takes_another_shape_for_its_reply(proxy: Proxy, script: str) -> None:
    """The connection is closed, so the next call reads its own reply. The kinds of caller take turns."""
    first = SCRIPTS.index(script)
    async with contextlib.AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(calling(kind, proxy.url, Outbox())) for kind in KINDS]
        for turn, (name, shape) in enumerate(SHAPES.items(), first):
            kind, caller = KINDS[turn % len(KINDS)], callers[turn % len(KINDS)]
            store: Any = caller.otp._store
            effect = getattr(caller.otp._config.scripts, script)(**ARGUMENTS[script])
            proxy.expect(script, *[Fault("say", reply=shape)] * 5)
            run = asyncio.to_thread(store.run, effect) if kind.startswith("sync") else store.run(effect)
            outcome = await result(run)
            assert isinstance(outcome, Exception), (kind, name, outcome)
            assert type(outcome).__module__ == "otpkit.errors", (kind, name, outcome)
            proxy.forget()
            assert await caller.status(PHONE) is None, (kind, name)


async def rejected(stage: Proxied) -> Any:
    stage.outbox.reject_next()
    return await stage.caller.issue(PHONE)


async def issued_then(stage: Proxied, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    await stage.caller.issue(OTHER_PHONE)
    return await call(OTHER_PHONE, *arguments)


async def redeemed(stage: Proxied) -> Any:
    await stage.caller.issue(OTHER_PHONE)
    proof = await stage.caller.verify(OTHER_PHONE, stage.code)
    return await stage.caller.redeem(proof.token)


CALLS: dict[str, tuple[str, Callable[[Proxied], Awaitable[Any]], type]] = {
    "issue": ("reserve", lambda stage: stage.caller.issue(PHONE), StoreUnavailableError),
    "send": ("reserve", lambda stage: stage.caller.send(PHONE, "signup", "4711"), StoreUnavailableError),
    "issue, sent": ("settle", lambda stage: stage.caller.issue(PHONE), Challenge),
    "issue, rejected": ("undo", rejected, GatewayRejectedError),
    "verify": (
        "verify",
        lambda stage: issued_then(stage, lambda phone: stage.caller.verify(phone, stage.code)),
        StoreUnavailableError,
    ),
    "verify, wrong": (
        "verify",
        lambda stage: issued_then(stage, lambda phone: stage.caller.verify(phone, wrong(stage.code))),
        StoreUnavailableError,
    ),
    "redeem": ("redeem", redeemed, StoreUnavailableError),
    "status": ("status", lambda stage: stage.caller.status(PHONE), StoreUnavailableError),
    "standing": ("standing", lambda stage: stage.caller.standing(PHONE), StoreUnavailableError),
    "delivery": ("status", lambda stage: stage.caller.delivery(PHONE), StoreUnavailableError),
    "revoke": ("revoke", lambda stage: stage.caller.revoke(PHONE), StoreUnavailableError),
    "unblock": ("unblock", lambda stage: stage.caller.unblock(PHONE), StoreUnavailableError),
    "erase": ("erase", lambda stage: stage.caller.erase(PHONE), StoreUnavailableError),
}


FEW = ["ok", "nil", "empty text", "numbers", "nested", "negative", "a word alone", "no number"]


@pytest.mark.parametrize("shape", FEW)
@pytest.mark.parametrize("call", CALLS)
async def test_each_call_says_that_the_store_is_unavailable(
    proxy: Proxy, valkey_url: str, namespace: str, call: str, shape: str
) -> None:
    """After the message was sent, the gateway's outcome is reported. The kinds of caller take turns."""
    script, story, expected = CALLS[call]
    turn = list(CALLS).index(call) + FEW.index(shape)
    async with staged(KINDS[turn % len(KINDS)], proxy, valkey_url, namespace) as stage:
        proxy.expect(script, *[Fault("say", reply=SHAPES[shape])] * 5)
        outcome = await result(story(stage))
        proxy.forget()
        assert type(outcome) is expected, outcome


@pytest.mark.parametrize("library", [OTP, AsyncOTP])
@pytest.mark.parametrize("script", ["circuit_state", "record_failure", "consume", "refund"])
async def test_what_is_beside_the_message_stops_none(
    proxy: Proxy, namespace: str, library: Any, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of gateways and their failures are not essential. A limit that can't be refunded stays charged."""
    otp = library(proxy.url, _failover(), TEMPLATE, SECRET, policy=BROAD, namespace=namespace)
    monkeypatch.setattr(type(otp._store), "clustered", True)
    otp = library(proxy.url, _failover(), TEMPLATE, SECRET, policy=BROAD, namespace=namespace)
    sent.clear()

    async def call(name: str, *arguments: Any, **options: Any) -> Any:
        if library is OTP:
            return await result(asyncio.to_thread(getattr(otp, name), *arguments, **options))
        return await result(getattr(otp, name)(*arguments, **options))

    if script != "refund":
        proxy.expect(script, *[Fault("say", reply=b"+OK\r\n")] * 20)
    issued = await call("issue", PHONE, ip=IP)
    proxy.forget()
    if script == "consume":
        assert type(issued) is StoreUnavailableError
        assert not sent
    else:
        assert issued.delivery == "accepted"
        proxy.expect(script, *[Fault("say", reply=b"+OK\r\n")] * 20)
        assert isinstance(await call("verify", PHONE, sent[-1], ip=IP), Proof)
        proxy.forget()
    closing = otp.close()
    if closing is not None:
        await closing


sent: list[str] = []


def _failover() -> Failover:
    def broken(message: Any) -> None:
        raise GatewayRejectedError("no", gateway="broken", category="connection")

    def sound(message: Any) -> None:
        sent.append(message.code)

    return Failover([broken, sound])


@pytest.mark.parametrize("reply", [CaptchaAsked(1, 64, False), Refused(1, "range", 1000, 1, None)])
def test_the_reply_of_a_guard_where_there_is_none_is_unavailable(reply: object) -> None:
    with OTP("memory://", Outbox(), TEMPLATE, SECRET) as otp:
        flow = otp._flows.issue(IssueRequest("13800138000", "signup", "", None, None, None, "sms", None))
        next(flow)
        with pytest.raises(StoreUnavailableError, match="reply to another request"):
            flow.send(reply)
