"""Budgets among processes: eight at once spend the exact amount, and one that is killed leaves its message charged."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from spender import BUDGETS, PRICES
from support.rig import SECRET, TEMPLATE, Rig

from otpkit import OTP, Figures, RateLimitError
from otpkit.testing import MovableClock, Outbox

SPENDER = Path(__file__).parent / "spender.py"
PRICE = Decimal("0.07")


@pytest.fixture(params=["valkey", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


def spend(url: str, namespace: str, processes: int, count: int, dies: str = "0") -> list[str]:
    """Let processes issue `count` codes each, at the same time; return what each printed after it was ready."""
    now = str(MovableClock().now)
    commands = [
        [sys.executable, str(SPENDER), url, namespace, now, str(n * count), str(count), dies] for n in range(processes)
    ]
    running = [subprocess.Popen(each, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for each in commands]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0] for process in running]


def test_eight_processes_spend_the_exact_amount(url: str, namespace: str) -> None:
    """142 messages of 0.07 CNY are 9.94 CNY; one process gives the alert."""
    printed = [tuple(map(int, each.split())) for each in spend(url, namespace, 8, 40)]
    assert sum(sent for sent, _ in printed) == 142
    assert sum(alerts for _, alerts in printed) == 1
    with OTP(
        url, Outbox(), TEMPLATE, SECRET, namespace=namespace, clock=MovableClock(), budgets=BUDGETS, prices=PRICES
    ) as otp:
        day, month = otp.spending()
        assert (day.spent, month.spent) == (142 * PRICE, 142 * PRICE)
        assert day.refused["amount"] == 8 * 40 - 142
        assert otp.stats().total == Figures(sent=142, limited={"budget": 8 * 40 - 142}, cost=142 * PRICE)


def test_a_killed_process_leaves_its_message_charged(url: str, namespace: str) -> None:
    """Each dies in its last call, between reserve and settle: it may have sent, so the money is spent."""
    assert spend(url, namespace, 4, 5, "1") == [""] * 4
    with Rig(url, namespace) as rig:
        otp = rig.otp(budgets=BUDGETS, prices=PRICES)
        assert [each.spent for each in otp.spending()] == [20 * PRICE] * 2
        assert rig.kinds()["m"] == 4
        assert otp.stats().total == Figures(sent=16, cost=16 * PRICE)  # What nobody settled is not counted.
        rig.advance(31)
        for number in range(122):
            otp.issue(f"+86139{number:08d}")
        with pytest.raises(RateLimitError):
            otp.issue("+8613800138000")
