"""The audit over HTTP: for operators' keys alone, with the API keys that were rejected."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from support.service import KEY, KEYS, PHONE, SECRET, TEMPLATE, Served, serving

from otpkit import OTP
from otpkit.service import ApiKey
from otpkit.testing import Outbox

OPERATOR_KEY = "key-of-the-support-desk-0123456789-012"


@pytest.fixture
def desk(valkey_url: str, namespace: str) -> Iterator[Served]:
    """Yield a service with an operator's key, on a store of whose namespace an operator has unblocked a phone."""
    keys = (*KEYS, ApiKey.of("desk", OPERATOR_KEY, [], operator=True))
    with (
        serving(valkey_url, namespace, keys=keys) as served,
        OTP(valkey_url, Outbox(), TEMPLATE, SECRET, namespace=namespace) as otp,
    ):
        otp.unblock(PHONE, actor="ann", reason="the user called")
        yield served


def test_an_operators_key_reads_the_audit(desk: Served) -> None:
    answer = desk.post("/v1/audit", {}, key=OPERATOR_KEY)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    found = answer.json()
    (entry,) = found["entries"]
    assert (found["is_capped"], found["oldest"]) == (False, entry["at"])
    assert {name: entry[name] for name in ("action", "actor", "reason", "outcome", "count", "scope")} == {
        "action": "unblocked",
        "actor": "ann",
        "reason": "the user called",
        "outcome": "done",
        "count": 1,
        "scope": "",
    }
    assert PHONE[-8:] not in answer.text


def test_entries_are_selected(desk: Served) -> None:
    def count(**body: object) -> int:
        return len(desk.post("/v1/audit", body, key=OPERATOR_KEY).json()["entries"])

    assert count(phone="138 0013 8000", limit=1) == 1
    assert count(phone="13900139000") == 0
    assert count(since="2099-01-31T08:00:00Z") == 0
    for body in ({"limit": 0}, {"limit": 10_001}, {"since": "2026-01-31T08:00:00"}, {"since": "x"}, {"more": 1}):
        assert desk.post("/v1/audit", body, key=OPERATOR_KEY).status_code == 422
    assert desk.post("/v1/audit", {"phone": "12345"}, key=OPERATOR_KEY).json()["code"] == "phone"


def test_other_keys_may_not(desk: Served) -> None:
    """An operator's key has no purpose, and can do nothing else."""
    for key, status in ((KEY, 403), (None, 401)):
        assert desk.post("/v1/audit", {}, key=key).status_code == status
    assert desk.post("/v1/challenges", {"phone": PHONE}, key=OPERATOR_KEY).status_code == 403


def test_rejected_keys_are_counted(desk: Served) -> None:
    """The first is written at once, those that follow once a minute. A request without a key is no rejected key."""
    desk.post("/v1/challenges", {"phone": PHONE}, key=None)
    for _ in range(20):
        assert desk.post("/v1/challenges", {"phone": PHONE}, key="wrong").status_code == 401
    deadline = time.monotonic() + 20
    while len(entries := desk.post("/v1/audit", {}, key=OPERATOR_KEY).json()["entries"]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [(each["action"], each["count"]) for each in entries] == [("key_rejected", 1), ("unblocked", 1)]
