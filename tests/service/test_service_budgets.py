"""Budgets of API keys in the service: one client can't spend the money of another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.service import KEYS, OTHER_KEY, Served, serving

from otpkit import Budget
from otpkit.service import ApiKey

BUDGETS = [
    Budget("0.9 CNY/day", key="shop", keep=0, hourly=1),
    Budget("0.3 CNY/day", key="till", keep=0, hourly=1),
]


@pytest.fixture
def stage() -> Iterator[Served]:
    """A service with two clients and a budget for each."""
    till = ApiKey.of("till", OTHER_KEY, ["signup"])
    options = {"budgets": BUDGETS, "prices": {"CN": "0.3 CNY"}}
    with serving("memory://", keys=[KEYS[0], till], otp_options=options) as served:
        yield served


def test_clients_spend_their_own_budgets(stage: Served) -> None:
    phones = (f"+86138{number:08d}" for number in range(100))

    def statuses(count: int, key: str | None = None) -> list[int]:
        more = {} if key is None else {"key": key}
        return [stage.post("/v1/challenges", {"phone": next(phones)}, **more).status_code for _ in range(count)]

    assert statuses(3, OTHER_KEY) == [201, 429, 429]
    assert statuses(5) == [201, 201, 201, 429, 429]
    answer = stage.post("/v1/challenges", {"phone": next(phones)}, headers={"Accept-Language": "zh"})
    problem = answer.json()
    assert (problem["code"], problem["scope"], problem["violated-policies"]) == ("rate_limit", "budget", ["budget"])
    assert (problem["status"], problem["code_is_live"]) == (429, False)
    assert problem["detail"].startswith("暂时无法发送验证码")
    assert 0 < problem["retry_after"] <= 86_400
    assert answer.headers["Retry-After"] == str(problem["retry_after"])
    assert answer.headers["RateLimit"].startswith('"budget";r=0')
    assert len(stage.outbox) == 4
