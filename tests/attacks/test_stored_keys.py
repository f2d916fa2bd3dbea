"""Every key has a known kind, form and life, and the walk of `otpkit audit-keys` finds each that has not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from support.rig import DAY, HOUR, MINUTE, Rig, whole
from support.servers import find_redis, find_valkey, running, unavailable
from support.whole_life import POLICY, live

from otpkit import OTP
from otpkit.core.stored import KINDS, Field, kind_of
from otpkit.doctor.keys import KeyReport, examine_keys

NAMESPACE = "life"
PHONES = ["+8613800138000", "+8613800138001", "+8613900139000", "+8613600136000"]
TABLE = Path(__file__).parents[2] / "docs/operating/privacy.md"
ONLY_CLUSTERS = {"limit's memory", "scope's memory", "region's memory", "budgets' memory", "figures' memory"}
UNITS = {"seconds": 1, "minutes": MINUTE, "hours": 3600, "days": 86_400}
ID = "Abcdefghijklmnopqrstuw"


@pytest.fixture(scope="module", params=["valkey", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """Yield the client of a server of this module's own, in which an otpkit has lived."""
    binary = find_valkey() if request.param == "valkey" else find_redis()
    if binary is None:
        unavailable(f"no {request.param} server")
    with running(binary) as server, redis.Redis.from_url(server.url) as client:
        public = {name for name in vars(OTP) if not name.startswith("_") and callable(getattr(OTP, name))}
        assert live(server.url, client, NAMESPACE, PHONES) == public - {"close", "from_env"}
        measure(client)
        yield client


@pytest.fixture
def planted(client: redis.Redis) -> Iterator[Any]:
    """Return a function that writes a key and returns the report; the key is removed afterwards."""
    keys: list[str] = []

    def plant(key: str, value: Any, life: int | None = 1000) -> KeyReport:
        keys.append(key)
        if isinstance(value, dict):
            client.hset(key, mapping=value)
        else:
            client.set(key, value)
        if life is not None:
            client.expire(key, life)
        return examine_keys(client, NAMESPACE, POLICY)

    yield plant
    if keys:
        client.delete(*keys)


LIVES: dict[str, int] = {}
"""The longest life of each kind right after the calls, in milliseconds."""


def measure(client: redis.Redis) -> None:
    for key in client.scan_iter(f"{NAMESPACE}:*", count=1000):
        kind = kind_of(key[len(NAMESPACE) + 1 :])
        if kind is not None:
            LIVES[kind.name] = max(client.pttl(key), LIVES.get(kind.name, 0))


def test_a_life_through_every_call_leaves_known_keys_alone(client: redis.Redis) -> None:
    """Each has a life, and nothing in it can be read. All kinds occur, but those that only calls on a cluster make."""
    report = examine_keys(client, NAMESPACE, POLICY)
    assert report.findings == ()
    assert report.ok
    assert report.keys == sum(1 for _ in client.scan_iter(f"{NAMESPACE}:*"))
    assert set(report.kinds) == {kind.name for kind in KINDS} - ONLY_CLUSTERS | {"limit's memory", "figures' memory"}


def test_each_form_of_a_field_occurs(client: redis.Redis) -> None:
    """A form that nothing has would allow what nothing needs."""
    for kind in KINDS:
        if kind.shape != "hash":
            continue
        keys = [key for key in client.scan_iter(f"{NAMESPACE}:*", count=1000) if kind.has(key[len(NAMESPACE) + 1 :])]
        pairs = [pair for key in keys for pair in client.hgetall(key).items()]
        assert {kind.field(*pair) for pair in pairs} == set(kind.fields), kind.name


def test_figures_of_past_hours_and_days_have_known_forms(valkey_url: str, namespace: str) -> None:
    with Rig(valkey_url, namespace) as rig:
        otp = rig.otp(policy=whole(sends="32/day"))
        for seconds in (0, HOUR, HOUR, 36 * DAY, HOUR):
            rig.advance(seconds)
            otp.issue(PHONES[0])
        names = rig.server.hkeys(f"{namespace}:{{stats}}:s")
        assert {name[:1] for name in names} >= {b"h", b"d"}
        assert examine_keys(rig.server, namespace, POLICY).findings == ()


