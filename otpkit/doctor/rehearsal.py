"""Run every script once on a real server, as a call would. It uses keys of its own, and removes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, Final

from otpkit.core import scripts
from otpkit.core.crypto import encode_id, new_id
from otpkit.core.scripts.audit import Occurrence
from otpkit.core.scripts.limits import WideLimit
from otpkit.core.scripts.money import MoneyCharge, charge_of
from otpkit.doctor.findings import Finding, refused, worst
from otpkit.effects import RunScript
from otpkit.errors import ConfigurationError
from otpkit.policy import Policy
from otpkit.store.errors import REDIS_ERRORS, store_error
from otpkit.store.retry import WAIT_MS

# A single wrong code blocks, so that the next step uses PERSIST. With `replicas`, an unconfirmed write can be undone.
_SCRIPTS: Final = scripts.load(Policy(max_consecutive_failures=1, replicas=1))
_RATES: Final = "9/60000"
_FIELD: Final = b"field-8b"
_RIGHT, _WRONG, _KEY_ID = b"digest-16-bytes.", b"other-16-bytes..", b"key4"
_FAR_MS: Final = 10**14
_BUDGET: Final = charge_of("the doctor.", (1, 9, 9, 9), (0, 1, _FAR_MS // 10, _FAR_MS), "-")  # From 1970 to 2286.
_DRAWS: Final = 10_000

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "EVAL": ("return 1", "1", "{key}"),
    "TIME": (),
    "HGETALL": ("{key}",),
    "HGET": ("{key}", "a"),
    "HSET": ("{key}", "a", "1"),
    "HDEL": ("{key}", "b"),
    "HINCRBY": ("{key}", "c", "1"),
    "PTTL": ("{key}",),
    "PEXPIRE": ("{key}", "60000"),
    "PERSIST": ("{key}",),
    "EXISTS": ("{key}",),
    "GET": ("{key}:n",),
    "SET": ("{key}:n", "1", "PX", "60000"),
    "XADD": ("{key}:x", "*", "a", "1"),
    "XTRIM": ("{key}:x", "MINID", "0"),
    "XLEN": ("{key}:x",),
    "XRANGE": ("{key}:x", "-", "+"),
    "XREVRANGE": ("{key}:x", "+", "-"),
    "DEL": ("{key}", "{key}:n", "{key}:x"),
    "EVALSHA": ("0" * 40, "1", "{key}"),  # This is the last one, because no script has this digest.
}
"""Every command that scripts need, with arguments to try it alone."""


def examine_scripts(client: Any, namespace: str) -> Finding:
    """Check that a sync redis-py client may run all scripts, on each primary of a cluster. Return the worst finding."""
    return worst([(node, _rehearse(client, namespace, tag)) for node, tag in _places(client)])


def examine_replicas(client: Any, namespace: str, replicas: int) -> Finding:
    """Check that `replicas` replicas confirm a write, on each primary of a cluster. Return the worst finding."""
    return worst([(node, _confirm(client, f"{namespace}:{{{tag}}}:t", replicas)) for node, tag in _places(client)])


def _confirm(client: Any, key: str, replicas: int) -> Finding:
    try:
        server = client
        if hasattr(client, "get_primaries"):
            server = client.get_redis_connection(client.get_node_from_key(key))
        with server.client() as connection:  # WAIT counts the writes of its own connection.
            connection.set(key, "1", px=60_000)
            confirmed = connection.execute_command("WAIT", replicas, WAIT_MS)
            connection.delete(key)
    except REDIS_ERRORS as error:
        return refused("replicas", store_error(error), "Check that the server accepts writes.")
    if confirmed >= replicas:
        return Finding("replicas", "ok", f"{confirmed} confirmed a write; the policy requires {replicas}.")
    return Finding(
        "replicas",
        "problem",
        f"The policy requires {replicas} to confirm each write; {confirmed} did within {WAIT_MS} ms. No code can be "
        "issued or verified, and no proof redeemed.",
        "Connect replicas that keep up, or lower `replicas` in OTPKIT_POLICY.",
    )


def _places(client: Any) -> list[tuple[str, str]]:
    """Return (server name, hash tag) pairs: one for a single server, else one whose slot lies on each primary."""
    if not hasattr(client, "get_primaries"):
        return [("", _tag())]
    found: dict[str, str] = {}
    wanted = len(client.get_primaries())
    for _ in range(_DRAWS):
        tag = _tag()
        with suppress(*REDIS_ERRORS):  # no node serves the slot
            found.setdefault(str(client.get_node_from_key(f"{{{tag}}}").name), tag)
        if len(found) == wanted:
            break
    return sorted(found.items()) or [("", _tag())]


def _tag() -> str:
    return f"doctor-{encode_id(new_id())}"


def _rehearse(client: Any, namespace: str, tag: str) -> Finding:
    key = f"{namespace}:{{{tag}}}"
    # A limit and a phone may be in different slots. On a cluster, no script uses both.
    limit = key if hasattr(client, "get_primaries") else f"{namespace}:{{{tag}-limit}}"
    error = None
    try:
        for step in _steps(key, f"{limit}:w"):
            client.execute_command("EVAL", step.script.text, len(step.keys), *step.keys, *step.args)
        # Test EVALSHA with the last script, which only reads.
        client.execute_command("EVALSHA", step.script.sha, len(step.keys), *step.keys, *step.args)
    except REDIS_ERRORS as refusal:
        error = refusal
    try:
        denied = _denied(client, key)  # Also after success: a script goes on where it can count no figures.
    finally:
        ends = (
            "p",
            "c",
            "d",
            "e",
            "g",
            "a",
            "u",
            "notes",
            "m",
            "m:m",
            "t",
            "t:n",
            "t:x",
            "n",
            "n:n",
            "r",
            "r:n",
            "o",
            "s",
            "s:m",
            "s:n",
        )
        _clean(client, [*(f"{key}:{end}" for end in ends), f"{limit}:w", f"{limit}:w:m"])
    if denied:
        return Finding(
            "scripts",
            "problem",
            f"Redis refuses commands that otpkit needs: {', '.join(denied)}.",
            "Allow the user of OTPKIT_REDIS_URL " + " ".join(f"+{name.lower()}" for name in denied) + ".",
        )
    if error is None:
        return Finding("scripts", "ok", f"All {len(fields(scripts.Scripts))} run.")
    return refused("scripts", store_error(error), "Check that the server runs scripts and accepts writes.")


def _steps(key: str, limit_key: str) -> Iterator[RunScript[object]]:
    """Yield every script, with keys and arguments that make it do its work."""
    send, taken_back, proof, redemption = new_id(), new_id(), new_id(), new_id()
    call = redemption[:8]
    phone_key, counter_key = f"{key}:p", f"{key}:c"
    phone: dict[str, Any] = {"phone_key": phone_key}
    device = {"device_key": f"{key}:d"}
    counted = phone | {"counter_key": counter_key}
    gateways, memory = {"gateways_key": f"{key}:g"}, {"limit_key": limit_key, "memory_key": f"{limit_key}:m"}
    limit = WideLimit("total", limit_key, _RATES)
    money = {"money_key": f"{key}:m", "memory_key": f"{key}:m:m"}

    def reserve(op: bytes) -> RunScript[object]:
        return _SCRIPTS.reserve(
            phone_key=phone_key,
            counter_key=counter_key,
            now="",
            operation=op,
            challenge_field=_FIELD,
            fresh=op + _RIGHT + _KEY_ID + b"\0\6\0",
            idempotency=b"",
            known_keys=_KEY_ID,
            limits=[limit],
        )

    def verify(op: bytes, digest: bytes, ip_limit: WideLimit | None = None) -> RunScript[object]:
        return _SCRIPTS.verify(
            phone_key=phone_key,
            counter_key=counter_key,
            now="",
            operation=op,
            challenge_field=_FIELD,
            digests=digest + _KEY_ID,
            fixed_ends_ms=0,
            is_fixed_code=0,
            ip_limit=ip_limit,
            memory_key=memory["memory_key"],
        )

    def record_failure(most_failures: int) -> RunScript[object]:
        return _SCRIPTS.record_failure(
            **gateways, now="", name="gateway", most_failures=most_failures, rest_ms=1000, operation="operation"
        )

    s = _SCRIPTS
    yield reserve(send)
    stats: dict[str, Any] = {"stats_key": f"{key}:s"}
    yield s.settle(**phone, **stats, now=" CN gateway a0", operation=send, outcome="a", served_by="gateway", device=0)
    yield s.receive(**phone, now="", operation=send, served_by="gateway", state="d")
    yield s.status(**phone, now="", challenge_field=_FIELD)
    yield verify(taken_back, _RIGHT)
    yield s.unverify(**counted, now="", operation=taken_back, challenge_field=_FIELD)
    yield verify(proof, _RIGHT)
    yield s.redeem(**phone, now="", operation=redemption, proof=proof, expires_ms=_FAR_MS, call=call)
    yield s.unredeem(**phone, now="", operation=redemption, proof=proof, call=call)
    yield s.undo(**phone, now="", operation=new_id(), stays_counted=0, reserved_ms=0, device=0, limits=[limit])
    yield s.erase(**counted, **device, now="")
    yield s.forget_devices(**device, now="")
    yield s.check_device(**device, now="", device_since=_FAR_MS)
    yield reserve(new_id())
    yield verify(new_id(), _WRONG, limit)
    yield verify(new_id(), _WRONG)
    yield s.standing(**counted, now="")
    yield s.unblock(**counted, now="")
    yield s.revoke(**phone, now="", challenge_field=_FIELD)
    yield s.consume(**memory, now="", rates=_RATES)
    yield s.refund(**memory, now="", rates=_RATES, consumed_ms=0)
    yield record_failure(1)
    yield record_failure(0)
    record = f"{key}:u"
    yield s.override(record_key=record, now="", letter="a", life_ms=1000, size=32)
    yield s.look(record_key=record, now="", length_ms=900_000)
    notes: dict[str, Any] = {"notes_key": f"{key}:notes", "since_key": f"{key}:since", "now": ""}
    yield s.note(**notes, mode="o", decisions=[("observed", "range", "doctor", 1)])
    yield s.note(**notes, mode="e", decisions=[("captcha", "range", "doctor", 1)])
    yield s.notes(**notes)
    yield s.remember(answer_key=f"{key}:a", now="", life_ms=1000)
    yield s.claim(answer_key=f"{key}:a", now="", operation=send, life_ms=1000)
    # 0 and 1 make the scripts judge and count; a record that was moved back is deleted.
    counts: dict[str, Any] = {"record_key": f"{key}:n", "memory_key": f"{key}:n:n", "now": ""}
    yield s.count_narrow(**counts, guard="en00n", floor="1", share="1", far="1", length_ms=900_000)
    yield s.move_narrow(**counts, move="b", at_ms=0, length_ms=900_000)
    region = {"region_key": f"{key}:r", "memory_key": f"{key}:r:n", "total_key": f"{key}:r"}
    yield s.count_wide(**region, now="", guard="ep000")
    yield s.move_wide(**region, now="", move="g", at_ms=0, counted_in=16)
    yield s.spend(**money, now="", money=MoneyCharge(_BUDGET, privileged=False))
    yield s.unspend(**money, now="", refunds="budget 1;", charged_ms=_FAR_MS, was_sent=0)
    yield s.spending(money_key=money["money_key"], now="", names=["budget"])
    yield s.add_figures(**stats, memory_key=f"{key}:s:m", now="", figures=[" CN gateway r"])
    yield s.figures(**stats, now="", hours=1)
    audit = {"stream_key": f"{key}:o", "now": ""}
    texts = {"actor": "doctor", "reason": "", "phone_id": "", "scope": "", "subject": "", "outcome": "done"}
    yield s.audit_action(**audit, operation="doctor", action="checked", **texts)
    yield s.audit_events(**audit, counts_key=f"{key}:s:n", events=[Occurrence("doctor", "checked", is_single=0)])
    yield s.audit_entries(**audit, start="+", since_ms=0, phone_id="", count=1)
    circuits: dict[str, Any] = gateways | {"notes_key": f"{key}:e", "now": ""}
    yield s.note_gateway(notes_key=circuits["notes_key"], now="", field="E:gateway", value="quota -")
    yield s.close_circuit(**circuits, name="gateway")
    yield s.gateway_records(**circuits, names=["gateway"])
    yield s.circuit_state(**circuits, names=["gateway"])


def _denied(client: Any, key: str) -> list[str]:
    """Return the commands that the server refuses to this user. Each is tried separately."""
    denied = []
    for name, arguments in COMMANDS.items():
        try:
            client.execute_command(name, *[each.format(key=f"{key}:t") for each in arguments])
        except REDIS_ERRORS as error:
            if not isinstance(store_error(error), ConfigurationError):
                break  # This may be temporary: the server is full or gone.
            denied.append(name)
    return denied


def _clean(client: Any, keys: list[str]) -> None:
    for key in keys:
        try:
            client.execute_command("DEL", key)
        except REDIS_ERRORS:
            with suppress(*REDIS_ERRORS):
                client.execute_command("PEXPIRE", key, 1)
