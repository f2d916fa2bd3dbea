"""The figures over HTTP: for operators' keys alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.service import KEY, KEYS, PHONE, SECRET, TEMPLATE, Served, serving

from otpkit import OTP
from otpkit.service import ApiKey
from otpkit.testing import Outbox

OPERATOR_KEY = "key-of-the-support-desk-0123456789-012"


@pytest.fixture
def desk(valkey_url: str, namespace: str) -> Iterator[Served]:
    """Yield a service with an operator's key, on a store in which a phone was verified."""
    keys = (*KEYS, ApiKey.of("desk", OPERATOR_KEY, [], operator=True))
    outbox, prices = Outbox(), {"CN": "0.045 CNY"}
    with (
        serving(valkey_url, namespace, keys=keys, otp_options={"prices": prices}) as served,
        OTP(valkey_url, outbox, TEMPLATE, SECRET, namespace=namespace, prices=prices) as otp,
    ):
        otp.issue(PHONE)
        otp.verify(PHONE, outbox[-1].code)
        yield served


def test_an_operators_key_reads_the_figures(desk: Served) -> None:
    answer = desk.post("/v1/stats", {}, key=OPERATOR_KEY)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    found = answer.json()
    assert found["total"] == {
        "sent": 1,
        "uncertain": 0,
        "relayed": 0,
        "rejected": 0,
        "delivered": 0,
        "failed": 0,
        "verified": 1,
        "wrong_codes": 0,
        "limited": {},
        "guard": {},
        "cost": "0.045",
        "relayed_cost": "0",
        "conversion": 1.0,
        "cost_per_verified": "0.045",
        "receipt_p50": None,
        "receipt_p95": None,
    }
    assert found["regions"] == {"CN": found["total"]}
    assert found["gateways"] == {"outbox": found["total"]}
    assert found["currency"] == "CNY"
    assert len(found["spans"]) == 24
    assert found["spans"][0]["at"] == found["since"]
    assert sum(span["sent"] for span in found["spans"]) == 1
    assert PHONE[-8:] not in answer.text


def test_hours_are_chosen(desk: Served) -> None:
    assert len(desk.post("/v1/stats", {"hours": 3}, key=OPERATOR_KEY).json()["spans"]) == 3
    for body in ({"hours": 0}, {"hours": 9601}, {"hours": "3"}, {"hours": 1.5}, {"phone": PHONE}):
        assert desk.post("/v1/stats", body, key=OPERATOR_KEY).status_code == 422


def test_other_keys_read_nothing(desk: Served) -> None:
    for key, status in ((KEY, 403), ("unknown", 401)):
        assert desk.post("/v1/stats", {}, key=key).status_code == status