def rows() -> dict[str, tuple[str, str]]:
    """Return the key and the life of each row in the table of the documentation, by the name of its kind."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and (key := re.fullmatch(r"`otpkit:(.+)`", cells[1])):
            found[cells[0]] = (key[1], cells[4])
    return found


def seconds(text: str) -> int:
    """Return the first time that a cell of the table names, in seconds."""
    number, unit = re.match(r"([0-9.,]+) (\w+)", text).groups()  # type: ignore[union-attr]
    return int(number.replace(",", "")) * UNITS[unit if unit.endswith("s") else f"{unit}s"]


def test_the_documented_table_has_a_row_for_each_kind(client: redis.Redis) -> None:
    """With its key, and with the life that its keys really have after every call."""
    table = rows()
    assert set(table) == {kind.name for kind in KINDS}
    for kind in KINDS:
        key = re.sub(r"\{(?!audit|gateways|guard|index|money|stats)\w+\}", f"{{{ID}}}", table[kind.name][0])
        key = key.replace("CALL", ID).replace("REGION", "CN")
        assert kind_of(key.encode()) is kind, kind.name
    for name, life_ms in LIVES.items():
        documented = 1000 * seconds(table[name][1])
        assert life_ms <= 1.01 * documented, name  # A send is settled within 30 seconds, and kept for a day after that.
        assert life_ms > documented / 2 or name == "budgets", name


GOOD: dict[str, Any] = {
    f"{NAMESPACE}:{{{ID}}}:c": "3",
    f"{NAMESPACE}:{{{ID}}}:w": {"60000": "1767225600000 5"},
    f"{NAMESPACE}:{{{ID}}}:p": {b"g" + bytes(16): b"alidayu 108913184169^1111^0"},
    f"{NAMESPACE}:{{doctor-{ID}}}:p": "anything of a doctor that runs now",
}
BAD: dict[str, tuple[str, Any, int | None]] = {
    "an unknown key": (f"{NAMESPACE}:13800138000", "1", 1000),
    "an unknown end": (f"{NAMESPACE}:{{{ID}}}:x", "1", 1000),
    "a key without a life": (f"{NAMESPACE}:{{{ID}}}:u", bytes(32), None),
    "a count of one without a life": (f"{NAMESPACE}:{{{ID}}}:c", "1", None),
    "a life too long": (f"{NAMESPACE}:{{{ID}}}:a", "r", 9 * 86_400),
    "another type": (f"{NAMESPACE}:{{{ID}}}:c", {"a": "1"}, 1000),
    "a longer value": (f"{NAMESPACE}:{{{ID}}}:u", bytes(33), 1000),
    "an unknown field": (f"{NAMESPACE}:{{{ID}}}:p", {"phone": "+8613800138000"}, 1000),
    "a phone as a time": (f"{NAMESPACE}:{{{ID}}}:d", "8613800138000", 1000),
    "a phone as a count": (f"{NAMESPACE}:{{{ID}}}:w", {"60000": "1767225600000 13800138000"}, 1000),
    "a phone in binary": (f"{NAMESPACE}:{{{ID}}}:u", b"13800138000".ljust(32, b"\0"), 1000),
    "a code in a proof": (f"{NAMESPACE}:{{{ID}}}:p", {b"p" + b"1234567".ljust(16, b"x"): bytes(13)}, 1000),
    "a phone as an id": (f"{NAMESPACE}:{{{ID}}}:p", {b"g" + bytes(16): b"alidayu 8613800138000"}, 1000),
    "a phone as a gateway": (f"{NAMESPACE}:{{{ID}}}:p", {b"g" + bytes(16): b"138-0013-8000"}, 1000),
}


@pytest.mark.parametrize("key", GOOD)
def test_the_walk_takes_a_key_as_otpkit_writes_it(planted: Any, key: str) -> None:
    assert planted(key, GOOD[key]).ok


def test_a_reached_block_needs_no_life(planted: Any) -> None:
    assert planted(f"{NAMESPACE}:{{{ID}}}:c", "5", None).ok


@pytest.mark.parametrize("case", BAD)
def test_the_walk_finds_what_otpkit_never_writes(planted: Any, case: str) -> None:
    """It shows no digit of it."""
    report = planted(*BAD[case])
    assert not report.ok
    assert report.problems >= 1
    assert "1380013" not in repr(report)
    assert "138-0013" not in repr(report)


def test_the_walk_reads_the_audit_too(client: redis.Redis) -> None:
    """A reason that was written past the library's checks is found, also in another script."""
    key = f"{NAMESPACE}:{{audit}}:o"
    for reason in ("call 13800138000", "call \\uff11\\uff13\\uff18 0013 8000", "not\x00escaped"):
        entry = client.xadd(key, {"operation": ID, "action": "unblocked", "reason": reason})
        assert not examine_keys(client, NAMESPACE, POLICY).ok
        client.xdel(key, entry)
    assert examine_keys(client, NAMESPACE, POLICY).ok


def test_a_form_is_matched_as_a_whole() -> None:
    """A line break at the end is no match."""
    form = Field("a", "[0-9]+")
    assert form.fits(b"a", b"12")
    assert not form.fits(b"a", b"12\n")
    assert not form.fits(b"a\n", b"12")
